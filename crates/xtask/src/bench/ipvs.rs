//! The kernel's load balancer over bare generic netlink: to look at its table cheaply, and to write one as fast as can be.
//!
//! Sources: `linux/netlink.h`, `linux/genetlink.h`, `linux/ip_vs.h`.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddrV4};

use lab::Namespace;
use socket2::{Domain, Protocol, Socket, Type};

use super::duty::Balancer;
use super::error::BenchError;

/// How many messages one system call of the bare sender carries.
const BATCH: usize = 100;
/// The largest piece of an answer that the kernel sends, in bytes (`netlink_dump` in `net/netlink/af_netlink.c`).
const ANSWER_BYTES: usize = 64 << 10;

const AF_INET: u16 = 2;
const AF_NETLINK: i32 = 16;
/// `NETLINK_GENERIC`.
pub(crate) const GENERIC: u16 = 16;
const IPPROTO_TCP: u16 = 6;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP: u16 = 0x300;
const NLA_F_NESTED: u16 = 0x8000;

const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

const IPVS_CMD_NEW_SERVICE: u8 = 1;
const IPVS_CMD_NEW_DEST: u8 = 5;
const IPVS_CMD_GET_DEST: u8 = 8;
const IPVS_CMD_ATTR_SERVICE: u16 = 1;
const IPVS_CMD_ATTR_DEST: u16 = 2;

const SERVICE_AF: u16 = 1;
const SERVICE_PROTOCOL: u16 = 2;
const SERVICE_ADDRESS: u16 = 3;
const SERVICE_PORT: u16 = 4;
const SERVICE_SCHEDULER: u16 = 6;
const SERVICE_FLAGS: u16 = 7;
const SERVICE_TIMEOUT: u16 = 8;
const SERVICE_NETMASK: u16 = 9;

const DESTINATION_ADDRESS: u16 = 1;
const DESTINATION_PORT: u16 = 2;
const DESTINATION_FORWARDING: u16 = 3;
const DESTINATION_WEIGHT: u16 = 4;
const DESTINATION_UPPER_THRESHOLD: u16 = 5;
const DESTINATION_LOWER_THRESHOLD: u16 = 6;

/// The kernel's table in one namespace.
#[derive(Debug)]
pub(crate) struct Ipvs {
    socket: Socket,
    family: u16,
    answer: Box<[u8]>,
}

impl Ipvs {
    /// Connects to the table of a namespace.
    pub(crate) fn open(namespace: &Namespace) -> Result<Self, BenchError> {
        let open =
            || Socket::new(Domain::from(AF_NETLINK), Type::RAW, Some(Protocol::from(i32::from(GENERIC))));
        let socket = namespace.enter(open)?.map_err(BenchError::system("open a netlink socket"))?;
        let mut ipvs = Self { socket, family: 0, answer: vec![0; ANSWER_BYTES].into() };
        ipvs.family = ipvs.resolve().map_err(BenchError::system("find IPVS in this kernel"))?;
        Ok(ipvs)
    }

    /// The number by which messages for IPVS are known.
    pub(crate) fn family(&self) -> u16 {
        self.family
    }

    /// The real servers of a service in the kernel, with their weights; none when it is not there.
    pub(crate) fn real_servers(
        &mut self,
        service: SocketAddrV4,
    ) -> Result<BTreeMap<SocketAddrV4, u32>, BenchError> {
        let mut message = Message::new(self.family, NLM_F_REQUEST | NLM_F_DUMP, IPVS_CMD_GET_DEST);
        message.nested(IPVS_CMD_ATTR_SERVICE, |message| identify(message, service));
        let mut real_servers = BTreeMap::new();
        self.exchange(&message.finish(), |payload| real_servers.extend(read_real_server(payload)))
            .map_err(BenchError::system("read the IPVS table"))?;
        Ok(real_servers)
    }

    /// The messages that write a whole table, batch by batch, ready to be sent.
    pub(crate) fn batches(&self, balancer: Balancer) -> Vec<Vec<u8>> {
        let services = Balancer::services().map(|(_, address)| self.new_service(address));
        let real_servers = Balancer::services().flat_map(|(service, address)| {
            balancer.real_servers(service).map(move |(real, weight)| (address, real, weight))
        });
        let real_servers =
            real_servers.map(|(service, address, weight)| self.new_real_server(service, address, weight));
        let mut messages: Vec<_> = services.chain(real_servers).collect();
        let batches = messages.chunks_mut(BATCH).map(|batch| {
            let last = batch.last_mut().expect("a chunk is never empty");
            // Messages are handled in order, so that the last one is acknowledged says that all are done.
            last.flags |= NLM_F_ACK;
            batch.iter().flat_map(Message::finish).collect()
        });
        batches.collect()
    }

