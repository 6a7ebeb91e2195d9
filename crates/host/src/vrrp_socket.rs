//! Advertisements on the wire: one pair of raw sockets per interface and family, whatever the number of virtual routers.
//!
//! The two are apart so that a burst of received packets never takes room from what is sent, and so that nothing is ever
//! queued where nobody reads.

mod datagram;

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use node::name::InterfaceName;
use rustix::net::sockopt::{set_socket_recv_buffer_size_force, set_socket_send_buffer_size_force};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, SockFilter, Socket, Type};
use thiserror::Error;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use vrrp::{Family, multicast_group};

pub use datagram::{Batch, Datagram};

use crate::descriptor::{set_option, watch_for_reading};
pub use crate::messages::SendFailure;
use crate::messages::{Control, Outgoing, Receiver, send_each};

/// What the kernel queues of packets that were not read yet, in bytes; the default holds 256 advertisements, this more
/// than 5,000, some seconds' worth of a segment full of virtual routers.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// What the kernel queues of packets that did not leave yet, in bytes: those of 255 virtual routers at once.
const SEND_BUFFER_BYTES: usize = 1 << 20;

/// The TTL and hop limit of every advertisement; a router in between would lower it.
/// [RFC 9568, section 5.1.1.3](https://www.rfc-editor.org/rfc/rfc9568#section-5.1.1.3)
const HOP_LIMIT: u32 = 255;

/// Class selector 6, "internetwork control", so that advertisements pass where the segment is congested.
/// [RFC 4594, section 3.2](https://www.rfc-editor.org/rfc/rfc4594#section-3.2)
const TRAFFIC_CLASS: u32 = 0xC0;

/// `BPF_RET | BPF_K` with 0: keep nothing of any packet.
const DROP_ALL: [SockFilter; 1] = [SockFilter::new(0x06, 0, 0, 0)];

/// Why advertisements can be neither sent nor received on an interface.
#[derive(Debug, Error)]
pub enum SocketError {
    /// The process may not.
    #[error("Opening a VRRP socket on {interface} needs CAP_NET_RAW: run as root or under the systemd unit")]
    NotPermitted {
        /// The interface.
        interface: InterfaceName,
    },
    /// There is no such interface, now.
    #[error(
        "There is no interface {interface}: check the name with `ip link`; it is picked up when it appears"
    )]
    NoInterface {
        /// The interface.
        interface: InterfaceName,
    },
    /// The kernel refused a step.
    #[error("The kernel refused to {step} for {family} advertisements on {interface}: {source}")]
    Kernel {
        /// The interface.
        interface: InterfaceName,
        /// The family.
        family: Family,
        /// The step, as a verb.
        step: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
}

/// What is received besides packets to this node's own addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reception {
    /// Those to the group of all VRRP routers too.
    Group,
    /// Nothing.
    UnicastOnly,
}

/// One advertisement and between whom.
#[derive(Clone, Copy, Debug)]
pub struct Transmission<'a> {
    /// The address it comes from, one of this node's.
    pub source: IpAddr,
    /// The address it goes to, of the same family.
    pub destination: IpAddr,
    /// The VRRP message, its checksum filled in.
    pub payload: &'a [u8],
}

/// The two sockets of an interface and family.
#[derive(Debug)]
pub struct VrrpSocket {
    receiver: AsyncFd<OwnedFd>,
    sender: Socket,
    family: Family,
    reception: Reception,
    interface_index: u32,
}

impl VrrpSocket {
    /// Opens the sockets of an interface.
    ///
    /// Has to be called inside a tokio runtime. An interface that is deleted and made anew has another index and needs
    /// new sockets; [`VrrpSocket::interface_index`] tells which one these belong to.
    ///
    /// # Errors
    /// [`SocketError`] says what is missing.
    pub fn open(
        interface: &InterfaceName,
        family: Family,
        reception: Reception,
    ) -> Result<Self, SocketError> {
        let opening = Opening { interface, family };
        let sender = opening.sender()?;
        let interface_index = opening
            .step("find the index", rustix::net::netdevice::name_to_index(&sender, interface.as_str()))?;
        opening.choose_interface(&sender, interface_index)?;
        turn_away(&sender, family, interface_index);
        let receiver = opening.receiver(interface_index, reception)?;
        let receiver = opening.step("watch the socket", watch_for_reading(receiver.into()))?;
        Ok(Self { receiver, sender, family, reception, interface_index })
    }

    /// Returns the kernel's number of the interface when the sockets were opened.
    pub const fn interface_index(&self) -> u32 {
        self.interface_index
    }

