//! What the kernel's netlink services have in common: messages in one system call, and the headers of what comes back.

mod batch;

use std::io;

use neli::consts::nl::NlmF;
use neli::consts::socket::Msg;
use neli::socket::NlSocket;

pub(crate) use self::batch::{Batch, Envelope};

/// The largest piece of an answer that the kernel sends, in bytes (`netlink_dump` in `net/netlink/af_netlink.c`).
pub(crate) const ANSWER_BYTES: usize = 64 << 10;

/// `struct nlmsghdr`: length, type, flags, sequence, port.
const HEADER_OCTETS: usize = 16;

/// Whether more answers are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    More,
    Done,
}

/// What the header of an answer says, and the code of one that is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) sequence: u32,
    /// Whose request it answers or tells of.
    pub(crate) port: u32,
    pub(crate) kind: HeaderKind,
    pub(crate) error: Option<i32>,
    pub(crate) dump: Dump,
}

/// Whether what is dumped is of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dump {
    Whole,
    /// Something changed meanwhile, so that something may be missing.
    Torn,
}

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderKind {
    /// What was asked for.
    Answer,
    /// An acknowledgement, an error or the end of a dump.
    End,
}

impl Header {
    /// Splits the first message off: its header, its payload, the rest.
    pub(crate) fn split(octets: &[u8]) -> Option<(Self, &[u8], &[u8])> {
        let header = octets.first_chunk::<HEADER_OCTETS>()?;
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, p0, p1, p2, p3] = *header;
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
        let payload = octets.get(HEADER_OCTETS..length)?;
        let rest = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
        let code = || Some(i32::from_ne_bytes(*payload.first_chunk()?));
        let (kind, error) = match i32::from(u16::from_ne_bytes([k0, k1])) {
            libc::NLMSG_ERROR | libc::NLMSG_DONE => {
                (HeaderKind::End, code().filter(|&code| code < 0).map(i32::wrapping_neg))
            }
            _ => (HeaderKind::Answer, None),
        };
        let is_torn = NlmF::from_bits_retain(u16::from_ne_bytes([f0, f1])).contains(NlmF::DUMP_INTR);
        let dump = if is_torn { Dump::Torn } else { Dump::Whole };
        let (sequence, port) = (u32::from_ne_bytes([s0, s1, s2, s3]), u32::from_ne_bytes([p0, p1, p2, p3]));
        Some((Self { sequence, port, kind, error, dump }, payload, rest))
    }
}

/// Hands each answer that waits in a socket over until there is enough; `buffer` has room for one piece of them.
///
/// # Errors
/// What `each` says, and the kernel's, also when no more answers wait.
pub(crate) fn receive<E: From<io::Error>>(
    socket: &NlSocket,
    buffer: &mut [u8],
    mut each: impl FnMut(Header, &[u8]) -> Result<Progress, E>,
) -> Result<(), E> {
    loop {
        let (length, _) = socket.recv(&mut *buffer, Msg::empty())?;
        let mut rest = &buffer[..length];
        while let Some((header, payload, next)) = Header::split(rest) {
            rest = next;
            match each(header, payload)? {
                Progress::More => {}
                Progress::Done => return Ok(()),
            }
        }
    }
}
