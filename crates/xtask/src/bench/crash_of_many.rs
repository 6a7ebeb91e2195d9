//! How long it takes until all of 255 virtual routers are taken over from a machine that vanishes without a word.

use std::time::{Duration, Instant};

use lab::{Lab, wait_until};

use super::contender::{Contender, Each, Programs};
use super::duty::{FIRST, PAIR, Routers, SECOND};
use super::error::BenchError;
use super::group::{Group, laboratory};
use super::table::{Goal, Quantity, Row, median};

/// How often each program is crashed.
const RUNS: usize = 3;

const ROUTERS: Routers = Routers { count: 255, ..Routers::one(PAIR, Duration::from_millis(100)) };

/// Crashes both programs in turn.
pub(crate) fn measure(programs: &Programs) -> Result<Vec<Row>, BenchError> {
    let lab = laboratory(ROUTERS)?;
    let mut silences = Each::<Vec<Duration>>::default();
    for round in 1..=RUNS {
        for contender in Contender::BOTH {
            let silence = crash(&lab, programs, contender)?;
            println!("crash of many, {contender} {round}: {:.1} ms", silence.as_secs_f64() * 1e3);
            silences.of(contender).push(silence);
        }
    }
    let floor = ROUTERS.floor();
    let (count, interval) = (ROUTERS.count, ROUTERS.interval);
    Ok(vec![Row {
        figure: format!(
            "crash of {count} virtual routers at {interval:?}: the longest from last advertisement to first of the successor (n={RUNS})"
        ),
        keepalived: Some(Quantity::Time(median(&silences.keepalived))),
        baton: Quantity::Time(median(&silences.baton)),
        goal: Goal::AtMost(Quantity::Time(floor * 101 / 100), format!("floor {}", Quantity::Time(floor))),
    }])
}

/// The longest that one of the virtual routers was without a word.
fn crash(lab: &Lab, programs: &Programs, contender: Contender) -> Result<Duration, BenchError> {
    let group = Group::elect(lab, programs, &[contender; 2], ROUTERS)?;
    group.wait_for_holder_of_all(FIRST)?;
    let crash = Instant::now();
    lab.detach(FIRST.name)?;
    let successions = || group.advertisements().successions(FIRST.address, SECOND.address, crash);
    let what = format!("The take-over of all virtual routers by {}", SECOND.name);
    let taken = wait_until(&what, group.limit(), || Ok(successions().len() == usize::from(ROUTERS.count)));
    if taken.is_err() {
        println!("{contender}: {} of {} were taken over", successions().len(), ROUTERS.count);
    }
    taken?;
    let longest = successions().into_values().max().unwrap_or_default();
    group.end()?;
    lab.attach(FIRST.name)?;
    Ok(longest)
}
