//! Does to a world what its schedule says.

use std::collections::BTreeSet;
use std::sync::Arc;

use node::link::LinkEvent;
use node::name::RouterName;
use node::{Input, Node};
use vrrp::Version;

use super::{Event, Life, World};
use crate::dice::PerMille;
use crate::fault::{Fault, Reload};
use crate::health_book::HealthBook;
use crate::invariants::{self, Broken};
use crate::kernel::{Temper, Theft};
use crate::machine::{Attention, Daemon, Task};
use crate::network::{Quality, Road};
use crate::referee::End;
use crate::scene::{Absence, Presence};
use crate::site::{Carrier, NodeIndex, SegmentIndex, ServerIndex, interface_name, router_name};

impl World {
    pub(super) fn suffer(&mut self, fault: Fault) -> Result<(), Broken> {
        self.trace.note_world(self.now, || fault.to_string());
        self.lose_words_by(fault);
        match fault {
            Fault::Start(node) => self.start(node),
            Fault::Stop(node) => self.stop(node),
            Fault::Crash(node) => {
                self.crash(node);
                Ok(())
            }
            Fault::Death(node) => self.die(node),
            Fault::Hang(node) => {
                self.hang(node);
                Ok(())
            }
            Fault::Startup(node, time) => {
                self.machines[node.0].startup = time;
                Ok(())
            }
            Fault::Pause(node) => {
                self.pause(node);
                Ok(())
            }
            Fault::Resume(node) => self.resume(node),
            Fault::Carrier(node, segment, carrier) => self.set_carrier(node, segment, carrier),
            Fault::Road(segment, from, to, road) => {
                self.network.set_road(segment, from, to, road, self.now);
                self.referee.disturb(self.now);
                Ok(())
            }
            Fault::Island(segment, island, road) => {
                let nodes: Vec<_> = self.referee.scene.site.node_indices().collect();
                for from in &nodes {
                    for to in nodes.iter().filter(|to| island.contains(**to) != island.contains(*from)) {
                        self.network.set_road(segment, *from, *to, road, self.now);
                    }
                }
                self.referee.disturb(self.now);
                Ok(())
            }
            Fault::Quality(quality) => {
                self.network.set_quality(quality);
                self.referee.disturb(self.now);
                Ok(())
            }
            Fault::Shortage(often) => {
                self.shortage = often;
                Ok(())
            }
            Fault::ServerDies(server) => {
                self.set_life(server, Life::Dead);
                Ok(())
            }
            Fault::ServerReturns(server) => {
                self.set_life(server, Life::Alive);
                Ok(())
            }
            Fault::Theft(node, choice) => self.steal(node, choice),
            Fault::Temper(node, temper) => {
                self.machines[node.0].kernel.set_temper(temper);
                if temper == Temper::Refusing {
                    self.referee.scene.note_refusal(node);
                }
                Ok(())
            }
            Fault::Pace(node, pace) => {
                self.machines[node.0].kernel.set_pace(pace);
                Ok(())
            }
            Fault::Reload(node, reload) => self.reload(node, reload),
            Fault::Pass(node, time) => {
                let until = time.map(|time| self.machines[node.0].local(self.now) + time);
                self.command(node, fault, Input::Pass { routers: self.every_router(), until })
            }
            Fault::Track(node, track, sight) => {
                self.machines[node.0].sights[track.0] = sight;
                Ok(())
            }
            Fault::Hooks(node, hooks) => {
                self.machines[node.0].hooks = hooks;
                Ok(())
            }
            Fault::Clock(node, clock) => {
                self.machines[node.0].wall_clock = clock;
                self.referee.set_clocks();
                self.look_at_the_wall_clock(node)
            }
            Fault::Return(node) => self.command(node, fault, Input::Return { routers: self.every_router() }),
        }
    }

    /// Notes where an Active's last word may be lost by a fault.
    fn lose_words_by(&mut self, fault: Fault) {
        match fault {
            Fault::Crash(_)
            | Fault::Death(_)
            | Fault::Hang(_)
            | Fault::Pause(_)
            | Fault::Carrier(..)
            | Fault::Road(.., Road::Closed)
            | Fault::Temper(_, Temper::Refusing) => self.referee.lose_words(),
            Fault::Quality(Quality { loss, .. }) if loss > PerMille(0) => self.referee.lose_words(),
            Fault::Start(_)
            | Fault::Stop(_)
            | Fault::Resume(_)
            | Fault::Startup(..)
            | Fault::Road(.., Road::Open)
            | Fault::Island(..)
            | Fault::Quality(_)
            | Fault::Shortage(_)
            | Fault::ServerDies(_)
            | Fault::ServerReturns(_)
            | Fault::Theft(..)
            | Fault::Temper(_, Temper::Obliging)
            | Fault::Pace(..)
            | Fault::Pass(..)
            | Fault::Return(_)
            | Fault::Track(..)
            | Fault::Hooks(..)
            | Fault::Clock(..)
            | Fault::Reload(..) => {}
        }
    }

