//! As many virtual routers as a node may have: 1,000 on four interfaces, every 100 ms.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use lab::{Cidr, Machine, Role, Topology, wait_until};
use netns_tests::Pair;

const INTERFACES: u8 = 4;
const ROUTERS_EACH: u8 = 250;
/// A busy machine with a program that was not optimised takes its time.
const LONG: Duration = Duration::from_mins(3);

fn cidr(address: Ipv4Addr) -> Cidr {
    format!("{address}/16").parse().unwrap_or_else(|error| panic!("{error}"))
}

/// Where a node is on a network of its own.
fn own(interface: u8, node: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 80 + interface, 0, 10 + node)
}

fn virtual_address(interface: u8, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 80 + interface, 1, number)
}

fn configuration() -> String {
    let mut text = "[node.lb1]\npriority = 150\n[node.lb2]\n".to_owned();
    for (interface, number) in
        (0..INTERFACES).flat_map(|it| (1..=ROUTERS_EACH).map(move |number| (it, number)))
    {
        let address = virtual_address(interface, number);
        write!(
            text,
            "[virtual_router.r{interface}-{number}]\ninterface = \"eth{interface}\"\n\
             virtual_router_id = {number}\nadvert_interval = \"100ms\"\nvirtual_addresses = [\"{address}/32\"]\n"
        )
        .expect("a string takes what is written to it");
    }
    text
}

fn topology() -> Topology {
    let mut topology = Topology::new().machine(Machine::new("client", Role::Host));
    for node in 1..=2 {
        let mut machine = Machine::new(format!("lb{node}"), Role::Router);
        for interface in 0..INTERFACES {
            let (name, network) = (format!("eth{interface}"), format!("net{interface}"));
            machine = machine.interface(&name, &network, &[cidr(own(interface, node))]);
        }
        topology = topology.machine(machine);
    }
    topology
}

/// The virtual addresses that a machine holds.
fn held(pair: &Pair, machine: &str) -> lab::Result<BTreeSet<IpAddr>> {
    let mut held = BTreeSet::new();
    for interface in 0..INTERFACES {
        let addresses = pair.machine(machine).addresses(&format!("eth{interface}"))?;
        held.extend(addresses.into_iter().map(Cidr::address));
        held.remove(&IpAddr::V4(own(interface, 1)));
        held.remove(&IpAddr::V4(own(interface, 2)));
    }
    Ok(held.into_iter().filter(IpAddr::is_ipv4).collect())
}

#[track_caller]
fn wait_for_all(pair: &Pair, machine: &str) {
    let addresses = (0..INTERFACES).flat_map(|interface| {
        (1..=ROUTERS_EACH).map(move |number| virtual_address(interface, number).into())
    });
    let all: BTreeSet<IpAddr> = addresses.collect();
    let waited =
        wait_until(&format!("1,000 addresses on {machine}"), LONG, || Ok(held(pair, machine)? == all));
    waited.unwrap_or_else(|error| {
        panic!("{error}: it has {} of {}", held(pair, machine).map_or(0, |held| held.len()), all.len())
    });
}

#[test]
fn a_node_takes_over_a_thousand_virtual_routers_after_a_crash() {
    let mut pair = Pair::in_lab(topology().build().unwrap(), &configuration());
    pair.start("lb1");
    wait_for_all(&pair, "lb1");
    pair.start("lb2");
    pair.wait_to_hear("lb2", 1000);
    let waited = wait_until("One Active of each", LONG, || Ok(held(&pair, "lb2")?.is_empty()));
    waited.unwrap_or_else(|error| panic!("{error}"));

    pair.lab().detach("lb1").unwrap();
    wait_for_all(&pair, "lb2");
    let active = |status: netns_tests::NodeStatus| {
        status.virtual_routers.values().filter(|router| router.state == "active").count()
    };
    assert_eq!(active(pair.daemon("lb2").status()), 1000);
    pair.lab().attach("lb1").unwrap();
    let waited = wait_until("All are back", LONG, || Ok(held(&pair, "lb2")?.is_empty()));
    waited.unwrap_or_else(|error| panic!("{error}"));
    wait_for_all(&pair, "lb1");
}
