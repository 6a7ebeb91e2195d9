//! Which machines stand on which networks, and building them.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Cidr, Error, Namespace, Port, Result};

/// Machines and networks to be built. A network exists as soon as an interface names it.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    machines: Vec<Machine>,
    cables: Vec<[End; 2]>,
}

/// One end of a cable that leads from machine to machine, without a switch.
#[derive(Clone, Debug)]
struct End {
    machine: String,
    interface: String,
    addresses: Vec<Cidr>,
}

/// One machine to be built.
#[derive(Clone, Debug)]
pub struct Machine {
    name: String,
    role: Role,
    interfaces: Vec<Interface>,
    routes: Vec<(Cidr, IpAddr)>,
}

/// Whether a machine passes on packets that are not for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It does not: a client or a real server.
    Host,
    /// It does: a load balancer.
    Router,
}

#[derive(Clone, Debug)]
struct Interface {
    name: String,
    network: String,
    addresses: Vec<Cidr>,
}

impl Machine {
    /// A machine without interfaces.
    pub fn new(name: impl Into<String>, role: Role) -> Self {
        Self { name: name.into(), role, interfaces: Vec::new(), routes: Vec::new() }
    }

    /// Adds an interface on a network.
    #[must_use]
    pub fn interface(mut self, name: &str, network: &str, addresses: &[Cidr]) -> Self {
        let interface =
            Interface { name: name.to_owned(), network: network.to_owned(), addresses: addresses.to_vec() };
        self.interfaces.push(interface);
        self
    }

    /// Adds a route; `0.0.0.0/0` and `::/0` are the default routes.
    #[must_use]
    pub fn route(mut self, destination: Cidr, gateway: IpAddr) -> Self {
        self.routes.push((destination, gateway));
        self
    }
}

impl Topology {
    /// No machines yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A client, load balancers between the networks `front` and `back`, and real servers behind them.
    ///
    /// | machine | `eth0` on `front` | `eth1` on `back` |
    /// |---|---|---|
    /// | `client` | 10.77.0.100, `fd77::100` | |
    /// | `lb1`, `lb2`, ... | 10.77.0.11, `fd77::11`, ... | 10.78.0.11, `fd78::11`, ... |
    /// | `rs1`, `rs2`, ... | | 10.78.0.21, `fd78::21`, ... |
    /// | `sorry` | | 10.78.0.99, `fd78::99` |
    ///
    /// The real servers' only interface is called `eth0` too; they answer through 10.78.0.1 and `fd78::1`, a virtual
    /// address of the load balancers. For the clients 10.77.0.50 and `fd77::50` are meant. All prefixes are /24 and /64.
    pub fn standard(nodes: u8, real_servers: u8) -> Self {
        let client = Machine::new("client", Role::Host).interface("eth0", "front", &front(100));
        let mut topology = Self::new().machine(client);
        for number in 1..=nodes {
            let node = Machine::new(format!("lb{number}"), Role::Router)
                .interface("eth0", "front", &front(10 + number))
                .interface("eth1", "back", &back(10 + number));
            topology = topology.machine(node);
        }
        let servers = (1..=real_servers).map(|number| (format!("rs{number}"), 20 + number));
        for (name, last) in servers.chain([("sorry".to_owned(), 99)]) {
            let server = Machine::new(name, Role::Host).interface("eth0", "back", &back(last));
            topology = topology.machine(defaults_to(server, back(1).map(Cidr::address)));
        }
        topology
    }

    /// Two load balancers, `lb1` and `lb2`, and nothing between their `eth0` but a cable; addresses as in
    /// [`Topology::standard`].
    ///
    /// The kernel does a switch's work in the name of whoever sends. Where it is to be seen what a node itself needs there
    /// must be none.
    pub fn cabled_pair() -> Self {
        let names = ["lb1", "lb2"];
        let mut topology = Self::new();
        for name in names {
            topology = topology.machine(Machine::new(name, Role::Router));
        }
        let end = |number: u8| End {
            machine: names[usize::from(number)].to_owned(),
            interface: "eth0".to_owned(),
            addresses: front(11 + number).to_vec(),
        };
        topology.cables.push([end(0), end(1)]);
        topology
    }

