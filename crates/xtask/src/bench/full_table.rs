//! How long a whole table takes: from the start of a process, and the writes alone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::contender::{Contender, Each, Programs};
use super::duty::{Balancer, WEIGHT};
use super::error::BenchError;
use super::machine::{Looks, Machine};
use super::monitor::Overheard;
use super::table::{Goal, Quantity, Row, median};

/// How often each program builds the table, after once that does not count because files are read for the first time.
const RUNS: usize = 5;
/// How often the writes alone are measured.
const WRITES_RUNS: usize = 5;

const BALANCER: Balancer = Balancer { one_weight: WEIGHT };

/// What was measured.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct FullTable {
    /// From the start of the process to the complete table.
    whole: Each<Vec<Duration>>,
    /// Baton's part of it from the first write to the acknowledgement of the last.
    writes: Vec<Duration>,
    /// The same of a sender that does nothing but send what it had prepared.
    bare: Vec<Duration>,
}

impl FullTable {
    /// Measures on the running kernel.
    pub(crate) fn measure(programs: &Programs) -> Result<Self, BenchError> {
        let mut measured = Self::default();
        for round in 0..=RUNS {
            for contender in Contender::BOTH {
                let mut machine = Machine::new()?;
                let built = machine.build(programs, contender, BALANCER, Looks::Timing)?;
                println!("full table, {contender} {round}: {:?}", built.time);
                if round > 0 {
                    measured.whole.of(contender).push(built.time);
                }
                machine.end(Some(built))?;
            }
        }
        for round in 1..=WRITES_RUNS {
            let mut machine = Machine::new()?;
            let monitor = machine.overhear()?;
            let built = machine.build(programs, Contender::Baton, BALANCER, Looks::Waiting)?;
            let time = writing_time(&machine.overheard(monitor)?)?;
            println!("writes alone, baton {round}: {time:?}");
            measured.writes.push(time);
            machine.end(Some(built))?;

            let mut machine = Machine::new()?;
            let batches = machine.ipvs.batches(BALANCER);
            let monitor = machine.overhear()?;
            batches.iter().try_for_each(|batch| machine.ipvs.send(batch))?;
            let time = writing_time(&machine.overheard(monitor)?)?;
            println!("writes alone, bare {round}: {time:?}");
            measured.bare.push(time);
            machine.end(None)?;
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
                keepalived: None,
                baton: time(&self.writes),
                goal: Goal::AtMost(
                    Quantity::Time(2 * bare),
                    format!("2 × a bare batched sender, {}", Quantity::Time(bare)),
                ),
            },
        ]
    }
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
