//! The claim to a network namespace: one process at a time decides what of Baton its kernel holds.
//!
//! To a second daemon the addresses of the first are what a dead one has left, and it removes them, whatever socket it
//! answers on.

use std::io::{self, ErrorKind, Read};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::geteuid;

/// Its name among the abstract sockets, of which each network namespace has its own.
const NAME: &[u8] = b"baton";

/// How long a process that holds it may take to end; one that was killed takes milliseconds.
const ENDING_LIMIT: Duration = Duration::from_secs(1);

/// How often it is tried; who does not listen after that never will, and is no daemon.
const ATTEMPT_LIMIT: u32 = 10;

/// How long a process has to listen that has begun to.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(10);

/// Holds the claim until it is dropped, or the process ends, however it ends.
#[derive(Debug)]
pub struct Claim {
    /// None where a process of another user has taken the name, which keeps nobody from anything.
    _listener: Option<UnixListener>,
}

/// Why there is no claim.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another process holds it.
    #[error(
        "Another baton daemon works in this network namespace: stop it first. Two of them, whatever their sockets, would \
         take each other's addresses away"
    )]
    Taken,
    /// The system gave no socket.
    #[error("Cannot claim the network namespace: {0}")]
    System(#[from] io::Error),
}

impl Claim {
    /// Claims the network namespace that this process is in; who holds it and is about to end is waited for.
    ///
    /// # Errors
    /// [`ClaimError`] when another daemon works there, or the system gives no socket.
    pub fn new() -> Result<Self, ClaimError> {
        let name = SocketAddr::from_abstract_name(NAME)?;
        for _ in 0..ATTEMPT_LIMIT {
            match UnixListener::bind_addr(&name) {
                Ok(listener) => return Ok(Self { _listener: Some(listener) }),
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) => return Err(error.into()),
            }
            match Holder::find()? {
                Holder::Daemon(stream) => wait_for_end(stream)?,
                Holder::Stranger => break,
                Holder::Passing => thread::sleep(ATTEMPT_PAUSE),
            }
        }
        Ok(Self { _listener: None })
    }
}

/// Who holds the claim.
enum Holder {
    /// A process of this user's, at the other end.
    Daemon(UnixStream),
    /// Somebody who may not change what the kernel holds.
    Stranger,
    /// Whoever has ended since, or does not listen yet.
    Passing,
}

impl Holder {
    fn find() -> Result<Self, ClaimError> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(io::Error::from)?;
        let name = SocketAddrUnix::new_abstract_name(NAME).map_err(io::Error::from)?;
        match connect(&socket, &name) {
            Ok(()) => {}
            // Nobody accepts, so that nobody can use up the holder's descriptors, and the queue is full of others.
            Err(rustix::io::Errno::AGAIN) => return Err(ClaimError::Taken),
            Err(rustix::io::Errno::CONNREFUSED) => return Ok(Self::Passing),
            Err(error) => return Err(io::Error::from(error).into()),
        }
        let credentials = socket_peercred(&socket).map_err(io::Error::from)?;
        Ok(if credentials.uid == geteuid() { Self::Daemon(UnixStream::from(socket)) } else { Self::Stranger })
    }
}

/// Waits until the other end is gone, which it is with its process.
fn wait_for_end(mut holder: UnixStream) -> Result<(), ClaimError> {
    holder.set_nonblocking(false)?;
    holder.set_read_timeout(Some(ENDING_LIMIT))?;
    match holder.read(&mut [0]) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Err(ClaimError::Taken)
        }
        // Closed in either way.
        Ok(_) | Err(_) => Ok(()),
    }
}
