//! What a node knows of a network interface.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vrrp::{Family, MacAddress};

use crate::name::InterfaceName;

/// A change of one network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkEvent {
    /// The interface.
    pub interface: InterfaceName,
    /// How it is now; nothing when it is gone.
    pub state: Option<LinkState>,
}

/// A network interface as the kernel describes it, without the addresses that are Baton's own work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// The kernel's number for it; an interface that is deleted and made anew gets another one.
    pub index: u32,
    /// Whether packets can pass: it was set up and has a carrier.
    pub is_up: bool,
    /// The hardware address to announce virtual addresses with; none where neighbours ask for none (`IFF_NOARP`) or
    /// where it is no Ethernet address.
    pub mac: Option<MacAddress>,
    /// The first IPv4 address, which advertisements come from.
    pub primary_v4: Option<Ipv4Addr>,
    /// The first usable link-local IPv6 address, which advertisements come from.
    pub link_local: Option<Ipv6Addr>,
    /// Every address of the interface that Baton did not put there.
    pub addresses: BTreeSet<IpAddr>,
}

impl LinkState {
    /// Tells whether it has an address that reaches further than the link, Baton's left aside.
    pub fn has_global_address(&self) -> bool {
        self.addresses.iter().any(|address| match address {
            IpAddr::V4(address) => !address.is_link_local(),
            IpAddr::V6(address) => !address.is_unicast_link_local(),
        })
    }

    /// Returns the address that multicast advertisements of this family come from.
    pub fn source(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.primary_v4.map(IpAddr::V4),
            Family::V6 => self.link_local.map(IpAddr::V6),
        }
    }
}
