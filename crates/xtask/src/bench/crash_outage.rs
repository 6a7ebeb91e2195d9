//! How long an address is away when the machine that holds it vanishes without a word.

use std::time::{Duration, Instant};

use lab::Lab;

use super::contender::{Contender, Each, Programs};
use super::duty::{FIRST, PAIR, Routers};
use super::error::BenchError;
use super::group::{Group, laboratory};
use super::table::{Goal, Quantity, Row, median};

/// How often each program is crashed at each interval.
const RUNS: usize = 5;

/// Crashes both programs in turn at each interval.
pub(crate) fn measure(programs: &Programs) -> Result<Vec<Row>, BenchError> {
    let intervals = [1000, 100, 10].map(Duration::from_millis);
    intervals.into_iter().map(|interval| measure_at(programs, interval)).collect()
}

fn measure_at(programs: &Programs, interval: Duration) -> Result<Row, BenchError> {
    let routers = Routers::one(PAIR, interval);
    let floor = routers.floor();
    let lab = laboratory(routers)?;
    let mut outages = Each::<Vec<Duration>>::default();
    for round in 1..=RUNS {
        for contender in Contender::BOTH {
            let outage = crash(&lab, programs, contender, routers)?;
            println!("crash at {interval:?}, {contender} {round}: {:.1} ms", outage.as_secs_f64() * 1e3);
            outages.of(contender).push(outage);
        }
    }
    let limit = floor * 102 / 100 + Duration::from_millis(2);
    Ok(Row {
        figure: format!("crash at {interval:?}: last advertisement to first answer (n={RUNS})"),
        keepalived: Some(Quantity::Time(median(&outages.keepalived))),
        baton: Quantity::Time(median(&outages.baton)),
        goal: Goal::AtMost(Quantity::Time(limit), format!("floor {}", Quantity::Time(floor))),
    })
}

/// From the last advertisement that the client heard of the first node to the first answer of the second.
fn crash(
    lab: &Lab,
    programs: &Programs,
    contender: Contender,
    routers: Routers,
) -> Result<Duration, BenchError> {
    let group = Group::elect(lab, programs, &[contender; 2], routers)?;
    let prober = group.ask()?;

    let crash = Instant::now();
    lab.detach(FIRST.name)?;
    let detached = Instant::now();
    prober.wait_for_answer(detached, group.limit())?;
    let gap = prober.stop()?.since(crash).longest_gap();
    let last = group.advertisements().last_of(FIRST.address, gap.to);

    group.end()?;
    lab.attach(FIRST.name)?;
    let last = last.ok_or_else(|| BenchError::Unexpected("The first node was never heard".to_owned()))?;
    Ok(gap.to.duration_since(last))
}
