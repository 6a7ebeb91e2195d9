//! Why a probe was not good, and whose fault that is.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use node::pools::Outcome;
use rustix::io::Errno;
use thiserror::Error;

use crate::http::BODY_LIMIT;

/// Why a probe was not good, in the words that an operator reads.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error("no answer within {limit:?}")]
    NoAnswer { limit: Duration },
    #[error("this node stood still while it waited for the answer")]
    Stalled,
    #[error("{}", connection_words(.0))]
    Connection(#[from] io::Error),
    #[error("{}", http_words(.0))]
    Http(#[from] hyper::Error),
    #[error("the request cannot be made from this path and host: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("status {status}, expected {}", ranges(.expected))]
    Status { status: u16, expected: Vec<(u16, u16)> },
    #[error("body does not contain {text:?}")]
    Body { text: String },
    #[error("the first {} KiB of the body do not contain {text:?}", BODY_LIMIT / 1024)]
    LongBody { text: String },
}

/// Returns what a probe's result says about the real server.
pub(crate) fn outcome(result: Result<(), Failure>) -> Outcome {
    match result {
        Ok(()) => Outcome::Good,
        Err(failure) if failure.is_local() => Outcome::Inconclusive(failure.to_string()),
        Err(failure) => Outcome::Bad(failure.to_string()),
    }
}

impl Failure {
    fn is_local(&self) -> bool {
        match self {
            Self::Stalled | Self::Request(_) => true,
            Self::Connection(error) => is_local(error),
            Self::Http(error) => cause(error).is_some_and(is_local),
            Self::NoAnswer { .. } | Self::Status { .. } | Self::Body { .. } | Self::LongBody { .. } => false,
        }
    }
}

/// Tells whether this node could not ask: what it lacks or forbids itself says nothing about the real server.
///
/// "No route" (`ENETUNREACH`, `EHOSTUNREACH`) is not among these: IPVS sends on by the same routes as the probe, so a
/// real server that the probe cannot reach cannot serve from here either.
fn is_local(error: &io::Error) -> bool {
    match Errno::from_io_error(error) {
        Some(
            Errno::MFILE
            | Errno::NFILE
            | Errno::NOMEM
            | Errno::NOBUFS
            | Errno::AGAIN
            | Errno::ADDRINUSE
            | Errno::ADDRNOTAVAIL
            | Errno::ACCESS
            | Errno::PERM
            | Errno::AFNOSUPPORT
            | Errno::PROTONOSUPPORT
            | Errno::INVAL,
        ) => true,
        Some(_) | None => false,
    }
}

fn connection_words(error: &io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::CONNREFUSED) => "connection refused".into(),
        Some(Errno::CONNRESET | Errno::PIPE) => "connection reset".into(),
        Some(Errno::HOSTUNREACH) => "host unreachable".into(),
        Some(Errno::NETUNREACH) => "network unreachable".into(),
        Some(_) | None if is_local(error) => format!("this node cannot connect: {error}"),
        Some(_) | None => format!("connection failed: {error}"),
    }
}

fn http_words(error: &hyper::Error) -> String {
    match cause(error) {
        Some(cause) if cause.raw_os_error().is_some() => connection_words(cause),
        Some(cause) if cause.kind() != io::ErrorKind::UnexpectedEof => {
            format!("the answer is not proper HTTP: {cause}")
        }
        None if !error.is_incomplete_message() => format!("the answer is not proper HTTP: {error}"),
        Some(_) | None => "connection closed in the middle of the answer".into(),
    }
}

fn cause(error: &hyper::Error) -> Option<&io::Error> {
    error.source()?.downcast_ref()
}

fn ranges(ranges: &[(u16, u16)]) -> String {
    let words = ranges.iter().map(
        |&(first, last)| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        },
    );
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connecting_failed_with(errno: Errno) -> Outcome {
        outcome(Err(Failure::Connection(errno.into())))
    }

    #[test]
    fn what_this_node_lacks_is_no_fault_of_the_real_server() {
        for errno in [Errno::MFILE, Errno::NOBUFS, Errno::ADDRNOTAVAIL, Errno::PERM] {
            assert!(matches!(connecting_failed_with(errno), Outcome::Inconclusive(_)), "{errno:?}");
        }
    }

    #[test]
    fn a_real_server_that_cannot_be_reached_from_here_is_bad() {
        for (errno, words) in [
            (Errno::CONNREFUSED, "connection refused"),
            (Errno::CONNRESET, "connection reset"),
            (Errno::HOSTUNREACH, "host unreachable"),
            (Errno::NETUNREACH, "network unreachable"),
        ] {
            assert_eq!(connecting_failed_with(errno), Outcome::Bad(words.into()));
        }
    }

    #[test]
    fn the_expected_status_codes_are_named_as_they_are_configured() {
        let failure = Failure::Status { status: 503, expected: vec![(200, 299), (401, 401)] };
        assert_eq!(failure.to_string(), "status 503, expected 200-299, 401");
    }
}
