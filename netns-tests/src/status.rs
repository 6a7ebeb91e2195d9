//! What `baton status --json` says: the names that stay.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

/// One node.
#[derive(Clone, Debug, Deserialize)]
pub struct NodeStatus {
    /// Its name in the configuration.
    pub node: String,
    /// Its virtual routers.
    pub virtual_routers: BTreeMap<String, RouterStatus>,
    /// Its sync groups.
    pub sync_groups: BTreeMap<String, GroupStatus>,
    /// Its tracks.
    pub tracks: BTreeMap<String, TrackStatus>,
    /// Its virtual servers.
    pub virtual_servers: BTreeMap<String, ServerStatus>,
    /// Its hooks.
    pub hooks: BTreeMap<String, HookStatus>,
    /// Packets for virtual routers that it does not have.
    pub unknown_vrid: u64,
    /// The thread of the virtual routers.
    pub engine: EngineStatus,
}

/// The thread of the virtual routers.
#[derive(Clone, Debug, Deserialize)]
pub struct EngineStatus {
    /// Its precedence, when it has one.
    pub realtime_priority: Option<u8>,
    /// Whether the daemon's memory never leaves for the swap.
    pub memory_locked: bool,
    /// The processors that it may run on.
    pub processors: Vec<u16>,
    /// Deadlines acted on.
    pub deadlines: u64,
    /// How many of them too late.
    pub late: u64,
    /// How late they were.
    pub lateness_milliseconds: Option<Lateness>,
    /// How many were how late.
    pub lateness_histogram: Vec<Bucket>,
}

/// How late deadlines were acted on.
#[derive(Clone, Debug, Deserialize)]
pub struct Lateness {
    /// Half of them at most so much.
    pub p50: f64,
    /// The latest of all.
    pub max: f64,
}

/// One part of a histogram.
#[derive(Clone, Debug, Deserialize)]
pub struct Bucket {
    /// How many deadlines were that late.
    pub count: u64,
}

/// One virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RouterStatus {
    /// `initialize`, `backup`, `active` or `fault`.
    pub state: String,
    /// The node's priority in it.
    pub priority: u8,
    /// How that comes about.
    pub priority_sum: String,
    /// When it came to stand there.
    pub since: String,
    /// Why it stands there.
    pub reason: String,
    /// Advertisements sent.
    pub advertisements_sent: u64,
    /// Advertisements received and accepted.
    pub advertisements_received: u64,
    /// Of these, how many proved nothing and were accepted all the same.
    pub unauthenticated: u64,
    /// Packets refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Times it became Active.
    pub became_active: u64,
    /// Times an address was put back.
    pub addresses_restored: u64,
    /// Times that an address was removed again and again.
    pub address_fights: u64,
    /// Times that another Active was heard.
    pub dual_active: u64,
    /// Advertisements of another virtual router with its number.
    pub vrid_conflicts: u64,
    /// The routes that move with it.
    pub routes: Vec<String>,
    /// The rules that move with it.
    pub rules: Vec<String>,
    /// How often a route or rule was put back that somebody else had removed.
    pub routing_restored: u64,
    /// Whether packets to its addresses are accepted.
    pub accept: bool,
    /// How often packets to an address were dropped again that somebody else had let through.
    pub drops_restored: u64,
    /// Whom a Backup has heard last.
    pub active: Option<ActiveStatus>,
    /// The delay that runs.
    pub delay: Option<DelayStatus>,
}

/// The Active of a virtual router that is a Backup on this node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ActiveStatus {
    /// Its address.
    pub peer: IpAddr,
    /// Its priority.
    pub priority: u8,
}

/// A delay that runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DelayStatus {
    /// `start_delay` or `preempt_delay`.
    pub kind: String,
}

/// One sync group.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GroupStatus {
    /// `initialize`, `backup`, `active` or `fault`.
    pub state: String,
    /// Who holds it back, and why.
    pub reason: String,
}

/// One track.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TrackStatus {
    /// `unknown`, `up`, `down` or `number`.
    pub state: String,
    /// What was seen.
    pub reason: String,
    /// What it will be, unless that is withdrawn before.
    pub coming: Option<ComingStatus>,
    /// What was wrong when it was last looked at.
    pub problem: Option<TrackProblem>,
}

/// What a track will be, unless that is withdrawn before.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ComingStatus {
    /// `up` or `down`.
    pub state: String,
}

/// What is wrong with a track's thing, or with looking at it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TrackProblem {
    /// `not_started`, `exit_code`, `signal`, `timed_out`, `stuck`, `unreadable` or `no_number`.
    pub cause: String,
    /// The exit code, or the signal's number.
    pub code: Option<i32>,
    /// What was last seen of it.
    pub reason: String,
}

/// One hook.
#[derive(Clone, Debug, Deserialize)]
pub struct HookStatus {
    /// What came of it for each virtual router that it follows; nothing where it has not been run yet.
    pub virtual_routers: BTreeMap<String, Option<ErrandStatus>>,
}

/// What came of the last that a hook had to do.
#[derive(Clone, Debug, Deserialize)]
pub struct ErrandStatus {
    /// `running`, `stuck`, `waiting`, `succeeded` or `failed`.
    pub outcome: String,
    /// What it was run for.
    pub state: String,
    /// Which time it was tried last.
    pub attempt: u32,
    /// What was wrong with the last attempt that failed.
    pub error: Option<String>,
}

/// One virtual server.
#[derive(Clone, Debug, Deserialize)]
pub struct ServerStatus {
    /// `up`, `down` or `unavailable`.
    pub state: String,
    /// Why.
    pub reason: String,
    /// Its real servers by address.
    pub real_servers: BTreeMap<String, RealServerStatus>,
}

/// One real server.
#[derive(Clone, Debug, Deserialize)]
pub struct RealServerStatus {
    /// `checking`, `up` or `down`.
    pub state: String,
    /// Its share now.
    pub weight: u16,
    /// What the last probe said.
    pub reason: String,
}
