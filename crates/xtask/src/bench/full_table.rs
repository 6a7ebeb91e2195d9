//! How long a whole table takes: from the start of a process, and the writes alone.

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use lab::{Namespace, Process, Signal, wait_until};
use serde::{Deserialize, Serialize};

use super::contender::{Contender, Each, Folder, Programs};
use super::duty::{Balancer, Duty, FIRST, WEIGHT};
use super::error::BenchError;
use super::ipvs::Ipvs;
use super::monitor::{Monitor, Overheard};
use super::table::{Goal, Quantity, Row, median};

/// How often each program builds the table, after once that does not count because files are read for the first time.
const RUNS: usize = 5;
/// How often the writes alone are measured: they do not depend on files.
const WRITES_RUNS: usize = 5;
/// How long a table may take.
const LIMIT: Duration = Duration::from_mins(2);
/// How long to rest between two looks at the table, so that looking takes no time that building needs.
const PAUSE: Duration = Duration::from_millis(5);
/// How many lines of a log are shown when something went wrong.
const LOG_LINES: usize = 20;
/// How long killed processes may take to be gone.
const DEATH_LIMIT: Duration = Duration::from_secs(30);

const BALANCER: Balancer = Balancer { one_weight: WEIGHT };

/// What was measured.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct FullTable {
    /// From the start of the process to the complete table.
    whole: Each<Vec<Duration>>,
    /// From the first write to the acknowledgement of the last.
    writes: Each<Vec<Duration>>,
    /// The same of a sender that does nothing but send what it had prepared.
    bare: Vec<Duration>,
}

impl FullTable {
    /// Measures on the running kernel.
    pub(crate) fn measure(programs: &Programs) -> Result<Self, BenchError> {
        let machine = Namespace::new("table")?;
        let mut ipvs = Ipvs::open(&machine)?;
        let mut measured = Self::default();
        for round in 0..=RUNS {
            for contender in Contender::BOTH {
                let built = Built::start(&machine, &mut ipvs, programs, contender, BALANCER)?;
                println!("full table, {contender} {round}: {:?}", built.time);
                if round > 0 {
                    measured.whole.of(contender).push(built.time);
                }
                built.end(&machine)?;
            }
        }
        for round in 1..=WRITES_RUNS {
            for contender in Contender::BOTH {
                let monitor = Monitor::start(&machine, ipvs.family())?;
                let built = Built::start(&machine, &mut ipvs, programs, contender, BALANCER)?;
                let time = writing_time(&monitor.stop(&machine)?)?;
                println!("writes alone, {contender} {round}: {time:?}");
                measured.writes.of(contender).push(time);
                built.end(&machine)?;
            }
            let batches = ipvs.batches(BALANCER);
            let monitor = Monitor::start(&machine, ipvs.family())?;
            batches.iter().try_for_each(|batch| ipvs.send(batch))?;
            let time = writing_time(&monitor.stop(&machine)?)?;
            println!("writes alone, bare {round}: {time:?}");
            measured.bare.push(time);
            clear(&machine)?;
        }
        Ok(measured)
    }

    /// What was measured, on which kernel, and what should have been.
    pub(crate) fn rows(&self, kernel: &str, goal: f64) -> Vec<Row> {
        let what = format!("{kernel}: 10,000 real servers in 100 services");
        let time = |times: &[Duration]| Quantity::Time(median(times));
        let bare = median(&self.bare);
        vec![
            Row {
                figure: format!("{what}, process start to complete table (n={RUNS})"),
                keepalived: Some(time(&self.whole.keepalived)),
                baton: time(&self.whole.baton),
                goal: Goal::Ratio(goal),
            },
            Row {
                figure: format!("{what}, the writes alone (n={WRITES_RUNS})"),
                keepalived: Some(time(&self.writes.keepalived)),
                baton: time(&self.writes.baton),
                goal: Goal::AtMost(
                    Quantity::Time(2 * bare),
                    format!("2 × a bare batched sender, {}", Quantity::Time(bare)),
                ),
            },
        ]
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

impl Built {
    /// Starts a program and waits for the complete table.
    pub(crate) fn start(
        machine: &Namespace,
        ipvs: &mut Ipvs,
        programs: &Programs,
        contender: Contender,
        balancer: Balancer,
    ) -> Result<Self, BenchError> {
        let (folder, duty) = (Folder::new()?, Duty::Balancer(balancer));
        let configuration = Programs::configure(contender, duty, FIRST, folder.path())?;
        let start = Instant::now();
        let daemon = programs.start(contender, duty, FIRST, machine, &configuration)?;
        match wait_for_table(ipvs) {
            Ok(complete) => {
                Ok(Self { daemon, configuration, time: complete.duration_since(start), _folder: folder })
            }
            Err(error) => {
                let log = daemon.log();
                let lines: Vec<_> = log.lines().collect();
                let end = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
                Err(BenchError::Unexpected(format!("{error}; the log of {contender} ends with:\n{end}")))
            }
        }
    }

    /// Takes program and table away, without the cleaning up that would only take time.
    pub(crate) fn end(self, machine: &Namespace) -> Result<(), BenchError> {
        // A parent that runs on would replace its children, and a child would begin to clean up.
        machine.signal_all(Signal::STOP)?;
        machine.signal_all(Signal::KILL)?;
        drop(self.daemon);
        wait_until("The end of all processes", DEATH_LIMIT, || Ok(machine.processes()?.is_empty()))?;
        clear(machine)
    }
}

/// Waits until every service has every real server, and returns when the last one was seen to be complete.
///
/// The last service is watched, because both programs write in ascending order; a look at all the others then finds
/// whether they did. So watching costs next to nothing.
fn wait_for_table(ipvs: &mut Ipvs) -> Result<Instant, BenchError> {
    let begin = Instant::now();
    let mut missing: Vec<SocketAddrV4> = Balancer::services().map(|(_, address)| address).collect();
    let mut complete_at = begin;
    while let Some(watched) = missing.pop() {
        let mut is_first_look = true;
        while ipvs.real_servers(watched)?.len() < usize::from(Balancer::REAL_SERVERS) {
            if begin.elapsed() > LIMIT {
                let what = "The complete table".to_owned();
                return Err(lab::Error::TimedOut { what, limit: LIMIT }.into());
            }
            is_first_look = false;
            thread::sleep(PAUSE);
        }
        // Of those that are complete when they are first looked at it is not known when they became so.
        if !is_first_look {
            complete_at = Instant::now();
        }
    }
    Ok(complete_at)
}

/// How long the writes of a whole table took.
fn writing_time(overheard: &Overheard) -> Result<Duration, BenchError> {
    let expected = usize::from(Balancer::SERVICES) * (usize::from(Balancer::REAL_SERVERS) + 1);
    let seen = overheard.writes.len();
    if seen != expected {
        return Err(BenchError::Unexpected(format!("{seen} writes were overheard instead of {expected}")));
    }
    overheard.duration().ok_or_else(|| BenchError::Unexpected("No write was answered".to_owned()))
}

fn clear(machine: &Namespace) -> Result<(), BenchError> {
    machine.run(&["ipvsadm", "--clear"])?;
    Ok(())
}
