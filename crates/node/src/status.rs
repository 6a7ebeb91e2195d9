//! What an operator sees of a node at one moment.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use monotonic::Instant;
use virtual_server::service::{ServiceKey, Weight};
use vrrp::{HeardActive, Priority, Vrid};

use crate::config::{AcceptMode, InterfaceAddress, Occasion};
use crate::hooks::Subject;
use crate::name::{GroupName, HookName, InterfaceName, RouterName, ServerName, TrackName};
use crate::reception::Segment;
use crate::reconciliation::IpvsAvailability;
use crate::routing::{VirtualRoute, VirtualRule};
use crate::track::{PrioritySum, ProblemCause};

/// The virtual routers of a node at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RoutersStatus {
    /// Each virtual router.
    pub virtual_routers: BTreeMap<RouterName, RouterStatus>,
    /// Each sync group.
    pub sync_groups: BTreeMap<GroupName, GroupStatus>,
    /// Each track.
    pub tracks: BTreeMap<TrackName, TrackStatus>,
    /// How many packets were refused for want of a virtual router with their number.
    pub unknown_vrid: u64,
    /// Whether the kernel has IPVS; nothing before it was asked.
    pub ipvs: Option<IpvsAvailability>,
}

/// One virtual router at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterStatus {
    /// Where it stands.
    pub state: RouterState,
    /// When it came to stand there.
    pub since: Instant,
    /// Why it stands there.
    pub reason: String,
    /// This node's priority in it, and how that comes about.
    pub priority: PrioritySum,
    /// Where it advertises.
    pub interface: InterfaceName,
    /// Its number on the segment.
    pub vrid: Vrid,
    /// The sync group it moves with.
    pub sync_group: Option<GroupName>,
    /// The addresses that it holds while it is Active, advertised or not.
    pub addresses: Vec<InterfaceAddress>,
    /// Whether packets to them are accepted.
    pub accept: AcceptMode,
    /// The routes that move along.
    pub routes: Vec<VirtualRoute>,
    /// The rules that move along.
    pub rules: Vec<VirtualRule>,
    /// What it has counted since the daemon started.
    pub counters: RouterCounters,
    /// How many packets were refused, by reason.
    pub refusals: BTreeMap<&'static str, u64>,
    /// Set while it stays away after it was passed on.
    pub away: Option<Away>,
    /// The last time that it handed over since the daemon started.
    pub hand_over: Option<HandOver>,
    /// The Active that it has heard last, while it is a Backup.
    pub active: Option<HeardActive>,
    /// What it waits for although it could take part, or claim.
    pub delay: Option<Delay>,
    /// Another Active, while it is heard.
    pub rival: Option<Rival>,
    /// Where it asks its neighbours, while it waits for proof that it can hear.
    pub asks: Option<Segment>,
}

/// A delay that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// Which.
    pub kind: DelayKind,
    /// When it is over.
    pub until: Instant,
}

/// What an operator can have a virtual router wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelayKind {
    /// After the daemon's start, before it takes part.
    Start,
    /// Where an Active of lower priority is heard, before it preempts.
    Preempt,
}

impl DelayKind {
    /// Returns the stable word for it, which is its key in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start_delay",
            Self::Preempt => "preempt_delay",
        }
    }
}

/// Another Active of a virtual router, which has to yield to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rival {
    /// Its address.
    pub peer: IpAddr,
    /// Its priority.
    pub priority: Priority,
    /// When it was first heard.
    pub since: Instant,
    /// When it was last heard.
    pub last_heard: Instant,
}

/// One sync group at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// Where it stands: where the member stands that is worst off.
    pub state: RouterState,
    /// How each member stands.
    pub members: BTreeMap<RouterName, Stance>,
    /// Which member holds the others back, and why.
    pub reason: String,
}

/// How one member of a sync group stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stance {
    /// It is Active.
    Active,
    /// It has released the role and serves until its successor does.
    Leaving,
    /// It may claim, and waits for the others.
    Ready,
    /// It watches an Active.
    Watching,
    /// It does not take part yet.
    Waiting {
        /// Why.
        reason: String,
        /// Whose matter that is.
        cause: Cause,
    },
    /// It cannot take part.
    Faulted {
        /// Why.
        reason: String,
        /// Whose matter that is.
        cause: Cause,
    },
}

/// Where the cause lies for which a member of a sync group does not take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// With the member itself.
    Own,
    /// With another member, whom it stays out with.
    OfGroup,
}

/// One track at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackStatus {
    /// Whether it is up.
    pub state: TrackState,
    /// When that last changed.
    pub since: Instant,
    /// What was seen then.
    pub reason: String,
    /// What it looks at.
    pub kind: String,
    /// What follows from it.
    pub effect: String,
    /// What it will be, unless that is withdrawn before.
    pub coming: Option<ComingState>,
    /// What was wrong when it was last looked at, whether that counts already or not.
    pub problem: Option<TrackProblem>,
}

/// What is wrong with a track's thing, or with looking at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackProblem {
    /// What it is.
    pub cause: ProblemCause,
    /// What was last seen of it, in words.
    pub reason: String,
    /// Since when it is that.
    pub since: Instant,
}

