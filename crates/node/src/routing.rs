//! Routes and rules that move with a virtual router, in the kernel's terms.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;
use vrrp::Family;

use crate::address::{InterfaceAddress, Scope};
use crate::name::InterfaceName;

/// The metric of an IPv6 route that is given none (`IP6_RT_PRIO_USER`, `linux/ipv6_route.h`); of an IPv4 route it is 0.
const IPV6_METRIC: u32 = 1024;

/// An address and a prefix length that make no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NetworkError {
    /// The prefix is longer than the address.
    #[error("the prefix has 0 to {limit} bits")]
    Length {
        /// How many bits the address has.
        limit: u8,
    },
    /// Bits beyond the prefix are set.
    #[error("bits beyond the prefix are set: the network is {network}")]
    HostBits {
        /// The network that the address is in.
        network: Network,
    },
}

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    prefix_length: u8,
}

impl Network {
    /// Returns the network of this address and prefix.
    ///
    /// # Errors
    /// [`NetworkError`] when bits beyond the prefix are set or there are not as many.
    pub fn new(address: IpAddr, prefix_length: u8) -> Result<Self, NetworkError> {
        let network = Self::around(address, prefix_length)?;
        if network.address == address { Ok(network) } else { Err(NetworkError::HostBits { network }) }
    }

    /// Returns the network of this prefix length that an address is in.
    ///
    /// # Errors
    /// [`NetworkError::Length`] when the address has fewer bits.
    pub fn around(address: IpAddr, prefix_length: u8) -> Result<Self, NetworkError> {
        let limit = bits(address);
        if prefix_length > limit {
            return Err(NetworkError::Length { limit });
        }
        let address = match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(u32::from(limit - prefix_length)).unwrap_or(0);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(u32::from(limit - prefix_length)).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        };
        Ok(Self { address, prefix_length })
    }

    /// Returns the network of all addresses of a family.
    pub const fn all(family: Family) -> Self {
        let address = match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Self { address, prefix_length: 0 }
    }

    /// Returns its first address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns how many bits its addresses share.
    pub const fn prefix_length(&self) -> u8 {
        self.prefix_length
    }

    /// Returns its family.
    pub fn family(&self) -> Family {
        Family::of(self.address)
    }

    /// Tells whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.family() == Family::of(address) && Self::around(address, self.prefix_length) == Ok(*self)
    }
}

fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix_length)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The number of a routing table, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteTable(u32);

impl RouteTable {
    /// The table that is searched without a rule.
    pub const MAIN: Self = Self(254);

    /// Returns the table of this number; there is no table 0.
    pub const fn new(number: u32) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// Returns its number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Where a route leads. Those that other routes need to reach their gateways are the least.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteTarget {
    /// To neighbours on an interface.
    Link(InterfaceName),
    /// Through a router.
    Gateway {
        /// Its address.
        via: IpAddr,
        /// Where it is; the kernel finds out if left out.
        interface: Option<InterfaceName>,
    },
    /// Nowhere, and nobody is told.
    Blackhole,
    /// Nowhere, and the sender is told that there is no way.
    Unreachable,
    /// Nowhere, and the sender is told that it is not allowed.
    Prohibit,
}

/// A route that moves with a virtual router.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtualRoute {
    /// Where it leads.
    pub target: RouteTarget,
    /// Which packets it is for.
    pub destination: Network,
    /// Among routes to the same destination the least one is used.
    pub metric: u32,
    /// The table it stands in.
    pub table: RouteTable,
    /// The address that connections of this node come from when they use it.
    pub source: Option<IpAddr>,
    /// How far its destination is; always [`Scope::Global`] for IPv6.
    pub scope: Scope,
}

impl VirtualRoute {
    /// Returns a route with the kernel's own metric and scope, in the main table.
    pub const fn new(destination: Network, target: RouteTarget) -> Self {
        let (metric, scope) = match (destination.address, &target) {
            (IpAddr::V6(_), _) => (IPV6_METRIC, Scope::Global),
            (IpAddr::V4(_), RouteTarget::Link(_)) => (0, Scope::Link),
            (
                IpAddr::V4(_),
                RouteTarget::Gateway { .. }
                | RouteTarget::Blackhole
                | RouteTarget::Unreachable
                | RouteTarget::Prohibit,
            ) => (0, Scope::Global),
        };
        Self { target, destination, metric, table: RouteTable::MAIN, source: None, scope }
    }

    /// Returns what no two routes of a table can have in common.
    pub const fn place(&self) -> (RouteTable, Network, u32) {
        (self.table, self.destination, self.metric)
    }

    /// Tells whether the kernel accepts the route only while this address is there.
    pub fn needs(&self, held: &InterfaceAddress) -> bool {
        if self.source == Some(held.address) {
            return true;
        }
        match &self.target {
            RouteTarget::Gateway { via, .. } => {
                Network::around(held.address, held.prefix_length).is_ok_and(|subnet| subnet.contains(*via))
            }
            RouteTarget::Link(_)
            | RouteTarget::Blackhole
            | RouteTarget::Unreachable
            | RouteTarget::Prohibit => false,
        }
    }
}

