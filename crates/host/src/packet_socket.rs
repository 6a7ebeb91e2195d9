//! Whole Ethernet frames: gratuitous ARP, unsolicited neighbour advertisements, and advertisements to everybody on a segment,
//! which so skip what the kernel does for each IP packet and go out together whatever their interfaces.

use std::io;

use rustix::net::sockopt::set_socket_send_buffer_size_force;
use socket2::{Domain, Socket, Type};
use thiserror::Error;

use crate::messages::{Control, Outgoing, Receiver, SendFailure, send_each};

/// The shortest Ethernet frame: two addresses and a type, in octets.
const FRAME_HEADER_OCTETS: usize = 14;

/// What the kernel queues of frames that did not leave yet, in bytes: those of a thousand virtual routers at once.
const SEND_BUFFER_BYTES: usize = 2 << 20;

/// Why frames cannot be sent.
#[derive(Debug, Error)]
pub enum PacketSocketError {
    /// The process may not.
    #[error(
        "Opening a socket for advertisements and gratuitous ARP needs CAP_NET_RAW: run as root or under the systemd unit"
    )]
    NotPermitted,
    /// The kernel will not.
    #[error("The kernel opens no socket for advertisements and gratuitous ARP: {0}")]
    Kernel(#[source] io::Error),
}

/// A socket that sends frames on any interface and receives nothing.
#[derive(Debug)]
pub struct FrameSocket {
    socket: Socket,
}

/// A frame and where it goes out.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The kernel's number of the interface.
    pub interface_index: u32,
    /// The frame from its destination address on, without a checksum.
    pub octets: &'a [u8],
}

impl FrameSocket {
    /// Opens the socket.
    ///
    /// # Errors
    /// [`PacketSocketError`] says what the process lacks.
    pub fn open() -> Result<Self, PacketSocketError> {
        // Protocol 0 subscribes to no frames at all (`packet(7)`).
        let kind = Type::RAW.nonblocking().cloexec();
        match Socket::new_raw(Domain::PACKET, kind, None) {
            Ok(socket) => {
                // Without CAP_NET_ADMIN the system's own limit has to do.
                let _ = set_socket_send_buffer_size_force(&socket, SEND_BUFFER_BYTES);
                Ok(Self { socket })
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(PacketSocketError::NotPermitted)
            }
            Err(error) => Err(PacketSocketError::Kernel(error)),
        }
    }

    /// Sends each frame, in order, and returns those that could not be sent; one that fails keeps no other back.
    #[must_use = "frames that were not sent are only known from here"]
    pub fn send_batch(&self, frames: &[Frame<'_>]) -> Vec<SendFailure> {
        send_each(&self.socket, frames, |frame| Outgoing {
            to: link(frame),
            control: Control::NONE,
            payload: frame.octets,
        })
    }
}

/// A raw packet socket takes the addresses and the type from the frame itself; the kernel wants the type once more.
fn link(frame: &Frame<'_>) -> Receiver {
    let ether_type = match frame.octets.get(FRAME_HEADER_OCTETS - 2..FRAME_HEADER_OCTETS) {
        Some(&[high, low]) => u16::from_ne_bytes([high, low]),
        Some(_) | None => 0,
    };
    Receiver::Link(libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).expect("address families are small numbers"),
        sll_protocol: ether_type,
        // An index beyond the kernel's own range names no interface, and 0 makes the kernel say so.
        sll_ifindex: i32::try_from(frame.interface_index).unwrap_or(0),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    })
}
