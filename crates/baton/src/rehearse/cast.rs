//! The machines of a rehearsal at work: daemons, real servers and their client.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hyper::Method;
use lab::{Lab, Namespace, PATIENCE, Prober, Process, Timeline, WebServer};
use node::name::NodeName;
use vrrp::Preemption;

use super::RehearseError;
use super::layout::{CLIENT, Layout, node_machine, server_machine};
use super::nodes::Nodes;
use super::subnet::is_link_local;
use super::target::{Question, Target};
use super::watch::Watch;
use crate::client;
use crate::view::NodeView;

/// What everything may take beyond what the protocol's timers ask for: a test kernel on a busy machine is slow.
const SLACK: Duration = Duration::from_secs(30);
/// How much of a daemon's log is shown when something broke, in lines.
const LOG_LINES: usize = 15;

/// Everybody who takes part.
///
/// The order of the fields is the order in which they go: who runs inside, then the machines.
#[derive(Debug)]
pub struct Cast<'rehearsal> {
    pub nodes: &'rehearsal Nodes,
    pub target: &'rehearsal Target,
    daemons: BTreeMap<NodeName, Process>,
    _servers: Vec<WebServer>,
    pub lab: Lab,
    folder: Folder,
    pub watch: Watch,
    program: PathBuf,
    file: &'rehearsal Path,
    /// From one probe of the client to the next.
    pace: Duration,
}

impl<'rehearsal> Cast<'rehearsal> {
    /// Starts the daemons and servers of a layout.
    ///
    /// # Errors
    /// When a machine cannot be made or a program not be started.
    pub fn start(
        nodes: &'rehearsal Nodes,
        target: &'rehearsal Target,
        layout: &Layout,
        file: &'rehearsal Path,
        pace: Duration,
    ) -> Result<Self, RehearseError> {
        let system = |what: &'static str| move |error| RehearseError::System { what, error };
        let watch = Watch::begin().map_err(system("start an event loop"))?;
        let program = std::env::current_exe().map_err(system("find its own program"))?;
        let lab = layout.build()?;
        let mut servers = Vec::new();
        for (address, server) in &layout.servers {
            for &port in &server.ports {
                let name = SocketAddr::new(*address, port).to_string();
                servers.push(WebServer::start(lab.namespace(&server_machine(*address)), &name, port)?);
            }
        }
        let folder = Folder::make().map_err(system("make a temporary folder"))?;
        let daemons = BTreeMap::new();
        let mut cast =
            Self { nodes, target, daemons, _servers: servers, lab, folder, watch, program, file, pace };
        nodes.names().try_for_each(|node| cast.start_daemon(node))?;
        Ok(cast)
    }

