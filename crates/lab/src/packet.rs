//! Packets that no honest node sends, and a stranger on the segment who sends them.

use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use pnet::packet::ip::IpNextHeaderProtocol;
use pnet::packet::ipv4::{Ipv4Packet, MutableIpv4Packet};
use pnet::packet::{MutablePacket as _, Packet as _};
use pnet::util;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::{Error, Namespace, Result, wait_until};

/// VRRP's number among the protocols of IP.
const PROTOCOL: u8 = 112;
/// Where multicast advertisements go.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// Where multicast advertisements of IPv6 go.
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// The addresses of the client in the lab's standard topology.
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x100);
/// The checksum's place in a message, in words of 16 bits.
const CHECKSUM_WORD: usize = 3;
/// The length of an IPv4 header without options, in bytes.
const IPV4_HEADER: usize = 20;

/// An IP packet with a message of VRRP.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Who claims to have sent it; over IPv6 it is the client whatever stands here.
    pub source: IpAddr,
    /// Whom it is for.
    pub destination: IpAddr,
    /// Its TTL or hop limit.
    pub hop_limit: u8,
    /// The message, from the version to the last address or the authentication data.
    pub message: Vec<u8>,
}

impl Packet {
    /// What the client would send if it had virtual router 51 of version 3: valid in every way.
    pub fn version_3(priority: u8) -> Self {
        let message = vec![0x31, 51, priority, 1, 0, 10, 0, 0, 10, 77, 0, 50];
        Self::from_client(message).with_checksum()
    }

    /// The same of version 2, every second.
    pub fn version_2(priority: u8) -> Self {
        let message = vec![0x21, 51, priority, 1, 0, 1, 0, 0, 10, 77, 0, 50, 0, 0, 0, 0, 0, 0, 0, 0];
        Self::from_client(message).with_checksum()
    }

    /// The same of version 3 over IPv6.
    pub fn over_ipv6(priority: u8) -> Self {
        let mut message = vec![0x31, 51, priority, 2, 0, 10, 0, 0];
        message.extend(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x50).octets());
        message.extend(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x50).octets());
        let source = CLIENT_V6.into();
        Self { source, destination: GROUP_V6.into(), hop_limit: 255, message }.with_checksum()
    }

    /// With some of the message's bytes replaced, and a checksum that fits again.
    #[must_use]
    pub fn with(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.message[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.with_checksum()
    }

    /// With the message cut or filled up with zeros, and a checksum that fits again.
    #[must_use]
    pub fn with_length(mut self, length: usize) -> Self {
        self.message.resize(length, 0);
        self.with_checksum()
    }

    /// With the right checksum: over IPv4 that of the message alone.
    #[must_use]
    pub fn with_checksum(mut self) -> Self {
        let checksum = match (self.source, self.destination) {
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let protocol = IpNextHeaderProtocol(PROTOCOL);
                util::ipv6_checksum(&self.message, CHECKSUM_WORD, &[], &source, &destination, protocol)
            }
            (IpAddr::V4(_) | IpAddr::V6(_), _) => util::checksum(&self.message, CHECKSUM_WORD),
        };
        // A message that ends before its checksum has none.
        if let Some(place) = self.message.get_mut(CHECKSUM_WORD * 2..CHECKSUM_WORD * 2 + 2) {
            place.copy_from_slice(&checksum.to_be_bytes());
        }
        self
    }

    /// With the checksum over a pseudo-header and the message: over IPv4 what peers that read RFC 5798 so want of version 3.
    ///
    /// # Panics
    /// Over IPv6, which has no other checksum than [`Packet::with_checksum`].
    #[must_use]
    pub fn with_pseudo_header_checksum(mut self) -> Self {
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (self.source, self.destination) else {
            panic!("{self:?} is not of IPv4");
        };
        let protocol = IpNextHeaderProtocol(PROTOCOL);
        let checksum =
            util::ipv4_checksum(&self.message, CHECKSUM_WORD, &[], &source, &destination, protocol);
        self.message[CHECKSUM_WORD * 2..CHECKSUM_WORD * 2 + 2].copy_from_slice(&checksum.to_be_bytes());
        self
    }

    /// With a checksum that fits in no way.
    #[must_use]
    pub fn with_wrong_checksum(mut self) -> Self {
        self.message[CHECKSUM_WORD * 2] ^= 0x55;
        self
    }

    fn from_client(message: Vec<u8>) -> Self {
        Self { source: CLIENT.into(), destination: GROUP.into(), hop_limit: 255, message }
    }
}

