//! The thread of the health checks: it owns the pools and asks the real servers.

use std::io;
use std::sync::Arc;

use host::clock::{Alarm, now};
use node::config::Config;
use node::pools::{Pools, PoolsInput, PoolsOutput};
use node::status::PoolsStatus;
use probe::Prober;
use tokio::sync::{mpsc, oneshot};

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
}

enum Wake {
    Input(PoolsInput),
    Status(oneshot::Sender<PoolsStatus>),
}

impl Checker {
    /// Returns a checker for this configuration; has to be called inside a tokio runtime.
    ///
    /// # Errors
    /// The kernel's, when it gives no timer.
    pub fn new(
        config: Arc<Config>,
        commands: mpsc::Receiver<CheckerCommand>,
        desire: Desire,
        journal: Journal,
    ) -> io::Result<Self> {
        let (pools, prober, alarm) = (Pools::new(config), Prober::new(), Alarm::new()?);
        Ok(Self { pools, prober, alarm, commands, desire, journal })
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
                    Some(CheckerCommand::Reload(config)) => Wake::Input(PoolsInput::Reload(config)),
                    Some(CheckerCommand::Status(asked)) => Wake::Status(asked),
                    None => return Ok(()),
                },
                (probe, outcome) = self.prober.next() => Wake::Input(PoolsInput::Probed { probe, outcome }),
                expired = self.alarm.expired() => expired.map(|()| Wake::Input(PoolsInput::Deadline))?,
            };
            match wake {
                Wake::Input(input) => self.handle(input),
                Wake::Status(asked) => {
                    // Whoever asked may have gone away meanwhile, which is its own affair.
                    let _ = asked.send(self.pools.status());
                }
            }
        }
    }

    fn handle(&mut self, input: PoolsInput) {
        let mut tables_changed = false;
        for output in self.pools.handle(input, now()) {
            match output {
                PoolsOutput::Probe(request) => self.prober.start(request),
                PoolsOutput::TablesChanged => tables_changed = true,
                PoolsOutput::Report(report) => self.journal.tell(report),
            }
        }
        if tables_changed {
            self.desire.set_tables(self.pools.tables());
        }
    }
}
