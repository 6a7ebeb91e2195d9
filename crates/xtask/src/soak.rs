//! The same tests as always, for longer and with more seeds.

use std::time::{Duration, Instant};

use crate::fuzz;
use crate::step::{self, TaskError, cargo};

/// How many seeds the simulator runs in the first round; each further round runs twice as many.
const SEEDS: u64 = 200_000;

/// How long each target is fuzzed in a round.
const FUZZING: Duration = Duration::from_mins(5);

/// Runs simulator and namespace tests in turn until the time is over or one fails.
///
/// A round that has begun is finished.
pub(crate) fn run(minutes: u32) -> Result<(), TaskError> {
    step::run(&mut cargo(["build", "--quiet", "--release", "--package", "baton"]))?;
    let binary = step::target_folder()?.join("release/baton");
    let (begin, limit) = (Instant::now(), Duration::from_mins(1) * minutes);
    let mut seeds = SEEDS;
    while seeds == SEEDS || begin.elapsed() < limit {
        println!("\n=== {seeds} seeds, after {} s", begin.elapsed().as_secs());
        let simulation = ["test", "--quiet", "--profile", "simulation", "--package", "simulator"];
        step::run(cargo(simulation).env("BATON_SIM_RUNS", seeds.to_string()))?;
        step::run(cargo(["test", "--quiet", "--package", "netns-tests"]).env("BATON", &binary))?;
        fuzz::run(FUZZING)?;
        seeds *= 2;
    }
    println!("\nnothing failed in {} s", begin.elapsed().as_secs());
    Ok(())
}
