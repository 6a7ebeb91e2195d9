//! Commands that a task is made of.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use thiserror::Error;

/// Why a task could not be done.
#[derive(Debug, Error)]
pub(crate) enum TaskError {
    /// A command could not be started.
    #[error("Cannot start {program}: {error}")]
    Start {
        /// The program.
        program: String,
        /// The system's reason.
        error: io::Error,
    },
    /// A command failed.
    #[error("{command}: {status}")]
    Failed {
        /// The command, as one would type it.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// A crate has an arrow that it must not have.
    #[error(
        "{package} must stay pure, but depends on {dependency}: `cargo tree -p {package} -e normal -i {dependency}` shows by which way"
    )]
    Impure {
        /// The crate.
        package: &'static str,
        /// What it must not depend on.
        dependency: String,
    },
    /// The system does not say where this program stands.
    #[error("Cannot find out where this program stands: {0}")]
    OwnPath(io::Error),
    /// The shipped examples cannot be listed.
    #[error("Cannot list config/: {0}")]
    Examples(io::Error),
    /// Steps failed that do not depend on each other.
    #[error("these steps failed: {0}")]
    Steps(String),
    /// A step that does not exist was to be left out.
    #[error("there is no step {name} to skip; the steps are: {steps}")]
    UnknownStep {
        /// What was asked for.
        name: String,
        /// What there is.
        steps: String,
    },
    /// The fuzzer did not find what was put there for it.
    #[error(
        "the fuzzer did not find the bug planted in {target}: it is not guided by coverage, see fuzz/.cargo/config.toml"
    )]
    Blind {
        /// Where it was planted.
        target: &'static str,
    },
    /// The laboratory is not complete.
    #[error(transparent)]
    Lab(#[from] lab::Error),
}

/// A cargo command in the workspace's own folder.
pub(crate) fn cargo<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).current_dir(root());
    command
}

/// The workspace's own folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate stands in crates/ of the workspace")
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder() -> Result<PathBuf, TaskError> {
    let own = std::env::current_exe().map_err(TaskError::OwnPath)?;
    Ok(own.ancestors().nth(2).expect("cargo puts a binary two folders deep").to_owned())
}

/// Runs a command to its end, its output shown as it comes.
pub(crate) fn run(command: &mut Command) -> Result<(), TaskError> {
    let status = command.status().map_err(|error| start_error(command, error))?;
    if status.success() {
        return Ok(());
    }
    Err(TaskError::Failed { command: typed(command), status })
}

/// Runs a command to its end and returns what it wrote on its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, TaskError> {
    let output = command.output().map_err(|error| start_error(command, error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    Err(TaskError::Failed { command: typed(command), status: output.status })
}

/// Runs a command to its end and returns how it ended and what it wrote on its standard error.
pub(crate) fn told(command: &mut Command) -> Result<(ExitStatus, String), TaskError> {
    let output = command.output().map_err(|error| start_error(command, error))?;
    Ok((output.status, String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// Shows what a command that failed has told.
pub(crate) fn failed(command: &Command, status: ExitStatus, told: &str) -> TaskError {
    eprint!("{told}");
    TaskError::Failed { command: typed(command), status }
}

fn start_error(command: &Command, error: io::Error) -> TaskError {
    TaskError::Start { program: command.get_program().to_string_lossy().into_owned(), error }
}

fn typed(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
