//! Before a hand-over begins an operator's hooks may run, for as long as they were given at most.

use std::time::Duration;

use monotonic::Instant;

use super::member::Standing;
use super::{Phase, Routers, RoutersOutput, Timer};
use crate::config::Occasion;
use crate::fault::Voice;
use crate::hooks::Subject;
use crate::name::RouterName;
use crate::report::{HandOverReason, Report};
use crate::status::{HandOver, HandOverOutcome};

/// A hand-over that waits for hooks.
#[derive(Clone, Debug)]
pub(super) struct Preparing {
    reason: HandOverReason,
    progress: Progress,
    /// Why the virtual router is as it is, as was told before.
    before: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Underway,
    Done,
}

/// Whether a hand-over waits for hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preparation {
    Needless,
    Underway,
}

impl Routers {
    /// How long hooks may hold up the hand-over of a virtual router, or of its sync group; nothing if there are none.
    fn preparation_time(&self, name: &RouterName) -> Option<Duration> {
        let group = self.members.get(name).and_then(|member| member.group.clone()).map(Subject::Group);
        let together = self.groups.together_with(name).into_iter().map(Subject::Router);
        let subjects: Vec<_> = together.chain(group).collect();
        let hooks = self.config.hooks.values().filter(|hook| {
            hook.occasions.contains(&Occasion::BeforeRelease)
                && subjects.iter().any(|subject| hook.follows(subject))
        });
        hooks.map(|hook| hook.timeout).max()
    }

    /// Tells whether a part of its sync group cannot be heard any more: whoever takes over waits for the rest.
    fn is_torn(&self, name: &RouterName) -> bool {
        let is_mute = |name| self.usable_source(name).is_err_and(|fault| fault.voice() == Voice::Lost);
        self.groups.together_with(name).iter().any(is_mute)
    }

    /// Has hooks run before a virtual router is handed over. Tells whether there are any for that.
    pub(super) fn prepare(
        &mut self,
        name: &RouterName,
        reason: &HandOverReason,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) -> Preparation {
        let time = self.preparation_time(name);
        let is_torn = self.is_torn(name);
        let member = self.members.get_mut(name).expect("only members hand over");
        let Some(time) = time.filter(|_| !is_torn) else {
            member.preparing = None;
            self.timers.set(Timer::Preparation(name.clone()), None);
            return Preparation::Needless;
        };
        let told = format!("it is about to hand over, {reason}, when its hooks have run");
        if let Some(preparing) = &mut member.preparing {
            // Whoever ends has the last word on what comes after.
            if preparing.reason.only_keeps_away() || !reason.only_keeps_away() {
                preparing.reason = reason.clone();
                member.reason = told;
            }
            return Preparation::Underway;
        }
        let before = std::mem::replace(&mut member.reason, told);
        member.preparing = Some(Preparing { reason: reason.clone(), progress: Progress::Underway, before });
        let until = now + time;
        self.timers.set(Timer::Preparation(name.clone()), Some(until));
        let (router, reason) = (name.clone(), reason.to_string());
        outputs.push(RoutersOutput::Prepare { router, until, reason });
        Preparation::Underway
    }

    /// Takes it that the hooks of a virtual router have run; it is handed over with all that moves together with it.
    pub(super) fn prepared(&mut self, name: &RouterName, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        if let Some(preparing) = self.members.get_mut(name).and_then(|member| member.preparing.as_mut()) {
            preparing.progress = Progress::Done;
        }
        let together = self.groups.together_with(name);
        let mut preparing = together.iter().filter_map(|name| self.members.get(name)?.preparing.as_ref());
        if preparing.all(|preparing| preparing.progress == Progress::Done) {
            self.end_preparation(name, now, outputs);
        }
    }

    /// Hands over what waited for hooks: they have run, or have had their time.
    pub(super) fn end_preparation(
        &mut self,
        name: &RouterName,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        for name in self.groups.together_with(name) {
            let preparing = self.members.get_mut(&name).and_then(|member| member.preparing.take());
            if let Some(Preparing { reason, .. }) = preparing {
                self.timers.set(Timer::Preparation(name.clone()), None);
                self.release(&name, reason, now, outputs);
            }
        }
    }

    /// Waits no longer for the hooks of what stops and cannot be heard any more in a part: whoever takes that over is held
    /// back by what still advertises.
    pub(super) fn hurry(&mut self, name: &RouterName, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        if self.is_torn(name) {
            self.end_preparation(name, now, outputs);
        }
    }

    /// Ends the preparation of a hand-over that was to keep the role away from this node, and is not wanted any more.
    pub(super) fn call_off_preparation(
        &mut self,
        name: &RouterName,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        let Some(member) = self.members.get_mut(name) else { return };
        if let Some(called_off) = member.preparing.take_if(|preparing| preparing.reason.only_keeps_away()) {
            member.reason = called_off.before;
            member.hand_over = Some(HandOver { since: now, outcome: HandOverOutcome::CalledOff });
            self.timers.set(Timer::Preparation(name.clone()), None);
            outputs.push(RoutersOutput::Report(Report::HandOverCalledOff { router: name.clone() }));
        }
    }

    /// Forgets about the preparation of a hand-over to which it did not come: the role is another's already. What was to
    /// be handed over because of a fault takes no part from here on.
    pub(super) fn give_up_preparation(
        &mut self,
        name: &RouterName,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        let Some(member) = self.members.get_mut(name) else { return };
        if member.is_active() || member.preparing.take().is_none() {
            return;
        }
        self.timers.set(Timer::Preparation(name.clone()), None);
        match self.phase {
            Phase::Stopping | Phase::Stopped => {
                self.stop(name, Standing::Idle, now, outputs);
                self.conclude(outputs);
            }
            Phase::Waiting | Phase::Running => self.evaluate_once_left(name, now, outputs),
        }
    }
}