impl fmt::Display for VirtualRoute {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, destination, metric, table, source, scope } = self;
        let plain = Self::new(*destination, target.clone());
        match target {
            RouteTarget::Link(interface) => write!(formatter, "{destination} on {interface}")?,
            RouteTarget::Gateway { via, interface: Some(interface) } => {
                write!(formatter, "{destination} via {via} on {interface}")?;
            }
            RouteTarget::Gateway { via, interface: None } => write!(formatter, "{destination} via {via}")?,
            RouteTarget::Blackhole => write!(formatter, "blackhole {destination}")?,
            RouteTarget::Unreachable => write!(formatter, "unreachable {destination}")?,
            RouteTarget::Prohibit => write!(formatter, "prohibit {destination}")?,
        }
        if let Some(source) = source {
            write!(formatter, " source {source}")?;
        }
        if *metric != plain.metric {
            write!(formatter, " metric {metric}")?;
        }
        if *table != plain.table {
            write!(formatter, " table {}", table.get())?;
        }
        if *scope == plain.scope { Ok(()) } else { write!(formatter, " scope {}", scope.name()) }
    }
}

impl fmt::Debug for VirtualRoute {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What becomes of a packet that a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleAction {
    /// A table says.
    Lookup(RouteTable),
    /// It is dropped, and nobody is told.
    Blackhole,
    /// It is dropped, and the sender is told that there is no way.
    Unreachable,
    /// It is dropped, and the sender is told that it is not allowed.
    Prohibit,
}

/// The mark of the firewall that a packet needs to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleMark {
    /// The mark.
    pub value: u32,
    /// The bits of it that count.
    pub mask: u32,
}

/// A rule that moves with a virtual router.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtualRule {
    /// The rule of the least number that fits is followed first.
    pub priority: u32,
    /// The family of the packets it is for.
    pub family: Family,
    /// Where they come from; anywhere if left out.
    pub from: Option<Network>,
    /// Where they go to; anywhere if left out.
    pub to: Option<Network>,
    /// Where they came in; anywhere, or made on this node, if left out.
    pub input: Option<InterfaceName>,
    /// The interface that their sender is bound to; any or none if left out.
    pub output: Option<InterfaceName>,
    /// The mark they have; any if left out.
    pub mark: Option<RuleMark>,
    /// What becomes of them.
    pub action: RuleAction,
}

impl fmt::Display for VirtualRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { priority, family, from, to, input, output, mark, action } = self;
        write!(formatter, "{priority}: ")?;
        match from {
            Some(network) => write!(formatter, "from {network}")?,
            None => write!(formatter, "from all {family}")?,
        }
        if let Some(network) = to {
            write!(formatter, " to {network}")?;
        }
        if let Some(interface) = input {
            write!(formatter, " iif {interface}")?;
        }
        if let Some(interface) = output {
            write!(formatter, " oif {interface}")?;
        }
        if let Some(RuleMark { value, mask }) = mark {
            write!(formatter, " mark {value:#x}/{mask:#x}")?;
        }
        match action {
            RuleAction::Lookup(table) => write!(formatter, " table {}", table.get()),
            RuleAction::Blackhole => write!(formatter, " blackhole"),
            RuleAction::Unreachable => write!(formatter, " unreachable"),
            RuleAction::Prohibit => write!(formatter, " prohibit"),
        }
    }
}

impl fmt::Debug for VirtualRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Result<Network, NetworkError> {
        let (address, prefix_length) = text.split_once('/').unwrap();
        Network::new(address.parse().unwrap(), prefix_length.parse().unwrap())
    }

    #[test]
    fn a_network_has_no_bits_beyond_its_prefix() {
        assert_eq!(network("0.0.0.0/0"), Ok(Network::all(Family::V4)));
        assert_eq!(network("::/0"), Ok(Network::all(Family::V6)));
        assert_eq!(network("10.77.0.0/33"), Err(NetworkError::Length { limit: 32 }));
        let host = network("10.77.0.50/24").unwrap_err().to_string();
        assert_eq!(host, "bits beyond the prefix are set: the network is 10.77.0.0/24");
        assert!(network("fd77::/64").unwrap().contains("fd77::50".parse().unwrap()));
        assert!(!network("fd77::/64").unwrap().contains("fd78::50".parse().unwrap()));
        assert!(!network("0.0.0.0/0").unwrap().contains("::".parse().unwrap()));
    }

    #[test]
    fn a_route_needs_the_address_it_names_and_the_one_that_reaches_its_gateway() {
        let interface = InterfaceName::new("eth0").unwrap();
        let held = |last, prefix_length| {
            InterfaceAddress::new(interface.clone(), [10, 77, 0, last].into(), prefix_length)
        };
        let gateway = RouteTarget::Gateway { via: [10, 77, 0, 1].into(), interface: None };
        let route = VirtualRoute::new(Network::all(Family::V4), gateway);
        assert!(route.needs(&held(50, 24)) && !route.needs(&held(50, 32)));
        let route = VirtualRoute { source: Some([10, 77, 0, 50].into()), ..route };
        assert!(route.needs(&held(50, 32)) && !route.needs(&held(51, 32)));
    }
}
