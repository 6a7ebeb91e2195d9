//! The rules that span the sections of nodes and virtual routers and hold for all nodes alike.

use std::collections::BTreeMap;
use std::time::Duration;

use node::name::NodeName;
use vrrp::{ChecksumStyle, Family, Preemption, Priority, Version};

use super::authentication_section::AuthenticationSection;
use super::document::Document;
use super::problem::{At, Problem, Problems, Span};
use super::router_rules::{family, is_link_local, priority};
use super::router_section::{HEARING_WAIT, RouterSection, TransportKind};
use super::suggestion::closest;

/// The word of `follow` that no virtual router and no sync group can have for a name.
pub(super) const ALWAYS: &str = "always";

/// The most addresses of one advertisement.
/// [RFC 9568, section 5.2.5](https://www.rfc-editor.org/rfc/rfc9568#section-5.2.5)
const COUNT_LIMIT: usize = 255;

/// The largest packet that every Ethernet carries, in octets.
const MTU: usize = 1500;

/// Reports what is wrong between nodes and virtual routers.
pub(super) fn check(document: &Document, problems: &Problems) {
    report_shared_node_addresses(document, problems);
    for (node, _) in &document.engine.overrides {
        report_unknown_node(document, "The engine", node, problems);
    }
    for router in &document.routers {
        report_names(document, router, problems);
        report_families(router, problems);
        report_excess(router, problems);
        report_without_effect(router, problems);
        report_unreachable(document, router, problems);
        report_two_owners(document, router, problems);
    }
}

fn report_shared_node_addresses(document: &Document, problems: &Problems) {
    let mut seen = BTreeMap::new();
    for (node, address) in
        document.nodes.iter().flat_map(|node| node.addresses.iter().map(move |it| (node, it)))
    {
        if let Some((first, span)) = seen.insert(address.value, (node, address.span))
            && first.name.value != node.name.value
        {
            let title =
                format!("The nodes {} and {} both have {}", first.name.value, node.name.value, address.value);
            problems.report(
                Problem::at(address.span, title)
                    .label("taken already")
                    .also(span, "taken here")
                    .help("write the address by which each node is reached"),
            );
        }
    }
}

fn report_names(document: &Document, router: &RouterSection, problems: &Problems) {
    let reserved = |span: Span, what: &str| {
        problems.report(
            Problem::at(span, format!("No {what} can be called \"{ALWAYS}\""))
                .label("means every node, in `follow`")
                .help("choose another name"),
        );
    };
    if router.name.value.as_str() == ALWAYS {
        reserved(router.name.span, "virtual router");
    }
    if let Some(group) = router.sync_group.as_ref().filter(|group| group.value.as_str() == ALWAYS) {
        reserved(group.span, "sync group");
    }
    for differing in &router.overrides {
        let subject = format!("Virtual router {}", router.name.value);
        report_unknown_node(document, &subject, &differing.node, problems);
    }
}

/// Whatever differs on a node differs on one that is there.
fn report_unknown_node(document: &Document, subject: &str, name: &At<NodeName>, problems: &Problems) {
    if document.nodes.is_empty() || document.node(&name.value).is_some() {
        return;
    }
    let nodes = document.nodes.iter().map(|node| node.name.value.as_str());
    let help = match closest(name.value.as_str(), nodes.clone()) {
        Some(close) => format!("did you mean {close}?"),
        None => format!("the nodes are: {}", nodes.collect::<Vec<_>>().join(", ")),
    };
    let title = format!("{subject} differs on node {}, which is not there", name.value);
    problems.report(Problem::at(name.span, title).label("no such node").help(help));
}

fn report_families(router: &RouterSection, problems: &Problems) {
    let Some(first) = router.addresses.first() else { return };
    let expected = Family::of(first.value.address);
    for other in router.addresses.iter().filter(|other| Family::of(other.value.address) != expected) {
        let found = Family::of(other.value.address);
        problems.report(
            Problem::at(other.span, format!("Virtual router {} has addresses of two families", router.name.value))
                .label(format!("this is {found}"))
                .also(first.span, format!("this is {expected}"))
                .help(format!(
                    "move it to a virtual router of its own for {found}, in the same sync group, or to `unadvertised_addresses`"
                )),
        );
    }
    match (router.version.value, expected) {
        (Version::V2, Family::V6) => problems.report(
            Problem::at(router.version.span, "VRRP version 2 knows no IPv6")
                .label("version 2")
                .also(first.span, "an IPv6 address")
                .help("write version = 3"),
        ),
        (Version::V2 | Version::V3, Family::V4) | (Version::V3, Family::V6) => {}
    }
}

/// How many addresses one advertisement of a family carries.
fn address_limit(router: &RouterSection, family: Family) -> usize {
    let (ip_header, address) = match family {
        Family::V4 => (20, 4),
        Family::V6 => (40, 16),
    };
    let trailer = match &router.authentication {
        Some(AuthenticationSection::Hmac(_)) => 28,
        Some(AuthenticationSection::SimpleText(_)) | None => 0,
    };
    // 8 octets of VRRP, and the 8 of version 2's authentication data: room for them is never the limit.
    ((MTU - ip_header - 8 - trailer) / address).min(COUNT_LIMIT)
}

