//! What the virtual servers are, and the rules that span their keys.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use node::config::{Follow, VirtualServerConfig};
use node::name::{RouterName, ServerName};
use virtual_server::service::{Destination, Forwarding, Persistence, Protocol, ServiceKey, mark_family};
use vrrp::Family;

use super::document::Document;
use super::file_rules::ALWAYS;
use super::problem::{At, Problem, Problems, Span};
use super::router_rules::holds;
use super::router_section::RouterSection;
use super::server_section::{Backend, Listen, ServerSection};
use super::suggestion::closest;

/// Returns the virtual servers, the same on each node, and reports what is wrong with them.
pub(super) fn resolve(
    document: &Document,
    problems: &Problems,
) -> BTreeMap<ServerName, Arc<VirtualServerConfig>> {
    let mut taken: BTreeMap<ServiceKey, (Span, &ServerName)> = BTreeMap::new();
    let mut servers = BTreeMap::new();
    for section in &document.servers {
        let name = &section.name.value;
        let Some(config) = resolve_one(document, section, problems) else { continue };
        for (key, span) in config.services.iter().map(|(key, _)| *key).zip(listen_spans(&section.listen)) {
            let Some((first, holder)) = taken.insert(key, (span, name)) else { continue };
            let title = if holder == name {
                format!("Virtual server {name} takes {key} twice")
            } else {
                format!("The virtual servers {holder} and {name} both take {key}")
            };
            problems.report(
                Problem::at(span, title)
                    .label("taken already")
                    .also(first, "taken here")
                    .help("leave one out: the kernel has one service for each protocol, address and port"),
            );
        }
        servers.insert(name.clone(), Arc::new(config));
    }
    servers
}

fn resolve_one(
    document: &Document,
    section: &ServerSection,
    problems: &Problems,
) -> Option<VirtualServerConfig> {
    report_protocol(section, problems);
    let real_servers = real_servers(section, problems);
    let sorry_server = sorry_server(section, &real_servers, problems);
    report_unchecked_ports(section, &real_servers, problems);
    let services = services(document, section, problems);
    Some(VirtualServerConfig {
        services: services?,
        scheduler: section.scheduler,
        flags: section.flags.clone(),
        persistence: persistence(section, problems),
        quorum: section.quorum,
        sorry_server,
        real_servers: real_servers.into_iter().map(|(address, server)| (address, server.value)).collect(),
        check: section.check.as_ref().map(|check| check.value.clone()),
    })
}

fn listen_spans(listen: &Listen) -> Vec<Span> {
    match listen {
        Listen::Addresses(addresses) => addresses.iter().map(|address| address.span).collect(),
        Listen::Mark(mark) => vec![mark.span],
    }
}

/// The addresses of a service; a service of a firewall mark has none.
fn addresses(section: &ServerSection) -> &[At<SocketAddr>] {
    match &section.listen {
        Listen::Addresses(addresses) => addresses,
        Listen::Mark(_) => &[],
    }
}

fn report_protocol(section: &ServerSection, problems: &Problems) {
    let protocol = section.protocol;
    match &section.listen {
        Listen::Mark(mark) if protocol.value != Protocol::Tcp => problems.report(
            Problem::at(protocol.span, "`protocol` does nothing beside `fwmark`")
                .label("packets are told by their mark alone")
                .also(mark.span, "the mark")
                .help("leave it out, and mark only packets of this protocol"),
        ),
        Listen::Addresses(_) if section.one_packet.value && protocol.value != Protocol::Udp => problems
            .report(
                Problem::at(section.one_packet.span, "One-packet scheduling is for UDP alone")
                    .label(format!("the protocol is {}", protocol.value))
                    .help("leave `one_packet` out, or write protocol = \"udp\""),
            ),
        Listen::Addresses(_) | Listen::Mark(_) => {}
    }
}

fn real_servers(section: &ServerSection, problems: &Problems) -> BTreeMap<SocketAddr, At<Destination>> {
    let mut servers: BTreeMap<SocketAddr, At<Destination>> = BTreeMap::new();
    for backend in &section.real_servers {
        let Some((address, server)) = real_server(section, backend, problems) else { continue };
        let at = At { value: server, span: backend.span };
        if let Some(first) = servers.insert(address, at) {
            let title = format!("Virtual server {} lists {address} twice", section.name.value);
            problems.report(
                Problem::at(backend.span, title)
                    .label("listed already")
                    .also(first.span, "listed here")
                    .help("leave one out; a larger share is written as weight = 2"),
            );
        }
    }
    servers
}

fn sorry_server(
    section: &ServerSection,
    real_servers: &BTreeMap<SocketAddr, At<Destination>>,
    problems: &Problems,
) -> Option<(SocketAddr, Destination)> {
    let backend = section.sorry_server.as_ref()?;
    let (address, sorry) = real_server(section, backend, problems)?;
    if let Some(real) = real_servers.get(&address) {
        problems.report(
            Problem::at(backend.span, format!("The sorry server {address} is a real server too"))
                .label("would be asked to stand in for itself")
                .also(real.span, "the real server")
                .help("choose a server that serves nothing else, or leave `sorry_server` out"),
        );
    }
    Some((address, sorry))
}