/// Somebody on the segment who sends what he likes.
#[derive(Debug)]
pub struct Stranger {
    v4: Socket,
    v6: Socket,
}

impl Stranger {
    /// Somebody at the client's `eth0`, who does not hear himself there.
    ///
    /// # Errors
    /// Without root.
    pub fn at(client: &Namespace) -> Result<Self> {
        let open = || -> io::Result<Self> {
            let protocol = Some(Protocol::from(i32::from(PROTOCOL)));
            let v4 = Socket::new(Domain::IPV4, Type::RAW, protocol)?;
            v4.set_header_included_v4(true)?;
            v4.set_multicast_loop_v4(false)?;
            let v6 = Socket::new(Domain::IPV6, Type::RAW, protocol)?;
            v6.set_multicast_loop_v6(false)?;
            for socket in [&v4, &v6] {
                socket.bind_device(Some(b"eth0"))?;
            }
            v6.bind(&SocketAddr::new(CLIENT_V6.into(), 0).into())?;
            Ok(Self { v4, v6 })
        };
        client.enter(open)?.map_err(Error::system("open raw sockets"))
    }

    /// Sends a packet.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn send(&self, packet: &Packet) -> Result<()> {
        let to: SockAddr = SocketAddr::new(packet.destination, 0).into();
        let sent = match (packet.source, packet.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.v4.send_to(&datagram(packet, source, destination), &to)
            }
            (IpAddr::V4(_) | IpAddr::V6(_), IpAddr::V4(_) | IpAddr::V6(_)) => {
                let hops = u32::from(packet.hop_limit);
                let set =
                    self.v6.set_multicast_hops_v6(hops).and_then(|()| self.v6.set_unicast_hops_v6(hops));
                set.and_then(|()| self.v6.send_to(&packet.message, &to))
            }
        };
        sent.map(drop).map_err(Error::system(format!("send {packet:?}")))
    }

    /// Sends packets in turn for a while, at most so many a second, and returns how many.
    ///
    /// # Errors
    /// When the kernel refuses.
    ///
    /// # Panics
    /// Without any packet.
    pub fn flood(&self, packets: &[Packet], rate: u32, time: Duration) -> Result<u32> {
        let mut packets = packets.iter().cycle();
        let (start, mut sent) = (Instant::now(), 0_u32);
        while start.elapsed() < time {
            let due = start.elapsed().as_micros() * u128::from(rate) / 1_000_000;
            while u128::from(sent) < due && start.elapsed() < time {
                self.send(packets.next().expect("a flood consists of packets"))?;
                sent += 1;
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(sent)
    }
}

/// Somebody on the segment who hears what is sent to the group of IPv4.
#[derive(Debug)]
pub struct Eavesdropper(Socket);

impl Eavesdropper {
    /// Somebody at the client's `eth0`, who hears everything from now on.
    ///
    /// # Errors
    /// Without root.
    pub fn at(client: &Namespace) -> Result<Self> {
        let open = || -> io::Result<Self> {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(i32::from(PROTOCOL))))?;
            socket.bind_device(Some(b"eth0"))?;
            socket.join_multicast_v4(&GROUP, &CLIENT)?;
            socket.set_read_timeout(Some(Duration::from_millis(100)))?;
            Ok(Self(socket))
        };
        client.enter(open)?.map_err(Error::system("listen to the group"))
    }

    /// Waits for a packet of this sender, and returns it as it was sent.
    ///
    /// # Errors
    /// When none comes within the limit.
    pub fn hear_from(&mut self, sender: IpAddr, limit: Duration) -> Result<Packet> {
        let mut heard = None;
        wait_until(&format!("A packet from {sender}"), limit, || {
            let mut room = [0; 1500];
            let Ok(length) = self.0.read(&mut room) else { return Ok(false) };
            heard = packet(&room[..length]).filter(|packet| packet.source == sender);
            Ok(heard.is_some())
        })?;
        Ok(heard.expect("the wait ended because it was heard"))
    }
}

