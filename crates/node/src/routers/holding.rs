//! Which addresses this node should hold, and what becomes of what the kernel answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use monotonic::Instant;
use vrrp::Priority;

use super::announcing::{Announced, Origin};
use super::member::Member;
use super::{Phase, RolesAge, Routers, RoutersOutput, Timer};
use crate::config::InterfaceAddress;
use crate::fight::{Course, Fight};
use crate::host_state::{Belongings, FirstWord, Roles};
use crate::name::RouterName;
use crate::plan::{Change, Step};
use crate::reconciliation::{IpvsAvailability, Reconciliation, Refusal, RefusalKind};
use crate::report::{HandOverReason, Report};
use crate::status::RouterCounters;

/// How long an Active waits for the kernel to give it an address that was refused before it gives the role up.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);

/// How long a virtual router whose address the kernel refused stays out of the election before it tries again.
pub(super) const REFUSAL_PENALTY: Duration = Duration::from_secs(30);

/// How long others are preferred after an address was fought about; each further time doubles it.
const FIGHT_ABSENCE: Duration = Duration::from_mins(1);

/// The longest time that others are preferred for that reason.
const LONGEST_FIGHT_ABSENCE: Duration = Duration::from_hours(1);

/// How long a fight counts as one of several: longer than the longest absence, so that each return that ends in another
/// fight is remembered.
const FIGHT_MEMORY: Duration = Duration::from_hours(2);

/// The last time that one of a virtual router's addresses was fought about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fought {
    at: Instant,
    /// How many times before, not long ago.
    again: u32,
}

/// Addresses that the kernel refused to a virtual router that should hold them, each with its reason; one at least.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) addresses: BTreeMap<InterfaceAddress, String>,
    pub(super) consequence: Consequence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consequence {
    /// The kernel may still give them.
    Patience,
    /// The role was given up.
    Penalty,
}

impl Routers {
    pub(super) fn reconciled(
        &mut self,
        outcome: Reconciliation,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        let Reconciliation {
            taken,
            left,
            devices,
            rerouted,
            dropped,
            refused,
            repaired,
            fights,
            completed,
            ipvs,
            agreement: _,
        } = outcome;
        if !taken.is_empty() || !left.is_empty() {
            self.roles_age = RolesAge::Stale;
        }
        for address in left {
            self.announcing.is_gone(&address);
            outputs.push(RoutersOutput::Report(Report::AddressLeft { address }));
        }
        for change in repaired {
            self.count_repair(&change);
            outputs.push(RoutersOutput::Report(Report::Repaired { change }));
        }
        for (address, said) in taken {
            outputs.push(RoutersOutput::Report(Report::AddressTaken { address: address.clone() }));
            self.announcing.stands(address.clone(), said, now);
            let Some(name) = self.holder(&address) else { continue };
            self.end_refusals(&name, |refused| *refused == address);
        }
        for change in devices {
            outputs.push(RoutersOutput::Report(Report::DeviceChanged { change }));
        }
        for change in dropped {
            if let Change::Drop(Step::Take, drop) = &change {
                self.note_dropped(drop, now, outputs);
            }
            outputs.push(RoutersOutput::Report(Report::DropsChanged { change }));
        }
        for change in rerouted {
            outputs.push(RoutersOutput::Report(Report::RoutingChanged { change }));
        }
        for refusal in refused {
            self.bear_refusal(refusal, now, outputs);
        }
        for fight in fights {
            self.bear_fight(fight, now, outputs);
        }
        for (service, destinations) in completed {
            outputs.push(RoutersOutput::Report(Report::TableComplete { service, destinations }));
        }
        if let Some(availability) = ipvs {
            outputs.push(RoutersOutput::Report(match &availability {
                IpvsAvailability::Available => Report::IpvsAvailable,
                IpvsAvailability::Unavailable { reason } => {
                    Report::IpvsUnavailable { reason: reason.clone() }
                }
            }));
            self.ipvs = Some(availability);
        }
    }

