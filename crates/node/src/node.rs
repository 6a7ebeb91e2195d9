//! The virtual routers and the virtual servers of a node together.
//!
//! The daemon runs [`Routers`] and [`Pools`] on threads of their own; here they stand side by side, for the simulator
//! and as the one place that shows the whole.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use monotonic::Instant;

use crate::config::Config;
use crate::host_state::Wanted;
use crate::legacy::Legacy;
use crate::link::LinkEvent;
use crate::name::{InterfaceName, RouterName, TrackName};
use crate::pools::{Outcome, Pools, PoolsInput, PoolsOutput, ProbeId, ProbeRequest};
use crate::reception::{Datagram, Segment};
use crate::reconciliation::Reconciliation;
use crate::report::Report;
use crate::routers::{Announcement, Routers, RoutersInput, RoutersOutput, Solicitation, Transmission};
use crate::status::{PoolsStatus, RoutersStatus};
use crate::track::{Observation, TrackConfig};
use crate::wall_clock::WallClock;

/// What can happen to a node.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// The interfaces are known: take part.
    Start,
    /// [`Node::next_deadline`] has come, perhaps long ago.
    Deadline,
    /// A packet came in.
    Datagram(Datagram<'a>),
    /// A network interface changed.
    Link(LinkEvent),
    /// A probe is over.
    Probed {
        /// The id of its request.
        probe: ProbeId,
        /// What came of it.
        outcome: Outcome,
    },
    /// The kernel was worked on.
    Reconciled(Reconciliation),
    /// The wall clock was looked at.
    WallClock(WallClock),
    /// Another configuration holds from now on.
    Reload(Arc<Config>),
    /// Something was seen of a track.
    Tracked {
        /// The track.
        track: TrackName,
        /// How it was configured for whoever looked.
        config: Arc<TrackConfig>,
        /// What was seen.
        seen: Observation,
    },
    /// Somebody else announced an address to the neighbours.
    AddressAnnounced {
        /// Where it was announced.
        interface: InterfaceName,
        /// What was announced.
        address: IpAddr,
    },
    /// A neighbour answered this node's question, after [`Output::Solicit`].
    NeighbourAnswered {
        /// Where.
        segment: Segment,
        /// Who.
        address: IpAddr,
    },
    /// Hand virtual routers over, with all that moves together with them, and stay away.
    Pass {
        /// Which.
        routers: BTreeSet<RouterName>,
        /// When to come back; when told to if left out.
        until: Option<Instant>,
    },
    /// Come back after [`Self::Pass`].
    Return {
        /// Which, with all that moves together with them.
        routers: BTreeSet<RouterName>,
    },
    /// The hooks that had to run before a virtual router is handed over have, after [`Output::Prepare`].
    Prepared {
        /// Which.
        router: RouterName,
    },
    /// Hand everything over and end; at once if it was said before.
    Shutdown,
}

/// What a node wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a packet.
    Send(Arc<Transmission>),
    /// Announce a virtual address.
    Announce(Announcement),
    /// Announce this node's own address.
    Introduce(Announcement),
    /// Ask neighbours, and tell of any answer with [`Input::AddressAnnounced`] and [`Input::NeighbourAnswered`].
    Solicit(Solicitation),
    /// [`Node::wanted`] has changed.
    Reconcile,
    /// Ask a real server.
    Probe(ProbeRequest),
    /// Tell the operator.
    Report(Report),
    /// Run the hooks that have to before a virtual router is handed over, and answer with [`Input::Prepared`].
    Prepare {
        /// Which.
        router: RouterName,
        /// When it is handed over whatever the hooks do.
        until: Instant,
        /// Why it is handed over.
        reason: String,
    },
    /// All is said that had to be: clean the kernel and end.
    Exit,
}

/// One machine's brain.
#[derive(Clone, Debug)]
pub struct Node {
    routers: Routers,
    pools: Pools,
}

impl Node {
    /// Returns a node of this configuration that does nothing yet.
    pub fn new(config: Arc<Config>, now: Instant) -> Self {
        Self { routers: Routers::new(Arc::clone(&config), now), pools: Pools::new(config) }
    }

    /// Takes over what the daemon before this one left; has to come before [`Input::Start`].
    pub fn inherit(&mut self, legacy: &Legacy) {
        self.routers.inherit(legacy);
        self.pools.inherit(legacy);
    }

