//! What one daemon leaves to the next on the same machine, so that its death is no transition.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use monotonic::Instant;
use virtual_server::health::Verdict;
use vrrp::Sequence;

use crate::name::{RouterName, ServerName};
use crate::routers::Transmission;
use crate::status::Away;

/// Everything that is left.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Legacy {
    /// When the first of these daemons began.
    pub began: Option<Instant>,
    /// The virtual routers that leave anything.
    pub virtual_routers: BTreeMap<RouterName, RouterLegacy>,
    /// When others may have claimed the roles; whoever comes later finds none. Nothing where there is none.
    pub silence_limit: Option<Instant>,
    /// What is known of the real servers.
    pub verdicts: BTreeMap<(ServerName, SocketAddr), Verdict>,
}

/// What is left of a virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RouterLegacy {
    /// The role, while it is Active.
    pub role: Option<RoleLegacy>,
    /// Set while it stays away after it was passed on.
    pub away: Option<Away>,
    /// The last number that it may have put into an authenticated advertisement, those of its last will included.
    pub said: Option<Sequence>,
}

/// The role of an Active virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleLegacy {
    /// When it became Active.
    pub since: Instant,
    /// Why it became Active.
    pub reason: String,
    /// How often it advertises.
    pub interval: Duration,
    /// What has to be said, one after the other, so that another node takes over at once.
    pub last_will: Vec<Transmission>,
    /// How long after the last will another node has certainly taken the addresses.
    pub succeeded_within: Duration,
}
