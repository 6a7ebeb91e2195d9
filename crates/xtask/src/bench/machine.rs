//! A machine whose load balancer is programmed and watched.

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use lab::{Namespace, Process, Signal, wait_until};

use super::contender::{Contender, Folder, Programs};
use super::duty::{Balancer, Duty, FIRST};
use super::error::BenchError;
use super::ipvs::Ipvs;
use super::monitor::{Monitor, Overheard};

/// How long a table may take.
const TABLE_LIMIT: Duration = Duration::from_mins(2);
/// How many lines of a log are shown when something went wrong.
const LOG_LINES: usize = 20;
/// How long killed processes may take to be gone.
const DEATH_LIMIT: Duration = Duration::from_secs(30);
/// How long the kernel is given to take a namespace with a large table apart.
const REST: Duration = Duration::from_secs(1);

/// A network namespace of its own with an empty table.
///
/// A new one for each run: for two minutes the kernel searches what was removed from a table whenever something is added
/// to it (`ip_vs_trash_get_dest` in `net/netfilter/ipvs/ip_vs_ctl.c`), so that a second run would take much longer.
#[derive(Debug)]
pub(crate) struct Machine {
    namespace: Namespace,
    pub(crate) ipvs: Ipvs,
}

/// How often the table is looked at while it is built.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Looks {
    /// Often enough to tell when it was complete, and so seldom that looking takes next to no time that building needs.
    Timing,
    /// So seldom that they take nothing: the times are overheard.
    Waiting,
}

impl Looks {
    fn pause(self) -> Duration {
        match self {
            Self::Timing => Duration::from_millis(5),
            Self::Waiting => Duration::from_secs(1),
        }
    }
}

/// A program that has built the table.
#[derive(Debug)]
pub(crate) struct Built {
    /// The program.
    pub(crate) daemon: Process,
    /// Its configuration.
    pub(crate) configuration: PathBuf,
    /// From the start of the process to the complete table.
    pub(crate) time: Duration,
    _folder: Folder,
}

impl Machine {
    /// Makes one.
    pub(crate) fn new() -> Result<Self, BenchError> {
        let namespace = Namespace::new("balancer")?;
        let ipvs = Ipvs::open(&namespace)?;
        Ok(Self { namespace, ipvs })
    }

    /// Starts to record what is said to IPVS.
    pub(crate) fn overhear(&self) -> Result<Monitor, BenchError> {
        Monitor::start(&self.namespace, self.ipvs.family())
    }

    /// Ends a recording and returns what it holds.
    pub(crate) fn overheard(&self, monitor: Monitor) -> Result<Overheard, BenchError> {
        monitor.stop(&self.namespace)
    }

    /// Starts a program and waits for the complete table.
    pub(crate) fn build(
        &mut self,
        programs: &Programs,
        contender: Contender,
        balancer: Balancer,
        looks: Looks,
    ) -> Result<Built, BenchError> {
        let (folder, duty) = (Folder::new()?, Duty::Balancer(balancer));
        let configuration = Programs::configure(contender, duty, FIRST, folder.path())?;
        let start = Instant::now();
        let daemon = programs.start(contender, duty, FIRST, &self.namespace, &configuration)?;
        match self.wait_for_table(looks) {
            Ok(complete) => {
                Ok(Built { daemon, configuration, time: complete.duration_since(start), _folder: folder })
            }
            Err(error) => {
                let log = daemon.log();
                let lines: Vec<_> = log.lines().collect();
                let end = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
                Err(BenchError::Unexpected(format!("{error}; the log of {contender} ends with:\n{end}")))
            }
        }
    }

    /// Takes everything away, without letting a program clean up, which would only take time.
    pub(crate) fn end(self, built: Option<Built>) -> Result<(), BenchError> {
        let namespace = self.namespace;
        // A parent that runs on would replace its children, and a child would begin to clean up.
        namespace.signal_all(Signal::STOP)?;
        namespace.signal_all(Signal::KILL)?;
        drop(built);
        wait_until("The end of all processes", DEATH_LIMIT, || Ok(namespace.processes()?.is_empty()))?;
        namespace.run(&["ipvsadm", "--clear"])?;
        drop(namespace);
        thread::sleep(REST);
        Ok(())
    }

    /// Waits until every service has every real server, and returns when the last one was seen to be complete.
    ///
    /// The last service is watched, because both programs write in ascending order; a look at all the others then finds
    /// whether they did. So watching costs next to nothing.
    fn wait_for_table(&mut self, looks: Looks) -> Result<Instant, BenchError> {
        let begin = Instant::now();
        let mut missing: Vec<SocketAddrV4> = Balancer::services().map(|(_, address)| address).collect();
        let mut complete_at = begin;
        while let Some(watched) = missing.pop() {
            let mut is_first_look = true;
            while self.ipvs.real_servers(watched)?.len() < usize::from(Balancer::REAL_SERVERS) {
                if begin.elapsed() > TABLE_LIMIT {
                    let what = "The complete table".to_owned();
                    return Err(lab::Error::TimedOut { what, limit: TABLE_LIMIT }.into());
                }
                is_first_look = false;
                thread::sleep(looks.pause());
            }
            // Of those that are complete when they are first looked at it is not known when they became so.
            if !is_first_look {
                complete_at = Instant::now();
            }
        }
        Ok(complete_at)
    }
}
