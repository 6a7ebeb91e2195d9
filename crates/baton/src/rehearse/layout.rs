//! The machines of a rehearsal and where they stand, derived from the file alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use lab::{Cidr, Lab, Machine, Role, Topology};
use node::config::{Follow, VirtualServerConfig};
use node::name::{InterfaceName, NodeName, RouterName, ServerName};
use virtual_server::service::{Forwarding, ServiceKey};
use vrrp::{Family, Priority};

use super::networks::{Networks, Plug, plug};
use super::nodes::Nodes;
use super::subnet::{take_free, usual_subnet, whole};
use super::target::{NoTarget, Target};

/// How many real servers are made at most: each is a namespace, and takes a test kernel a fifth of a second.
const SERVER_LIMIT: usize = 64;

/// The client's machine.
pub const CLIENT: &str = "client";
/// The only interface of the client and of each real server.
const INTERFACE: &str = "eth0";

/// Why the nodes of a file cannot be laid out.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// There is nobody to take over.
    #[error("A rehearsal needs at least two nodes that run Baton, and the file has only {node}")]
    Alone {
        /// The only node.
        node: NodeName,
    },
    /// There are routers between the nodes.
    #[error(
        "The nodes of virtual router {router} are on different subnets ({}), a router apart; a rehearsal lays out \
         networks without routers between them, so give the nodes addresses of one subnet in a copy of the file",
        addresses.join(", ")
    )]
    Apart {
        /// The virtual router.
        router: RouterName,
        /// The nodes' addresses.
        addresses: Vec<String>,
    },
    /// The addresses are the node's own and no daemon moves them.
    #[error(
        "Node {node} has priority 255 in virtual router {router}: the addresses are its own and stay with it, which a \
         rehearsal cannot lay out yet; rehearse a copy of the file with priority 254"
    )]
    Owner {
        /// The virtual router.
        router: RouterName,
        /// The node.
        node: NodeName,
    },
    /// The packets would come wrapped.
    #[error(
        "Virtual server {server} forwards to {real_server} by tunnel, which a rehearsal cannot lay out yet; rehearse a \
         copy of the file with `forward = \"direct\"` there"
    )]
    Tunnel {
        /// The virtual server.
        server: ServerName,
        /// The real server.
        real_server: SocketAddr,
    },
    /// The real server has no way to answer.
    #[error(
        "Virtual server {server} forwards to {real_server} directly, and that is on another network than the clients of \
         {virtual_address}: the file does not tell how its answers reach them"
    )]
    DirectApart {
        /// The virtual server.
        server: ServerName,
        /// The real server.
        real_server: SocketAddr,
        /// The virtual address.
        virtual_address: IpAddr,
    },
    /// A node would be broken together with a real server.
    #[error("Real server {real_server} has an address of a node, which a rehearsal cannot lay out yet")]
    Shared {
        /// The real server.
        real_server: SocketAddr,
    },
    /// The file is too large.
    #[error(
        "A rehearsal makes {SERVER_LIMIT} real servers at most, and the file has {count}; rehearse a part of it"
    )]
    TooMany {
        /// How many it has.
        count: usize,
    },
    /// A subnet has no room.
    #[error("The subnet {subnet} has no free address for {whom}; use a larger one in a copy of the file")]
    Full {
        /// The subnet.
        subnet: Cidr,
        /// Who needs one.
        whom: String,
    },
    /// There is nothing to ask for.
    #[error(transparent)]
    NoTarget(#[from] NoTarget),
}

/// The machines and where they stand.
#[derive(Clone, Debug)]
pub struct Layout {
    networks: Networks,
    nodes: BTreeMap<Plug, Vec<Cidr>>,
    front: usize,
    /// The client's address.
    pub client: Cidr,
    target: IpAddr,
    /// The real servers and sorry servers, by address.
    pub servers: BTreeMap<IpAddr, PlacedServer>,
    /// What the file does not tell and had to be assumed.
    pub remarks: Vec<String>,
}

