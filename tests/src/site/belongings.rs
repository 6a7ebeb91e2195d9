//! What moves with a virtual router besides its addresses.

use std::collections::BTreeSet;

use node::config::InterfaceAddress;
use node::device::VirtualDevice;
use node::name::InterfaceName;
use node::routing::{Network, RouteTable, RouteTarget, RuleAction, VirtualRoute, VirtualRule};
use vrrp::Family;

use super::{
    INTERFACE_NAMES, NodeIndex, ROUTER_LIMIT, RouterIndex, SegmentIndex, Site, SiteRouter, interface_name,
    number, octet, unicast_address, virtual_address, vrid,
};

/// The table that the virtual rules lead to.
const TABLE: RouteTable = RouteTable::new(77).expect("77 is a table's number");

/// The first of the virtual rules' priorities.
const FIRST_RULE: u32 = 1_000;

/// Whose hardware address the addresses of a virtual router have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hardware {
    /// The interface's.
    Interface,
    /// The virtual router's own, on a device that is there while it is Active.
    Virtual,
}

/// Whether routes and rules move with a virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// None do.
    Still,
    /// A route on the interface of its addresses does, one from its first address, and a rule that leads to them.
    Moving,
}

impl Site {
    /// Returns the interface of a virtual router's own hardware address, if it has one.
    pub fn device(&self, router: RouterIndex) -> Option<VirtualDevice> {
        let SiteRouter { segment, family, hardware, .. } = self.routers[router.0];
        match hardware {
            Hardware::Interface => None,
            Hardware::Virtual => Some(VirtualDevice::new(vrid(router), family, interface_name(segment))),
        }
    }

    /// Returns the interface that a virtual router's addresses stand on.
    pub(super) fn standing_on(&self, router: RouterIndex) -> InterfaceName {
        match self.device(router) {
            Some(device) => device.name,
            None => interface_name(self.routers[router.0].segment),
        }
    }

    /// Returns the segment that an interface is on, also that of a virtual router's own.
    ///
    /// # Panics
    /// When it is none of this site.
    pub fn segment_of(&self, interface: &InterfaceName) -> SegmentIndex {
        if let Some(index) = INTERFACE_NAMES.iter().position(|known| *known == interface.as_str()) {
            return SegmentIndex(index);
        }
        let has_it = |router: &RouterIndex| {
            [Family::V4, Family::V6]
                .into_iter()
                .any(|family| VirtualDevice::new(vrid(*router), family, interface.clone()).name == *interface)
        };
        let router = (0..ROUTER_LIMIT).map(RouterIndex).find(has_it);
        self.routers[router.expect("a node speaks of the interfaces of its configuration only").0].segment
    }

    /// Returns the routes that move with a virtual router.
    pub fn routes(&self, node: NodeIndex, router: RouterIndex) -> Vec<VirtualRoute> {
        let SiteRouter { segment, family, routing, .. } = self.routers[router.0];
        match routing {
            Routing::Still => Vec::new(),
            Routing::Moving => {
                let interface = self.standing_on(router);
                let on_link = VirtualRoute::new(behind(router, family, 0), RouteTarget::Link(interface));
                // Nobody has this address; the kernel only asks whether it is on a link.
                let via = unicast_address(NodeIndex(200), segment, family);
                let target = RouteTarget::Gateway { via, interface: None };
                let source = self.virtual_addresses(node, router).first().map(|first| first.address);
                let plain = VirtualRoute::new(behind(router, family, 1), target);
                vec![on_link, VirtualRoute { source, table: TABLE, ..plain }]
            }
        }
    }

    /// Returns the rules that move with a virtual router.
    pub fn rules(&self, router: RouterIndex) -> Vec<VirtualRule> {
        let SiteRouter { segment, family, routing, .. } = self.routers[router.0];
        let from = virtual_address(router, segment, family, 0, self.standing_on(router)).address;
        match routing {
            Routing::Still => Vec::new(),
            Routing::Moving => vec![VirtualRule {
                priority: FIRST_RULE + number(router.0),
                family,
                from: Some(Network::around(from, whole(family)).expect("a whole address is a network")),
                to: None,
                input: None,
                output: None,
                mark: None,
                action: RuleAction::Lookup(TABLE),
            }],
        }
    }
}

/// Tells whether an interface is there: every segment's is, and a virtual router's own while it is among these.
pub fn is_there(interface: &InterfaceName, devices: &BTreeSet<VirtualDevice>) -> bool {
    INTERFACE_NAMES.contains(&interface.as_str()) || devices.iter().any(|device| device.name == *interface)
}

/// Tells whether the kernel keeps a route while it holds these.
pub fn is_kept(
    route: &VirtualRoute,
    addresses: &BTreeSet<InterfaceAddress>,
    devices: &BTreeSet<VirtualDevice>,
) -> bool {
    let has_source =
        route.source.is_none_or(|source| addresses.iter().any(|address| address.address == source));
    let has_interface = match &route.target {
        RouteTarget::Link(interface) => is_there(interface, devices),
        RouteTarget::Gateway { .. }
        | RouteTarget::Blackhole
        | RouteTarget::Unreachable
        | RouteTarget::Prohibit => true,
    };
    has_source && has_interface
}

fn behind(RouterIndex(router): RouterIndex, family: Family, n: u8) -> Network {
    let third = 10 * octet(router) + n;
    let network = match family {
        Family::V4 => Network::new([10, 99, third, 0].into(), 24),
        Family::V6 => {
            Network::new(std::net::Ipv6Addr::new(0xFD99, third.into(), 0, 0, 0, 0, 0, 0).into(), 64)
        }
    };
    network.expect("no bits are beyond these prefixes")
}

fn whole(family: Family) -> u8 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}
