//! The difference between what the kernel should hold and what it holds, in the order in which it is safe to apply.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use virtual_server::service::{Destination, Service, ServiceKey};

use crate::config::InterfaceAddress;
use crate::device::VirtualDevice;
use crate::host_state::{Holding, HostState, Wanted};
use crate::routing::{VirtualRoute, VirtualRule};

/// One change to the kernel; within one holding the order of the variants is the order of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Remove a virtual rule.
    LeaveRule(VirtualRule),
    /// Remove a virtual route.
    LeaveRoute(VirtualRoute),
    /// Remove a virtual address.
    LeaveAddress(InterfaceAddress),
    /// Remove an interface with a virtual hardware address.
    LeaveDevice(VirtualDevice),
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
    /// Add an interface with a virtual hardware address.
    TakeDevice(VirtualDevice),
    /// Add a virtual address.
    TakeAddress(InterfaceAddress),
    /// Add a virtual route.
    TakeRoute(VirtualRoute),
    /// Add a virtual rule.
    TakeRule(VirtualRule),
    /// Remove a service and its destinations.
    RemoveService(ServiceKey),
}

impl HostState {
    /// Does to this state what the change does to the kernel.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::LeaveRule(rule) => {
                self.rules.remove(rule);
            }
            Change::LeaveRoute(route) => {
                self.routes.remove(route);
            }
            Change::LeaveAddress(address) => {
                self.addresses.remove(address);
            }
            Change::LeaveDevice(device) => {
                self.devices.remove(device);
            }
            Change::TakeDevice(device) => {
                self.devices.insert(device.clone());
            }
            Change::TakeAddress(address) => {
                self.addresses.insert(address.clone());
            }
            Change::TakeRoute(route) => {
                self.routes.insert(route.clone());
            }
            Change::TakeRule(rule) => {
                self.rules.insert(rule.clone());
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
            Self::LeaveRule(rule) => write!(formatter, "remove rule {rule}"),
            Self::LeaveRoute(route) => write!(formatter, "remove route {route}"),
            Self::LeaveAddress(address) => write!(formatter, "remove address {address}"),
            Self::LeaveDevice(device) => write!(formatter, "remove interface {device}"),
            Self::TakeDevice(device) => write!(formatter, "add interface {device}"),
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
            Self::TakeRoute(route) => write!(formatter, "add route {route}"),
            Self::TakeRule(rule) => write!(formatter, "add rule {rule}"),
            Self::RemoveService(service) => write!(formatter, "remove service {service}"),
        }
    }
}

/// Returns what turns `seen` into `wanted`, in an order of which every beginning is safe.
///
/// Rules, routes, addresses and the interfaces made for them leave before anything else, in this order, and services are dismantled last. In between
/// each holding is worked off whole, its services before its addresses and these before its routes and rules; the one
/// with the least work on its services comes first, so that no holding's addresses wait for the larger table of another.
/// Only a route that needs an address of another holding waits for that.
pub fn plan(wanted: &Wanted, seen: &HostState) -> Vec<Change> {
    let wanted_addresses: BTreeSet<_> =
        wanted.holdings.iter().flat_map(|holding| &holding.addresses).collect();
    let wanted_services: BTreeSet<_> =
        wanted.holdings.iter().flat_map(|holding| &holding.services).map(|service| service.key).collect();

    let is_wanted =
        |device: &&VirtualDevice| wanted.holdings.iter().any(|holding| holding.devices.contains(*device));
    let (standing, closing): (Vec<_>, Vec<_>) = seen.devices.iter().partition(is_wanted);
    // What is on an interface goes with it.
    let is_leaving = |address: &InterfaceAddress| {
        !wanted_addresses.contains(address) || closing.iter().any(|device| device.name == address.interface)
    };
    let leaving: Vec<_> = seen.addresses.iter().filter(|address| is_leaving(address)).collect();
    // The kernel drops a route along with the address that it names, also where that comes back at once.
    let stays = |route: &VirtualRoute| {
        let is_wanted = wanted.holdings.iter().any(|holding| holding.routes.contains(route));
        is_wanted && !leaving.iter().any(|address| route.source == Some(address.address))
    };
    let is_wanted = |rule: &VirtualRule| wanted.holdings.iter().any(|holding| holding.rules.contains(rule));
    let rules = seen.rules.iter().filter(|rule| !is_wanted(rule));
    let routes = seen.routes.iter().rev().filter(|route| !stays(route));
    let mut changes: Vec<_> = rules.cloned().map(Change::LeaveRule).collect();
    changes.extend(routes.cloned().map(Change::LeaveRoute));
    changes.extend(leaving.iter().copied().cloned().map(Change::LeaveAddress));
    changes.extend(closing.iter().copied().cloned().map(Change::LeaveDevice));

    let mut builds: Vec<(Vec<Change>, &Holding)> =
        wanted.holdings.iter().map(|holding| (build(&holding.services, seen), holding)).collect();
    builds.sort_by_key(|(build, _)| build.len());
    let holdings: Vec<_> = builds.iter().map(|(_, holding)| *holding).collect();
    let mut routings = routings(&holdings, |route| seen.routes.contains(route) && stays(route), seen);
    for ((build, holding), routing) in builds.into_iter().zip(&mut routings) {
        changes.extend(build);
        let devices = holding.devices.iter().filter(|device| !standing.contains(device));
        changes.extend(devices.cloned().map(Change::TakeDevice));
        let stands = |address: &InterfaceAddress| seen.addresses.contains(address) && !is_leaving(address);
        let addresses = holding.addresses.iter().filter(|address| !stands(address));
        changes.extend(addresses.cloned().map(Change::TakeAddress));
        changes.append(routing);
    }

    // The kernel keeps what it dismantled for two minutes in a list, the latest first, and searches it for each
    // destination that is added: the reverse of the order of adding lets a rebuild find each at its head.
    let dismantle = seen.services.keys().rev().filter(|key| !wanted_services.contains(key));
    changes.extend(dismantle.copied().map(Change::RemoveService));
    changes
}

/// Returns the routes and rules to take after the addresses of each holding.
fn routings(
    holdings: &[&Holding],
    stands: impl Fn(&VirtualRoute) -> bool,
    seen: &HostState,
) -> Vec<Vec<Change>> {
    let mut turns = vec![(BTreeSet::new(), BTreeSet::new()); holdings.len()];
    for (own, holding) in holdings.iter().enumerate() {
        let mut last = own;
        for route in &holding.routes {
            let has_need = |other: &&Holding| other.addresses.iter().any(|address| route.needs(address));
            let turn = holdings.iter().rposition(has_need).map_or(own, |needed| needed.max(own));
            last = last.max(turn);
            if !stands(route) {
                turns[turn].0.insert(route);
            }
        }
        turns[last].1.extend(holding.rules.difference(&seen.rules));
    }
    let in_order = |(routes, rules): (BTreeSet<&VirtualRoute>, BTreeSet<&VirtualRule>)| {
        let routes = routes.into_iter().cloned().map(Change::TakeRoute);
        routes.chain(rules.into_iter().cloned().map(Change::TakeRule)).collect()
    };
    turns.into_iter().map(in_order).collect()
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
