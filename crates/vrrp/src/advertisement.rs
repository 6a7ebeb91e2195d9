//! What an Active says, and its bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::identity::{Family, Priority, Version, Vrid};
use crate::timing::Centiseconds;

/// VRRP's IP protocol number.
pub const PROTOCOL: u8 = 112;
/// Where IPv4 advertisements go.
pub const MULTICAST_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// Where IPv6 advertisements go.
pub const MULTICAST_V6: Ipv6Addr = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 0x12);

/// Returns the group that a family's advertisements go to.
pub const fn multicast_group(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(MULTICAST_V4),
        Family::V6 => IpAddr::V6(MULTICAST_V6),
    }
}

/// How the checksum of version 3 over IPv4 is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumStyle {
    /// Over the message alone, RFC 9568.
    MessageOnly,
    /// Over a pseudo-header and the message, as RFC 5798 was widely read.
    PseudoHeader,
}

/// What an Active says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// The version.
    pub version: Version,
    /// Whose it is.
    pub vrid: Vrid,
    /// The sender's priority.
    pub priority: Priority,
    /// The sender's interval.
    pub interval: Centiseconds,
    /// The virtual addresses.
    pub addresses: Vec<IpAddr>,
}

/// What was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// What was said.
    pub advertisement: Advertisement,
    /// How.
    pub checksum: ChecksumStyle,
}

/// Why bytes are no advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Too short.
    #[error("too short")]
    TooShort,
}
