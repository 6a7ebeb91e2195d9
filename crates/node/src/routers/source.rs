//! Where a virtual router can advertise from, if its interfaces let it take part.

use std::collections::BTreeMap;
use std::net::IpAddr;

use vrrp::Priority;

use crate::config::{InterfaceAddress, Transport, VirtualRouterConfig};
use crate::fault::Fault;
use crate::link::LinkState;
use crate::name::InterfaceName;

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
        Transport::Multicast { source: None } => link
            .source(config.family)
            .ok_or_else(|| Fault::NoSource { interface: interface.clone(), family: config.family })?,
        Transport::Multicast { source: Some(source) } | Transport::Unicast { source, .. } => {
            if !link.addresses.contains(source) {
                return Err(Fault::SourceMissing { interface: interface.clone(), source_address: *source });
            }
            *source
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
fn held_by_somebody_else<'a>(
    config: &'a VirtualRouterConfig,
    links: &BTreeMap<InterfaceName, LinkState>,
) -> impl Iterator<Item = &'a InterfaceAddress> {
    config.all_addresses().filter(|wanted| {
        let mut interfaces = [&wanted.interface, config.segment_of(wanted)].into_iter();
        interfaces.any(|interface| {
            links.get(interface).is_some_and(|link| link.addresses.contains(&wanted.address))
        })
    })
}
