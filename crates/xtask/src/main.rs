//! The project's own commands: demo, test, soak, bench.

#![forbid(unsafe_code)]

mod demo;
mod step;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    /// Everything that has to hold: format, lints, purity, unit, simulation, namespaces, IPVS.
    Test {
        /// Leave a step out, by name; may be repeated.
        #[arg(long, value_name = "STEP")]
        skip: Vec<String>,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Demo => demo::run(),
        Task::Test { skip } => test::run(&skip),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
