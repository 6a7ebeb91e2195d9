//! Who takes part in its election, and what follows from what the state machines ask for.

use std::net::IpAddr;
use std::sync::Arc;

use monotonic::Instant;
use vrrp::{BecomeBackupCause, RouterAction, RouterEvent, State};

use super::member::{Member, Standing, Tenure};
use super::rivals::End;
use super::{Consequence, Phase, Refused, RolesAge, Routers, RoutersOutput, Timer, source};
use crate::fault::{Fault, Obstacle, Voice, Wait};
use crate::name::RouterName;
use crate::report::{HandOverReason, Report};

impl Routers {
    pub(super) fn evaluate_all(&mut self, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        let names: Vec<_> = self.members.keys().cloned().collect();
        for name in names {
            self.evaluate(&name, now, outputs);
        }
    }

    /// Lets a virtual router take part or not, as its interfaces and its sync group allow.
    pub(super) fn evaluate(&mut self, name: &RouterName, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        match self.phase {
            Phase::Running => {}
            Phase::Stopping => return self.hurry(name, now, outputs),
            Phase::Waiting | Phase::Stopped => return,
        }
        let together = self.groups.together_with(name);
        for name in &together {
            self.weigh(name, outputs);
        }
        let together: Vec<_> = together.into_iter().map(|name| (self.fitness(&name, now), name)).collect();
        let faulted = together.iter().find(|(fitness, _)| matches!(fitness, Err(Obstacle::Fault(_))));
        let faulted = faulted.map(|(_, name)| name.clone());
        let waiting = together.iter().find(|(fitness, _)| matches!(fitness, Err(Obstacle::Wait(_))));
        let waiting = waiting.map(|(_, name)| name.clone());
        for (fitness, name) in together {
            match (fitness, &faulted, &waiting) {
                (Err(Obstacle::Fault(fault)), _, _) => self.fault(&name, fault, now, outputs),
                (Ok(_) | Err(Obstacle::Wait(_)), Some(member), _) => {
                    self.fault(&name, Fault::SyncGroup { member: member.clone() }, now, outputs);
                }
                (Err(Obstacle::Wait(wait)), None, _) => self.wait(&name, wait, now, outputs),
                (Ok(source), None, Some(member)) => match self.members[&name].standing {
                    Standing::Running(_) => self.run(&name, source, now, outputs),
                    Standing::Idle | Standing::Waiting(_) | Standing::Faulted(_) => {
                        self.wait(&name, Wait::SyncGroup { member: member.clone() }, now, outputs);
                    }
                },
                (Ok(source), None, None) => self.run(&name, source, now, outputs),
            }
        }
    }

    /// Returns the address that a virtual router can advertise from, or what keeps it from taking part.
    fn fitness(&self, name: &RouterName, now: Instant) -> Result<IpAddr, Obstacle> {
        let source = self.usable_source(name).map_err(Obstacle::Fault)?;
        if let Some(fault) = self.closing_fault(name).or_else(|| self.track_fault(name)) {
            return Err(Obstacle::Fault(fault));
        }
        match self.members[name].standing {
            // What is not known yet takes no role away.
            Standing::Running(_) => Ok(source),
            Standing::Idle | Standing::Waiting(_) | Standing::Faulted(_) => {
                let wait = self.start_wait(name, now).or_else(|| self.track_wait(name));
                match wait {
                    Some(wait) if !self.inheritance.has(name, now) => Err(Obstacle::Wait(wait)),
                    Some(_) | None => Ok(source),
                }
            }
        }
    }

    fn start_wait(&self, name: &RouterName, now: Instant) -> Option<Wait> {
        let is_early = self.members[name].not_before.is_some_and(|moment| now < moment);
        is_early.then_some(Wait::StartDelay)
    }

    pub(super) fn usable_source(&self, name: &RouterName) -> Result<IpAddr, Fault> {
        // First what leaves it without a voice, whatever else is wrong.
        let source = source::usable_source(&self.members[name].config, &self.links)?;
        match self.refused.get(name) {
            Some(Refused { addresses, consequence: Consequence::Penalty }) => {
                let (address, reason) = addresses.first_key_value().expect("one at least was refused");
                Err(Fault::AddressRefused { address: address.clone(), reason: reason.clone() })
            }
            Some(Refused { consequence: Consequence::Patience, .. }) | None => Ok(source),
        }
    }

