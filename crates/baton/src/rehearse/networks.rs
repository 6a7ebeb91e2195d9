//! Which interfaces of which nodes are on one network, and what subnets it has.
//!
//! The file does not name networks, but it tells enough: the interfaces on which the nodes hold the same virtual router
//! or the same virtual address are on one network.

use std::collections::BTreeSet;
use std::net::IpAddr;

use lab::Cidr;
use node::config::{Transport, VirtualRouterConfig};
use node::name::{InterfaceName, NodeName, RouterName};
use vrrp::Family;

use super::layout::LayoutError;
use super::nodes::Nodes;
use super::subnet::{assumed, is_link_local, is_usual, subnet, whole};

/// The one interface that is on no network.
const LOOPBACK: &str = "lo";

/// An interface of a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Plug {
    pub node: NodeName,
    pub interface: InterfaceName,
}

/// Interfaces that hear each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    pub plugs: BTreeSet<Plug>,
    /// None lies in another.
    pub subnets: Vec<Cidr>,
}

/// Every network that the nodes are on, in the order of their first interfaces; each is known by its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks(pub Vec<Network>);

impl Network {
    /// Adds a subnet unless it lies in one that is there.
    pub fn add(&mut self, subnet: Cidr) {
        if !self.subnets.iter().any(|known| holds(*known, subnet)) {
            self.subnets.retain(|known| !holds(subnet, *known));
            self.subnets.push(subnet);
        }
    }

    /// Returns the subnet that an address lies in.
    pub fn subnet_of(&self, address: IpAddr) -> Option<Cidr> {
        self.subnets.iter().copied().find(|subnet| subnet.contains(address))
    }

    /// Returns the first subnet of an address's family, that address's own if there is one.
    pub fn subnet_for(&self, address: IpAddr) -> Option<Cidr> {
        let alike = |subnet: &&Cidr| Family::of(subnet.address()) == Family::of(address);
        self.subnet_of(address).or_else(|| self.subnets.iter().find(alike).copied())
    }
}

impl Networks {
    /// Derives the networks of these nodes.
    ///
    /// # Errors
    /// [`LayoutError::Apart`] when a virtual router's nodes are routers away from each other.
    pub fn derive(nodes: &Nodes) -> Result<Self, LayoutError> {
        let mut networks = Self(Vec::new());
        for views in nodes.routers().values() {
            networks.join(views.iter().map(|(node, view)| plug(node, &view.interface)).collect());
        }
        let routers = nodes.routers();
        for (name, views) in &routers {
            let addresses: BTreeSet<_> =
                views.iter().flat_map(|(_, view)| view.all_addresses()).map(|held| held.address).collect();
            for address in addresses {
                networks.join(plugs_holding(nodes, name, address));
            }
        }
        networks.0.sort_by(|one, other| one.plugs.cmp(&other.plugs));
        for (node, _, held) in nodes.virtual_addresses() {
            let told = held.prefix_length < whole(held.address) && !is_link_local(held.address);
            if let (true, Some(network)) = (told, networks.of(&plug(node, &held.interface))) {
                networks.0[network].add(subnet(held.address, held.prefix_length));
            }
        }
        for (name, views) in routers {
            networks.add_sources(nodes, name, &views)?;
        }
        Ok(networks)
    }

    /// Returns the network that an interface is on; the loopback is on none.
    pub fn of(&self, plug: &Plug) -> Option<usize> {
        self.0.iter().position(|network| network.plugs.contains(plug))
    }

    /// Returns the network with a subnet that an address lies in.
    pub fn with(&self, address: IpAddr) -> Option<usize> {
        self.0.iter().position(|network| network.subnet_of(address).is_some())
    }

    /// Puts interfaces on one network, with every network that one of them is on.
    fn join(&mut self, mut plugs: BTreeSet<Plug>) {
        plugs.retain(|plug| plug.interface.as_str() != LOOPBACK);
        if plugs.is_empty() {
            return;
        }
        self.0.retain_mut(|network| {
            let apart = network.plugs.is_disjoint(&plugs);
            if !apart {
                plugs.append(&mut network.plugs);
            }
            apart
        });
        self.0.push(Network { plugs, subnets: Vec::new() });
    }

