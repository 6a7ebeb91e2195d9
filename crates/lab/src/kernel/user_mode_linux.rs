//! User Mode Linux: a Linux kernel that is an ordinary process.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::guest::Boot;
use crate::{Error, Result};

const KERNEL: &str = "/usr/bin/linux.uml";
const MODULES: &str = "/usr/lib/uml/modules";

/// The command that boots, and the folder below which `lib/modules` has the kernel's modules.
pub(super) fn prepare(boot: &Boot<'_>) -> Result<(Command, PathBuf)> {
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
