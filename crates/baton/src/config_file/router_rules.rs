//! What a node's virtual routers are, and the rules that span their keys.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use node::config::{AcceptMode, InterfaceAddress, Transport, VirtualRouterConfig};
use node::device::VirtualDevice;
use node::name::{GroupName, InterfaceName, RouterName};
use node::routing::{VirtualRoute, VirtualRule};
use vrrp::{Authentication, Family, Preemption, Priority, Restraint};

use super::document::Document;
use super::node_section::NodeSection;
use super::problem::{At, Problem, Problems, Span};
use super::router_section::{HardwareAddress, RouterSection, TransportKind};
use super::routing_section::{routes_within, rules_within};
use super::virtual_address::VirtualAddress;
use super::{section, track_rules};

/// The length of the prefix of every link-local subnet.
/// [RFC 4291, section 2.5.6](https://www.rfc-editor.org/rfc/rfc4291#section-2.5.6)
const LINK_LOCAL_PREFIX: u8 = 64;

/// A virtual router on one node, with the places that decided about it.
struct Resolved<'a> {
    section: &'a RouterSection,
    priority: At<Priority>,
    preemption: At<Preemption>,
    held: Vec<At<InterfaceAddress>>,
    routes: Vec<At<VirtualRoute>>,
    rules: Vec<At<VirtualRule>>,
    config: VirtualRouterConfig,
}

/// Returns the family of what a virtual router advertises.
pub(super) fn family(router: &RouterSection) -> Option<Family> {
    router.addresses.first().map(|first| Family::of(first.value.address))
}

/// Returns the priority of a virtual router on a node.
pub(super) fn priority(router: &RouterSection, node: &NodeSection) -> At<Priority> {
    let here = router.on(&node.name.value).and_then(|differing| differing.priority);
    here.or(router.priority).unwrap_or(node.priority)
}

/// Returns the virtual routers of a node, and reports what is wrong with them on it.
pub(super) fn resolve(
    document: &Document,
    node: &NodeSection,
    authentication: &BTreeMap<RouterName, Authentication>,
    problems: &Problems,
) -> BTreeMap<RouterName, Arc<VirtualRouterConfig>> {
    let report = |problem| problems.report_on(&node.name.value, problem);
    let routers: Vec<_> = (document.routers.iter())
        .filter_map(|router| {
            let authentication = authentication.get(&router.name.value)?;
            resolve_one(document, router, node, authentication, &report)
        })
        .collect();
    report_shared_identifiers(&routers, &report);
    report_shared_addresses(&routers, &report);
    report_own_addresses(&routers, node, &report);
    report_owners(&routers, &report);
    report_shared_routing(&routers, &report);
    report_unanswered_sources(&routers, &report);
    report_shared_devices(&routers, &report);
    report_divided_groups(&routers, &report);
    routers.into_iter().map(|router| (router.section.name.value.clone(), Arc::new(router.config))).collect()
}

fn resolve_one<'a>(
    document: &Document,
    section: &'a RouterSection,
    node: &NodeSection,
    authentication: &Authentication,
    report: &dyn Fn(Problem),
) -> Option<Resolved<'a>> {
    let here = section.on(&node.name.value);
    let name = &section.name;
    let Some(interface) = here.and_then(|here| here.interface.as_ref()).or(section.interface.as_ref()) else {
        report(section::missing(
            &format!("virtual router {}", name.value),
            name.span,
            "interface",
            "interface = \"eth0\"",
        ));
        return None;
    };
    let interface = &interface.value;
    let family = family(section)?;
    let priority = priority(section, node);
    let preemption = here.and_then(|here| here.preemption).unwrap_or(section.preemption);
    let hearing_wait = here.and_then(|here| here.hearing_wait).unwrap_or(section.hearing_wait);
    let preempt_delay = here.and_then(|here| here.preempt_delay).unwrap_or(section.preempt_delay);
    let start_delay = here.and_then(|here| here.start_delay).map(|delay| delay.value);
    let source = here.and_then(|here| here.source);
    let unadvertised = here.and_then(|here| here.unadvertised.as_ref()).unwrap_or(&section.unadvertised);
    let transport = match section.transport.value {
        TransportKind::Multicast => Transport::Multicast { source: source.map(|source| source.value) },
        TransportKind::Unicast => unicast(document, section, node, family)?,
    };
    if let Some(source) = source {
        report_source(section, node, source, family, report);
    }
    let device = match section.hardware.value {
        HardwareAddress::Interface => None,
        HardwareAddress::Virtual => Some(VirtualDevice::new(section.vrid.value, family, interface.clone())),
    };
    let advertised = on_device(advertised(section, family, interface), device.as_ref());
    let unadvertised = on_device(on_interfaces(unadvertised, interface), device.as_ref());
    let routes = here.and_then(|here| here.routes.as_ref()).unwrap_or(&section.routes);
    let rules = here.and_then(|here| here.rules.as_ref()).unwrap_or(&section.rules);
    let (routes, rules) = (routes_within(routes, family), rules_within(rules, family));
    let values =
        |addresses: &[At<InterfaceAddress>]| addresses.iter().map(|held| held.value.clone()).collect();
    let config = VirtualRouterConfig {
        interface: interface.clone(),
        vrid: section.vrid.value,
        version: section.version.value,
        family,
        priority: priority.value,
        interval: section.interval,
        preemption: preemption.value,
        restraint: Restraint { unheard: hearing_wait.value, before_preempting: preempt_delay.value },
        start_delay: start_delay.unwrap_or(section.start_delay),
        checksum: section.checksum.value,
        transport,
        authentication: authentication.clone(),
        addresses: values(&advertised),
        unadvertised: values(&unadvertised),
        // The owner of the addresses accepts whatever the mode is (RFC 9568, section 6.4.3).
        accept: if priority.value == Priority::OWNER { AcceptMode::On } else { section.accept.value },
        device,
        routes: routes.iter().map(|route| route.value.clone()).collect(),
        rules: rules.iter().map(|rule| rule.value.clone()).collect(),
        announcements: section.announcements,
        tracks: track_rules::tracks_of(document, section),
    };
    let held = [advertised, unadvertised].concat();
    Some(Resolved { section, priority, preemption, held, routes, rules, config })
}

