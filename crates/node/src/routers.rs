//! Every virtual router of a node and what they need from each other.

mod announcing;
mod asking;
mod closing;
mod group;
mod handing_over;
mod hearing;
mod holding;
mod inheriting;
mod introducing;
mod lingering;
mod member;
mod pacing;
mod preparing;
mod quiet;
mod rivals;
mod source;
mod standing_together;
mod taking_part;
#[cfg(test)]
mod tests;
mod tracking;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use monotonic::Instant;
use vrrp::{MacAddress, RouterEvent};

use self::announcing::Announcing;
pub use self::asking::{Solicitation, Whom};
use self::group::Groups;
use self::holding::{Consequence, REFUSAL_PENALTY, Refused};
use self::inheriting::Inheritance;
pub use self::inheriting::Silence;
use self::member::{Member, Standing};
use self::quiet::Quiet;
use self::rivals::End;
use crate::config::{Config, InterfaceAddress, VirtualRouterConfig};
use crate::host_state::Roles;
use crate::input_drop::InputDrop;
use crate::link::{LinkEvent, LinkState};
use crate::name::{GroupName, InterfaceName, RouterName, TrackName};
use crate::reception::{Datagram, Segment};
use crate::reconciliation::{IpvsAvailability, Reconciliation};
use crate::report::Report;
use crate::status::RoutersStatus;
use crate::timers::Timers;
use crate::track::{Observation, Track, TrackConfig};
use crate::wall_clock::WallClock;

/// What can happen to the virtual routers of a node.
#[derive(Clone, Debug)]
pub enum RoutersInput<'a> {
    /// The interfaces are known: take part.
    Start,
    /// [`Routers::next_deadline`] has come, perhaps long ago.
    Deadline,
    /// A packet came in.
    Datagram(Datagram<'a>),
    /// A network interface changed.
    Link(LinkEvent),
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
    /// Somebody else announced an address to the neighbours, or answered for it.
    AddressAnnounced {
        /// Where it was announced.
        interface: InterfaceName,
        /// What was announced.
        address: IpAddr,
    },
    /// A neighbour answered this node's question, after [`RoutersOutput::Solicit`].
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
    /// The hooks that had to run before a virtual router is handed over have, after [`RoutersOutput::Prepare`].
    Prepared {
        /// Which.
        router: RouterName,
    },
    /// Hand everything over and end; at once if it was said before.
    Shutdown,
}

/// What the virtual routers of a node want done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoutersOutput {
    /// Send a packet.
    Send(Arc<Transmission>),
    /// Announce a virtual address.
    Announce(Announcement),
    /// Announce this node's own address.
    Introduce(Announcement),
    /// Ask neighbours, and tell of any answer with [`RoutersInput::AddressAnnounced`] and [`RoutersInput::NeighbourAnswered`].
    Solicit(Solicitation),
    /// [`Routers::roles`] has changed.
    RolesChanged,
    /// Tell the operator.
    Report(Report),
    /// Run the hooks that have to before a virtual router is handed over, and answer with [`RoutersInput::Prepared`].
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

/// A packet to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmission {
    /// The interface to send it through.
    pub interface: InterfaceName,
    /// Its source.
    pub source: IpAddr,
    /// Its destination.
    pub destination: IpAddr,
    /// The hardware address to send it from; the interface's own if left out.
    pub mac: Option<MacAddress>,
    /// What follows the IP header.
    pub payload: Arc<[u8]>,
}

/// Frames that tell the neighbours where a virtual address is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// What is announced.
    pub address: InterfaceAddress,
    /// The number of the interface to send through.
    pub link: u32,
    /// The whole Ethernet frame.
    pub frame: Vec<u8>,
    /// How often to send it.
    pub count: u8,
}

/// Every virtual router of a node.
#[derive(Clone, Debug)]
pub struct Routers {
    config: Arc<Config>,
    phase: Phase,
    members: BTreeMap<RouterName, Member>,
    by_vrid: BTreeMap<(Segment, u8), RouterName>,
    /// Those whose words are dated.
    dated: Vec<RouterName>,
    /// When something last happened.
    looked_at: Instant,
    groups: Groups,
    tracks: BTreeMap<TrackName, Track>,
    links: BTreeMap<InterfaceName, LinkState>,
    timers: Timers<Timer>,
    announcing: Announcing,
    refused: BTreeMap<RouterName, Refused>,
    /// Packets that should be dropped and cannot be, and why.
    accepted: BTreeMap<InputDrop, String>,
    inheritance: Inheritance,
    /// When this daemon began, or the first one whose legacy it is.
    began: Option<Instant>,
    roles: Arc<Roles>,
    roles_age: RolesAge,
    told: Quiet<(Option<RouterName>, Segment, &'static str)>,
    unknown_vrid: u64,
    ipvs: Option<IpvsAvailability>,
    wall_clock: WallClock,
}

/// Whether [`Routers::roles`] may differ from what it was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RolesAge {
    Fresh,
    Stale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Running,
    /// What was Active hands over.
    Stopping,
    Stopped,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A virtual router's own deadline.
    Router(RouterName),
    /// The moment at which every waiting member of a sync group may claim.
    Group(GroupName),
    /// The end of the patience with a kernel that refuses an address.
    Patience(RouterName),
    /// The end of the penalty for it.
    Penalty(RouterName),
    /// The end of staying away.
    Away(RouterName),
    /// The end of the time that hooks have before a hand-over.
    Preparation(RouterName),
    /// The moment at which it is asked who has addresses that stay for a winner's sake, then the end of that time.
    Lingering(RouterName),
    /// The moment from which another Active counts as silent.
    Rival(RouterName),
    /// The end of the delay after the node's start.
    Start(RouterName),
    /// The moment at which something was seen of a track for long enough.
    Track(TrackName),
    /// The moment at which neighbours are asked again.
    Question,
}

