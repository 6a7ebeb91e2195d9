//! User Mode Linux: a Linux kernel that is an ordinary process.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::guest::{Boot, TestKernel};
use crate::{Error, Result};

/// What it needs.
pub(super) const PACKAGES: &[&str] = &["kmod", "user-mode-linux", "util-linux"];

const KERNEL: &str = "/usr/bin/linux.uml";
const MODULES: &str = "/usr/lib/uml/modules";
const PROCESSORS: &str = "/proc/cpuinfo";

/// What `/proc/cpuinfo` calls the registers that a processor with AMX has besides.
const TILES: &str = "amx_tile";

/// The feature of this machine's processor that it cannot live with, if there is one.
///
/// It keeps the registers of a process in 2,696 bytes (`HOST_FP_SIZE` in `arch/x86/um/user-offsets.c` of Linux 6.1). With AMX there
/// are 11,008, the host takes them back only as a whole, and so the first process is killed.
pub(super) fn outgrowing_feature() -> Result<Option<&'static str>> {
    let text = fs::read_to_string(PROCESSORS).map_err(Error::system(format!("read {PROCESSORS}")))?;
    let mut features =
        text.lines().filter_map(|line| line.strip_prefix("flags")).flat_map(str::split_whitespace);
    Ok(features.any(|feature| feature == TILES).then_some(TILES))
}

/// The command that boots, and the folder below which `lib/modules` has the kernel's modules.
pub(super) fn prepare(boot: &Boot<'_>) -> Result<(Command, PathBuf)> {
    if let Some(feature) = outgrowing_feature()? {
        return Err(Error::Processor { kernel: TestKernel::UserModeLinux, feature });
    }
    for path in [KERNEL, MODULES].map(Path::new) {
        if !path.exists() {
            let advice = "install the Debian package user-mode-linux".to_owned();
            return Err(Error::Missing { path: path.to_owned(), advice });
        }
    }
    let modules = boot.results.join("modules");
    let link = modules.join("lib/modules");
    if !link.exists() {
        fs::create_dir_all(modules.join("lib"))
            .and_then(|()| symlink(MODULES, &link))
            .map_err(Error::system(format!("link {}", link.display())))?;
    }
    // The kernel goes when this process does, whatever happens to it.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", KERNEL, "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw"]);
    command.args(["quiet", "loglevel=3", "con=null", "con0=fd:0,fd:1"]);
    command.arg(format!("mem={}M", boot.memory_mib));
    command.arg(format!("uml_dir={}/", boot.results.display()));
    command.arg(format!("init={}", boot.init.display()));
    Ok((command, modules))
}
