//! The sockets of every segment that the virtual routers advertise on.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::mem;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use host::clock::now;
use host::neighbour_socket::{NeighbourSocket, Sign};
use host::packet_socket::{Frame, FrameSocket};
use host::vrrp_socket::{self, Batch, Reception, VrrpSocket};
use monotonic::Instant;
use node::link::{LinkEvent, LinkState};
use node::name::InterfaceName;
use node::report::Report;
use node::routers::{Routers, Transmission};
use node::{Datagram, Segment};
use vrrp::{Family, MacAddress, frame};

use crate::journal::Journal;

/// How many batches a socket is read before it is the turn of what else is due; 16 × 64 packets are a burst of four
/// times what 255 virtual routers say at once, and a few milliseconds of work.
const BATCHES_A_TURN: usize = 16;

/// How long a failure to send on an interface is not told again.
const FAILURE_SILENCE: Duration = Duration::from_mins(1);

/// One pair of sockets for each interface and family.
#[derive(Default)]
pub struct Sockets {
    open: BTreeMap<Segment, VrrpSocket>,
    /// How many there should be.
    needed: usize,
    /// Those that could not be opened.
    refused: BTreeSet<Segment>,
    /// Where what neighbours say is waited for.
    neighbours: BTreeMap<Segment, NeighbourSocket>,
    links: BTreeMap<InterfaceName, Link>,
    batch: Batch,
    /// What advertisements that go out as frames are written to, again and again.
    frames: Vec<u8>,
    failures_told: BTreeMap<InterfaceName, Instant>,
}

/// What goes through each socket.
type Packets<'a> = BTreeMap<(&'a InterfaceName, Family), Vec<vrrp_socket::Transmission<'a>>>;

/// What has to be known of an interface to send through it.
#[derive(Clone, Copy, Debug)]
struct Link {
    index: u32,
    /// None where frames are not Ethernet's.
    mac: Option<MacAddress>,
}

impl Sockets {
    /// Takes over which number and hardware address an interface has; sockets of an interface that is gone are closed.
    pub fn follow_link(&mut self, event: &LinkEvent) {
        match event.state {
            Some(LinkState { index, mac, .. }) => {
                self.links.insert(event.interface.clone(), Link { index, mac })
            }
            None => self.links.remove(&event.interface),
        };
    }

    /// Opens and closes sockets so that exactly those that the virtual routers need are open.
    pub fn follow(&mut self, routers: &Routers, journal: &Journal) {
        let segments = routers.segments();
        let Self { open, links, .. } = self;
        open.retain(|segment, socket| {
            let index = links.get(&segment.interface).map(|link| link.index);
            segments.contains(segment) && index == Some(socket.interface_index())
        });
        self.refused.retain(|segment| segments.contains(segment));
        self.needed = 0;
        for segment in segments {
            if !self.links.contains_key(&segment.interface) {
                continue;
            }
            self.needed += 1;
            if self.open.contains_key(&segment) {
                continue;
            }
            match VrrpSocket::open(&segment.interface, segment.family, Reception::Group) {
                Ok(socket) => {
                    self.refused.remove(&segment);
                    self.open.insert(segment, socket);
                }
                // It is tried again as long as it is needed, and told once.
                Err(error) => {
                    let (interface, reason) = (segment.interface.clone(), error.to_string());
                    if self.refused.insert(segment) {
                        journal.tell(Report::ListeningFailed { interface, reason });
                    }
                }
            }
        }
    }

    /// Tells whether [`Self::follow`] has something to do that nobody tells of: a node that hears nobody elects itself.
    pub fn are_lacking(&self) -> bool {
        self.open.len() < self.needed
    }

    /// Listens to the neighbours where a virtual router waits for what they say, and nowhere else.
    pub fn follow_neighbours(&mut self, routers: &Routers, journal: &Journal) {
        let segments = routers.neighbour_segments();
        let Self { neighbours, links, .. } = self;
        neighbours.retain(|segment, _| segments.contains(segment));
        for segment in segments {
            let Some(Link { index, .. }) = links.get(&segment.interface) else { continue };
            if neighbours.contains_key(&segment) {
                continue;
            }
            match NeighbourSocket::open(&segment.interface, *index, segment.family) {
                Ok(socket) => {
                    neighbours.insert(segment, socket);
                }
                // Without it a successor's advertisement, or the end of the wait for an answer, has to do.
                Err(error) => {
                    let reason = format!("The neighbours of {segment} cannot be heard: {error}");
                    journal.tell(Report::ListeningFailed { interface: segment.interface, reason });
                }
            }
        }
    }