    fn run(&mut self, name: &RouterName, source: IpAddr, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        let member = self.member_mut(name);
        if let Standing::Faulted(_) = member.standing {
            outputs.push(RoutersOutput::Report(Report::RouterRecovered { router: name.clone() }));
        }
        let was_there = match &member.standing {
            Standing::Running(machine) => machine.parameters().source == source,
            Standing::Idle | Standing::Waiting(_) | Standing::Faulted(_) => false,
        };
        let actions = match self.take_up(name, now, outputs) {
            Some(role) => self.member_mut(name).resume(source, role, now),
            None => self.member_mut(name).run(source, now),
        };
        if !was_there {
            self.introduce(name, outputs);
        }
        self.follow_up(name, actions, now, outputs);
    }

    /// Has every virtual router with a start delay wait for its end, which may have passed when another daemon ran.
    pub(super) fn delay_start(&mut self, began: Instant) {
        for (name, member) in &mut self.members {
            let delay = member.config.start_delay;
            if !delay.is_zero() {
                member.not_before = Some(began + delay);
                self.timers.set(Timer::Start(name.clone()), member.not_before);
            }
        }
    }

    fn member_mut(&mut self, name: &RouterName) -> &mut Member {
        self.members.get_mut(name).expect("only members take part")
    }

    fn wait(&mut self, name: &RouterName, wait: Wait, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        let member = self.member_mut(name);
        match &member.standing {
            Standing::Waiting(standing) if *standing == wait => return,
            Standing::Faulted(_) => {
                outputs.push(RoutersOutput::Report(Report::RouterRecovered { router: name.clone() }));
            }
            Standing::Idle | Standing::Waiting(_) | Standing::Running(_) => {}
        }
        (member.since, member.reason) = (now, wait.to_string());
        member.standing = Standing::Waiting(wait);
        self.set_timers(name);
    }

    fn fault(&mut self, name: &RouterName, fault: Fault, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        let member = self.members.get_mut(name).expect("only members are evaluated");
        if matches!(&member.standing, Standing::Faulted(standing) if *standing == fault) {
            return;
        }
        match fault.voice() {
            Voice::Kept if member.is_leaving() => return self.end_with_the_hand_over(name, now, outputs),
            Voice::Kept if member.is_active() => {
                return self.hand_over(name, HandOverReason::Fault(fault), now, outputs);
            }
            Voice::Kept | Voice::Lost => {}
        }
        (member.since, member.reason) = (now, fault.to_string());
        outputs.push(RoutersOutput::Report(Report::RouterFaulted {
            router: name.clone(),
            fault: fault.clone(),
        }));
        self.stop(name, Standing::Faulted(fault), now, outputs);
    }

    /// Lets one event come to a virtual router and follows up on all that it brings about.
    pub(super) fn step(
        &mut self,
        name: &RouterName,
        event: RouterEvent<'_>,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        let Some(member) = self.members.get_mut(name) else { return };
        let actions = member.handle(event, now);
        self.follow_up(name, actions, now, outputs);
        let member = &self.members[name];
        let is_preparing = member.preparing.is_some();
        if matches!(member.state(), Some(State::Initialize)) {
            self.has_left(name, now, outputs);
        }
        if is_preparing {
            self.give_up_preparation(name, now, outputs);
        }
    }

    pub(super) fn stop(
        &mut self,
        name: &RouterName,
        standing: Standing,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        let Some(member) = self.members.get_mut(name) else { return };
        member.preparing = None;
        self.timers.set(Timer::Preparation(name.clone()), None);
        // The last words are those of the configuration and source that it spoke with until now.
        let actions = member.stop(now);
        self.follow_up(name, actions, now, outputs);
        let member = self.members.get_mut(name).expect("a member that stops stays one");
        match (&member.standing, &standing) {
            (Standing::Running(_) | Standing::Faulted(_), Standing::Idle) => {
                (member.since, member.reason) = (now, "stopped".to_owned());
                outputs.push(RoutersOutput::Report(Report::RouterStopped { router: name.clone() }));
            }
            (Standing::Waiting(_), Standing::Idle) => {
                (member.since, member.reason) = (now, "stopped".to_owned());
            }
            (Standing::Idle, _) | (_, Standing::Running(_) | Standing::Waiting(_) | Standing::Faulted(_)) => {
            }
        }
        member.standing = standing;
        self.set_timers(name);
    }

