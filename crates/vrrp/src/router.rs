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

use std::fmt;
use std::net::IpAddr;

use monotonic::Instant;

use crate::advertisement::Advertisement;
use crate::identity::{Priority, Version, Vrid};
use crate::timing::Centiseconds;

/// Whether a Backup of higher priority takes over from an Active of lower priority.
/// [RFC 9568, section 6.1](https://www.rfc-editor.org/rfc/rfc9568#section-6.1), `Preempt_Mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preemption {
    /// It does; the RFC's default.
    Allowed,
    /// It waits until no Active is heard any more.
    Refused,
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
    /// This node's own address on the segment: the source of what it sends, and what decides between equal priorities.
    pub source: IpAddr,
    /// The addresses it advertises, in the order configured.
    pub addresses: Vec<IpAddr>,
}

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
}

/// What can happen to a virtual router.
#[derive(Clone, Copy, Debug)]
pub enum RouterEvent<'a> {
    /// It may take part from now on.
    Startup,
    /// It takes part no longer.
    Shutdown,
    /// It gives the role up and goes on as a Backup.
    Release,
    /// [`VirtualRouter::next_deadline`] has come, perhaps long ago.
    Deadline,
    /// It heard an advertisement that passed every check of
    /// [RFC 9568, section 7.1](https://www.rfc-editor.org/rfc/rfc9568#section-7.1).
    Heard {
        /// What was said.
        advertisement: &'a Advertisement,
        /// Who said it.
        from: IpAddr,
    },
}

/// Why a virtual router became Active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BecomeActiveCause {
    /// It owns the addresses.
    Owner,
    /// No Active was heard for three intervals and the skew time.
    ActiveDown,
    /// The Active said that it leaves.
    ActiveReleased,
    /// Only Actives of lower priority were heard, and it may preempt.
    Preempting,
}

/// Why a virtual router became a Backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BecomeBackupCause {
    /// It has just started.
    Started,
    /// It heard an Active of higher priority, or of the same priority with a greater address.
    Outranked {
        /// That Active's address.
        by: IpAddr,
        /// That Active's priority.
        priority: Priority,
    },
    /// It was told to give the role up.
    Released,
}

impl fmt::Display for BecomeActiveCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Owner => "it owns the addresses",
            Self::ActiveDown => "no Active was heard for three intervals and the skew time",
            Self::ActiveReleased => "the Active released the role",
            Self::Preempting => "only Actives of lower priority were heard",
        })
    }
}

impl fmt::Display for BecomeBackupCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => formatter.write_str("it has just started"),
            Self::Outranked { by, priority } => write!(formatter, "{by} is Active with priority {priority}"),
            Self::Released => formatter.write_str("it released the role"),
        }
    }
}

/// What a virtual router wants done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouterAction {
    /// Send [`VirtualRouter::advertisement`] with this priority.
    Advertise(Priority),
    /// It has become Active: take the addresses and announce them.
    BecameActive(BecomeActiveCause),
    /// It has become a Backup: leave the addresses, if it held them.
    BecameBackup(BecomeBackupCause),
    /// It has left the election: leave the addresses, if it held them.
    BecameInitialize,
    /// While Active it heard another Active that has to yield to it, or one that leaves.
    Contested {
        /// That Active's address.
        by: IpAddr,
        /// That Active's priority, [`Priority::RELEASE`] when it leaves.
        priority: Priority,
    },
}

