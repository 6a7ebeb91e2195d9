//! The nodes of a file, and what they agree on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use node::config::{Config, InterfaceAddress, VirtualRouterConfig};
use node::name::{NodeName, RouterName};
use vrrp::Preemption;

/// The nodes that run Baton and the ones that do not.
#[derive(Clone, Debug)]
pub struct Nodes {
    /// What each node that runs Baton is to do; one at least.
    configs: BTreeMap<NodeName, Config>,
}

impl Nodes {
    /// Puts the configurations of one file together.
    pub fn new(configs: impl IntoIterator<Item = Config>) -> Self {
        Self { configs: configs.into_iter().map(|config| (config.node.clone(), config)).collect() }
    }

    /// Returns what each node is to do, in the order of their names.
    pub fn configs(&self) -> impl Iterator<Item = &Config> {
        self.configs.values()
    }

    /// Returns the names of the nodes.
    pub fn names(&self) -> impl Iterator<Item = &NodeName> {
        self.configs.keys()
    }

    /// Returns how many nodes there are.
    pub fn count(&self) -> usize {
        self.configs.len()
    }

    /// Returns one node's view for what all nodes have alike.
    pub fn any(&self) -> &Config {
        self.configs.values().next().expect("a valid file has a node that runs Baton")
    }

    /// Returns the nodes that do not run Baton.
    pub fn foreign(&self) -> BTreeSet<&NodeName> {
        let peers = self.configs().flat_map(|config| config.peers.keys());
        peers.filter(|name| !self.configs.contains_key(*name)).collect()
    }

    /// Returns where the file says that the other nodes reach this one.
    pub fn addresses_of(&self, node: &NodeName) -> BTreeSet<IpAddr> {
        // A node's own configuration does not say; that of every other node does.
        let told = self.configs().find_map(|config| config.peers.get(node));
        told.cloned().unwrap_or_default()
    }

    /// Returns a virtual router as a node runs it.
    ///
    /// # Panics
    /// When the file has no such node or virtual router.
    pub fn router(&self, node: &NodeName, router: &RouterName) -> &VirtualRouterConfig {
        &self.configs[node].virtual_routers[router]
    }

    /// Returns the virtual routers with each node's view of them.
    pub fn routers(&self) -> BTreeMap<&RouterName, Vec<(&NodeName, &VirtualRouterConfig)>> {
        let mut routers: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for config in self.configs() {
            for (name, router) in &config.virtual_routers {
                routers.entry(name).or_default().push((&config.node, router.as_ref()));
            }
        }
        routers
    }

    /// Returns every virtual address with its virtual router and a node that may hold it.
    pub fn virtual_addresses(&self) -> impl Iterator<Item = (&NodeName, &RouterName, &InterfaceAddress)> {
        self.configs().flat_map(|config| {
            config.virtual_routers.iter().flat_map(move |(name, router)| {
                router.all_addresses().map(move |address| (&config.node, name, address))
            })
        })
    }

    /// Returns whether a node stays Active in this virtual router while all are well: nobody takes it from it.
    pub fn may_keep(&self, router: &RouterName, active: &NodeName) -> bool {
        let priority = self.router(active, router).priority;
        self.names().all(|name| {
            let other = self.router(name, router);
            match other.preemption {
                Preemption::Allowed => other.priority <= priority,
                Preemption::Refused => true,
            }
        })
    }

    /// Returns every address that the file gives to somebody.
    pub fn all_addresses(&self) -> BTreeSet<IpAddr> {
        let mut all: BTreeSet<_> = self.virtual_addresses().map(|(_, _, address)| address.address).collect();
        for config in self.configs() {
            all.extend(config.peers.values().flatten());
            for server in config.virtual_servers.values() {
                all.extend(server.real_servers.keys().map(SocketAddr::ip));
                all.extend(server.sorry_server.iter().map(|(address, _)| address.ip()));
            }
        }
        all
    }
}
