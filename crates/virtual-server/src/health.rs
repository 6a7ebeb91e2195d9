//! One check of one real server: what is asked, how often, and the verdict that its outcomes add up to.

use std::num::NonZeroU8;
use std::time::Duration;

/// What is asked of a real server, how often, and how many answers make a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is asked.
    pub kind: CheckKind,
    /// From the start of one probe to the start of the next.
    pub interval: Duration,
    /// How long one probe may take.
    pub timeout: Duration,
    /// How many good probes in a row bring a real server in.
    pub rise: NonZeroU8,
    /// How many bad probes in a row take it out.
    pub fall: NonZeroU8,
}

/// The question that a check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// Does a TCP connection open?
    Tcp,
    /// Does a GET request bring the expected answer?
    Http(HttpCheck),
}

/// A GET request and the answer that counts as good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    /// The path, with its query if any.
    pub path: String,
    /// The `Host` header; the real server's address and port when left out.
    pub host: Option<String>,
    /// The status codes that count as good, as inclusive ranges.
    pub status: Vec<(u16, u16)>,
    /// What the body has to contain.
    pub body: Option<String>,
}