    /// Starts a node's daemon.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_daemon(&mut self, node: &NodeName) -> Result<(), RehearseError> {
        let mut command = self.baton(node);
        command.arg("run");
        let process = self.machine(node).spawn("baton", &mut command)?;
        self.daemons.insert(node.clone(), process);
        Ok(())
    }

    /// Ends a node's daemon in order and waits for its end.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop_daemon(&mut self, node: &NodeName) -> Result<(), RehearseError> {
        let limit = self.limit();
        let Some(mut daemon) = self.daemons.remove(node) else { return Ok(()) };
        let status = daemon.terminate(limit)?;
        if status.success() {
            return Ok(());
        }
        Err(RehearseError::Ended { node: node.clone(), status, log: daemon.log() })
    }

    /// Makes a node vanish: all its cables are cut silently, then its daemon dies.
    ///
    /// # Errors
    /// The lab's.
    pub fn crash(&mut self, node: &NodeName) -> Result<(), RehearseError> {
        self.lab.detach(&node_machine(node))?;
        if let Some(mut daemon) = self.daemons.remove(node) {
            daemon.kill()?;
        }
        Ok(())
    }

    /// Brings a vanished node back as a machine that was turned on again: it holds nothing.
    ///
    /// # Errors
    /// When what it held cannot be removed, or its daemon not be started.
    pub fn reboot(&mut self, node: &NodeName) -> Result<(), RehearseError> {
        self.order(node, &["clean"])?;
        self.lab.attach(&node_machine(node))?;
        self.start_daemon(node)
    }

    /// Gives a command on a node, as its operator would, and waits for its end.
    ///
    /// # Errors
    /// When it reports failure.
    pub fn order(&self, node: &NodeName, words: &[&str]) -> Result<(), RehearseError> {
        let output = self.machine(node).output(self.baton(node).args(words))?;
        if output.status.success() {
            return Ok(());
        }
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(RehearseError::Ended { node: node.clone(), status: output.status, log })
    }

    /// Returns the machine of a node.
    pub fn machine(&self, node: &NodeName) -> &Namespace {
        self.lab.namespace(&node_machine(node))
    }

    /// Returns the nodes that hold an address.
    ///
    /// # Errors
    /// The lab's.
    pub fn holders(&self, address: IpAddr) -> lab::Result<Vec<&'rehearsal NodeName>> {
        let mut holders = Vec::new();
        for node in self.nodes.names() {
            if self.machine(node).holds(address)? {
                holders.push(node);
            }
        }
        Ok(holders)
    }

    /// Returns what a node's daemon says of itself; nothing while it does not answer.
    pub fn status(&self, node: &NodeName) -> Option<NodeView> {
        let socket = self.folder.socket(node);
        self.watch.runtime.block_on(client::ask(&socket, Method::GET, "/status")).ok()
    }

    /// Starts the client and waits for its first answer.
    ///
    /// # Errors
    /// When none comes.
    pub fn client(&self) -> Result<Prober, RehearseError> {
        let client = self.lab.namespace(CLIENT);
        let prober = match &self.target.question {
            Question::Web { address, .. } => Prober::web(client, *address, self.pace)?,
            Question::Echo { address } => Prober::echo(client, *address, self.pace)?,
        };
        prober.wait_for_answer(Instant::now(), self.limit())?;
        Ok(prober)
    }

    /// Lets the client go on until it is served again and no earlier request is open, and returns what it saw since a
    /// moment.
    ///
    /// # Errors
    /// When it is not served again.
    pub fn observe(&self, client: Prober, since: Instant) -> Result<Timeline, RehearseError> {
        let recovered = Instant::now();
        client.wait_for_answer(recovered, self.limit())?;
        self.watch.wait_until("The end of the client's patience", self.limit(), || {
            Ok(recovered.elapsed() >= PATIENCE)
        })?;
        Ok(client.stop()?.since(since))
    }

    /// Waits until everything is as it should be: each virtual address is held by exactly one node, the preferred node is
    /// Active if it takes over, and all checked real servers are fit in every node's eyes.
    ///
    /// # Errors
    /// What is not so after [`Self::limit`].
    pub fn settle(&self) -> Result<(), RehearseError> {
        let mut obstacle = String::new();
        let settled = self.watch.wait_until("Peace", self.limit(), || {
            obstacle = self.obstacle()?.unwrap_or_default();
            Ok(obstacle.is_empty())
        });
        match settled {
            Err(RehearseError::Lab(lab::Error::TimedOut { limit, .. })) => {
                Err(RehearseError::Unsettled { obstacle, limit })
            }
            outcome => outcome,
        }
    }

    /// How long anything may take: the slowest virtual router's election and [`SLACK`].
    pub fn limit(&self) -> Duration {
        let routers = self.nodes.routers().into_values().flatten();
        let waits = routers.map(|(_, router)| {
            let unheard = match router.preemption {
                Preemption::Allowed => Duration::ZERO,
                Preemption::Refused => router.restraint.unheard,
            };
            router.interval.active_down(router.version, router.priority).max(unheard) + router.start_delay
        });
        2 * waits.max().unwrap_or_default() + SLACK
    }

    /// Returns the end of each daemon's log.
    pub fn logs(&self) -> String {
        let logs = self.daemons.iter().map(|(node, daemon)| {
            let log = daemon.log();
            let lines: Vec<_> = log.lines().collect();
            format!("--- log of {node}\n{}\n", lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"))
        });
        logs.collect()
    }

    /// What is not as it should be.
    fn obstacle(&self) -> lab::Result<Option<String>> {
        for node in self.nodes.names() {
            let Some(status) = self.status(node) else { return Ok(Some(format!("{node} gives no status"))) };
            if let Some(obstacle) = idle_router(&status).or_else(|| self.unfit_server(&status)) {
                return Ok(Some(format!("{node} says that {obstacle}")));
            }
        }
        for (_, router, held) in self.nodes.virtual_addresses() {
            let address = held.address;
            if is_link_local(address) {
                continue;
            }
            match self.holders(address)?.as_slice() {
                [active] if address != self.target.address() || self.nodes.may_keep(router, active) => {}
                [active] => return Ok(Some(format!("{active} still has {address}"))),
                [] => return Ok(Some(format!("nobody holds {address}"))),
                [first, second, ..] => {
                    return Ok(Some(format!("{first} and {second} both hold {address}")));
                }
            }
        }
        Ok(None)
    }

    /// A real server of the one virtual server that the client asks for, which does not serve.
    fn unfit_server(&self, status: &NodeView) -> Option<String> {
        let Question::Web { server, .. } = &self.target.question else { return None };
        let Some(server) = status.virtual_servers.get(server.as_str()) else {
            return Some(format!("it has no virtual server {server}"));
        };
        let mut real_servers = server.real_servers.iter();
        let unfit = real_servers.find(|(_, real_server)| real_server.state != "up");
        unfit.map(|(address, real_server)| {
            format!("real server {address} is {}: {}", real_server.state, real_server.reason)
        })
    }

    /// The command line that every command about a node begins with.
    fn baton(&self, node: &NodeName) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.file).args(["--node", node.as_str()]);
        command.arg("--socket").arg(self.folder.socket(node));
        command
    }
}

/// A virtual router that takes no part.
fn idle_router(status: &NodeView) -> Option<String> {
    let mut routers = status.virtual_routers.iter();
    let idle = routers.find(|(_, router)| !matches!(router.state.as_str(), "active" | "backup"));
    idle.map(|(name, router)| {
        format!("virtual router {name} is in state {}: {}", router.state, router.reason)
    })
}

/// Where the daemons keep their sockets and records; removed when it is dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn make() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("baton-rehearsal-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    fn socket(&self, node: &NodeName) -> PathBuf {
        self.0.join(node_machine(node)).join("baton.sock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in the temporary folder harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}
