//! Why a virtual router cannot take part in its election.

use std::net::IpAddr;

use thiserror::Error;
use vrrp::Family;

use crate::config::InterfaceAddress;
use crate::name::{InterfaceName, RouterName, TrackName};

/// Why a virtual router cannot take part in its election.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// Its interface does not exist (yet).
    #[error("interface {interface} does not exist; the virtual router starts when it appears")]
    InterfaceMissing {
        /// The interface.
        interface: InterfaceName,
    },
    /// Its interface is down or has no carrier.
    #[error("interface {interface} is down or has no carrier")]
    InterfaceDown {
        /// The interface.
        interface: InterfaceName,
    },
    /// There is no address to advertise from.
    #[error("interface {interface} has no {family} address to advertise from{}", remedy(*family, interface))]
    NoSource {
        /// The interface.
        interface: InterfaceName,
        /// The family of the virtual router.
        family: Family,
    },
    /// The address to advertise from is not there.
    #[error("interface {interface} does not have this node's address {source_address}")]
    SourceMissing {
        /// The interface.
        interface: InterfaceName,
        /// The address that the configuration gives this node.
        source_address: IpAddr,
    },
    /// A virtual address is already there and is somebody else's.
    #[error("{address} is already there and is not Baton's; remove it: ip address delete {}/{} dev {}", .address.address, .address.prefix_length, .address.interface)]
    AddressForeign {
        /// The address.
        address: InterfaceAddress,
    },
    /// The kernel kept refusing a virtual address.
    #[error("the kernel refuses {address}: {reason}")]
    AddressRefused {
        /// The address.
        address: InterfaceAddress,
        /// The kernel's reason.
        reason: String,
    },
    /// Packets to its addresses would be accepted.
    #[error("packets to its addresses cannot be dropped, as `accept = false` asks: {reason}")]
    NotDropped {
        /// The kernel's reason.
        reason: String,
    },
    /// A track without a weight is down.
    #[error("track {track} is down: {reason}")]
    TrackDown {
        /// The track.
        track: TrackName,
        /// Why it is down.
        reason: String,
    },
    /// Another member of its sync group cannot take part.
    #[error("virtual router {member} of its sync group cannot take part")]
    SyncGroup {
        /// That member.
        member: RouterName,
    },
}

/// Why a virtual router does not take part yet, although nothing is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Wait {
    /// Nothing is known yet of one of its tracks.
    #[error("it waits for the first word of track {track}")]
    Track {
        /// The track.
        track: TrackName,
    },
    /// The node has only just started.
    #[error("it waits for the end of its start delay")]
    StartDelay,
    /// Another member of its sync group waits.
    #[error("it waits with virtual router {member} of its sync group")]
    SyncGroup {
        /// That member.
        member: RouterName,
    },
}

/// Why a virtual router does not take part in its election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Something is wrong.
    Fault(Fault),
    /// It is too early.
    Wait(Wait),
}

/// Whether a virtual router that cannot take part can still say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// It can advertise: an Active hands over.
    Kept,
    /// It cannot.
    Lost,
}

impl Fault {
    /// Tells whether advertisements can still be sent.
    pub const fn voice(&self) -> Voice {
        match self {
            Self::InterfaceMissing { .. }
            | Self::InterfaceDown { .. }
            | Self::NoSource { .. }
            | Self::SourceMissing { .. } => Voice::Lost,
            Self::AddressForeign { .. }
            | Self::AddressRefused { .. }
            | Self::NotDropped { .. }
            | Self::TrackDown { .. }
            | Self::SyncGroup { .. } => Voice::Kept,
        }
    }

    /// Returns the stable word for the reason.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::InterfaceMissing { .. } => "interface_missing",
            Self::InterfaceDown { .. } => "interface_down",
            Self::NoSource { .. } | Self::SourceMissing { .. } => "no_source",
            Self::AddressForeign { .. } => "address_foreign",
            Self::AddressRefused { .. } => "address_refused",
            Self::NotDropped { .. } => "not_dropped",
            Self::TrackDown { .. } => "track_down",
            Self::SyncGroup { .. } => "sync_group",
        }
    }
}

/// Says what may be behind a missing address of a family.
fn remedy(family: Family, interface: &InterfaceName) -> String {
    match family {
        Family::V4 => String::new(),
        Family::V6 => {
            format!(
                "; it needs a link-local one: is IPv6 switched off there (net.ipv6.conf.{interface}.disable_ipv6)?"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_ipv6_address_names_the_setting_that_keeps_it_away() {
        let interface = InterfaceName::new("eth0").unwrap();
        let told = |family| Fault::NoSource { interface: interface.clone(), family }.to_string();
        assert_eq!(told(Family::V4), "interface eth0 has no IPv4 address to advertise from");
        let v6 = told(Family::V6);
        assert!(v6.starts_with("interface eth0 has no IPv6 address to advertise from; "), "{v6}");
        assert!(v6.contains("net.ipv6.conf.eth0.disable_ipv6"), "{v6}");
    }
}
