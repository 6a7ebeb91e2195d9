//! What is noticed when the daemon stands still, alone or with its guard, for longer than others wait.

use std::thread;
use std::time::{Duration, Instant};

use lab::{Capture, Signal, wait_until};
use rustix::process::kill_process;

use super::contender::{Contender, Each, Programs};
use super::duty::{FIRST, PAIR, Routers, SECOND};
use super::error::BenchError;
use super::group::{Group, laboratory};
use super::owners::{Course, Owners};
use super::table::{Goal, Quantity, Row};

/// How often each is done.
const RUNS: usize = 3;
/// For how long: the other node waits 3.6 s after the last advertisement.
const STANDSTILL: Duration = Duration::from_secs(5);
/// How long what is said after it counts: whoever has yielded waits for three seconds before it claims again.
const SILENCE: Duration = Duration::from_secs(2);
/// How long nobody may answer while a standing daemon is fenced.
const OUTAGE_GOAL: Duration = Duration::from_millis(100);
/// How long a node that has heard its successor may hold the address.
const RELEASE_GOAL: Duration = Duration::from_millis(5);

const ROUTERS: Routers = Routers::one(PAIR, Duration::from_secs(1));

/// Stops both programs in turn.
pub(crate) fn measure(programs: &Programs) -> Result<Vec<Row>, BenchError> {
    let mut daemon_alone = Each::<Vec<Standstill>>::default();
    let mut all = Each::<Vec<Awakening>>::default();
    for _ in 0..RUNS {
        for contender in Contender::BOTH {
            daemon_alone.of(contender).push(stop_daemon(programs, contender)?);
            all.of(contender).push(stop_all(programs, contender)?);
        }
    }
    Ok(vec![
        standstill_row("two own the address", &daemon_alone, Duration::ZERO, |it| it.together),
        standstill_row("time between two answers", &daemon_alone, OUTAGE_GOAL, |it| it.outage),
        awakening_row(
            &format!("advertisements and announcements of the first {SILENCE:?} after it"),
            &all,
            Quantity::Count(0),
            |all| Quantity::Count(all.iter().map(|it| it.said).max().unwrap_or_default()),
        ),
        awakening_row("until one node has the address", &all, Quantity::Time(RELEASE_GOAL), |all| {
            Quantity::Time(all.iter().map(|it| it.release).max().unwrap_or_default())
        }),
    ])
}

fn standstill_row(
    what: &str,
    costs: &Each<Vec<Standstill>>,
    goal: Duration,
    time: fn(&Standstill) -> Duration,
) -> Row {
    let longest = |costs: &[Standstill]| Quantity::Time(costs.iter().map(time).max().unwrap_or_default());
    Row {
        figure: format!(
            "SIGSTOP of the daemon for {STANDSTILL:?}, at {:?}: {what}, the longest of {RUNS}",
            ROUTERS.interval
        ),
        keepalived: Some(longest(&costs.keepalived)),
        baton: longest(&costs.baton),
        goal: Goal::AtMost(Quantity::Time(goal), String::new()),
    }
}

fn awakening_row(
    what: &str,
    costs: &Each<Vec<Awakening>>,
    goal: Quantity,
    most: fn(&[Awakening]) -> Quantity,
) -> Row {
    Row {
        figure: format!(
            "SIGSTOP of guard and daemon for {STANDSTILL:?}, at {:?}: {what}, the most of {RUNS}",
            ROUTERS.interval
        ),
        keepalived: Some(most(&costs.keepalived)),
        baton: most(&costs.baton),
        goal: Goal::AtMost(goal, String::new()),
    }
}

/// What it cost that the first node's daemon stood still.
#[derive(Clone, Copy, Debug)]
struct Standstill {
    /// How long two nodes owned the address.
    together: Duration,
    /// The longest time between two answers.
    outage: Duration,
}

fn stop_daemon(programs: &Programs, contender: Contender) -> Result<Standstill, BenchError> {
    let lab = laboratory(ROUTERS)?;
    let mut group = Group::elect(&lab, programs, &[contender; 2], ROUTERS)?;
    let owners = Owners::watch(&lab, PAIR, group.address())?;
    let client = group.ask()?;
    let begin = Instant::now();
    group.daemon(FIRST).signal_descendants(Signal::STOP)?;
    thread::sleep(STANDSTILL);
    group.daemon(FIRST).signal_descendants(Signal::CONT)?;
    // By its priority: it goes on, or is back and takes over.
    group.wait_for_holder(FIRST)?;
    client.wait_for_answer(Instant::now(), group.limit())?;
    let outage = client.stop()?.since(begin).longest_gap().duration();
    let taken = owners.first(begin, |change| change.is(SECOND, Course::Taken))?;
    let left = owners.first(begin, |change| change.course == Course::Left)?;
    group.end()?;
    let cost = Standstill { together: left.saturating_duration_since(taken), outage };
    println!("SIGSTOP of the daemon, {contender}: {cost:?}");
    Ok(cost)
}

/// What a node did that had stood still altogether.
#[derive(Clone, Copy, Debug)]
struct Awakening {
    /// How many advertisements and announcements it sent.
    said: u32,
    /// How long two nodes went on to own the address.
    release: Duration,
}

fn stop_all(programs: &Programs, contender: Contender) -> Result<Awakening, BenchError> {
    let lab = laboratory(ROUTERS)?;
    let mut group = Group::elect(&lab, programs, &[contender; 2], ROUTERS)?;
    let owners = Owners::watch(&lab, PAIR, group.address())?;
    let (daemon, machine) = (group.daemon(FIRST), lab.namespace(FIRST.name));
    daemon.pause()?;
    let mut processes = daemon.descendants()?;
    processes.push(daemon.id());
    let frames = format!("ether src {} and (arp or ip proto 112)", machine.link_address("eth0")?);
    let mut wire = Capture::start(lab.namespace("client"), "eth0", &frames)?;
    thread::sleep(STANDSTILL);

    let awake = Instant::now();
    for process in processes {
        kill_process(process, Signal::CONT)
            .map_err(|error| BenchError::system("let a process go on")(error.into()))?;
    }
    let release = || owners.first(awake, |change| change.course == Course::Left);
    wait_until("One owner", group.limit(), || Ok(release().is_ok()))?;
    thread::sleep(SILENCE);
    wire.stop()?;
    let said = wire.fields("vrrp || arp.isgratuitous", &["frame.number"])?.len();
    let release = release()?.duration_since(awake);
    group.end()?;
    let cost = Awakening { said: u32::try_from(said).unwrap_or(u32::MAX), release };
    println!("SIGSTOP of guard and daemon, {contender}: {cost:?}");
    Ok(cost)
}
