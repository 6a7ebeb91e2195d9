//! The main job, seen at work.

use lab::{kernel, packages};

use crate::step::{self, TaskError, cargo};

/// Builds the release and lets it rehearse the failover of the shipped pair.
pub(crate) fn run() -> Result<(), TaskError> {
    packages::require(packages::LAB)?;
    if !kernel::has_ipvs() {
        packages::require(packages::USER_MODE_LINUX)?;
    }
    step::run(&mut cargo([
        "run",
        "--quiet",
        "--release",
        "--package",
        "baton",
        "--",
        "rehearse",
        "config/pair.toml",
    ]))
}
