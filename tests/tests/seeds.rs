//! Thousands of short runs, each out of its own seed.
//!
//! `BATON_SIM_RUNS=n` sets how many; `BATON_SIM_SEED=n` replays one and prints what happened.
#![expect(clippy::disallowed_methods, reason = "how long real time takes is only printed")]

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use simulator::scenario::{Outcome, run};
use simulator::trace::Detail;

/// How many runs there are unless somebody asks for more: ten seconds on two cores.
const RUNS: u64 = 100_000;

/// How many lines of a failed run are printed.
const TAIL: usize = 120;

#[test]
fn every_seed_keeps_the_invariants() {
    if let Some(seed) = variable("BATON_SIM_SEED") {
        let outcome = run(seed, Detail::Everything);
        println!("{}", outcome.trace);
        return assert!(outcome.failure.is_none(), "{}", failure(&outcome));
    }
    let (runs, began) = (variable("BATON_SIM_RUNS").unwrap_or(RUNS), Instant::now());
    let (next, inputs) = (AtomicU64::new(0), AtomicU64::new(0));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let failed = thread::scope(|scope| {
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= runs {
                    return None;
                }
                let outcome = run(seed, Detail::Nothing);
                inputs.fetch_add(outcome.inputs, Ordering::Relaxed);
                if outcome.failure.is_some() {
                    next.store(runs, Ordering::Relaxed);
                    return Some(seed);
                }
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().filter_map(|worker| worker.join().expect("runs catch panics")).min()
    });
    println!("{runs} runs, {} inputs in {:?} on {threads} cores", inputs.into_inner(), began.elapsed());
    if let Some(seed) = failed {
        panic!("{}", failure(&run(seed, Detail::Story)));
    }
}

#[test]
fn a_seed_gives_the_same_trace_byte_for_byte() {
    for seed in 0..50 {
        let (first, second) = (run(seed, Detail::Everything), run(seed, Detail::Everything));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.fingerprint, run(seed, Detail::Nothing).fingerprint, "seed {seed}, untraced");
    }
}

fn failure(outcome: &Outcome) -> String {
    let Outcome { seed, trace, failure, .. } = outcome;
    let lines: Vec<_> = trace.lines().collect();
    let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
    let failure = failure.as_ref().map_or("nothing".to_owned(), ToString::to_string);
    format!("{tail}\nseed {seed}: {failure}\nBATON_SIM_SEED={seed} replays it")
}

fn variable(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}
