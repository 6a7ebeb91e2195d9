//! Many messages in one system call, `recvmmsg` and `sendmmsg`, and the control messages that go with them.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};
use std::{mem, ptr};

use socket2::SockAddr;

/// The most messages that one system call receives or sends; at 64 the call's own cost is already spread thin, and what
/// is due meanwhile waits for no more than these.
pub(crate) const BATCH_LIMIT: usize = 64;

/// The most octets that are kept of one received message: an IPv6 advertisement with 255 addresses has 4,088, and
/// twenty-eight more where it carries an authentication trailer.
const MESSAGE_OCTETS: usize = 4352;

/// Room for the control messages of one received packet: `in6_pktinfo` and a hop limit take 64 octets.
const RECEIVED_CONTROL_OCTETS: usize = 128;

/// Room for one `in6_pktinfo`.
const SENT_CONTROL_OCTETS: usize = 40;

/// `struct cmsghdr` of `linux/socket.h`: a `size_t` and two `int`s, each message aligned like a `size_t`.
const CONTROL_HEADER_OCTETS: usize = size_of::<usize>() + 2 * size_of::<libc::c_int>();

/// A message of a batch that could not be sent.
#[derive(Debug)]
pub struct SendFailure {
    /// Which one, counted from 0 in the order given.
    pub index: usize,
    /// Why.
    pub error: io::Error,
}

/// One message to send.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) to: Receiver,
    pub(crate) control: Control,
    pub(crate) payload: &'a [u8],
}

/// Whom a message is sent to.
#[derive(Debug)]
pub(crate) enum Receiver {
    Ip(SockAddr),
    Link(libc::sockaddr_ll),
}

impl Receiver {
    fn as_raw(&self) -> (*const libc::c_void, libc::socklen_t) {
        match self {
            Self::Ip(address) => (address.as_ptr().cast(), address.len()),
            Self::Link(address) => (
                (&raw const *address).cast(),
                libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>())
                    .expect("an address has a few octets"),
            ),
        }
    }
}

/// At most one control message, in the kernel's layout.
#[derive(Debug)]
pub(crate) struct Control {
    octets: [u8; SENT_CONTROL_OCTETS],
    length: usize,
}

impl Control {
    pub(crate) const NONE: Self = Self { octets: [0; SENT_CONTROL_OCTETS], length: 0 };

    /// Names the address that a packet comes from.
    pub(crate) fn source(source: IpAddr) -> Self {
        match source {
            IpAddr::V4(source) => {
                // `struct in_pktinfo`: the interface (0: the one that the socket is bound to), the source, unused.
                let mut information = [0; 12];
                information[4..8].copy_from_slice(&source.octets());
                Self::new(libc::IPPROTO_IP, libc::IP_PKTINFO, &information)
            }
            IpAddr::V6(source) => {
                // `struct in6_pktinfo`: the source, the interface.
                let mut information = [0; 20];
                information[..16].copy_from_slice(&source.octets());
                Self::new(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &information)
            }
        }
    }

    fn new(level: libc::c_int, kind: libc::c_int, data: &[u8]) -> Self {
        let mut control = Self::NONE;
        let length = CONTROL_HEADER_OCTETS + data.len();
        let (header, body) = control.octets.split_at_mut(CONTROL_HEADER_OCTETS);
        header[..size_of::<usize>()].copy_from_slice(&length.to_ne_bytes());
        header[size_of::<usize>()..][..4].copy_from_slice(&level.to_ne_bytes());
        header[size_of::<usize>() + 4..].copy_from_slice(&kind.to_ne_bytes());
        body[..data.len()].copy_from_slice(data);
        control.length = length.next_multiple_of(size_of::<usize>());
        control
    }
}

/// Sends each message, in order; one that fails does not keep the others back.
pub(crate) fn send_each<'a, M>(
    socket: &impl AsFd,
    messages: &'a [M],
    outgoing: impl Fn(&'a M) -> Outgoing<'a>,
) -> Vec<SendFailure> {
    let mut failures = Vec::new();
    let mut batch = Vec::with_capacity(messages.len().min(BATCH_LIMIT));
    let mut next = 0;
    while next < messages.len() {
        batch.clear();
        batch.extend(messages[next..].iter().take(BATCH_LIMIT).map(&outgoing));
        match send_some(socket, &batch) {
            Ok(sent) => next += sent,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The call fails only for the first message that it was given.
            Err(error) => {
                failures.push(SendFailure { index: next, error });
                next += 1;
            }
        }
    }
    failures
}

