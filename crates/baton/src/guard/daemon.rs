//! The daemon, as its guard sees it.

use std::env;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::Child;

use crate::bond::frame::{self, Inlet};
use crate::bond::{Estate, Order, Word};
use crate::cli::{self, LogFormat, Place};

/// This program, also after another version was installed in its place.
const OURSELVES: &str = "/proc/self/exe";

/// Has the C library give each thread four mebibytes of addresses to grow into, so that building up ten thousand real servers
/// does not ask the kernel for each page; pages that nobody writes to take no memory. What a configuration of that size
/// takes while it is read comes from there too, to be used again instead of being fetched page by page with each reload.
/// An operator's own choice stands. Source: `mallopt(3)`, `M_TOP_PAD` and `M_MMAP_THRESHOLD`.
const ALLOCATION: (&str, &str) =
    ("GLIBC_TUNABLES", "glibc.malloc.top_pad=4194304:glibc.malloc.mmap_threshold=4194304");

/// How long a daemon that was killed may take to be gone.
const REAPING_TIME: Duration = Duration::from_secs(1);

/// A running daemon; it is killed when this is dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    words: Inlet<OwnedReadHalf>,
    orders: OwnedWriteHalf,
    unsent: Vec<u8>,
}

/// What is heard of a daemon.
#[derive(Debug)]
pub enum News {
    Word(Word),
    Ended(ExitStatus),
}

impl Daemon {
    /// Starts a daemon that goes on with what the one before it left.
    pub fn start(place: &Place, format: LogFormat, estate: &Estate) -> io::Result<Self> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        let mut command = Command::new(OURSELVES);
        let (tunables, growth) = ALLOCATION;
        if env::var_os(tunables).is_none() {
            command.env(tunables, growth);
        }
        command.arg0("baton").args(cli::daemon_arguments(place, format));
        command.stdin(Stdio::from(OwnedFd::from(theirs)));
        let child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
        ours.set_nonblocking(true)?;
        let (words, orders) = UnixStream::from_std(ours)?.into_split();
        let mut unsent = Vec::new();
        estate.words().for_each(|word| frame::append(&mut unsent, &Order::Inherit { word }));
        frame::append(&mut unsent, &Order::Begin);
        Ok(Self { child, words: Inlet::new(words), orders, unsent })
    }

    /// Tells the daemon, as soon as it listens.
    pub fn order(&mut self, order: &Order) {
        frame::append(&mut self.unsent, order);
    }

    /// Waits for what it tells, or for its end. Cancel safe.
    ///
    /// # Errors
    /// The system's, when it cannot be waited for.
    pub async fn next(&mut self) -> io::Result<News> {
        // Its last words come before its end, and are read before it.
        if let Some(word) = self.next_word().await {
            return Ok(News::Word(word));
        }
        self.child.wait().await.map(News::Ended)
    }

    /// Waits for what the daemon tells, and sends meanwhile what it is to be told; nothing when it tells no more.
    /// Cancel safe.
    async fn next_word(&mut self) -> Option<Word> {
        loop {
            tokio::select! {
                biased;
                // Of a daemon that is killed in the middle of a word the rest is no loss.
                word = self.words.next() => match word {
                    Ok(word) => return word,
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                    Err(_) => return None,
                },
                writable = self.orders.writable(), if !self.unsent.is_empty() => {
                    match writable.and_then(|()| self.orders.try_write(&self.unsent)) {
                        Ok(count) => drop(self.unsent.drain(..count)),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        // It has died, which is found out by its end.
                        Err(_) => self.unsent.clear(),
                    }
                }
            }
        }
    }

    /// Kills it; it does nothing more from here on, even if it was stopped.
    pub fn kill(&mut self) {
        // One that has ended already needs no killing.
        let _ = self.child.start_kill();
    }

    /// Waits until a daemon that was killed is gone.
    pub async fn gone(&mut self) {
        let _ = tokio::time::timeout(REAPING_TIME, self.child.wait()).await;
    }
}
