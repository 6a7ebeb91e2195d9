//! Carries out what a node answers.

use std::time::Duration;

use node::Output;
use node::config::InterfaceAddress;
use node::pools::{Outcome, ProbeRequest};
use node::routers::{Announcement, Solicitation, Transmission, Whom};
use vrrp::Family;

use super::{Event, Life, Packet, Sign, World};
use crate::invariants::{self, Broken};
use crate::machine::{Daemon, Machine};
use crate::network::Fate;
use crate::scene::Presence;
use crate::site::{
    Carrier, Grouping, NodeIndex, RouterIndex, SegmentIndex, ServerIndex, real_server_address, router_named,
    unicast_address,
};
use crate::trace::Detail;

impl World {
    pub(super) fn carry_out(&mut self, node: NodeIndex, outputs: Vec<Output>) -> Result<(), Broken> {
        self.referee.hear_outputs(node, &outputs, self.machines[node.0].kernel.told(), self.now)?;
        let before = self.referee.scene.standings_of(node);
        let is_routine = outputs.iter().all(|output| matches!(output, Output::Send(_)));
        for output in outputs {
            match output {
                Output::Send(transmission) => {
                    let detail = if is_routine { Detail::Everything } else { Detail::Story };
                    self.send(node, &transmission, detail);
                }
                Output::Announce(Announcement { address, count, .. }) => {
                    self.announce(node, &address, count);
                }
                Output::Introduce(introduced) => {
                    let address = introduced.address.address;
                    self.trace.note(Detail::Everything, node, self.now, || format!("is at {address}"));
                }
                Output::Solicit(solicitation) => self.solicit(node, &solicitation),
                Output::Reconcile => self.wake_kernel(node),
                Output::Probe(request) => self.ask(node, &request),
                Output::Report(report) => self.tell(node, &report)?,
                Output::Prepare { router, until, .. } => self.prepare(node, router_named(&router), until),
                Output::Exit => {
                    let machine = &mut self.machines[node.0];
                    machine.daemon = Daemon::Leaving;
                    machine.deadline = None;
                    self.referee.set_presence(node, Presence::Leaving, self.now);
                    self.wake_kernel(node);
                }
            }
        }
        if self.referee.scene.standings_of(node) != before {
            self.look_at_standings(node)?;
        }
        Ok(())
    }

    pub(super) fn wake_kernel(&mut self, node: NodeIndex) {
        let Machine { kernel, daemon, life, .. } = &mut self.machines[node.0];
        if let Some(appointment) = kernel.wake(|| daemon.wanted()) {
            let event = Event::KernelWork { node, life: *life, ticket: appointment.ticket };
            self.queue.put(self.now + appointment.after, event);
        }
    }

    fn look_at_standings(&self, node: NodeIndex) -> Result<(), Broken> {
        let scene = &self.referee.scene;
        match scene.site.grouping {
            Grouping::Together => invariants::a_group_moves_together(node, scene)?,
            Grouping::Apart => {}
        }
        match &self.machines[node.0].daemon {
            Daemon::Running(brain) => invariants::reports_tell_every_change(node, &brain.status().0, scene),
            Daemon::Absent | Daemon::Beginning | Daemon::Paused(..) | Daemon::Leaving => Ok(()),
        }
    }

    pub(super) fn send(&mut self, from: NodeIndex, transmission: &Transmission, detail: Detail) {
        let Transmission { interface, source, destination, mac: _, payload } = transmission;
        let segment = self.referee.scene.site.segment_of(interface);
        self.trace.note(detail, from, self.now, || {
            format!("advertises vrid {} with priority {} to {destination}", payload[1], payload[2])
        });
        if self.referee.scene.carrier(from, segment) == Carrier::Down {
            return;
        }
        let packet = Packet { source: *source, destination: *destination, payload: payload.clone() };
        if destination.is_multicast() {
            for to in self.referee.scene.site.node_indices().filter(|to| *to != from) {
                self.send_to(from, to, segment, &packet);
            }
        } else {
            let family = Family::of(*destination);
            let to = self
                .referee
                .scene
                .site
                .node_indices()
                .find(|to| unicast_address(*to, segment, family) == *destination);
            self.send_to(from, to.expect("nodes send to each other only"), segment, &packet);
        }
    }