    /// Sends messages in one system call and waits for the acknowledgement of the last one.
    pub(crate) fn send(&mut self, batch: &[u8]) -> Result<(), BenchError> {
        self.exchange(batch, |_| {}).map_err(BenchError::system("write the IPVS table"))
    }

    fn new_service(&self, service: SocketAddrV4) -> Message {
        let mut message = Message::new(self.family, NLM_F_REQUEST, IPVS_CMD_NEW_SERVICE);
        message.nested(IPVS_CMD_ATTR_SERVICE, |message| {
            identify(message, service);
            message.attribute(SERVICE_SCHEDULER, b"wlc\0");
            // Flags and their mask: none of all.
            message.attribute(SERVICE_FLAGS, &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
            message.attribute(SERVICE_TIMEOUT, &0_u32.to_ne_bytes());
            message.attribute(SERVICE_NETMASK, &u32::MAX.to_be_bytes());
        });
        message
    }

    fn new_real_server(&self, service: SocketAddrV4, address: SocketAddrV4, weight: u32) -> Message {
        let mut message = Message::new(self.family, NLM_F_REQUEST, IPVS_CMD_NEW_DEST);
        message.nested(IPVS_CMD_ATTR_SERVICE, |message| identify(message, service));
        add_real_server(&mut message, address, weight);
        message
    }

    fn resolve(&mut self) -> io::Result<u16> {
        let mut message = Message::new(GENL_ID_CTRL, NLM_F_REQUEST | NLM_F_ACK, CTRL_CMD_GETFAMILY);
        message.attribute(CTRL_ATTR_FAMILY_NAME, b"IPVS\0");
        let mut family = None;
        self.exchange(&message.finish(), |payload| {
            let attributes = payload.get(GENERIC_HEADER_BYTES..).unwrap_or_default();
            family = attribute(attributes, CTRL_ATTR_FAMILY_ID)
                .and_then(|value| value.first_chunk())
                .map(|&value| u16::from_ne_bytes(value));
        })?;
        family.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Sends and hands each answer over, until an acknowledgement or the end of a dump.
    fn exchange(&mut self, messages: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
        self.socket.send(messages)?;
        loop {
            let length = (&self.socket).read(&mut self.answer)?;
            for message in split(&self.answer[..length]) {
                match message.kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => {
                        let code = message.payload.first_chunk().map_or(0, |&code| i32::from_ne_bytes(code));
                        return if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) };
                    }
                    _ => each(message.payload),
                }
            }
        }
    }
}

/// `struct nlmsghdr`: length, type, flags, sequence, port.
const HEADER_BYTES: usize = 16;
/// `struct genlmsghdr`: command, version, reserved.
const GENERIC_HEADER_BYTES: usize = 4;
/// `struct nlattr`: length, type.
const ATTRIBUTE_HEADER_BYTES: usize = 4;

/// A message that is being written.
#[derive(Debug)]
struct Message {
    kind: u16,
    flags: u16,
    payload: Vec<u8>,
}

impl Message {
    fn new(kind: u16, flags: u16, command: u8) -> Self {
        Self { kind, flags, payload: vec![command, 1, 0, 0] }
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(ATTRIBUTE_HEADER_BYTES + value.len()).expect("attributes here are short");
        self.payload.extend(length.to_ne_bytes());
        self.payload.extend(kind.to_ne_bytes());
        self.payload.extend(value);
        self.payload.resize(self.payload.len().next_multiple_of(4), 0);
    }

    fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self { kind: self.kind, flags: self.flags, payload: Vec::new() };
        fill(&mut inner);
        self.attribute(kind | NLA_F_NESTED, &inner.payload);
    }

    fn finish(&self) -> Vec<u8> {
        let length = u32::try_from(HEADER_BYTES + self.payload.len()).expect("messages here are short");
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.payload.len());
        bytes.extend(length.to_ne_bytes());
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend(self.flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(&self.payload);
        bytes
    }
}

/// A message that was received or overheard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received<'a> {
    /// Its type: a family, or `NLMSG_ERROR` and the like.
    pub(crate) kind: u16,
    /// Whether it is a request or an answer, among others.
    flags: u16,
    /// What follows the header.
    pub(crate) payload: &'a [u8],
}

impl Received<'_> {
    /// Whether it changes the table, if it is one for IPVS: a service or real server that is to be new, set or deleted.
    ///
    /// The kernel answers a dump with the same commands, but they are no requests.
    pub(crate) fn is_write(&self) -> bool {
        self.flags & NLM_F_REQUEST != 0 && matches!(self.payload.first(), Some(1..=3 | 5..=7))
    }

    /// Whether it is an acknowledgement or an error.
    pub(crate) fn is_verdict(&self) -> bool {
        self.kind == NLMSG_ERROR
    }
}

