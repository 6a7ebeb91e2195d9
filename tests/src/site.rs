//! What is configured where: the nodes of a world and the configuration that each one gets.

mod belongings;
mod hooks;
mod service;
mod tracks;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use node::config::{
    AcceptMode, Announcements, Config, EngineConfig, InterfaceAddress, Transport, VirtualRouterConfig,
};
use node::link::LinkState;
use node::name::{GroupName, InterfaceName, NodeName, RouterName};
use virtual_server::service::Weight;
use vrrp::{
    Authentication, Centiseconds, ChecksumStyle, Family, Hmac, HmacMode, Key, KeyId, KeyRing, MacAddress,
    Measure, Preemption, Priority, Restraint, Version, Vrid,
};

pub use self::belongings::{Hardware, Routing, is_kept, is_there};
use self::service::server_name;
pub use self::service::{ServerIndex, SiteFollow, SiteService, Sorry, real_server_address, sorry_server};
pub(crate) use self::tracks::Seen;
pub use self::tracks::{Sight, SiteTrack, SiteTrackKind, TRACK_LIMIT, TrackIndex, track_name, track_named};

/// The most nodes that a site has; invariants keep arrays of this length.
pub const NODE_LIMIT: usize = 5;

/// The most virtual routers that a site has.
pub const ROUTER_LIMIT: usize = 2;

/// The most segments that a site has: one outside, one inside.
pub const SEGMENT_LIMIT: usize = 2;

const FIRST_VRID: u8 = 51;
const ROUTER_NAMES: [&str; ROUTER_LIMIT] = ["web", "inside"];
const INTERFACE_NAMES: [&str; SEGMENT_LIMIT] = ["eth0", "eth1"];
const BURST: u8 = 5;
const REFRESH: Duration = Duration::from_mins(1);

/// One node, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeIndex(pub usize);

/// One virtual router, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouterIndex(pub usize);

/// One segment, counted from 0; every node has one interface on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentIndex(pub usize);

/// The nodes of a world and what they are configured to do.
#[derive(Clone, Debug)]
pub struct Site {
    /// The nodes, at most [`NODE_LIMIT`].
    pub nodes: Vec<SiteNode>,
    /// The virtual routers, at most [`ROUTER_LIMIT`].
    pub routers: Vec<SiteRouter>,
    /// Whether the virtual routers are a sync group.
    pub grouping: Grouping,
    /// Whether advertisements are signed.
    pub proof: Proof,
    /// What else has to be well on each node, at most [`TRACK_LIMIT`].
    pub tracks: Vec<SiteTrack>,
    /// How long hooks may hold up a hand-over, where nodes have such.
    pub preparation: Option<Duration>,
    /// The virtual server behind the first virtual router.
    pub service: Option<SiteService>,
}

/// What differs from node to node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteNode {
    /// How it stands in each virtual router.
    pub seats: Vec<Seat>,
    /// How many addresses it gives each virtual router; nodes differ in it while addresses are changed one node at a
    /// time.
    pub addresses: u8,
    /// The weight it gives the first real server.
    pub first_weight: Weight,
}

/// How one node stands in one virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Its priority.
    pub priority: Priority,
    /// Its interval.
    pub interval: Centiseconds,
    /// Whether it preempts.
    pub preemption: Preemption,
    /// For how long it holds back.
    pub restraint: Restraint,
    /// How long after its start it takes no part.
    pub start_delay: Duration,
}

/// What the nodes agree on about one virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteRouter {
    /// Where it lives.
    pub segment: SegmentIndex,
    /// The version it speaks.
    pub version: Version,
    /// The family of its addresses.
    pub family: Family,
    /// Whom it advertises to.
    pub cast: Cast,
    /// Where an address stands that moves along without being advertised, if there is one.
    pub gateway: Option<SegmentIndex>,
    /// Whose hardware address its addresses have.
    pub hardware: Hardware,
    /// Whether routes and rules move along.
    pub routing: Routing,
}

