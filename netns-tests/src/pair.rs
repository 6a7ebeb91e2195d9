//! Two nodes and a client, with one configuration.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use lab::kernel::TestKernel;
use lab::{Lab, Namespace, Prober, Topology, wait_until};

use crate::{Daemon, Folder, Place};

/// How long anything may take that has to happen: far longer than it ever does, so that noise breaks no test.
pub const LIMIT: Duration = Duration::from_secs(30);

/// The address that clients use.
pub const VIRTUAL: &str = "10.77.0.50";
/// The address that clients use over IPv6.
pub const VIRTUAL_V6: &str = "fd77::50";
/// The gateway that real servers use.
pub const INSIDE: &str = "10.78.0.1";

/// The nodes of [`Topology::standard`].
pub const NODES: &str = r#"
[node.lb1]
addresses = ["10.77.0.11", "fd77::11"]
priority = 150

[node.lb2]
addresses = ["10.77.0.12", "fd77::12"]
priority = 100
"#;

/// A virtual router of IPv4; more of its keys may follow.
pub const WEB: &str = r#"
[virtual_router.web]
interface = "eth0"
virtual_router_id = 51
advert_interval = "100ms"
virtual_addresses = ["10.77.0.50/24"]
"#;

/// A virtual router of IPv6; more of its keys may follow.
pub const WEB_V6: &str = r#"
[virtual_router.web6]
interface = "eth0"
virtual_router_id = 51
advert_interval = "100ms"
virtual_addresses = ["fe80::50/64", "fd77::50/64"]
"#;

/// How often the client asks.
const PACE: Duration = Duration::from_millis(5);

/// The configuration of [`NODES`] with what follows, at an interval that the running kernel keeps.
pub fn pair(parts: &[&str]) -> String {
    let config = format!("{NODES}{}", parts.concat());
    match TestKernel::running() {
        // Its processors are emulated, and on a busy machine they stand still for longer than a Backup waits.
        Some(TestKernel::Qemu) => config.replace("\"100ms\"", "\"500ms\""),
        Some(TestKernel::UserModeLinux) | None => config,
    }
}

/// An address from its text.
///
/// # Panics
/// When it is none.
#[track_caller]
pub fn at(address: &str) -> IpAddr {
    address.parse().unwrap_or_else(|error| panic!("{address}: {error}"))
}

/// The nodes `lb1` and `lb2`, a client, and one configuration file for all.
#[derive(Debug)]
pub struct Pair {
    // Before the lab: daemons end before their namespaces do.
    daemons: BTreeMap<String, Daemon>,
    lab: Lab,
    folder: Folder,
}

impl Pair {
    /// A pair in the standard topology, on which nothing runs yet.
    ///
    /// # Panics
    /// When the lab cannot be built: it needs root and a few programs.
    #[track_caller]
    pub fn idle(config: &str) -> Self {
        let user = fs::metadata("/proc/self").map(|process| process.uid());
        assert!(user.is_ok_and(|user| user == 0), "Network namespaces need root: run these tests as root");
        let lab = Topology::standard(2, 0).build().unwrap_or_else(|error| panic!("{error}"));
        Self::in_lab(lab, config)
    }

    /// A pair in a topology of the test's own that has the machines `lb1`, `lb2` and `client`.
    ///
    /// # Panics
    /// When the configuration cannot be written.
    #[track_caller]
    pub fn in_lab(lab: Lab, config: &str) -> Self {
        let folder = Folder::new();
        folder.write("baton.toml", config);
        Self { daemons: BTreeMap::new(), lab, folder }
    }

    /// A pair that has elected `lb1`, whose first virtual address is given.
    ///
    /// # Panics
    /// When there is no such election.
    #[track_caller]
    pub fn elected(config: &str, address: &str) -> Self {
        let mut pair = Self::idle(config);
        pair.elect(address);
        pair
    }

    /// Starts both nodes and waits for the election of `lb1`.
    ///
    /// # Panics
    /// When there is no such election.
    #[track_caller]
    pub fn elect(&mut self, address: &str) {
        self.start("lb1");
        self.start("lb2");
        self.wait_for_holder(address, "lb1");
        self.wait_to_hear("lb2", 1);
    }

    /// Waits until a node has heard so many more advertisements, over all its virtual routers.
    ///
    /// That is how a test waits for what must not happen: three of them are more than any Backup would wait.
    ///
    /// # Panics
    /// When it does not hear them.
    #[track_caller]
    pub fn wait_to_hear(&mut self, node: &str, more: u64) {
        let daemon = self.daemon(node);
        let heard = || -> u64 {
            let routers = daemon.status().virtual_routers.into_values();
            routers.map(|router| router.advertisements_received).sum()
        };
        let goal = heard() + more;
        let waited = wait_until(&format!("{more} advertisements to {node}"), LIMIT, || Ok(heard() >= goal));
        waited.unwrap_or_else(|error| panic!("{error}"));
    }

