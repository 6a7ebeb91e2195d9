//! One HTTP request after the other, each on a connection of its own, without waiting for the one before.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use super::{Pace, Phase, Record, failed};
use crate::Result;
use crate::timeline::{Failure, Fate, PATIENCE};
use crate::web_client::Answer;

/// A request that is under way.
struct Request {
    number: usize,
    give_up_at: Instant,
    stream: TcpStream,
    stage: Stage,
}

enum Stage {
    Connecting,
    Reading(Vec<u8>),
}

/// Probes until the record says stop.
pub(super) fn probe(target: SocketAddr, record: &Record) -> Result<()> {
    let question = format!("GET / HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n");
    let mut pace = Pace::new(record);
    let mut requests: Vec<Request> = Vec::new();
    loop {
        let now = Instant::now();
        let is_due = pace.is_due(now);
        let phase = record.phase(now);
        if phase == Phase::Over {
            return Ok(());
        }
        if phase == Phase::Asking && is_due {
            let number = record.sent(now);
            match begin(target) {
                Ok(stream) => {
                    let give_up_at = now + PATIENCE;
                    requests.push(Request { number, give_up_at, stream, stage: Stage::Connecting });
                }
                Err(error) => {
                    record.resolve(number, Fate::Failed(explain(std::io::Error::from(error).kind())));
                }
            }
        }
        let ready = wait(&requests, pace.left(Instant::now()))?;
        let now = Instant::now();
        let mut ready = ready.into_iter();
        requests.retain_mut(|request| {
            let ready = ready.next().expect("there is one answer for each request");
            let fate = if ready {
                request.go_on(&question)
            } else if now >= request.give_up_at {
                Fate::Failed(Failure::TimedOut)
            } else {
                Fate::Waiting
            };
            let waiting = matches!(fate, Fate::Waiting);
            if !waiting {
                record.resolve(request.number, fate);
            }
            waiting
        });
    }
}

fn begin(target: SocketAddr) -> rustix::io::Result<TcpStream> {
    let family = match target {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket.into()),
        Err(error) => Err(error),
    }
}

/// Waits at most that long and says of each request whether it can go on.
fn wait(requests: &[Request], limit: Duration) -> Result<Vec<bool>> {
    let mut sockets: Vec<_> = requests
        .iter()
        .map(|request| {
            let interest = match request.stage {
                Stage::Connecting => PollFlags::OUT,
                Stage::Reading(_) => PollFlags::IN,
            };
            PollFd::new(&request.stream, interest)
        })
        .collect();
    let limit = Timespec::try_from(limit).expect("an interval is below 2^63 seconds");
    match poll(&mut sockets, Some(&limit)) {
        Ok(_) | Err(Errno::INTR) => Ok(sockets.iter().map(|socket| !socket.revents().is_empty()).collect()),
        Err(error) => Err(failed("wait for an answer")(error)),
    }
}

impl Request {
    fn go_on(&mut self, question: &str) -> Fate {
        match &mut self.stage {
            Stage::Connecting => {
                let connected = self.stream.take_error().unwrap_or_else(Some).map_or(Ok(()), Err);
                // A new connection takes a line of text at once.
                match connected.and_then(|()| self.stream.write_all(question.as_bytes())) {
                    Ok(()) => {
                        self.stage = Stage::Reading(Vec::new());
                        Fate::Waiting
                    }
                    Err(error) => Fate::Failed(explain(error.kind())),
                }
            }
            Stage::Reading(text) => match self.stream.read_to_end(text) {
                Ok(_) => judge(text),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Fate::Waiting,
                Err(error) => Fate::Failed(explain(error.kind())),
            },
        }
    }
}

fn judge(text: &[u8]) -> Fate {
    match Answer::parse(text) {
        Some(Answer { status: 200, body }) => {
            let server = body.lines().next().map(Arc::from);
            Fate::Answered { at: Instant::now(), by: server }
        }
        Some(Answer { status, .. }) => Fate::Failed(Failure::Status(status)),
        None => Fate::Failed(Failure::Broken),
    }
}

fn explain(error: ErrorKind) -> Failure {
    if error == ErrorKind::ConnectionRefused {
        Failure::Refused
    } else if matches!(error, ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) {
        Failure::Unreachable
    } else if error == ErrorKind::TimedOut {
        Failure::TimedOut
    } else {
        Failure::Broken
    }
}
