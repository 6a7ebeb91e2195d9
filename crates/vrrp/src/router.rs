//! The state machine of one virtual router:
//! [RFC 9568, section 6.4](https://www.rfc-editor.org/rfc/rfc9568#section-6.4).
//!
//! ```text
//!                      +---------------+
//!           +--------->|               |<-------------+
//!           |          |  Initialize   |              |
//!           |   +------|               |----------+   |
//!           |   |      +---------------+          |   |
//!           |   |                                 |   |
//!           |   V                                 V   |
//!   +---------------+                       +---------------+
//!   |               |---------------------->|               |
//!   |    Active     |                       |    Backup     |
//!   |               |<----------------------|               |
//!   +---------------+                       +---------------+
//! ```
//!
//! An Active that hands over is, until its successor serves, in a fourth state of ours: it has released the role and
//! advertises no more, but still holds the addresses.

mod event;
mod leaving;
mod parameters;

use std::net::IpAddr;

use monotonic::Instant;

pub use self::event::{RouterAction, RouterEvent, Statement};
pub use self::leaving::{AfterLeaving, HandOverStage, Heirs, SUCCESSION_TIME};
pub use self::parameters::{Parameters, Preemption, Restraint};
use crate::advertisement::Advertisement;
use crate::cause::{BecomeActiveCause, BecomeBackupCause};
use crate::identity::{Priority, Version};
use crate::timing::Centiseconds;

/// Where a virtual router stands; each timer exists exactly when its state does.
/// [RFC 9568, section 6.4](https://www.rfc-editor.org/rfc/rfc9568#section-6.4)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It takes no part.
    Initialize,
    /// It watches the Active.
    Backup {
        /// `Active_Adver_Interval`: the Active's interval as last heard, ours until then.
        learned: Centiseconds,
        /// `Active_Down_Timer`: when it claims unless it hears an Active.
        active_down_at: Instant,
    },
    /// It holds the addresses and advertises.
    Active {
        /// `Adver_Timer`: when it advertises next.
        advertise_at: Instant,
    },
    /// It has released the role and goes on serving until its successor does.
    Leaving {
        /// How far the hand-over is.
        stage: HandOverStage,
        /// What it becomes afterwards.
        then: AfterLeaving,
    },
}

/// One virtual router on this node.
#[derive(Clone, Debug)]
pub struct VirtualRouter {
    parameters: Parameters,
    state: State,
    /// What the Backup last heard from an Active, for the cause of a take-over.
    last_heard: LastHeard,
    /// Whom the Backup heard advertise last: the one whose release frees the role.
    active: Option<HeardActive>,
    hearing: Hearing,
    /// Since when the Backup has heard nobody but Actives of lower priority that it may preempt.
    lower_since: Option<Instant>,
}

/// An Active that a Backup has heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeardActive {
    /// Where it advertises from.
    pub address: IpAddr,
    /// The priority it advertised last.
    pub priority: Priority,
}

/// Whether a Backup that must not preempt may take silence for the absence of an Active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hearing {
    /// It has heard nobody since it came up, and may be deaf.
    Unproven,
    Proven,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastHeard {
    Nothing,
    Release,
    Lower,
}