/// Returns how a virtual router reaches the other nodes one by one; what is missing is reported for the whole file.
fn unicast(
    document: &Document,
    router: &RouterSection,
    node: &NodeSection,
    family: Family,
) -> Option<Transport> {
    let others = document.nodes.iter().filter(|other| other.name.value != node.name.value);
    Some(Transport::Unicast {
        source: node.address(family)?,
        peers: others.map(|other| other.address(family)).collect::<Option<_>>()?,
        min_hop_limit: router.min_hop_limit.value,
    })
}

/// Reports an address that advertisements cannot come from.
fn report_source(
    router: &RouterSection,
    node: &NodeSection,
    source: At<IpAddr>,
    family: Family,
    report: &dyn Fn(Problem),
) {
    let (name, At { value: address, span }) = (&router.name.value, source);
    let problem = |title: String| Problem::at(span, title);
    if router.transport.value == TransportKind::Unicast {
        report(
            problem(format!("Virtual router {name} advertises by unicast from the node's own address"))
                .label("does nothing here")
                .also(router.transport.span, "by unicast")
                .help(format!(
                    "write it into `addresses` of [node.{}], where the others send to",
                    node.name.value
                )),
        );
    } else if Family::of(address) != family {
        report(
            problem(format!("Virtual router {name} cannot advertise from {address}"))
                .label(format!("its addresses are {family}"))
                .help(format!("name an {family} address of this node's interface, or leave `source` out")),
        );
    } else if family == Family::V6 && !is_link_local(address) {
        // RFC 9568, section 5.1.2.1
        report(
            problem(format!("{address} is no link-local address"))
                .label("IPv6 advertisements come from a link-local address")
                .help("name a link-local address of this node's interface, or leave `source` out"),
        );
    }
}

/// Returns the addresses as they are advertised: a link-local one is the first of an IPv6 virtual router.
/// [RFC 9568, section 5.2.9](https://www.rfc-editor.org/rfc/rfc9568#section-5.2.9)
fn advertised(
    router: &RouterSection,
    family: Family,
    interface: &InterfaceName,
) -> Vec<At<InterfaceAddress>> {
    let mut addresses = on_interfaces(&router.addresses, interface);
    if family == Family::V4 {
        return addresses;
    }
    if let Some(position) = addresses.iter().position(|held| is_link_local(held.value.address)) {
        addresses[..=position].rotate_right(1);
    } else {
        let address = router.vrid.value.link_local_address().into();
        let own = InterfaceAddress::new(interface.clone(), address, LINK_LOCAL_PREFIX);
        addresses.insert(0, At { value: own, span: router.name.span });
    }
    addresses
}

/// Returns the addresses with those of the virtual router's interface on its own device.
fn on_device(held: Vec<At<InterfaceAddress>>, device: Option<&VirtualDevice>) -> Vec<At<InterfaceAddress>> {
    let Some(device) = device else { return held };
    let moved = |mut held: At<InterfaceAddress>| {
        if held.value.interface == device.parent {
            held.value.interface = device.name.clone();
        }
        held
    };
    held.into_iter().map(moved).collect()
}

