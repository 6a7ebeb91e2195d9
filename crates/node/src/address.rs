//! A virtual address as the kernel is asked to hold it.

use std::fmt;
use std::net::IpAddr;

use crate::name::{AddressLabel, InterfaceName};

/// An address on an interface.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceAddress {
    /// The interface.
    pub interface: InterfaceName,
    /// The address.
    pub address: IpAddr,
    /// The length of its subnet's prefix in bits, 0 to 32 or 0 to 128.
    pub prefix_length: u8,
    /// What `ip address` and the programs of old call it, where that is not the interface's name; IPv4 alone.
    pub label: Option<AddressLabel>,
    /// How far it is valid; IPv4 alone, an IPv6 address says so itself.
    pub scope: Scope,
}

/// How far an address or a route is valid, `rtm_scope` of `linux/rtnetlink.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Scope {
    /// Everywhere.
    #[default]
    Global,
    /// Within the site.
    Site,
    /// On the link.
    Link,
    /// Within the machine.
    Host,
}

impl InterfaceAddress {
    /// Returns an address with the kernel's own label and scope.
    pub const fn new(interface: InterfaceName, address: IpAddr, prefix_length: u8) -> Self {
        Self { interface, address, prefix_length, label: None, scope: Scope::Global }
    }
}

impl Scope {
    /// Returns the word for it, that of `ip address`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Site => "site",
            Self::Link => "link",
            Self::Host => "host",
        }
    }
}

impl fmt::Display for InterfaceAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{} on {}", self.address, self.prefix_length, self.interface)?;
        if let Some(label) = &self.label {
            write!(formatter, " label {label}")?;
        }
        match self.scope {
            Scope::Global => Ok(()),
            scope @ (Scope::Site | Scope::Link | Scope::Host) => write!(formatter, " scope {}", scope.name()),
        }
    }
}

impl fmt::Debug for InterfaceAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
