//! When each node of a group takes and leaves an address, by the kernels' own word.

use std::cmp::Reverse;
use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lab::Lab;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SocketType, bind, recv, socket};

use super::duty::Node;
use super::error::BenchError;

/// `RTMGRP_IPV4_IFADDR` of `linux/rtnetlink.h`.
const IPV4_ADDRESSES: u32 = 0x10;
/// `RTM_NEWADDR` and `RTM_DELADDR`, and where the kind of a message stands.
const NEW_ADDRESS: u16 = 20;
const REMOVED_ADDRESS: u16 = 21;
const KIND: std::ops::Range<usize> = 4..6;
/// How long a listener waits before it looks whether it shall end.
const PATIENCE: Duration = Duration::from_millis(50);

/// Listens on nodes until it is dropped.
#[derive(Debug)]
pub(crate) struct Owners {
    record: Arc<Record>,
    threads: Vec<JoinHandle<lab::Result<()>>>,
}

#[derive(Debug)]
struct Record {
    address: Ipv4Addr,
    is_ending: AtomicBool,
    changes: Mutex<Vec<Change>>,
}

/// Something happened to the address on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// When.
    pub(crate) at: Instant,
    /// Which node.
    pub(crate) node: &'static str,
    /// What.
    pub(crate) course: Course,
}

impl Change {
    /// Whether it is this one.
    pub(crate) fn is(self, node: Node, course: Course) -> bool {
        self.node == node.name && self.course == course
    }
}

/// Whether an address comes, goes or stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// It comes.
    Taken,
    /// It was there, and was written again: its lease was renewed, or somebody did not know.
    Rewritten,
    /// It goes.
    Left,
}

/// How an address came from one owner to the next; the longer two have it, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Crossing {
    /// For so long nobody had it.
    Gap(Reverse<Duration>),
    /// For so long both had it.
    Overlap(Duration),
}

impl Crossing {
    /// Compares when the next owner took the address with when the one before left it.
    pub(crate) fn new(taken: Instant, left: Instant) -> Self {
        match left.checked_duration_since(taken) {
            Some(overlap) => Self::Overlap(overlap),
            None => Self::Gap(Reverse(taken.duration_since(left))),
        }
    }

    /// How long it took, one way or the other.
    pub(crate) fn duration(self) -> Duration {
        match self {
            Self::Gap(Reverse(time)) | Self::Overlap(time) => time,
        }
    }
}

/// Whether an address is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Present,
    Absent,
}

impl Presence {
    /// What has happened if this is so now, and that was before.
    fn after(self, before: Self) -> Course {
        match (before, self) {
            (Self::Absent, Self::Present) => Course::Taken,
            (Self::Present, Self::Present) => Course::Rewritten,
            (Self::Present | Self::Absent, Self::Absent) => Course::Left,
        }
    }
}

impl fmt::Display for Crossing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Gap(_) => "gap",
            Self::Overlap(_) => "two owners",
        };
        write!(formatter, "{kind} {:.2} ms", self.duration().as_secs_f64() * 1e3)
    }
}

impl Owners {
    /// Starts to listen on each of these nodes.
    pub(crate) fn watch(lab: &Lab, nodes: &[Node], address: Ipv4Addr) -> Result<Self, BenchError> {
        let record = Record { address, is_ending: AtomicBool::new(false), changes: Mutex::default() };
        let record = Arc::new(record);
        let mut owners = Self { record, threads: Vec::new() };
        for node in nodes {
            let machine = lab.namespace(node.name);
            let socket = machine.enter(open)?.map_err(BenchError::system("listen to a kernel"))?;
            let presence = if machine.holds(address.into())? { Presence::Present } else { Presence::Absent };
            let (record, name) = (Arc::clone(&owners.record), node.name);
            let fill = move || record.fill(&socket, name, presence);
            owners.threads.push(machine.spawn_thread("owners", fill)?);
        }
        Ok(owners)
    }

    /// What happened since a moment, in its order.
    pub(crate) fn changes(&self, since: Instant) -> Vec<Change> {
        let changes = self.record.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changes: Vec<_> = changes.iter().filter(|change| change.at > since).copied().collect();
        changes.sort_unstable_by_key(|change| change.at);
        changes
    }

    /// When something happened first since a moment.
    pub(crate) fn first(
        &self,
        since: Instant,
        is_it: impl Fn(&Change) -> bool,
    ) -> Result<Instant, BenchError> {
        let changes = self.changes(since);
        let found = changes.iter().find(|change| is_it(change)).map(|change| change.at);
        found.ok_or_else(|| {
            BenchError::Unexpected(format!("The address did not move as it should have: {changes:?}"))
        })
    }
}

/// Opens a socket that hears of addresses that come and go; the protocol of number 0 is rtnetlink.
fn open() -> io::Result<OwnedFd> {
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, IPV4_ADDRESSES))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    Ok(socket)
}

impl Record {
    fn fill(&self, socket: &OwnedFd, node: &'static str, mut presence: Presence) {
        let mut buffer = [0; 4096];
        while !self.is_ending.load(Ordering::Relaxed) {
            // Nothing within the time is as good as any other failure: look again.
            let Ok((length, _)) = recv(socket, &mut buffer, RecvFlags::empty()) else { continue };
            let at = Instant::now();
            if let Some(now) = self.presence(&buffer[..length]) {
                let course = now.after(presence);
                presence = now;
                let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
                changes.push(Change { at, node, course });
            }
        }
    }

    /// What a message says about the address, if it is about it: no other message has its octets in a row.
    fn presence(&self, message: &[u8]) -> Option<Presence> {
        let octets = self.address.octets();
        if !message.windows(octets.len()).any(|window| window == octets) {
            return None;
        }
        match message.get(KIND).and_then(|kind| kind.try_into().ok()).map(u16::from_ne_bytes) {
            Some(NEW_ADDRESS) => Some(Presence::Present),
            Some(REMOVED_ADDRESS) => Some(Presence::Absent),
            Some(_) | None => None,
        }
    }
}

impl Drop for Owners {
    fn drop(&mut self) {
        self.record.is_ending.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_without_an_owner_is_called_a_gap_and_less_than_any_overlap() {
        let start = Instant::now();
        let at = |tenths: u64| start + Duration::from_micros(100 * tenths);
        let [gap, overlap] = [Crossing::new(at(3), at(0)), Crossing::new(at(0), at(3))];
        assert_eq!([gap, overlap].map(|it| it.to_string()), ["gap 0.30 ms", "two owners 0.30 ms"]);
        let none = Crossing::new(at(0), at(0));
        assert!(Crossing::new(at(6), at(0)) < gap && gap < none && none < overlap);
    }
}
