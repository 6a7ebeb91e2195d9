//! Debian packages that a task needs beyond what every installation has.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::{Error, Result, command};

/// What the lab itself needs: `ip`, `tc`, `ping`, `nft`, `tcpdump`, `tshark`, `ipvsadm`.
pub const LAB: &[&str] = &["iproute2", "ipvsadm", "iputils-ping", "nftables", "tcpdump", "tshark"];

/// A program that Debian's installation scripts ask before they start a daemon.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// It answers 101, "action forbidden by policy". Source: Debian's invoke-rc.d(8).
const FORBID: &str = "#!/bin/sh\nexit 101\n";

/// The packages of a list that are not installed, each once, in alphabetical order.
///
/// # Errors
/// When `dpkg-query` cannot be started: this is no Debian.
pub fn missing(packages: &[&str]) -> Result<Vec<String>> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${Package} ${db:Status-Status}\\n"]).args(packages);
    // It reports failure when it does not know one of them, and still lists the others.
    let output = command::output(&mut query)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let installed: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_suffix(" installed")).collect();
    let wanted: BTreeSet<&str> = packages.iter().copied().collect();
    Ok(wanted.difference(&installed).map(|&package| package.to_owned()).collect())
}

/// Installs what is missing of a list; daemons among them are not started.
///
/// # Errors
/// [`Error::Packages`] names what is missing when we are not root; otherwise when `apt-get` fails.
pub fn require(packages: &[&str]) -> Result<()> {
    let missing = missing(packages)?;
    if missing.is_empty() {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Error::Packages(missing));
    }
    command::run(Command::new("apt-get").args(["--quiet", "update"]))?;
    let _policy = NoDaemons::begin()?;
    let mut install = Command::new("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    install.args(["--quiet", "--yes", "--no-install-recommends", "install"]).args(missing);
    command::run(&mut install).map(drop)
}

/// While this lives, installing a package starts no daemon; a policy that is already there stays in force.
struct NoDaemons {
    ours: bool,
}

impl NoDaemons {
    fn begin() -> Result<Self> {
        let ours = !Path::new(POLICY).exists();
        if ours {
            fs::write(POLICY, FORBID)
                .and_then(|()| fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)))
                .map_err(Error::system(format!("write {POLICY}")))?;
        }
        Ok(Self { ours })
    }
}

impl Drop for NoDaemons {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("lab: Cannot remove {POLICY}: {error}; remove it, or no daemon starts on installation");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_installed_is_named_once() {
        assert_eq!(missing(&["bash", "no-such-package", "bash"]).unwrap(), ["no-such-package"]);
        assert_eq!(missing(&["bash", "dpkg"]).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_installed_is_not_installed_again() {
        require(&["bash", "dpkg"]).unwrap();
    }
}
