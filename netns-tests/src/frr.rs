//! FRR's vrrpd as the other node.
//!
//! It speaks multicast only. The addresses stand on a macvlan with the virtual router's link-layer address that somebody
//! has to prepare, one for each family; vrrpd has zebra take its carrier away (`protodown`) while it is Backup. Both
//! programs are Debian's, run in the foreground with files of their own, so that several run side by side.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lab::{Namespace, Process, wait_until};

use crate::dialect::{Dialect, Preferred, Version};
use crate::{Folder, LIMIT};

/// Where Debian's package puts the programs.
const PROGRAMS: &str = "/usr/lib/frr";
/// The macvlan.
const INTERFACE: &str = "vrrp";
/// Whom both programs turn into: they start as nobody else.
const USER: &str = "frr:frr";

/// A running vrrpd and the zebra that it needs; they are killed when this is dropped.
#[derive(Debug)]
pub struct Frr {
    // Before zebra, whose connection it would miss.
    vrrpd: Process,
    _zebra: Process,
    folder: Folder,
}

impl Frr {
    /// Starts both inside a namespace, on a macvlan over `eth0` that is made for them.
    ///
    /// # Panics
    /// When they are not installed, or the kernel has no macvlan.
    #[track_caller]
    pub fn start(namespace: &Namespace, dialect: Dialect, preferred: Preferred) -> Self {
        let folder = Folder::new();
        folder.write("zebra.conf", "log stdout informational\n");
        folder.write("vrrpd.conf", &configuration(dialect, preferred));
        prepare(namespace, dialect).unwrap_or_else(|error| panic!("{error}"));
        let chown = namespace.run(&["chown", USER, &folder.path().to_string_lossy()]);
        chown.unwrap_or_else(|error| panic!("{error}; run `apt-get install frr`"));
        let zebra = spawn(namespace, "zebra", folder.path());
        let socket = socket(folder.path());
        wait_until("The socket of zebra", LIMIT, || Ok(socket.exists()))
            .unwrap_or_else(|error| panic!("{error}"));
        let vrrpd = spawn(namespace, "vrrpd", folder.path());
        // Before that the macvlan answers as if it were Active.
        let waited = wait_until("vrrpd as Backup", LIMIT, || Ok(!Self::is_active(namespace)));
        waited.unwrap_or_else(|error| panic!("{error}"));
        Self { vrrpd, _zebra: zebra, folder }
    }

    /// Starts vrrpd again after [`Frr::stop`].
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn restart(&mut self, namespace: &Namespace) {
        self.vrrpd = spawn(namespace, "vrrpd", self.folder.path());
    }

    /// Whether it lets the kernel answer for the addresses.
    ///
    /// # Panics
    /// When the macvlan cannot be looked at.
    #[track_caller]
    pub fn is_active(namespace: &Namespace) -> bool {
        let link = namespace.run(&["ip", "-details", "link", "show", "dev", INTERFACE]);
        let link = link.unwrap_or_else(|error| panic!("{error}"));
        !link.contains("protodown on")
    }

    /// The link-layer address by which clients find the virtual addresses: [RFC 9568, section
    /// 7.3](https://www.rfc-editor.org/rfc/rfc9568#section-7.3).
    pub fn link_address(dialect: Dialect) -> &'static str {
        match dialect.version {
            Version::V2 | Version::V3 => "00:00:5e:00:01:33",
            Version::V3OverIpv6 => "00:00:5e:00:02:33",
        }
    }

    /// Everything that vrrpd has told.
    pub fn log(&self) -> String {
        self.vrrpd.log()
    }

    /// Asks vrrpd to end, and waits for that.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn stop(&mut self) {
        self.vrrpd.terminate(LIMIT + Duration::from_secs(5)).unwrap_or_else(|error| panic!("{error}"));
    }
}

fn configuration(dialect: Dialect, preferred: Preferred) -> String {
    let priority = preferred.peer_priority();
    let (number, milliseconds, family) = match dialect.version {
        Version::V2 => (2, 1000, "ip"),
        Version::V3 => (3, 100, "ip"),
        Version::V3OverIpv6 => (3, 100, "ipv6"),
    };
    let mut text = format!(
        "log stdout informational\ninterface eth0\nvrrp 51 version {number}\nvrrp 51 priority {priority}\n\
         vrrp 51 advertisement-interval {milliseconds}\n"
    );
    for address in dialect.addresses() {
        let (address, _) = address.split_once('/').expect("it has a prefix length");
        writeln!(text, "vrrp 51 {family} {address}").expect("a string takes text");
    }
    text
}

fn prepare(namespace: &Namespace, dialect: Dialect) -> lab::Result<()> {
    // The address stands on the macvlan while another is Active, too: `eth0` must neither answer for it nor tell of it.
    namespace.set_sysctl("net/ipv4/conf/all/arp_ignore", "1")?;
    namespace.set_sysctl("net/ipv4/conf/all/arp_announce", "2")?;
    let run = |line: &str| namespace.run(&line.split(' ').collect::<Vec<_>>()).map(drop);
    let address = Frr::link_address(dialect);
    run(&format!("ip link add {INTERFACE} address {address} link eth0 type macvlan mode bridge"))?;
    run(&format!("ip link set {INTERFACE} up"))?;
    for address in dialect.addresses() {
        run(&format!("ip address add {address} dev {INTERFACE}"))?;
    }
    Ok(())
}

#[track_caller]
fn spawn(namespace: &Namespace, program: &str, folder: &Path) -> Process {
    let mut command = Command::new(Path::new(PROGRAMS).join(program));
    command.arg("--config_file").arg(folder.join(program).with_extension("conf"));
    command.arg("--socket").arg(socket(folder));
    command.arg("--pid_file").arg(folder.join(program).with_extension("pid"));
    command.arg("--vty_socket").arg(folder).args(["--vty_port", "0"]);
    let started = namespace.spawn(program, &mut command);
    started.unwrap_or_else(|error| panic!("{error}; run `apt-get install frr`"))
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("zserv.api")
}