/// A machine that serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedServer {
    network: usize,
    address: Cidr,
    /// Where it listens.
    pub ports: BTreeSet<u16>,
    /// Through whom it answers; directly where it is left out.
    gateway: Option<IpAddr>,
    /// The virtual addresses that it holds itself, for direct routing.
    held: BTreeSet<IpAddr>,
}

impl Layout {
    /// Derives the layout of these nodes for a client that asks for this target.
    ///
    /// # Errors
    /// [`LayoutError`] says what cannot be laid out, and why.
    pub fn derive(nodes: &Nodes, target: &Target) -> Result<Self, LayoutError> {
        check(nodes)?;
        let mut networks = Networks::derive(nodes)?;
        let target = target.address();
        let front = network_of(nodes, &networks, target).unwrap_or_default();
        if networks.0[front].subnet_for(target).is_none() {
            networks.0[front].add(usual_subnet(target));
        }
        let mut taken = nodes.all_addresses();
        let mut remarks = Vec::new();
        let foreign: Vec<_> = nodes.foreign().into_iter().map(ToString::to_string).collect();
        if !foreign.is_empty() {
            remarks.push(format!("left out, because no Baton runs there: {}", foreign.join(", ")));
        }
        let servers = place_servers(nodes, &mut networks, front, target, &mut remarks)?;
        let placed = servers.values().map(|server| server.network).collect::<BTreeSet<_>>();
        for network in placed {
            plug_in_everybody(nodes, &mut networks, network, &mut remarks);
        }
        let placed = place_nodes(nodes, &networks, &mut taken)?;
        let subnet = networks.0[front].subnet_for(target).expect("one has been added if there was none");
        let client = take_free(subnet, &mut taken)
            .ok_or_else(|| LayoutError::Full { subnet, whom: "the client".to_owned() })?;
        Ok(Self { networks, nodes: placed, front, client, target, servers, remarks })
    }

    /// Makes all machines and networks, with everything in place but the daemons and servers themselves.
    ///
    /// # Errors
    /// The lab's.
    pub fn build(&self) -> lab::Result<Lab> {
        let lab = self.topology().build()?;
        let client = lab.namespace(CLIENT);
        if !self.client.contains(self.target) {
            client.run(&["ip", "route", "add", &self.target.to_string(), "dev", INTERFACE])?;
        }
        for (address, server) in &self.servers {
            let namespace = lab.namespace(&server_machine(*address));
            for (key, value) in server.parameters() {
                namespace.set_sysctl(key, value)?;
            }
            for line in server.commands(self.client) {
                namespace.run(&line.split(' ').collect::<Vec<_>>())?;
            }
        }
        Ok(lab)
    }

    /// Returns the addresses of a node's interfaces.
    pub fn addresses_of(&self, node: &NodeName) -> impl Iterator<Item = (&InterfaceName, &[Cidr])> {
        let interfaces = self.nodes.iter().filter(move |(plug, _)| plug.node == *node);
        interfaces.map(|(plug, addresses)| (&plug.interface, addresses.as_slice()))
    }

    fn topology(&self) -> Topology {
        let network = |number: usize| format!("network{number}");
        let mut nodes: BTreeMap<&NodeName, Machine> = BTreeMap::new();
        for (plug, addresses) in &self.nodes {
            let name = &plug.node;
            let machine =
                nodes.remove(name).unwrap_or_else(|| Machine::new(node_machine(name), Role::Router));
            let on = network(self.networks.of(plug).expect("only what is on a network is placed"));
            nodes.insert(name, machine.interface(plug.interface.as_str(), &on, addresses));
        }
        let servers = self.servers.iter().map(|(address, server)| {
            let machine = Machine::new(server_machine(*address), Role::Host);
            machine.interface(INTERFACE, &network(server.network), &[server.address])
        });
        let client =
            Machine::new(CLIENT, Role::Host).interface(INTERFACE, &network(self.front), &[self.client]);
        nodes.into_values().chain(servers).chain([client]).fold(Topology::new(), Topology::machine)
    }
}

