//! What an Active keeps for a moment that has to yield to a better node: that one advertises before it has the addresses, and
//! meanwhile somebody should answer for them.

use monotonic::Instant;
use vrrp::SUCCESSION_TIME;

use super::handing_over::announced_by_any_heir;
use super::member::Tenure;
use super::{RolesAge, Routers, Timer};
use crate::name::RouterName;

/// The part of an interval that the winner may take to announce them: where a split heals, it has had them all along.
const PART_OF_INTERVAL: u32 = 20;

impl Routers {
    /// Has the addresses of a virtual router stay until the winner's are announced.
    pub(super) fn linger(&mut self, name: &RouterName, now: Instant) {
        let Some(member) = self.members.get_mut(name) else { return };
        member.unannounced = announced_by_any_heir(&member.config, &self.links);
        if member.unannounced.is_empty() {
            return;
        }
        member.tenure = Tenure::Lingering;
        let longest = SUCCESSION_TIME.min(member.config.interval.duration() / PART_OF_INTERVAL);
        self.timers.set(Timer::Lingering(name.clone()), Some(now + longest));
    }

    /// Leaves the addresses that lingered.
    pub(super) fn end_lingering(&mut self, name: &RouterName) {
        let Some(member) = self.members.get_mut(name) else { return };
        match std::mem::replace(&mut member.tenure, Tenure::ByRole) {
            Tenure::ByRole => {}
            Tenure::Lingering => {
                self.timers.set(Timer::Lingering(name.clone()), None);
                self.roles_age = RolesAge::Stale;
            }
        }
    }
}