    /// Adds a machine.
    #[must_use]
    pub fn machine(mut self, machine: Machine) -> Self {
        self.machines.push(machine);
        self
    }

    /// Makes every machine a network namespace and every network a bridge, with all links up.
    ///
    /// # Errors
    /// When `ip` is missing or refuses, which without root it does; when a gateway is on no network of its machine.
    pub fn build(self) -> Result<Lab> {
        let switch = Namespace::new("switch")?;
        switch.set_sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        let mut networks: Vec<String> = Vec::new();
        let mut machines = BTreeMap::new();
        let mut wires = Vec::new();
        let mut wiring = String::new();
        for machine in &self.machines {
            machines.insert(machine.name.clone(), machine.make()?);
        }
        for machine in self.machines {
            for interface in machine.interfaces {
                let network = networks.iter().position(|known| *known == interface.network);
                let network = network.unwrap_or_else(|| {
                    networks.push(interface.network);
                    let bridge = networks.len() - 1;
                    writeln!(wiring, "link add {} type bridge mcast_snooping 0", bridge_name(bridge))
                        .expect(WRITES);
                    writeln!(wiring, "link set {} up", bridge_name(bridge)).expect(WRITES);
                    bridge
                });
                let wire = Wire {
                    machine: machine.name.clone(),
                    interface: interface.name,
                    number: u16::try_from(wires.len()).expect("a lab has fewer than 65,536 interfaces"),
                    bridge: bridge_name(network),
                    addresses: interface.addresses,
                    routes: Vec::new(),
                };
                wiring.push_str(&wire.plug_in(&machines[&machine.name]));
                wires.push(wire);
            }
            for (destination, gateway) in machine.routes {
                let through =
                    wires.iter_mut().find(|wire| wire.machine == machine.name && wire.reaches(gateway));
                let unreachable = || Error::Gateway { machine: machine.name.clone(), gateway };
                through.ok_or_else(unreachable)?.routes.push((destination, gateway));
            }
        }
        for [one, other] in &self.cables {
            let place = |end: &End| format!("{} netns {}", end.interface, machines[&end.machine].name());
            writeln!(wiring, "link add {} type veth peer name {}", place(one), place(other)).expect(WRITES);
        }
        switch.batch(&wiring)?;
        let lab = Lab { machines, switch, networks, wires };
        for wire in &lab.wires {
            lab.namespace(&wire.machine).batch(&wire.configure())?;
        }
        for End { machine, interface, addresses } in self.cables.iter().flatten() {
            lab.namespace(machine).batch(&usable(interface, addresses))?;
        }
        Ok(lab)
    }
}

/// Machines and networks that exist until this is dropped.
#[derive(Debug)]
pub struct Lab {
    machines: BTreeMap<String, Namespace>,
    pub(crate) switch: Namespace,
    networks: Vec<String>,
    wires: Vec<Wire>,
}

impl Lab {
    /// The machine of that name.
    ///
    /// # Panics
    /// When the topology has no such machine.
    pub fn namespace(&self, machine: &str) -> &Namespace {
        let found = self.machines.get(machine);
        found.unwrap_or_else(|| panic!("no machine {machine} among {:?}", self.machines.keys()))
    }

    /// The names of all machines, in alphabetical order.
    pub fn machines(&self) -> impl Iterator<Item = &str> {
        self.machines.keys().map(String::as_str)
    }

    /// The names of all networks.
    pub fn networks(&self) -> impl Iterator<Item = &str> {
        self.networks.iter().map(String::as_str)
    }

