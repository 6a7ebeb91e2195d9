//! Which addresses this node should hold, and what becomes of what the kernel answers.

use std::sync::Arc;
use std::time::Duration;

use monotonic::Instant;
use vrrp::Priority;

use super::announcing::{Announced, Origin};
use super::member::Member;
use super::{RolesAge, Routers, RoutersOutput, Timer};
use crate::config::InterfaceAddress;
use crate::host_state::Roles;
use crate::name::RouterName;
use crate::plan::Change;
use crate::reconciliation::{IpvsAvailability, Reconciliation, Refusal, RefusalKind};
use crate::report::Report;

/// How long an Active waits for the kernel to give it an address that was refused before it gives the role up.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);

/// How long a virtual router whose address the kernel refused stays out of the election before it tries again.
pub(super) const REFUSAL_PENALTY: Duration = Duration::from_secs(30);

/// An address that the kernel refused to an Active.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) address: InterfaceAddress,
    pub(super) reason: String,
    pub(super) consequence: Consequence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consequence {
    /// The kernel may still give it.
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
        let Reconciliation { taken, left, refused, repaired, completed, ipvs, agreement: _ } = outcome;
        if !taken.is_empty() || !left.is_empty() {
            self.roles_age = RolesAge::Stale;
        }
        for address in left {
            self.announcing.is_gone(&address);
            outputs.push(RoutersOutput::Report(Report::AddressLeft { address }));
        }
        for change in repaired {
            if let Change::TakeAddress(address) = &change
                && let Some(name) = self.holder(address)
                && let Some(member) = self.members.get_mut(&name)
            {
                member.counters.addresses_restored += 1;
            }
            outputs.push(RoutersOutput::Report(Report::Repaired { change }));
        }
        for address in taken {
            outputs.push(RoutersOutput::Report(Report::AddressTaken { address: address.clone() }));
            self.announcing.stands(address.clone());
            let Some(name) = self.holder(&address) else { continue };
            if self.refused.get(&name).is_some_and(|refused| refused.address == address) {
                self.refused.remove(&name);
                self.timers.set(Timer::Patience(name.clone()), None);
            }
        }
        for refusal in refused {
            self.bear_refusal(refusal, now, outputs);
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
        if let Change::TakeAddress(address) = &change {
            if let Some(name) = self.holder(address)
                && !self.refused.contains_key(&name)
            {
                self.timers.set(Timer::Patience(name.clone()), Some(now + REFUSAL_PATIENCE));
                let (address, reason) = (address.clone(), reason.clone());
                self.refused.insert(name, Refused { address, reason, consequence: Consequence::Patience });
            }
            match kind {
                RefusalKind::Foreign => {
                    let address = address.clone();
                    return outputs.push(RoutersOutput::Report(Report::AddressForeign { address }));
                }
                RefusalKind::NoInterface | RefusalKind::Kernel => {}
            }
        }
        outputs.push(RoutersOutput::Report(Report::ChangeRefused { change, reason }));
    }

    /// Returns the Active virtual router that should hold this address.
    fn holder(&self, address: &InterfaceAddress) -> Option<RouterName> {
        let holds = |(_, addresses): &(&RouterName, &Arc<[InterfaceAddress]>)| addresses.contains(address);
        self.roles.0.iter().find(holds).map(|(name, _)| name.clone())
    }

    /// Tells what follows from the roles when they may have changed.
    pub(super) fn publish_roles(&mut self, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        if std::mem::replace(&mut self.roles_age, RolesAge::Fresh) == RolesAge::Fresh {
            return;
        }
        let holding = self.members.iter().filter(|(_, member)| member.is_active() || member.is_leaving());
        let roles = holding.map(|(name, member)| (name.clone(), self.taken_addresses(member)));
        let roles = Roles(roles.collect());
        let active = self.members.values().filter(|member| member.is_active());
        let announced: Vec<_> = active.flat_map(|member| self.announced(member)).collect();
        if roles != *self.roles {
            self.roles = Arc::new(roles);
            outputs.push(RoutersOutput::RolesChanged);
        }
        let announcements = self.announcing.follow(&announced, &self.links, now);
        outputs.extend(announcements.into_iter().map(RoutersOutput::Announce));
    }

    /// The owner's own addresses are on their interface whether Baton runs or not, and stay its own.
    fn taken_addresses(&self, member: &Member) -> Arc<[InterfaceAddress]> {
        let addresses = member.config.all_addresses();
        addresses.filter(|address| self.origin(member, address) == Origin::Taken).cloned().collect()
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