/// What a raw socket has received.
fn packet(bytes: &[u8]) -> Option<Packet> {
    let header = Ipv4Packet::new(bytes)?;
    Some(Packet {
        source: header.get_source().into(),
        destination: header.get_destination().into(),
        hop_limit: header.get_ttl(),
        message: header.payload().to_vec(),
    })
}

/// A whole IPv4 packet; the kernel fills in its length and checksum.
fn datagram(packet: &Packet, source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
    let mut bytes = vec![0; IPV4_HEADER + packet.message.len()];
    let mut header = MutableIpv4Packet::new(&mut bytes).expect("there is room for a header");
    header.set_version(4);
    header.set_header_length(5);
    header.set_ttl(packet.hop_limit);
    header.set_next_level_protocol(IpNextHeaderProtocol(PROTOCOL));
    header.set_source(source);
    header.set_destination(destination);
    header.packet_mut()[IPV4_HEADER..].copy_from_slice(&packet.message);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Capture, Topology};

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn a_checksum_is_over_what_it_says() {
        let packet = Packet { source: Ipv4Addr::new(10, 77, 0, 11).into(), ..Packet::version_3(100) };
        let checksum = |packet: Packet| u16::from_be_bytes([packet.message[6], packet.message[7]]);
        assert_eq!(checksum(packet.clone().with(5, &[100])), 0x5FE8);
        let pseudo_header = packet.clone().with(5, &[100]).with_pseudo_header_checksum();
        // The source, the group, the protocol's number and the message's length besides.
        assert_eq!(checksum(pseudo_header), 0x7501);
        assert_ne!(checksum(packet.clone().with_wrong_checksum()), checksum(packet));
    }

    #[test]
    fn what_a_stranger_sends_arrives_as_it_was_made_and_not_at_himself() {
        let lab = Topology::standard(1, 0).build().unwrap();
        let client = lab.namespace("client");
        let mut ear = Eavesdropper::at(client).unwrap();
        let mut wire = Capture::start(lab.namespace("lb1"), "eth0", "ip proto 112").unwrap();
        let forged = Packet { source: Ipv4Addr::new(10, 77, 0, 12).into(), ..Packet::version_3(255) };
        Stranger::at(client).unwrap().send(&Packet { hop_limit: 7, ..forged.clone() }).unwrap();
        let arrived = || Ok(!wire.fields("vrrp", &["frame.number"])?.is_empty());
        wait_until("The packet on the wire", LIMIT, arrived).unwrap();
        wire.stop().unwrap();
        let fields = ["ip.src", "ip.dst", "ip.ttl", "vrrp.prio"];
        assert_eq!(wire.fields("vrrp", &fields).unwrap(), [["10.77.0.12", "224.0.0.18", "7", "255"]]);
        let silence = ear.hear_from(forged.source, Duration::from_millis(1)).unwrap_err();
        assert!(silence.to_string().contains("10.77.0.12"), "{silence}");
    }

    #[test]
    fn a_flood_keeps_to_its_rate_and_its_time() {
        let lab = Topology::standard(1, 0).build().unwrap();
        let stranger = Stranger::at(lab.namespace("client")).unwrap();
        let time = Duration::from_millis(200);
        let start = Instant::now();
        let sent = stranger.flood(&[Packet::version_3(255)], 100, time).unwrap();
        assert!(start.elapsed() >= time);
        assert!((1..=20).contains(&sent), "{sent}");
    }
}
