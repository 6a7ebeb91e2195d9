//! The destinations of a virtual server into the services that the kernel should have.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::service::{Destination, Persistence, Scheduler, Service, ServiceFlag, ServiceKey};

/// What the services of one virtual server have in common, but for their destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSettings {
    /// How they choose among their destinations.
    pub scheduler: Scheduler,
    /// Behaviours that are off unless asked for.
    pub flags: BTreeSet<ServiceFlag>,
    /// Whether clients stay with their real server.
    pub persistence: Option<Persistence>,
}

/// The services of one virtual server, alike in all but their keys.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Table(BTreeMap<ServiceKey, Arc<Service>>);

impl Table {
    /// Makes the services those of `keys`, with these settings and destinations.
    ///
    /// A service that is so already stays the same [`Arc`], so whoever holds it sees by its pointer that nothing changed.
    pub fn refresh(
        &mut self,
        keys: impl IntoIterator<Item = ServiceKey>,
        settings: &ServiceSettings,
        destinations: &BTreeMap<SocketAddr, Destination>,
    ) {
        let mut known = std::mem::take(&mut self.0);
        self.0 = keys
            .into_iter()
            .map(|key| {
                let service = known
                    .remove(&key)
                    .filter(|service| is_so(service, settings, destinations))
                    .unwrap_or_else(|| Arc::new(make(key, settings, destinations)));
                (key, service)
            })
            .collect();
    }

    /// Returns the services.
    pub fn services(&self) -> &BTreeMap<ServiceKey, Arc<Service>> {
        &self.0
    }
}

fn is_so(
    service: &Service,
    settings: &ServiceSettings,
    destinations: &BTreeMap<SocketAddr, Destination>,
) -> bool {
    let ServiceSettings { scheduler, flags, persistence } = settings;
    (&service.scheduler, &service.flags, &service.persistence) == (scheduler, flags, persistence)
        && service.destinations == *destinations
}

fn make(
    key: ServiceKey,
    settings: &ServiceSettings,
    destinations: &BTreeMap<SocketAddr, Destination>,
) -> Service {
    let ServiceSettings { scheduler, flags, persistence } = settings.clone();
    Service { key, scheduler, flags, persistence, destinations: destinations.clone() }
}

#[cfg(test)]
mod tests;
