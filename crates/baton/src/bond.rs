//! What the guard and its daemon say to each other over a socket pair ([`frame`]).
//!
//! The daemon tells what it would leave if it died now, and that its engine lives. The guard tells each new daemon what
//! the one before it left, and what an operator wants. Whoever reads an end knows that the other has died.

mod estate;
pub mod frame;
mod wire;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use monotonic::Instant;
use node::legacy::RouterLegacy;
use node::name::{RouterName, ServerName};
use node::routers::Silence;
use serde::{Deserialize, Serialize};
use virtual_server::health::Verdict;

pub use estate::Estate;
use frame::{Frame, Inlet, Message};
use wire::{WireRouter, WireVerdict};

/// What a daemon tells its guard; of each subject the last word counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "word")]
pub enum Word {
    /// The first of these daemons began.
    Began {
        /// When, in nanoseconds of the clock that all read.
        at: u64,
    },
    /// The engine lives.
    Beat(Beat),
    /// This configuration runs.
    #[serde(skip)]
    Configuration {
        /// The text of the file.
        text: String,
    },
    /// What a virtual router leaves.
    Router {
        /// The virtual router.
        name: String,
        /// Nothing when it leaves nothing.
        legacy: Option<WireRouter>,
    },
    /// What is known of a real server.
    RealServer {
        /// Its virtual server.
        server: String,
        /// Its address.
        address: SocketAddr,
        /// Nothing when nothing is known.
        verdict: Option<WireVerdict>,
    },
}

/// A sign of life of the engine, in nanoseconds of the clock that both read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Beat {
    /// By when it will have advertised again; nothing while it has no role.
    speak_by: Option<u64>,
    /// When others may claim its roles.
    silence_limit: Option<u64>,
}

/// What the guard tells its daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "order")]
pub enum Order {
    /// The daemon before this one had said that.
    Inherit {
        /// What.
        word: Word,
    },
    /// That was all: begin.
    Begin,
    /// Hand everything over and end; at once if it was said before.
    Stop,
    /// Read the configuration again.
    Reload,
}

impl Message for Word {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Configuration { text } => Some(text),
            Self::Began { .. } | Self::Beat(_) | Self::Router { .. } | Self::RealServer { .. } => None,
        }
    }

    fn of_text(text: String) -> Self {
        Self::Configuration { text }
    }
}

impl Message for Order {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Inherit { word } => word.text(),
            Self::Begin | Self::Stop | Self::Reload => None,
        }
    }

    fn of_text(text: String) -> Self {
        Self::Inherit { word: Word::of_text(text) }
    }
}

impl Beat {
    /// Returns what an engine says that may be silent for so long; nothing while it has no role.
    pub fn new(silence: Option<Silence>) -> Self {
        Self {
            speak_by: silence.map(|silence| wire::nanoseconds(silence.speak_by)),
            silence_limit: silence.map(|silence| wire::nanoseconds(silence.limit)),
        }
    }
}

impl Word {
    /// Returns the word of when the first daemon began.
    pub fn began(at: Instant) -> Self {
        Self::Began { at: wire::nanoseconds(at) }
    }

    /// Returns the word of what a virtual router leaves.
    pub fn router(name: &RouterName, legacy: Option<&RouterLegacy>) -> Self {
        Self::Router { name: name.to_string(), legacy: legacy.map(WireRouter::from) }
    }

    /// Returns the word of what is known of a real server.
    pub fn real_server(server: &ServerName, address: SocketAddr, verdict: Option<Verdict>) -> Self {
        Self::RealServer { server: server.to_string(), address, verdict: verdict.and_then(WireVerdict::of) }
    }

    fn subject(&self) -> Subject {
        match self {
            Self::Began { .. } => Subject::Began,
            Self::Beat(_) => Subject::Beat,
            Self::Configuration { .. } => Subject::Configuration,
            Self::Router { name, .. } => Subject::Router(name.clone()),
            Self::RealServer { server, address, .. } => Subject::RealServer(server.clone(), *address),
        }
    }
}

/// What a word is about, in the order of urgency.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Router(String),
    Beat,
    Began,
    Configuration,
    RealServer(String, SocketAddr),
}

/// Where a daemon's threads tell its guard, without ever waiting for it.
#[derive(Clone, Debug)]
pub struct Bond(Arc<Mutex<Outbox>>);

/// What the guard has not read yet; one word of each subject at most, however long the guard sleeps.
#[derive(Debug)]
struct Outbox {
    stream: UnixStream,
    waiting: BTreeMap<Subject, Word>,
    /// A word that was begun.
    begun: Frame,
}

/// What comes from the guard.
#[derive(Debug)]
pub struct Orders(Inlet<tokio::net::UnixStream>);

/// Takes the daemon's end of the socket pair, which its guard has made its standard input; has to be called inside a
/// tokio runtime.
///
/// # Errors
/// The system's, also when the standard input is no socket.
pub fn join() -> io::Result<(Bond, Orders)> {
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    stream.peer_addr()?;
    // What this process starts must not hold the guard's line open.
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    stream.set_nonblocking(true)?;
    let orders = Orders::read(stream.try_clone()?)?;
    Ok((Bond::new(stream), orders))
}

impl Bond {
    fn new(stream: UnixStream) -> Self {
        Self(Arc::new(Mutex::new(Outbox { stream, waiting: BTreeMap::new(), begun: Frame::default() })))
    }

    /// Tells the guard; what it does not read now it is told with what comes next.
    pub fn tell(&self, words: impl IntoIterator<Item = Word>) {
        // Held while bytes are copied to the socket, which takes microseconds.
        let mut outbox = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        outbox.waiting.extend(words.into_iter().map(|word| (word.subject(), word)));
        outbox.send();
    }
}

impl Outbox {
    fn send(&mut self) {
        loop {
            while !self.begun.rest().is_empty() {
                match self.stream.write(self.begun.rest()) {
                    Ok(count) => self.begun.advance(count),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // The guard is slow, or dead, which the one who waits for its orders finds out.
                    Err(_) => return,
                }
            }
            let Some((_, word)) = self.waiting.pop_first() else { return };
            self.begun = match word {
                Word::Configuration { text } => Frame::of_text(text),
                word @ (Word::Began { .. }
                | Word::Beat(_)
                | Word::Router { .. }
                | Word::RealServer { .. }) => Frame::new(&word),
            };
        }
    }
}

impl Orders {
    fn read(stream: UnixStream) -> io::Result<Self> {
        Ok(Self(Inlet::new(tokio::net::UnixStream::from_std(stream)?)))
    }

    /// Returns what the daemon before this one left.
    ///
    /// # Errors
    /// That the guard has died or says something else.
    pub async fn estate(&mut self) -> io::Result<Estate> {
        let mut estate = Estate::default();
        loop {
            match self.next().await? {
                Some(Order::Inherit { word }) => estate.take(word),
                Some(Order::Begin) => return Ok(estate),
                Some(order @ (Order::Stop | Order::Reload)) => {
                    return Err(io::Error::other(format!("{order:?} came before the beginning")));
                }
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// Waits for the next order; nothing when the guard has died. Cancel safe.
    ///
    /// # Errors
    /// The system's, or that the guard says something else.
    pub async fn next(&mut self) -> io::Result<Option<Order>> {
        self.0.next().await
    }
}

#[cfg(test)]
mod tests;
