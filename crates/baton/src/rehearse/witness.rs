//! Hears the advertisements of one virtual router, so that a crash can come right after one: then its Backups wait as
//! long as they ever do.

use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use lab::Namespace;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, recv, socket_with};
use vrrp::{Family, Priority, Vrid};

use super::RehearseError;

/// The longest advertisement, with its IPv4 header: more than the 255 IPv6 addresses that one can list.
const LONGEST: usize = 8192;

/// Hears what a Backup hears.
#[derive(Debug)]
pub struct Witness {
    socket: OwnedFd,
    family: Family,
    vrid: Vrid,
}

impl Witness {
    /// Listens on a Backup's machine, whose own sockets have joined the group.
    ///
    /// # Errors
    /// The kernel's, which without root refuses.
    pub fn listen(backup: &Namespace, family: Family, vrid: Vrid) -> Result<Self, RehearseError> {
        let family_of_sockets = match family {
            Family::V4 => AddressFamily::INET,
            Family::V6 => AddressFamily::INET6,
        };
        let protocol = NonZeroU32::new(vrrp::PROTOCOL.into()).map(Protocol::from_raw);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = backup.enter(|| socket_with(family_of_sockets, SocketType::RAW, flags, protocol))?;
        let socket =
            socket.map_err(|error| RehearseError::System { what: "hear VRRP", error: error.into() })?;
        Ok(Self { socket, family, vrid })
    }

    /// Waits for the next advertisement that does not say goodbye.
    ///
    /// # Errors
    /// When none comes within the limit.
    pub fn wait(&self, limit: Duration) -> Result<(), RehearseError> {
        let give_up_at = Instant::now() + limit;
        while self.count()? == 0 {
            let left = give_up_at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(RehearseError::NoAdvertisement { vrid: self.vrid, limit });
            }
            let left = Timespec::try_from(left).expect("limits are below 2^63 seconds");
            // Whether it was interrupted or is ready, the next look tells.
            let _ = poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&left));
        }
        Ok(())
    }

    /// Returns how many advertisements have come since the last look.
    ///
    /// # Errors
    /// The kernel's.
    pub fn count(&self) -> Result<u32, RehearseError> {
        let mut count = 0;
        let mut buffer = [0; LONGEST];
        loop {
            match recv(&self.socket, &mut buffer, RecvFlags::empty()) {
                Ok((_, length)) if self.recognises(&buffer[..length.min(LONGEST)]) => count += 1,
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(count),
                Err(error) => {
                    return Err(RehearseError::System { what: "hear VRRP", error: error.into() });
                }
            }
        }
    }

    fn recognises(&self, packet: &[u8]) -> bool {
        let header = match self.family {
            // The low half of the first octet counts the header's words. RFC 791, section 3.1.
            Family::V4 => packet.first().map_or(0, |octet| usize::from(octet & 0x0F) * 4),
            Family::V6 => 0,
        };
        // Version and type, identifier, priority. RFC 9568, section 5.2.
        match packet.get(header..) {
            Some([_, vrid, priority, ..]) => *vrid == self.vrid.get() && *priority != Priority::RELEASE.get(),
            Some(_) | None => false,
        }
    }
}