impl Routers {
    /// Returns the virtual routers of this configuration; they take no part yet.
    pub fn new(config: Arc<Config>, now: Instant) -> Self {
        let mut routers = Self {
            config: Arc::clone(&config),
            phase: Phase::Waiting,
            members: BTreeMap::new(),
            by_vrid: BTreeMap::new(),
            dated: Vec::new(),
            looked_at: now,
            groups: Groups::default(),
            tracks: BTreeMap::new(),
            links: BTreeMap::new(),
            timers: Timers::default(),
            announcing: Announcing::default(),
            refused: BTreeMap::new(),
            accepted: BTreeMap::new(),
            inheritance: Inheritance::default(),
            began: None,
            roles: Arc::default(),
            roles_age: RolesAge::Fresh,
            told: Quiet::default(),
            unknown_vrid: 0,
            ipvs: None,
            wall_clock: WallClock::default(),
        };
        routers.adopt(config, now);
        routers
    }

    /// Returns when [`RoutersInput::Deadline`] is wanted.
    pub fn next_deadline(&self) -> Option<Instant> {
        [self.timers.next(), self.announcing.next_deadline()].into_iter().flatten().min()
    }

    /// Returns which virtual routers should hold their addresses, and these: the Active ones, those that hand over, and
    /// for a moment those that have yielded.
    pub fn roles(&self) -> Arc<Roles> {
        Arc::clone(&self.roles)
    }

    /// Returns where advertisements have to be listened for.
    pub fn segments(&self) -> BTreeSet<Segment> {
        self.members.values().map(Member::segment).collect()
    }

    /// Returns where it is to be heard what neighbours announce and answer: where a virtual router waits for its
    /// successor, and where one has heard nobody yet.
    pub fn neighbour_segments(&self) -> BTreeSet<Segment> {
        let leaving = self.members.values().filter(|member| member.is_leaving() || member.lingers());
        let unproven = self.members.values().filter(|member| member.awaits_proof_of_hearing());
        leaving.flat_map(Member::announced_segments).chain(unproven.map(Member::segment)).collect()
    }

    /// Returns what an operator sees of the virtual routers.
    pub fn status(&self) -> RoutersStatus {
        let virtual_routers =
            self.members.iter().map(|(name, member)| (name.clone(), member.status(self.looked_at))).collect();
        let tracks = self.tracks.iter().map(|(name, track)| (name.clone(), track.status())).collect();
        let sync_groups = self.group_status(self.looked_at);
        RoutersStatus {
            virtual_routers,
            sync_groups,
            tracks,
            unknown_vrid: self.unknown_vrid,
            ipvs: self.ipvs.clone(),
        }
    }

    /// Takes one input and answers with what is to be done.
    #[must_use]
    pub fn handle(&mut self, input: RoutersInput<'_>, now: Instant) -> Vec<RoutersOutput> {
        self.looked_at = now;
        let mut outputs = Vec::new();
        match input {
            RoutersInput::Start => {
                self.phase = Phase::Running;
                self.roles_age = RolesAge::Stale;
                let began = *self.began.get_or_insert(now);
                self.delay_start(began);
                self.track_links(now, &mut outputs);
                self.evaluate_all(now, &mut outputs);
                self.inheritance = Inheritance::default();
            }
            RoutersInput::Deadline => self.fire(now, &mut outputs),
            RoutersInput::Datagram(datagram) => self.hear(&datagram, now, &mut outputs),
            RoutersInput::Link(event) => self.follow_link(event, now, &mut outputs),
            RoutersInput::Reconciled(reconciliation) => self.reconciled(reconciliation, now, &mut outputs),
            RoutersInput::WallClock(wall_clock) => self.wall_clock = wall_clock,
            RoutersInput::Reload(config) => self.reload(config, now, &mut outputs),
            RoutersInput::Tracked { track, config, seen } => {
                self.track(&track, &config, seen, now, &mut outputs);
            }
            RoutersInput::AddressAnnounced { interface, address } => {
                self.hear_announcement(&interface, address, now, &mut outputs);
            }
            RoutersInput::NeighbourAnswered { segment, address } => {
                self.neighbour_answered(&segment, address, now, &mut outputs);
            }
            RoutersInput::Pass { routers, until } => self.pass(&routers, until, now, &mut outputs),
            RoutersInput::Return { routers } => self.come_back(&routers, now, &mut outputs),
            RoutersInput::Prepared { router } => self.prepared(&router, now, &mut outputs),
            RoutersInput::Shutdown => self.shut_down(now, &mut outputs),
        }
        self.publish_roles(now, &mut outputs);
        outputs
    }