    fn bear_refusal(&mut self, refusal: Refusal, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        let Refusal { change, kind, reason } = refusal;
        if let Change::Address(Step::Take, address) = &change {
            if let Some(name) = self.holder(address) {
                self.note_refusal(&name, address.clone(), reason.clone(), now);
            }
            match kind {
                RefusalKind::Foreign => {
                    let address = address.clone();
                    return outputs.push(RoutersOutput::Report(Report::AddressForeign { address }));
                }
                RefusalKind::NoInterface | RefusalKind::Kernel => {}
            }
        }
        if let Change::Drop(Step::Take, drop) = &change {
            self.note_accepted(drop, &reason, now, outputs);
        }
        outputs.push(RoutersOutput::Report(Report::ChangeRefused { change, reason }));
    }

    fn note_refusal(&mut self, name: &RouterName, address: InterfaceAddress, reason: String, now: Instant) {
        let fresh = || Refused { addresses: BTreeMap::new(), consequence: Consequence::Patience };
        let is_first = !self.refused.contains_key(name);
        self.refused.entry(name.clone()).or_insert_with(fresh).addresses.insert(address, reason);
        if is_first && self.members[name].is_active() {
            self.begin_patience(name, now);
        }
    }

    /// Gives the kernel some time where it has refused an Active an address; it says so only once.
    pub(super) fn begin_patience(&mut self, name: &RouterName, now: Instant) {
        if self.refused.contains_key(name) {
            self.timers.set(Timer::Patience(name.clone()), Some(now + REFUSAL_PATIENCE));
        }
    }

    /// One that gives its role up does not wait for the kernel any more. It may get the role back while it holds what it
    /// has, so that what was refused stays known until then.
    pub(super) fn end_patience(&mut self, name: &RouterName) {
        self.roles_age = RolesAge::Stale;
        self.timers.set(Timer::Patience(name.clone()), None);
    }

    /// Takes it that some of the addresses of a virtual router are refused no longer.
    fn end_refusals(&mut self, name: &RouterName, is_over: impl Fn(&InterfaceAddress) -> bool) {
        let Some(refused) = self.refused.get_mut(name) else { return };
        refused.addresses.retain(|address, _| !is_over(address));
        if refused.addresses.is_empty() {
            self.refused.remove(name);
            self.timers.set(Timer::Patience(name.clone()), None);
        }
    }

    /// Forgets what the kernel refused to those that should not hold it any more.
    fn forget_refusals(&mut self) {
        let patient = self.refused.iter().filter(|(_, refused)| refused.consequence == Consequence::Patience);
        let patient: Vec<_> = patient.map(|(name, _)| name.clone()).collect();
        let roles = Arc::clone(&self.roles);
        for name in patient {
            let held = roles.held.get(&name);
            self.end_refusals(&name, |address| {
                held.is_none_or(|belongings| !belongings.addresses.contains(address))
            });
        }
    }

    /// Whoever keeps removing an address here does not do it on the other nodes: one of them serves better meanwhile. Where
    /// none does, this node goes on and puts the address back as often as its reconciler does.
    fn bear_fight(&mut self, fight: Fight, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        let Fight { address, removals, lasting, course } = fight;
        match course {
            Course::Over => {
                let report = Report::AddressFightOver { address, removals, lasting };
                return outputs.push(RoutersOutput::Report(report));
            }
            Course::Begun => {}
        }
        let holder = self.holder(&address);
        outputs.push(RoutersOutput::Report(Report::AddressFight { address, removals, lasting }));
        let Some(name) = holder else { return };
        let Some(member) = self.members.get_mut(&name) else { return };
        member.counters.address_fights += 1;
        if self.config.peers.is_empty() || !member.is_active() {
            return;
        }
        let again = member
            .fought
            .filter(|fought| now - fought.at < FIGHT_MEMORY)
            .map_or(0, |fought| fought.again + 1);
        member.fought = Some(Fought { at: now, again });
        let until = now + FIGHT_ABSENCE.saturating_mul(1 << again.min(31)).min(LONGEST_FIGHT_ABSENCE);
        self.stay_away(&BTreeSet::from([name]), &HandOverReason::AddressFight, Some(until), now, outputs);
    }