    /// The machines and cables.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// One machine.
    pub fn machine(&self, name: &str) -> &Namespace {
        self.lab.namespace(name)
    }

    /// The folder with the configuration.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Where a node's files are.
    pub fn place(&self, node: &str) -> Place {
        let folder = self.folder.path();
        Place {
            config: folder.join("baton.toml"),
            node: node.to_owned(),
            socket: folder.join(node).join("baton.sock"),
        }
    }

    /// Replaces the configuration file; nobody is told.
    ///
    /// # Panics
    /// When it cannot be written.
    #[track_caller]
    pub fn configure(&self, config: &str) {
        self.folder.write("baton.toml", config);
    }

    /// Starts a node's daemon, in place of an earlier one, and waits until it can be asked.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn start(&mut self, node: &str) -> &mut Daemon {
        let daemon = self.launch(node);
        daemon.wait_for_socket(LIMIT).unwrap_or_else(|error| panic!("{error}"));
        daemon
    }

    /// Starts a node's daemon, in place of an earlier one, without waiting for anything.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn launch(&mut self, node: &str) -> &mut Daemon {
        self.launch_by(node, &[])
    }

    /// Starts a node's daemon by another program, as [`Daemon::start_by`] does, without waiting for anything.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn launch_by(&mut self, node: &str, starter: &[&str]) -> &mut Daemon {
        self.daemons.remove(node);
        let daemon = Daemon::start_by(self.lab.namespace(node), self.place(node), starter);
        self.daemons.entry(node.to_owned()).or_insert(daemon)
    }

    /// A node's daemon.
    ///
    /// # Panics
    /// When it was never started.
    #[track_caller]
    pub fn daemon(&mut self, node: &str) -> &mut Daemon {
        self.daemons.get_mut(node).unwrap_or_else(|| panic!("{node} was never started"))
    }

    /// Makes all daemons' events so far old.
    pub fn look_from_now(&mut self) {
        self.daemons.values_mut().for_each(Daemon::look_from_now);
    }

    /// The machines that hold an address.
    ///
    /// # Panics
    /// When a machine cannot be looked into.
    #[track_caller]
    pub fn holders(&self, address: &str) -> Vec<&str> {
        self.lab.holders(at(address)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until one machine holds an address, and no other does.
    ///
    /// # Panics
    /// When that does not come to be.
    #[track_caller]
    pub fn wait_for_holder(&self, address: &str, machine: &str) {
        self.wait_for_holders(address, &[machine]);
    }

    /// Waits until one machine holds each of these addresses, and no other does.
    ///
    /// # Panics
    /// When that does not come to be.
    #[track_caller]
    pub fn wait_for_holder_of_all(&self, addresses: &[&str], machine: &str) {
        for address in addresses {
            self.wait_for_holder(address, machine);
        }
    }

    /// Waits until exactly these machines hold an address.
    ///
    /// # Panics
    /// When that does not come to be.
    #[track_caller]
    pub fn wait_for_holders(&self, address: &str, machines: &[&str]) {
        let what = format!("{address} on {machines:?} alone");
        let waited = wait_until(&what, LIMIT, || Ok(self.lab.holders(at(address))? == machines));
        waited.unwrap_or_else(|error| panic!("{error}; it is on {:?}", self.holders(address)));
    }

    /// Waits until the client believes an address to be at a machine's `eth0`.
    ///
    /// # Panics
    /// When it does not come to.
    #[track_caller]
    pub fn wait_for_neighbour(&self, address: &str, machine: &str) {
        let what = format!("The client's entry for {address} at {machine}");
        let client = self.machine("client");
        let waited = self.machine(machine).link_address("eth0").and_then(|link_address| {
            wait_until(&what, LIMIT, || Ok(client.neighbour(at(address))?.as_ref() == Some(&link_address)))
        });
        waited.unwrap_or_else(|error| panic!("{error}; its entries are {:?}", client.neighbours()));
    }

    /// Lets the client ask for an address again and again, and returns when it is answered.
    ///
    /// # Panics
    /// When it is never answered.
    #[track_caller]
    pub fn ping(&self, address: &str) -> Prober {
        let prober = Prober::echo(self.machine("client"), at(address), PACE);
        let prober = prober.unwrap_or_else(|error| panic!("{error}"));
        prober.wait_for_answer(Instant::now(), LIMIT).unwrap_or_else(|error| panic!("{error}"));
        prober
    }
}
