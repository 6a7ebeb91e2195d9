//! One virtual router of this node: its state machine while it can take part, and what is told of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use monotonic::Instant;
use vrrp::{
    Centiseconds, Credentials, Family, HandOverStage, Heirs, Parameters, Preemption, RouterAction,
    RouterEvent, Sequences, State, Statement, VirtualRouter, multicast_group,
};

use super::holding::Fought;
use super::preparing::Preparing;
use super::{RoutersOutput, Segment, Transmission};
use crate::config::{Transport, VirtualRouterConfig};
use crate::fault::{Fault, Wait};
use crate::legacy::{RoleLegacy, RouterLegacy};
use crate::name::{GroupName, InterfaceName, TrackName};
use crate::status::{Away, Delay, DelayKind, HandOver, Rival, RouterCounters, RouterState, RouterStatus};
use crate::track::PrioritySum;
use crate::wall_clock::WallClock;

/// What decides whether a virtual router's addresses are on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tenure {
    /// Its role.
    ByRole,
    /// They stay until those of the winner are announced, and no longer than this.
    Lingering {
        /// When they leave at the latest.
        until: Instant,
    },
}

/// One virtual router of this node.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) config: Arc<VirtualRouterConfig>,
    pub(super) group: Option<GroupName>,
    pub(super) standing: Standing,
    pub(super) since: Instant,
    pub(super) reason: String,
    /// Before that it takes no part after the node's start.
    pub(super) not_before: Option<Instant>,
    /// What its tracks add to its priority.
    pub(super) weights: BTreeMap<TrackName, i32>,
    pub(super) counters: RouterCounters,
    pub(super) refusals: BTreeMap<&'static str, u64>,
    /// What tells an advertisement from a recording of one.
    pub(super) sequences: Sequences,
    /// The interval in the last advertisement that was heard.
    pub(super) heard_interval: Option<Centiseconds>,
    /// Set while others are preferred, whatever their priority.
    pub(super) away: Option<Away>,
    /// The last time that it handed over.
    pub(super) hand_over: Option<HandOver>,
    /// What decides whether its addresses are on this node.
    pub(super) tenure: Tenure,
    /// The addresses that its successor has not announced yet, while it hands over or yields, each with its segment.
    pub(super) unannounced: BTreeSet<(InterfaceName, IpAddr)>,
    /// When it last lost a fight about an address.
    pub(super) fought: Option<Fought>,
    /// Set while hooks run before it hands over.
    pub(super) preparing: Option<Preparing>,
    /// Another Active, while it is heard.
    pub(super) rival: Option<Rival>,
    /// What it sends while it is Active, made once and sent many times unless it is dated.
    ready: Vec<Arc<Transmission>>,
}

/// Whether a virtual router takes part in its election.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    /// It was not started yet, or was stopped.
    Idle,
    /// It is too early to take part.
    Waiting(Wait),
    /// It cannot take part.
    Faulted(Fault),
    /// It takes part.
    Running(VirtualRouter),
}

impl Member {
    pub(super) fn new(config: Arc<VirtualRouterConfig>, group: Option<GroupName>, now: Instant) -> Self {
        Self {
            config,
            group,
            standing: Standing::Idle,
            since: now,
            reason: "not started yet".to_owned(),
            not_before: None,
            weights: BTreeMap::new(),
            counters: RouterCounters::default(),
            refusals: BTreeMap::new(),
            sequences: Sequences::default(),
            heard_interval: None,
            away: None,
            hand_over: None,
            tenure: Tenure::ByRole,
            unannounced: BTreeSet::new(),
            fought: None,
            preparing: None,
            rival: None,
            ready: Vec::new(),
        }
    }

    pub(super) fn segment(&self) -> Segment {
        Segment { interface: self.config.interface.clone(), family: self.config.family }
    }

    /// Enters the election with this source, or takes over a changed configuration or source while in it.
    pub(super) fn run(&mut self, source: IpAddr, now: Instant) -> Vec<RouterAction> {
        let parameters = self.parameters(source);
        match &mut self.standing {
            Standing::Running(machine) if *machine.parameters() == parameters => Vec::new(),
            Standing::Running(machine) => {
                machine.reconfigure(parameters, now);
                self.ready.clear();
                Vec::new()
            }
            Standing::Idle | Standing::Waiting(_) | Standing::Faulted(_) => {
                self.standing = Standing::Running(VirtualRouter::new(parameters));
                self.ready.clear();
                self.handle(RouterEvent::Startup, now)
            }
        }
    }

