//! The difference between what the kernel should hold and what it holds, in the order in which it is safe to apply.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use virtual_server::service::{Destination, Service, ServiceKey};

use crate::config::InterfaceAddress;
use crate::host_state::{Holding, HostState, Wanted};

/// One change to the kernel; within one holding the order of the variants is the order of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Remove a virtual address.
    LeaveAddress(InterfaceAddress),
    /// Add a service without destinations.
    AddService(Arc<Service>),
    /// Change a service's scheduler, flags or persistence.
    EditService(Arc<Service>),
    /// Add a real server to a service.
    AddDestination(ServiceKey, SocketAddr, Destination),
    /// Change a real server's weight or forwarding.
    EditDestination(ServiceKey, SocketAddr, Destination),
    /// Take a real server out of a service.
    RemoveDestination(ServiceKey, SocketAddr),
    /// Add a virtual address.
    TakeAddress(InterfaceAddress),
    /// Remove a service and its destinations.
    RemoveService(ServiceKey),
}

impl HostState {
    /// Does to this state what the change does to the kernel.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::LeaveAddress(address) => {
                self.addresses.remove(address);
            }
            Change::TakeAddress(address) => {
                self.addresses.insert(address.clone());
            }
            Change::AddService(service) => {
                let service = Service { destinations: BTreeMap::new(), ..Service::clone(service) };
                self.services.insert(service.key, Arc::new(service));
            }
            Change::EditService(edited) => self.edit(edited.key, |service| {
                let destinations = std::mem::take(&mut service.destinations);
                *service = Service { destinations, ..Service::clone(edited) };
            }),
            Change::AddDestination(key, address, destination)
            | Change::EditDestination(key, address, destination) => self.edit(*key, |service| {
                service.destinations.insert(*address, *destination);
            }),
            Change::RemoveDestination(key, address) => self.edit(*key, |service| {
                service.destinations.remove(address);
            }),
            Change::RemoveService(key) => {
                self.services.remove(key);
            }
        }
    }

    fn edit(&mut self, key: ServiceKey, edit: impl FnOnce(&mut Service)) {
        if let Some(service) = self.services.get_mut(&key) {
            edit(Arc::make_mut(service));
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeaveAddress(address) => write!(formatter, "remove address {address}"),
            Self::AddService(service) => write!(formatter, "add service {}", service.key),
            Self::EditService(service) => write!(formatter, "edit service {}", service.key),
            Self::AddDestination(service, address, destination) => {
                write!(
                    formatter,
                    "add real server {address} to {service}, weight {}",
                    destination.weight.get()
                )
            }
            Self::EditDestination(service, address, destination) => {
                write!(
                    formatter,
                    "edit real server {address} of {service}, weight {}",
                    destination.weight.get()
                )
            }
            Self::RemoveDestination(service, address) => {
                write!(formatter, "remove real server {address} from {service}")
            }
            Self::TakeAddress(address) => write!(formatter, "add address {address}"),
            Self::RemoveService(service) => write!(formatter, "remove service {service}"),
        }
    }
}

/// Returns what turns `seen` into `wanted`, in an order of which every beginning is safe.
///
/// Addresses leave before anything else and services are dismantled last. In between each holding is worked off whole,
/// its services before its addresses; the one with the least work on its services comes first, so that no holding's
/// addresses wait for the larger table of another.
pub fn plan(wanted: &Wanted, seen: &HostState) -> Vec<Change> {
    let wanted_addresses: BTreeSet<_> =
        wanted.holdings.iter().flat_map(|holding| &holding.addresses).collect();
    let wanted_services: BTreeSet<_> =
        wanted.holdings.iter().flat_map(|holding| &holding.services).map(|service| service.key).collect();

    let leave = seen.addresses.iter().filter(|address| !wanted_addresses.contains(address));
    let mut changes: Vec<_> = leave.cloned().map(Change::LeaveAddress).collect();

    let mut builds: Vec<(Vec<Change>, &Holding)> =
        wanted.holdings.iter().map(|holding| (build(&holding.services, seen), holding)).collect();
    builds.sort_by_key(|(build, _)| build.len());
    for (build, holding) in builds {
        changes.extend(build);
        changes.extend(holding.addresses.difference(&seen.addresses).cloned().map(Change::TakeAddress));
    }

    // The kernel keeps what it dismantled for two minutes in a list, the latest first, and searches it for each
    // destination that is added: the reverse of the order of adding lets a rebuild find each at its head.
    let dismantle = seen.services.keys().rev().filter(|key| !wanted_services.contains(key));
    changes.extend(dismantle.copied().map(Change::RemoveService));
    changes
}

fn build(services: &[Arc<Service>], seen: &HostState) -> Vec<Change> {
    let none = BTreeMap::new();
    let mut changes = Vec::new();
    for service in services {
        match seen.services.get(&service.key) {
            Some(seen) if Arc::ptr_eq(service, seen) => {}
            Some(seen) => {
                if !service.has_settings_of(seen) {
                    changes.push(Change::EditService(Arc::clone(service)));
                }
                fill(service, &seen.destinations, &mut changes);
            }
            None => {
                changes.push(Change::AddService(Arc::clone(service)));
                fill(service, &none, &mut changes);
            }
        }
    }
    changes
}

/// Additions come before removals, so that a service with real servers is at no moment without one.
fn fill(service: &Service, seen: &BTreeMap<SocketAddr, Destination>, changes: &mut Vec<Change>) {
    let key = service.key;
    for (address, destination) in &service.destinations {
        if !seen.contains_key(address) {
            changes.push(Change::AddDestination(key, *address, *destination));
        }
    }
    for (address, destination) in &service.destinations {
        if seen.get(address).is_some_and(|seen| seen != destination) {
            changes.push(Change::EditDestination(key, *address, *destination));
        }
    }
    let gone = seen.keys().filter(|address| !service.destinations.contains_key(address));
    changes.extend(gone.map(|address| Change::RemoveDestination(key, *address)));
}

#[cfg(test)]
mod tests;
