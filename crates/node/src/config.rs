//! What one node is to do, in types that cannot be wrong; read from a file elsewhere.

mod engine;
mod hook;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use virtual_server::health::Check;
use virtual_server::service::{Destination, Persistence, Scheduler, ServiceFlag, ServiceKey};
use vrrp::{
    Authentication, Centiseconds, ChecksumStyle, Family, Preemption, Priority, Restraint, Version, Vrid,
};

pub use self::engine::{AnnouncementRate, EngineConfig, EngineSetting, Memory, RealtimePriority};
pub use self::hook::{HookAction, HookConfig, Occasion, Scheme, UrlError, WebhookUrl};
pub use crate::address::{InterfaceAddress, Scope};
use crate::device::VirtualDevice;
pub use crate::input_drop::AcceptMode;
use crate::input_drop::InputDrop;
use crate::name::{GroupName, HookName, InterfaceName, NodeName, RouterName, ServerName, TrackName};
use crate::routing::{VirtualRoute, VirtualRule};
use crate::track::TrackConfig;

/// One node's view of the configuration file: its own overrides are already in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This node.
    pub node: NodeName,
    /// The other nodes and where they are reached.
    pub peers: BTreeMap<NodeName, BTreeSet<IpAddr>>,
    /// What the thread of the virtual routers asks of the kernel.
    pub engine: EngineConfig,
    /// The virtual routers that this node takes part in.
    pub virtual_routers: BTreeMap<RouterName, Arc<VirtualRouterConfig>>,
    /// The sync groups and their members; each member is one of [`Self::virtual_routers`], in one group at most.
    pub sync_groups: BTreeMap<GroupName, BTreeSet<RouterName>>,
    /// The tracks.
    pub tracks: BTreeMap<TrackName, Arc<TrackConfig>>,
    /// The virtual servers.
    pub virtual_servers: BTreeMap<ServerName, Arc<VirtualServerConfig>>,
    /// What is done when virtual routers and sync groups change their state.
    pub hooks: BTreeMap<HookName, Arc<HookConfig>>,
}

impl Config {
    /// Returns the shortest interval of any virtual router: nothing has to be more punctual than this.
    pub fn shortest_interval(&self) -> Option<Duration> {
        self.virtual_routers.values().map(|router| router.interval.duration()).min()
    }
}

/// One virtual router as this node runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRouterConfig {
    /// Where it advertises and listens.
    pub interface: InterfaceName,
    /// Its number on the segment.
    pub vrid: Vrid,
    /// The version it speaks.
    pub version: Version,
    /// The family of the addresses it advertises.
    pub family: Family,
    /// This node's priority in it.
    pub priority: Priority,
    /// How often its Active advertises.
    pub interval: Centiseconds,
    /// Whether this node takes over from an Active of lower priority.
    pub preemption: Preemption,
    /// For how long it holds back.
    pub restraint: Restraint,
    /// How long after its start this node takes no part.
    pub start_delay: Duration,
    /// How version 3 over IPv4 computes the checksum it sends.
    pub checksum: ChecksumStyle,
    /// Whom it advertises to.
    pub transport: Transport,
    /// How its advertisements prove where they come from.
    pub authentication: Authentication,
    /// The addresses it advertises, all of [`Self::family`], the order kept.
    pub addresses: Vec<InterfaceAddress>,
    /// The addresses that move along without being advertised: on other interfaces or of the other family.
    pub unadvertised: Vec<InterfaceAddress>,
    /// Whether packets to all of these are accepted; always on where this node owns them.
    pub accept: AcceptMode,
    /// The interface that holds the addresses of [`Self::interface`] under the virtual router's own hardware address.
    pub device: Option<VirtualDevice>,
    /// The routes that move along.
    pub routes: Vec<VirtualRoute>,
    /// The rules that move along.
    pub rules: Vec<VirtualRule>,
    /// How its addresses are announced.
    pub announcements: Announcements,
    /// What has to be well besides: each is one of [`Config::tracks`], and those of its sync group are among them.
    pub tracks: BTreeSet<TrackName>,
}

impl VirtualRouterConfig {
    /// Returns every address that moves with this virtual router, advertised or not.
    pub fn all_addresses(&self) -> impl Iterator<Item = &InterfaceAddress> {
        self.addresses.iter().chain(&self.unadvertised)
    }

    /// Returns the packets that this node drops since it does not accept them.
    pub fn drops(&self) -> BTreeSet<InputDrop> {
        match self.accept {
            AcceptMode::On => BTreeSet::new(),
            AcceptMode::Off => self.all_addresses().map(InputDrop::of).collect(),
        }
    }

    /// Returns the interface whose segment an address is on: that of the virtual router where it has a device of its own.
    pub fn segment_of<'a>(&'a self, address: &'a InterfaceAddress) -> &'a InterfaceName {
        match &self.device {
            Some(device) if device.name == address.interface => &device.parent,
            Some(_) | None => &address.interface,
        }
    }

    /// Tells whether both are the same election on the same segment, so that one can take the other's place without
    /// leaving its state.
    pub fn is_same_election(&self, other: &Self) -> bool {
        (&self.interface, self.vrid, self.version, self.family)
            == (&other.interface, other.vrid, other.version, other.family)
            && std::mem::discriminant(&self.transport) == std::mem::discriminant(&other.transport)
    }
}

/// Whom a virtual router advertises to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Everybody on the segment, by the group address.
    Multicast {
        /// This node's own address; the interface's first one of the family if left out.
        source: Option<IpAddr>,
    },
    /// The other nodes one by one; nobody else is listened to.
    Unicast {
        /// This node's own address.
        source: IpAddr,
        /// The other nodes' addresses.
        peers: BTreeSet<IpAddr>,
        /// The lowest TTL or hop limit that is accepted; 255 means that peers are on the same link.
        min_hop_limit: u8,
    },
}

/// How the neighbours are told where a virtual address is now: gratuitous ARP or unsolicited neighbour advertisements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcements {
    /// How many per address at once after it was taken.
    pub burst: u8,
    /// How long after the first burst the second one follows; none when zero.
    pub repeat_after: Duration,
    /// How often an Active announces each address again, one frame each; never when zero.
    pub refresh: Duration,
}

/// One virtual server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualServerConfig {
    /// The kernel services that share this server's pool, and whom each follows.
    pub services: Vec<(ServiceKey, Follow)>,
    /// How the kernel chooses among the real servers.
    pub scheduler: Scheduler,
    /// Behaviours of the services that are off unless asked for.
    pub flags: BTreeSet<ServiceFlag>,
    /// Whether clients stay with their real server.
    pub persistence: Option<Persistence>,
    /// The sum of weights that the fit real servers have to reach for the virtual server to be up.
    pub quorum: u32,
    /// Who serves while the quorum is not reached.
    pub sorry_server: Option<(SocketAddr, Destination)>,
    /// The real servers, by address and port; their weights are those that they have while they are fit.
    pub real_servers: BTreeMap<SocketAddr, Destination>,
    /// How the real servers are checked; never checked and always fit when left out.
    pub check: Option<Arc<Check>>,
}

/// Where a service's table lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Follow {
    /// On every node, all the time.
    Always,
    /// Where one of these virtual routers is Active: one router, or all members of a sync group.
    Routers(BTreeSet<RouterName>),
}
