//! How long an address is away when the machine that holds it vanishes without a word.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use lab::{Lab, Prober, Topology, wait_until};

use super::advertisements::Advertisements;
use super::contender::END_LIMIT;
use super::contender::{Contender, Each, Folder, Programs};
use super::duty::{Duty, FIRST, Routers, SECOND};
use super::error::BenchError;
use super::table::{Goal, Quantity, Row, median};

/// How often each program is crashed at each interval.
const RUNS: usize = 5;
/// How often the client asks.
const PROBE_INTERVAL: Duration = Duration::from_millis(1);
/// How many advertisements of the first node make a pair settled.
const SETTLED: usize = 5;
/// How long an election may take beyond its floor, on a busy machine.
const MARGIN: Duration = Duration::from_secs(20);

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 11);
const SECOND_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 12);

/// Crashes both programs in turn at each interval.
pub(crate) fn measure(programs: &Programs) -> Result<Vec<Row>, BenchError> {
    let intervals = [1000, 100, 10].map(Duration::from_millis);
    intervals.into_iter().map(|interval| measure_at(programs, interval)).collect()
}

fn measure_at(programs: &Programs, interval: Duration) -> Result<Row, BenchError> {
    let routers = Routers { count: 1, interval };
    let floor = routers.floor();
    let lab = Topology::standard(2, 0).build()?;
    let (_, address) = routers.addresses().next().expect("there is one virtual router");
    lab.namespace("client").run(&["ip", "route", "add", &format!("{address}/32"), "dev", "eth0"])?;
    let mut outages = Each::<Vec<Duration>>::default();
    for round in 1..=RUNS {
        for contender in Contender::BOTH {
            let outage = crash(&lab, programs, contender, routers, address)?;
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
    address: Ipv4Addr,
) -> Result<Duration, BenchError> {
    let limit = routers.floor() + MARGIN;
    let (folder, duty) = (Folder::new()?, Duty::Routers(routers));
    let client = lab.namespace("client");
    let advertisements = Advertisements::listen(client, CLIENT)?;
    let mut daemons = Vec::new();
    let started = Instant::now();
    for node in [FIRST, SECOND] {
        let configuration = Programs::configure(contender, duty, node, folder.path())?;
        daemons.push(programs.start(contender, duty, node, lab.namespace(node.name), &configuration)?);
    }
    // Both may start out as Active where nobody was before, so it counts what is said after that.
    wait_until("The election", limit, || Ok(lab.holders(address.into())? == [FIRST.name]))?;
    let mut silent_since = started;
    wait_until("The settling of the pair", limit, || {
        if let Some(last) = advertisements.last_of(SECOND_ADDRESS, Instant::now()) {
            silent_since = last;
        }
        Ok(advertisements.count_of(FIRST_ADDRESS, silent_since) >= SETTLED)
    })?;
    let prober = Prober::echo(client, address.into(), PROBE_INTERVAL)?;
    prober.wait_for_answer(Instant::now(), limit)?;

    let crash = Instant::now();
    lab.detach(FIRST.name)?;
    let detached = Instant::now();
    prober.wait_for_answer(detached, limit)?;
    let gap = prober.stop()?.since(crash).longest_gap();
    let last = advertisements.last_of(FIRST_ADDRESS, gap.to);

    for mut daemon in daemons {
        daemon.terminate(END_LIMIT)?;
    }
    lab.attach(FIRST.name)?;
    let last = last.ok_or_else(|| BenchError::Unexpected("The first node was never heard".to_owned()))?;
    Ok(gap.to.duration_since(last))
}
