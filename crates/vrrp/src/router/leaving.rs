//! The planned hand-over: the role is released, the addresses are held until the successor has them.

use std::net::IpAddr;
use std::time::Duration;

use monotonic::Instant;

use super::{Parameters, RouterAction, RouterEvent, State, Statement, VirtualRouter};
use crate::cause::{BecomeActiveCause, BecomeBackupCause};
use crate::identity::{Priority, Version};
use crate::timing::Centiseconds;

/// How long after a successor's first advertisement it has certainly taken the addresses, where its gratuitous ARP or
/// neighbour advertisement is not seen.
pub const SUCCESSION_TIME: Duration = Duration::from_millis(50);

/// How much longer than the skew time a successor may take to be heard.
const SUCCESSION_MARGIN: Duration = Duration::from_millis(100);

/// The interval that the last advertisements name, so that the skew time of whoever hears them is short.
const HAND_OVER_TO_ONE: Centiseconds = Centiseconds::new(1);
/// The same where several Backups have to stay apart by their skew times.
const HAND_OVER_TO_SEVERAL: Centiseconds = Centiseconds::new(10);

/// How far a hand-over is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOverStage {
    /// Nobody has claimed the role yet.
    Offered {
        /// When it is clear that nobody will.
        give_up_at: Instant,
    },
    /// A successor advertises.
    Claimed {
        /// Its address.
        by: IpAddr,
        /// When it has certainly taken the addresses.
        served_at: Instant,
    },
}

/// What a virtual router becomes when it has handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterLeaving {
    /// A Backup; the Active again when nobody takes over.
    Backup,
    /// It takes part no longer, whether somebody takes over or not.
    Initialize,
}

/// How many other nodes may take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heirs {
    /// One: whatever its priority, it may claim at once.
    One,
    /// Several, or an unknown number: they have to claim in the order of their priorities.
    Several,
}

impl VirtualRouter {
    /// Returns what it says, one after the other, to hand over.
    ///
    /// A Backup that hears a release waits for its skew time, a part of the interval that it has learnt
    /// ([RFC 9568, section 6.4.2](https://www.rfc-editor.org/rfc/rfc9568#section-6.4.2)). So an ordinary advertisement
    /// of a short interval comes before it. Version 2 knows no such thing.
    pub fn hand_over(&self, heirs: Heirs) -> Vec<Statement> {
        let interval = self.hand_over_interval(heirs);
        match self.parameters.version {
            Version::V2 => vec![self.release()],
            Version::V3 => {
                vec![Statement { interval, ..self.claim() }, Statement { interval, ..self.release() }]
            }
        }
    }

    /// Returns how long after the last of [`Self::hand_over`] a successor has certainly taken the addresses, for whoever
    /// cannot hear it.
    ///
    /// That holds for one of the lowest priority, whose skew time is the longest at the interval that was named. One that
    /// missed that interval is not waited for: where nobody did, two nodes would hold the addresses all that time.
    pub fn succeeded_within(&self, heirs: Heirs) -> Duration {
        let skew = self.hand_over_interval(heirs).skew(self.parameters.version, Priority::LOWEST);
        skew + self.succession_time()
    }

    fn hand_over_interval(&self, heirs: Heirs) -> Centiseconds {
        self.parameters.interval.min(match heirs {
            Heirs::One => HAND_OVER_TO_ONE,
            Heirs::Several => HAND_OVER_TO_SEVERAL,
        })
    }

    /// Takes one event while the role is released and the addresses are still held.
    pub(super) fn handle_leaving(
        &mut self,
        stage: HandOverStage,
        then: AfterLeaving,
        event: RouterEvent<'_>,
        now: Instant,
    ) -> Vec<RouterAction> {
        match (stage, event) {
            (_, RouterEvent::Shutdown) => self.become_initialize(),
            (_, RouterEvent::Release) => self.end_leaving(then, now),
            // Who is to end does, even if it was to go on as a Backup before.
            (stage, RouterEvent::HandOver { then: AfterLeaving::Initialize, .. }) => {
                self.state = State::Leaving { stage, then: AfterLeaving::Initialize };
                Vec::new()
            }
            (HandOverStage::Offered { .. }, RouterEvent::Heard { advertisement, from })
                if advertisement.priority != Priority::RELEASE =>
            {
                let stage = HandOverStage::Claimed { by: from, served_at: now + self.succession_time() };
                self.state = State::Leaving { stage, then };
                Vec::new()
            }
            (HandOverStage::Claimed { by, .. }, RouterEvent::AddressesAnnounced) => {
                self.be_succeeded(by, then, now)
            }
            (HandOverStage::Claimed { by, served_at }, RouterEvent::Deadline) if served_at <= now => {
                self.be_succeeded(by, then, now)
            }
            (HandOverStage::Offered { give_up_at }, RouterEvent::Deadline) if give_up_at <= now => {
                self.find_nobody(then, now)
            }
            (
                HandOverStage::Offered { .. } | HandOverStage::Claimed { .. },
                RouterEvent::Startup
                | RouterEvent::Resume
                | RouterEvent::HandOver { then: AfterLeaving::Backup, .. }
                | RouterEvent::GroupReleased { .. }
                | RouterEvent::AddressesAnnounced
                | RouterEvent::NeighbourAnswered
                | RouterEvent::Heard { .. }
                | RouterEvent::Deadline,
            ) => Vec::new(),
        }
    }

    pub(super) fn leave(&mut self, heirs: Heirs, then: AfterLeaving, now: Instant) -> Vec<RouterAction> {
        // A Backup that missed the short interval waits for the skew time of the ordinary one.
        let Parameters { version, interval, .. } = self.parameters;
        let give_up_at = now + interval.skew(version, Priority::LOWEST) + SUCCESSION_MARGIN;
        self.state = State::Leaving { stage: HandOverStage::Offered { give_up_at }, then };
        let words = self.hand_over(heirs).into_iter().map(RouterAction::Advertise);
        words.chain([RouterAction::BecameLeaving]).collect()
    }

    /// No longer than an interval: so long two may hold the addresses in any case.
    pub(super) fn succession_time(&self) -> Duration {
        SUCCESSION_TIME.min(self.parameters.interval.duration())
    }

    pub(super) fn be_succeeded(&mut self, to: IpAddr, then: AfterLeaving, now: Instant) -> Vec<RouterAction> {
        [RouterAction::HandedOver { to }].into_iter().chain(self.end_leaving(then, now)).collect()
    }

    pub(super) fn find_nobody(&mut self, then: AfterLeaving, now: Instant) -> Vec<RouterAction> {
        let mut actions = vec![RouterAction::NobodyTookOver];
        actions.append(&mut match then {
            AfterLeaving::Backup => self.become_active(BecomeActiveCause::NobodyTookOver, now),
            AfterLeaving::Initialize => self.become_initialize(),
        });
        actions
    }

    pub(super) fn end_leaving(&mut self, then: AfterLeaving, now: Instant) -> Vec<RouterAction> {
        match then {
            AfterLeaving::Backup => self.become_backup(BecomeBackupCause::Released, now),
            AfterLeaving::Initialize => self.become_initialize(),
        }
    }
}
