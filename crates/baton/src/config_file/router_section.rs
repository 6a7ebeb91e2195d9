//! `[virtual_router.NAME]`: a virtual router as the file describes it for all nodes.

use std::net::IpAddr;
use std::time::Duration;

use node::config::{AcceptMode, Announcements};
use node::name::{GroupName, InterfaceName, NameError, NodeName, RouterName, TrackName};
use vrrp::{Centiseconds, ChecksumStyle, Preemption, Priority, Version, Vrid};

use super::authentication_section::AuthenticationSection;
use super::field::Field;
use super::node_section::priority;
use super::problem::At;
use super::routing_section::{RouteEntry, RuleEntry, route, rule};
use super::section::Section;
use super::virtual_address::{VirtualAddress, virtual_address};

/// Every key of a virtual router.
pub(super) const KEYS: &[&str] = &[
    "accept",
    "advert_interval",
    "announcements",
    "authentication",
    "checksum",
    "hearing_wait",
    "interface",
    "min_hop_limit",
    "node",
    "preempt",
    "preempt_delay",
    "priority",
    "start_delay",
    "sync_group",
    "track",
    "transport",
    "unadvertised_addresses",
    "version",
    "virtual_addresses",
    "virtual_mac",
    "virtual_router_id",
    "virtual_routes",
    "virtual_rules",
];

/// Every key of `[virtual_router.NAME.announcements]`.
pub(super) const ANNOUNCEMENT_KEYS: &[&str] = &["burst", "refresh", "repeat_after"];

/// Every key of `[virtual_router.NAME.node.NODE]`: what may differ on a node.
pub(super) const NODE_KEYS: &[&str] = &[
    "hearing_wait",
    "interface",
    "preempt",
    "preempt_delay",
    "priority",
    "source",
    "start_delay",
    "unadvertised_addresses",
    "virtual_routes",
    "virtual_rules",
];

/// How a virtual router's addresses are announced unless the file says otherwise.
const ANNOUNCEMENTS: Announcements =
    Announcements { burst: 5, repeat_after: Duration::from_secs(5), refresh: Duration::ZERO };

/// The longest times between announcements, a day: beyond it a mistake is more likely than a wish.
const ANNOUNCEMENT_TIME_LIMIT: Duration = Duration::from_hours(24);

/// The default of `hearing_wait`: a switch's port that runs the spanning tree of old (IEEE 802.1D) forwards 30 seconds
/// after its link has come up.
pub(super) const HEARING_WAIT: Duration = Duration::from_secs(30);

/// The longest delay, an hour: who wants to wait longer wants a person to decide.
const DELAY_LIMIT: Duration = Duration::from_hours(1);

/// The most announcements of one address in a burst; neighbours that missed so many are not reachable at all.
const BURST_LIMIT: u32 = 100;

/// Whom a virtual router advertises to, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransportKind {
    /// Everybody on the segment.
    Multicast,
    /// The other nodes one by one.
    Unicast,
}

/// Which hardware address the virtual addresses have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HardwareAddress {
    /// The interface's.
    Interface,
    /// The virtual router's own.
    Virtual,
}

/// What differs on one node.
#[derive(Debug)]
pub(super) struct NodeOverride {
    /// The node.
    pub(super) node: At<NodeName>,
    /// Its interface.
    pub(super) interface: Option<At<InterfaceName>>,
    /// Its priority.
    pub(super) priority: Option<At<Priority>>,
    /// Whether it takes over from an Active of lower priority.
    pub(super) preemption: Option<At<Preemption>>,
    /// How long it waits before it claims where it has come up and hears nobody, without preemption.
    pub(super) hearing_wait: Option<At<Duration>>,
    /// How long it hears an Active of lower priority before it preempts it.
    pub(super) preempt_delay: Option<At<Duration>>,
    /// How long after its start it takes no part.
    pub(super) start_delay: Option<At<Duration>>,
    /// Its address that multicast advertisements come from.
    pub(super) source: Option<At<IpAddr>>,
    /// The addresses that move along on it, instead of those of the other nodes.
    pub(super) unadvertised: Option<Vec<At<VirtualAddress>>>,
    /// The routes that move along on it, instead of those of the other nodes.
    pub(super) routes: Option<Vec<At<RouteEntry>>>,
    /// The rules that move along on it, instead of those of the other nodes.
    pub(super) rules: Option<Vec<At<RuleEntry>>>,
}

