//! Every virtual server of a node: health, weights, the tables the kernel should hold.
//!
//! 1. Make [`Pools`] from the configuration and hand it [`PoolsInput::Start`].
//! 2. Carry out what it answers: ask each [`ProbeRequest`]'s real server and bring what came of it back as
//!    [`PoolsInput::Probed`], under the same id; tell each [`Report`].
//! 3. Come back with [`PoolsInput::Deadline`] when [`Pools::next_deadline`] has come.
//! 4. After [`PoolsOutput::TablesChanged`] fetch [`Pools::tables`]. Several inputs may be handled before: the tables are
//!    put together when they are asked for, from what changed since the last time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use monotonic::Instant;
use virtual_server::health::{Check, Health, Roster, Verdict};
pub use virtual_server::health::{Outcome, ProbeId};
use virtual_server::pool::PoolChange;
use virtual_server::service::ServiceKey;

use crate::config::{Config, VirtualServerConfig};
use crate::host_state::{FollowingService, Tables};
use crate::legacy::Legacy;
use crate::name::ServerName;
use crate::report::Report;
use crate::status::PoolsStatus;
use crate::timers::Timers;

mod virtual_server_state;

use virtual_server_state::VirtualServerState;

/// How often at most probes that this node could not carry out are reported.
pub const INCONCLUSIVE_REPORT_GAP: Duration = Duration::from_mins(1);

/// Something that happened to the virtual servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolsInput {
    /// The node starts.
    Start,
    /// The moment of [`Pools::next_deadline`] has come.
    Deadline,
    /// A probe is over.
    Probed {
        /// The id of its request.
        probe: ProbeId,
        /// What came of it.
        outcome: Outcome,
    },
    /// The configuration was replaced.
    Reload(Arc<Config>),
}

/// Something to be done for the virtual servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolsOutput {
    /// Ask a real server.
    Probe(ProbeRequest),
    /// [`Pools::tables`] has another answer.
    TablesChanged,
    /// Tell the operator.
    Report(Report),
}

/// A question to a real server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRequest {
    /// Under which name the outcome is to be handed back.
    pub id: ProbeId,
    /// Whom to ask.
    pub target: SocketAddr,
    /// What to ask, and how long to wait for the answer.
    pub check: Arc<Check>,
}

/// Every virtual server of a node.
#[derive(Clone, Debug)]
pub struct Pools {
    config: Arc<Config>,
    servers: BTreeMap<ServerName, VirtualServerState>,
    roster: Roster,
    checks: BTreeMap<ProbeId, CheckedServer>,
    timers: Timers<ProbeId>,
    tables: Arc<Tables>,
    /// The virtual servers whose services in [`Self::tables`] may be out of date.
    stale: BTreeSet<ServerName>,
    /// The services in [`Self::tables`] whose virtual server is gone or may have dropped them.
    withdrawn: BTreeSet<ServiceKey>,
    inconclusive_reported: Option<Instant>,
    /// What is known of real servers that are not checked yet.
    inherited: BTreeMap<(ServerName, SocketAddr), Verdict>,
}

#[derive(Clone, Debug)]
struct CheckedServer {
    server: ServerName,
    real_server: SocketAddr,
}

impl Pools {
    /// Returns the virtual servers of this configuration, none of them under way before [`PoolsInput::Start`].
    pub fn new(config: Arc<Config>) -> Self {
        Self {
            config,
            servers: BTreeMap::new(),
            roster: Roster::default(),
            checks: BTreeMap::new(),
            timers: Timers::default(),
            tables: Arc::default(),
            stale: BTreeSet::new(),
            withdrawn: BTreeSet::new(),
            inconclusive_reported: None,
            inherited: BTreeMap::new(),
        }
    }

