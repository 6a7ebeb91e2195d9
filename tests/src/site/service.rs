//! The virtual server of a site and what stands behind it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

use node::config::{Follow, VirtualServerConfig};
use node::name::{RouterName, ServerName};
use virtual_server::health::{Check, CheckKind};
use virtual_server::service::{Destination, Forwarding, Protocol, Scheduler, ServiceKey, Weight};
use vrrp::Family;

use super::{Grouping, NodeIndex, RouterIndex, Site, octet, router_name};

const SERVICE_PORT: u16 = 80;

/// One real server, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerIndex(pub usize);

/// A virtual server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteService {
    /// Where its table lives.
    pub follow: SiteFollow,
    /// How many real servers it has.
    pub real_servers: usize,
    /// The weight that has to be fit.
    pub quorum: u32,
    /// Whether there is a sorry server.
    pub sorry: Sorry,
    /// How often a real server is asked.
    pub check_interval: Duration,
    /// How many good answers in a row bring it in.
    pub rise: NonZeroU8,
    /// How many bad answers in a row take it out.
    pub fall: NonZeroU8,
}

/// Where the table of a virtual server lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteFollow {
    /// Where one of the virtual routers is Active.
    Routers,
    /// Everywhere.
    Always,
}

/// Whether a virtual server has a sorry server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sorry {
    /// It has one.
    Present,
    /// It has none.
    Missing,
}

impl Site {
    pub(super) fn virtual_server(
        &self,
        node: NodeIndex,
        service: &SiteService,
        routers: &BTreeSet<RouterName>,
    ) -> VirtualServerConfig {
        let first = RouterIndex(0);
        let address =
            self.virtual_addresses(node, first).first().expect("a virtual router has addresses").address;
        let family = self.routers[first.0].family;
        let follow = match (service.follow, self.grouping) {
            (SiteFollow::Always, _) => Follow::Always,
            (SiteFollow::Routers, Grouping::Together) => Follow::Routers(routers.clone()),
            (SiteFollow::Routers, Grouping::Apart) => Follow::Routers(BTreeSet::from([router_name(first)])),
        };
        let real_server = |index| {
            let server = ServerIndex(index);
            let address = real_server_address(server, family);
            let weight = if index == 0 { self.nodes[node.0].first_weight } else { Weight::DEFAULT };
            (address, Destination { weight, forwarding: Forwarding::Nat })
        };
        VirtualServerConfig {
            services: vec![(service_key(SocketAddr::new(address, SERVICE_PORT)), follow)],
            scheduler: Scheduler::Wlc,
            flags: BTreeSet::new(),
            persistence: None,
            quorum: service.quorum,
            sorry_server: match service.sorry {
                Sorry::Present => Some(sorry_server(family)),
                Sorry::Missing => None,
            },
            real_servers: (0..service.real_servers).map(real_server).collect(),
            check: Some(Arc::new(Check {
                kind: CheckKind::Tcp,
                interval: service.check_interval,
                timeout: service.check_interval / 2,
                rise: service.rise,
                fall: service.fall,
            })),
        }
    }
}

/// Returns where a real server serves.
pub fn real_server_address(server: ServerIndex, family: Family) -> SocketAddr {
    let last = 21 + octet(server.0);
    let address = match family {
        Family::V4 => IpAddr::from([10, 200, 0, last]),
        Family::V6 => Ipv6Addr::new(0xFD88, 0, 0, 0, 0, 0, 0, last.into()).into(),
    };
    SocketAddr::new(address, SERVICE_PORT)
}

/// Returns the sorry server.
pub fn sorry_server(family: Family) -> (SocketAddr, Destination) {
    let address = real_server_address(ServerIndex(78), family);
    (address, Destination { weight: Weight::DEFAULT, forwarding: Forwarding::Nat })
}

fn service_key(address: SocketAddr) -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, address }
}

pub(super) fn server_name() -> ServerName {
    ServerName::new("web").expect("the names of a site are plain")
}