impl PlacedServer {
    /// The kernel parameters that it needs.
    fn parameters(&self) -> Vec<(&'static str, &'static str)> {
        let mut parameters = Vec::new();
        if self.gateway.is_some() {
            // A gateway on the same network would point out the shorter way, which leads past the translation.
            parameters.extend([
                ("net/ipv4/conf/all/accept_redirects", "0"),
                ("net/ipv4/conf/eth0/accept_redirects", "0"),
                ("net/ipv6/conf/eth0/accept_redirects", "0"),
            ]);
        }
        if !self.held.is_empty() {
            parameters
                .extend([("net/ipv4/conf/all/arp_ignore", "1"), ("net/ipv4/conf/all/arp_announce", "2")]);
        }
        parameters
    }

    /// The command lines that set up its virtual addresses and its way back to the client.
    fn commands(&self, client: Cidr) -> Vec<String> {
        let held = self.held.iter().map(|held| format!("ip address add {held}/{} dev lo", whole(*held)));
        let mut lines: Vec<_> = held.collect();
        let client = client.address();
        let is_alike = Family::of(client) == Family::of(self.address.address());
        let is_near = self.address.contains(client);
        match self.gateway {
            Some(gateway) => {
                lines.push(format!("ip route add default via {gateway} dev {INTERFACE} onlink"));
                if is_near {
                    lines.push(format!("ip route add {client} via {gateway} dev {INTERFACE} onlink"));
                }
            }
            None if is_alike && !is_near => {
                lines.push(format!("ip route add {client} dev {INTERFACE}"));
            }
            None => {}
        }
        lines
    }
}

/// Returns the name of a node's machine; no server's is like it.
pub fn node_machine(node: &NodeName) -> String {
    format!("node-{node}")
}

/// Returns the name of a server's machine.
pub fn server_machine(address: IpAddr) -> String {
    format!("server-{address}")
}

/// Looks for what cannot be laid out whatever the networks are.
fn check(nodes: &Nodes) -> Result<(), LayoutError> {
    if nodes.count() < 2 {
        return Err(LayoutError::Alone { node: nodes.any().node.clone() });
    }
    for (router, views) in nodes.routers() {
        if let Some((node, _)) = views.into_iter().find(|(_, view)| view.priority == Priority::OWNER) {
            return Err(LayoutError::Owner { router: router.clone(), node: node.clone() });
        }
    }
    Ok(())
}

/// The network on which a virtual address is held.
fn network_of(nodes: &Nodes, networks: &Networks, address: IpAddr) -> Option<usize> {
    let mut held = nodes.virtual_addresses().filter(|(_, _, held)| held.address == address);
    held.find_map(|(node, _, held)| networks.of(&plug(node, &held.interface)))
}

fn place_servers(
    nodes: &Nodes,
    networks: &mut Networks,
    front: usize,
    target: IpAddr,
    remarks: &mut Vec<String>,
) -> Result<BTreeMap<IpAddr, PlacedServer>, LayoutError> {
    let own: BTreeSet<_> = nodes.names().flat_map(|node| nodes.addresses_of(node)).collect();
    let mut servers: BTreeMap<IpAddr, PlacedServer> = BTreeMap::new();
    for (name, config) in &nodes.any().virtual_servers {
        let sorry_server = config.sorry_server.iter().map(|(address, destination)| (address, destination));
        for (&real_server, destination) in config.real_servers.iter().chain(sorry_server) {
            let address = real_server.ip();
            if own.contains(&address) || address.is_loopback() {
                return Err(LayoutError::Shared { real_server });
            }
            let network = networks.with(address).unwrap_or_else(|| {
                let subnet = usual_subnet(address);
                remarks.push(format!(
                    "assumed: the file has no interface in {subnet}, so it is on the network of {target}"
                ));
                networks.0[front].add(subnet);
                front
            });
            let subnet = networks.0[network].subnet_of(address).expect("it was found or added by it");
            let placed = servers.entry(address).or_insert_with(|| PlacedServer {
                network,
                address: Cidr::new(address, subnet.prefix()).expect("the prefix is of the same family"),
                ports: BTreeSet::new(),
                gateway: None,
                held: BTreeSet::new(),
            });
            placed.ports.insert(real_server.port());
            placed.serve(nodes, (name, config), (real_server, destination.forwarding), networks)?;
        }
    }
    match servers.len() {
        count if count > SERVER_LIMIT => Err(LayoutError::TooMany { count }),
        _ => Ok(servers),
    }
}

