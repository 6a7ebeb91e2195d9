//! What is noticed when the daemon dies or stands still, alone or with its guard.

use std::net::IpAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use lab::{Lab, Namespace, Process, Signal, wait_until};

use super::contender::{Contender, Programs};
use super::duty::{FIRST, PAIR, Routers, SECOND};
use super::error::BenchError;
use super::group::{Group, laboratory};
use super::table::{Goal, Quantity, Row};

/// How often the daemon is killed in a row; more often takes a minute each and shows the same.
const DEATHS: usize = 3;
/// From one death to the next: two within a minute would be handed over.
const BETWEEN_DEATHS: Duration = Duration::from_secs(61);
/// How long nothing may be heard of the other node after the last death: longer than it would wait.
const AFTERMATH: Duration = Duration::from_secs(6);
/// How often both are killed together, and how often the daemon stands still.
const RUNS: usize = 2;
/// How long the kernel keeps what nobody renews, and how late it may come to it.
const LEASE: Duration = Duration::from_secs(10);
const LEASE_MARGIN: Duration = Duration::from_secs(1);

const ROUTERS: Routers = Routers::one(PAIR, Duration::from_secs(1));

/// Kills and stops what there is to be killed and stopped.
pub(crate) fn measure(programs: &Programs) -> Result<Vec<Row>, BenchError> {
    let lab = laboratory(ROUTERS)?;
    let mut rows = deaths_of_the_daemon(programs, &lab)?;
    rows.push(deaths_of_both(programs, &lab)?);
    rows.extend(standstills(programs, &lab)?);
    Ok(rows)
}

fn elect<'lab>(programs: &Programs, lab: &'lab Lab) -> Result<Group<'lab>, BenchError> {
    Group::elect(lab, programs, &[Contender::Baton; 2], ROUTERS)
}

fn deaths_of_the_daemon(programs: &Programs, lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let mut group = elect(programs, lab)?;
    let mut kernel = Changes::watch(lab.namespace(FIRST.name))?;
    let client = group.ask()?;
    let begin = Instant::now();
    for death in 1..=DEATHS {
        println!("kill -9 of the daemon {death}");
        group.daemon(FIRST).signal_descendants(Signal::KILL)?;
        thread::sleep(if death < DEATHS { BETWEEN_DEATHS } else { AFTERMATH });
    }
    let lost = client.stop()?.since(begin).lost();
    let claims = group.advertisements().count_of(SECOND.address, begin);
    let rewrites = kernel.end()?.iter().filter(|change| change.kind == Kind::Removal).count();
    group.end()?;
    let row = |what: &str, count: usize| Row {
        figure: format!("kill -9 of the daemon, {DEATHS} times, a minute apart, at 1s: {what}"),
        keepalived: None,
        baton: Quantity::Count(u32::try_from(count).unwrap_or(u32::MAX)),
        goal: Goal::AtMost(Quantity::Count(0), String::new()),
    };
    Ok(vec![
        row("advertisements of the other node", claims),
        row("lost of 1,000 requests a second", lost),
        row("addresses removed from the kernel", rewrites),
    ])
}

/// The longest time until the kernel has removed the address.
fn deaths_of_both(programs: &Programs, lab: &Lab) -> Result<Row, BenchError> {
    let mut longest = Duration::ZERO;
    for run in 1..=RUNS {
        let mut group = elect(programs, lab)?;
        let (machine, address) = (lab.namespace(FIRST.name), group.address());
        group.daemon(FIRST).kill()?;
        let death = Instant::now();
        wait_until("The end of the lease", 3 * LEASE, || Ok(!machine.holds(address.into())?))?;
        println!("kill -9 of guard and daemon {run}: the address is gone after {:?}", death.elapsed());
        longest = longest.max(death.elapsed());
        drop(group);
        wait_for_nobody(lab, address.into())?;
    }
    Ok(Row {
        figure: format!("kill -9 of guard and daemon: address gone, the longest of {RUNS}"),
        keepalived: None,
        baton: Quantity::Time(longest),
        goal: Goal::AtMost(Quantity::Time(LEASE + LEASE_MARGIN), "the lease and a second".to_owned()),
    })
}

