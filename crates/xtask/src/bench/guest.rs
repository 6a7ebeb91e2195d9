//! Figures that need IPVS, measured on a kernel of their own.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use lab::kernel::{Guest, TestKernel};
use lab::packages;
use serde::{Deserialize, Serialize};

use super::contender::Programs;
use super::error::BenchError;
use super::full_table::FullTable;
use super::name;
use super::one_weight::OneWeight;
use super::table::Row;
use crate::step;

/// How long all measurements on one kernel may take.
const LIMIT: Duration = Duration::from_mins(15);

/// The measurements that this program makes when it runs on another kernel.
#[derive(Clone, Debug, Args)]
pub(crate) struct GuestTask {
    /// Keepalived's program.
    #[arg(long)]
    keepalived: PathBuf,
    /// Baton's program.
    #[arg(long)]
    baton: PathBuf,
    /// What to measure.
    #[arg(long = "figure", value_enum)]
    figures: Vec<IpvsFigure>,
    /// Where to write what was measured.
    #[arg(long)]
    results: PathBuf,
}

/// What can be measured where there is IPVS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum IpvsFigure {
    /// The whole table.
    FullTable,
    /// One weight.
    OneWeight,
}

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
enum Measured {
    FullTable(FullTable),
    OneWeight(OneWeight),
}

impl IpvsFigure {
    fn measure(self, programs: &Programs) -> Result<Measured, BenchError> {
        Ok(match self {
            Self::FullTable => Measured::FullTable(FullTable::measure(programs)?),
            Self::OneWeight => Measured::OneWeight(OneWeight::measure(programs)?),
        })
    }
}

impl Measured {
    fn rows(&self, place: Place) -> Vec<Row> {
        let kernel = place.to_string();
        match self {
            Self::FullTable(table) => table.rows(&kernel, place.table_goal()),
            Self::OneWeight(weight) => weight.rows(&kernel),
        }
    }
}

/// A kernel to measure on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// Debian's stock kernel.
    Qemu,
    /// A kernel that is a process.
    UserModeLinux,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Qemu => "QEMU",
            Self::UserModeLinux => "UML",
        })
    }
}

impl Place {
    fn kernel(self) -> TestKernel {
        match self {
            Self::Qemu => TestKernel::Qemu,
            Self::UserModeLinux => TestKernel::UserModeLinux,
        }
    }

    /// Baton's part of what Keepalived needs for the whole table: system calls are dear in User Mode Linux, and that
    /// there are fewer of them counts more.
    fn table_goal(self) -> f64 {
        match self {
            Self::Qemu => 0.6,
            Self::UserModeLinux => 1.0 / 3.0,
        }
    }
}

/// Boots a kernel, measures there and returns what was measured.
pub(crate) fn measure(
    place: Place,
    programs: &Programs,
    figures: &[IpvsFigure],
) -> Result<Vec<Row>, BenchError> {
    let folder = step::target_folder()?.join("tmp/bench").join(place.to_string());
    let kernel = place.kernel();
    packages::require(kernel.packages())?;
    let results = folder.join("results.json");
    // What an earlier run left would be taken for this one's.
    let _ = fs::remove_file(&results);
    let program = std::env::current_exe().map_err(BenchError::system("find this program"))?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut arguments = vec!["bench-guest".to_owned()];
    for (option, path) in
        [("--keepalived", &programs.keepalived), ("--baton", &programs.baton), ("--results", &results)]
    {
        arguments.extend([option.to_owned(), text(path)]);
    }
    for figure in figures {
        arguments.extend(["--figure".to_owned(), name(figure)]);
    }
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let status = Guest::new(kernel, &folder).limit(LIMIT).run(&program, &arguments)?;
    if status != 0 {
        return Err(BenchError::Guest { kernel: place.to_string(), status });
    }
    let text = fs::read_to_string(&results).map_err(BenchError::read(&results))?;
    let measured: Vec<Measured> = serde_json::from_str(&text)
        .map_err(|error| BenchError::Unexpected(format!("{} cannot be read: {error}", results.display())))?;
    Ok(measured.iter().flat_map(|measured| measured.rows(place)).collect())
}

/// Makes the measurements; to be run on the kernel that they are about.
pub(crate) fn run(task: GuestTask) -> Result<(), BenchError> {
    let programs = Programs { keepalived: task.keepalived, baton: task.baton };
    let measured: Vec<_> =
        task.figures.iter().map(|figure| figure.measure(&programs)).collect::<Result<_, _>>()?;
    let text = serde_json::to_string(&measured).expect("times and counts can be written");
    fs::write(&task.results, text).map_err(BenchError::write(&task.results))
}