    fn look_at_the_wall_clock(&mut self, node: NodeIndex) -> Result<(), Broken> {
        let shown = self.machines[node.0].shown(self.now);
        self.feed(node, Input::WallClock(shown))
    }

    fn every_router(&self) -> BTreeSet<RouterName> {
        self.referee.scene.site.router_indices().map(router_name).collect()
    }

    /// Hands an operator's command to a daemon that runs; one that is paused gets it when it goes on.
    fn command(&mut self, node: NodeIndex, fault: Fault, input: Input<'_>) -> Result<(), Broken> {
        match &mut self.machines[node.0].daemon {
            Daemon::Running(_) => {
                self.referee.disturb_node(node, self.now);
                self.feed(node, input)
            }
            Daemon::Paused(_, backlog) => {
                backlog.push(Event::Fault(fault));
                Ok(())
            }
            Daemon::Absent | Daemon::Beginning | Daemon::Leaving => Ok(()),
        }
    }

    fn start(&mut self, node: NodeIndex) -> Result<(), Broken> {
        let machine = &mut self.machines[node.0];
        if !matches!((&machine.daemon, &machine.guard.task), (Daemon::Absent, Task::Idle)) {
            return Ok(());
        }
        machine.life += 1;
        machine.guard.forget();
        machine.leases_end = None;
        machine.book = HealthBook::default();
        machine.kernel.lose_reconciler();
        machine.daemon =
            Daemon::Running(Box::new(Node::new(Arc::clone(&machine.config), machine.local(self.now))));
        self.referee.set_presence(node, Presence::Running, self.now);
        for router in self.referee.scene.site.router_indices() {
            self.referee.scene.set_away(node, router, Absence::Ends);
        }
        self.referee.disturb_node(node, self.now);
        self.take_part(node)
    }

    fn stop(&mut self, node: NodeIndex) -> Result<(), Broken> {
        let machine = &mut self.machines[node.0];
        if matches!(machine.guard.task, Task::Waiting { .. }) {
            machine.guard.rest();
            machine.kernel.clean();
            return self.end(node);
        }
        if !matches!(machine.daemon, Daemon::Running(_)) {
            return Ok(());
        }
        self.referee.disturb_node(node, self.now);
        self.machines[node.0].attention = Attention::Elsewhere;
        self.referee.scene.book_mut(node).stop_waiting();
        self.feed(node, Input::Shutdown)
    }

    fn crash(&mut self, node: NodeIndex) {
        let machine = &mut self.machines[node.0];
        if matches!((&machine.daemon, &machine.guard.task), (Daemon::Absent, Task::Idle)) {
            return;
        }
        machine.kernel.lose_reconciler();
        let was_running = matches!(machine.daemon, Daemon::Running(_));
        machine.guard.forget();
        self.let_leases_end(node);
        if was_running {
            self.referee.expect_take_over_after(node, End::Silent, &self.network, self.now);
        } else {
            self.referee.disturb_node(node, self.now);
        }
        self.lose_daemon(node);
        self.lose_roles(node);
    }

    /// Lets a new daemon look around and begin.
    pub(super) fn take_part(&mut self, node: NodeIndex) -> Result<(), Broken> {
        self.begin_looking(node);
        for segment in self.referee.scene.site.segments() {
            self.tell_link(node, segment)?;
        }
        self.tell_devices(node)?;
        self.tell_tracked_links(node)?;
        self.look_at_the_wall_clock(node)?;
        self.feed(node, Input::Start)?;
        // A kernel may hold what a daemon before this one left.
        self.wake_kernel(node);
        Ok(())
    }

    fn pause(&mut self, node: NodeIndex) {
        if let Daemon::Running(_) = self.machines[node.0].daemon {
            self.stand_still(node);
            self.referee.disturb_node(node, self.now);
        }
    }

    pub(super) fn stand_still(&mut self, node: NodeIndex) {
        let machine = &mut self.machines[node.0];
        match std::mem::replace(&mut machine.daemon, Daemon::Absent) {
            Daemon::Running(brain) => {
                machine.daemon = Daemon::Paused(brain, Vec::new());
                machine.deadline = None;
                self.referee.set_presence(node, Presence::Paused, self.now);
                self.let_leases_end(node);
            }
            other @ (Daemon::Absent | Daemon::Beginning | Daemon::Leaving | Daemon::Paused(..)) => {
                machine.daemon = other;
            }
        }
    }