impl PlacedServer {
    /// Makes it answer for one virtual server.
    fn serve(
        &mut self,
        nodes: &Nodes,
        (name, config): (&ServerName, &VirtualServerConfig),
        (real_server, forwarding): (SocketAddr, Forwarding),
        networks: &Networks,
    ) -> Result<(), LayoutError> {
        for (key, follow) in &config.services {
            let ServiceKey::Address { address: service, .. } = key else { continue };
            let service = service.ip();
            match forwarding {
                Forwarding::Nat => {
                    self.gateway = self.gateway.or_else(|| self.gateway_for(nodes, follow, service));
                }
                Forwarding::Direct => {
                    if network_of(nodes, networks, service).is_some_and(|network| network != self.network) {
                        return Err(LayoutError::DirectApart {
                            server: name.clone(),
                            real_server,
                            virtual_address: service,
                        });
                    }
                    self.held.insert(service);
                }
                Forwarding::Tunnel => {
                    return Err(LayoutError::Tunnel { server: name.clone(), real_server });
                }
            }
        }
        Ok(())
    }

    /// The address through which it answers: the inside address that moves with the service, else the service's own.
    fn gateway_for(&self, nodes: &Nodes, follow: &Follow, service: IpAddr) -> Option<IpAddr> {
        let config = nodes.any();
        let with_it: BTreeSet<&RouterName> = match follow {
            Follow::Always => BTreeSet::new(),
            Follow::Routers(routers) => {
                let groups = config.sync_groups.values().filter(|group| !group.is_disjoint(routers));
                groups.flatten().chain(routers).collect()
            }
        };
        let moving = nodes.virtual_addresses().filter(|(_, router, _)| with_it.contains(router));
        let mut addresses = moving.map(|(_, _, held)| held.address);
        let inside = addresses.find(|address| *address != service && self.address.contains(*address));
        inside.or_else(|| (Family::of(service) == Family::of(self.address.address())).then_some(service))
    }
}

/// Gives every node an interface on a network of real servers.
fn plug_in_everybody(nodes: &Nodes, networks: &mut Networks, network: usize, remarks: &mut Vec<String>) {
    let interface = networks.0[network].plugs.first().expect("a network has an interface").interface.clone();
    for node in nodes.names() {
        let is_there = networks.0[network].plugs.iter().any(|plug| plug.node == *node);
        let plug = plug(node, &interface);
        if !is_there && networks.of(&plug).is_none() {
            remarks.push(format!("assumed: {node} has an interface {interface} towards the real servers"));
            networks.0[network].plugs.insert(plug);
        }
    }
}

fn place_nodes(
    nodes: &Nodes,
    networks: &Networks,
    taken: &mut BTreeSet<IpAddr>,
) -> Result<BTreeMap<Plug, Vec<Cidr>>, LayoutError> {
    let mut own: BTreeMap<&NodeName, BTreeSet<IpAddr>> =
        nodes.names().map(|node| (node, nodes.addresses_of(node))).collect();
    let mut placed = BTreeMap::new();
    for network in &networks.0 {
        for plug in &network.plugs {
            let mut addresses = Vec::new();
            for &subnet in &network.subnets {
                let told = own.get_mut(&plug.node).expect("a plug belongs to a node");
                let address = match told.extract_if(.., |address| subnet.contains(*address)).next() {
                    Some(address) => Cidr::new(address, subnet.prefix()).ok(),
                    None => take_free(subnet, taken),
                };
                let whom = || plug.node.to_string();
                addresses.push(address.ok_or_else(|| LayoutError::Full { subnet, whom: whom() })?);
            }
            placed.insert(plug.clone(), addresses);
        }
    }
    Ok(placed)
}

#[cfg(test)]
mod tests;
