//! Figures that need IPVS, measured on a kernel of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use lab::kernel::{Guest, TestKernel};
use lab::packages;
use serde::{Deserialize, Serialize};

use super::contender::Programs;
use super::error::BenchError;
use super::full_table::FullTable;
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
    /// Build the whole table.
    #[arg(long)]
    full_table: bool,
    /// Change one weight.
    #[arg(long)]
    one_weight: bool,
    /// Where to write what was measured.
    #[arg(long)]
    results: PathBuf,
}

/// Which measurements are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The whole table.
    pub(crate) full_table: bool,
    /// One weight.
    pub(crate) one_weight: bool,
}

/// What was measured.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Measured {
    full_table: Option<FullTable>,
    one_weight: Option<OneWeight>,
}

/// A kernel to measure on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// Debian's stock kernel.
    Qemu,
    /// A kernel that is a process.
    UserModeLinux,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Qemu => "QEMU",
            Self::UserModeLinux => "UML",
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
pub(crate) fn measure(place: Place, programs: &Programs, wanted: Wanted) -> Result<Vec<Row>, BenchError> {
    let target = step::target_folder()?;
    let folder = target.join("tmp/bench").join(place.name());
    let kernel = match place {
        Place::Qemu => {
            packages::require(packages::QEMU)?;
            TestKernel::Qemu { cache: target.join("tmp/stock-kernel") }
        }
        Place::UserModeLinux => {
            packages::require(packages::USER_MODE_LINUX)?;
            TestKernel::UserModeLinux
        }
    };
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
    arguments.extend(wanted.full_table.then(|| "--full-table".to_owned()));
    arguments.extend(wanted.one_weight.then(|| "--one-weight".to_owned()));
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let status = Guest::new(kernel, &folder).limit(LIMIT).run(&program, &arguments)?;
    if status != 0 {
        return Err(BenchError::Guest { kernel: place.name(), status });
    }
    let text = fs::read_to_string(&results).map_err(BenchError::read(&results))?;
    let measured: Measured = serde_json::from_str(&text)
        .map_err(|error| BenchError::Unexpected(format!("{} cannot be read: {error}", results.display())))?;
    let table = measured.full_table.map(|table| table.rows(place.name(), place.table_goal()));
    let weight = measured.one_weight.map(|weight| weight.rows(place.name()));
    Ok(table.into_iter().chain(weight).flatten().collect())
}

/// Makes the measurements; to be run on the kernel that they are about.
pub(crate) fn run(task: GuestTask) -> Result<(), BenchError> {
    let programs = Programs { keepalived: task.keepalived, baton: task.baton };
    let measured = Measured {
        full_table: task.full_table.then(|| FullTable::measure(&programs)).transpose()?,
        one_weight: task.one_weight.then(|| OneWeight::measure(&programs)).transpose()?,
    };
    let text = serde_json::to_string(&measured).expect("times and counts can be written");
    fs::write(&task.results, text).map_err(BenchError::write(&task.results))
}