/// One virtual router on this node.
#[derive(Clone, Debug)]
pub struct VirtualRouter {
    parameters: Parameters,
    state: State,
    /// What the Backup last heard from an Active, for the cause of a take-over.
    last_heard: LastHeard,
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
        Self { parameters, state: State::Initialize, last_heard: LastHeard::Nothing }
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
        }
    }

    /// Returns what it says with this priority.
    pub fn advertisement(&self, priority: Priority) -> Advertisement {
        let Parameters { vrid, version, interval, ref addresses, .. } = self.parameters;
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
            (State::Initialize, RouterEvent::Startup) => self.become_backup(BecomeBackupCause::Started, now),
            (
                State::Initialize,
                RouterEvent::Shutdown
                | RouterEvent::Release
                | RouterEvent::Deadline
                | RouterEvent::Heard { .. },
            ) => Vec::new(),

            // RFC 9568, section 6.4.2
            (State::Backup { .. }, RouterEvent::Shutdown) => {
                self.state = State::Initialize;
                vec![RouterAction::BecameInitialize]
            }
            (State::Backup { active_down_at, .. }, RouterEvent::Deadline) if active_down_at <= now => {
                self.become_active(self.take_over_cause(), now)
            }
            (State::Backup { learned, active_down_at }, RouterEvent::Heard { advertisement, .. }) => {
                self.hear_as_backup(advertisement, learned, active_down_at, now)
            }
            (State::Backup { .. }, RouterEvent::Startup | RouterEvent::Release | RouterEvent::Deadline) => {
                Vec::new()
            }

            // RFC 9568, section 6.4.3
            (State::Active { .. }, RouterEvent::Shutdown) => {
                self.state = State::Initialize;
                vec![RouterAction::Advertise(Priority::RELEASE), RouterAction::BecameInitialize]
            }
            (State::Active { .. }, RouterEvent::Release) => {
                let mut actions = vec![RouterAction::Advertise(Priority::RELEASE)];
                actions.append(&mut self.become_backup(BecomeBackupCause::Released, now));
                actions
            }
            (State::Active { advertise_at }, RouterEvent::Deadline) if advertise_at <= now => {
                self.state = State::Active { advertise_at: self.next_advertisement(now) };
                vec![RouterAction::Advertise(self.parameters.priority)]
            }
            (State::Active { advertise_at }, RouterEvent::Heard { advertisement, from }) => {
                self.hear_as_active(advertisement, from, advertise_at, now)
            }
            (State::Active { .. }, RouterEvent::Startup | RouterEvent::Deadline) => Vec::new(),
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
                *advertise_at = (*advertise_at).min(now.next_on_grid(self.parameters.interval.duration()));
            }
        }
    }

    fn is_owner(&self) -> bool {
        self.parameters.priority == Priority::OWNER
    }

    fn next_advertisement(&self, now: Instant) -> Instant {
        now.next_on_grid(self.parameters.interval.duration())
    }

    fn take_over_cause(&self) -> BecomeActiveCause {
        match self.last_heard {
            LastHeard::Nothing => BecomeActiveCause::ActiveDown,
            LastHeard::Release => BecomeActiveCause::ActiveReleased,
            LastHeard::Lower => BecomeActiveCause::Preempting,
        }
    }

    fn become_active(&mut self, cause: BecomeActiveCause, now: Instant) -> Vec<RouterAction> {
        self.state = State::Active { advertise_at: self.next_advertisement(now) };
        self.last_heard = LastHeard::Nothing;
        vec![RouterAction::Advertise(self.parameters.priority), RouterAction::BecameActive(cause)]
    }

    fn become_backup(&mut self, cause: BecomeBackupCause, now: Instant) -> Vec<RouterAction> {
        self.watch(self.parameters.interval, now);
        vec![RouterAction::BecameBackup(cause)]
    }

    /// Starts `Active_Down_Timer` anew for an Active of this interval.
    fn watch(&mut self, learned: Centiseconds, now: Instant) {
        let active_down_at = now + learned.active_down(self.parameters.version, self.parameters.priority);
        self.state = State::Backup { learned, active_down_at };
        self.last_heard = LastHeard::Nothing;
    }

    fn hear_as_backup(
        &mut self,
        heard: &Advertisement,
        learned: Centiseconds,
        active_down_at: Instant,
        now: Instant,
    ) -> Vec<RouterAction> {
        if heard.priority == Priority::RELEASE {
            let skew = learned.skew(self.parameters.version, self.parameters.priority);
            // A second release, or one that comes late, must not lengthen the wait.
            let active_down_at = if self.last_heard == LastHeard::Release {
                active_down_at.min(now + skew)
            } else {
                now + skew
            };
            self.state = State::Backup { learned, active_down_at };
            self.last_heard = LastHeard::Release;
        } else if self.parameters.preemption == Preemption::Refused
            || heard.priority >= self.parameters.priority
        {
            self.watch(self.learn(heard), now);
        } else {
            self.last_heard = LastHeard::Lower;
        }
        Vec::new()
    }

    fn hear_as_active(
        &mut self,
        heard: &Advertisement,
        from: IpAddr,
        advertise_at: Instant,
        now: Instant,
    ) -> Vec<RouterAction> {
        // RFC 9568, section 7.1: the owner of the addresses discards what others advertise for them.
        if self.is_owner() {
            return Vec::new();
        }
        if heard.priority == Priority::RELEASE {
            self.state = State::Active { advertise_at: self.next_advertisement(now) };
        } else if (heard.priority, from) > (self.parameters.priority, self.parameters.source) {
            self.watch(self.learn(heard), now);
            let cause = BecomeBackupCause::Outranked { by: from, priority: heard.priority };
            // Where a split heals, the winner may not know yet that neighbours were told of another Active, and tells
            // them anew when it hears of one. A node that slept past its own advertisement has nothing to say.
            let last_word =
                (now <= advertise_at).then_some(RouterAction::Advertise(self.parameters.priority));
            return last_word.into_iter().chain([RouterAction::BecameBackup(cause)]).collect();
        }
        vec![
            RouterAction::Advertise(self.parameters.priority),
            RouterAction::Contested { by: from, priority: heard.priority },
        ]
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
