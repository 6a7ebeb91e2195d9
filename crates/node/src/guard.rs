//! When a daemon is fenced, what that takes in which order, and how soon it is started again: what a guard decides.

mod lives;

use std::time::Duration;

use monotonic::Instant;

pub use self::lives::{Lives, Next};
use crate::legacy::Legacy;
use crate::report::FenceReason;

/// How long an engine that has no role may be silent; it speaks every second.
const SILENCE_LIMIT: Duration = Duration::from_secs(10);

/// How long a daemon may take to begin where others miss nothing meanwhile.
const START_LIMIT: Duration = Duration::from_mins(1);

/// How long a daemon is waited for when the guard itself has slept: it may have been stopped too, and wakes up as well.
const WAKING_TIME: Duration = Duration::from_millis(100);

/// How one daemon is watched.
#[derive(Clone, Copy, Debug)]
pub struct Vigil {
    stage: Stage,
    deadline: Instant,
}

/// Whether the daemon takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Beginning,
    Heard,
    /// It is overdue, but the guard found out too late: both may have been stopped.
    Waking,
}

/// What a guard does in the place of a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The daemon is killed: it does nothing more from here on, even if it was stopped.
    Kill,
    /// It is waited for until the daemon that was killed is gone.
    AwaitEnd,
    /// The operator is told how it died.
    TellOfDeath(&'static str),
    /// [`Legacy::last_will`] is said.
    SayWill,
    /// The same, and if there is one it is waited for until whoever heeds it has the addresses
    /// ([`Legacy::succeeded_within`]): nobody listens for its announcements, as in a planned hand-over.
    HandOver,
    /// The addresses are removed from the kernel.
    LeaveAddresses,
    /// The roles are no longer left to the next daemon, and the operator is told.
    Disinherit,
}

impl Vigil {
    /// Begins with a daemon that is started now and goes on with this.
    pub fn new(legacy: &Legacy, now: Instant) -> Self {
        // Half of what others wait is enough to begin, and leaves time to hand over. Without roles there is time.
        let begin_within = legacy.shortest_interval().map_or(START_LIMIT, |interval| interval * 3 / 2);
        Self { stage: Stage::Beginning, deadline: earliest(legacy, now + begin_within) }
    }

    /// Returns when [`Self::fire`] is wanted.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Hears a sign of life of the daemon, which leaves this by now.
    pub fn hear(&mut self, legacy: &Legacy, now: Instant) {
        *self = Self { stage: Stage::Heard, deadline: earliest(legacy, now + SILENCE_LIMIT) };
    }

    /// Decides about a daemon that has let the deadline pass; without a reason to fence it there is another deadline.
    pub fn fire(&mut self, legacy: &Legacy, now: Instant) -> Option<FenceReason> {
        let is_late = legacy.silence.is_some_and(|silence| silence.limit <= now);
        match self.stage {
            Stage::Heard if is_late => {
                *self = Self { stage: Stage::Waking, deadline: now + WAKING_TIME };
                None
            }
            Stage::Heard | Stage::Waking => Some(FenceReason::Silent),
            Stage::Beginning => Some(FenceReason::NotBack),
        }
    }
}

impl FenceReason {
    /// Returns what is done, in this order.
    ///
    /// One that hangs may wake up and go on as the Active: its addresses go first, and are looked for again when it is
    /// gone, since what it had asked of the kernel may be done until then. What is dead cannot, and its kernel serves
    /// until another node does.
    pub const fn measures(self) -> &'static [Measure] {
        use Measure::{AwaitEnd, Disinherit, HandOver, Kill, LeaveAddresses, SayWill, TellOfDeath};
        match self {
            Self::Silent => &[
                Kill,
                LeaveAddresses,
                SayWill,
                AwaitEnd,
                LeaveAddresses,
                TellOfDeath("it said nothing any more and was killed"),
                Disinherit,
            ],
            Self::NotBack => &[
                Kill,
                AwaitEnd,
                TellOfDeath("it did not begin in time and was killed"),
                HandOver,
                LeaveAddresses,
                Disinherit,
            ],
            Self::DiedAgain => &[HandOver, LeaveAddresses, Disinherit],
        }
    }
}

fn earliest(legacy: &Legacy, limit: Instant) -> Instant {
    legacy.silence.map_or(limit, |silence| silence.speak_by.min(limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::legacy::{RoleLegacy, RouterLegacy};
    use crate::name::RouterName;
    use crate::routers::Silence;

    fn at(milliseconds: u64) -> Instant {
        Instant::from_start(Duration::from_millis(milliseconds))
    }

    /// A role with an interval of a second that has to be heard of by 12,350 ms, and may be claimed at 12,600 ms.
    fn active() -> Legacy {
        let role = RoleLegacy {
            since: at(1),
            reason: String::new(),
            interval: Duration::from_secs(1),
            last_will: Vec::new(),
            succeeded_within: Duration::ZERO,
        };
        let web = RouterLegacy { role: Some(role), ..RouterLegacy::default() };
        Legacy {
            virtual_routers: [(RouterName::new("web").unwrap(), web)].into(),
            silence: Some(Silence { limit: at(12_600), speak_by: at(12_350) }),
            ..Legacy::default()
        }
    }

    #[test]
    fn an_active_is_silent_when_it_has_not_spoken_by_then_and_a_backup_after_ten_seconds() {
        for (legacy, deadline) in [(active(), at(12_350)), (Legacy::default(), at(20_000))] {
            let mut vigil = Vigil::new(&Legacy::default(), at(0));
            vigil.hear(&legacy, at(10_000));
            assert_eq!(vigil.deadline(), deadline);
            assert_eq!(vigil.fire(&legacy, deadline), Some(FenceReason::Silent));
        }
    }

    #[test]
    fn a_daemon_with_roles_has_one_and_a_half_intervals_to_begin_and_one_without_a_minute() {
        for (legacy, deadline) in [(active(), at(11_500)), (Legacy::default(), at(70_000))] {
            let mut vigil = Vigil::new(&legacy, at(10_000));
            assert_eq!(vigil.deadline(), deadline);
            assert_eq!(vigil.fire(&legacy, deadline), Some(FenceReason::NotBack));
        }
    }

    #[test]
    fn a_guard_that_slept_gives_its_daemon_a_moment_to_wake_up() {
        for wakes in [true, false] {
            let mut vigil = Vigil::new(&Legacy::default(), at(0));
            vigil.hear(&active(), at(10_000));
            assert_eq!(vigil.fire(&active(), at(12_600)), None);
            assert_eq!(vigil.deadline(), at(12_700));
            if wakes {
                vigil.hear(&Legacy::default(), at(12_650));
                assert_eq!(vigil.deadline(), at(22_650));
            } else {
                assert_eq!(vigil.fire(&active(), at(12_700)), Some(FenceReason::Silent));
            }
        }
    }
}