/// A virtual router as the file describes it for all nodes.
#[derive(Debug)]
pub(super) struct RouterSection {
    /// Its name.
    pub(super) name: At<RouterName>,
    /// Where it advertises; a node may say otherwise.
    pub(super) interface: Option<At<InterfaceName>>,
    /// Its number on the segment.
    pub(super) vrid: At<Vrid>,
    /// The version it speaks.
    pub(super) version: At<Version>,
    /// How often its Active advertises.
    pub(super) interval: Centiseconds,
    /// Whom it advertises to.
    pub(super) transport: At<TransportKind>,
    /// The lowest TTL or hop limit that is accepted.
    pub(super) min_hop_limit: At<u8>,
    /// How its advertisements prove where they come from, if they do.
    pub(super) authentication: Option<AuthenticationSection>,
    /// Whether a Backup takes over from an Active of lower priority.
    pub(super) preemption: At<Preemption>,
    /// How long one that has come up and hears nobody waits before it claims, without preemption.
    pub(super) hearing_wait: At<Duration>,
    /// How long it hears an Active of lower priority before it preempts it.
    pub(super) preempt_delay: At<Duration>,
    /// How long after its start a node takes no part.
    pub(super) start_delay: Duration,
    /// The priority on all nodes, instead of the nodes' own.
    pub(super) priority: Option<At<Priority>>,
    /// How its checksum is computed.
    pub(super) checksum: At<ChecksumStyle>,
    /// What it advertises; not empty.
    pub(super) addresses: Vec<At<VirtualAddress>>,
    /// What moves along.
    pub(super) unadvertised: Vec<At<VirtualAddress>>,
    /// Whether packets to addresses that are not a node's own are accepted.
    pub(super) accept: At<AcceptMode>,
    /// Whether its addresses have its own hardware address.
    pub(super) hardware: At<HardwareAddress>,
    /// The routes that move along.
    pub(super) routes: Vec<At<RouteEntry>>,
    /// The rules that move along.
    pub(super) rules: Vec<At<RuleEntry>>,
    /// What it moves together with.
    pub(super) sync_group: Option<At<GroupName>>,
    /// What has to be well besides.
    pub(super) tracks: Vec<At<TrackName>>,
    /// How its addresses are announced.
    pub(super) announcements: Announcements,
    /// What differs on a node.
    pub(super) overrides: Vec<NodeOverride>,
}

impl RouterSection {
    /// Reads the table of the virtual router of this name.
    pub(super) fn read(name: At<&str>, field: Field<'_>) -> Option<Self> {
        let section = Section::open(format!("virtual router {}", name.value), name.span, field, KEYS)?;
        let name = section.name(name, RouterName::new);
        let interface = own_interface(&section);
        let vrid = section.required("virtual_router_id", "virtual_router_id = 51", |field| {
            Some(Vrid::new(field.integer(1..=255)?).expect("1 to 255 are identifiers"))
        });
        let version = section.optional("version", version);
        let version = section.or(version, Version::V3);
        let interval = section.optional("advert_interval", |field| interval(&field, version.value));
        let transport = section.optional("transport", |field| {
            field.word(&[("multicast", TransportKind::Multicast), ("unicast", TransportKind::Unicast)])
        });
        let min_hop_limit = section.optional("min_hop_limit", |field| field.integer(1..=255));
        let preemption = section.optional("preempt", preemption);
        let hearing_wait = section.optional("hearing_wait", delay);
        let preempt_delay = section.optional("preempt_delay", delay);
        let start_delay = section.optional("start_delay", delay);
        let checksum = section.optional("checksum", |field| {
            field.word(&[
                ("rfc9568", ChecksumStyle::MessageOnly),
                ("pseudo-header", ChecksumStyle::PseudoHeader),
            ])
        });
        let addresses =
            section.required("virtual_addresses", "virtual_addresses = [\"10.77.0.50/24\"]", |field| {
                let addresses = field.list()?;
                if addresses.is_empty() {
                    field.report(
                        field
                            .problem(format!("No virtual address in {}", section.title()))
                            .label("nothing would move")
                            .help("name at least one address: virtual_addresses = [\"10.77.0.50/24\"]"),
                    );
                }
                Some(
                    addresses
                        .into_iter()
                        .filter_map(|field| Some(field.at(virtual_address(field)?)))
                        .collect::<Vec<_>>(),
                )
            });
        let announcements = section
            .field("announcements")
            .map_or(Some(ANNOUNCEMENTS), |field| announcements(section.title(), field));
        let authentication = section.field("authentication");
        let authentication = match authentication {
            Some(field) => AuthenticationSection::read(section.title(), field).map(Some),
            None => Some(None),
        };
        let overrides = section.named("node", |node, field| NodeOverride::read(section.title(), node, field));
        let overrides = overrides.into_iter().collect::<Option<Vec<_>>>();
        let priority = section.optional("priority", |field| priority(&field));
        let unadvertised = section.list("unadvertised_addresses", virtual_address);
        let hardware = section.optional("virtual_mac", |field| {
            Some(if field.boolean()? { HardwareAddress::Virtual } else { HardwareAddress::Interface })
        });
        let accept = section.optional("accept", |field| {
            Some(if field.boolean()? { AcceptMode::On } else { AcceptMode::Off })
        });
        let sync_group = section.optional("sync_group", |field| field.name(GroupName::new));
        Some(Self {
            name: name?,
            interface: interface.ok()?,
            vrid: vrid?,
            version,
            interval: section.or(interval, Centiseconds::DEFAULT).value,
            transport: section.or(transport, TransportKind::Multicast),
            min_hop_limit: section.or(min_hop_limit, u8::MAX),
            authentication: authentication?,
            preemption: section.or(preemption, Preemption::Allowed),
            hearing_wait: section.or(hearing_wait, HEARING_WAIT),
            preempt_delay: section.or(preempt_delay, Duration::ZERO),
            start_delay: section.or(start_delay, Duration::ZERO).value,
            priority,
            checksum: section.or(checksum, ChecksumStyle::MessageOnly),
            addresses: addresses?.value,
            unadvertised,
            accept: section.or(accept, AcceptMode::On),
            hardware: section.or(hardware, HardwareAddress::Interface),
            routes: section.list("virtual_routes", route),
            rules: section.list("virtual_rules", rule),
            sync_group,
            tracks: section.list("track", |field| field.name(TrackName::new)),
            announcements: announcements?,
            overrides: overrides?,
        })
    }

