//! What passed an interface, as `tshark` reads it: a second opinion that shares no code with Baton.

use std::process::Command;

use lab::{Capture, Namespace};

/// How the checksum of VRRP version 3 over IPv4 is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Over the message alone.
    MessageOnly,
    /// Over a pseudo-header too.
    PseudoHeader,
}

/// Starts to record VRRP, ARP and `ICMPv6` on an interface.
///
/// # Panics
/// When `tcpdump` is missing or there is no such interface.
#[track_caller]
pub fn record(namespace: &Namespace, interface: &str) -> Capture {
    let expression = "ip proto 112 or arp or (ip6 proto 112) or icmp6";
    Capture::start(namespace, interface, expression).unwrap_or_else(|error| panic!("{error}"))
}

/// Returns one row per frame that matches a display filter, one column per field.
///
/// # Panics
/// When `tshark` is missing or knows no such field.
#[track_caller]
pub fn decode(capture: &Capture, checksum: Checksum, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut tshark = Command::new("tshark");
    let message_only = match checksum {
        Checksum::MessageOnly => "vrrp.v3_checksum_as_in_v2:TRUE",
        Checksum::PseudoHeader => "vrrp.v3_checksum_as_in_v2:FALSE",
    };
    tshark.args(["-o", message_only, "-Y", filter, "-T", "fields", "-r"]).arg(capture.file());
    for field in fields {
        tshark.args(["-e", field]);
    }
    let output = tshark.output().unwrap_or_else(|error| panic!("Cannot start tshark: {error}; install it"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tshark: {complaint}");
    let text = String::from_utf8(output.stdout).expect("tshark writes UTF-8");
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}