    /// Enters the election with this source as the Active that the process before this one was.
    pub(super) fn resume(&mut self, source: IpAddr, role: RoleLegacy, now: Instant) -> Vec<RouterAction> {
        (self.since, self.reason) = (role.since, role.reason);
        self.standing = Standing::Running(VirtualRouter::new(self.parameters(source)));
        self.ready.clear();
        self.handle(RouterEvent::Resume, now)
    }

    /// Returns what it leaves to the next process.
    pub(super) fn legacy(&self, heirs: Heirs, wall_clock: WallClock) -> RouterLegacy {
        let mut sequences = self.sequences.clone();
        let role = |machine: &VirtualRouter| {
            let last_word_at = wall_clock.at(machine.silence_limit()?);
            Some(RoleLegacy {
                since: self.since,
                reason: self.reason.clone(),
                interval: self.config.interval.duration(),
                last_will: self.last_will(machine, heirs, last_word_at, &mut sequences),
                succeeded_within: machine.succeeded_within(heirs),
            })
        };
        let role = self.machine().and_then(role);
        RouterLegacy { role, away: self.away, said: sequences.said() }
    }

    /// Tells whether there is anything in what it leaves.
    pub(super) fn leaves_anything(&self) -> bool {
        self.is_active() || self.away.is_some() || self.sequences.said().is_some()
    }

    /// Returns what hands the role over in its place, dated for the last moment at which it may be said: after all that
    /// it says itself by then.
    fn last_will(
        &self,
        machine: &VirtualRouter,
        heirs: Heirs,
        unix: Duration,
        sequences: &mut Sequences,
    ) -> Vec<Transmission> {
        let mut will = Vec::new();
        for statement in machine.hand_over(heirs) {
            let credentials = self.config.authentication.credentials(sequences, unix);
            will.extend(transmissions(&self.config, machine, statement, &credentials));
        }
        will
    }

    /// Has the state machine hear of what has changed here.
    pub(super) fn reconfigure(&mut self, now: Instant) {
        if let Standing::Running(machine) = &self.standing {
            let source = machine.parameters().source;
            let _ = self.run(source, now);
        }
    }

    /// Leaves the election; it stands as it stood until it is told otherwise.
    pub(super) fn stop(&mut self, now: Instant) -> Vec<RouterAction> {
        self.handle(RouterEvent::Shutdown, now)
    }

    /// Takes over a configuration; the state machine hears of it with [`Self::run`].
    pub(super) fn configure(&mut self, config: Arc<VirtualRouterConfig>, group: Option<GroupName>) {
        if self.config != config {
            self.ready.clear();
        }
        self.config = config;
        self.group = group;
    }

    pub(super) fn handle(&mut self, event: RouterEvent<'_>, now: Instant) -> Vec<RouterAction> {
        match &mut self.standing {
            Standing::Running(machine) => machine.handle(event, now),
            Standing::Idle | Standing::Waiting(_) | Standing::Faulted(_) => Vec::new(),
        }
    }

    pub(super) fn machine(&self) -> Option<&VirtualRouter> {
        match &self.standing {
            Standing::Running(machine) => Some(machine),
            Standing::Idle | Standing::Waiting(_) | Standing::Faulted(_) => None,
        }
    }

    pub(super) fn state(&self) -> Option<State> {
        self.machine().map(VirtualRouter::state)
    }

    pub(super) fn awaits_proof_of_hearing(&self) -> bool {
        self.machine().is_some_and(VirtualRouter::awaits_proof_of_hearing)
    }

    pub(super) fn is_active(&self) -> bool {
        matches!(self.state(), Some(State::Active { .. }))
    }

