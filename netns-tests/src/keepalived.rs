//! Keepalived as the other node.
//!
//! It is Debian's, run in the foreground with files of its own, so that several run side by side.

use std::process::Command;
use std::time::Duration;

use lab::{Namespace, Process};

use crate::dialect::{Dialect, Preferred, Seats, Transport, Version};
use crate::{Folder, LIMIT};

/// A running Keepalived; it is killed when this is dropped.
#[derive(Debug)]
pub struct Keepalived {
    process: Process,
    _folder: Folder,
}

impl Keepalived {
    /// Starts one inside the namespace of `lb2`.
    ///
    /// # Panics
    /// When it is not installed.
    #[track_caller]
    pub fn start(namespace: &Namespace, dialect: Dialect, preferred: Preferred) -> Self {
        Self::start_with(namespace, dialect, preferred, "")
    }

    /// Starts one inside the namespace of `lb2`, with more lines in its virtual router.
    ///
    /// # Panics
    /// When it is not installed.
    #[track_caller]
    pub fn start_with(namespace: &Namespace, dialect: Dialect, preferred: Preferred, more: &str) -> Self {
        Self::run(namespace, &configuration(dialect, Seats::BatonFirst, preferred, more))
    }

    /// Starts one inside the namespace of the machine that is not Baton's.
    ///
    /// # Panics
    /// When it is not installed.
    #[track_caller]
    pub fn start_at(namespace: &Namespace, dialect: Dialect, seats: Seats, preferred: Preferred) -> Self {
        Self::run(namespace, &configuration(dialect, seats, preferred, ""))
    }

    #[track_caller]
    fn run(namespace: &Namespace, configuration: &str) -> Self {
        let folder = Folder::new();
        let config = folder.write("keepalived.conf", configuration);
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

fn configuration(dialect: Dialect, seats: Seats, preferred: Preferred, more: &str) -> String {
    let (name, priority) = (seats.peer(), preferred.peer_priority());
    let (number, interval) = match dialect.version {
        Version::V2 => (2, "1"),
        Version::V3 | Version::V3OverIpv6 => (3, "0.1"),
    };
    let unicast = match dialect.transport {
        Transport::Multicast => String::new(),
        Transport::Unicast => format!(
            "unicast_src_ip {}\nunicast_peer {{\n{}\n}}\n",
            dialect.node(seats.peer()),
            dialect.node(seats.baton())
        ),
    };
    format!(
        "global_defs {{\nrouter_id {name}\nvrrp_garp_master_delay 0\n}}\n\
         vrrp_instance web {{\nstate BACKUP\ninterface eth0\nvirtual_router_id 51\npriority {priority}\n\
         advert_int {interval}\nversion {number}\n{unicast}{more}virtual_ipaddress {{\n{}\n}}\n}}\n",
        dialect.addresses().join("\n")
    )
}
