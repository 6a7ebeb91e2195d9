//! What a virtual router is configured with.

use std::net::IpAddr;
use std::time::Duration;

use monotonic::Instant;

use crate::identity::{Priority, Version, Vrid};
use crate::timing::{self, Centiseconds};

/// Whether a Backup of higher priority takes over from an Active of lower priority.
/// [RFC 9568, section 6.1](https://www.rfc-editor.org/rfc/rfc9568#section-6.1), `Preempt_Mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preemption {
    /// It does; the RFC's default.
    Allowed,
    /// It waits until no Active is heard any more.
    Refused,
}

/// For how long a Backup holds back beyond what the RFC asks of it; not at all by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Restraint {
    /// How long one that does not preempt, and that has heard nobody since it came up, waits before it claims, if that is
    /// longer than it would wait anyway: it may be deaf, behind a port that does not forward yet, while an Active is there.
    pub unheard: Duration,
    /// How long one that preempts hears Actives of lower priority before it begins to.
    pub before_preempting: Duration,
}

/// What a virtual router is configured with on this node.
/// [RFC 9568, section 6.1](https://www.rfc-editor.org/rfc/rfc9568#section-6.1)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Its number on the segment.
    pub vrid: Vrid,
    /// The version it speaks.
    pub version: Version,
    /// This node's priority.
    pub priority: Priority,
    /// How often it advertises while Active.
    pub interval: Centiseconds,
    /// Whether it takes over from an Active of lower priority.
    pub preemption: Preemption,
    /// For how long it holds back.
    pub restraint: Restraint,
    /// This node's own address on the segment: the source of what it sends, and what decides between equal priorities.
    pub source: IpAddr,
    /// The addresses it advertises, in the order configured.
    pub addresses: Vec<IpAddr>,
}

impl Parameters {
    pub(super) fn next_advertisement(&self, now: Instant) -> Instant {
        timing::next_advertisement(now, self.interval, self.source)
    }
}
