//! What is noticed when the daemon is killed, alone or with its guard.

use std::thread;
use std::time::{Duration, Instant};

use lab::{Signal, wait_until};

use super::contender::{Contender, Each, Programs};
use super::duty::{FIRST, PAIR, Routers, SECOND};
use super::error::BenchError;
use super::group::{Group, laboratory};
use super::owners::{Change, Course, Owners};
use super::table::{Goal, Quantity, Row};

/// How many pairs of each program run side by side, and how often the daemon of each is killed: 20 times in all.
const PAIRS: u32 = 5;
const DEATHS: u32 = 4;
/// From one death in a pair to the next: of two within a minute the guard takes the second for no accident.
const BETWEEN_DEATHS: Duration = Duration::from_secs(61);
/// How long nothing may be heard of the other node after the last death: longer than it would wait.
const AFTERMATH: Duration = Duration::from_secs(6);
/// How often both are killed together.
const RUNS: u32 = 2;
/// How long Baton's kernel keeps what nobody renews, and how late it may come to it.
const LEASE: Duration = Duration::from_secs(10);
const LEASE_MARGIN: Duration = Duration::from_secs(1);
/// A lease is renewed thrice in its time, whichever daemon runs; what comes sooner is a write of another kind.
const SOONEST_RENEWAL: Duration = Duration::from_millis(3_200);
/// How long an address is waited for that nobody renews, in leases.
const LEASES: u32 = 3;

const ROUTERS: Routers = Routers::one(PAIR, Duration::from_secs(1));

/// Kills what there is to be killed.
pub(crate) fn measure(programs: &Programs) -> Result<Vec<Row>, BenchError> {
    let mut rows = deaths_of_the_daemon(programs)?;
    rows.push(deaths_of_both(programs)?);
    Ok(rows)
}

/// What the deaths of the first node's daemon cost.
#[derive(Clone, Copy, Debug, Default)]
struct Toll {
    /// Advertisements of the other node.
    claims: usize,
    /// Requests that nobody answered.
    lost: usize,
    /// Writes to the address of the first node, without the renewals of its lease.
    rewrites: usize,
}

fn deaths_of_the_daemon(programs: &Programs) -> Result<Vec<Row>, BenchError> {
    // One after the other in the whole laboratory, so that no restart has to share the processors with another one.
    let step = BETWEEN_DEATHS / (2 * PAIRS);
    let Each { keepalived, baton } = side_by_side(PAIRS, step, |contender, delay| {
        let toll = kill_again_and_again(programs, contender, delay)?;
        println!("kill -9 of the daemon {DEATHS} times, {contender}: {toll:?}");
        Ok(toll)
    })?;
    let row = |what: &str, count: fn(&Toll) -> usize| {
        let sum = |tolls: &[Toll]| {
            Quantity::Count(u32::try_from(tolls.iter().map(count).sum::<usize>()).unwrap_or(u32::MAX))
        };
        Row {
            figure: format!(
                "kill -9 of the daemon, {} times in {PAIRS} pairs, a minute apart in each, at {:?}: {what}",
                PAIRS * DEATHS,
                ROUTERS.interval
            ),
            keepalived: Some(sum(&keepalived)),
            baton: sum(&baton),
            goal: Goal::AtMost(Quantity::Count(0), String::new()),
        }
    };
    Ok(vec![
        row("advertisements of the other node", |toll| toll.claims),
        row("lost of 1,000 requests a second", |toll| toll.lost),
        row("writes to the address but for the renewals of its lease", |toll| toll.rewrites),
    ])
}

fn kill_again_and_again(
    programs: &Programs,
    contender: Contender,
    delay: Duration,
) -> Result<Toll, BenchError> {
    let lab = laboratory(ROUTERS)?;
    let mut group = Group::elect(&lab, programs, &[contender; 2], ROUTERS)?;
    let owners = Owners::watch(&lab, &[FIRST], group.address())?;
    let client = group.ask()?;
    let begin = Instant::now();
    thread::sleep(delay);
    for death in 1..=DEATHS {
        group.daemon(FIRST).signal_descendants(Signal::KILL)?;
        thread::sleep(if death < DEATHS { BETWEEN_DEATHS } else { AFTERMATH });
    }
    let toll = Toll {
        claims: group.advertisements().count_of(SECOND.address, begin),
        lost: client.stop()?.since(begin).lost(),
        rewrites: rewrites(&owners.changes(begin)),
    };
    group.end()?;
    Ok(toll)
}