    /// Returns what differs on a node.
    pub(super) fn on(&self, node: &NodeName) -> Option<&NodeOverride> {
        self.overrides.iter().find(|differing| differing.node.value == *node)
    }
}

impl NodeOverride {
    fn read(router: &str, node: At<&str>, field: Field<'_>) -> Option<Self> {
        let title = format!("{router} on node {}", node.value);
        let section = Section::open(title, node.span, field, NODE_KEYS)?;
        Some(Self {
            node: section.name(node, NodeName::new)?,
            priority: section.optional("priority", |field| priority(&field)),
            preemption: section.optional("preempt", preemption),
            hearing_wait: section.optional("hearing_wait", delay),
            preempt_delay: section.optional("preempt_delay", delay),
            start_delay: section.optional("start_delay", delay),
            source: section.optional("source", |field| field.address()),
            unadvertised: section
                .field("unadvertised_addresses")
                .map(|_| section.list("unadvertised_addresses", virtual_address)),
            routes: section.field("virtual_routes").map(|_| section.list("virtual_routes", route)),
            rules: section.field("virtual_rules").map(|_| section.list("virtual_rules", rule)),
            interface: own_interface(&section).ok()?,
        })
    }
}

/// What could not be read has been reported.
struct Reported;

/// Reads the interface that a table names, if it does; one that cannot be is not missing besides.
fn own_interface(section: &Section<'_>) -> Result<Option<At<InterfaceName>>, Reported> {
    let read = |field: Field<'_>| interface(field).map(|name| field.at(name)).ok_or(Reported);
    section.field("interface").map(read).transpose()
}

/// Reads the name of an interface.
pub(super) fn interface(field: Field<'_>) -> Option<InterfaceName> {
    let text = field.text()?;
    InterfaceName::new(text)
        .map_err(|error| {
            let reason = match error {
                NameError::Length { length, limit } => {
                    format!("it has {length} bytes, the kernel takes 1 to {limit}")
                }
                NameError::Character { character } => format!("the kernel allows no {character:?} in it"),
            };
            field.report(field.problem(format!("{text:?} cannot name an interface")).label(reason));
        })
        .ok()
}

fn preemption(field: Field<'_>) -> Option<Preemption> {
    Some(if field.boolean()? { Preemption::Allowed } else { Preemption::Refused })
}

fn delay(field: Field<'_>) -> Option<Duration> {
    field.duration(Duration::ZERO..=DELAY_LIMIT)
}

fn version(field: Field<'_>) -> Option<Version> {
    let number: u8 = field.integer(2..=3)?;
    [Version::V2, Version::V3].into_iter().find(|version| version.number() == number)
}

fn interval(field: &Field<'_>, version: Version) -> Option<Centiseconds> {
    let (least, longest) = match version {
        Version::V2 => (Duration::from_secs(1), Centiseconds::MAX_V2),
        Version::V3 => (Duration::from_millis(10), Centiseconds::MAX_V3),
    };
    let time = field.duration(least..=longest.duration())?;
    let milliseconds = time.as_millis();
    let (unit, what) = match version {
        Version::V2 => (1_000, "whole seconds"),
        Version::V3 => (10, "whole centiseconds"),
    };
    if !milliseconds.is_multiple_of(unit) {
        let below = Duration::from_millis(u64::try_from(milliseconds - milliseconds % unit).ok()?);
        field.report(
            field
                .problem(format!("VRRP version {} carries intervals in {what}", version.number()))
                .label("cannot be said in an advertisement")
                .help(format!("for example: advert_interval = \"{below:?}\"")),
        );
        return None;
    }
    u16::try_from(milliseconds / 10).ok().map(Centiseconds::new)
}

fn announcements(router: &str, field: Field<'_>) -> Option<Announcements> {
    let section =
        Section::open(format!("the announcements of {router}"), field.span(), field, ANNOUNCEMENT_KEYS)?;
    let time = |field: Field<'_>| field.duration(Duration::ZERO..=ANNOUNCEMENT_TIME_LIMIT);
    let burst = section.optional("burst", |field| field.integer(1..=BURST_LIMIT));
    let repeat_after = section.optional("repeat_after", time);
    let refresh = section.optional("refresh", time);
    Some(Announcements {
        burst: section.or(burst, ANNOUNCEMENTS.burst).value,
        repeat_after: section.or(repeat_after, ANNOUNCEMENTS.repeat_after).value,
        refresh: section.or(refresh, ANNOUNCEMENTS.refresh).value,
    })
}
