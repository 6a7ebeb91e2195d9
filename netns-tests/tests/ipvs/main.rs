//! Virtual servers on a kernel with IPVS: the running one, or a test kernel, which is booted once for all tests, where the
//! running one has none.

#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    reason = "these are tests, which the lint knows by an attribute that they lack"
)]

mod failover;
mod pools;
mod serving;
mod site;
mod table;
mod without_ipvs;

use std::process::ExitCode;
use std::time::Duration;

use lab::kernel::{Guest, TestKernel, has_ipvs};
use libtest_mimic::{Arguments, Trial};
use netns_tests::baton;

/// How many tests run at a time on a test kernel: they wait more than they work.
const THREADS: usize = 3;
/// How long all tests may take on a test kernel.
const LIMIT: Duration = Duration::from_mins(15);

/// Makes trials of functions, each with its function's name.
macro_rules! trials {
    ($($test:ident,)*) => {
        vec![$(libtest_mimic::Trial::test(stringify!($test), || { $test(); Ok(()) })),*]
    };
}
pub(crate) use trials;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let with_ipvs = all([serving::trials(), pools::trials(), table::trials(), failover::trials()]);
    if has_ipvs() {
        return libtest_mimic::run(&arguments, with_ipvs).exit_code();
    }
    assert!(
        TestKernel::running().is_none(),
        "ip_vs cannot be loaded in the test kernel; see its console above"
    );
    let without_ipvs = without_ipvs::trials();
    if arguments.list {
        return libtest_mimic::run(&arguments, all([without_ipvs, with_ipvs])).exit_code();
    }
    let wanted = with_ipvs.iter().any(|trial| is_wanted(&arguments, trial.name()));
    let here = libtest_mimic::run(&arguments, without_ipvs);
    let there = if wanted { in_guest(&arguments) } else { Ok(0) };
    let there = match there {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    };
    if here.has_failed() { ExitCode::FAILURE } else { there }
}

fn all<const MODULES: usize>(trials: [Vec<Trial>; MODULES]) -> Vec<Trial> {
    trials.into_iter().flatten().collect()
}

/// Runs this program again, with the same arguments, on a kernel with IPVS, and returns its exit status.
fn in_guest(arguments: &Arguments) -> lab::Result<i32> {
    let kernel = TestKernel::quickest()?;
    println!("This kernel has no IPVS: the tests that need it run in {kernel}.");
    let given: Vec<_> = std::env::args().skip(1).collect();
    let threads = arguments.test_threads.is_none().then(|| format!("--test-threads={THREADS}"));
    let words: Vec<_> = given.iter().chain(&threads).map(String::as_str).collect();
    let results = concat!(env!("CARGO_TARGET_TMPDIR"), "/ipvs");
    // The guest's console looks like a terminal.
    let guest = Guest::new(kernel, results).limit(LIMIT).variable("NO_COLOR", "1");
    let guest = guest.variable("BATON", baton().to_string_lossy());
    guest.run(&std::env::current_exe().expect("a running program has a path"), &words)
}

/// Whether the filters on the command line leave a test in.
fn is_wanted(arguments: &Arguments, name: &str) -> bool {
    let matches = |filter: &String| if arguments.exact { name == filter } else { name.contains(filter) };
    arguments.filter.as_ref().is_none_or(matches) && !arguments.skip.iter().any(matches)
}