    fn follow_up(
        &mut self,
        name: &RouterName,
        actions: Vec<RouterAction>,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        let mut yields = false;
        for action in actions {
            let member = self.members.get_mut(name).expect("only members act");
            match action {
                RouterAction::Advertise(statement) => {
                    member.counters.advertisements_sent += 1;
                    let before = outputs.len();
                    member.advertise(statement, self.wall_clock.at(now), outputs);
                    for output in &mut outputs[before..] {
                        let RoutersOutput::Send(transmission) = output else { continue };
                        // A switch would send here at once what is not answered yet.
                        if transmission.mac.is_some() && !self.announcing.stand_on_device(&member.config) {
                            Arc::make_mut(transmission).mac = None;
                        }
                    }
                }
                RouterAction::BecameActive(cause) => {
                    self.roles_age = RolesAge::Stale;
                    member.tenure = Tenure::ByRole;
                    (member.since, member.reason) = (now, cause.to_string());
                    member.counters.became_active += 1;
                    outputs.push(RoutersOutput::Report(Report::BecameActive { router: name.clone(), cause }));
                    self.end_absence(name, now, outputs);
                    self.begin_patience(name, now);
                }
                // Since when it is Active, and why, was left to it.
                RouterAction::Resumed => self.roles_age = RolesAge::Stale,
                RouterAction::BecameBackup(cause) => {
                    (member.since, member.reason) = (now, cause.to_string());
                    if member.awaits_proof_of_hearing() {
                        self.timers.set(Timer::Question, Some(now));
                    }
                    yields |= match cause {
                        BecomeBackupCause::Outranked { .. } | BecomeBackupCause::Overslept { .. } => true,
                        BecomeBackupCause::Started | BecomeBackupCause::Released => false,
                    };
                    self.end_patience(name);
                    outputs.push(RoutersOutput::Report(Report::BecameBackup { router: name.clone(), cause }));
                    self.end_contest(name, End::Yielded { at: now }, outputs);
                }
                RouterAction::Linger => self.linger(name, now),
                RouterAction::BecameInitialize => {
                    self.end_patience(name);
                    self.end_lingering(name);
                    self.end_contest(name, End::Yielded { at: now }, outputs);
                }
                RouterAction::BecameLeaving => {
                    member.since = now;
                    self.end_patience(name);
                    self.end_contest(name, End::Yielded { at: now }, outputs);
                }
                RouterAction::HandedOver { to } => self.handed_over(name, to, now, outputs),
                RouterAction::NobodyTookOver => self.found_nobody(name, now, outputs),
                RouterAction::Contested { by, priority } => {
                    self.be_contested(name, by, priority, now, outputs);
                }
            }
        }
        self.set_timers(name);
        if yields {
            let lingers = self.members[name].lingers();
            for other in self.groups.together_with(name) {
                let was_active = self.members[&other].is_active();
                self.step(&other, RouterEvent::Release, now, outputs);
                if was_active && lingers {
                    self.linger(&other, now);
                }
            }
        }
    }

    pub(super) fn set_timers(&mut self, name: &RouterName) {
        let Some(member) = self.members.get(name) else { return };
        let own = match &member.standing {
            Standing::Running(machine) if member.group.is_none() || member.moves_alone() => {
                machine.next_deadline()
            }
            Standing::Running(_) | Standing::Idle | Standing::Waiting(_) | Standing::Faulted(_) => None,
        };
        self.timers.set(Timer::Router(name.clone()), own);
        if let Some(group) = member.group.clone() {
            let deadline = self.groups.next_deadline(&group, &self.members);
            self.timers.set(Timer::Group(group), deadline);
        }
    }
}
