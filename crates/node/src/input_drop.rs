//! What a virtual router whose `Accept_Mode` is off keeps from this machine: packets to its addresses.
//! [RFC 9568, section 6.1](https://www.rfc-editor.org/rfc/rfc9568#section-6.1)

use std::fmt;
use std::net::IpAddr;

use crate::address::InterfaceAddress;
use crate::name::InterfaceName;

/// Whether an Active accepts packets to the addresses that it does not own, `Accept_Mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AcceptMode {
    /// It does, as the address of a service has to.
    #[default]
    On,
    /// It forwards, and answers for the addresses on the link alone.
    Off,
}

/// Packets to an address that are dropped where the machine would take them for its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputDrop {
    /// The address.
    pub address: IpAddr,
    /// Where the packets come in; everywhere if left out. Set for a link-local address alone, which is another one on
    /// each interface.
    pub interface: Option<InterfaceName>,
}

impl InputDrop {
    /// Returns what keeps this machine from accepting packets to an address that it holds.
    pub fn of(held: &InterfaceAddress) -> Self {
        let is_of_link = match held.address {
            // IPv4 has no scopes here: the kernel takes a packet on whichever interface it comes in.
            IpAddr::V4(_) => false,
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        Self { address: held.address, interface: is_of_link.then(|| held.interface.clone()) }
    }
}

impl fmt::Display for InputDrop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.address)?;
        match &self.interface {
            Some(interface) => write!(formatter, " in through {interface}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_closed_on_every_interface_and_a_link_local_one_on_its_own() {
        let eth0 = InterfaceName::new("eth0").unwrap();
        let drop = |address: &str| {
            InputDrop::of(&InterfaceAddress::new(eth0.clone(), address.parse().unwrap(), 64)).to_string()
        };
        assert_eq!(drop("10.77.0.50"), "10.77.0.50");
        assert_eq!(drop("169.254.0.50"), "169.254.0.50");
        assert_eq!(drop("fd77::50"), "fd77::50");
        assert_eq!(drop("fe80::50"), "fe80::50 in through eth0");
    }
}
