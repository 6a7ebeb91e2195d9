//! Nodes that share virtual routers, a program on each, and somebody who hears what they say.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lab::{Lab, Prober, Process, Topology, wait_until};

use super::advertisements::Advertisements;
use super::contender::{Contender, END_LIMIT, Folder, Programs};
use super::duty::{Dialect, Duty, FIRST, Node, Routers};
use super::error::BenchError;
use super::idle::holds_all;

/// How often the client asks.
const PROBE_INTERVAL: Duration = Duration::from_millis(1);
/// How many advertisements of the first node, and of nobody else, make a group settled.
const SETTLED: usize = 5;
/// How long an election may take beyond its floor, on a busy machine.
const MARGIN: Duration = Duration::from_secs(20);

const CLIENT: &str = "client";
const CLIENT_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);

/// A laboratory with the nodes and a client that finds every virtual address on its network.
pub(crate) fn laboratory(routers: Routers) -> Result<Lab, BenchError> {
    let nodes = u8::try_from(routers.nodes.len()).expect("a group has a few nodes");
    let lab = Topology::standard(nodes, 0).build()?;
    for (_, address) in routers.addresses() {
        lab.namespace(CLIENT).run(&["ip", "route", "add", &format!("{address}/32"), "dev", "eth0"])?;
    }
    Ok(lab)
}

/// A group that has elected its first node; its programs are killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Group<'lab> {
    lab: &'lab Lab,
    routers: Routers,
    daemons: BTreeMap<&'static str, Process>,
    advertisements: Advertisements,
    folder: Folder,
}

impl<'lab> Group<'lab> {
    /// Starts a program on each node, in the nodes' order, and waits for the election.
    pub(crate) fn elect(
        lab: &'lab Lab,
        programs: &Programs,
        contenders: &[Contender],
        routers: Routers,
    ) -> Result<Self, BenchError> {
        let (folder, duty) = (Folder::new()?, Duty::Routers(routers));
        let advertisements = match routers.dialect {
            Dialect::Version3 | Dialect::Version2 => {
                Advertisements::to_group(lab.namespace(CLIENT), CLIENT_ADDRESS)?
            }
            Dialect::Version3Unicast => Advertisements::between(lab, routers.nodes)?,
        };
        let started = Instant::now();
        let mut daemons = BTreeMap::new();
        for (&node, &contender) in routers.nodes.iter().zip(contenders) {
            let configuration = Programs::configure(contender, duty, node, folder.path())?;
            let machine = lab.namespace(node.name);
            let daemon = programs.start(contender, duty, node, machine, &configuration)?;
            daemons.insert(node.name, daemon);
        }
        let group = Self { lab, routers, daemons, advertisements, folder };
        group.wait_for_election(started)?;
        Ok(group)
    }

    /// How long anything may take that has to happen here.
    pub(crate) fn limit(&self) -> Duration {
        self.routers.floor() + MARGIN
    }

    /// The address of the first virtual router.
    pub(crate) fn address(&self) -> Ipv4Addr {
        let (_, address) = self.routers.addresses().next().expect("a group has a virtual router");
        address
    }

    /// What is heard of the nodes.
    pub(crate) fn advertisements(&self) -> &Advertisements {
        &self.advertisements
    }

    /// The program on a node.
    pub(crate) fn daemon(&mut self, node: Node) -> &mut Process {
        self.daemons.get_mut(node.name).expect("a program runs on every node")
    }

    /// Starts a program again on a node on which it has ended.
    pub(crate) fn restart(
        &mut self,
        programs: &Programs,
        contender: Contender,
        node: Node,
    ) -> Result<(), BenchError> {
        let configuration = self.configuration(contender, node);
        let (machine, duty) = (self.lab.namespace(node.name), Duty::Routers(self.routers));
        let daemon = programs.start(contender, duty, node, machine, &configuration)?;
        self.daemons.insert(node.name, daemon);
        Ok(())
    }

    /// Where a program's configuration is.
    pub(crate) fn configuration(&self, contender: Contender, node: Node) -> PathBuf {
        Programs::configuration(contender, node, self.folder.path())
    }

    /// Lets the client ask for the first address a thousand times a second, from its first answer on.
    pub(crate) fn ask(&self) -> Result<Prober, BenchError> {
        let prober = Prober::echo(self.lab.namespace(CLIENT), self.address().into(), PROBE_INTERVAL)?;
        prober.wait_for_answer(Instant::now(), self.limit())?;
        Ok(prober)
    }

    /// Waits until a node, and no other, holds the first address.
    pub(crate) fn wait_for_holder(&self, node: Node) -> Result<(), BenchError> {
        let address = self.address().into();
        let what = format!("{address} on {} alone", node.name);
        wait_until(&what, self.limit(), || Ok(self.lab.holders(address)? == [node.name]))?;
        Ok(())
    }

    /// Waits until a node holds the addresses of all virtual routers, and the second node none of them.
    pub(crate) fn wait_for_holder_of_all(&self, node: Node) -> Result<(), BenchError> {
        let what = format!("All virtual addresses on {} alone", node.name);
        let others = || self.routers.nodes.iter().filter(|other| other.name != node.name);
        wait_until(&what, self.limit(), || {
            Ok(others().all(|other| holds_all(self.lab, self.routers, node, *other).unwrap_or(false)))
        })?;
        Ok(())
    }

    /// Asks every program to end, and waits for that.
    pub(crate) fn end(mut self) -> Result<(), BenchError> {
        self.daemons.values_mut().try_for_each(|daemon| daemon.terminate(END_LIMIT).map(drop))?;
        Ok(())
    }

    /// Several may start out as Active where nobody was before, so it counts what is said after that.
    fn wait_for_election(&self, started: Instant) -> Result<(), BenchError> {
        self.wait_for_holder(FIRST)?;
        let others = || self.routers.nodes.iter().filter(|node| node.name != FIRST.name);
        wait_until("The settling of the group", self.limit(), || {
            let now = Instant::now();
            let last = others().filter_map(|node| self.advertisements.last_of(node.address, now)).max();
            Ok(self.advertisements.count_of(FIRST.address, last.unwrap_or(started)) >= SETTLED)
        })?;
        Ok(())
    }
}
