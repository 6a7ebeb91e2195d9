//! The main job, seen at work.

use lab::kernel::{Needs, TestKernel, has_ipvs};
use lab::packages;

use crate::step::{self, TaskError, cargo};

/// Builds the release and lets it rehearse the failover of the shipped pair.
pub(crate) fn run() -> Result<(), TaskError> {
    packages::require(packages::LAB)?;
    if !has_ipvs() {
        packages::require(TestKernel::quickest(Needs::Ipvs)?.packages())?;
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