    fn count_repair(&mut self, change: &Change) {
        let (holder, counter): (_, fn(&mut RouterCounters) -> &mut u64) = match change {
            Change::Address(Step::Take, address) => {
                (self.holder(address), |counters| &mut counters.addresses_restored)
            }
            Change::Route(Step::Take, route) => {
                (self.owner(|belongings| belongings.routes.contains(route)), |counters| {
                    &mut counters.routing_restored
                })
            }
            Change::Rule(Step::Take, rule) => {
                (self.owner(|belongings| belongings.rules.contains(rule)), |counters| {
                    &mut counters.routing_restored
                })
            }
            Change::Drop(Step::Take, drop) => {
                (self.closed_by(drop).next(), |counters| &mut counters.drops_restored)
            }
            Change::Rule(Step::Leave, _)
            | Change::Drop(Step::Leave, _)
            | Change::Route(Step::Leave, _)
            | Change::Address(Step::Leave, _)
            | Change::Device(..)
            | Change::Service(_) => return,
        };
        if let Some(member) = holder.and_then(|name| self.members.get_mut(&name)) {
            *counter(&mut member.counters) += 1;
        }
    }

    /// Returns the virtual router that should hold this address: it is Active, or gives that role up and keeps what it has.
    fn holder(&self, address: &InterfaceAddress) -> Option<RouterName> {
        self.owner(|belongings| belongings.addresses.contains(address))
    }

    fn owner(&self, has_it: impl Fn(&Belongings) -> bool) -> Option<RouterName> {
        self.roles.held.iter().find(|(_, belongings)| has_it(belongings)).map(|(name, _)| name.clone())
    }

    /// Tells what follows from the roles when they may have changed.
    pub(super) fn publish_roles(&mut self, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        // Before the start it is not known which roles are taken up: what was left stays as it is.
        if self.phase == Phase::Waiting
            || std::mem::replace(&mut self.roles_age, RolesAge::Fresh) == RolesAge::Fresh
        {
            return;
        }
        let holding = self.members.iter().filter(|(_, member)| member.holds_addresses());
        let roles = holding.map(|(name, member)| (name.clone(), Arc::new(self.belongings(member))));
        let drops = match self.phase {
            Phase::Waiting | Phase::Running | Phase::Stopping => {
                self.members.values().flat_map(|member| member.config.drops()).collect()
            }
            Phase::Stopped => BTreeSet::new(),
        };
        let roles = Roles { held: roles.collect(), drops };
        let active = self.members.values().filter(|member| member.is_active());
        let announced: Vec<_> = active.flat_map(|member| self.announced(member)).collect();
        if roles != *self.roles {
            self.roles = Arc::new(roles);
            self.forget_refusals();
            outputs.push(RoutersOutput::RolesChanged);
        }
        let announcements = self.announcing.follow(&announced, &self.links, now);
        outputs.extend(announcements.into_iter().map(RoutersOutput::Announce));
    }

    /// The owner's own addresses are on their interface whether Baton runs or not, and stay its own.
    fn belongings(&self, member: &Member) -> Belongings {
        let addresses = member.config.all_addresses();
        Belongings {
            first_word: self.first_word(member),
            device: member.config.device.clone(),
            addresses: addresses
                .filter(|address| self.origin(member, address) == Origin::Taken)
                .cloned()
                .collect(),
            routes: member.config.routes.clone(),
            rules: member.config.rules.clone(),
        }
    }

    fn first_word(&self, member: &Member) -> FirstWord {
        let has_room = |address: &InterfaceAddress| self.announcing.has_room(&address.interface);
        if member.is_active() && member.config.all_addresses().all(has_room) {
            FirstWord::AtOnce
        } else {
            FirstWord::Withheld
        }
    }

    fn announced(&self, member: &Member) -> impl Iterator<Item = Announced> {
        let wanted = member.config.announcements;
        member.config.all_addresses().map(move |address| {
            let origin = self.origin(member, address);
            Announced { address: address.clone(), origin, wanted }
        })
    }

    fn origin(&self, member: &Member, address: &InterfaceAddress) -> Origin {
        let link = self.links.get(&address.interface);
        let is_there = link.is_some_and(|link| link.addresses.contains(&address.address));
        if member.config.priority == Priority::OWNER && is_there { Origin::Own } else { Origin::Taken }
    }
}