impl VirtualRouter {
    /// Returns a virtual router that takes no part yet.
    pub fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            state: State::Initialize,
            last_heard: LastHeard::Nothing,
            active: None,
            hearing: Hearing::Proven,
            lower_since: None,
        }
    }

    /// Returns what it is configured with.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Returns where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns when it wants [`RouterEvent::Deadline`].
    pub fn next_deadline(&self) -> Option<Instant> {
        match self.state {
            State::Initialize => None,
            State::Backup { active_down_at, .. } => Some(active_down_at),
            State::Active { advertise_at } => Some(advertise_at),
            State::Leaving { stage: HandOverStage::Offered { give_up_at }, .. } => Some(give_up_at),
            State::Leaving { stage: HandOverStage::Claimed { served_at, .. }, .. } => Some(served_at),
        }
    }

    /// Returns the Active that a Backup has heard last, if any.
    pub fn heard_active(&self) -> Option<HeardActive> {
        match self.state {
            State::Backup { .. } => self.active,
            State::Initialize | State::Active { .. } | State::Leaving { .. } => None,
        }
    }

    /// Returns until when a Backup lets an Active of lower priority be, if it hears one.
    pub fn lets_be_until(&self) -> Option<Instant> {
        match self.state {
            State::Backup { .. } => {
                self.lower_since.map(|since| since + self.parameters.restraint.before_preempting)
            }
            State::Initialize | State::Active { .. } | State::Leaving { .. } => None,
        }
    }

    /// Returns how long it may be silent: others may claim its role from then on. Nothing while it has none.
    ///
    /// That is three intervals after its last advertisement; the skew time, which differs from node to node, is left out.
    pub fn silence_limit(&self) -> Option<Instant> {
        match self.state {
            State::Active { advertise_at } => Some(advertise_at + 2 * self.parameters.interval.duration()),
            State::Initialize | State::Backup { .. } | State::Leaving { .. } => None,
        }
    }

    /// Tells whether it holds back until somebody proves to it that it can hear.
    pub fn awaits_proof_of_hearing(&self) -> bool {
        match (self.state, self.hearing) {
            (State::Backup { .. }, Hearing::Unproven) => true,
            (State::Backup { .. }, Hearing::Proven)
            | (State::Initialize | State::Active { .. } | State::Leaving { .. }, _) => false,
        }
    }

    /// Tells whether the role is free once that node releases it: not if another has been heard to be the Active since,
    /// as where the Active of one link is outranked on another and only then yields with its whole sync group.
    ///
    /// A release says that "the current Active Router has stopped participating"
    /// ([RFC 9568, section 5.2.4](https://www.rfc-editor.org/rfc/rfc9568#section-5.2.4)).
    pub fn is_freed_by(&self, from: IpAddr) -> bool {
        self.active.is_none_or(|active| active.address == from)
    }

    /// Returns what it says as the Active.
    pub fn claim(&self) -> Statement {
        Statement { priority: self.parameters.priority, interval: self.parameters.interval }
    }

    /// Returns what it says when it leaves without waiting for a successor.
    pub fn release(&self) -> Statement {
        Statement { priority: Priority::RELEASE, interval: self.parameters.interval }
    }

    /// Returns the advertisement of a statement.
    pub fn advertisement(&self, statement: Statement) -> Advertisement {
        let Statement { priority, interval } = statement;
        let Parameters { vrid, version, ref addresses, .. } = self.parameters;
        Advertisement { version, vrid, priority, interval, addresses: addresses.clone() }
    }

    /// Takes one event and answers with what is to be done.
    #[must_use]
    pub fn handle(&mut self, event: RouterEvent<'_>, now: Instant) -> Vec<RouterAction> {
        match (self.state, event) {
            // RFC 9568, section 6.4.1
            (State::Initialize, RouterEvent::Startup) if self.is_owner() => {
                self.become_active(BecomeActiveCause::Owner, now)
            }
            (State::Initialize, RouterEvent::Startup) => self.start_as_backup(now),
            (State::Initialize, RouterEvent::Resume) => self.resume(now),
            (
                State::Initialize,
                RouterEvent::Shutdown
                | RouterEvent::Release
                | RouterEvent::HandOver { .. }
                | RouterEvent::GroupReleased { .. }
                | RouterEvent::AddressesAnnounced
                | RouterEvent::NeighbourAnswered
                | RouterEvent::Deadline
                | RouterEvent::Heard { .. },
            ) => Vec::new(),

            // RFC 9568, section 6.4.2
            (
                State::Backup { .. },
                RouterEvent::Shutdown | RouterEvent::HandOver { then: AfterLeaving::Initialize, .. },
            ) => self.become_initialize(),
            (State::Backup { active_down_at, .. }, RouterEvent::Deadline) if active_down_at <= now => {
                self.become_active(self.take_over_cause(), now)
            }
            (State::Backup { learned, active_down_at }, RouterEvent::Heard { advertisement, from }) => {
                self.hear_as_backup(advertisement, from, learned, active_down_at, now)
            }
            (State::Backup { learned, active_down_at }, RouterEvent::GroupReleased { interval }) => {
                self.hear_release(learned, learned.min(interval), active_down_at, now);
                Vec::new()
            }
            // An Active would be heard from now on, within the time that it takes to miss it.
            (State::Backup { learned, active_down_at }, RouterEvent::NeighbourAnswered)
                if self.awaits_proof_of_hearing() =>
            {
                self.watch_until(active_down_at, learned, now);
                Vec::new()
            }
            (
                State::Backup { .. },
                RouterEvent::Startup
                | RouterEvent::Resume
                | RouterEvent::NeighbourAnswered
                | RouterEvent::Release
                | RouterEvent::HandOver { then: AfterLeaving::Backup, .. }
                | RouterEvent::AddressesAnnounced
                | RouterEvent::Deadline,
            ) => Vec::new(),

            // RFC 9568, section 6.4.3
            (State::Active { .. }, RouterEvent::Shutdown) => {
                let release = RouterAction::Advertise(self.release());
                [release].into_iter().chain(self.become_initialize()).collect()
            }
            (State::Active { .. }, RouterEvent::Release) => self.give_up(now),
            (State::Active { .. }, RouterEvent::HandOver { heirs, then }) => self.leave(heirs, then, now),
            (State::Active { advertise_at }, RouterEvent::Deadline) if advertise_at <= now => {
                self.state = State::Active { advertise_at: self.next_advertisement(now) };
                vec![RouterAction::Advertise(self.claim())]
            }
            (State::Active { advertise_at }, RouterEvent::Heard { advertisement, from }) => {
                self.hear_as_active(advertisement, from, advertise_at, now)
            }
            (
                State::Active { .. },
                RouterEvent::Startup
                | RouterEvent::Resume
                | RouterEvent::GroupReleased { .. }
                | RouterEvent::AddressesAnnounced
                | RouterEvent::NeighbourAnswered
                | RouterEvent::Deadline,
            ) => Vec::new(),

            // Ours: the role is released, the addresses are still held.
            (State::Leaving { stage, then }, event) => self.handle_leaving(stage, then, event, now),
        }
    }

    /// Takes over a changed configuration of the same virtual router without leaving its state.
    ///
    /// A Backup's running timer moves by the difference of the two skew times; an Active whose interval became shorter
    /// advertises that much earlier.
    pub fn reconfigure(&mut self, parameters: Parameters, now: Instant) {
        let before = std::mem::replace(&mut self.parameters, parameters);
        match &mut self.state {
            State::Initialize => {}
            State::Backup { learned, active_down_at } => {
                if *learned == before.interval {
                    *learned = self.parameters.interval;
                }
                let old_skew = learned.skew(before.version, before.priority);
                let new_skew = learned.skew(self.parameters.version, self.parameters.priority);
                *active_down_at = *active_down_at + new_skew;
                *active_down_at = Instant::from_start(active_down_at.since_start().saturating_sub(old_skew));
            }
            State::Active { advertise_at } => {
                *advertise_at = (*advertise_at).min(self.parameters.next_advertisement(now));
            }
            State::Leaving { .. } => {}
        }
    }

    fn is_owner(&self) -> bool {
        self.parameters.priority == Priority::OWNER
    }

    fn next_advertisement(&self, now: Instant) -> Instant {
        self.parameters.next_advertisement(now)
    }

    fn take_over_cause(&self) -> BecomeActiveCause {
        match self.last_heard {
            LastHeard::Nothing => BecomeActiveCause::ActiveDown,
            LastHeard::Release => BecomeActiveCause::ActiveReleased,
            LastHeard::Lower => BecomeActiveCause::Preempting,
        }
    }

    /// Tells whether it was silent for so long that another may be Active by now.
    fn has_overslept(&self, now: Instant) -> bool {
        self.silence_limit().is_some_and(|limit| limit <= now)
    }

    /// Becomes a Backup, and says so where that is news.
    fn give_up(&mut self, now: Instant) -> Vec<RouterAction> {
        let release = (!self.has_overslept(now)).then_some(RouterAction::Advertise(self.release()));
        release.into_iter().chain(self.become_backup(BecomeBackupCause::Released, now)).collect()
    }

    fn resume(&mut self, now: Instant) -> Vec<RouterAction> {
        self.state = State::Active { advertise_at: self.next_advertisement(now) };
        vec![RouterAction::Advertise(self.claim()), RouterAction::Resumed]
    }

    fn become_active(&mut self, cause: BecomeActiveCause, now: Instant) -> Vec<RouterAction> {
        self.state = State::Active { advertise_at: self.next_advertisement(now) };
        self.last_heard = LastHeard::Nothing;
        self.active = None;
        vec![RouterAction::Advertise(self.claim()), RouterAction::BecameActive(cause)]
    }

    fn become_backup(&mut self, cause: BecomeBackupCause, now: Instant) -> Vec<RouterAction> {
        self.watch(self.parameters.interval, now);
        vec![RouterAction::BecameBackup(cause)]
    }

    /// One that must not preempt has to have heard somebody first, or to have listened for long.
    fn start_as_backup(&mut self, now: Instant) -> Vec<RouterAction> {
        let actions = self.become_backup(BecomeBackupCause::Started, now);
        match (&mut self.state, self.parameters.preemption) {
            (State::Backup { active_down_at, .. }, Preemption::Refused) => {
                let unheard_at = now + self.parameters.restraint.unheard;
                if *active_down_at < unheard_at {
                    *active_down_at = unheard_at;
                    self.hearing = Hearing::Unproven;
                }
            }
            (
                State::Initialize | State::Backup { .. } | State::Active { .. } | State::Leaving { .. },
                Preemption::Allowed | Preemption::Refused,
            ) => {}
        }
        actions
    }

    fn become_initialize(&mut self) -> Vec<RouterAction> {
        self.state = State::Initialize;
        vec![RouterAction::BecameInitialize]
    }

    /// Starts `Active_Down_Timer` anew for an Active of this interval.
    fn watch(&mut self, learned: Centiseconds, now: Instant) {
        let active_down_at = now + learned.active_down(self.parameters.version, self.parameters.priority);
        self.state = State::Backup { learned, active_down_at };
        self.last_heard = LastHeard::Nothing;
        self.active = None;
        self.hearing = Hearing::Proven;
        self.lower_since = None;
    }

    /// Does so for the Active that was just heard.
    fn follow(&mut self, heard: &Advertisement, from: IpAddr, now: Instant) {
        self.watch(self.learn(heard), now);
        self.active = Some(HeardActive { address: from, priority: heard.priority });
    }

    /// Starts the timer anew, but for no longer than it would have waited anyway.
    fn watch_until(&mut self, limit: Instant, learned: Centiseconds, now: Instant) {
        self.watch(learned, now);
        if let State::Backup { active_down_at, .. } = &mut self.state {
            *active_down_at = limit.min(*active_down_at);
        }
    }

    fn hear_as_backup(
        &mut self,
        heard: &Advertisement,
        from: IpAddr,
        learned: Centiseconds,
        active_down_at: Instant,
        now: Instant,
    ) -> Vec<RouterAction> {
        if heard.priority == Priority::RELEASE {
            if self.is_freed_by(from) {
                self.hear_release(learned, learned, active_down_at, now);
            }
            return Vec::new();
        }
        if self.parameters.preemption == Preemption::Refused || heard.priority >= self.parameters.priority {
            self.follow(heard, from, now);
        } else {
            let since = self.lower_since.unwrap_or(now);
            if now - since < self.parameters.restraint.before_preempting {
                self.follow(heard, from, now);
            } else {
                self.last_heard = LastHeard::Lower;
                self.active = Some(HeardActive { address: from, priority: heard.priority });
            }
            self.lower_since = Some(since);
        }
        Vec::new()
    }

    fn hear_release(
        &mut self,
        learned: Centiseconds,
        interval: Centiseconds,
        active_down_at: Instant,
        now: Instant,
    ) {
        let claim_at = now + interval.skew(self.parameters.version, self.parameters.priority);
        // A second release, or one that comes late, must not lengthen the wait.
        let active_down_at =
            if self.last_heard == LastHeard::Release { active_down_at.min(claim_at) } else { claim_at };
        self.state = State::Backup { learned, active_down_at };
        self.last_heard = LastHeard::Release;
        self.hearing = Hearing::Proven;
    }

    fn hear_as_active(
        &mut self,
        heard: &Advertisement,
        from: IpAddr,
        advertise_at: Instant,
        now: Instant,
    ) -> Vec<RouterAction> {
        let contested = RouterAction::Contested { by: from, priority: heard.priority };
        // RFC 9568, section 7.1: the owner of the addresses discards what others advertise for them. That they do is news
        // all the same: the neighbours may think that the addresses are there.
        if self.is_owner() {
            return vec![contested];
        }
        if heard.priority == Priority::RELEASE {
            self.state = State::Active { advertise_at: self.next_advertisement(now) };
        } else if (heard.priority, from) > (self.parameters.priority, self.parameters.source) {
            self.follow(heard, from, now);
            let cause = BecomeBackupCause::Outranked { by: from, priority: heard.priority };
            // Where a split heals, the winner may not know yet that neighbours were told of another Active, and tells
            // them anew when it hears of one. A node that slept for longer than an interval has nothing to say; one that
            // is only late does, since the winner's advertisement may fall due at the same moment as its own.
            let is_awake = now <= advertise_at + self.parameters.interval.duration();
            if !is_awake {
                return vec![RouterAction::BecameBackup(cause)];
            }
            let last_word = RouterAction::Advertise(self.claim());
            return vec![last_word, RouterAction::BecameBackup(cause), RouterAction::Linger];
        } else if self.has_overslept(now) {
            // To say a word now would take the role from a successor that serves. By its priority it may do so later.
            self.follow(heard, from, now);
            let cause = BecomeBackupCause::Overslept { by: from, priority: heard.priority };
            return vec![RouterAction::BecameBackup(cause)];
        }
        vec![RouterAction::Advertise(self.claim()), contested]
    }

    /// Version 2 carries no interval to learn: one that differs was refused before it came here.
    fn learn(&self, heard: &Advertisement) -> Centiseconds {
        match self.parameters.version {
            Version::V2 => self.parameters.interval,
            Version::V3 => heard.interval,
        }
    }
}

#[cfg(test)]
mod tests;