    /// The switch port that a machine's interface is plugged into: the place where faults are made.
    ///
    /// # Panics
    /// When the topology has no such machine or interface.
    pub fn port(&self, machine: &str, interface: &str) -> Port<'_> {
        let mut ports = self.ports(machine);
        let found = ports.find(|port| port.wire.interface == interface);
        found.unwrap_or_else(|| panic!("no interface {interface} on machine {machine}"))
    }

    /// All switch ports that a machine is plugged into.
    pub fn ports<'lab>(&'lab self, machine: &str) -> impl Iterator<Item = Port<'lab>> {
        let machine = machine.to_owned();
        let wires = self.wires.iter().filter(move |wire| wire.machine == machine);
        wires.map(|wire| Port { lab: self, wire })
    }

    /// The machines that hold an address, in alphabetical order.
    ///
    /// # Errors
    /// When a namespace cannot be entered.
    pub fn holders(&self, address: IpAddr) -> Result<Vec<&str>> {
        let mut holders = Vec::new();
        for (name, machine) in &self.machines {
            if machine.holds(address)? {
                holders.push(name.as_str());
            }
        }
        Ok(holders)
    }
}

/// One cable: an interface of a machine, a port of the switch, and what makes it usable.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) machine: String,
    pub(crate) interface: String,
    pub(crate) bridge: String,
    pub(crate) number: u16,
    addresses: Vec<Cidr>,
    routes: Vec<(Cidr, IpAddr)>,
}

impl Wire {
    /// The name of the switch's end.
    pub(crate) fn port(&self) -> String {
        format!("port{}", self.number)
    }

    /// The link-layer address of the machine's end, the same whenever it is plugged in again.
    pub(crate) fn link_address(&self) -> LinkAddress {
        LinkAddress { number: self.number }
    }

    /// The `ip` commands for the switch that make both ends.
    pub(crate) fn plug_in(&self, machine: &Namespace) -> String {
        let (port, bridge, interface, address) =
            (self.port(), &self.bridge, &self.interface, self.link_address());
        let name = machine.name();
        format!(
            "link add {port} type veth peer name {interface} address {address} netns {name}\n\
             link set {port} master {bridge} up\n"
        )
    }

    /// The `ip` commands for the machine that make its end usable.
    pub(crate) fn configure(&self) -> String {
        let interface = &self.interface;
        let mut lines = usable(interface, &self.addresses);
        for (destination, gateway) in &self.routes {
            writeln!(lines, "route add {destination} via {gateway} dev {interface}").expect(WRITES);
        }
        lines
    }

    fn reaches(&self, gateway: IpAddr) -> bool {
        self.addresses.iter().any(|address| address.contains(gateway))
    }
}

/// The link-layer address of a machine's interface: the lab's own four bytes, then the number of its wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkAddress {
    pub(crate) number: u16,
}

impl LinkAddress {
    /// The bit 0x02 of the first byte marks a locally administered address.
    pub(crate) const PREFIX: u32 = 0x02ba_7000;
}

impl fmt::Display for LinkAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in Self::PREFIX.to_be_bytes() {
            write!(formatter, "{byte:02x}:")?;
        }
        let [high, low] = self.number.to_be_bytes();
        write!(formatter, "{high:02x}:{low:02x}")
    }
}

impl Machine {
    fn make(&self) -> Result<Namespace> {
        let namespace = Namespace::new(&self.name)?;
        // Nothing else is on these networks, so waiting to detect duplicates would only delay every test.
        for which in ["all", "default"] {
            namespace.set_sysctl(&format!("net/ipv6/conf/{which}/accept_dad"), "0")?;
        }
        match self.role {
            Role::Host => {}
            Role::Router => {
                namespace.set_sysctl("net/ipv4/ip_forward", "1")?;
                namespace.set_sysctl("net/ipv6/conf/all/forwarding", "1")?;
            }
        }
        Ok(namespace)
    }
}

/// The `ip` commands for a machine that bring an interface up and give it its addresses.
fn usable(interface: &str, addresses: &[Cidr]) -> String {
    let mut lines = format!("link set {interface} up\n");
    for address in addresses {
        writeln!(lines, "address add {address} dev {interface}").expect(WRITES);
    }
    lines
}