    /// Takes one input and returns what is to be done, in this order.
    ///
    /// Outcomes of checks that are gone are ignored.
    #[must_use]
    pub fn handle(&mut self, input: PoolsInput, now: Instant) -> Vec<PoolsOutput> {
        match input {
            PoolsInput::Start => {
                let outputs = self.reconfigure(now);
                self.inherited.clear();
                outputs
            }
            PoolsInput::Deadline => self.start_probes(now),
            PoolsInput::Probed { probe, outcome } => self.finish_probe(probe, outcome, now),
            PoolsInput::Reload(config) => {
                self.config = config;
                self.reconfigure(now)
            }
        }
    }

    /// Takes over what the daemon before this one found out; has to come before [`PoolsInput::Start`].
    pub fn inherit(&mut self, legacy: &Legacy) {
        self.inherited.clone_from(&legacy.verdicts);
    }

    /// Returns what is known of the real servers, those of which nothing is known left out.
    pub fn verdicts(&self) -> BTreeMap<(ServerName, SocketAddr), Verdict> {
        let known = |(address, health): (SocketAddr, &Health)| match health.verdict().afresh() {
            Verdict::Checking { .. } => None,
            verdict @ (Verdict::Up { .. } | Verdict::Down { .. }) => Some((address, verdict)),
        };
        let of_server = |(name, server): (&ServerName, &VirtualServerState)| {
            let verdicts: Vec<_> = server.checks().filter_map(known).collect();
            let name = name.clone();
            verdicts.into_iter().map(move |(address, verdict)| ((name.clone(), address), verdict))
        };
        self.servers.iter().flat_map(of_server).collect()
    }

    /// Returns when the next probe is to start.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Returns the services of all virtual servers with the real servers that are to serve.
    ///
    /// What is as it was is the same [`Arc`] as before: the whole, and each service in it.
    pub fn tables(&mut self) -> Arc<Tables> {
        self.refresh_tables();
        self.tables.clone()
    }

    /// Returns how everything is.
    pub fn status(&self) -> PoolsStatus {
        let virtual_servers =
            self.servers.iter().map(|(name, server)| (name.clone(), server.status())).collect();
        PoolsStatus { virtual_servers }
    }

    fn reconfigure(&mut self, now: Instant) -> Vec<PoolsOutput> {
        self.roster.begin_group();
        let mut outputs = Vec::new();
        let config = self.config.clone();
        let mut before = std::mem::take(&mut self.servers);
        for (name, wanted) in &config.virtual_servers {
            let server = match before.remove(name) {
                Some(server) if server.config() == wanted => server,
                Some(server) => self.change(name, server, wanted, now, &mut outputs),
                None => self.admit(name, wanted, now, &mut outputs),
            };
            self.servers.insert(name.clone(), server);
        }
        for (name, server) in before {
            self.forget(&server);
            self.stale.remove(&name);
        }
        if self.refresh_tables() == Refreshed::Changed {
            outputs.push(PoolsOutput::TablesChanged);
        }
        outputs
    }

    fn admit(
        &mut self,
        name: &ServerName,
        config: &Arc<VirtualServerConfig>,
        now: Instant,
        outputs: &mut Vec<PoolsOutput>,
    ) -> VirtualServerState {
        let known = |address| {
            let inherited = self.inherited.get(&(name.clone(), address));
            inherited.copied().unwrap_or(Verdict::UNKNOWN)
        };
        let (server, changes) = VirtualServerState::new(config.clone(), known, &mut self.roster, now);
        outputs.extend(reports(name, &server, changes).map(PoolsOutput::Report));
        self.enter(name, &server);
        server
    }

    fn change(
        &mut self,
        name: &ServerName,
        mut server: VirtualServerState,
        config: &Arc<VirtualServerConfig>,
        now: Instant,
        outputs: &mut Vec<PoolsOutput>,
    ) -> VirtualServerState {
        self.forget(&server);
        let changes = server.reconfigure(config.clone(), &mut self.roster, now);
        outputs.extend(reports(name, &server, changes).map(PoolsOutput::Report));
        self.enter(name, &server);
        server
    }