/// Returns a real server with its port, and reports what the kernel could not do with it.
fn real_server(
    section: &ServerSection,
    backend: &At<Backend>,
    problems: &Problems,
) -> Option<(SocketAddr, Destination)> {
    let Backend { address, port, weight, forwarding } = backend.value;
    let forwarding = forwarding.unwrap_or(section.forwarding);
    let listening = addresses(section);
    let own_port = match listening {
        [] => Some(0),
        [first, rest @ ..] => {
            rest.iter().all(|other| other.value.port() == first.value.port()).then(|| first.value.port())
        }
    };
    let Some(port) = port.or(own_port) else {
        problems.report(
            Problem::at(backend.span, format!("The real server {address} has no port"))
                .label("which of the virtual server's ports?")
                .help(format!("write \"{}\"", SocketAddr::new(address, 80))),
        );
        return None;
    };
    let address = SocketAddr::new(address, port);
    let server = At { value: address, span: backend.span };
    if let Some(misfit) = listening.iter().find_map(|service| misfit(server, forwarding, service)) {
        problems.report(misfit);
    }
    Some((address, Destination { weight, forwarding }))
}

/// Returns what the forwarding method cannot bridge between a service and a real server.
fn misfit(server: At<SocketAddr>, forwarding: Forwarding, service: &At<SocketAddr>) -> Option<Problem> {
    let At { value: address, span } = server;
    let method = forwarding.name();
    let (own, wanted) = (Family::of(address.ip()), Family::of(service.value.ip()));
    let (port, service_port) = (address.port(), service.value.port());
    match forwarding {
        Forwarding::Nat | Forwarding::Direct if own != wanted => Some(
            Problem::at(span, format!("forward = \"{method}\" cannot carry {wanted} to {own}"))
                .label(format!("an {own} real server"))
                .also(service.span, format!("an {wanted} service"))
                .help(format!(
                    "give the {own} real servers an {own} virtual server of their own, or write forward = \"tunnel\""
                )),
        ),
        Forwarding::Direct | Forwarding::Tunnel if service_port != 0 && port != service_port => Some(
            Problem::at(span, format!("forward = \"{method}\" cannot change the port of a packet"))
                .label(format!("port {port}"))
                .also(service.span, format!("port {service_port}"))
                .help(format!("let the real server listen on port {service_port}, or write forward = \"nat\"")),
        ),
        Forwarding::Nat if service_port != 0 && port == 0 => Some(
            Problem::at(span, format!("The real server {address} has port 0"))
                .label("no server listens there")
                .also(service.span, format!("port {service_port}"))
                .help("write the port that the real server listens on, or leave it out for the virtual server's"),
        ),
        Forwarding::Nat | Forwarding::Direct | Forwarding::Tunnel => None,
    }
}

/// A check connects to the real server's own port.
fn report_unchecked_ports(
    section: &ServerSection,
    real_servers: &BTreeMap<SocketAddr, At<Destination>>,
    problems: &Problems,
) {
    let Some(check) = &section.check else { return };
    for (address, server) in real_servers.iter().filter(|(address, _)| address.port() == 0) {
        let title = format!("The real server {} has no port that could be checked", address.ip());
        problems.report(
            Problem::at(server.span, title)
                .label("no port")
                .also(check.span, "checked by this")
                .help(format!("write the port to connect to: \"{}\"", SocketAddr::new(address.ip(), 80))),
        );
    }
}

fn persistence(section: &ServerSection, problems: &Problems) -> Option<Persistence> {
    for address in addresses(section).iter().filter(|address| address.value.port() == 0) {
        if section.persistence.is_none() {
            problems.report(
                Problem::at(address.span, "A virtual server of every port needs `persistence`")
                    .label("port 0 stands for every port")
                    .help("name a port, or add: persistence = \"300s\"")
                    .missing(),
            );
        }
    }
    let persistence = section.persistence.as_ref()?;
    let mut clients = match &section.listen {
        Listen::Addresses(addresses) => {
            addresses.iter().map(|address| (address.value.ip(), address.span)).collect()
        }
        Listen::Mark(_) => backends(section).collect::<Vec<_>>(),
    }
    .into_iter();
    let (address, first) = clients.next()?;
    let family = Family::of(address);
    if let Some((differing, other)) = clients.find(|(address, _)| Family::of(*address) != family) {
        problems.report(
            Problem::at(persistence.timeout_seconds.span, "Persistence is for one family of clients")
                .label("which family's prefix?")
                .also(first, family.to_string())
                .also(other, Family::of(differing).to_string())
                .help("make it two virtual servers, one for each family"),
        );
        return None;
    }
    let longest = match family {
        Family::V4 => 32,
        Family::V6 => 128,
    };
    let prefix_length = persistence.prefix_length;
    if let Some(prefix) = prefix_length.filter(|prefix| prefix.value > longest) {
        problems.report(
            Problem::at(
                prefix.span,
                format!("`persistence_prefix` has to be between 1 and {longest} for {family}"),
            )
            .label(format!("an {family} address has {longest} bits")),
        );
        return None;
    }
    Some(Persistence {
        timeout_seconds: persistence.timeout_seconds.value,
        prefix_length: prefix_length.map_or(longest, |prefix| prefix.value),
    })
}