/// What a track will be, unless that is withdrawn before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComingState {
    /// Whether it will be up.
    pub state: TrackState,
    /// What was seen.
    pub reason: String,
    /// When.
    pub at: Instant,
}

/// Whether a track is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackState {
    /// Nothing is known of it yet.
    Unknown,
    /// It is up.
    Up,
    /// It is down.
    Down,
    /// Its file says this number.
    Number(i32),
}

/// How long a virtual router prefers other nodes, whatever their priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Away {
    /// Until then; until it is told to come back if left out.
    pub until: Option<Instant>,
}

/// One planned hand-over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandOver {
    /// When it began.
    pub since: Instant,
    /// What came of it.
    pub outcome: HandOverOutcome,
}

/// What came of a planned hand-over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOverOutcome {
    /// Nobody serves yet but this node.
    Underway,
    /// Another node serves.
    To {
        /// Its address.
        peer: IpAddr,
        /// How long that took.
        took: Duration,
    },
    /// Nobody claimed the role.
    Nobody,
    /// It was called off before the role was released.
    CalledOff,
}

/// Where a virtual router stands, as an operator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouterState {
    /// It does not take part yet or any more.
    Initialize,
    /// It watches the Active.
    Backup,
    /// It is the Active.
    Active,
    /// It has released the role and serves until its successor does.
    Leaving,
    /// It cannot take part.
    Fault,
}

impl RouterState {
    /// Returns the word for it in `status --json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            // It is not Active any more, and what asks for the state knows four of them; the reason says the rest.
            Self::Backup | Self::Leaving => "backup",
            Self::Active => "active",
            Self::Fault => "fault",
        }
    }
}

/// What a virtual router has counted since the daemon started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RouterCounters {
    /// Advertisements sent, priority 0 included.
    pub advertisements_sent: u64,
    /// Advertisements received that passed every check.
    pub advertisements_received: u64,
    /// Of these, how many proved nothing and were accepted because the mode is not to enforce it.
    pub unauthenticated: u64,
    /// Times it became Active.
    pub became_active: u64,
    /// Times that somebody else had removed one of its addresses and it was put back.
    pub addresses_restored: u64,
    /// Times that somebody on this machine began to remove one of its addresses again and again.
    pub address_fights: u64,
    /// Times that another Active was heard while it was Active, each from the first advertisement to the last.
    pub dual_active: u64,
    /// Advertisements received of another virtual router with its number.
    pub vrid_conflicts: u64,
    /// Times that somebody else had removed one of its routes or rules and it was put back.
    pub routing_restored: u64,
    /// Times that somebody else had let packets to one of its addresses through and they were dropped again.
    pub drops_restored: u64,
}

/// The virtual servers of a node at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PoolsStatus {
    /// Each virtual server.
    pub virtual_servers: BTreeMap<ServerName, ServerStatus>,
}

/// One virtual server at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerStatus {
    /// Whether its quorum is reached.
    pub state: ServerState,
    /// When that last changed.
    pub since: Instant,
    /// The kernel services that share its pool.
    pub services: Vec<ServiceKey>,
    /// The sum of the fit real servers' weights.
    pub weight: u32,
    /// What that sum has to reach.
    pub quorum: u32,
    /// Whether the sorry server serves.
    pub sorry: bool,
    /// Each real server.
    pub real_servers: BTreeMap<SocketAddr, RealServerStatus>,
}

/// Whether a virtual server can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// Its quorum is reached.
    Up,
    /// Its quorum is not reached.
    Down,
}

impl ServerState {
    /// Returns the word for it in `status --json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// One real server at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealServerStatus {
    /// What its check says.
    pub state: RealServerState,
    /// When that last changed.
    pub since: Instant,
    /// Its share while it is fit.
    pub weight: Weight,
    /// What the last probe said, empty when it was good or there was none.
    pub reason: String,
}

/// What a real server's check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RealServerState {
    /// Not enough probes were good or bad yet; it is not served to.
    Checking,
    /// It is fit.
    Up,
    /// It is not fit.
    Down,
}

impl RealServerState {
    /// Returns the word for it in `status --json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Checking => "checking",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// The hooks of a node at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HooksStatus {
    /// What came of the last errand of each hook for each virtual router and sync group that it follows; nothing where it has
    /// had none yet.
    pub errands: BTreeMap<(HookName, Subject), Option<ErrandStatus>>,
}

/// What came of an errand of a hook so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrandStatus {
    /// What it is for.
    pub occasion: Occasion,
    /// Which time it was tried last, from 1.
    pub attempt: u32,
    /// How that stands.
    pub outcome: ErrandOutcome,
    /// When it came to stand so.
    pub since: Instant,
    /// What was wrong with the last attempt at it that failed, even if a later one has not.
    pub error: Option<String>,
}

/// How an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrandOutcome {
    /// It runs.
    Running,
    /// It was killed when its time was up and is still not gone.
    Stuck,
    /// It has failed, and the next one waits.
    Waiting {
        /// Until when.
        until: Instant,
    },
    /// It has succeeded.
    Succeeded,
    /// It has failed, and there is no next one.
    Failed,
}

impl ErrandOutcome {
    /// Returns the stable word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stuck => "stuck",
            Self::Waiting { .. } => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}
