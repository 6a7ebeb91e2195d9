//! Overhearing what programs and kernel say to each other over netlink, with the kernel's own time stamps.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use lab::{Namespace, Process, wait_until};

use super::error::BenchError;
use super::ipvs::{GENERIC, split};

/// How long `tcpdump` may take to start or to end, in the slowest of test kernels.
const LIMIT: Duration = Duration::from_mins(1);
/// How much may wait to be written down, in KiB: a whole table and all of its acknowledgements.
const BUFFER_KIB: &str = "65536";

/// How long a message may wait in the kernel before `tcpdump` is handed it (its read timeout of one second), twice.
const DELIVERY: Duration = Duration::from_secs(2);

/// A recording that is running.
#[derive(Debug)]
pub(crate) struct Monitor {
    tcpdump: Process,
    file: PathBuf,
    family: u16,
}

/// What was overheard of IPVS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overheard {
    /// When each write reached the kernel, since 1970; those of one system call have one time.
    pub(crate) writes: Vec<Duration>,
    /// When each acknowledgement or error left the kernel, since 1970; also those of other families.
    verdicts: Vec<Duration>,
}

impl Monitor {
    /// Starts to record a namespace's netlink messages; `family` is the number of IPVS.
    pub(crate) fn start(namespace: &Namespace, family: u16) -> Result<Self, BenchError> {
        namespace.run(&["ip", "link", "add", "nlmon0", "type", "nlmon"])?;
        namespace.run(&["ip", "link", "set", "nlmon0", "up"])?;
        let file = std::env::temp_dir().join(format!("{}.pcap", namespace.name()));
        let mut command = Command::new("tcpdump");
        command.args(["-Z", "root", "-i", "nlmon0", "-B", BUFFER_KIB, "--time-stamp-precision", "nano"]);
        let mut tcpdump = namespace.spawn("tcpdump", command.arg("-w").arg(&file))?;
        tcpdump.wait_for_log("listening on", LIMIT)?;
        Ok(Self { tcpdump, file, family })
    }

    /// Ends the recording and returns what it holds.
    pub(crate) fn stop(mut self, namespace: &Namespace) -> Result<Overheard, BenchError> {
        thread::sleep(DELIVERY);
        self.tcpdump.terminate(LIMIT)?;
        wait_until("The end of the recording", LIMIT, || {
            Ok(self.tcpdump.log().contains("dropped by kernel"))
        })?;
        namespace.run(&["ip", "link", "delete", "nlmon0"])?;
        if !self.tcpdump.log().contains("\n0 packets dropped by kernel") {
            let log = self.tcpdump.log();
            return Err(BenchError::Unexpected(format!("tcpdump did not record everything: {log}")));
        }
        let recording = fs::read(&self.file).map_err(BenchError::read(&self.file))?;
        fs::remove_file(&self.file).map_err(BenchError::system("remove a recording"))?;
        Ok(read(&recording, self.family))
    }
}

impl Overheard {
    /// From the first write to the acknowledgement of the last.
    pub(crate) fn duration(&self) -> Option<Duration> {
        let first = self.writes.first()?;
        Some(self.done()?.saturating_sub(*first))
    }

    /// From a moment before the last write to its acknowledgement.
    pub(crate) fn done_since(&self, moment: SystemTime) -> Option<Duration> {
        let moment = moment.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        self.done()?.checked_sub(moment)
    }

    /// The first verdict after the last write.
    fn done(&self) -> Option<Duration> {
        let last = self.writes.last()?;
        self.verdicts.iter().find(|verdict| *verdict >= last).copied()
    }
}

/// `struct pcap_file_header`, and the octet where the link type stands.
const FILE_HEADER_BYTES: usize = 24;
/// Seconds, nanoseconds, length recorded, length on the wire; 32 bits each, in this machine's order.
const RECORD_HEADER_BYTES: usize = 16;
/// `LINKTYPE_NETLINK`'s header: packet type, ARP type, 10 octets of nothing, netlink protocol; big-endian.
const LINK_HEADER_BYTES: usize = 16;

fn read(recording: &[u8], family: u16) -> Overheard {
    let mut overheard = Overheard::default();
    let mut rest = recording.get(FILE_HEADER_BYTES..).unwrap_or_default();
    while let Some((time, packet, next)) = record(rest) {
        rest = next;
        let Some((link, messages)) = packet.split_first_chunk::<LINK_HEADER_BYTES>() else { continue };
        let [.., p0, p1] = *link;
        if u16::from_be_bytes([p0, p1]) != GENERIC {
            continue;
        }
        for message in split(messages) {
            if message.kind == family && message.is_write() {
                overheard.writes.push(time);
            } else if message.is_verdict() {
                overheard.verdicts.push(time);
            }
        }
    }
    overheard
}

/// Splits the first record off: its time, its octets, the rest.
fn record(bytes: &[u8]) -> Option<(Duration, &[u8], &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<RECORD_HEADER_BYTES>()?;
    let [s0, s1, s2, s3, n0, n1, n2, n3, l0, l1, l2, l3, ..] = *header;
    let seconds = u32::from_ne_bytes([s0, s1, s2, s3]);
    let nanoseconds = u32::from_ne_bytes([n0, n1, n2, n3]);
    let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
    let (packet, rest) = rest.split_at_checked(length)?;
    Some((Duration::new(seconds.into(), nanoseconds), packet, rest))
}
