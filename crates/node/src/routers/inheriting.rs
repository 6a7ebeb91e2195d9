//! A role that outlives its process: what is left to the next daemon, and how that one takes it up.

use std::collections::BTreeMap;

use monotonic::Instant;

use super::{Routers, RoutersOutput, Timer};
use crate::legacy::{Legacy, RoleLegacy, RouterLegacy};
use crate::name::RouterName;
use crate::report::Report;

/// The roles that were left and not taken up yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Inheritance {
    roles: BTreeMap<RouterName, RoleLegacy>,
    silence: Option<Silence>,
}

/// For how long a node that has roles may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// When others may claim a role of its, unless it advertises again before.
    pub limit: Instant,
    /// By when it has to have advertised again: just before that, with a quarter of an interval left to give the role up
    /// in an orderly way.
    pub speak_by: Instant,
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
        self.silence.is_some_and(|silence| now < silence.limit)
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
        self.inheritance.silence = legacy.silence;
        self.began = legacy.began;
    }

    /// Returns when this daemon, or the first one whose legacy it is, began; nothing before that.
    pub fn began(&self) -> Option<Instant> {
        self.began
    }

    /// Returns what each virtual router leaves, those that leave nothing left out.
    pub fn legacy(&self) -> BTreeMap<RouterName, RouterLegacy> {
        let heirs = self.heirs();
        let leaving = self.members.iter().filter(|(_, member)| member.leaves_anything());
        leaving.map(|(name, member)| (name.clone(), member.legacy(heirs, self.wall_clock))).collect()
    }

    /// Tells whether [`Self::legacy`] is another after each advertisement: words that are proven are dated.
    pub fn dates_its_legacy(&self) -> bool {
        self.dated.iter().any(|name| self.members[name].is_active())
    }

    /// Returns for how long this node may be silent; nothing while it has no role.
    pub fn silence(&self) -> Option<Silence> {
        // A node that holds nothing, which looks with every burst that it hears, has none.
        if self.roles.held.is_empty() {
            return None;
        }
        let silences = self.members.values().filter_map(|member| {
            let machine = member.machine()?;
            let limit = machine.silence_limit()?;
            let before = limit.since_start().saturating_sub(machine.parameters().interval.duration() / 4);
            Some(Silence { limit, speak_by: Instant::from_start(before) })
        });
        silences.reduce(|one, other| Silence {
            limit: one.limit.min(other.limit),
            speak_by: one.speak_by.min(other.speak_by),
        })
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
