//! Why a virtual router cannot take part in its election.

use std::collections::BTreeMap;
use std::net::IpAddr;

use thiserror::Error;
use vrrp::{Family, Priority};

use crate::config::{InterfaceAddress, Transport, VirtualRouterConfig};
use crate::link::LinkState;
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

impl Fault {
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

/// Returns the address that a virtual router can advertise from while its interfaces are like this.
///
/// # Errors
/// [`Fault`] with the first reason why it cannot take part.
pub(super) fn usable_source(
    config: &VirtualRouterConfig,
    links: &BTreeMap<InterfaceName, LinkState>,
) -> Result<IpAddr, Fault> {
    let interface = &config.interface;
    let link =
        links.get(interface).ok_or_else(|| Fault::InterfaceMissing { interface: interface.clone() })?;
    if !link.is_up {
        return Err(Fault::InterfaceDown { interface: interface.clone() });
    }
    let source = match &config.transport {
        Transport::Multicast => link
            .source(config.family)
            .ok_or_else(|| Fault::NoSource { interface: interface.clone(), family: config.family })?,
        Transport::Unicast { source, .. } if link.addresses.contains(source) => *source,
        Transport::Unicast { source, .. } => {
            return Err(Fault::SourceMissing { interface: interface.clone(), source_address: *source });
        }
    };
    if config.priority != Priority::OWNER
        && let Some(address) = held_by_somebody_else(config, links).next()
    {
        return Err(Fault::AddressForeign { address: address.clone() });
    }
    Ok(source)
}

/// Returns the virtual addresses that stand on their interface already and are not Baton's.
pub(super) fn held_by_somebody_else<'a>(
    config: &'a VirtualRouterConfig,
    links: &BTreeMap<InterfaceName, LinkState>,
) -> impl Iterator<Item = &'a InterfaceAddress> {
    config.all_addresses().filter(|wanted| {
        links.get(&wanted.interface).is_some_and(|link| link.addresses.contains(&wanted.address))
    })
}