    /// Tells whether it has released the role and still serves.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.state(), Some(State::Leaving { .. }))
    }

    /// Tells whether it keeps its addresses although another node is the Active.
    pub(super) fn lingers(&self) -> bool {
        match self.tenure {
            Tenure::ByRole => false,
            Tenure::Lingering { .. } => true,
        }
    }

    /// Tells whether its addresses are to be on this node.
    pub(super) fn holds_addresses(&self) -> bool {
        self.is_active() || self.is_leaving() || self.lingers()
    }

    /// Tells whether its next deadline is its own even in a sync group.
    pub(super) fn moves_alone(&self) -> bool {
        match self.state() {
            Some(State::Active { .. } | State::Leaving { stage: HandOverStage::Claimed { .. }, .. }) => true,
            Some(
                State::Initialize
                | State::Backup { .. }
                | State::Leaving { stage: HandOverStage::Offered { .. }, .. },
            )
            | None => false,
        }
    }

    /// Returns where its addresses are announced.
    pub(super) fn announced_segments(&self) -> impl Iterator<Item = Segment> {
        self.config.all_addresses().map(|address| Segment {
            interface: self.config.segment_of(address).clone(),
            family: Family::of(address.address),
        })
    }

    /// Adds what to send for one advertisement of this statement; `unix` is the wall clock's time since 1970.
    pub(super) fn advertise(
        &mut self,
        statement: Statement,
        unix: Duration,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        let Standing::Running(machine) = &self.standing else { return };
        let send = |transmission: &Arc<Transmission>| RoutersOutput::Send(Arc::clone(transmission));
        if statement == machine.claim() && !self.ready.is_empty() {
            return outputs.extend(self.ready.iter().map(send));
        }
        let authentication = &self.config.authentication;
        let credentials = authentication.credentials(&mut self.sequences, unix);
        let transmissions = transmissions(&self.config, machine, statement, &credentials);
        let transmissions: Vec<_> = transmissions.into_iter().map(Arc::new).collect();
        outputs.extend(transmissions.iter().map(send));
        if statement == machine.claim() && !authentication.is_fresh_each_time() {
            self.ready = transmissions;
        }
    }

    pub(super) fn status(&self, now: Instant) -> RouterStatus {
        let state = match &self.standing {
            Standing::Idle | Standing::Waiting(_) => RouterState::Initialize,
            Standing::Faulted(_) => RouterState::Fault,
            Standing::Running(machine) => match machine.state() {
                State::Initialize => RouterState::Initialize,
                State::Backup { .. } => RouterState::Backup,
                State::Active { .. } => RouterState::Active,
                State::Leaving { .. } => RouterState::Leaving,
            },
        };
        RouterStatus {
            state,
            since: self.since,
            reason: self.reason(),
            priority: self.priority(),
            interface: self.config.interface.clone(),
            vrid: self.config.vrid,
            sync_group: self.group.clone(),
            addresses: self.config.all_addresses().cloned().collect(),
            accept: self.config.accept,
            routes: self.config.routes.clone(),
            rules: self.config.rules.clone(),
            counters: self.counters,
            refusals: self.refusals.clone(),
            away: self.away,
            hand_over: self.hand_over,
            active: self.machine().and_then(VirtualRouter::heard_active),
            delay: self.delay().filter(|delay| now < delay.until),
            rival: self.rival,
            asks: self.awaits_proof_of_hearing().then(|| self.segment()),
        }
    }

    fn delay(&self) -> Option<Delay> {
        let delay = |kind, until| Delay { kind, until };
        match &self.standing {
            Standing::Waiting(Wait::StartDelay) => {
                self.not_before.map(|until| delay(DelayKind::Start, until))
            }
            Standing::Running(machine) => {
                machine.lets_be_until().map(|until| delay(DelayKind::Preempt, until))
            }
            Standing::Waiting(Wait::Track { .. } | Wait::SyncGroup { .. })
            | Standing::Idle
            | Standing::Faulted(_) => None,
        }
    }

    fn reason(&self) -> String {
        let reason = &self.reason;
        if self.awaits_proof_of_hearing() {
            return format!("{reason} and heard nobody yet: it asks its neighbours");
        }
        reason.clone()
    }

    /// Returns its priority and how that comes about.
    pub(super) fn priority(&self) -> PrioritySum {
        PrioritySum { base: self.config.priority, weights: self.weights.clone() }
    }

    fn parameters(&self, source: IpAddr) -> Parameters {
        let config = &self.config;
        Parameters {
            vrid: config.vrid,
            version: config.version,
            priority: self.priority().effective(),
            interval: config.interval,
            preemption: match self.away {
                Some(Away { .. }) => Preemption::Refused,
                None => config.preemption,
            },
            restraint: config.restraint,
            source,
            addresses: config.addresses.iter().map(|address| address.address).collect(),
        }
    }
}

fn transmissions(
    config: &VirtualRouterConfig,
    machine: &VirtualRouter,
    statement: Statement,
    credentials: &Credentials<'_>,
) -> Vec<Transmission> {
    let advertisement = machine.advertisement(statement);
    let source = machine.parameters().source;
    let to = |destination| Transmission {
        interface: config.interface.clone(),
        source,
        destination,
        mac: match &config.transport {
            Transport::Multicast { .. } => config.device.as_ref().map(|device| device.mac),
            // Whose hardware address to send it to, the kernel alone finds out.
            Transport::Unicast { .. } => None,
        },
        payload: advertisement.emit_with(credentials, source, destination, config.checksum).into(),
    };
    match &config.transport {
        Transport::Multicast { .. } => vec![to(multicast_group(config.family))],
        Transport::Unicast { peers, .. } => peers.iter().copied().map(to).collect(),
    }
}
