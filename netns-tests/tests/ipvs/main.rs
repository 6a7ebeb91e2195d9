//! Virtual servers on a kernel with IPVS: the running one, or where that has none a test kernel, which is booted once for
//! all the tests that it can run.

#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    reason = "these are tests, which the lint knows by an attribute that they lack"
)]

mod closed;
mod failover;
mod pools;
mod serving;
mod site;
mod table;
mod turn;
mod without_ipvs;

use std::process::ExitCode;
use std::time::Duration;

use lab::kernel::{Guest, Needs, TestKernel, has_ipvs};
use libtest_mimic::{Arguments, Trial};
use netns_tests::baton;

/// How many tests run at a time on a test kernel: they wait more than they work.
const THREADS: usize = 3;
/// How long all tests may take on a test kernel.
const LIMIT: Duration = Duration::from_mins(15);

/// The variable that tells this program on a test kernel what to run there.
const PARTS: &str = "BATON_IPVS_PARTS";

/// Tests that need the same of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// What virtual servers do by IPVS.
    Open,
    /// What they do at addresses that accept nothing else.
    Closed,
}

impl Part {
    const ALL: [Self; 2] = [Self::Open, Self::Closed];

    fn trials(self) -> Vec<Trial> {
        match self {
            Self::Open => all([serving::trials(), pools::trials(), table::trials(), failover::trials()]),
            Self::Closed => closed::trials(),
        }
    }

    const fn needs(self) -> Needs {
        match self {
            Self::Open => Needs::Ipvs,
            Self::Closed => Needs::IpvsAndFilters,
        }
    }

    /// Those that were asked for; all where nobody chose.
    fn chosen() -> Vec<Self> {
        let Ok(names) = std::env::var(PARTS) else { return Self::ALL.to_vec() };
        let part = |name| {
            let found = Self::ALL.into_iter().find(|part| format!("{part:?}") == name);
            found.unwrap_or_else(|| panic!("{PARTS} names {name:?}, which is none of {:?}", Self::ALL))
        };
        names.split(' ').map(part).collect()
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let with_ipvs = || Part::chosen().into_iter().flat_map(Part::trials).collect();
    if has_ipvs() {
        return libtest_mimic::run(&arguments, with_ipvs()).exit_code();
    }
    assert!(
        TestKernel::running().is_none(),
        "ip_vs cannot be loaded in the test kernel; see its console above"
    );
    let without_ipvs = without_ipvs::trials();
    if arguments.list {
        return libtest_mimic::run(&arguments, all([without_ipvs, with_ipvs()])).exit_code();
    }
    let here = libtest_mimic::run(&arguments, without_ipvs);
    let there = in_guests(&arguments).unwrap_or_else(|error| {
        println!("{error}");
        ExitCode::FAILURE
    });
    if here.has_failed() { ExitCode::FAILURE } else { there }
}

fn all<const MODULES: usize>(trials: [Vec<Trial>; MODULES]) -> Vec<Trial> {
    trials.into_iter().flatten().collect()
}

/// Runs what is wanted, each part on its kernel, one kernel after the other.
fn in_guests(arguments: &Arguments) -> lab::Result<ExitCode> {
    let is_wanted = |part: &Part| part.trials().iter().any(|trial| is_wanted(arguments, trial.name()));
    let mut outcome = ExitCode::SUCCESS;
    for kernel in TestKernel::ALL {
        let mut parts = Vec::new();
        for part in Part::ALL.into_iter().filter(is_wanted) {
            if TestKernel::quickest(part.needs())? == kernel {
                parts.push(part);
            }
        }
        if !parts.is_empty() && in_guest(kernel, &parts, arguments)? != 0 {
            outcome = ExitCode::FAILURE;
        }
    }
    Ok(outcome)
}

/// Runs this program again, with the same arguments, on a kernel with IPVS, and returns its exit status.
fn in_guest(kernel: TestKernel, parts: &[Part], arguments: &Arguments) -> lab::Result<i32> {
    let parts: Vec<_> = parts.iter().map(|part| format!("{part:?}")).collect();
    let parts = parts.join(" ");
    println!("This kernel has no IPVS: the tests that need it run in {kernel} ({parts}).");
    let given: Vec<_> = std::env::args().skip(1).collect();
    let threads = arguments.test_threads.is_none().then(|| format!("--test-threads={THREADS}"));
    let words: Vec<_> = given.iter().chain(&threads).map(String::as_str).collect();
    let results = concat!(env!("CARGO_TARGET_TMPDIR"), "/ipvs");
    // The guest's console looks like a terminal.
    let guest = Guest::new(kernel, results).limit(LIMIT).variable("NO_COLOR", "1").variable(PARTS, parts);
    let guest = guest.variable("BATON", baton().to_string_lossy());
    guest.run(&std::env::current_exe().expect("a running program has a path"), &words)
}

/// Whether the filters on the command line leave a test in.
fn is_wanted(arguments: &Arguments, name: &str) -> bool {
    let matches = |filter: &String| if arguments.exact { name == filter } else { name.contains(filter) };
    arguments.filter.as_ref().is_none_or(matches) && !arguments.skip.iter().any(matches)
}
