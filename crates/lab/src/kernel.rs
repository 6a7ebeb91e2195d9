//! Kernels to test on where the running one lacks IPVS, booted from Debian's packages.
//!
//! A [`Guest`] runs one program as root on another kernel with this machine's own file system, so the program,
//! its libraries and its results are where they always are. `/run` is the guest's own, and so is the folder for
//! temporary files (`TMPDIR`).

mod guest;
mod qemu;
mod user_mode_linux;

use std::path::Path;
use std::process::Command;

pub use guest::{Guest, Needs, TestKernel};

use crate::command;

/// Whether the running kernel has IPVS, loading its module if it can be loaded.
pub fn has_ipvs() -> bool {
    let table = Path::new("/proc/net/ip_vs");
    if !table.exists() {
        // Without modules this fails, and the look below says what counts.
        let _ = command::output(Command::new("modprobe").arg("ip_vs"));
    }
    table.exists()
}