fn report_excess(router: &RouterSection, problems: &Problems) {
    let Some(family) = family(router) else { return };
    let has_link_local = router.addresses.iter().any(|address| is_link_local(address.value.address));
    let added = match family {
        Family::V4 => 0,
        Family::V6 => usize::from(!has_link_local),
    };
    let limit = address_limit(router, family) - added;
    if let Some(excess) = router.addresses.get(limit) {
        let link_local = if added > 0 { " and a link-local one" } else { "" };
        problems.report(
            Problem::at(
                excess.span,
                format!(
                    "Virtual router {} has more addresses than an advertisement carries",
                    router.name.value
                ),
            )
            .label(format!("{limit} {family} addresses{link_local} fit into a packet of {MTU} bytes"))
            .help("move the rest to `unadvertised_addresses`"),
        );
    }
}

/// A key that does nothing would be a false promise.
fn report_without_effect(router: &RouterSection, problems: &Problems) {
    if router.transport.value == TransportKind::Multicast && router.min_hop_limit.value != u8::MAX {
        problems.report(
            Problem::at(router.min_hop_limit.span, "`min_hop_limit` is for unicast alone")
                .label("does nothing here")
                .help("leave it out, or write transport = \"unicast\": multicast never crosses a router"),
        );
    }
    report_idle_restraints(router, problems);
    let Some(family) = family(router) else { return };
    match (router.checksum.value, router.version.value, family) {
        (ChecksumStyle::MessageOnly, Version::V2 | Version::V3, Family::V4 | Family::V6)
        | (ChecksumStyle::PseudoHeader, Version::V3, Family::V4) => {}
        (ChecksumStyle::PseudoHeader, version @ (Version::V2 | Version::V3), family) => problems.report(
            Problem::at(
                router.checksum.span,
                format!("`checksum` leaves no choice in version {} over {family}", version.number()),
            )
            .label("does nothing here")
            .help("leave it out: it is for version 3 over IPv4"),
        ),
    }
}

/// What restrains a node without preemption does nothing on one that preempts, and the other way round.
fn report_idle_restraints(router: &RouterSection, problems: &Problems) {
    let report_wait = |wait: At<Duration>| {
        if wait.value != HEARING_WAIT {
            problems.report(
                Problem::at(wait.span, "`hearing_wait` is for preempt = false alone")
                    .label("does nothing here")
                    .help("leave it out: whoever preempts takes over in any case, by its priority"),
            );
        }
    };
    let report_delay = |delay: At<Duration>, preemption: At<Preemption>| {
        if !delay.value.is_zero() {
            problems.report(
                Problem::at(delay.span, "`preempt_delay` is for preempt = true alone")
                    .label("does nothing here")
                    .also(preemption.span, "it never preempts")
                    .help("leave one of the two out"),
            );
        }
    };
    let on_nodes = router.overrides.iter().map(|differing| differing.preemption.unwrap_or(router.preemption));
    let preemptions: Vec<_> =
        [router.preemption].into_iter().chain(on_nodes).map(|preemption| preemption.value).collect();
    if !preemptions.contains(&Preemption::Refused) {
        report_wait(router.hearing_wait);
    }
    if !preemptions.contains(&Preemption::Allowed) {
        report_delay(router.preempt_delay, router.preemption);
    }
    for differing in &router.overrides {
        let preemption = differing.preemption.unwrap_or(router.preemption);
        match (preemption.value, differing.hearing_wait, differing.preempt_delay) {
            (Preemption::Allowed, Some(wait), _) => report_wait(wait),
            (Preemption::Refused, _, Some(delay)) => report_delay(delay, preemption),
            (Preemption::Allowed, None, _) | (Preemption::Refused, _, None) => {}
        }
    }
}

fn report_unreachable(document: &Document, router: &RouterSection, problems: &Problems) {
    let (TransportKind::Unicast, Some(family)) = (router.transport.value, family(router)) else { return };
    let name = &router.name.value;
    for node in document.nodes.iter().filter(|node| node.address(family).is_none()) {
        problems.report(
            Problem::at(
                node.name.span,
                format!(
                    "Node {} has no {family} address for unicast in virtual router {name}",
                    node.name.value
                ),
            )
            .label(format!("needs an {family} address"))
            .also(router.transport.span, "advertises to the nodes' addresses")
            .help(format!("add the node's {family} address to `addresses` in [node.{}]", node.name.value))
            .missing(),
        );
    }
    if document.nodes.len() == 1 {
        problems.report(
            Problem::at(router.transport.span, format!("Virtual router {name} has nobody to advertise to"))
                .label("advertises to the other nodes")
                .help("add a section [node.NAME] for each other node, or write transport = \"multicast\"")
                .missing(),
        );
    }
}

fn report_two_owners(document: &Document, router: &RouterSection, problems: &Problems) {
    let mut owners = document.nodes.iter().filter_map(|node| {
        let priority = priority(router, node);
        (priority.value == Priority::OWNER).then_some((node, priority.span))
    });
    if let (Some((one, first)), Some((other, second))) = (owners.next(), owners.next()) {
        let problem = Problem::at(
            second,
            format!(
                "The nodes {} and {} both own the addresses of virtual router {}",
                one.name.value, other.name.value, router.name.value
            ),
        )
        .label("priority 255 means owner");
        let problem = if first == second { problem } else { problem.also(first, "and so it does here") };
        problems.report(problem.help("leave 255 to the one node whose own address it is, or use it nowhere"));
    }
}
