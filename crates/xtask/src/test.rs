//! Everything that has to hold, step by step; one that fails does not keep the others from being run.

use std::fs;
use std::time::{Duration, Instant};

use lab::kernel::TestKernel;
use lab::packages;

use crate::fuzz;
use crate::step::{self, TaskError, cargo, output, root};

/// Crates that decide and must not touch the world, and what would touch it.
const PURE: [&str; 4] = ["monotonic", "vrrp", "virtual-server", "node"];
const WORLD: [&str; 6] = ["tokio", "socket2", "rtnetlink", "neli", "rustix", "hyper"];

/// The peers that interoperability is tested with.
const PEERS: &[&str] = &["frr", "keepalived"];

/// What stands in for a kernel that does not let a killed process go.
const TRACER: &[&str] = &["strace"];

/// What knows whether a unit is one: `systemd-analyze`.
const SYSTEMD: &[&str] = &["systemd"];

/// How long each target is fuzzed.
const FUZZING: Duration = Duration::from_secs(25);

type Step = (&'static str, fn() -> Result<(), TaskError>);

const STEPS: [Step; 8] = [
    ("format", format),
    ("lints", lints),
    ("purity", purity),
    ("unit", unit),
    ("simulation", simulation),
    ("fuzzing", fuzzing),
    ("configurations", configurations),
    ("namespaces", namespaces),
];

/// Runs every step but those that are skipped by name.
pub(crate) fn run(skip: &[String]) -> Result<(), TaskError> {
    let names = STEPS.map(|(name, _)| name);
    if let Some(name) = skip.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(TaskError::UnknownStep { name: name.clone(), steps: names.join(", ") });
    }
    // The lab's own tests boot both test kernels, whether or not the running one has IPVS.
    let kernels = TestKernel::ALL.map(TestKernel::packages).concat();
    packages::require(&[packages::LAB, PEERS, TRACER, SYSTEMD, &kernels].concat())?;
    let mut failed = Vec::new();
    let (chosen, skipped): (Vec<_>, Vec<_>) =
        STEPS.into_iter().partition(|(name, _)| !skip.iter().any(|skipped| skipped == name));
    for (name, step) in &chosen {
        println!("\n=== {name}");
        let start = Instant::now();
        let outcome = step();
        let seconds = start.elapsed().as_secs();
        match outcome {
            Ok(()) => println!("=== {name}: passed in {seconds} s"),
            Err(error) => {
                println!("=== {name}: FAILED in {seconds} s: {error}");
                failed.push(*name);
            }
        }
    }
    let passed = chosen.len() - failed.len();
    println!("\nsteps: {passed} passed, {} failed, {} skipped", failed.len(), skipped.len());
    if failed.is_empty() { Ok(()) } else { Err(TaskError::Steps(failed.join(", "))) }
}

fn format() -> Result<(), TaskError> {
    step::run(&mut cargo(["fmt", "--all", "--check"]))?;
    step::run(&mut cargo(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))
}

fn lints() -> Result<(), TaskError> {
    step::run(&mut cargo(["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
}

/// What the pure crates depend on; that they read no clock is a lint of theirs.
fn purity() -> Result<(), TaskError> {
    for package in PURE {
        let tree = output(&mut cargo([
            "tree",
            "--package",
            package,
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ]))?;
        let dependencies = tree.lines().filter_map(|line| line.split_whitespace().next());
        if let Some(dependency) = dependencies.into_iter().find(|name| WORLD.contains(name)) {
            return Err(TaskError::Impure { package, dependency: dependency.to_owned() });
        }
    }
    Ok(())
}

fn unit() -> Result<(), TaskError> {
    let others = ["--exclude", "netns-tests", "--exclude", "simulator"];
    step::run(cargo(["test", "--quiet", "--workspace", "--no-fail-fast"]).args(others))
}

fn simulation() -> Result<(), TaskError> {
    step::run(&mut cargo([
        "test",
        "--quiet",
        "--profile",
        "simulation",
        "--package",
        "simulator",
        "--no-fail-fast",
    ]))
}

/// What comes from the wire, for as long as a change can wait.
fn fuzzing() -> Result<(), TaskError> {
    fuzz::run(FUZZING)
}

/// The shipped examples, by the shipped command.
fn configurations() -> Result<(), TaskError> {
    let files = fs::read_dir(root().join("config")).map_err(TaskError::Examples)?;
    for file in files {
        let path = file.map_err(TaskError::Examples)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            step::run(cargo(["run", "--quiet", "--release", "--package", "baton", "--", "check"]).arg(path))?;
        }
    }
    Ok(())
}

/// The built binary in network namespaces, and in a test kernel where this one has no IPVS.
fn namespaces() -> Result<(), TaskError> {
    step::run(&mut cargo(["build", "--quiet", "--release", "--package", "baton"]))?;
    let binary = step::target_folder()?.join("release/baton");
    step::run(cargo(["test", "--quiet", "--package", "netns-tests", "--no-fail-fast"]).env("BATON", binary))
}