/// Whom a virtual router advertises to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// Everybody on the segment.
    Multicast,
    /// The other nodes one by one.
    Unicast,
}

/// Whether advertisements prove where they come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// They do not.
    Spared,
    /// They carry an HMAC trailer, and without one they are refused.
    Given,
}

/// Whether the virtual routers move together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// Each for itself.
    Apart,
    /// As one sync group.
    Together,
}

impl Site {
    /// Returns every node's index.
    pub fn node_indices(&self) -> impl Iterator<Item = NodeIndex> + use<> {
        (0..self.nodes.len()).map(NodeIndex)
    }

    /// Returns every virtual router's index.
    pub fn router_indices(&self) -> impl Iterator<Item = RouterIndex> + use<> {
        (0..self.routers.len()).map(RouterIndex)
    }

    /// Returns how a node stands in a virtual router.
    pub fn seat(&self, node: NodeIndex, router: RouterIndex) -> Seat {
        self.nodes[node.0].seats[router.0]
    }

    /// Returns the longest interval that any node gives a virtual router.
    pub fn longest_interval(&self, router: RouterIndex) -> Centiseconds {
        self.nodes.iter().map(|node| node.seats[router.0].interval).max().expect("a site has nodes")
    }

    /// Returns how long after its first announcement an address is announced again.
    ///
    /// Short, as runs are: whoever was Active for a moment may have announced last until then.
    pub fn repeat_after(&self) -> Duration {
        let longest = self.router_indices().map(|router| self.longest_interval(router)).max();
        longest.expect("a site has virtual routers").duration()
    }

    /// Returns how long a kernel keeps an address that is not renewed.
    ///
    /// Two thirds of it are left at any time: longer than others wait, as the configuration asks.
    pub fn lease(&self) -> Duration {
        self.repeat_after() * 6
    }

    /// Returns the segments on which something stands.
    pub fn segments(&self) -> BTreeSet<SegmentIndex> {
        self.routers.iter().flat_map(|router| [Some(router.segment), router.gateway]).flatten().collect()
    }

    /// Returns every address that moves with a virtual router on a node, advertised or not.
    pub fn moving_addresses(&self, node: NodeIndex, router: RouterIndex) -> Vec<InterfaceAddress> {
        let mut addresses = self.virtual_addresses(node, router);
        addresses.extend(self.gateway(router));
        addresses
    }

    /// Returns the addresses that an Active takes: those of the owner are its own already.
    pub fn taken_addresses(&self, node: NodeIndex, router: RouterIndex) -> Vec<InterfaceAddress> {
        match self.seat(node, router).priority {
            Priority::OWNER => self.gateway(router).into_iter().collect(),
            _ => self.moving_addresses(node, router),
        }
    }

    fn gateway(&self, router: RouterIndex) -> Option<InterfaceAddress> {
        let segment = self.routers[router.0].gateway?;
        let address = Ipv4Addr::new(10, 77 + octet(segment.0), 0, 1 + octet(router.0)).into();
        Some(InterfaceAddress::new(interface_name(segment), address, 24))
    }

    /// Returns the addresses that a node advertises for a virtual router.
    pub fn virtual_addresses(&self, node: NodeIndex, router: RouterIndex) -> Vec<InterfaceAddress> {
        let SiteRouter { segment, family, .. } = self.routers[router.0];
        let address = |n| virtual_address(router, segment, family, n, self.standing_on(router));
        (0..self.nodes[node.0].addresses).map(address).collect()
    }

    /// Returns the configuration of one node.
    pub fn config(&self, node: NodeIndex) -> Arc<Config> {
        let names: BTreeSet<_> = self.router_indices().map(router_name).collect();
        let sync_groups = match self.grouping {
            Grouping::Apart => BTreeMap::new(),
            Grouping::Together => BTreeMap::from([(group_name(), names.clone())]),
        };
        let virtual_servers = self
            .service
            .iter()
            .map(|service| (server_name(), Arc::new(self.virtual_server(node, service, &names))))
            .collect();
        Arc::new(Config {
            node: node_name(node),
            peers: self.peers(node).map(|peer| (node_name(peer), addresses_of(peer))).collect(),
            engine: EngineConfig { address_lease: self.lease(), ..EngineConfig::default() },
            hooks: self.hooks(),
            virtual_routers: self
                .router_indices()
                .map(|router| (router_name(router), Arc::new(self.virtual_router(node, router))))
                .collect(),
            sync_groups,
            tracks: self.track_configs(),
            virtual_servers,
        })
    }

