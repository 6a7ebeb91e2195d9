//! Giving a role up on purpose: the successor serves before this node stops to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use monotonic::Instant;
use vrrp::{AfterLeaving, HandOverStage, Heirs, Priority, RouterEvent, State};

use super::member::{Member, Standing};
use super::preparing::Preparation;
use super::{Phase, RolesAge, Routers, RoutersOutput, Timer};
use crate::config::VirtualRouterConfig;
use crate::link::LinkState;
use crate::name::{GroupName, InterfaceName, RouterName};
use crate::report::{HandOverReason, Report};
use crate::status::{Away, HandOver, HandOverOutcome};

impl Routers {
    /// Hands over what was Active and ends the rest.
    pub(super) fn shut_down(&mut self, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        let names: Vec<_> = self.members.keys().cloned().collect();
        match self.phase {
            Phase::Waiting | Phase::Running => {
                self.phase = Phase::Stopping;
                for name in &names {
                    if self.members[name].is_active() {
                        self.hand_over(name, HandOverReason::Stop, now, outputs);
                    } else if self.members[name].is_leaving() {
                        self.end_with_the_hand_over(name, now, outputs);
                    } else {
                        self.stop(name, Standing::Idle, now, outputs);
                    }
                }
            }
            // Whoever says it again does not want to wait.
            Phase::Stopping | Phase::Stopped => {
                for name in &names {
                    self.stop(name, Standing::Idle, now, outputs);
                }
            }
        }
        self.conclude(outputs);
    }

    /// Has a virtual router that hands over take no part afterwards, whoever takes over.
    pub(super) fn end_with_the_hand_over(
        &mut self,
        name: &RouterName,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        let event = RouterEvent::HandOver { heirs: self.heirs(), then: AfterLeaving::Initialize };
        self.step(name, event, now, outputs);
    }

    /// Says that all is said, once nobody hands over any more.
    pub(super) fn conclude(&mut self, outputs: &mut Vec<RoutersOutput>) {
        let is_needed = |member: &Member| member.is_leaving() || member.preparing.is_some();
        if self.phase == Phase::Stopping && !self.members.values().any(is_needed) {
            self.phase = Phase::Stopped;
            self.roles_age = RolesAge::Stale;
            outputs.push(RoutersOutput::Exit);
        }
    }

    /// Has an Active release the role, once its hooks have run, and serve until its successor does.
    pub(super) fn hand_over(
        &mut self,
        name: &RouterName,
        reason: HandOverReason,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        match self.prepare(name, &reason, now, outputs) {
            Preparation::Needless => self.release(name, reason, now, outputs),
            Preparation::Underway => {}
        }
    }

    pub(super) fn release(
        &mut self,
        name: &RouterName,
        reason: HandOverReason,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        let then = match &reason {
            HandOverReason::Pass | HandOverReason::AddressFight => AfterLeaving::Backup,
            HandOverReason::Stop | HandOverReason::Fault(_) => AfterLeaving::Initialize,
        };
        let member = self.members.get_mut(name).expect("only members hand over");
        member.unannounced = announced_by_any_heir(&member.config, &self.links);
        member.hand_over = Some(HandOver { since: now, outcome: HandOverOutcome::Underway });
        member.reason = format!("it hands over, {reason}, and serves until its successor does");
        let event = RouterEvent::HandOver { heirs: self.heirs(), then };
        self.step(name, event, now, outputs);
        let router = name.clone();
        outputs.push(RoutersOutput::Report(Report::HandingOver { router, reason }));
    }

    pub(super) fn heirs(&self) -> Heirs {
        if self.config.peers.len() == 1 { Heirs::One } else { Heirs::Several }
    }

    pub(super) fn handed_over(
        &mut self,
        name: &RouterName,
        to: IpAddr,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        let took = self.end_hand_over(name, now, |took| HandOverOutcome::To { peer: to, took });
        let router = name.clone();
        outputs.push(RoutersOutput::Report(Report::HandedOver { router, to, took }));
    }

    pub(super) fn found_nobody(&mut self, name: &RouterName, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        self.end_hand_over(name, now, |_| HandOverOutcome::Nobody);
        outputs.push(RoutersOutput::Report(Report::NobodyTookOver { router: name.clone() }));
    }

    fn end_hand_over(
        &mut self,
        name: &RouterName,
        now: Instant,
        outcome: impl FnOnce(std::time::Duration) -> HandOverOutcome,
    ) -> std::time::Duration {
        let member = self.members.get_mut(name).expect("only members hand over");
        let since = member.hand_over.map_or(now, |hand_over| hand_over.since);
        let took = now - since;
        member.hand_over = Some(HandOver { since, outcome: outcome(took) });
        took
    }

    /// Follows up on a virtual router that has handed over and takes part no longer.
    pub(super) fn has_left(&mut self, name: &RouterName, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        match self.phase {
            Phase::Stopping | Phase::Stopped => {
                self.stop(name, Standing::Idle, now, outputs);
                self.conclude(outputs);
            }
            Phase::Waiting | Phase::Running => {
                let member = self.members.get_mut(name).expect("only members leave");
                member.standing = Standing::Idle;
                self.set_timers(name);
                self.evaluate(name, now, outputs);
            }
        }
    }