fn on_interfaces(entries: &[At<VirtualAddress>], default: &InterfaceName) -> Vec<At<InterfaceAddress>> {
    let on_interface = |entry: &At<VirtualAddress>| {
        let VirtualAddress { address, prefix_length, interface, label, scope } = &entry.value;
        let interface = interface.as_ref().unwrap_or(default).clone();
        // That is what the kernel calls it anyway.
        let label = label.clone().filter(|label| label.as_str() != interface.as_str());
        let (address, prefix_length, scope) = (*address, *prefix_length, *scope);
        At { value: InterfaceAddress { interface, address, prefix_length, label, scope }, span: entry.span }
    };
    entries.iter().map(on_interface).collect()
}

/// Tells whether an address means another machine on each link.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn report_shared_identifiers(routers: &[Resolved<'_>], report: &dyn Fn(Problem)) {
    let mut seen: BTreeMap<_, &Resolved<'_>> = BTreeMap::new();
    for router in routers {
        let VirtualRouterConfig { interface, family, vrid, .. } = &router.config;
        let Some(first) = seen.insert((interface, family, vrid), router) else { continue };
        report(
            Problem::at(
                router.section.vrid.span,
                format!(
                    "The virtual routers {} and {} both have VRID {vrid} for {family} on {interface}",
                    first.section.name.value, router.section.name.value
                ),
            )
            .label("taken already")
            .also(first.section.vrid.span, "taken here")
            .help("give one of them another `virtual_router_id`: on one interface it tells them apart"),
        );
    }
}