    fn enter(&mut self, name: &ServerName, server: &VirtualServerState) {
        for (real_server, health) in server.checks() {
            self.checks.insert(health.id(), CheckedServer { server: name.clone(), real_server });
            self.timers.set(health.id(), health.next_probe());
        }
        self.stale.insert(name.clone());
    }

    fn forget(&mut self, server: &VirtualServerState) {
        for (_, health) in server.checks() {
            self.checks.remove(&health.id());
            self.timers.set(health.id(), None);
        }
        self.withdrawn.extend(server.keys());
    }

    fn start_probes(&mut self, now: Instant) -> Vec<PoolsOutput> {
        let mut outputs = Vec::new();
        while let Some(id) = self.timers.pop_due(now) {
            let Some((server, real_server)) = self.checked(id) else { continue };
            if let Some(health) = server.start_probe(real_server, now) {
                let check = health.check().clone();
                outputs.push(PoolsOutput::Probe(ProbeRequest { id, target: real_server, check }));
            }
        }
        outputs
    }

    fn finish_probe(&mut self, id: ProbeId, outcome: Outcome, now: Instant) -> Vec<PoolsOutput> {
        let Some(CheckedServer { server: name, real_server }) = self.checks.get(&id).cloned() else {
            return Vec::new();
        };
        let inconclusive = self.report_inconclusive(&name, real_server, &outcome, now);
        let Some((server, _)) = self.checked(id) else { return Vec::new() };
        let changes = server.finish_probe(real_server, outcome, now);
        let next_probe = server.health(real_server).and_then(Health::next_probe);
        let tables_changed = changes.contains(&PoolChange::Destinations);
        let mut outputs: Vec<_> = inconclusive
            .into_iter()
            .chain(reports(&name, server, changes))
            .map(PoolsOutput::Report)
            .collect();
        self.timers.set(id, next_probe);
        if tables_changed {
            self.stale.insert(name);
            outputs.push(PoolsOutput::TablesChanged);
        }
        outputs
    }

    fn report_inconclusive(
        &mut self,
        server: &ServerName,
        real_server: SocketAddr,
        outcome: &Outcome,
        now: Instant,
    ) -> Option<Report> {
        let reason = match outcome {
            Outcome::Good | Outcome::Bad(_) => return None,
            Outcome::Inconclusive(reason) => reason.clone(),
        };
        if self.inconclusive_reported.is_some_and(|last| now - last < INCONCLUSIVE_REPORT_GAP) {
            return None;
        }
        self.inconclusive_reported = Some(now);
        Some(Report::ProbeInconclusive { server: server.clone(), real_server, reason })
    }

    fn checked(&mut self, id: ProbeId) -> Option<(&mut VirtualServerState, SocketAddr)> {
        let CheckedServer { server, real_server } = self.checks.get(&id)?;
        Some((self.servers.get_mut(server)?, *real_server))
    }

    fn refresh_tables(&mut self) -> Refreshed {
        if self.stale.is_empty() && self.withdrawn.is_empty() {
            return Refreshed::Same;
        }
        let mut tables = Tables::clone(&self.tables);
        for key in std::mem::take(&mut self.withdrawn) {
            tables.0.remove(&key);
        }
        for name in std::mem::take(&mut self.stale) {
            let server =
                self.servers.get_mut(&name).expect("a stale virtual server is one of the configuration");
            tables.0.extend(server.refresh_services());
        }
        if tables == *self.tables {
            return Refreshed::Same;
        }
        self.tables = Arc::new(tables);
        Refreshed::Changed
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refreshed {
    Same,
    Changed,
}

fn reports(
    name: &ServerName,
    server: &VirtualServerState,
    changes: impl IntoIterator<Item = PoolChange>,
) -> impl Iterator<Item = Report> {
    changes.into_iter().filter_map(move |change| server.report(name, change))
}

#[cfg(test)]
mod tests;