    /// Returns one of a node's interfaces.
    pub fn link(&self, node: NodeIndex, segment: SegmentIndex, carrier: Carrier) -> LinkState {
        let own = [Family::V4, Family::V6].map(|family| unicast_address(node, segment, family));
        let owned = self
            .router_indices()
            .filter(|router| self.routers[router.0].segment == segment)
            .filter(|router| self.seat(node, *router).priority == Priority::OWNER)
            .flat_map(|router| self.virtual_addresses(node, router))
            .map(|address| address.address);
        LinkState {
            index: 2 + number(segment.0),
            is_up: carrier == Carrier::Up,
            mac: Some(MacAddress([2, 0, 0, 0, octet(segment.0), 11 + octet(node.0)])),
            primary_v4: Some(Ipv4Addr::new(10, 77 + octet(segment.0), 0, 11 + octet(node.0))),
            link_local: Some(link_local(node)),
            addresses: own.into_iter().chain([link_local(node).into()]).chain(owned).collect(),
        }
    }

    /// Returns the interface of a virtual router's own hardware address, as a node that holds it sees it.
    pub fn device_link(&self, router: RouterIndex, carrier: Carrier) -> Option<LinkState> {
        let device = self.device(router)?;
        Some(LinkState {
            index: 100 + number(router.0),
            is_up: carrier == Carrier::Up,
            mac: Some(device.mac),
            primary_v4: None,
            link_local: None,
            addresses: BTreeSet::new(),
        })
    }

    fn peers(&self, node: NodeIndex) -> impl Iterator<Item = NodeIndex> + use<> {
        self.node_indices().filter(move |peer| *peer != node)
    }

    fn virtual_router(&self, node: NodeIndex, router: RouterIndex) -> VirtualRouterConfig {
        let SiteRouter { segment, version, family, cast, .. } = self.routers[router.0];
        let Seat { priority, interval, preemption, restraint, start_delay } = self.seat(node, router);
        let transport = match cast {
            Cast::Multicast => Transport::Multicast { source: None },
            Cast::Unicast => Transport::Unicast {
                source: unicast_address(node, segment, family),
                peers: self.peers(node).map(|peer| unicast_address(peer, segment, family)).collect(),
                min_hop_limit: 255,
            },
        };
        VirtualRouterConfig {
            interface: interface_name(segment),
            vrid: vrid(router),
            version,
            family,
            priority,
            interval,
            preemption,
            restraint,
            start_delay,
            checksum: ChecksumStyle::MessageOnly,
            transport,
            authentication: authentication(self.proof),
            addresses: self.virtual_addresses(node, router),
            unadvertised: self.gateway(router).into_iter().collect(),
            accept: accept_mode(router, priority),
            device: self.device(router),
            routes: self.routes(node, router),
            rules: self.rules(router),
            announcements: Announcements {
                burst: BURST,
                repeat_after: self.repeat_after(),
                refresh: REFRESH,
            },
            tracks: self.track_names(),
        }
    }
}

/// Whether an interface has a carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// It has.
    Up,
    /// It has not.
    Down,
}

/// Returns a node's name.
pub fn node_name(node: NodeIndex) -> NodeName {
    NodeName::new(&format!("lb{}", node.0 + 1)).expect("the names of a site are plain")
}

/// Returns a virtual router's name.
pub fn router_name(router: RouterIndex) -> RouterName {
    RouterName::new(ROUTER_NAMES[router.0]).expect("the names of a site are plain")
}

