//! A role that outlives its process: what is left to the next daemon, and how that one takes it up.

use std::collections::BTreeMap;

use monotonic::Instant;
use vrrp::VirtualRouter;

use super::member::Member;
use super::{Routers, RoutersOutput, Timer};
use crate::legacy::{Legacy, RoleLegacy, RouterLegacy};
use crate::name::RouterName;
use crate::report::Report;

/// The roles that were left and not taken up yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Inheritance {
    roles: BTreeMap<RouterName, RoleLegacy>,
    silence_limit: Option<Instant>,
}

impl Inheritance {
    /// Takes the role of a virtual router out, unless others may have claimed it by now.
    fn claim(&mut self, name: &RouterName, now: Instant) -> Option<RoleLegacy> {
        self.roles.remove(name).filter(|_| self.is_valid(now))
    }

    /// Tells whether a virtual router has a role to take up.
    pub(super) fn has(&self, name: &RouterName, now: Instant) -> bool {
        self.roles.contains_key(name) && self.is_valid(now)
    }

    fn is_valid(&self, now: Instant) -> bool {
        self.silence_limit.is_some_and(|limit| now < limit)
    }
}

impl Routers {
    /// Takes over what the daemon before this one left; has to come before [`super::RoutersInput::Start`].
    pub fn inherit(&mut self, legacy: &Legacy) {
        for (name, RouterLegacy { role, away, said }) in &legacy.virtual_routers {
            let Some(member) = self.members.get_mut(name) else { continue };
            member.away = *away;
            self.timers.set(Timer::Away(name.clone()), away.and_then(|away| away.until));
            if let Some(said) = said {
                member.sequences.go_on_after(*said);
            }
            if let Some(role) = role {
                self.inheritance.roles.insert(name.clone(), role.clone());
            }
        }
        self.inheritance.silence_limit = legacy.silence_limit;
    }

    /// Returns what each virtual router leaves, those that leave nothing left out.
    pub fn legacy(&self) -> BTreeMap<RouterName, RouterLegacy> {
        let heirs = self.heirs();
        let leaving = self.members.iter().filter(|(_, member)| member.leaves_anything());
        leaving.map(|(name, member)| (name.clone(), member.legacy(heirs, self.wall_clock))).collect()
    }

    /// Tells whether [`Self::legacy`] is another after each advertisement: words that are proven are dated.
    pub fn dates_its_legacy(&self) -> bool {
        self.members.values().any(Member::dates_its_will)
    }

    /// Returns when others may claim a role of this node, unless it advertises again before; nothing while it has none.
    pub fn silence_limit(&self) -> Option<Instant> {
        self.with_a_role().filter_map(VirtualRouter::silence_limit).min()
    }

    /// Returns by when this node has to have advertised again: just before others may claim a role, with a quarter of an
    /// interval left to give it up in an orderly way.
    pub fn speak_by(&self) -> Option<Instant> {
        let limit = |machine: &VirtualRouter| {
            let limit = machine.silence_limit()?.since_start();
            Some(Instant::from_start(limit.saturating_sub(machine.parameters().interval.duration() / 4)))
        };
        self.with_a_role().filter_map(limit).min()
    }

    /// Those that may have a role; a node that holds nothing, which looks with every burst that it hears, has none.
    fn with_a_role(&self) -> impl Iterator<Item = &VirtualRouter> {
        let members = (!self.roles.held.is_empty()).then(|| self.members.values());
        members.into_iter().flatten().filter_map(Member::machine)
    }

    /// Lets a virtual router take up the role that was left to it; tells whether it did.
    pub(super) fn take_up(
        &mut self,
        name: &RouterName,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) -> Option<RoleLegacy> {
        let role = self.inheritance.claim(name, now)?;
        outputs.push(RoutersOutput::Report(Report::RoleAdopted { router: name.clone() }));
        Some(role)
    }
}
