//! Coverage-guided fuzzing of what comes from the wire, in a workspace of its own: `fuzz/`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use lab::packages;

use crate::step::{self, TaskError, root};

/// What libFuzzer is built with.
const COMPILER: &[&str] = &["g++"];

/// What must hold whatever comes in.
const TARGETS: [&str; 2] = ["advertisement", "authentication"];

/// Has a bug that only a fuzzer that is guided by coverage finds.
const GUIDANCE: &str = "guidance";

/// How long it may take to find it; a second is enough.
const GUIDANCE_TIME: Duration = Duration::from_mins(1);

/// The longest input, in octets: more than the longest advertisement with its trailer.
const LONGEST: &str = "-max_len=4200";

/// How long one input may take; it takes microseconds.
const INPUT_TIME: &str = "-timeout=10";

/// Fuzzes each target for some time, all at once, and fails when one finds something or the fuzzer finds nothing.
pub(crate) fn run(time: Duration) -> Result<(), TaskError> {
    packages::require(COMPILER)?;
    let place = step::target_folder()?.join("fuzz");
    step::run(&mut cargo(&place, "build"))?;
    step::run(cargo(&place, "clippy").args(["--", "--deny", "warnings"]))?;
    find_planted_bug(&place)?;
    thread::scope(|scope| {
        let running = TARGETS.map(|target| scope.spawn(|| fuzz(&place, target, time)));
        running.into_iter().try_for_each(|target| target.join().expect("it only returns errors"))
    })
}

fn cargo(place: &Path, task: &str) -> Command {
    let mut command = step::cargo([task, "--quiet", "--release", "--target-dir"]);
    // The instrumentation stands in the folder's own configuration, which these would overrule.
    command.arg(place).current_dir(root().join("fuzz")).env_remove("RUSTFLAGS");
    command.env_remove("CARGO_ENCODED_RUSTFLAGS");
    command
}

/// The command that fuzzes a target, to which places to start from may be added.
fn fuzzer(place: &Path, target: &str, time: Duration) -> Command {
    let mut command = cargo(place, "run");
    let found = place.join(format!("{target}-"));
    command.args(["--bin", target, "--", "-verbosity=0", "-print_final_stats=1", LONGEST, INPUT_TIME]);
    command.arg(format!("-max_total_time={}", time.as_secs()));
    command.arg(format!("-artifact_prefix={}", found.display()));
    command
}

fn find_planted_bug(place: &Path) -> Result<(), TaskError> {
    let mut command = fuzzer(place, GUIDANCE, GUIDANCE_TIME);
    let (status, told) = step::told(&mut command)?;
    if status.success() {
        return Err(TaskError::Blind { target: GUIDANCE });
    }
    if told.contains("the planted bug") { Ok(()) } else { Err(step::failed(&command, status, &told)) }
}

fn fuzz(place: &Path, target: &'static str, time: Duration) -> Result<(), TaskError> {
    let corpus = corpus(place, target)?;
    let mut command = fuzzer(place, target, time);
    // What is found goes to the first folder, the others are only read.
    command.arg(corpus).arg(Path::new("corpus").join(target));
    let (status, told) = step::told(&mut command)?;
    if !status.success() {
        return Err(step::failed(&command, status, &told));
    }
    let inputs = told.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    println!("{target}: {} inputs in {} s", inputs.unwrap_or(" ?").trim(), time.as_secs());
    Ok(())
}

fn corpus(place: &Path, target: &str) -> Result<PathBuf, TaskError> {
    let corpus = place.join("corpus").join(target);
    std::fs::create_dir_all(&corpus)
        .map_err(|error| TaskError::Start { program: corpus.display().to_string(), error })?;
    Ok(corpus)
}
