//! What the kernel tells of changes that somebody else makes to Baton's table.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::messages;
use crate::descriptor::watch_for_reading;
use crate::netlink::{ANSWER_BYTES, Header};

/// The group that is told of every change, `NFNLGRP_NFTABLES`, as a bit of a mask.
const GROUP: u32 = 1 << (7 - 1);

/// The most pieces that are read in one go, so that a large set of rules that somebody loads holds up nobody.
const PIECES_A_TURN: usize = 64;

/// A socket that hears of every change to the packet filter.
pub(crate) struct Watch {
    socket: AsyncFd<OwnedFd>,
    /// Whose changes are of no interest, since they are our own.
    own_port: u32,
    piece: Box<[u8]>,
}

/// Whether Baton's table may be another one now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Concern {
    Others,
    Ours,
}

impl Watch {
    /// Begins to listen; has to be called inside a tokio runtime.
    pub(crate) fn open(own_port: u32) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(NETFILTER))?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUP))?;
        Ok(Self { socket: watch_for_reading(socket)?, own_port, piece: vec![0; ANSWER_BYTES].into() })
    }

    /// Waits until somebody else may have changed Baton's table.
    ///
    /// Dropping the future before it is ready loses nothing.
    pub(crate) async fn changed(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.socket.readable().await?;
            ready.retain_ready();
            drop(ready);
            if self.take_in()? == Concern::Ours {
                return Ok(());
            }
        }
    }

    fn take_in(&mut self) -> io::Result<Concern> {
        let mut concern = Concern::Others;
        for _ in 0..PIECES_A_TURN {
            let piece = &mut self.piece[..];
            let received = self
                .socket
                .try_io(Interest::READABLE, |socket| Ok(recv(socket, &mut *piece, RecvFlags::DONTWAIT)?));
            let length = match received {
                Ok((length, _)) => length.min(ANSWER_BYTES),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Some was lost for want of room, which may have been of ours.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(Concern::Ours),
                Err(error) => return Err(error),
            };
            let mut rest = &self.piece[..length];
            while let Some((header, payload, next)) = Header::split(rest) {
                rest = next;
                if header.port != self.own_port && messages::is_about_table(payload) {
                    concern = Concern::Ours;
                }
            }
        }
        Ok(concern)
    }
}