    /// Returns the family of what is sent and received.
    pub const fn family(&self) -> Family {
        self.family
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

    /// Receives what waits, without waiting, in place of what `batch` held, and returns how many packets that are; 0
    /// when nothing waits.
    ///
    /// [`Batch::datagrams`] may be fewer: it leaves out what was sent to groups that these sockets did not join. One call
    /// receives no more than a batch holds, so that the caller can look after what else is due in between.
    ///
    /// # Errors
    /// The kernel's; the sockets have to be opened again when the interface was deleted.
    pub fn receive_batch(&self, batch: &mut Batch) -> io::Result<usize> {
        (batch.family, batch.reception) = (self.family, self.reception);
        let mut asked = false;
        let mut outcome = self.receiver.try_io(Interest::READABLE, |socket| {
            asked = true;
            batch.incoming.receive(socket)
        });
        // The reactor may not know yet what the socket holds since its last turn.
        if !asked {
            outcome = batch.incoming.receive(self.receiver.get_ref());
        }
        match outcome {
            Ok(()) => Ok(batch.incoming.count()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Sends each advertisement, in order, and returns those that could not be sent; one that fails keeps no other back.
    #[must_use = "advertisements that were not sent are only known from here"]
    pub fn send_batch(&self, transmissions: &[Transmission<'_>]) -> Vec<SendFailure> {
        send_each(&self.sender, transmissions, |transmission| Outgoing {
            to: Receiver::Ip(SockAddr::from(SocketAddr::new(transmission.destination, 0))),
            control: Control::source(transmission.source),
            payload: transmission.payload,
        })
    }
}

/// Connects a sender to the group: no packet ever comes from there, so that the kernel does not even make a copy of each
/// that it hears for the sender's filter to drop. Where it does not work, yet, the filter does all of it.
fn turn_away(sender: &Socket, family: Family, interface_index: u32) {
    let group = match multicast_group(family) {
        IpAddr::V4(group) => SocketAddr::from((group, 0)),
        IpAddr::V6(group) => SocketAddr::V6(SocketAddrV6::new(group, 0, 0, interface_index)),
    };
    let _ = sender.connect(&group.into());
}

/// What the steps of opening have in common: the place that their errors name.
struct Opening<'a> {
    interface: &'a InterfaceName,
    family: Family,
}

impl Opening<'_> {
    fn step<T, E: Into<io::Error>>(
        &self,
        step: &'static str,
        outcome: Result<T, E>,
    ) -> Result<T, SocketError> {
        outcome.map_err(|error| {
            let (interface, source) = (self.interface.clone(), error.into());
            match source.raw_os_error() {
                Some(libc::EPERM) => SocketError::NotPermitted { interface },
                Some(libc::ENODEV) => SocketError::NoInterface { interface },
                Some(_) | None => SocketError::Kernel { interface, family: self.family, step, source },
            }
        })
    }

    /// A raw socket that is bound to the interface and keeps nothing of what comes in.
    fn deaf_socket(&self) -> Result<Socket, SocketError> {
        let domain = match self.family {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
        };
        let kind = Type::RAW.nonblocking().cloexec();
        let protocol = Protocol::from(libc::c_int::from(vrrp::PROTOCOL));
        let socket = self.step("open a socket", Socket::new_raw(domain, kind, Some(protocol)))?;
        self.step("filter the socket", socket.attach_filter(&DROP_ALL))?;
        self.step(
            "bind the socket to the interface",
            socket.bind_device(Some(self.interface.as_str().as_bytes())),
        )?;
        Ok(socket)
    }

    fn sender(&self) -> Result<Socket, SocketError> {
        let socket = self.deaf_socket()?;
        match self.family {
            Family::V4 => {
                self.step("set the TTL", socket.set_ttl_v4(HOP_LIMIT))?;
                self.step("set the TTL", socket.set_multicast_ttl_v4(HOP_LIMIT))?;
                self.step("set the type of service", socket.set_tos_v4(TRAFFIC_CLASS))?;
                self.step("turn the loop off", socket.set_multicast_loop_v4(false))?;
            }
            Family::V6 => {
                self.step("set the hop limit", socket.set_unicast_hops_v6(HOP_LIMIT))?;
                self.step("set the hop limit", socket.set_multicast_hops_v6(HOP_LIMIT))?;
                self.step("set the traffic class", socket.set_tclass_v6(TRAFFIC_CLASS))?;
                self.step("turn the loop off", socket.set_multicast_loop_v6(false))?;
            }
        }
        // Without CAP_NET_ADMIN the system's own limit has to do.
        if set_socket_send_buffer_size_force(&socket, SEND_BUFFER_BYTES).is_err() {
            self.step("enlarge the send buffer", socket.set_send_buffer_size(SEND_BUFFER_BYTES))?;
        }
        Ok(socket)
    }

    /// Being bound to a device decides the route of unicast, but IPv6 multicast goes where this option says.
    fn choose_interface(&self, sender: &Socket, index: u32) -> Result<(), SocketError> {
        match self.family {
            Family::V4 => Ok(()),
            Family::V6 => self.step("choose the interface", sender.set_multicast_if_v6(index)),
        }
    }

    fn receiver(&self, index: u32, reception: Reception) -> Result<Socket, SocketError> {
        let socket = self.deaf_socket()?;
        // Between being opened and being made deaf it may have heard packets of other interfaces.
        let mut octet = [std::mem::MaybeUninit::uninit()];
        while socket.recv(&mut octet).is_ok() {}

        if set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER_BYTES).is_err() {
            self.step("enlarge the receive buffer", socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES))?;
        }
        match self.family {
            // Else the socket would also hear groups that another program has joined.
            Family::V4 => self.step("hear its own group only", socket.set_multicast_all_v4(false))?,
            Family::V6 => {
                self.step("hear its own group only", socket.set_multicast_all_v6(false))?;
                self.step("tell hop limits", socket.set_recv_hoplimit_v6(true))?;
                let option = set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1);
                self.step("tell destinations", option)?;
                // Checked by the parser, so that a wrong checksum is counted and not silently lost.
                let option = set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_CHECKSUM, -1);
                self.step("leave checksums alone", option)?;
            }
        }
        if reception == Reception::Group {
            let joined = match multicast_group(self.family) {
                IpAddr::V4(group) => {
                    socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))
                }
                IpAddr::V6(group) => socket.join_multicast_v6(&group, index),
            };
            self.step("join the group", joined)?;
        }
        self.step("remove the filter", socket.detach_filter())?;
        Ok(socket)
    }
}