/// Returns which virtual router has this name.
pub fn router_named(name: &RouterName) -> RouterIndex {
    let index = ROUTER_NAMES.iter().position(|known| *known == name.as_str());
    RouterIndex(index.expect("a node speaks of the virtual routers of its configuration only"))
}

/// Returns which virtual router has this identifier, when there is such a one.
pub fn router_of_vrid(vrid: u8) -> Option<RouterIndex> {
    let index = usize::from(vrid.checked_sub(FIRST_VRID)?);
    (index < ROUTER_LIMIT).then_some(RouterIndex(index))
}

/// Every other virtual router does not accept, so that both are found next to each other; an owner always does.
fn accept_mode(RouterIndex(router): RouterIndex, priority: Priority) -> AcceptMode {
    if router % 2 == 0 || priority == Priority::OWNER { AcceptMode::On } else { AcceptMode::Off }
}

/// The same key on every node.
fn authentication(proof: Proof) -> Authentication {
    match proof {
        Proof::Spared => Authentication::None,
        Proof::Given => {
            let id = KeyId::new(1).expect("1 is a key's number");
            let key = Key::read(&[b'k'; 32]).expect("32 bytes are enough");
            let keys = KeyRing::new([(id, key)].into(), id).expect("the key is there");
            let clock_tolerance = Duration::from_secs(5);
            let (mode, measure) = (HmacMode::Enforce, Measure::Growth);
            Authentication::Hmac(Hmac { keys, mode, clock_tolerance, measure })
        }
    }
}

/// Returns the name of every node's interface on a segment.
pub fn interface_name(segment: SegmentIndex) -> InterfaceName {
    InterfaceName::new(INTERFACE_NAMES[segment.0]).expect("the names of a site are plain")
}

/// Returns a node's own address for unicast.
pub fn unicast_address(node: NodeIndex, segment: SegmentIndex, family: Family) -> IpAddr {
    let last = 11 + octet(node.0);
    match family {
        Family::V4 => Ipv4Addr::new(10, 77 + octet(segment.0), 0, last).into(),
        Family::V6 => Ipv6Addr::new(0xFD77, segment_word(segment), 0, 0, 0, 0, 0, last.into()).into(),
    }
}

/// Returns every address of a node.
fn addresses_of(node: NodeIndex) -> BTreeSet<IpAddr> {
    let on =
        |segment| [Family::V4, Family::V6].map(|family| unicast_address(node, SegmentIndex(segment), family));
    (0..SEGMENT_LIMIT).flat_map(on).collect()
}

fn group_name() -> GroupName {
    GroupName::new("edge").expect("the names of a site are plain")
}

fn vrid(router: RouterIndex) -> Vrid {
    Vrid::new(u32::from(FIRST_VRID) + number(router.0)).expect("the identifiers of a site start at 51")
}

/// An IPv6 virtual router's first address is link-local, as the RFC asks.
fn virtual_address(
    router: RouterIndex,
    segment: SegmentIndex,
    family: Family,
    n: u8,
    interface: InterfaceName,
) -> InterfaceAddress {
    let last = 50 + 10 * octet(router.0) + n;
    let (address, prefix_length) = match family {
        Family::V4 => (Ipv4Addr::new(10, 77 + octet(segment.0), 0, last).into(), 24),
        Family::V6 if n == 0 => (vrid(router).link_local_address().into(), 64),
        Family::V6 => (Ipv6Addr::new(0xFD77, segment_word(segment), 0, 0, 0, 0, 0, last.into()).into(), 64),
    };
    InterfaceAddress::new(interface, address, prefix_length)
}

fn link_local(node: NodeIndex) -> Ipv6Addr {
    Ipv6Addr::new(0xFE80, 0, 0, 0, 0, 0, 0, 11 + u16::from(octet(node.0)))
}

fn segment_word(segment: SegmentIndex) -> u16 {
    octet(segment.0).into()
}

fn octet(index: usize) -> u8 {
    u8::try_from(index).expect("a site is small")
}

fn number(index: usize) -> u32 {
    octet(index).into()
}
