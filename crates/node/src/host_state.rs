//! What the kernel should hold: a function of configuration, roles and health.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use virtual_server::service::{Service, ServiceKey};

use crate::config::{Follow, InterfaceAddress};
use crate::name::RouterName;
use crate::plan::Change;

/// What the kernel holds for Baton.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HostState {
    /// The virtual addresses.
    pub addresses: BTreeSet<InterfaceAddress>,
    /// The IPVS services.
    pub services: BTreeMap<ServiceKey, Arc<Service>>,
}

/// The addresses of the virtual routers that are Active on this node.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Roles(pub BTreeMap<RouterName, Arc<[InterfaceAddress]>>);

/// The services that this node would hold if every virtual router were Active on it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Tables(pub BTreeMap<ServiceKey, FollowingService>);

/// A service and whom it follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowingService {
    /// Where it lives.
    pub follow: Follow,
    /// What it holds, the real servers that are fit.
    pub service: Arc<Service>,
}

/// What the kernel should hold, grouped by what has to go together.
///
/// The addresses of one holding come after all of its services are complete; one holding waits for no other.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The groups, in no order that matters.
    pub holdings: Vec<Holding>,
}

/// Addresses and the services that gate them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Holding {
    /// What becomes reachable.
    pub addresses: BTreeSet<InterfaceAddress>,
    /// What has to be complete before.
    pub services: Vec<Arc<Service>>,
}