fn report_shared_addresses(routers: &[Resolved<'_>], report: &dyn Fn(Problem)) {
    // A link-local address is another one on each interface.
    let scope =
        |address: &InterfaceAddress| is_link_local(address.address).then(|| address.interface.clone());
    let mut seen: BTreeMap<_, (Span, &RouterName)> = BTreeMap::new();
    for (router, held) in routers.iter().flat_map(|router| router.held.iter().map(move |held| (router, held)))
    {
        let name = &router.section.name.value;
        let address = held.value.address;
        let Some((first, holder)) = seen.insert((address, scope(&held.value)), (held.span, name)) else {
            continue;
        };
        let title = if holder == name {
            format!("Virtual router {name} holds {address} twice")
        } else {
            format!("The virtual routers {holder} and {name} both hold {address}")
        };
        report(
            Problem::at(held.span, title)
                .label("held already")
                .also(first, "held here")
                .help("leave one out: an address moves with one virtual router"),
        );
    }
}

/// The device is named after family and identifier, which are the same on two interfaces where they should differ.
fn report_shared_devices(routers: &[Resolved<'_>], report: &dyn Fn(Problem)) {
    let mut seen: BTreeMap<_, &Resolved<'_>> = BTreeMap::new();
    for router in routers {
        let Some(device) = &router.config.device else { continue };
        let Some(first) = seen.insert(&device.name, router) else { continue };
        if first.config.interface == router.config.interface {
            continue;
        }
        report(
            Problem::at(
                router.section.vrid.span,
                format!(
                    "The virtual routers {} and {} would both have the interface {}",
                    first.section.name.value, router.section.name.value, device.name
                ),
            )
            .label("names it")
            .also(first.section.vrid.span, "and so does this")
            .also(router.section.hardware.span, "needs it")
            .help("give one of them another `virtual_router_id`"),
        );
    }
}

/// The kernel keeps one route of a metric to each destination, and no rule twice.
fn report_shared_routing(routers: &[Resolved<'_>], report: &dyn Fn(Problem)) {
    let twice = |span: Span, first: Span, what: String, help: &str| {
        report(Problem::at(span, what).label("this one too").also(first, "the first one").help(help));
    };
    let mut places = BTreeMap::new();
    for route in routers.iter().flat_map(|router| &router.routes) {
        if let Some(first) = places.insert(route.value.place(), route.span) {
            let (table, destination, _) = route.value.place();
            let what =
                format!("Two virtual routes to {destination} in table {} have the same metric", table.get());
            twice(route.span, first, what, "leave one out, or give it another `metric`");
        }
    }
    let mut rules = BTreeMap::new();
    for rule in routers.iter().flat_map(|router| &router.rules) {
        if let Some(first) = rules.insert(&rule.value, rule.span) {
            let what = format!("The virtual rule {} is there twice", rule.value);
            twice(rule.span, first, what, "leave one out: it moves with one virtual router");
        }
    }
}

/// Tells whether a virtual router holds an address on some node.
pub(super) fn holds(router: &RouterSection, address: IpAddr) -> bool {
    let differing = router.overrides.iter().flat_map(|differing| differing.unadvertised.iter().flatten());
    let mut entries = router.addresses.iter().chain(&router.unadvertised).chain(differing);
    entries.any(|entry| entry.value.address == address)
}

fn report_own_addresses(routers: &[Resolved<'_>], node: &NodeSection, report: &dyn Fn(Problem)) {
    for router in routers.iter().filter(|router| router.priority.value != Priority::OWNER) {
        for entry in &router.held {
            let Some(own) = node.addresses.iter().find(|own| own.value == entry.value.address) else {
                continue;
            };
            report(
                Problem::at(
                    entry.span,
                    format!("{} is node {}'s own address, and not only virtual", own.value, node.name.value),
                )
                .label("would be taken from the node when it is not Active")
                .also(own.span, "its own address")
                .help(format!(
                    "choose another virtual address, or say that the node owns it: priority = 255 in [virtual_router.{}.node.{}]",
                    router.section.name.value, node.name.value
                )),
            );
        }
    }
}

/// What the node sends from an address is answered to that address.
fn report_unanswered_sources(routers: &[Resolved<'_>], report: &dyn Fn(Problem)) {
    for (router, route) in
        routers.iter().flat_map(|router| router.routes.iter().map(move |route| (router, route)))
    {
        let closed = routers.iter().find(|other| {
            let mut addresses = other.config.all_addresses();
            other.config.accept == AcceptMode::Off
                && addresses.any(|held| Some(held.address) == route.value.source)
        });
        let (Some(source), Some(closed)) = (route.value.source, closed) else { continue };
        let (name, holder) = (&router.section.name.value, &closed.section.name.value);
        report(
            Problem::at(
                route.span,
                format!("What {name} has this node send from {source} would never be answered"),
            )
            .label("a route with this source")
            .also(closed.section.accept.span, format!("packets to the addresses of {holder} are dropped"))
            .help("leave `source` out of the route, or leave `accept` out"),
        );
    }
}

fn report_owners(routers: &[Resolved<'_>], report: &dyn Fn(Problem)) {
    for router in routers.iter().filter(|router| router.priority.value == Priority::OWNER) {
        let name = &router.section.name.value;
        if router.preemption.value == Preemption::Refused {
            report(
                Problem::at(
                    router.preemption.span,
                    format!("Virtual router {name} preempts at priority 255, whatever `preempt` says"),
                )
                .label("does nothing here")
                .also(router.priority.span, "the owner of the addresses")
                .help("lower the priority to 254 or less, or leave `preempt` out"),
            );
        }
        if router.section.hardware.value == HardwareAddress::Virtual {
            report(
                Problem::at(
                    router.section.hardware.span,
                    format!("Virtual router {name} cannot have a virtual MAC address at priority 255"),
                )
                .label("for addresses that come and go")
                .also(router.priority.span, "its addresses are the interface's own")
                .help("lower the priority to 254 or less, or leave `virtual_mac` out"),
            );
        }
        if let Some(group) = &router.section.sync_group {
            report(
                Problem::at(
                    group.span,
                    format!("Virtual router {name} cannot be in a sync group at priority 255"),
                )
                .label("moves with the others")
                .also(router.priority.span, "the owner of the addresses never yields")
                .help("lower the priority to 254 or less, or leave `sync_group` out"),
            );
        }
    }
}

/// Members that would elect different nodes cannot move together.
fn report_divided_groups(routers: &[Resolved<'_>], report: &dyn Fn(Problem)) {
    let mut first_members: BTreeMap<&GroupName, &Resolved<'_>> = BTreeMap::new();
    for router in routers {
        let Some(group) = &router.section.sync_group else { continue };
        let first = *first_members.entry(&group.value).or_insert(router);
        let (one, other) = (&first.section.name.value, &router.section.name.value);
        if first.priority.value != router.priority.value {
            report(
                Problem::at(
                    router.priority.span,
                    format!(
                        "{one} and {other} move together in sync group {} but differ in priority",
                        group.value
                    ),
                )
                .label(format!("{other} has {}", router.priority.value))
                .also(first.priority.span, format!("{one} has {}", first.priority.value))
                .help("give all members of a sync group the same priority on a node"),
            );
        }
        if first.preemption.value != router.preemption.value {
            report(
                Problem::at(
                    router.preemption.span,
                    format!(
                        "{one} and {other} move together in sync group {} but differ in preemption",
                        group.value
                    ),
                )
                .label(format!("that of {other}"))
                .also(first.preemption.span, format!("that of {one}"))
                .help("give all members of a sync group the same `preempt`"),
            );
        }
    }
}