    /// Returns what is left to the next daemon, should this one die now.
    pub fn legacy(&self) -> Legacy {
        Legacy {
            began: self.routers.began(),
            virtual_routers: self.routers.legacy(),
            silence: self.routers.silence(),
            verdicts: self.pools.verdicts(),
        }
    }

    /// Returns when [`Input::Deadline`] is wanted.
    pub fn next_deadline(&self) -> Option<Instant> {
        [self.routers.next_deadline(), self.pools.next_deadline()].into_iter().flatten().min()
    }

    /// Tells whether what neighbours announce and answer is to be heard anywhere.
    pub fn listens_to_neighbours(&self) -> bool {
        !self.routers.neighbour_segments().is_empty()
    }

    /// Returns what the kernel should hold: a function of configuration, roles and health.
    pub fn wanted(&mut self) -> Wanted {
        Wanted::new(&self.routers.roles(), &self.pools.tables())
    }

    /// Returns what an operator sees of the node.
    pub fn status(&self) -> (RoutersStatus, PoolsStatus) {
        (self.routers.status(), self.pools.status())
    }

    /// Takes one input and answers with what is to be done.
    #[must_use]
    pub fn handle(&mut self, input: Input<'_>, now: Instant) -> Vec<Output> {
        let (to_routers, to_pools) = match input {
            Input::Start => (Some(RoutersInput::Start), Some(PoolsInput::Start)),
            Input::Deadline => (Some(RoutersInput::Deadline), Some(PoolsInput::Deadline)),
            Input::Datagram(datagram) => (Some(RoutersInput::Datagram(datagram)), None),
            Input::Link(event) => (Some(RoutersInput::Link(event)), None),
            Input::Probed { probe, outcome } => (None, Some(PoolsInput::Probed { probe, outcome })),
            Input::Reconciled(outcome) => (Some(RoutersInput::Reconciled(outcome)), None),
            Input::Reload(config) => {
                (Some(RoutersInput::Reload(Arc::clone(&config))), Some(PoolsInput::Reload(config)))
            }
            Input::WallClock(wall_clock) => (Some(RoutersInput::WallClock(wall_clock)), None),
            Input::Tracked { track, config, seen } => {
                (Some(RoutersInput::Tracked { track, config, seen }), None)
            }
            Input::AddressAnnounced { interface, address } => {
                (Some(RoutersInput::AddressAnnounced { interface, address }), None)
            }
            Input::NeighbourAnswered { segment, address } => {
                (Some(RoutersInput::NeighbourAnswered { segment, address }), None)
            }
            Input::Pass { routers, until } => (Some(RoutersInput::Pass { routers, until }), None),
            Input::Return { routers } => (Some(RoutersInput::Return { routers }), None),
            Input::Prepared { router } => (Some(RoutersInput::Prepared { router }), None),
            Input::Shutdown => (Some(RoutersInput::Shutdown), None),
        };
        let from_routers = to_routers.map(|input| self.routers.handle(input, now)).unwrap_or_default();
        let from_pools = to_pools.map(|input| self.pools.handle(input, now)).unwrap_or_default();
        let mut outputs: Vec<_> = from_routers.into_iter().map(Output::from).collect();
        outputs.extend(from_pools.into_iter().map(Output::from));
        outputs
    }
}

impl From<RoutersOutput> for Output {
    fn from(output: RoutersOutput) -> Self {
        match output {
            RoutersOutput::Send(transmission) => Self::Send(transmission),
            RoutersOutput::Announce(announcement) => Self::Announce(announcement),
            RoutersOutput::Introduce(announcement) => Self::Introduce(announcement),
            RoutersOutput::Solicit(solicitation) => Self::Solicit(solicitation),
            RoutersOutput::RolesChanged => Self::Reconcile,
            RoutersOutput::Report(report) => Self::Report(report),
            RoutersOutput::Prepare { router, until, reason } => Self::Prepare { router, until, reason },
            RoutersOutput::Exit => Self::Exit,
        }
    }
}

impl From<PoolsOutput> for Output {
    fn from(output: PoolsOutput) -> Self {
        match output {
            PoolsOutput::Probe(request) => Self::Probe(request),
            PoolsOutput::TablesChanged => Self::Reconcile,
            PoolsOutput::Report(report) => Self::Report(report),
        }
    }
}