/// How often an address was taken, left, or written sooner than its lease asks for.
fn rewrites(changes: &[Change]) -> usize {
    let mut last = None;
    let is_rewrite = |change: &&Change| {
        let age = last.replace(change.at).map(|last| change.at.duration_since(last));
        match change.course {
            Course::Taken | Course::Left => true,
            Course::Rewritten => age.is_some_and(|age| age < SOONEST_RENEWAL),
        }
    };
    changes.iter().filter(is_rewrite).count()
}

fn deaths_of_both(programs: &Programs) -> Result<Row, BenchError> {
    let Each { keepalived, baton } = side_by_side(RUNS, Duration::from_secs(1), |contender, _| {
        let time = kill_both(programs, contender)?;
        println!("kill -9 of guard and daemon, {contender}: the address is gone after {time:?}");
        Ok(time)
    })?;
    // An address that stayed makes the longest time, and none.
    let longest = |times: &[Option<Duration>]| {
        let all: Option<Vec<_>> = times.iter().copied().collect();
        let longest = all.and_then(|times| times.into_iter().max());
        longest.map_or(Quantity::NotWithin(LEASES * LEASE), Quantity::Time)
    };
    Ok(Row {
        figure: format!("kill -9 of guard and daemon: address gone, the longest of {RUNS}"),
        keepalived: Some(longest(&keepalived)),
        baton: longest(&baton),
        goal: Goal::AtMost(Quantity::Time(LEASE + LEASE_MARGIN), "the lease and a second".to_owned()),
    })
}

/// The time until the kernel has removed the address, if it does.
fn kill_both(programs: &Programs, contender: Contender) -> Result<Option<Duration>, BenchError> {
    let lab = laboratory(ROUTERS)?;
    let mut group = Group::elect(&lab, programs, &[contender; 2], ROUTERS)?;
    let (machine, address) = (lab.namespace(FIRST.name), group.address());
    group.daemon(FIRST).kill()?;
    let death = Instant::now();
    match wait_until("The end of the lease", LEASES * LEASE, || Ok(!machine.holds(address.into())?)) {
        Ok(_) => Ok(Some(death.elapsed())),
        Err(lab::Error::TimedOut { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Does something so many times with each program at once, each in a laboratory of its own and a step later than the one
/// before.
fn side_by_side<T: Send>(
    times: u32,
    step: Duration,
    work: impl Fn(Contender, Duration) -> Result<T, BenchError> + Sync,
) -> Result<Each<Vec<T>>, BenchError> {
    let mut outcomes = Each { keepalived: Vec::new(), baton: Vec::new() };
    thread::scope(|scope| {
        let turns = (0..times).flat_map(|time| Contender::BOTH.map(|contender| (time, contender)));
        let start = |(number, (_, contender)): (u32, (u32, Contender))| {
            let work = &work;
            (contender, scope.spawn(move || work(contender, number * step)))
        };
        let threads: Vec<_> = (0..).zip(turns).map(start).collect();
        for (contender, thread) in threads {
            let outcome = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            outcomes.of(contender).push(outcome);
        }
        Ok(outcomes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_sooner_than_a_lease_is_renewed_is_a_rewrite() {
        let start = Instant::now();
        let count = |changes: &[(u64, Course)]| {
            let change =
                |&(at, course)| Change { at: start + Duration::from_millis(at), node: FIRST.name, course };
            rewrites(&changes.iter().map(change).collect::<Vec<_>>())
        };
        let renewal = Course::Rewritten;
        assert_eq!(count(&[(100, renewal), (3_430, renewal), (6_770, renewal)]), 0);
        assert_eq!(count(&[(100, renewal), (3_430, renewal), (6_000, renewal), (6_770, renewal)]), 2);
        assert_eq!(count(&[(0, Course::Left), (1, Course::Taken)]), 2);
    }
}
