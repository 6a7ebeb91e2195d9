//! How long one changed weight among ten thousand real servers takes, and what else is written for it.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use lab::Signal;
use serde::{Deserialize, Serialize};

use super::contender::{Contender, Each, Programs};
use super::duty::{Balancer, Duty, FIRST, WEIGHT};
use super::error::BenchError;
use super::machine::{Built, Looks, Machine};
use super::table::{Goal, Quantity, Row, median};

/// How often each program changes the weight, after once that does not count.
const RUNS: u32 = 5;
/// How long a reload may take.
const LIMIT: Duration = Duration::from_mins(1);
/// How long to rest between two looks at the weight; when it changed is known from the recording.
const PAUSE: Duration = Duration::from_millis(20);

/// What was measured.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct OneWeight {
    /// From the signal to the kernel's acknowledgement.
    times: Each<Vec<Duration>>,
    /// How many IPVS writes there were.
    writes: Each<Vec<u32>>,
}

impl OneWeight {
    /// Measures on the running kernel.
    pub(crate) fn measure(programs: &Programs) -> Result<Self, BenchError> {
        let mut measured = Self::default();
        for contender in Contender::BOTH {
            let mut machine = Machine::new()?;
            let built =
                machine.build(programs, contender, Balancer { one_weight: WEIGHT }, Looks::Waiting)?;
            for round in 0..=RUNS {
                let (time, writes) = change(&mut machine, contender, &built, WEIGHT + round + 1)?;
                println!("one weight, {contender} {round}: {time:?}, {writes} writes");
                if round > 0 {
                    measured.times.of(contender).push(time);
                    measured.writes.of(contender).push(writes);
                }
            }
            machine.end(Some(built))?;
        }
        Ok(measured)
    }

    /// What was measured, on which kernel.
    pub(crate) fn rows(&self, kernel: &str) -> Vec<Row> {
        let what = format!("{kernel}: one changed weight among 10,000 on reload");
        let most = |counts: &[u32]| Quantity::Count(counts.iter().copied().max().unwrap_or_default());
        vec![
            Row {
                figure: format!("{what} (n={RUNS})"),
                keepalived: Some(Quantity::Time(median(&self.times.keepalived))),
                baton: Quantity::Time(median(&self.times.baton)),
                goal: Goal::Ratio(0.5),
            },
            Row {
                figure: format!("{what}: IPVS writes, the most of {RUNS}"),
                keepalived: Some(most(&self.writes.keepalived)),
                baton: most(&self.writes.baton),
                goal: Goal::AtMost(Quantity::Count(1), String::new()),
            },
        ]
    }
}

/// Changes the weight; returns how long that took and how many writes there were.
fn change(
    machine: &mut Machine,
    contender: Contender,
    built: &Built,
    weight: u32,
) -> Result<(Duration, u32), BenchError> {
    let folder = built.configuration.parent().expect("a file stands in a folder");
    let duty = Duty::Balancer(Balancer { one_weight: weight });
    let monitor = machine.overhear()?;
    Programs::configure(contender, duty, FIRST, folder)?;
    let signalled = SystemTime::now();
    built.daemon.signal(Signal::HUP)?;
    wait_for_weight(machine, weight)?;
    // The recording goes on for a while, so that a program that writes more than it should is caught at it.
    let overheard = machine.overheard(monitor)?;
    let time = overheard.done_since(signalled);
    let time = time.ok_or_else(|| BenchError::Unexpected("No write was answered".to_owned()))?;
    let writes = u32::try_from(overheard.writes.len()).expect("there are not so many real servers");
    Ok((time, writes))
}

fn wait_for_weight(machine: &mut Machine, weight: u32) -> Result<(), BenchError> {
    let begin = Instant::now();
    let (service, real_server) = Balancer::chosen();
    while machine.ipvs.real_servers(service)?.get(&real_server) != Some(&weight) {
        if begin.elapsed() > LIMIT {
            let what = "The changed weight".to_owned();
            return Err(lab::Error::TimedOut { what, limit: LIMIT }.into());
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}