    /// Sees to it that the nodes can have addresses to advertise from.
    fn add_sources(
        &mut self,
        nodes: &Nodes,
        name: &RouterName,
        views: &[(&NodeName, &VirtualRouterConfig)],
    ) -> Result<(), LayoutError> {
        let (first_node, first) = views[0];
        let Some(network) = self.of(&plug(first_node, &first.interface)) else { return Ok(()) };
        let network = &mut self.0[network];
        let mut sources = BTreeSet::new();
        for (_, view) in views {
            let Transport::Unicast { source, min_hop_limit, .. } = &view.transport else { continue };
            sources.insert(*source);
            let together = assumed(&sources).is_some_and(is_usual);
            let told = sources.iter().all(|source| network.subnet_of(*source).is_some());
            if *min_hop_limit < u8::MAX && !together && !told {
                let addresses = sources.iter().map(ToString::to_string).collect();
                return Err(LayoutError::Apart { router: name.clone(), addresses });
            }
        }
        sources.retain(|source| network.subnet_of(*source).is_none());
        if let Some(subnet) = assumed(&sources) {
            network.add(subnet);
        }
        if network.subnets.iter().any(|subnet| Family::of(subnet.address()) == first.family) {
            return Ok(());
        }
        let virtual_addresses: BTreeSet<_> =
            first.addresses.iter().map(|held| held.address).filter(|held| !is_link_local(*held)).collect();
        let own = views.iter().flat_map(|(node, _)| nodes.addresses_of(node));
        let own = own.filter(|address| Family::of(*address) == first.family);
        let all = own.chain(virtual_addresses.iter().copied()).collect();
        // Where the file tells of addresses that are far from the virtual ones, they are somewhere else.
        let subnet = assumed(&all).filter(|subnet| is_usual(*subnet)).or_else(|| assumed(&virtual_addresses));
        if let Some(subnet) = subnet {
            network.add(subnet);
        }
        Ok(())
    }
}

/// Names an interface of a node.
pub fn plug(node: &NodeName, interface: &InterfaceName) -> Plug {
    Plug { node: node.clone(), interface: interface.clone() }
}

fn plugs_holding(nodes: &Nodes, router: &RouterName, address: IpAddr) -> BTreeSet<Plug> {
    let holds =
        nodes.virtual_addresses().filter(|(_, name, held)| *name == router && held.address == address);
    holds.map(|(node, _, held)| plug(node, &held.interface)).collect()
}

/// Whether one subnet lies in another.
fn holds(outer: Cidr, inner: Cidr) -> bool {
    outer.prefix() <= inner.prefix() && outer.contains(inner.address())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config_file::ConfigFile;

    fn derive(text: &str) -> Result<String, LayoutError> {
        let file = ConfigFile::parse("test.toml", text).unwrap();
        let nodes = Nodes::new(file.nodes().map(|node| file.resolve(node).unwrap()));
        let networks = Networks::derive(&nodes)?;
        let told = networks.0.iter().map(|network| {
            let plugs = network.plugs.iter().map(|plug| format!("{}:{}", plug.node, plug.interface));
            let subnets = network.subnets.iter().map(ToString::to_string);
            plugs.chain(subnets).collect::<Vec<_>>().join(" ")
        });
        Ok(told.collect::<Vec<_>>().join("\n"))
    }

    fn shipped(name: &str) -> String {
        let path = format!("{}/../../config/{name}", env!("CARGO_MANIFEST_DIR"));
        derive(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn the_shipped_examples_stand_on_the_networks_they_draw() {
        assert_eq!(
            shipped("pair.toml"),
            "lb1:eth0 lb2:eth0 10.77.0.0/24 fd77::/64\nlb1:eth1 lb2:eth1 10.78.0.0/24 fd78::/64"
        );
        assert_eq!(shipped("direct.toml"), "lb1:eth0 lb2:ens5 10.77.0.0/24");
        assert_eq!(shipped("unicast.toml"), "lb1:eth0 lb2:eth0 10.77.0.0/24");
        assert_eq!(
            shipped("routers-only.toml"),
            "gw1:eth0 gw2:eth0 192.168.10.0/24 fd10::/64\ngw1:eth1 gw2:eth1 192.168.20.0/24"
        );
    }

    #[test]
    fn nodes_that_are_routers_apart_are_told_with_their_addresses() {
        let text = |hop_limit: u8| {
            format!(
                r#"
                [node.lb1]
                addresses = ["10.1.0.11"]
                [node.lb2]
                addresses = ["10.2.0.12"]
                [virtual_router.web]
                interface = "eth0"
                virtual_router_id = 51
                transport = "unicast"
                min_hop_limit = {hop_limit}
                virtual_addresses = ["192.0.2.50"]
                "#
            )
        };
        let error = derive(&text(254)).unwrap_err().to_string();
        assert!(error.contains("10.1.0.11, 10.2.0.12"), "{error}");
        assert_eq!(derive(&text(255)).unwrap(), "lb1:eth0 lb2:eth0 10.0.0.0/14");
    }

    #[test]
    fn an_address_that_stands_elsewhere_on_another_node_joins_the_two_networks() {
        let text = r#"
            [node.lb1]
            [node.lb2]
            [virtual_router.web]
            interface = "eth0"
            virtual_router_id = 51
            virtual_addresses = ["10.77.0.50/24", "10.77.0.60/25"]
            unadvertised_addresses = [{ address = "10.78.0.1/24", interface = "eth1" }]
            [virtual_router.web.node.lb2]
            unadvertised_addresses = [{ address = "10.78.0.1/24", interface = "ens6" }, { address = "192.0.2.1/32", interface = "lo" }]
        "#;
        let expected = "lb1:eth0 lb2:eth0 10.77.0.0/24\nlb1:eth1 lb2:ens6 10.78.0.0/24";
        assert_eq!(derive(text).unwrap(), expected);
    }
}
