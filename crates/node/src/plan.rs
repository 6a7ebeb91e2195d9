//! The difference between what the kernel should hold and what it holds, in the order in which it is safe to apply.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use virtual_server::service::{Destination, Service, ServiceKey};

use crate::config::InterfaceAddress;
use crate::device::VirtualDevice;
use crate::host_state::{Holding, HostState, Wanted};
use crate::input_drop::InputDrop;
use crate::routing::{VirtualRoute, VirtualRule};

/// One change to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A virtual rule.
    Rule(Step, VirtualRule),
    /// A virtual route.
    Route(Step, VirtualRoute),
    /// Packets that are not accepted.
    Drop(Step, InputDrop),
    /// A virtual address.
    Address(Step, InterfaceAddress),
    /// An interface with a virtual hardware address.
    Device(Step, VirtualDevice),
    /// A virtual server's service in the IPVS table.
    Service(ServiceChange),
}

impl Change {
    /// Returns the virtual address that comes, if this is one.
    pub fn taken_address(&self) -> Option<&InterfaceAddress> {
        match self {
            Self::Address(Step::Take, address) => Some(address),
            Self::Address(Step::Leave, _)
            | Self::Rule(..)
            | Self::Route(..)
            | Self::Drop(..)
            | Self::Device(..)
            | Self::Service(_) => None,
        }
    }
}

/// What becomes of something that is either there or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It comes.
    Take,
    /// It goes.
    Leave,
}

/// One change to the IPVS table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceChange {
    /// Add a service without destinations.
    Add(Arc<Service>),
    /// Change a service's scheduler, flags or persistence.
    Edit(Arc<Service>),
    /// Add a real server to a service.
    AddDestination(ServiceKey, SocketAddr, Destination),
    /// Change a real server's weight or forwarding.
    EditDestination(ServiceKey, SocketAddr, Destination),
    /// Take a real server out of a service.
    RemoveDestination(ServiceKey, SocketAddr),
    /// Remove a service and its destinations.
    Remove(ServiceKey),
}

impl Step {
    fn apply<T: Ord + Clone>(self, held: &mut BTreeSet<T>, item: &T) {
        match self {
            Self::Take => held.insert(item.clone()),
            Self::Leave => held.remove(item),
        };
    }
}

impl ServiceChange {
    /// The service that it is about.
    pub fn key(&self) -> ServiceKey {
        match self {
            Self::Add(service) | Self::Edit(service) => service.key,
            Self::AddDestination(key, ..)
            | Self::EditDestination(key, ..)
            | Self::RemoveDestination(key, _)
            | Self::Remove(key) => *key,
        }
    }
}

impl HostState {
    /// Does to this state what the change does to the kernel.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Rule(step, rule) => step.apply(&mut self.rules, rule),
            Change::Route(step, route) => step.apply(&mut self.routes, route),
            Change::Drop(step, drop) => step.apply(&mut self.drops, drop),
            Change::Address(step, address) => step.apply(&mut self.addresses, address),
            Change::Device(step, device) => step.apply(&mut self.devices, device),
            Change::Service(change) => self.apply_to_table(change),
        }
    }

    /// Does to this state what the change does to the IPVS table.
    pub fn apply_to_table(&mut self, change: &ServiceChange) {
        match change {
            ServiceChange::Add(service) => {
                let service = Service { destinations: BTreeMap::new(), ..Service::clone(service) };
                self.services.insert(service.key, Arc::new(service));
            }
            ServiceChange::Edit(edited) => self.edit(edited.key, |service| {
                let destinations = std::mem::take(&mut service.destinations);
                *service = Service { destinations, ..Service::clone(edited) };
            }),
            ServiceChange::AddDestination(key, address, destination)
            | ServiceChange::EditDestination(key, address, destination) => self.edit(*key, |service| {
                service.destinations.insert(*address, *destination);
            }),
            ServiceChange::RemoveDestination(key, address) => self.edit(*key, |service| {
                service.destinations.remove(address);
            }),
            ServiceChange::Remove(key) => {
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

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Take => "add",
            Self::Leave => "remove",
        })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(step, rule) => write!(formatter, "{step} rule {rule}"),
            Self::Route(step, route) => write!(formatter, "{step} route {route}"),
            Self::Drop(step, drop) => write!(formatter, "{step} drop of packets to {drop}"),
            Self::Address(step, address) => write!(formatter, "{step} address {address}"),
            Self::Device(step, device) => write!(formatter, "{step} interface {device}"),
            Self::Service(change) => change.fmt(formatter),
        }
    }
}

impl fmt::Display for ServiceChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(service) => write!(formatter, "add service {}", service.key),
            Self::Edit(service) => write!(formatter, "edit service {}", service.key),
            Self::AddDestination(service, address, destination) => {
                let weight = destination.weight.get();
                write!(formatter, "add real server {address} to {service}, weight {weight}")
            }
            Self::EditDestination(service, address, destination) => {
                let weight = destination.weight.get();
                write!(formatter, "edit real server {address} of {service}, weight {weight}")
            }
            Self::RemoveDestination(service, address) => {
                write!(formatter, "remove real server {address} from {service}")
            }
            Self::Remove(service) => write!(formatter, "remove service {service}"),
        }
    }
}