fn backends(section: &ServerSection) -> impl Iterator<Item = (IpAddr, Span)> {
    section
        .real_servers
        .iter()
        .chain(&section.sorry_server)
        .map(|backend| (backend.value.address, backend.span))
}

fn services(
    document: &Document,
    section: &ServerSection,
    problems: &Problems,
) -> Option<Vec<(ServiceKey, Follow)>> {
    let named = match &section.follow {
        Some(name) => Some(followed(document, name, problems)?),
        None => None,
    };
    match &section.listen {
        Listen::Addresses(addresses) => {
            let protocol = section.protocol.value;
            let service = |address: &At<SocketAddr>| {
                let follow = named.clone().or_else(|| holder(document, address, problems))?;
                Some((ServiceKey::Address { protocol, address: address.value }, follow))
            };
            // Each address that nobody holds is reported, not only the first.
            let services: Vec<_> = addresses.iter().map(service).collect();
            services.into_iter().collect()
        }
        Listen::Mark(mark) => {
            let Some(follow) = named else {
                problems.report(
                    Problem::at(mark.span, format!("Virtual server {} follows nobody", section.name.value))
                        .label("a firewall mark is held by no virtual router")
                        .help(format!(
                            "add follow = with the name of a virtual router or sync group, or follow = \"{ALWAYS}\""
                        ))
                        .missing(),
                );
                return None;
            };
            let mut reached = backends(section);
            let (first, first_span) = reached.next()?;
            let family = mark_family(first);
            if let Some((other, span)) = reached.find(|(address, _)| mark_family(*address) != family) {
                problems.report(
                    Problem::at(span, "A firewall mark cannot lead to real servers of two families")
                        .label(Family::of(other).to_string())
                        .also(first_span, Family::of(first).to_string())
                        .help("make it two virtual servers, one for each family"),
                );
                return None;
            }
            Some(vec![(ServiceKey::Mark { family, mark: mark.value }, follow)])
        }
    }
}

/// Returns whom `follow = "NAME"` means.
fn followed(document: &Document, name: &At<String>, problems: &Problems) -> Option<Follow> {
    if name.value == ALWAYS {
        return Some(Follow::Always);
    }
    let named = |router: &&RouterSection| router.name.value.as_str() == name.value;
    let router: BTreeSet<RouterName> =
        document.routers.iter().filter(named).map(|router| router.name.value.clone()).collect();
    let in_group = |router: &&RouterSection| {
        router.sync_group.as_ref().is_some_and(|group| group.value.as_str() == name.value)
    };
    let group: BTreeSet<RouterName> =
        document.routers.iter().filter(in_group).map(|router| router.name.value.clone()).collect();
    match (router.is_empty(), group.is_empty()) {
        (false, false) if router != group => {
            problems.report(
                Problem::at(name.span, format!("{:?} is both a virtual router and a sync group", name.value))
                    .label("which of the two?")
                    .help("give the sync group another name"),
            );
            None
        }
        (false, _) => Some(Follow::Routers(router)),
        (true, false) => Some(Follow::Routers(group)),
        (true, true) if document.all_routers => {
            report_unknown(document, name, problems);
            None
        }
        (true, true) => None,
    }
}

fn report_unknown(document: &Document, name: &At<String>, problems: &Problems) {
    let groups = document.routers.iter().filter_map(|router| router.sync_group.as_ref());
    let names: BTreeSet<&str> = document
        .routers
        .iter()
        .map(|router| router.name.value.as_str())
        .chain(groups.map(|group| group.value.as_str()))
        .chain([ALWAYS])
        .collect();
    let problem =
        Problem::at(name.span, format!("There is no virtual router and no sync group {:?}", name.value))
            .label("follows nobody");
    problems.report(match closest(&name.value, names.iter().copied()) {
        Some(close) => problem.help(format!("did you mean {close:?}?")),
        None => problem.help(format!("there are: {}", names.into_iter().collect::<Vec<_>>().join(", "))),
    });
}

/// Returns the virtual router that holds the address of a service.
fn holder(document: &Document, address: &At<SocketAddr>, problems: &Problems) -> Option<Follow> {
    let holders: BTreeSet<RouterName> = document
        .routers
        .iter()
        .filter(|router| holds(router, address.value.ip()))
        .map(|router| router.name.value.clone())
        .collect();
    if !holders.is_empty() {
        return Some(Follow::Routers(holders));
    }
    if document.all_routers {
        problems.report(
            Problem::at(address.span, format!("No virtual router holds {}, so its virtual server follows nobody", address.value.ip()))
                .label("held by no virtual router")
                .help(format!(
                    "add the address to `virtual_addresses` of a virtual router, or add follow = with the name of a virtual router or sync group, or follow = \"{ALWAYS}\""
                )),
        );
    }
    None
}
