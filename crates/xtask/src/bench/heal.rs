//! How long two nodes own an address when a split heals, and when a better node comes back.

use std::thread::sleep;
use std::time::{Duration, Instant};

use lab::{Lab, wait_until};

use super::contender::{Contender, END_LIMIT, Each, Programs};
use super::duty::{FIRST, PAIR, Routers, SECOND};
use super::error::BenchError;
use super::group::{Group, laboratory};
use super::owners::{Course, Crossing, Owners};
use super::table::{Goal, Quantity, Row, median};

/// How often each is done.
const RUNS: usize = 5;
/// What nobody may notice of a return, with two owners or none: an advertisement's way and a kernel's write.
const CROSSING_GOAL: Duration = Duration::from_micros(100);

/// Splits and heals both programs in turn at two intervals, and lets their first nodes come back.
pub(crate) fn measure(programs: &Programs) -> Result<Vec<Row>, BenchError> {
    let mut rows = Vec::new();
    for interval in [1000, 100].map(Duration::from_millis) {
        rows.push(measure_heal(programs, Routers::one(PAIR, interval))?);
    }
    rows.extend(measure_return(programs, Routers::one(PAIR, Duration::from_secs(1)))?);
    Ok(rows)
}

fn measure_heal(programs: &Programs, routers: Routers) -> Result<Row, BenchError> {
    let lab = laboratory(routers)?;
    let interval = routers.interval;
    let mut times = Each::<Vec<Duration>>::default();
    for round in 1..=RUNS {
        // So that a heal does not always come at the same moment of the interval.
        let phase = interval * u32::try_from(round).expect("there are few runs") / 7;
        for contender in Contender::BOTH {
            let time = heal(&lab, programs, contender, routers, phase)?;
            println!("heal at {interval:?}, {contender} {round}: {:.1} ms", time.as_secs_f64() * 1e3);
            times.of(contender).push(time);
        }
    }
    Ok(Row {
        figure: format!("heal at {interval:?}: until one node has the address (n={RUNS})"),
        keepalived: Some(Quantity::Time(median(&times.keepalived))),
        baton: Quantity::Time(median(&times.baton)),
        goal: Goal::Ratio(1.0),
    })
}

/// From the end of a split to the moment at which the second node's kernel has given the address up.
fn heal(
    lab: &Lab,
    programs: &Programs,
    contender: Contender,
    routers: Routers,
    phase: Duration,
) -> Result<Duration, BenchError> {
    let group = Group::elect(lab, programs, &[contender; 2], routers)?;
    let owners = Owners::watch(lab, PAIR, group.address())?;
    // Mended by one command, so that it is known when to a few milliseconds.
    let cable = lab.port(SECOND.name, "eth0");
    cable.detach()?;
    let address = group.address().into();
    let both = [FIRST.name, SECOND.name];
    wait_until("Two owners", group.limit(), || Ok(lab.holders(address)? == both))?;
    sleep(routers.interval + phase);
    let healed = Instant::now();
    cable.attach()?;
    let left = || owners.first(healed, |change| change.is(SECOND, Course::Left));
    wait_until("One owner", group.limit(), || Ok(left().is_ok()))?;
    group.wait_for_holder(FIRST)?;
    group.end()?;
    Ok(left()?.duration_since(healed))
}

/// What the return of a better node cost.
#[derive(Clone, Copy, Debug)]
struct Return {
    lost: u32,
    crossing: Crossing,
}

fn measure_return(programs: &Programs, routers: Routers) -> Result<[Row; 2], BenchError> {
    let lab = laboratory(routers)?;
    let mut returns = Each::<Vec<Return>>::default();
    for round in 1..=RUNS {
        for contender in Contender::BOTH {
            let cost = come_back(&lab, programs, contender, routers)?;
            println!("return, {contender} {round}: {} lost, {}", cost.lost, cost.crossing);
            returns.of(contender).push(cost);
        }
    }
    let lost =
        |costs: &[Return]| Quantity::Count(costs.iter().map(|cost| cost.lost).max().unwrap_or_default());
    let crossing = |costs: &[Return]| {
        Quantity::Crossing(median(&costs.iter().map(|cost| cost.crossing).collect::<Vec<_>>()))
    };
    let figure = format!("preempting return, at {:?}", routers.interval);
    Ok([
        Row {
            figure: format!("{figure}: lost of 1,000 requests a second, the most of {RUNS}"),
            keepalived: Some(lost(&returns.keepalived)),
            baton: lost(&returns.baton),
            goal: Goal::AtMost(Quantity::Count(0), String::new()),
        },
        Row {
            figure: format!("{figure}: time with two owners or none (n={RUNS})"),
            keepalived: Some(crossing(&returns.keepalived)),
            baton: crossing(&returns.baton),
            goal: Goal::AtMost(Quantity::Time(CROSSING_GOAL), String::new()),
        },
    ])
}

/// The first node ends, the second serves, and the first comes back.
fn come_back(
    lab: &Lab,
    programs: &Programs,
    contender: Contender,
    routers: Routers,
) -> Result<Return, BenchError> {
    let mut group = Group::elect(lab, programs, &[contender; 2], routers)?;
    group.daemon(FIRST).terminate(END_LIMIT)?;
    group.wait_for_holder(SECOND)?;
    let owners = Owners::watch(lab, PAIR, group.address())?;
    let prober = group.ask()?;
    let begin = Instant::now();
    group.restart(programs, contender, FIRST)?;
    group.wait_for_holder(FIRST)?;
    prober.wait_for_answer(Instant::now(), group.limit())?;
    let seen = prober.stop()?.since(begin);
    let taken = owners.first(begin, |change| change.is(FIRST, Course::Taken))?;
    let left = owners.first(begin, |change| change.is(SECOND, Course::Left))?;
    group.end()?;
    let lost = u32::try_from(seen.lost()).expect("there are few requests");
    Ok(Return { lost, crossing: Crossing::new(taken, left) })
}