    /// Tells whether anything is waited for that neighbours say.
    pub fn hears_neighbours(&self) -> bool {
        !self.neighbours.is_empty()
    }

    /// Hands over what neighbours have said, on each segment until the receiver has heard enough.
    pub fn receive_signs(&mut self, mut hear: impl FnMut(&Segment, Sign) -> ControlFlow<()>) {
        self.neighbours.retain(|segment, socket| socket.receive(|sign| hear(segment, sign)).is_ok());
    }

    /// Waits until a packet can be received; for ever while no socket is open. Cancel safe.
    pub async fn readable(&self) {
        poll_fn(|context| {
            // Every socket is asked, so that each knows whom to wake.
            let ready = self.open.values().filter(|socket| socket.poll_readable(context).is_ready()).count();
            let neighbours = self.neighbours.values();
            let heard = neighbours.filter(|socket| socket.poll_readable(context).is_ready()).count();
            if ready + heard > 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Hands over what waits, up to a budget for each socket.
    pub fn receive(&mut self, mut hear: impl FnMut(Datagram<'_>)) {
        let Self { open, batch, .. } = self;
        open.retain(|segment, socket| {
            for _ in 0..BATCHES_A_TURN {
                match socket.receive_batch(batch) {
                    Ok(0) => break,
                    Ok(_) => {
                        for vrrp_socket::Datagram { source, destination, hop_limit, payload } in
                            batch.datagrams()
                        {
                            let interface = &segment.interface;
                            hear(Datagram { interface, source, destination, hop_limit, payload });
                        }
                    }
                    // The interface is gone, or the kernel has no memory; sockets are opened again.
                    Err(_) => return false,
                }
            }
            true
        });
    }

    /// Sends everything, what goes through one socket together: what everybody on a segment is told as frames, the rest
    /// as packets that IP finds the way for.
    pub fn send(&mut self, transmissions: &[Arc<Transmission>], socket: &FrameSocket, journal: &Journal) {
        let mut octets = mem::take(&mut self.frames);
        octets.clear();
        let mut places = Vec::new();
        let mut packets = Packets::new();
        for one in transmissions {
            let Transmission { interface, source, destination, mac: _, payload } = &**one;
            let (source, destination) = (*source, *destination);
            if let Some((index, mac)) = self.frame_link(one) {
                let begin = octets.len();
                frame::append(&mut octets, mac, source, payload);
                places.push((interface, index, begin..octets.len()));
            } else {
                let packet = vrrp_socket::Transmission { source, destination, payload };
                packets.entry((interface, Family::of(destination))).or_default().push(packet);
            }
        }
        let frame = |index, place: Range<usize>| Frame { interface_index: index, octets: &octets[place] };
        let frames: Vec<_> = places.iter().map(|(_, index, place)| frame(*index, place.clone())).collect();
        for failure in socket.send_batch(&frames) {
            self.tell_failure(places[failure.index].0, failure.error.to_string(), journal);
        }
        self.frames = octets;
        self.send_packets(packets, journal);
    }

    /// The number of the interface and the hardware address to send from, if this is for everybody on its segment and
    /// Ethernet can carry it.
    fn frame_link(&self, transmission: &Transmission) -> Option<(u32, MacAddress)> {
        let Transmission { interface, destination, mac, payload, .. } = transmission;
        let link = self.links.get(interface)?;
        let mac = mac.or(link.mac.filter(|_| destination.is_multicast() && frame::holds(payload)))?;
        Some((link.index, mac))
    }

    fn send_packets(&mut self, packets: Packets<'_>, journal: &Journal) {
        let mut failures = Vec::new();
        for ((interface, family), batch) in packets {
            let segment = Segment { interface: interface.clone(), family };
            let Some(socket) = self.open.get(&segment) else { continue };
            let failed = socket.send_batch(&batch);
            failures.extend(failed.first().map(|failure| (segment.interface, failure.error.to_string())));
        }
        for (interface, reason) in failures {
            self.tell_failure(&interface, reason, journal);
        }
    }

    /// Tells that something could not be sent on an interface, unless that was told a moment ago.
    pub fn tell_failure(&mut self, interface: &InterfaceName, reason: String, journal: &Journal) {
        let now = now();
        let told = self.failures_told.get(interface);
        if told.is_none_or(|told| now - *told >= FAILURE_SILENCE) {
            self.failures_told.insert(interface.clone(), now);
            journal.tell(Report::SendingFailed { interface: interface.clone(), reason });
        }
    }
}
