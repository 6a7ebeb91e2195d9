//! How Baton does next to Keepalived: same kernel, same run, one table.

mod advertisements;
mod baton;
mod busy;
mod contender;
mod crash_of_many;
mod crash_outage;
mod death;
mod duty;
mod error;
mod full_table;
mod group;
mod guest;
mod hand_over;
mod heal;
mod hostile;
mod idle;
mod ipvs;
mod keepalived;
mod machine;
mod monitor;
mod one_weight;
mod owners;
mod simulator;
mod standstill;
mod table;

use std::fs;
use std::time::Instant;

use clap::ValueEnum;
use lab::packages;

use crate::step::{self, cargo};
use contender::Programs;
pub(crate) use error::BenchError;
pub(crate) use guest::{GuestTask, run as run_guest};
use guest::{IpvsFigure, Place};
use table::Row;

/// Where Debian's package puts it.
const KEEPALIVED: &str = "/usr/sbin/keepalived";

/// What can be measured, in the order of the table: a variant here, and its [`Figure::way`], is all that one more needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Figure {
    /// The outage when the Active vanishes, at intervals of 1 s, 100 ms and 10 ms.
    CrashOutage,
    /// The longest silence of any of 255 virtual routers at 100 ms when their Active vanishes.
    CrashOfMany,
    /// What a planned hand-over costs, by a stop, `baton pass` and a lost carrier, at 1 s.
    HandOver,
    /// What is noticed when the daemon is killed, alone or with its guard.
    Death,
    /// What is noticed when the daemon stands still, alone or with its guard.
    Standstill,
    /// What bad packets for a known virtual router do to it, at 40 and at 50,000 a second.
    Hostile,
    /// Transitions at 10 ms while others keep the processors busy.
    Busy,
    /// How long two nodes own an address when a split heals at 1 s and 100 ms, and when a better node comes back.
    Heal,
    /// Processor time and memory with 255 virtual routers at 100 ms.
    Idle,
    /// 10,000 real servers from nothing, in QEMU and User Mode Linux.
    FullTable,
    /// One changed weight among 10,000 real servers, in QEMU and User Mode Linux.
    OneWeight,
    /// Inputs per second of the simulator.
    Simulator,
}

/// How a figure is measured.
enum Way {
    /// On the running kernel.
    Here(fn(&Programs) -> Result<Vec<Row>, BenchError>),
    /// On kernels that have IPVS, with all others of that kind.
    WithIpvs(IpvsFigure),
}

impl Figure {
    fn way(self) -> Way {
        match self {
            Self::CrashOutage => Way::Here(crash_outage::measure),
            Self::CrashOfMany => Way::Here(crash_of_many::measure),
            Self::HandOver => Way::Here(hand_over::measure),
            Self::Death => Way::Here(death::measure),
            Self::Standstill => Way::Here(standstill::measure),
            Self::Hostile => Way::Here(hostile::measure),
            Self::Busy => Way::Here(busy::measure),
            Self::Heal => Way::Here(heal::measure),
            Self::Idle => Way::Here(idle::measure),
            Self::FullTable => Way::WithIpvs(IpvsFigure::FullTable),
            Self::OneWeight => Way::WithIpvs(IpvsFigure::OneWeight),
            Self::Simulator => Way::Here(|_| simulator::measure()),
        }
    }
}

/// Measures the figures, or all of them when none is named, and prints the table.
pub(crate) fn run(figures: &[Figure]) -> Result<(), BenchError> {
    let all = Figure::value_variants();
    let figures: Vec<_> =
        all.iter().filter(|figure| figures.is_empty() || figures.contains(figure)).copied().collect();
    let programs = prepare()?;
    let about = about(&programs)?;
    let begin = Instant::now();

    let mut rows = Vec::new();
    let mut missing = Vec::new();
    let mut note = |what: String, outcome: Result<Vec<Row>, BenchError>| match outcome {
        Ok(measured) => rows.extend(measured),
        Err(error) => {
            eprintln!("{what} could not be measured: {error}");
            missing.push(what);
        }
    };
    let mut with_ipvs = Vec::new();
    for figure in figures {
        match figure.way() {
            Way::Here(measure) => note(name(&figure), measure(&programs)),
            Way::WithIpvs(figure) => with_ipvs.push(figure),
        }
    }
    if !with_ipvs.is_empty() {
        for place in [Place::Qemu, Place::UserModeLinux] {
            note(format!("what needs IPVS, in {place}"), guest::measure(place, &programs, &with_ipvs));
        }
    }

    println!("\n{about}; measured in {} s\n", begin.elapsed().as_secs());
    print!("{}", table::render(&rows));
    if missing.is_empty() { Ok(()) } else { Err(BenchError::Unmeasured(missing.join("; "))) }
}

/// What a figure is called on the command line.
pub(crate) fn name(figure: &impl ValueEnum) -> String {
    let value = figure.to_possible_value().expect("no figure is hidden");
    value.get_name().to_owned()
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
