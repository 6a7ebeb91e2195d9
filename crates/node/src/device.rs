//! The interface that a virtual router has for its own hardware address.

use std::fmt;

use vrrp::{Family, MacAddress, Vrid};

use crate::name::InterfaceName;

/// An interface with a virtual router's own hardware address, on top of the one that it advertises on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtualDevice {
    /// Its name.
    pub name: InterfaceName,
    /// The interface that its frames come in and go out through.
    pub parent: InterfaceName,
    /// Its hardware address.
    pub mac: MacAddress,
}

impl VirtualDevice {
    /// Returns the device of this virtual router, called like `vrrp4.51`.
    ///
    /// # Panics
    /// Never: the longest such name has nine bytes.
    pub fn new(vrid: Vrid, family: Family, parent: InterfaceName) -> Self {
        let digit = match family {
            Family::V4 => 4,
            Family::V6 => 6,
        };
        let name =
            InterfaceName::new(&format!("vrrp{digit}.{vrid}")).expect("the name has nine bytes at most");
        Self { name, parent, mac: vrid.virtual_mac(family) }
    }
}

impl fmt::Display for VirtualDevice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} on {} with {}", self.name, self.parent, self.mac)
    }
}

impl fmt::Debug for VirtualDevice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