    fn send_to(&mut self, from: NodeIndex, to: NodeIndex, segment: SegmentIndex, packet: &Packet) {
        let arrival = || Event::Arrival { to, segment, packet: packet.clone() };
        match self.network.carry(segment, from, to, &mut self.dice, self.now) {
            Fate::Lost if self.network.is_open(segment, from, to) => {
                self.trace.note(Detail::Everything, from, self.now, || format!("lost on the way to {to:?}"));
                self.referee.disturb(self.now);
            }
            // Whoever leaves while it is cut off cannot say so, and nobody else knows that it drew the traffic.
            Fate::Lost if invariants::is_release(&packet.payload) => self.referee.lose_words(),
            Fate::Lost => {}
            Fate::Once(at) => self.queue.put(at, arrival()),
            Fate::Twice(first, second) => {
                self.queue.put(first, arrival());
                self.queue.put(second, arrival());
            }
        }
    }

    pub(super) fn announce(&mut self, node: NodeIndex, address: &InterfaceAddress, count: u8) {
        self.trace.note(Detail::Story, node, self.now, || format!("announces {address}, {count} times"));
        self.referee.hear_announcement(node, address, self.now);
        let segment = self.referee.scene.site.segment_of(&address.interface);
        let scene = &self.referee.scene;
        // Nobody else listens.
        let listens = |to: &NodeIndex| *to != node && self.machines[to.0].listens_to_neighbours();
        let listeners: Vec<_> = scene.site.node_indices().filter(listens).collect();
        for to in listeners {
            let sign = Sign::Announced(address.address);
            self.carry(segment, node, to, Event::SignArrival { to, segment, sign });
        }
    }

    /// Lets what neighbours say happen where it arrives; to hear it twice tells nothing more.
    fn carry(&mut self, segment: SegmentIndex, from: NodeIndex, to: NodeIndex, event: Event) {
        match self.network.carry(segment, from, to, &mut self.dice, self.now) {
            Fate::Lost => {}
            Fate::Once(at) | Fate::Twice(at, _) => self.queue.put(at, event),
        }
    }

    fn solicit(&mut self, node: NodeIndex, solicitation: &Solicitation) {
        let segment = self.referee.scene.site.segment_of(&solicitation.interface);
        let (Whom::Neighbours(addresses) | Whom::Holders(addresses)) = &solicitation.whom;
        for address in addresses {
            self.trace.note(Detail::Everything, node, self.now, || format!("asks for {address}"));
            let sign = match solicitation.whom {
                Whom::Neighbours(_) => Sign::Answered(*address),
                Whom::Holders(_) => Sign::Announced(*address),
            };
            let others = self.referee.scene.site.node_indices().filter(|other| *other != node);
            for to in others.filter(|other| may_have(*other, segment, sign)) {
                self.carry(segment, node, to, Event::Question { from: node, to, segment, sign });
            }
        }
    }

    /// Machines answer whether a daemon runs on them or not.
    pub(super) fn answer_question(
        &mut self,
        from: NodeIndex,
        to: NodeIndex,
        segment: SegmentIndex,
        sign: Sign,
    ) {
        let has_it = match sign {
            Sign::Answered(_) => true,
            Sign::Announced(address) => {
                let mut held = self.machines[to.0].kernel.held().addresses.iter();
                held.any(|held| held.address == address)
            }
        };
        if !has_it || self.referee.scene.carrier(to, segment) == Carrier::Down {
            return;
        }
        self.carry(segment, to, from, Event::SignArrival { to: from, segment, sign });
    }

    fn ask(&mut self, node: NodeIndex, request: &ProbeRequest) {
        let service = self.referee.scene.site.service.as_ref().expect("only a virtual server asks");
        let family = self.referee.scene.site.routers[RouterIndex(0).0].family;
        let server = (0..service.real_servers)
            .map(ServerIndex)
            .find(|server| real_server_address(*server, family) == request.target)
            .expect("only real servers of the configuration are asked");
        let timeout = request.check.timeout;
        let (outcome, after) = if self.dice.chance(self.shortage) {
            (Outcome::Inconclusive("no file descriptor left".to_owned()), Duration::ZERO)
        } else {
            match self.living[server.0] {
                Life::Alive => (Outcome::Good, self.dice.between(Duration::from_micros(50), timeout / 2)),
                Life::Dead => (Outcome::Bad("connection refused".to_owned()), timeout / 4),
            }
        };
        let life = self.machines[node.0].life;
        let probe = request.id;
        self.queue.put(self.now + after, Event::ProbeOver { node, life, probe, server, outcome });
    }
}

/// Tells whether a machine may have the address that a sign is about: its own it has for sure, and virtual ones move.
fn may_have(node: NodeIndex, segment: SegmentIndex, sign: Sign) -> bool {
    match sign {
        Sign::Answered(address) => unicast_address(node, segment, Family::of(address)) == address,
        Sign::Announced(_) => true,
    }
}