fn send_some(socket: &impl AsFd, messages: &[Outgoing<'_>]) -> io::Result<usize> {
    let mut pieces: [libc::iovec; BATCH_LIMIT] =
        [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH_LIMIT];
    let mut headers = [EMPTY_HEADER; BATCH_LIMIT];
    for ((message, piece), header) in messages.iter().zip(&mut pieces).zip(&mut headers) {
        *piece = libc::iovec {
            iov_base: message.payload.as_ptr().cast_mut().cast(),
            iov_len: message.payload.len(),
        };
        let (name, name_length) = message.to.as_raw();
        header.msg_hdr.msg_name = name.cast_mut();
        header.msg_hdr.msg_namelen = name_length;
        header.msg_hdr.msg_iov = &raw mut *piece;
        header.msg_hdr.msg_iovlen = 1;
        if message.control.length > 0 {
            header.msg_hdr.msg_control = message.control.octets.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_controllen = message.control.length;
        }
    }
    let count =
        libc::c_uint::try_from(messages.len().min(BATCH_LIMIT)).expect("a batch has at most 64 messages");
    // SAFETY: the first `count` headers were filled in above; each points to a name, one piece and a control message that
    // live until the end of this function, with their true lengths. `sendmmsg` reads them and writes only `msg_len`.
    #[allow(unsafe_code)]
    let sent = unsafe { libc::sendmmsg(socket.as_fd().as_raw_fd(), headers.as_mut_ptr(), count, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// The buffers of one batch of received messages, used again and again.
pub(crate) struct Incoming {
    octets: Box<[u8]>,
    controls: Box<[[u8; RECEIVED_CONTROL_OCTETS]; BATCH_LIMIT]>,
    sources: [libc::sockaddr_in6; BATCH_LIMIT],
    /// The lengths of each message and of its control messages.
    lengths: [(usize, usize); BATCH_LIMIT],
    count: usize,
}

/// One received message.
pub(crate) struct ReceivedMessage<'a> {
    pub(crate) octets: &'a [u8],
    /// Meaningful for IPv6 only.
    pub(crate) source: Ipv6Addr,
    control: &'a [u8],
}

impl Incoming {
    pub(crate) fn new() -> Self {
        let nobody = libc::sockaddr_in6 {
            sin6_family: 0,
            sin6_port: 0,
            sin6_flowinfo: 0,
            sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
            sin6_scope_id: 0,
        };
        Self {
            octets: vec![0; MESSAGE_OCTETS * BATCH_LIMIT].into(),
            controls: Box::new([[0; RECEIVED_CONTROL_OCTETS]; BATCH_LIMIT]),
            sources: [nobody; BATCH_LIMIT],
            lengths: [(0, 0); BATCH_LIMIT],
            count: 0,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Receives what waits, at most [`BATCH_LIMIT`] messages, in place of what was received before.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when nothing waits.
    pub(crate) fn receive(&mut self, socket: &impl AsFd) -> io::Result<()> {
        self.count = 0;
        let mut pieces: [libc::iovec; BATCH_LIMIT] =
            [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH_LIMIT];
        let mut headers = [EMPTY_HEADER; BATCH_LIMIT];
        for (piece, octets) in pieces.iter_mut().zip(self.octets.chunks_exact_mut(MESSAGE_OCTETS)) {
            *piece = libc::iovec { iov_base: octets.as_mut_ptr().cast(), iov_len: MESSAGE_OCTETS };
        }
        for (header, piece) in headers.iter_mut().zip(&mut pieces) {
            header.msg_hdr.msg_iov = &raw mut *piece;
            header.msg_hdr.msg_iovlen = 1;
        }
        for (header, source) in headers.iter_mut().zip(&mut self.sources) {
            header.msg_hdr.msg_name = (&raw mut *source).cast();
            header.msg_hdr.msg_namelen =
                libc::socklen_t::try_from(size_of_val(source)).expect("an address has a few octets");
        }
        for (header, control) in headers.iter_mut().zip(self.controls.iter_mut()) {
            header.msg_hdr.msg_control = control.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = RECEIVED_CONTROL_OCTETS;
        }
        let limit = libc::c_uint::try_from(BATCH_LIMIT).expect("a batch has 64 messages");
        // SAFETY: every header points to one piece, a name and a control buffer, disjoint, borrowed mutably by this
        // function and with their true lengths; the kernel writes within them and into the headers' lengths.
        #[allow(unsafe_code)]
        let received = unsafe {
            libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                headers.as_mut_ptr(),
                limit,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        for (length, header) in self.lengths.iter_mut().zip(&headers[..received]) {
            let octets = usize::try_from(header.msg_len).expect("a message fits its buffer");
            *length = (octets.min(MESSAGE_OCTETS), header.msg_hdr.msg_controllen);
        }
        self.count = received;
        Ok(())
    }

    /// Iterates over what was received, in the order in which it came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = ReceivedMessage<'_>> {
        let buffers = self.octets.chunks_exact(MESSAGE_OCTETS).zip(self.controls.iter()).zip(&self.sources);
        buffers.zip(&self.lengths).take(self.count).map(|(((octets, control), source), lengths)| {
            ReceivedMessage {
                octets: &octets[..lengths.0],
                source: Ipv6Addr::from(source.sin6_addr.s6_addr),
                control: &control[..lengths.1],
            }
        })
    }
}

impl ReceivedMessage<'_> {
    /// Returns the hop limit of an IPv6 packet.
    pub(crate) fn hop_limit(&self) -> Option<u8> {
        let limit = self.control(libc::IPV6_HOPLIMIT)?;
        u8::try_from(libc::c_int::from_ne_bytes(limit.get(..4)?.try_into().ok()?)).ok()
    }

    /// Returns the destination of an IPv6 packet.
    pub(crate) fn destination(&self) -> Option<Ipv6Addr> {
        let information = self.control(libc::IPV6_PKTINFO)?;
        let octets: [u8; 16] = information.get(..16)?.try_into().ok()?;
        Some(Ipv6Addr::from(octets))
    }

    fn control(&self, wanted: libc::c_int) -> Option<&[u8]> {
        let mut rest = self.control;
        while rest.len() >= CONTROL_HEADER_OCTETS {
            let (header, _) = rest.split_at(CONTROL_HEADER_OCTETS);
            let (length, level_and_kind) = header.split_at(size_of::<usize>());
            let length = usize::from_ne_bytes(length.try_into().ok()?);
            let (level, kind) = level_and_kind.split_at(4);
            let data = rest.get(CONTROL_HEADER_OCTETS..length)?;
            if *level == libc::IPPROTO_IPV6.to_ne_bytes() && *kind == wanted.to_ne_bytes() {
                return Some(data);
            }
            rest = rest.get(length.next_multiple_of(size_of::<usize>())..)?;
        }
        None
    }
}

// SAFETY: `mmsghdr` is integers and pointers, for which zero is a value (and a null pointer); its fields cannot all be
// named, since some libraries pad it privately.
#[allow(unsafe_code)]
const EMPTY_HEADER: libc::mmsghdr = unsafe { mem::zeroed() };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_message_is_read_back_past_others() {
        let source = Ipv6Addr::new(0xFE80, 0, 0, 0, 0, 0, 0, 1);
        let hops = Control::new(libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, &255_i32.to_ne_bytes());
        let from = Control::source(IpAddr::V6(source));
        let mut control = hops.octets[..hops.length].to_vec();
        control.extend(&from.octets[..from.length]);
        let message = ReceivedMessage { octets: &[], source, control: &control };
        assert_eq!(message.hop_limit(), Some(255));
        assert_eq!(message.destination(), Some(source));
    }

    #[test]
    fn a_control_message_that_is_cut_off_is_none() {
        let from = Control::source(IpAddr::V6(Ipv6Addr::LOCALHOST));
        for length in 0..CONTROL_HEADER_OCTETS + 20 {
            let message =
                ReceivedMessage { octets: &[], source: Ipv6Addr::LOCALHOST, control: &from.octets[..length] };
            assert_eq!(message.destination(), None, "{length} octets");
        }
    }
}