const WRITES: &str = "a string takes what is written to it";

fn bridge_name(number: usize) -> String {
    format!("bridge{number}")
}

fn defaults_to(machine: Machine, gateways: [IpAddr; 2]) -> Machine {
    gateways.into_iter().fold(machine, |machine, gateway| {
        let nowhere: IpAddr = match gateway {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        machine.route(cidr(nowhere, 0), gateway)
    })
}

fn front(last: u8) -> [Cidr; 2] {
    both(77, last)
}

fn back(last: u8) -> [Cidr; 2] {
    both(78, last)
}

/// The addresses 10.77.0.11 and `fd77::11`, for example: the same digits, decimal here and hexadecimal there.
fn both(network: u8, last: u8) -> [Cidr; 2] {
    let digits = |number: u8| {
        u16::from_str_radix(&number.to_string(), 16).expect("decimal digits are hexadecimal too")
    };
    let v6 = Ipv6Addr::new(0xfd00 | digits(network), 0, 0, 0, 0, 0, 0, digits(last));
    [cidr(Ipv4Addr::new(10, network, 0, last).into(), 24), cidr(v6.into(), 64)]
}

fn cidr(address: IpAddr, prefix: u8) -> Cidr {
    Cidr::new(address, prefix).expect("the prefix lengths in this file fit their families")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether one of many questions is answered.
    fn reaches(lab: &Lab, from: &str, to: &str) -> bool {
        lab.namespace(from).run(&["ping", "-c1", "-w20", to]).is_ok()
    }

    #[test]
    fn the_standard_topology_is_usable_at_once_in_both_families() {
        let lab = Topology::standard(2, 2).build().unwrap();
        let machines: Vec<_> = lab.machines().collect();
        assert_eq!(machines, ["client", "lb1", "lb2", "rs1", "rs2", "sorry"]);
        for to in ["10.77.0.11", "10.77.0.12", "fd77::11", "fd77::12"] {
            assert!(reaches(&lab, "client", to), "{to}");
        }
        for to in ["10.78.0.21", "10.78.0.22", "10.78.0.99", "fd78::21", "fd78::22", "fd78::99"] {
            assert!(reaches(&lab, "lb2", to), "{to}");
        }
    }

    #[test]
    fn a_cabled_pair_needs_no_switch() {
        let lab = Topology::cabled_pair().build().unwrap();
        assert_eq!(lab.networks().count(), 0);
        for to in ["10.77.0.12", "fd77::12"] {
            assert!(reaches(&lab, "lb1", to), "{to}");
        }
    }

    #[test]
    fn real_servers_answer_through_the_inside_gateway() {
        let lab = Topology::standard(2, 1).build().unwrap();
        lab.namespace("client").run(&["ip", "route", "add", "10.78.0.0/24", "via", "10.77.0.11"]).unwrap();
        let early = lab.namespace("client").run(&["ping", "-c1", "-W1", "10.78.0.21"]);
        assert!(early.is_err(), "nobody holds the gateway address yet");
        lab.namespace("lb1").run(&["ip", "address", "add", "10.78.0.1/24", "dev", "eth1"]).unwrap();
        assert!(reaches(&lab, "client", "10.78.0.21"));
        assert_eq!(lab.holders("10.78.0.1".parse().unwrap()).unwrap(), ["lb1"]);
    }

    #[test]
    fn interfaces_networks_and_addresses_may_be_any() {
        let lab = Topology::new()
            .machine(Machine::new("a", Role::Router).interface(
                "ens5",
                "dmz",
                &["192.0.2.1/28".parse().unwrap()],
            ))
            .machine(Machine::new("b", Role::Host).interface(
                "bond0",
                "dmz",
                &["192.0.2.2/28".parse().unwrap()],
            ))
            .build()
            .unwrap();
        assert_eq!(lab.networks().collect::<Vec<_>>(), ["dmz"]);
        assert!(reaches(&lab, "a", "192.0.2.2"));
    }
}
