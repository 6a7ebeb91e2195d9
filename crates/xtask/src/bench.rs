//! How Baton does next to Keepalived: same kernel, same run, one table.

mod advertisements;
mod baton;
mod contender;
mod crash_outage;
mod duty;
mod error;
mod full_table;
mod guest;
mod idle;
mod ipvs;
mod keepalived;
mod machine;
mod monitor;
mod one_weight;
mod simulator;
mod table;

use std::fs;
use std::time::Instant;

use clap::ValueEnum;
use lab::packages;

use crate::step::{self, cargo};
use contender::Programs;
pub(crate) use error::BenchError;
pub(crate) use guest::{GuestTask, run as run_guest};
use guest::{Place, Wanted};
use table::Row;

/// Where Debian's package puts it.
const KEEPALIVED: &str = "/usr/sbin/keepalived";

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Figure {
    /// The outage when the Active vanishes, at intervals of 1 s, 100 ms and 10 ms.
    CrashOutage,
    /// 10,000 real servers from nothing, in QEMU and User Mode Linux.
    FullTable,
    /// One changed weight among 10,000 real servers, in QEMU and User Mode Linux.
    OneWeight,
    /// Processor time and memory with 255 virtual routers at 100 ms.
    Idle,
    /// Inputs per second of the simulator.
    Simulator,
}

/// Measures the figures, or all of them when none is named, and prints the table.
pub(crate) fn run(figures: &[Figure]) -> Result<(), BenchError> {
    let all = Figure::value_variants();
    let figures = if figures.is_empty() { all } else { figures };
    let programs = prepare()?;
    let about = about(&programs)?;
    let is_wanted = |figure| figures.contains(&figure);
    let begin = Instant::now();

    let mut rows = Vec::new();
    let mut missing = Vec::new();
    let mut note = |what: &'static str, outcome: Result<Vec<Row>, BenchError>| match outcome {
        Ok(measured) => rows.extend(measured),
        Err(error) => {
            eprintln!("{what} could not be measured: {error}");
            missing.push(what);
        }
    };
    if is_wanted(Figure::CrashOutage) {
        note("the crash outage", crash_outage::measure(&programs));
    }
    let in_guest =
        Wanted { full_table: is_wanted(Figure::FullTable), one_weight: is_wanted(Figure::OneWeight) };
    if in_guest.full_table || in_guest.one_weight {
        note("what needs IPVS, in QEMU", guest::measure(Place::Qemu, &programs, in_guest));
        note(
            "what needs IPVS, in User Mode Linux",
            guest::measure(Place::UserModeLinux, &programs, in_guest),
        );
    }
    if is_wanted(Figure::Idle) {
        note("the cost of idling", idle::measure(&programs));
    }
    if is_wanted(Figure::Simulator) {
        note("the simulator", simulator::measure());
    }

    println!("\n{about}; measured in {} s\n", begin.elapsed().as_secs());
    print!("{}", table::render(&rows));
    if missing.is_empty() { Ok(()) } else { Err(BenchError::Unmeasured(missing.join("; "))) }
}

/// Builds and installs what is needed.
fn prepare() -> Result<Programs, BenchError> {
    packages::require(packages::LAB)?;
    let keepalived = if let Some(path) = std::env::var_os("KEEPALIVED") {
        path.into()
    } else {
        packages::require(&["keepalived"])?;
        KEEPALIVED.into()
    };
    let baton = if let Some(path) = std::env::var_os("BATON") {
        path.into()
    } else {
        step::run(&mut cargo(["build", "--quiet", "--release", "--package", "baton"]))?;
        step::target_folder()?.join("release/baton")
    };
    Ok(Programs { keepalived, baton })
}

/// What is compared, and on what.
fn about(programs: &Programs) -> Result<String, BenchError> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    Ok(format!(
        "{} next to Baton {}; Linux {}, {processors} processors, load {load} at the beginning",
        keepalived::version(&programs.keepalived)?,
        env!("CARGO_PKG_VERSION"),
        read("/proc/sys/kernel/osrelease"),
    ))
}
