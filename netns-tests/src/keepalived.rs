//! Keepalived as the other node.
//!
//! It is Debian's, run in the foreground with files of its own, so that several run side by side.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use lab::{Namespace, Process};

use crate::{Folder, LIMIT};

/// What a pair of one Baton and one Keepalived speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// The version and the family.
    pub version: Version,
    /// How advertisements travel.
    pub transport: Transport,
}

/// A version of VRRP and what it is spoken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Version 2, which is over IPv4.
    V2,
    /// Version 3 over IPv4, with the pseudo-header in the checksum: Keepalived before 2.3.3 knows no other.
    V3,
    /// Version 3 over IPv6.
    V3OverIpv6,
}

/// How advertisements travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// To the group.
    Multicast,
    /// To the peer's address.
    Unicast,
}

/// Who is to be Active while both are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preferred {
    /// `lb1`, where Baton runs.
    Baton,
    /// `lb2`, where Keepalived runs.
    Keepalived,
}

impl Dialect {
    /// The virtual address of the clients.
    pub fn address(self) -> &'static str {
        match self.version {
            Version::V2 | Version::V3 => crate::VIRTUAL,
            Version::V3OverIpv6 => crate::VIRTUAL_V6,
        }
    }

    /// The configuration of `lb1`, on which Baton runs, with Keepalived on `lb2`.
    pub fn baton(self, preferred: Preferred) -> String {
        let (ours, theirs) = preferred.priorities();
        let mut text = format!(
            "[node.lb1]\naddresses = [{}]\npriority = {ours}\n\n\
             [node.lb2]\nkind = \"vrrp\"\naddresses = [{}]\npriority = {theirs}\n\n\
             [virtual_router.web]\ninterface = \"eth0\"\nvirtual_router_id = 51\n",
            quoted(&[self.node(11)]),
            quoted(&[self.node(12)]),
        );
        let keys = match self.version {
            Version::V2 => "version = 2\nadvert_interval = \"1s\"\n",
            Version::V3 => "advert_interval = \"100ms\"\nchecksum = \"pseudo-header\"\n",
            Version::V3OverIpv6 => "advert_interval = \"100ms\"\n",
        };
        text.push_str(keys);
        match (self.transport, self.version) {
            (Transport::Multicast, Version::V2 | Version::V3 | Version::V3OverIpv6) => {}
            (Transport::Unicast, Version::V2 | Version::V3) => text.push_str("transport = \"unicast\"\n"),
            // Over IPv6 Keepalived sends unicast with the kernel's own hop limit.
            (Transport::Unicast, Version::V3OverIpv6) => {
                text.push_str("transport = \"unicast\"\nmin_hop_limit = 64\n");
            }
        }
        writeln!(text, "virtual_addresses = [{}]", quoted(self.addresses())).expect("a string takes text");
        text
    }

    fn keepalived(self, preferred: Preferred, more: &str) -> String {
        let (_, priority) = preferred.priorities();
        let (number, interval) = match self.version {
            Version::V2 => (2, "1"),
            Version::V3 | Version::V3OverIpv6 => (3, "0.1"),
        };
        let unicast = match self.transport {
            Transport::Multicast => String::new(),
            Transport::Unicast => {
                format!("unicast_src_ip {}\nunicast_peer {{\n{}\n}}\n", self.node(12), self.node(11))
            }
        };
        format!(
            "global_defs {{\nrouter_id lb2\nvrrp_garp_master_delay 0\n}}\n\
             vrrp_instance web {{\nstate BACKUP\ninterface eth0\nvirtual_router_id 51\npriority {priority}\n\
             advert_int {interval}\nversion {number}\n{unicast}{more}virtual_ipaddress {{\n{}\n}}\n}}\n",
            self.addresses().join("\n")
        )
    }

    /// The same list on both sides: Keepalived before 2.3.3 drops advertisements with another one.
    fn addresses(self) -> &'static [&'static str] {
        match self.version {
            Version::V2 | Version::V3 => &["10.77.0.50/24"],
            Version::V3OverIpv6 => &["fe80::50/64", "fd77::50/64"],
        }
    }

    fn node(self, last: u8) -> String {
        match self.version {
            Version::V2 | Version::V3 => format!("10.77.0.{last}"),
            Version::V3OverIpv6 => format!("fd77::{last}"),
        }
    }
}

impl Preferred {
    /// Baton's priority and Keepalived's.
    fn priorities(self) -> (u8, u8) {
        match self {
            Self::Baton => (150, 100),
            Self::Keepalived => (100, 150),
        }
    }
}

fn quoted<T: std::fmt::Display>(texts: &[T]) -> String {
    texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ")
}

/// A running Keepalived; it is killed when this is dropped.
#[derive(Debug)]
pub struct Keepalived {
    process: Process,
    _folder: Folder,
}

impl Keepalived {
    /// Starts one inside a namespace.
    ///
    /// # Panics
    /// When it is not installed.
    #[track_caller]
    pub fn start(namespace: &Namespace, dialect: Dialect, preferred: Preferred) -> Self {
        Self::start_with(namespace, dialect, preferred, "")
    }

    /// Starts one inside a namespace, with more lines in its virtual router.
    ///
    /// # Panics
    /// When it is not installed.
    #[track_caller]
    pub fn start_with(namespace: &Namespace, dialect: Dialect, preferred: Preferred, more: &str) -> Self {
        let folder = Folder::new();
        let config = folder.write("keepalived.conf", &dialect.keepalived(preferred, more));
        let mut command = Command::new("keepalived");
        command.args(["--dont-fork", "--log-console", "--log-detail", "--vrrp", "--use-file"]).arg(config);
        command.arg("--pid").arg(folder.path().join("pid")).arg("--vrrp_pid").arg(folder.path().join("vrrp"));
        let started = namespace.spawn("keepalived", &mut command);
        let process = started.unwrap_or_else(|error| panic!("{error}; run `apt-get install keepalived`"));
        Self { process, _folder: folder }
    }

    /// Waits until its log contains a text.
    ///
    /// # Panics
    /// When it does not come to.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        self.process.wait_for_log(text, LIMIT).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Everything it has told.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Asks it to end, and waits for that.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn stop(&mut self) {
        // It gives its own children five seconds.
        self.process.terminate(LIMIT + Duration::from_secs(5)).unwrap_or_else(|error| panic!("{error}"));
    }
}
