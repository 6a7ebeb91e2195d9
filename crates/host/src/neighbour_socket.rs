//! What neighbours say: whose hardware address an IP address now has, unasked or as an answer.

use std::io;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use node::name::InterfaceName;
use rustix::net::RecvFlags;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use vrrp::{Family, announcement, solicitation};

use crate::descriptor::watch_for_reading;

/// The longest neighbour advertisement or ARP packet that is looked at, in octets; what counts stands at its beginning.
const PACKET_OCTETS: usize = 128;

/// How many packets one call reads: a burst for every address of a large virtual router.
const PACKETS_A_CALL: usize = 1_024;

/// What a neighbour said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It has this address, whether it was asked or not.
    Announced(IpAddr),
    /// It has this address, for which this machine asked.
    Answered(IpAddr),
}

/// Hears, on one interface, who announces which address: ARP, or neighbour advertisements.
///
/// What this machine announces itself is not heard.
#[derive(Debug)]
pub struct NeighbourSocket {
    receiver: AsyncFd<OwnedFd>,
    family: Family,
}

impl NeighbourSocket {
    /// Opens the socket; has to be called inside a tokio runtime.
    ///
    /// # Errors
    /// The kernel's; it needs `CAP_NET_RAW`.
    pub fn open(interface: &InterfaceName, index: u32, family: Family) -> io::Result<Self> {
        let socket = match family {
            Family::V4 => arp_socket(index)?,
            Family::V6 => icmpv6_socket(interface)?,
        };
        Ok(Self { receiver: watch_for_reading(socket.into())?, family })
    }

    /// Tells whether something may be received, and has the task woken when that changes.
    ///
    /// One task at a time can wait so. An error of the reactor counts as readable: receiving tells it.
    pub fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        self.receiver.poll_read_ready(context).map(|outcome| {
            if let Ok(mut ready) = outcome {
                ready.retain_ready();
            }
        })
    }

    /// Hands over, without waiting, each address that somebody announced, until the receiver has heard enough; the answer
    /// to a question is that first and then [`Sign::Answered`].
    ///
    /// # Errors
    /// The kernel's; the interface may be gone.
    pub fn receive(&self, mut hear: impl FnMut(Sign) -> ControlFlow<()>) -> io::Result<()> {
        let mut packet = [0; PACKET_OCTETS];
        for _ in 0..PACKETS_A_CALL {
            let received = self.receiver.try_io(Interest::READABLE, |socket| {
                Ok(rustix::net::recv(socket, &mut packet[..], RecvFlags::DONTWAIT)?)
            });
            match received {
                Ok((octets, _)) => {
                    let packet = &packet[..octets.min(PACKET_OCTETS)];
                    let announced = announcement::announced(self.family, packet).map(Sign::Announced);
                    let answered = solicitation::answered(self.family, packet).map(Sign::Answered);
                    // Both of a packet are heard.
                    let heard: Vec<_> = announced.into_iter().chain(answered).map(&mut hear).collect();
                    if heard.contains(&ControlFlow::Break(())) {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn arp_socket(index: u32) -> io::Result<Socket> {
    let protocol = u16::try_from(libc::ETH_P_ARP).expect("an Ethernet type has 16 bits").to_be();
    let kind = Type::DGRAM.nonblocking().cloexec();
    // Protocol 0 keeps it deaf until it is bound to its one interface (`packet(7)`).
    let socket = Socket::new_raw(Domain::PACKET, kind, None)?;
    socket.bind(&link_address(index, protocol))?;
    Ok(socket)
}

fn icmpv6_socket(interface: &InterfaceName) -> io::Result<Socket> {
    let socket = Socket::new_raw(Domain::IPV6, Type::RAW.nonblocking().cloexec(), Some(Protocol::ICMPV6))?;
    socket.bind_device(Some(interface.as_str().as_bytes()))?;
    Ok(socket)
}

fn link_address(index: u32, protocol: u16) -> SockAddr {
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).expect("address families are small numbers"),
        sll_protocol: protocol,
        // An index beyond the kernel's own range names no interface, and binding says so.
        sll_ifindex: i32::try_from(index).unwrap_or(-1),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the storage is large enough and aligned for every kind of socket address, and the length is set to that of
    // the address that was written into it.
    #[allow(unsafe_code)]
    let made = unsafe {
        SockAddr::try_init(|storage, length| {
            storage.cast::<libc::sockaddr_ll>().write(address);
            *length = libc::socklen_t::try_from(size_of_val(&address)).expect("an address has a few octets");
            Ok(())
        })
    };
    made.expect("writing into memory does not fail").1
}