/// How long two nodes own the address while the first one's daemon stands still, and how long nobody answers.
fn standstills(programs: &Programs, lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let (mut together, mut outage) = (Duration::ZERO, Duration::ZERO);
    for run in 1..=RUNS {
        let mut group = elect(programs, lab)?;
        let mut first = Changes::watch(lab.namespace(FIRST.name))?;
        let mut second = Changes::watch(lab.namespace(SECOND.name))?;
        let client = group.ask()?;
        let begin = Instant::now();
        group.daemon(FIRST).signal_descendants(Signal::STOP)?;
        // It comes back as a Backup, and takes over by its priority.
        thread::sleep(Duration::from_secs(2));
        group.wait_for_holder(SECOND)?;
        let (left, taken) = (first.end()?, second.end()?);
        let removal = left.iter().find(|change| change.kind == Kind::Removal);
        let addition = taken.iter().find(|change| change.kind == Kind::Addition);
        let (Some(removal), Some(addition)) = (removal, addition) else {
            return Err(BenchError::Unexpected(format!("The address did not move: {left:?}, {taken:?}")));
        };
        together = together.max(removal.at.saturating_sub(addition.at));
        client.wait_for_answer(Instant::now(), group.limit())?;
        let gap = client.stop()?.since(begin).longest_gap().duration();
        println!("SIGSTOP of the daemon {run}: {removal:?}, {addition:?}, nobody answered for {gap:?}");
        outage = outage.max(gap);
        group.end()?;
    }
    let row = |what: &str, baton, goal| Row {
        figure: format!("SIGSTOP of the daemon, at 1s: {what}, the longest of {RUNS}"),
        keepalived: None,
        baton: Quantity::Time(baton),
        goal: Goal::AtMost(Quantity::Time(goal), String::new()),
    };
    Ok(vec![
        row("two own the address", together, Duration::ZERO),
        row("time between two answers", outage, Duration::from_millis(100)),
    ])
}

/// Waits until nobody holds the address any more, whose programs were killed.
fn wait_for_nobody(lab: &Lab, address: IpAddr) -> Result<(), BenchError> {
    wait_until("The end of all leases", 3 * LEASE, || Ok(lab.holders(address)?.is_empty()))?;
    Ok(())
}

/// What happens to the addresses of a machine.
struct Changes {
    monitor: Process,
}

/// One change of an address.
#[derive(Clone, Copy, Debug)]
struct Change {
    kind: Kind,
    /// Since midnight, by the clock that all machines here share.
    at: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It was added, or its lease was renewed.
    Addition,
    Removal,
}

impl Changes {
    fn watch(machine: &Namespace) -> Result<Self, BenchError> {
        let mut command = Command::new("ip");
        let monitor =
            machine.spawn("monitor", command.args(["-tshort", "-oneline", "monitor", "address"]))?;
        // It says nothing when it is ready; a change of no interest does.
        let is_ready = || {
            machine.run(&["ip", "address", "replace", "192.0.2.1/32", "dev", "lo"])?;
            machine.run(&["ip", "address", "delete", "192.0.2.1/32", "dev", "lo"])?;
            Ok(monitor.log().contains("192.0.2.1"))
        };
        wait_until("The watch over the addresses", LEASE, is_ready)?;
        Ok(Self { monitor })
    }

    /// Ends the watch and returns what has happened to addresses other than the watch's own.
    fn end(&mut self) -> Result<Vec<Change>, BenchError> {
        // What has happened by now may still be on its way.
        thread::sleep(Duration::from_millis(200));
        let log = self.monitor.log();
        self.monitor.kill()?;
        let lines = log.lines().filter(|line| line.contains("inet") && !line.contains("192.0.2.1"));
        lines
            .map(|line| {
                let at =
                    time_of_day(line).ok_or_else(|| BenchError::Unexpected(format!("{line} has no time")))?;
                let kind = if line.contains("Deleted") { Kind::Removal } else { Kind::Addition };
                Ok(Change { kind, at })
            })
            .collect()
    }
}

/// Reads `[2026-11-25T23:14:36.123456] …`.
fn time_of_day(line: &str) -> Option<Duration> {
    let (_, time) = line.strip_prefix('[')?.split_once(']')?.0.split_once('T')?;
    let mut parts = time.split(':');
    let (hours, minutes) = (parts.next()?.parse::<u64>().ok()?, parts.next()?.parse::<u64>().ok()?);
    let seconds = parts.next()?.parse::<f64>().ok()?;
    Some(Duration::from_secs(3600 * hours + 60 * minutes) + Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_watch_begins_with_the_time_of_day() {
        let line = "[2026-11-25T01:02:03.500000] 2: eth0    inet 10.77.0.50/32 scope global eth0";
        assert_eq!(time_of_day(line), Some(Duration::from_millis(3_723_500)));
        assert_eq!(time_of_day("2: eth0    inet 10.77.0.50/32 scope global eth0"), None);
    }
}
