//! The project's own commands: demo, test, soak, bench.

#![forbid(unsafe_code)]

mod bench;
mod demo;
mod fuzz;
mod soak;
mod step;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use bench::{BenchError, Figure, GuestTask};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Boot a pair, a client and real servers from config/pair.toml, break the Active, print the outage.
    Demo,
    /// Everything that has to hold: format, lints, purity, unit, simulation, fuzzing, namespaces, IPVS.
    Test {
        /// Leave a step out, by name; may be repeated.
        #[arg(long, value_name = "STEP")]
        skip: Vec<String>,
    },
    /// Measure Baton next to Keepalived and print one table; KEEPALIVED=path and BATON=path name other programs.
    Bench {
        /// What to measure, in the order of the table; everything unless named.
        #[arg(value_enum)]
        figures: Vec<Figure>,
    },
    /// What `bench` runs on another kernel.
    #[command(hide = true)]
    BenchGuest(GuestTask),
    /// Simulator and namespace tests again and again, with more and more seeds.
    Soak {
        /// For how long; a round that has begun is finished.
        #[arg(long, default_value_t = 60)]
        minutes: u32,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Demo => demo::run().map_err(BenchError::from),
        Task::Test { skip } => test::run(&skip).map_err(BenchError::from),
        Task::Bench { figures } => bench::run(&figures),
        Task::BenchGuest(task) => bench::run_guest(task),
        Task::Soak { minutes } => soak::run(minutes).map_err(BenchError::from),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
