//! Every event that an operator may see, each with its cause. Their names and fields are stable: monitoring relies on
//! them.

mod engine;
mod hook;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use virtual_server::service::{ServiceKey, Weight};
use vrrp::{BecomeActiveCause, BecomeBackupCause, Priority};

pub use self::engine::EngineReport;
pub use self::hook::{HookEvent, HookReport};
use crate::config::InterfaceAddress;
use crate::fault::Fault;
use crate::name::{InterfaceName, RouterName, ServerName, TrackName};
use crate::plan::Change;
use crate::reception::Rejection;
use crate::track::{PrioritySum, ProblemCause};

/// Why a virtual router hands over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandOverReason {
    /// The daemon ends.
    Stop,
    /// An operator passed it on.
    Pass,
    /// Somebody on this machine takes its address away again and again.
    AddressFight,
    /// It cannot take part any more, but can still say so.
    Fault(Fault),
}

impl HandOverReason {
    /// Tells whether the virtual router takes part afterwards, and others are only preferred for a time.
    pub const fn only_keeps_away(&self) -> bool {
        match self {
            Self::Pass | Self::AddressFight => true,
            Self::Stop | Self::Fault(_) => false,
        }
    }

    /// Returns the stable word for it.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Pass => "pass",
            Self::AddressFight => "address_fight",
            Self::Fault(fault) => fault.reason(),
        }
    }
}

impl fmt::Display for HandOverReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stop => formatter.write_str("since the daemon ends"),
            Self::Pass => formatter.write_str("since it was passed on"),
            Self::AddressFight => {
                formatter.write_str("since somebody on this machine takes its address away again and again")
            }
            Self::Fault(fault) => write!(formatter, "since {fault}"),
        }
    }
}

/// Why a role was given up in the place of a daemon that could not do so itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FenceReason {
    /// It lived and did not advertise any more.
    Silent,
    /// It was restarted and did not advertise again in time.
    NotBack,
    /// It died for the second time within a minute.
    DiedAgain,
}

impl FenceReason {
    /// Returns the stable word for it.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::NotBack => "not_back",
            Self::DiedAgain => "died_again",
        }
    }
}

impl fmt::Display for FenceReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Silent => "the daemon lived and did not advertise any more",
            Self::NotBack => "the daemon was restarted and did not advertise again in time",
            Self::DiedAgain => "the daemon died again",
        })
    }
}

