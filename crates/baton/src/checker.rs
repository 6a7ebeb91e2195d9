//! The thread of the health checks: it owns the pools and asks the real servers.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use host::clock::{Alarm, now};
use node::config::Config;
use node::legacy::Legacy;
use node::name::ServerName;
use node::pools::{Pools, PoolsInput, PoolsOutput};
use node::report::Report;
use node::status::PoolsStatus;
use probe::Prober;
use tokio::sync::{mpsc, oneshot};
use virtual_server::health::Verdict;

use crate::bond::{Bond, Word};
use crate::desire::Desire;
use crate::journal::Journal;

/// What others want of the checker.
#[derive(Debug)]
pub enum CheckerCommand {
    /// Go on with this configuration.
    Reload(Arc<Config>),
    /// Say how everything is.
    Status(oneshot::Sender<PoolsStatus>),
}

/// The virtual servers of this node at work.
pub struct Checker {
    pools: Pools,
    prober: Prober,
    alarm: Alarm,
    commands: mpsc::Receiver<CheckerCommand>,
    desire: Desire,
    journal: Journal,
    bond: Bond,
}

/// What the checker is connected to.
pub struct Connections {
    /// What others want of it.
    pub commands: mpsc::Receiver<CheckerCommand>,
    /// Where its tables go.
    pub desire: Desire,
    /// Where its events go.
    pub journal: Journal,
    /// Where its verdicts outlive it.
    pub bond: Bond,
}

enum Wake {
    Input(PoolsInput),
    Reload(Arc<Config>),
    Status(oneshot::Sender<PoolsStatus>),
}

impl Checker {
    /// Returns a checker for this configuration that goes on with what was left to it; has to be called inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// The kernel's, when it gives no timer.
    pub fn new(config: Arc<Config>, legacy: &Legacy, connections: Connections) -> io::Result<Self> {
        let Connections { commands, desire, journal, bond } = connections;
        let mut pools = Pools::new(config);
        pools.inherit(legacy);
        Ok(Self { pools, prober: Prober::new(), alarm: Alarm::new()?, commands, desire, journal, bond })
    }

    /// Checks until nobody can want anything any more.
    ///
    /// # Errors
    /// The kernel's or the reactor's, when its timer fails.
    pub async fn run(mut self) -> io::Result<()> {
        self.handle(PoolsInput::Start);
        self.desire.set_tables(self.pools.tables());
        loop {
            self.alarm.set(self.pools.next_deadline())?;
            let wake = tokio::select! {
                command = self.commands.recv() => match command {
                    Some(CheckerCommand::Reload(config)) => Wake::Reload(config),
                    Some(CheckerCommand::Status(asked)) => Wake::Status(asked),
                    None => return Ok(()),
                },
                (probe, outcome) = self.prober.next() => Wake::Input(PoolsInput::Probed { probe, outcome }),
                expired = self.alarm.expired() => expired.map(|()| Wake::Input(PoolsInput::Deadline))?,
            };
            match wake {
                Wake::Input(input) => self.handle(input),
                Wake::Reload(config) => self.reload(config),
                Wake::Status(asked) => {
                    // Whoever asked may have gone away meanwhile, which is its own affair.
                    let _ = asked.send(self.pools.status());
                }
            }
        }
    }

    fn reload(&mut self, config: Arc<Config>) {
        let before = self.pools.verdicts();
        self.handle(PoolsInput::Reload(config));
        let after = self.pools.verdicts();
        self.bond.tell(difference(&before, &after));
    }

    fn handle(&mut self, input: PoolsInput) {
        let mut tables_changed = false;
        for output in self.pools.handle(input, now()) {
            match output {
                PoolsOutput::Probe(request) => self.prober.start(request),
                PoolsOutput::TablesChanged => tables_changed = true,
                PoolsOutput::Report(report) => {
                    self.bond.tell(verdict_in(&report));
                    self.journal.tell(report);
                }
            }
        }
        if tables_changed {
            self.desire.set_tables(self.pools.tables());
        }
    }
}

/// Returns the word of the verdict that an event is about.
fn verdict_in(report: &Report) -> Option<Word> {
    let (server, real_server, verdict) = if let Report::RealServerUp { server, real_server } = report {
        (server, real_server, Verdict::Up { bad: 0 })
    } else if let Report::RealServerDown { server, real_server, .. } = report {
        (server, real_server, Verdict::Down { good: 0 })
    } else {
        return None;
    };
    Some(Word::real_server(server, *real_server, Some(verdict)))
}

/// Returns the words of what is known now and was not before, and of what is not known any more.
fn difference(
    before: &BTreeMap<(ServerName, SocketAddr), Verdict>,
    after: &BTreeMap<(ServerName, SocketAddr), Verdict>,
) -> Vec<Word> {
    let gone = before.keys().filter(|key| !after.contains_key(key)).map(|key| (key, None));
    let known = after.iter().filter(|(key, verdict)| before.get(key) != Some(verdict));
    let known = known.map(|(key, verdict)| (key, Some(*verdict)));
    gone.chain(known)
        .map(|((server, address), verdict)| Word::real_server(server, *address, verdict))
        .collect()
}
