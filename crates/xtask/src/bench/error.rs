//! Why a figure could not be measured.

use std::io;
use std::path::Path;

use thiserror::Error;

use crate::step::TaskError;

/// Why a figure could not be measured, or a benchmark not be run.
#[derive(Debug, Error)]
pub(crate) enum BenchError {
    /// The laboratory failed.
    #[error(transparent)]
    Lab(#[from] lab::Error),
    /// A step before failed.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The system refused something.
    #[error("Cannot {action}: {source}")]
    System {
        /// What was tried, as the rest of the sentence "Cannot ...".
        action: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Something was seen that cannot be.
    #[error("{0}")]
    Unexpected(String),
    /// A program on another kernel failed.
    #[error("the measurement on {kernel} ended with status {status}; what it wrote stands above")]
    Guest {
        /// Which kernel.
        kernel: String,
        /// How it ended.
        status: i32,
    },
    /// Some figures are missing; why has been told.
    #[error("not all figures could be measured: {0}")]
    Unmeasured(String),
}

impl BenchError {
    /// Says what was tried when the system refused.
    pub(crate) fn system(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::System { action, source }
    }

    /// Says which file could not be written when the system refused.
    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::system(format!("write {}", path.display()))
    }

    /// Says which file could not be read when the system refused.
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::system(format!("read {}", path.display()))
    }
}
