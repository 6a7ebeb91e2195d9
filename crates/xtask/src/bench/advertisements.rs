//! What is heard of the virtual routers' advertisements, and when.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lab::{Lab, Namespace};
use socket2::{Domain, Protocol, Socket, Type};

use super::duty::Node;
use super::error::BenchError;

/// Where advertisements are sent: [RFC 9568, section 5.1.1.2](https://www.rfc-editor.org/rfc/rfc9568#section-5.1.1.2).
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// VRRP's protocol number.
const VRRP: i32 = 112;
/// How long the listener waits before it looks whether it shall end.
const PATIENCE: Duration = Duration::from_millis(50);
/// The source's place in an IPv4 header.
const SOURCE: std::ops::Range<usize> = 12..16;
/// The virtual router's number behind an IPv4 header without options, as a reader of a raw socket gets both.
const VRID: usize = 21;
/// What the kernel queues for the listener, in bytes: some bursts of 255 virtual routers.
const QUEUE_BYTES: usize = 4 << 20;

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Advertisements {
    record: Arc<Record>,
    threads: Vec<JoinHandle<lab::Result<()>>>,
}

#[derive(Debug, Default)]
struct Record {
    is_ending: AtomicBool,
    heard: Mutex<Vec<Heard>>,
}

/// One advertisement.
#[derive(Clone, Copy, Debug)]
struct Heard {
    at: Instant,
    from: Ipv4Addr,
    vrid: u8,
}

impl Advertisements {
    /// Starts to listen on a machine's interface, which is named by its address, to what is said to the group.
    pub(crate) fn to_group(machine: &Namespace, interface: Ipv4Addr) -> Result<Self, BenchError> {
        let mut ears = Self { record: Arc::default(), threads: Vec::new() };
        ears.listen(machine, |socket| socket.join_multicast_v4(&GROUP, &interface))?;
        Ok(ears)
    }

    /// Starts to listen on each of these nodes to what each of the others says to it.
    pub(crate) fn between(lab: &Lab, nodes: &[Node]) -> Result<Self, BenchError> {
        let mut ears = Self { record: Arc::default(), threads: Vec::new() };
        for listener in nodes {
            for speaker in nodes.iter().filter(|node| node.name != listener.name) {
                // Of a connected socket the kernel keeps away what anybody else sends, however much that is.
                let only_from = SocketAddr::from((speaker.address, 0)).into();
                ears.listen(lab.namespace(listener.name), |socket| socket.connect(&only_from))?;
            }
        }
        Ok(ears)
    }

    fn listen(
        &mut self,
        machine: &Namespace,
        tune: impl FnOnce(&Socket) -> io::Result<()> + Send,
    ) -> Result<(), BenchError> {
        let open = || {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(VRRP)))?;
            tune(&socket)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.set_recv_buffer_size(QUEUE_BYTES)?;
            Ok(socket)
        };
        let socket = machine.enter(open)?.map_err(BenchError::system("listen to advertisements"))?;
        let record = Arc::clone(&self.record);
        self.threads.push(machine.spawn_thread("advertisements", move || record.fill(&socket))?);
        Ok(())
    }

    /// When a node was last heard, of the advertisements that arrived up to a moment.
    pub(crate) fn last_of(&self, node: Ipv4Addr, up_to: Instant) -> Option<Instant> {
        let heard = self.heard();
        let mut before = heard.iter().rev().skip_while(|heard| heard.at > up_to);
        before.find(|heard| heard.from == node).map(|heard| heard.at)
    }

    /// When these nodes were heard since a moment, in the order in which they were.
    pub(crate) fn turns(&self, nodes: &[Ipv4Addr], since: Instant) -> Vec<(Instant, Ipv4Addr)> {
        let turns = self.heard();
        let turns = turns.iter().filter(|heard| heard.at > since && nodes.contains(&heard.from));
        turns.map(|heard| (heard.at, heard.from)).collect()
    }

    /// How often a node was heard since a moment.
    pub(crate) fn count_of(&self, node: Ipv4Addr, since: Instant) -> usize {
        let heard = self.heard();
        heard.iter().rev().take_while(|heard| heard.at > since).filter(|heard| heard.from == node).count()
    }

    /// How long each virtual router that a node has claimed since a moment was without a word, from the last one of the node
    /// before.
    pub(crate) fn successions(
        &self,
        before: Ipv4Addr,
        successor: Ipv4Addr,
        since: Instant,
    ) -> BTreeMap<u8, Duration> {
        let heard = self.heard();
        let (mut last, mut successions) = (BTreeMap::new(), BTreeMap::new());
        for Heard { at, from, vrid } in heard.iter().copied() {
            if from == before {
                last.insert(vrid, at);
            } else if from == successor && at > since {
                let Some(last) = last.get(&vrid) else { continue };
                successions.entry(vrid).or_insert(at.duration_since(*last));
            }
        }
        successions
    }

    fn heard(&self) -> MutexGuard<'_, Vec<Heard>> {
        self.record.heard()
    }
}

impl Record {
    fn heard(&self) -> MutexGuard<'_, Vec<Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self, mut socket: &Socket) {
        let mut packet = [0; 2048];
        while !self.is_ending.load(Ordering::Relaxed) {
            // Nothing within the time is as good as any other failure: look again.
            let Ok(length) = socket.read(&mut packet) else { continue };
            let now = Instant::now();
            let packet = &packet[..length];
            let source = packet.get(SOURCE).and_then(|octets| <[u8; 4]>::try_from(octets).ok());
            if let (Some(source), Some(vrid)) = (source, packet.get(VRID)) {
                self.heard().push(Heard { at: now, from: source.into(), vrid: *vrid });
            }
        }
    }
}

impl Drop for Advertisements {
    fn drop(&mut self) {
        self.record.is_ending.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}