    fn fire(&mut self, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Router(name) => self.step(&name, RouterEvent::Deadline, now, outputs),
                Timer::Group(group) => self.fire_group(&group, now, outputs),
                Timer::Patience(name) => {
                    if let Some(refused) = self.refused.get_mut(&name) {
                        refused.consequence = Consequence::Penalty;
                    }
                    self.timers.set(Timer::Penalty(name.clone()), Some(now + REFUSAL_PENALTY));
                    self.evaluate(&name, now, outputs);
                }
                Timer::Penalty(name) => {
                    self.refused.remove(&name);
                    self.evaluate(&name, now, outputs);
                }
                Timer::Preparation(name) => self.end_preparation(&name, now, outputs),
                Timer::Away(name) => self.come_back(&BTreeSet::from([name]), now, outputs),
                Timer::Lingering(name) => self.fire_lingering(&name, now, outputs),
                Timer::Rival(name) => self.end_contest(&name, End::Silence, outputs),
                Timer::Start(name) => self.evaluate(&name, now, outputs),
                Timer::Track(name) => self.fire_track(&name, now, outputs),
                Timer::Question => self.ask_neighbours(now, outputs),
            }
        }
        // A role that was given up just now is announced no more.
        self.publish_roles(now, outputs);
        outputs.extend(self.announcing.due(&self.links, now).into_iter().map(RoutersOutput::Announce));
    }

    fn follow_link(&mut self, event: LinkEvent, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        let LinkEvent { interface, state } = event;
        let mac = state.as_ref().and_then(|state| state.mac);
        let before = match state {
            Some(state) => self.links.insert(interface.clone(), state),
            None => self.links.remove(&interface),
        };
        let touched: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| {
                member.config.interface == interface
                    || member.config.unadvertised.iter().any(|address| address.interface == interface)
            })
            .map(|(name, _)| name.clone())
            .collect();
        self.roles_age = RolesAge::Stale;
        for name in touched {
            self.evaluate(&name, now, outputs);
        }
        for track in self.tracks_of_link(&interface) {
            self.track_link(&track, now, outputs);
        }
        if mac.is_some() && before.is_some_and(|before| before.mac != mac) {
            self.follow_hardware_address(&interface, now, outputs);
        }
    }

    fn reload(&mut self, config: Arc<Config>, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        let old = Arc::clone(&self.config);
        for (name, before) in &old.virtual_routers {
            let is_same =
                config.virtual_routers.get(name).is_some_and(|after| before.is_same_election(after));
            if !is_same {
                self.stop(name, Standing::Idle, now, outputs);
                self.forget(name);
            }
        }
        self.adopt(config, now);
        self.track_links(now, outputs);
        self.evaluate_all(now, outputs);
        // A stop may have waited for one that is gone.
        self.conclude(outputs);
    }

    /// Takes over which virtual routers there are; those that stay keep where they stand.
    fn adopt(&mut self, config: Arc<Config>, now: Instant) {
        self.groups = Groups::new(&config.sync_groups);
        self.adopt_tracks(&config, now);
        self.by_vrid.clear();
        let is_dated = |router: &VirtualRouterConfig| router.authentication.is_fresh_each_time();
        let dated = config.virtual_routers.iter().filter(|(_, router)| is_dated(router));
        self.dated = dated.map(|(name, _)| name.clone()).collect();
        for (name, router) in &config.virtual_routers {
            let group = self.groups.of(name);
            let fresh = || Member::new(Arc::clone(router), group.clone(), now);
            let member = self.members.entry(name.clone()).or_insert_with(fresh);
            member.configure(Arc::clone(router), group.clone());
            self.by_vrid.insert((member.segment(), router.vrid.get()), name.clone());
        }
        for group in self.config.sync_groups.keys() {
            self.timers.set(Timer::Group(group.clone()), None);
        }
        self.announcing.set_rate(config.engine.announcement_rate);
        let routers = config.virtual_routers.values();
        self.announcing.count(routers.flat_map(|router| router.all_addresses()));
        self.roles_age = RolesAge::Stale;
        let members = &self.members;
        self.accepted.retain(|drop, _| members.values().any(|member| member.config.drops().contains(drop)));
        self.config = config;
        let names: Vec<_> = self.members.keys().cloned().collect();
        for name in names {
            self.set_timers(&name);
        }
    }

    fn forget(&mut self, name: &RouterName) {
        self.members.remove(name);
        self.refused.remove(name);
        for timer in [
            Timer::Router,
            Timer::Patience,
            Timer::Penalty,
            Timer::Away,
            Timer::Preparation,
            Timer::Lingering,
            Timer::Rival,
            Timer::Start,
        ]
        .map(|timer| timer(name.clone()))
        {
            self.timers.set(timer, None);
        }
    }
}
