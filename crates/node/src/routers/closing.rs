//! Virtual routers that do not accept packets to their addresses, and what follows where these cannot be dropped.

use monotonic::Instant;

use super::{Routers, RoutersOutput};
use crate::fault::Fault;
use crate::input_drop::InputDrop;
use crate::name::RouterName;

impl Routers {
    /// Returns the virtual routers that have these packets dropped.
    pub(super) fn closed_by(&self, drop: &InputDrop) -> impl Iterator<Item = RouterName> {
        let closed = self.members.iter().filter(|(_, member)| member.config.drops().contains(drop));
        closed.map(|(name, _)| name.clone())
    }

    /// Takes it that packets are dropped that should be.
    pub(super) fn note_dropped(&mut self, drop: &InputDrop, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        if self.accepted.remove(drop).is_some() {
            self.evaluate_closed(drop, now, outputs);
        }
    }

    /// Takes it that packets are accepted that should be dropped.
    pub(super) fn note_accepted(
        &mut self,
        drop: &InputDrop,
        reason: &str,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        self.accepted.insert(drop.clone(), reason.to_owned());
        self.evaluate_closed(drop, now, outputs);
    }

    /// Returns what keeps a virtual router from taking its addresses. Whoever has them keeps them: traffic through them is
    /// worth more than a drop that somebody removed and that cannot be put back.
    pub(super) fn closing_fault(&self, name: &RouterName) -> Option<Fault> {
        let member = &self.members[name];
        if self.accepted.is_empty() || member.is_active() || member.is_leaving() {
            return None;
        }
        let mut reasons =
            member.config.drops().into_iter().filter_map(|drop| self.accepted.get(&drop).cloned());
        reasons.next().map(|reason| Fault::NotDropped { reason })
    }

    fn evaluate_closed(&mut self, drop: &InputDrop, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        let closed: Vec<_> = self.closed_by(drop).collect();
        for name in closed {
            self.evaluate(&name, now, outputs);
        }
    }
}