/// Returns what turns `seen` into `wanted`, in an order of which every beginning is safe.
///
/// Rules, routes, addresses and the interfaces made for them leave before anything else, in this order, and services are dismantled last. In between
/// each holding is worked off whole, its services before its addresses and these before its routes and rules; the one
/// with the least work on its services comes first, so that no holding's addresses wait for the larger table of another.
/// Only a route that needs an address of another holding waits for that.
///
/// What is dropped comes before all of the holdings and goes after everything else: it is harmless without its address,
/// and few enough to be one transaction of the kernel's.
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
    let mut changes: Vec<_> = rules.cloned().map(|rule| Change::Rule(Step::Leave, rule)).collect();
    changes.extend(routes.cloned().map(|route| Change::Route(Step::Leave, route)));
    changes.extend(leaving.iter().copied().cloned().map(|address| Change::Address(Step::Leave, address)));
    changes.extend(closing.iter().copied().cloned().map(|device| Change::Device(Step::Leave, device)));

    let coming = wanted.drops.difference(&seen.drops);
    changes.extend(coming.cloned().map(|drop| Change::Drop(Step::Take, drop)));

    // Counted first and then put in their place at once: there may be as many as real servers.
    let mut works: Vec<(usize, &Holding)> =
        wanted.holdings.iter().map(|holding| (build(&holding.services, seen).count(), holding)).collect();
    works.sort_by_key(|(work, _)| *work);
    let holdings: Vec<_> = works.iter().map(|(_, holding)| *holding).collect();
    let mut routings = routings(&holdings, |route| seen.routes.contains(route) && stays(route), seen);
    for ((work, holding), routing) in works.into_iter().zip(&mut routings) {
        changes.reserve(work);
        changes.extend(build(&holding.services, seen).map(Change::Service));
        let devices = holding.devices.iter().filter(|device| !standing.contains(device));
        changes.extend(devices.cloned().map(|device| Change::Device(Step::Take, device)));
        let stands = |address: &InterfaceAddress| seen.addresses.contains(address) && !is_leaving(address);
        let addresses = holding.addresses.iter().filter(|address| !stands(address));
        changes.extend(addresses.cloned().map(|address| Change::Address(Step::Take, address)));
        changes.append(routing);
    }

    // The kernel keeps what it dismantled for two minutes in a list, the latest first, and searches it for each
    // destination that is added: the reverse of the order of adding lets a rebuild find each at its head.
    let dismantle = seen.services.keys().rev().filter(|key| !wanted_services.contains(key));
    changes.extend(dismantle.copied().map(|key| Change::Service(ServiceChange::Remove(key))));
    let going = seen.drops.difference(&wanted.drops);
    changes.extend(going.cloned().map(|drop| Change::Drop(Step::Leave, drop)));
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
        let routes = routes.into_iter().cloned().map(|route| Change::Route(Step::Take, route));
        routes.chain(rules.into_iter().cloned().map(|rule| Change::Rule(Step::Take, rule))).collect()
    };
    turns.into_iter().map(in_order).collect()
}

fn build<'a>(
    services: &'a [Arc<Service>],
    seen: &'a HostState,
) -> impl Iterator<Item = ServiceChange> + use<'a> {
    services.iter().flat_map(|service| {
        let seen = seen.services.get(&service.key);
        let has_to_change = seen.is_none_or(|seen| !Arc::ptr_eq(service, seen));
        has_to_change.then(|| complete(service, seen)).into_iter().flatten()
    })
}

/// Additions come before removals, so that a service with real servers is at no moment without one.
fn complete<'a>(
    service: &'a Arc<Service>,
    seen: Option<&'a Arc<Service>>,
) -> impl Iterator<Item = ServiceChange> + use<'a> {
    let key = service.key;
    let settings = match seen {
        Some(seen) if service.has_settings_of(seen) => None,
        Some(_) => Some(ServiceChange::Edit(Arc::clone(service))),
        None => Some(ServiceChange::Add(Arc::clone(service))),
    };
    let known = move |address: &SocketAddr| seen.and_then(|seen| seen.destinations.get(address));
    let additions = service.destinations.iter().filter(move |(address, _)| known(address).is_none());
    let edits = service
        .destinations
        .iter()
        .filter(move |(address, destination)| known(address).is_some_and(|seen| seen != *destination));
    let gone = seen
        .into_iter()
        .flat_map(|seen| seen.destinations.keys())
        .filter(|address| !service.destinations.contains_key(address));
    settings
        .into_iter()
        .chain(additions.map(move |(address, to)| ServiceChange::AddDestination(key, *address, *to)))
        .chain(edits.map(move |(address, to)| ServiceChange::EditDestination(key, *address, *to)))
        .chain(gone.map(move |address| ServiceChange::RemoveDestination(key, *address)))
}

#[cfg(test)]
mod tests;