    /// Lets the members of a sync group claim together, or end together a hand-over that nobody wanted.
    pub(super) fn fire_group(&mut self, group: &GroupName, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        let members = self.groups.members(group);
        let stage = |name: &RouterName| match self.members[name].state() {
            Some(State::Leaving { stage, .. }) => Some(stage),
            Some(State::Initialize | State::Backup { .. } | State::Active { .. }) | None => None,
        };
        let offered: Vec<_> = members
            .iter()
            .filter(|name| matches!(stage(name), Some(HandOverStage::Offered { .. })))
            .cloned()
            .collect();
        let is_succeeded = |name: &RouterName| {
            matches!(stage(name), Some(HandOverStage::Claimed { .. }))
                || matches!(self.members[name].state(), Some(State::Backup { .. }))
        };
        let is_partly_succeeded = members.iter().any(is_succeeded);
        if offered.is_empty() {
            for name in &members {
                self.step(name, RouterEvent::Deadline, now, outputs);
            }
            return;
        }
        for name in &offered {
            if is_partly_succeeded {
                // A group is where a part of it was wanted, rather than in two places.
                self.found_nobody(name, now, outputs);
                self.step(name, RouterEvent::Release, now, outputs);
            } else {
                self.step(name, RouterEvent::Deadline, now, outputs);
            }
        }
    }

    /// Takes it that whoever announces the addresses of a virtual router that hands over or yields has them, once it has announced
    /// all of them: some of a family, or on another segment, may come later.
    pub(super) fn hear_announcement(
        &mut self,
        interface: &InterfaceName,
        address: IpAddr,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        let announced = (interface.clone(), address);
        let mut succeeded = Vec::new();
        for (name, member) in &mut self.members {
            let is_claimed =
                matches!(member.state(), Some(State::Leaving { stage: HandOverStage::Claimed { .. }, .. }));
            if (is_claimed || member.lingers())
                && member.unannounced.remove(&announced)
                && member.unannounced.is_empty()
            {
                succeeded.push(name.clone());
            }
        }
        for name in succeeded {
            self.end_lingering(&name);
            self.step(&name, RouterEvent::AddressesAnnounced, now, outputs);
            self.evaluate_once_left(&name, now, outputs);
        }
    }

    /// Hands virtual routers over with all that moves together with them, and prefers others from now on.
    pub(super) fn pass(
        &mut self,
        routers: &BTreeSet<RouterName>,
        until: Option<Instant>,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        self.stay_away(routers, &HandOverReason::Pass, until, now, outputs);
    }

    /// Hands virtual routers over for a reason that does not keep them from taking part, and prefers others until then.
    pub(super) fn stay_away(
        &mut self,
        routers: &BTreeSet<RouterName>,
        reason: &HandOverReason,
        until: Option<Instant>,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        for name in self.passable(routers) {
            let member = self.members.get_mut(&name).expect("only members are passed");
            member.away = Some(Away { until });
            member.reconfigure(now);
            self.timers.set(Timer::Away(name.clone()), until);
            outputs.push(RoutersOutput::Report(Report::StaysAway { router: name.clone() }));
            if self.members[&name].is_active() {
                self.hand_over(&name, reason.clone(), now, outputs);
            }
            self.set_timers(&name);
        }
    }

    /// Prefers this node as its priority says again.
    pub(super) fn come_back(
        &mut self,
        routers: &BTreeSet<RouterName>,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        for name in self.passable(routers) {
            self.end_absence(&name, now, outputs);
            self.set_timers(&name);
        }
    }

    pub(super) fn end_absence(&mut self, name: &RouterName, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        let member = self.members.get_mut(name).expect("only members were passed");
        if member.away.take().is_some() {
            member.reconfigure(now);
            self.timers.set(Timer::Away(name.clone()), None);
            self.call_off_preparation(name, now, outputs);
            outputs.push(RoutersOutput::Report(Report::ComesBack { router: name.clone() }));
        }
    }

    /// The owner's addresses are its own: it has nothing to pass.
    fn passable(&self, routers: &BTreeSet<RouterName>) -> BTreeSet<RouterName> {
        routers
            .iter()
            .flat_map(|name| self.groups.together_with(name))
            .filter(|name| {
                self.members.get(name).is_some_and(|member| member.config.priority != Priority::OWNER)
            })
            .collect()
    }
}

/// Returns what a successor of any make announces where it can be heard: a link-local address may be Baton's addition, and
/// other routers do not have it.
pub(super) fn announced_by_any_heir(
    config: &VirtualRouterConfig,
    links: &BTreeMap<InterfaceName, LinkState>,
) -> BTreeSet<(InterfaceName, IpAddr)> {
    let is_link_local = |address: IpAddr| match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    config
        .all_addresses()
        .filter(|one| !is_link_local(one.address))
        .map(|one| (config.segment_of(one), one.address))
        .filter(|(segment, _)| links.get(*segment).is_some_and(|link| link.is_up))
        .map(|(segment, address)| (segment.clone(), address))
        .collect()
}