/// Something that happened and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A virtual router became Active.
    BecameActive {
        /// The virtual router.
        router: RouterName,
        /// Why.
        cause: BecomeActiveCause,
    },
    /// A virtual router goes on as the Active that it was before the daemon died.
    RoleAdopted {
        /// The virtual router.
        router: RouterName,
    },
    /// A virtual router became a Backup.
    BecameBackup {
        /// The virtual router.
        router: RouterName,
        /// Why.
        cause: BecomeBackupCause,
    },
    /// A virtual router releases the role and serves until its successor does.
    HandingOver {
        /// The virtual router.
        router: RouterName,
        /// Why.
        reason: HandOverReason,
    },
    /// The successor of a virtual router serves.
    HandedOver {
        /// The virtual router.
        router: RouterName,
        /// The successor's address.
        to: IpAddr,
        /// How long that took.
        took: Duration,
    },
    /// A virtual router released the role and no other node claimed it.
    NobodyTookOver {
        /// The virtual router.
        router: RouterName,
    },
    /// A virtual router was to be handed over, and is not any more; hooks may have prepared it.
    HandOverCalledOff {
        /// The virtual router.
        router: RouterName,
    },
    /// A virtual router was passed on and prefers other nodes from now on.
    StaysAway {
        /// The virtual router.
        router: RouterName,
    },
    /// A virtual router that was passed on competes by its priority again.
    ComesBack {
        /// The virtual router.
        router: RouterName,
    },
    /// A virtual router takes part no longer.
    RouterStopped {
        /// The virtual router.
        router: RouterName,
    },
    /// A virtual router cannot take part.
    RouterFaulted {
        /// The virtual router.
        router: RouterName,
        /// Why.
        fault: Fault,
    },
    /// A virtual router that had heard nobody yet can hear.
    NeighbourAnswered {
        /// The virtual router.
        router: RouterName,
        /// Who answered.
        address: IpAddr,
    },
    /// A virtual router that could not take part can again.
    RouterRecovered {
        /// The virtual router.
        router: RouterName,
    },
    /// A virtual router's priority follows its tracks.
    PriorityChanged {
        /// The virtual router.
        router: RouterName,
        /// What it was.
        from: Priority,
        /// What it is now, and how that comes about.
        sum: PrioritySum,
    },
    /// A track is up.
    TrackUp {
        /// The track.
        track: TrackName,
        /// What was seen.
        reason: String,
        /// What is wrong with what it looks at, where it is reversed or taken for well all the same.
        cause: Option<ProblemCause>,
    },
    /// A track is down.
    TrackDown {
        /// The track.
        track: TrackName,
        /// What was seen.
        reason: String,
        /// What is wrong with what it looks at, where more is known than that something is.
        cause: Option<ProblemCause>,
    },
    /// The number of a track has changed.
    TrackNumber {
        /// The track.
        track: TrackName,
        /// The number.
        number: i32,
        /// What was seen.
        reason: String,
    },
    /// The script of a track did not end in its time, and was killed; not told again before one ends in time.
    TrackTimedOut {
        /// The track.
        track: TrackName,
        /// How long it was given, and what it said.
        reason: String,
    },
    /// The script of a track is not gone although its time is up and it was killed; not told again before one ends in time.
    TrackStuck {
        /// The track.
        track: TrackName,
        /// How long it was given, and what keeps it.
        reason: String,
    },
    /// Nothing clear is to be seen of a track's file or processes, and what was seen before goes on to hold; not told again
    /// before something is.
    TrackUnclear {
        /// The track.
        track: TrackName,
        /// What is wrong with them.
        cause: ProblemCause,
        /// The same in words.
        reason: String,
    },
    /// An Active heard another Active that has to yield to it; at most one a minute and virtual router.
    DualActive {
        /// The virtual router.
        router: RouterName,
        /// The other Active's address.
        by: IpAddr,
        /// The other Active's priority.
        priority: Priority,
    },
    /// There are two Actives no longer.
    DualActiveOver {
        /// The virtual router.
        router: RouterName,
        /// The other one's address.
        by: IpAddr,
        /// How long the other one was heard.
        lasted: Duration,
    },
    /// Somebody uses the virtual router's number for other addresses; at most one a minute and virtual router.
    VridConflict {
        /// The virtual router.
        router: RouterName,
        /// Who advertises them.
        from: IpAddr,
        /// The addresses.
        addresses: Vec<IpAddr>,
    },
    /// A received packet was refused; at most one a minute, reason and virtual router.
    AdvertisementRefused {
        /// Where it came in.
        interface: InterfaceName,
        /// The virtual router it was for, when there is such a one.
        router: Option<RouterName>,
        /// Who claims to have sent it.
        from: IpAddr,
        /// What is wrong with it.
        rejection: Rejection,
    },
    /// A received advertisement proved nothing and was accepted because the mode is not to enforce it; at most one a minute
    /// and virtual router.
    UnauthenticatedAccepted {
        /// The virtual router.
        router: RouterName,
        /// Who claims to have sent it.
        from: IpAddr,
    },
    /// A received advertisement lists other addresses than this node does; at most one a minute and virtual router.
    AddressListDiffers {
        /// The virtual router.
        router: RouterName,
        /// Who sent it.
        from: IpAddr,
    },
    /// A received advertisement names another interval than this node's, which was learnt; at most one a minute and
    /// virtual router.
    IntervalDiffers {
        /// The virtual router.
        router: RouterName,
        /// Who sent it.
        from: IpAddr,
        /// Its interval.
        theirs: Duration,
    },
    /// The kernel holds a virtual address for this node now.
    AddressTaken {
        /// The address.
        address: InterfaceAddress,
    },
    /// The kernel no longer holds a virtual address for this node.
    AddressLeft {
        /// The address.
        address: InterfaceAddress,
    },
    /// An interface with a virtual hardware address was made or removed.
    DeviceChanged {
        /// What was done.
        change: Change,
    },
    /// A virtual route or rule was put in place or removed.
    RoutingChanged {
        /// What was done.
        change: Change,
    },
    /// Packets to a virtual address are dropped from now on, or no longer.
    DropsChanged {
        /// What was done.
        change: Change,
    },
    /// Somebody else had changed what this node owns in the kernel; it was put right.
    Repaired {
        /// What was done.
        change: Change,
    },
    /// Somebody on this machine removes a virtual address again and again; it is put back less and less often.
    AddressFight {
        /// The address.
        address: InterfaceAddress,
        /// How often it was removed.
        removals: u32,
        /// In what time.
        lasting: Duration,
    },
    /// An address that was removed again and again has stayed, or is wanted here no longer.
    AddressFightOver {
        /// The address.
        address: InterfaceAddress,
        /// How often it was removed.
        removals: u32,
        /// In what time.
        lasting: Duration,
    },
    /// The kernel refused a change.
    ChangeRefused {
        /// What was to be done.
        change: Change,
        /// The kernel's reason and what to do about it.
        reason: String,
    },
    /// A virtual address is already there and is not this node's.
    AddressForeign {
        /// The address.
        address: InterfaceAddress,
    },
    /// The kernel told more than could be heard, and was asked for everything anew.
    NetlinkResync,
    /// Advertisements cannot be heard or sent on an interface.
    ListeningFailed {
        /// The interface.
        interface: InterfaceName,
        /// What is missing and what to do about it.
        reason: String,
    },
    /// A packet could not be sent; at most one a minute and interface.
    SendingFailed {
        /// The interface.
        interface: InterfaceName,
        /// The kernel's reason.
        reason: String,
    },
    /// This kernel has no IPVS: virtual servers are unavailable until it has.
    IpvsUnavailable {
        /// What is missing and what to do about it.
        reason: String,
    },
    /// IPVS is there.
    IpvsAvailable,
    /// A real server is fit.
    RealServerUp {
        /// The virtual server.
        server: ServerName,
        /// The real server.
        real_server: SocketAddr,
    },
    /// A real server is not fit.
    RealServerDown {
        /// The virtual server.
        server: ServerName,
        /// The real server.
        real_server: SocketAddr,
        /// What the last probe said.
        reason: String,
    },
    /// A virtual server has its quorum.
    QuorumReached {
        /// The virtual server.
        server: ServerName,
        /// The sum of the fit real servers' weights.
        weight: u32,
        /// What it has to reach.
        quorum: u32,
    },
    /// A virtual server has lost its quorum.
    QuorumLost {
        /// The virtual server.
        server: ServerName,
        /// The sum of the fit real servers' weights.
        weight: u32,
        /// What it has to reach.
        quorum: u32,
        /// The sorry server that serves now.
        sorry_server: Option<SocketAddr>,
    },
    /// A real server's share has changed.
    WeightChanged {
        /// The virtual server.
        server: ServerName,
        /// The real server.
        real_server: SocketAddr,
        /// Its share until now.
        from: Weight,
        /// Its share from now on.
        to: Weight,
    },
    /// A check could not be carried out for a reason of this node's own, such as a lack of file descriptors; no verdict
    /// moves by it. At most one a minute.
    ProbeInconclusive {
        /// The virtual server.
        server: ServerName,
        /// The real server that was to be asked.
        real_server: SocketAddr,
        /// What this node lacked.
        reason: String,
    },
    /// The kernel's table for a service is as wanted after it was not.
    TableComplete {
        /// The service.
        service: ServiceKey,
        /// How many real servers it has.
        destinations: usize,
    },
    /// Something of the engine itself.
    Engine(EngineReport),
    /// Something of a hook.
    Hook(HookReport),
    /// The daemon has died; unless it was told to end, it is started again.
    DaemonDied {
        /// How.
        how: String,
    },
    /// A role was given up in the place of the daemon.
    Fenced {
        /// The virtual router.
        router: RouterName,
        /// Why.
        reason: FenceReason,
    },
    /// The guard has died: the daemon hands over and ends.
    GuardDied,
    /// The configuration was replaced.
    Reloaded {
        /// What is different, one line each.
        changes: Vec<String>,
    },
    /// Another configuration was asked for and is not valid; the running one stays.
    ReloadRefused {
        /// What is wrong with it, in one line.
        reason: String,
    },
}
