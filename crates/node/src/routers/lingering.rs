//! What an Active keeps for a moment that has to yield to a better node: that one advertises before it has the addresses, and
//! meanwhile somebody should answer for them.

use monotonic::Instant;
use vrrp::SUCCESSION_TIME;

use super::handing_over::announced_by_any_heir;
use super::member::Tenure;
use super::{RolesAge, Routers, RoutersOutput, Timer};
use crate::name::RouterName;

/// The part of an interval that the winner may take to announce them: where a split heals, it has had them all along.
const PART_OF_INTERVAL: u32 = 20;

/// The part of that time after which it is asked whether the winner has them: it may have been so quick that it was not
/// listened to yet. Before that it may have them and have told nobody, and whoever sends to them still sends here.
const PART_BEFORE_ASKING: u32 = 5;

impl Routers {
    /// Has the addresses of a virtual router stay until the winner's are announced.
    pub(super) fn linger(&mut self, name: &RouterName, now: Instant) {
        let Some(member) = self.members.get_mut(name) else { return };
        member.unannounced = announced_by_any_heir(&member.config, &self.links);
        if member.unannounced.is_empty() {
            return;
        }
        let longest = SUCCESSION_TIME.min(member.config.interval.duration() / PART_OF_INTERVAL);
        member.tenure = Tenure::Lingering { until: now + longest };
        self.timers.set(Timer::Lingering(name.clone()), Some(now + longest / PART_BEFORE_ASKING));
    }

    /// Asks who has the addresses that linger; when that was in vain too, leaves them.
    pub(super) fn fire_lingering(
        &mut self,
        name: &RouterName,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        let Some(member) = self.members.get(name) else { return };
        match member.tenure {
            Tenure::Lingering { until } if now < until => {
                self.timers.set(Timer::Lingering(name.clone()), Some(until));
                self.ask_holders(name, outputs);
            }
            Tenure::Lingering { .. } | Tenure::ByRole => {
                self.end_lingering(name);
                self.evaluate_once_left(name, now, outputs);
            }
        }
    }

    /// Lets a virtual router take part or not, unless addresses of its sync group linger: what cannot take part any more
    /// goes on answering for them until then.
    pub(super) fn evaluate_once_left(
        &mut self,
        name: &RouterName,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        if !self.groups.together_with(name).iter().any(|name| self.members[name].lingers()) {
            self.evaluate(name, now, outputs);
        }
    }

    /// Leaves the addresses that lingered.
    pub(super) fn end_lingering(&mut self, name: &RouterName) {
        let Some(member) = self.members.get_mut(name) else { return };
        match std::mem::replace(&mut member.tenure, Tenure::ByRole) {
            Tenure::ByRole => {}
            Tenure::Lingering { .. } => {
                self.timers.set(Timer::Lingering(name.clone()), None);
                self.roles_age = RolesAge::Stale;
            }
        }
    }
}
