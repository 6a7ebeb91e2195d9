//! ICMP echo at a steady pace.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, ipproto, recv, send, socket_with,
};

use super::{Pace, Phase, Record, failed};
use crate::Result;
use crate::timeline::{Failure, Fate};

/// Echo request. Source: [RFC 792](https://www.rfc-editor.org/rfc/rfc792), page 14.
const ECHO_REQUEST: u8 = 8;
/// Echo request. Source: [RFC 4443, section 4.1](https://www.rfc-editor.org/rfc/rfc4443#section-4.1).
const ECHO_REQUEST_V6: u8 = 128;
/// Type, code, checksum, identifier and sequence number; the kernel fills in checksum and identifier.
const HEADER: usize = 8;
/// The header, then the probe's number in eight bytes.
const MESSAGE: usize = HEADER + 8;

/// Opens a socket that sends to one address and hears only the answers to its own requests.
pub(super) fn open(target: IpAddr) -> Result<OwnedFd> {
    let (family, protocol) = match target {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(family, SocketType::DGRAM, flags, Some(protocol)).map_err(failed("open an ICMP socket"))
}

/// Probes until the record says stop.
pub(super) fn probe(socket: &OwnedFd, target: IpAddr, record: &Record) -> Result<()> {
    let kind = match target {
        IpAddr::V4(_) => ECHO_REQUEST,
        IpAddr::V6(_) => ECHO_REQUEST_V6,
    };
    let mut connected = false;
    let mut pace = Pace::new(record);
    loop {
        let now = Instant::now();
        let is_due = pace.is_due(now);
        let phase = record.phase(now);
        if phase == Phase::Over {
            return Ok(());
        }
        if phase == Phase::Asking && is_due {
            let number = record.sent(now);
            // Without a route there is nothing to connect to yet, but there may be later.
            connected = connected || connect(socket, &SocketAddr::new(target, 0)).is_ok();
            if !connected || send(socket, &message(kind, number), SendFlags::empty()).is_err() {
                record.resolve(number, Fate::Failed(Failure::Unreachable));
            }
        }
        let left = Timespec::try_from(pace.left(Instant::now())).expect("an interval is below 2^63 seconds");
        match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&left)) {
            Ok(_) | Err(Errno::INTR) => hear(socket, record),
            Err(error) => return Err(failed("wait for an echo reply")(error)),
        }
    }
}

/// Notes all answers that have come.
fn hear(socket: &OwnedFd, record: &Record) {
    let mut buffer = [0_u8; MESSAGE];
    loop {
        match recv(socket, &mut buffer, RecvFlags::empty()) {
            Ok((_, MESSAGE)) => {
                let number =
                    u64::from_be_bytes(buffer[HEADER..].try_into().expect("the number is eight bytes"));
                let answered = Fate::Answered { at: Instant::now(), by: None };
                record.resolve(usize::try_from(number).unwrap_or(usize::MAX), answered);
            }
            // Somebody else's message, or the report that a request did not arrive, which its silence says too.
            Ok(_) | Err(Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::CONNREFUSED | Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

fn message(kind: u8, number: usize) -> [u8; MESSAGE] {
    let mut message = [0; MESSAGE];
    message[0] = kind;
    // The sequence number is sixteen bits wide and only there for whoever looks at a capture.
    message[6..HEADER].copy_from_slice(&number.to_be_bytes()[size_of::<usize>() - 2..]);
    message[HEADER..].copy_from_slice(&(number as u64).to_be_bytes());
    message
}
