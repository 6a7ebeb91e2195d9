//! Why a virtual router cannot take part in its election.

use std::net::IpAddr;

use thiserror::Error;
use vrrp::Family;

use crate::config::InterfaceAddress;
use crate::name::{InterfaceName, RouterName};

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
    #[error("interface {interface} has no {family} address to advertise from")]
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
    /// Another member of its sync group cannot take part.
    #[error("virtual router {member} of its sync group cannot take part")]
    SyncGroup {
        /// That member.
        member: RouterName,
    },
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
            Self::AddressForeign { .. } | Self::AddressRefused { .. } | Self::SyncGroup { .. } => Voice::Kept,
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
            Self::SyncGroup { .. } => "sync_group",
        }
    }
}
