//! What outlives a daemon: its guard, which acts in its place, and for a while the addresses in the kernel.

use std::sync::Arc;
use std::time::Duration;

use monotonic::Instant;
use node::Node;
use node::guard::{Measure, Next, Vigil};
use node::report::{FenceReason, Report};

use super::{Event, World};
use crate::dice::PerMille;
use crate::invariants::{self, Broken};
use crate::machine::{Attention, Daemon, Machine, Task};
use crate::referee::End;
use crate::scene::{Presence, Standing};
use crate::site::{NodeIndex, RouterIndex};
use crate::trace::Detail;

/// How often an address is renewed while its lease lasts.
const RENEWALS: u32 = 3;

impl World {
    /// Lets time pass until every guard has a daemon again that takes part, and the leases are over of what nobody guards.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn outlive_the_dead(&mut self) -> Result<(), Broken> {
        while self.aftermath() > Duration::ZERO {
            self.run_for(self.aftermath())?;
        }
        Ok(())
    }

    fn aftermath(&self) -> Duration {
        let wait = |machine: &Machine| {
            let lease = match machine.daemon {
                Daemon::Absent => machine.leases_end.map(|end| end - self.now),
                Daemon::Beginning | Daemon::Running(_) | Daemon::Paused(..) | Daemon::Leaving => None,
            };
            let legacy = &machine.guard.legacy;
            let task = match &machine.guard.task {
                Task::Idle => Duration::ZERO,
                Task::Vigil(vigil) => vigil.deadline() - machine.local(self.now),
                Task::Fencing { pause, .. } => legacy.succeeded_within().unwrap_or_default() + *pause,
                Task::Waiting { until } => *until - self.now,
            };
            task.max(lease.unwrap_or_default())
        };
        self.machines.iter().map(wait).max().unwrap_or_default()
    }

    /// A daemon dies, and its guard does not.
    pub(super) fn die(&mut self, node: NodeIndex) -> Result<(), Broken> {
        let machine = &mut self.machines[node.0];
        let is_guarded = match machine.guard.task {
            Task::Idle => matches!(machine.daemon, Daemon::Running(_)),
            Task::Vigil(_) => true,
            Task::Fencing { .. } | Task::Waiting { .. } => false,
        };
        if !is_guarded {
            return Ok(());
        }
        if let Daemon::Running(brain) = &machine.daemon {
            machine.guard.legacy = brain.legacy();
        }
        let next = machine.guard.lives.end(self.now);
        self.lose_daemon(node);
        self.tell(node, &Report::DaemonDied { how: "as this scenario has it".to_owned() })?;
        match (next, self.machines[node.0].attention) {
            (Next::AtOnce, Attention::Tracks) => {
                self.referee.disturb_node(node, self.now);
                self.start_next(node)
            }
            (Next::AtOnce, Attention::Elsewhere) => self.fence(node, FenceReason::DiedAgain, Duration::ZERO),
            (Next::After(pause), _) => self.fence(node, FenceReason::DiedAgain, pause),
        }
    }

    /// A daemon does nothing any more, and its guard notices.
    pub(super) fn hang(&mut self, node: NodeIndex) {
        let machine = &mut self.machines[node.0];
        let Daemon::Running(brain) = &machine.daemon else { return };
        machine.guard.legacy = brain.legacy();
        let vigil = machine.vigil(self.now);
        let is_settled = self.referee.is_settled();
        self.referee.expect_take_over_after(node, End::Silent, &self.network, self.now);
        self.stand_still(node);
        self.machines[node.0].undisturbed = is_settled.then(|| self.referee.disturbances());
        self.watch(node, vigil);
    }

    /// Looks at those that hang when another node has become Active.
    pub(super) fn look_at_the_hanging(&self, router: RouterIndex) -> Result<(), Broken> {
        for (node, machine) in self.referee.scene.site.node_indices().zip(&self.machines) {
            if machine.undisturbed == Some(self.referee.disturbances()) {
                let addresses = self.referee.scene.site.taken_addresses(node, router);
                invariants::the_hanging_are_fenced_in_time(node, &addresses, machine.kernel.held())?;
            }
        }
        Ok(())
    }

    /// A guard that slept as its daemon did may find out first that it has slept.
    pub(super) fn fences_on_waking(&mut self, node: NodeIndex) -> Option<FenceReason> {
        let machine = &mut self.machines[node.0];
        let Daemon::Paused(brain, _) = &machine.daemon else { return None };
        machine.guard.legacy = brain.legacy();
        let (mut vigil, now) = (machine.vigil(self.now), machine.local(self.now));
        let reason = if vigil.deadline() <= now { vigil.fire(&machine.guard.legacy, now) } else { None };
        reason.filter(|_| self.dice.chance(PerMille(500)))
    }

    /// Lets a guard do what it has to.
    pub(super) fn guard(&mut self, node: NodeIndex, number: u32) -> Result<(), Broken> {
        let machine = &mut self.machines[node.0];
        if machine.guard.number != number {
            return Ok(());
        }
        match std::mem::take(&mut machine.guard.task) {
            Task::Idle => Ok(()),
            Task::Vigil(mut vigil) => {
                let now = machine.local(self.now);
                if let Some(reason) = vigil.fire(&machine.guard.legacy, now) {
                    return self.fence_living(node, reason);
                }
                self.watch(node, vigil);
                Ok(())
            }
            Task::Fencing { reason, rest, pause } => self.take_measures(node, reason, rest, pause),
            Task::Waiting { .. } => self.start_next(node),
        }
    }

    /// Fences a daemon that does not speak.
    pub(super) fn fence_living(&mut self, node: NodeIndex, reason: FenceReason) -> Result<(), Broken> {
        let pause = match self.machines[node.0].guard.lives.end(self.now) {
            Next::AtOnce => Duration::ZERO,
            Next::After(pause) => pause,
        };
        self.fence(node, reason, pause)
    }

    fn fence(&mut self, node: NodeIndex, reason: FenceReason, pause: Duration) -> Result<(), Broken> {
        let machine = &self.machines[node.0];
        if machine.guard.legacy.last_will(machine.local(self.now)).is_empty() {
            self.referee.disturb_node(node, self.now);
        } else {
            self.referee.expect_take_over_after(node, End::Planned, &self.network, self.now);
        }
        self.take_measures(node, reason, reason.measures(), pause)
    }

    fn take_measures(
        &mut self,
        node: NodeIndex,
        reason: FenceReason,
        measures: &'static [Measure],
        pause: Duration,
    ) -> Result<(), Broken> {
        for (index, measure) in measures.iter().enumerate() {
            match measure {
                Measure::Kill => self.lose_daemon(node),
                Measure::AwaitEnd => self.machines[node.0].kernel.outlive_reconciler(&mut self.dice),
                Measure::TellOfDeath(how) => {
                    self.tell(node, &Report::DaemonDied { how: (*how).to_owned() })?;
                }
                Measure::SayWill => {
                    invariants::the_fenced_hold_nothing(node, self.machines[node.0].kernel.held())?;
                    self.say_will(node);
                }
                Measure::HandOver => {
                    if let Some(time) = self.say_will(node) {
                        let rest = &measures[index + 1..];
                        self.set_task(node, Task::Fencing { reason, rest, pause }, self.now + time);
                        return Ok(());
                    }
                }
                Measure::LeaveAddresses => self.leave_addresses(node, reason)?,
                Measure::Disinherit => self.disinherit(node, reason)?,
            }
        }
        self.machines[node.0].kernel.lose_reconciler();
        invariants::the_fenced_hold_nothing(node, self.machines[node.0].kernel.held())?;
        match self.machines[node.0].attention {
            Attention::Elsewhere => {
                self.machines[node.0].kernel.clean();
                self.end(node)
            }
            Attention::Tracks if pause.is_zero() => self.start_next(node),
            Attention::Tracks => {
                let until = self.now + pause;
                self.set_task(node, Task::Waiting { until }, until);
                Ok(())
            }
        }
    }

    /// Says the last will of a daemon, which then has no role any more; returns how long it takes until it is heeded,
    /// when there is one.
    fn say_will(&mut self, node: NodeIndex) -> Option<Duration> {
        let machine = &self.machines[node.0];
        let will = machine.guard.legacy.last_will(machine.local(self.now));
        let time = machine.guard.legacy.succeeded_within().filter(|_| !will.is_empty());
        for transmission in &will {
            self.send(node, transmission, Detail::Story);
        }
        self.lose_roles(node);
        time
    }

    fn leave_addresses(&mut self, node: NodeIndex, reason: FenceReason) -> Result<(), Broken> {
        match reason {
            FenceReason::Silent => {}
            FenceReason::NotBack | FenceReason::DiedAgain => self.referee.look_at_legacy(node)?,
        }
        for address in self.machines[node.0].kernel.leave_addresses() {
            self.tell(node, &Report::AddressLeft { address })?;
        }
        Ok(())
    }

    fn disinherit(&mut self, node: NodeIndex, reason: FenceReason) -> Result<(), Broken> {
        let fenced: Vec<_> = self.machines[node.0].guard.legacy.active().cloned().collect();
        self.machines[node.0].guard.legacy.drop_roles();
        fenced.into_iter().try_for_each(|router| self.tell(node, &Report::Fenced { router, reason }))
    }

    /// Starts a daemon that goes on with what the one before it left.
    fn start_next(&mut self, node: NodeIndex) -> Result<(), Broken> {
        let machine = &mut self.machines[node.0];
        machine.kernel.lose_reconciler();
        machine.daemon = Daemon::Beginning;
        let (life, startup) = (machine.life, machine.startup);
        let vigil = Vigil::new(&machine.guard.legacy, machine.local(self.now));
        self.referee.set_presence(node, Presence::Paused, self.now);
        self.watch(node, vigil);
        if startup.is_zero() {
            return self.begin(node, life);
        }
        self.queue.put(self.now + startup, Event::Begin { node, life });
        Ok(())
    }

    /// Lets a daemon begin that was started by the guard.
    pub(super) fn begin(&mut self, node: NodeIndex, life: u32) -> Result<(), Broken> {
        let machine = &mut self.machines[node.0];
        if machine.life != life {
            return Ok(());
        }
        let mut next = Node::new(Arc::clone(&machine.config), machine.local(self.now));
        next.inherit(&machine.guard.legacy);
        let now = machine.local(self.now);
        let has_lapsed = machine.guard.legacy.silence.is_none_or(|silence| silence.limit <= now);
        machine.daemon = Daemon::Running(Box::new(next));
        machine.book.count_anew();
        machine.guard.rest();
        machine.leases_end = None;
        self.referee.set_presence(node, Presence::Running, self.now);
        self.referee.disturb_node(node, self.now);
        if has_lapsed {
            // Others may have them: it goes on with none, and may have to wait before it says so.
            self.lose_roles(node);
        }
        self.take_part(node)?;
        let planned = self.machines[node.0].kernel.planned();
        invariants::an_adoption_removes_nothing(node, planned, &self.referee.scene)
    }

    /// The process is gone; what the kernel holds and what the guard knows stays.
    pub(super) fn lose_daemon(&mut self, node: NodeIndex) {
        let machine = &mut self.machines[node.0];
        machine.daemon = Daemon::Absent;
        machine.deadline = None;
        machine.life += 1;
        machine.guard.rest();
        self.referee.set_presence(node, Presence::Absent, self.now);
        let scene = &mut self.referee.scene;
        for router in scene.site.router_indices() {
            scene.preparations.end(node, router);
            if scene.standing(node, router) != Standing::Active {
                scene.set_standing(node, router, Standing::Out, self.now);
            }
        }
    }

    pub(super) fn lose_roles(&mut self, node: NodeIndex) {
        for router in self.referee.scene.site.router_indices() {
            self.referee.scene.set_standing(node, router, Standing::Out, self.now);
        }
    }

    fn watch(&mut self, node: NodeIndex, vigil: Vigil) {
        let at = self.machines[node.0].world(vigil.deadline());
        self.set_task(node, Task::Vigil(vigil), at);
    }

    fn set_task(&mut self, node: NodeIndex, task: Task, at: Instant) {
        let guard = &mut self.machines[node.0].guard;
        guard.task = task;
        guard.number += 1;
        let number = guard.number;
        self.queue.put(at.max(self.now), Event::Guard { node, number });
    }

    /// Nobody renews what the kernel holds any more.
    pub(super) fn let_leases_end(&mut self, node: NodeIndex) {
        let step = self.referee.scene.site.lease() / RENEWALS;
        let machine = &mut self.machines[node.0];
        // The next renewal would have been due a step after the last one.
        let end = machine.world(machine.local(self.now).next_on_grid(step)) + step * (RENEWALS - 1);
        machine.leases_end = Some(end);
        self.queue.put(end, Event::LeasesEnd { node });
    }

    pub(super) fn end_leases(&mut self, node: NodeIndex) {
        let machine = &mut self.machines[node.0];
        if machine.leases_end != Some(self.now) {
            return;
        }
        machine.leases_end = None;
        let ended = machine.kernel.end_leases();
        for address in &ended {
            self.trace.note(Detail::Story, node, self.now, || format!("kernel: the lease of {address} ends"));
        }
        if !ended.is_empty() && matches!(self.machines[node.0].daemon, Daemon::Paused(..)) {
            self.wake_kernel(node);
        }
    }
}