    /// The contract of a node: first the packets that wait in its sockets, then what else has happened, then the deadline.
    fn resume(&mut self, node: NodeIndex) -> Result<(), Broken> {
        if let Some(reason) = self.fences_on_waking(node) {
            return self.fence_living(node, reason);
        }
        let machine = &mut self.machines[node.0];
        match std::mem::replace(&mut machine.daemon, Daemon::Absent) {
            Daemon::Paused(brain, mut backlog) => {
                machine.daemon = Daemon::Running(brain);
                machine.guard.rest();
                machine.leases_end = None;
                self.referee.set_presence(node, Presence::Running, self.now);
                self.referee.disturb_node(node, self.now);
                self.look_at_the_wall_clock(node)?;
                self.tell_devices(node)?;
                backlog.sort_by_key(|event| !matches!(event, Event::Arrival { .. }));
                for event in backlog {
                    self.happen(event)?;
                }
                self.machines[node.0].note_deadline();
            }
            other @ (Daemon::Absent | Daemon::Beginning | Daemon::Leaving | Daemon::Running(_)) => {
                machine.daemon = other;
            }
        }
        Ok(())
    }

    fn set_carrier(
        &mut self,
        node: NodeIndex,
        segment: SegmentIndex,
        carrier: Carrier,
    ) -> Result<(), Broken> {
        self.referee.scene.set_carrier(node, segment, carrier);
        self.referee.disturb_node(node, self.now);
        if let Daemon::Paused(_, backlog) = &mut self.machines[node.0].daemon {
            backlog.push(Event::Fault(Fault::Carrier(node, segment, carrier)));
            return Ok(());
        }
        self.tell_link(node, segment)?;
        self.tell_devices(node)
    }

    /// Tells a node of the interfaces that it made.
    pub(super) fn tell_devices(&mut self, node: NodeIndex) -> Result<(), Broken> {
        for router in self.referee.scene.site.router_indices() {
            let scene = &self.referee.scene;
            let Some(device) = scene.site.device(router) else { continue };
            let carrier = scene.carrier(node, scene.segment(router));
            let is_there = self.machines[node.0].kernel.held().devices.contains(&device);
            let state = is_there.then(|| scene.site.device_link(router, carrier)).flatten();
            self.feed(node, Input::Link(LinkEvent { interface: device.name, state }))?;
        }
        Ok(())
    }

    fn tell_link(&mut self, node: NodeIndex, segment: SegmentIndex) -> Result<(), Broken> {
        let scene = &self.referee.scene;
        let state = scene.site.link(node, segment, scene.carrier(node, segment));
        let event = LinkEvent { interface: interface_name(segment), state: Some(state) };
        self.feed(node, Input::Link(event))
    }

    fn set_life(&mut self, server: ServerIndex, life: Life) {
        if let Some(before) = self.living.get_mut(server.0) {
            *before = life;
        }
    }

    fn steal(&mut self, node: NodeIndex, choice: usize) -> Result<(), Broken> {
        let machine = &mut self.machines[node.0];
        match (machine.kernel.steal(choice), &machine.daemon) {
            (Theft::Done, Daemon::Running(_) | Daemon::Paused(..) | Daemon::Leaving) => {
                self.tell_devices(node)?;
                self.wake_kernel(node);
                Ok(())
            }
            // One that has yet to begin looks at everything then.
            (Theft::Done, Daemon::Absent | Daemon::Beginning) | (Theft::InVain, _) => Ok(()),
        }
    }

    fn reload(&mut self, node: NodeIndex, reload: Reload) -> Result<(), Broken> {
        // One that ends goes on as it was.
        if let (Daemon::Running(_), Attention::Elsewhere) =
            (&self.machines[node.0].daemon, self.machines[node.0].attention)
        {
            return Ok(());
        }
        let mut site = self.referee.scene.site.clone();
        let configured = &mut site.nodes[node.0];
        match reload {
            Reload::Same => {}
            Reload::Priority(priority) => {
                configured.seats.iter_mut().for_each(|seat| seat.priority = priority);
            }
            Reload::Interval(interval) => {
                for (seat, router) in configured.seats.iter_mut().zip(&site.routers) {
                    if router.version == Version::V3 {
                        seat.interval = interval;
                    }
                }
            }
            Reload::Addresses(addresses) => configured.addresses = addresses,
            Reload::Weight(weight) => configured.first_weight = weight,
        }
        let machine = &mut self.machines[node.0];
        if let Daemon::Paused(_, backlog) = &mut machine.daemon {
            backlog.push(Event::Fault(Fault::Reload(node, reload)));
            return Ok(());
        }
        let config = site.config(node);
        let is_same = *config == *machine.config;
        machine.config = Arc::clone(&config);
        let Daemon::Running(brain) = &mut machine.daemon else {
            self.referee.reconfigure(node, site.nodes.swap_remove(node.0));
            return Ok(());
        };
        let before = brain.next_deadline();
        // One that slept may find at once what its deadline would have told it.
        let is_due = before.is_some_and(|deadline| deadline <= self.now + machine.clock);
        if is_same && !is_due {
            let outputs = brain.handle(Input::Reload(config), self.now + machine.clock);
            self.inputs += 1;
            let deadlines = (before, brain.next_deadline());
            return invariants::the_same_file_changes_nothing(node, &outputs, deadlines, &machine.kernel);
        }
        self.referee.disturb_node(node, self.now);
        self.referee.reconfigure(node, site.nodes.swap_remove(node.0));
        self.feed(node, Input::Reload(config))
    }
}