/// The messages in what one system call carried.
pub(crate) fn split(mut bytes: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let [l0, l1, l2, l3, k0, k1, f0, f1, ..] = *bytes.first_chunk::<HEADER_BYTES>()?;
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
        let payload = bytes.get(HEADER_BYTES..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        let (kind, flags) = (u16::from_ne_bytes([k0, k1]), u16::from_ne_bytes([f0, f1]));
        Some(Received { kind, flags, payload })
    })
}

fn add_real_server(message: &mut Message, address: SocketAddrV4, weight: u32) {
    message.nested(IPVS_CMD_ATTR_DEST, |message| {
        message.attribute(DESTINATION_ADDRESS, &sixteen_bytes(address));
        message.attribute(DESTINATION_PORT, &address.port().to_be_bytes());
        // 0 is masquerading, which NAT is called here.
        message.attribute(DESTINATION_FORWARDING, &0_u32.to_ne_bytes());
        message.attribute(DESTINATION_WEIGHT, &weight.to_ne_bytes());
        message.attribute(DESTINATION_UPPER_THRESHOLD, &0_u32.to_ne_bytes());
        message.attribute(DESTINATION_LOWER_THRESHOLD, &0_u32.to_ne_bytes());
    });
}

fn read_real_server(payload: &[u8]) -> Option<(SocketAddrV4, u32)> {
    let attributes = attribute(payload.get(GENERIC_HEADER_BYTES..)?, IPVS_CMD_ATTR_DEST)?;
    let octets: [u8; 4] = *attribute(attributes, DESTINATION_ADDRESS)?.first_chunk()?;
    let port = *attribute(attributes, DESTINATION_PORT)?.first_chunk()?;
    let weight = *attribute(attributes, DESTINATION_WEIGHT)?.first_chunk()?;
    let address = SocketAddrV4::new(Ipv4Addr::from(octets), u16::from_be_bytes(port));
    Some((address, u32::from_ne_bytes(weight)))
}

fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let [l0, l1, k0, k1] = *bytes.first_chunk::<ATTRIBUTE_HEADER_BYTES>()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = bytes.get(ATTRIBUTE_HEADER_BYTES..length)?;
        if u16::from_ne_bytes([k0, k1]) & !NLA_F_NESTED == wanted {
            return Some(value);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

fn identify(message: &mut Message, service: SocketAddrV4) {
    message.attribute(SERVICE_AF, &AF_INET.to_ne_bytes());
    message.attribute(SERVICE_PROTOCOL, &IPPROTO_TCP.to_ne_bytes());
    message.attribute(SERVICE_ADDRESS, &sixteen_bytes(service));
    message.attribute(SERVICE_PORT, &service.port().to_be_bytes());
}

fn sixteen_bytes(address: SocketAddrV4) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&address.ip().octets());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut one = Message::new(30, NLM_F_REQUEST, IPVS_CMD_NEW_DEST);
        one.attribute(CTRL_ATTR_FAMILY_NAME, b"IPVS\0");
        one.attribute(CTRL_ATTR_FAMILY_ID, &30_u16.to_ne_bytes());
        let other = Message::new(31, NLM_F_REQUEST, IPVS_CMD_GET_DEST);
        let bytes = [one.finish(), other.finish()].concat();
        let received: Vec<_> = split(&bytes).collect();
        assert_eq!(received.iter().map(|message| message.kind).collect::<Vec<_>>(), [30, 31]);
        assert_eq!(received.iter().map(Received::is_write).collect::<Vec<_>>(), [true, false]);
        let attributes = &received[0].payload[GENERIC_HEADER_BYTES..];
        assert_eq!(attribute(attributes, CTRL_ATTR_FAMILY_ID), Some(30_u16.to_ne_bytes().as_slice()));
        assert_eq!(attribute(attributes, 77), None);
    }

    #[test]
    fn a_real_server_is_read_as_it_is_written() {
        let mut message = Message::new(30, NLM_F_REQUEST, IPVS_CMD_NEW_DEST);
        let address = "10.78.1.2:80".parse().unwrap();
        add_real_server(&mut message, address, 7);
        assert_eq!(read_real_server(&message.payload), Some((address, 7)));
    }

    #[test]
    fn what_is_cut_off_is_no_message() {
        let bytes = Message::new(30, NLM_F_REQUEST, IPVS_CMD_NEW_DEST).finish();
        assert_eq!(split(&bytes[..bytes.len() - 1]).next(), None);
    }
}
