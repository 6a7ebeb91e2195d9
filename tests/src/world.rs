//! Every node of a site in one virtual time.

mod faults;
mod guarding;
mod outputs;
mod preparing;
mod tracking;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use monotonic::Instant;
use node::name::InterfaceName;
use node::plan::Change;
use node::pools::{Outcome, ProbeId};
use node::reconciliation::Said;
use node::report::Report;
use node::{Datagram, Input, Segment};
use vrrp::Family;

use crate::dice::{Dice, PerMille};
use crate::event_queue::EventQueue;
use crate::fault::Fault;
use crate::invariants::{self, Broken};
use crate::kernel::{Finished, Pace, Ticket};
use crate::machine::{Daemon, Machine};
use crate::network::{Network, Quality};
use crate::referee::Referee;
use crate::scene::{Presence, Scene, Standing};
use crate::site::{
    Carrier, NodeIndex, RouterIndex, SEGMENT_LIMIT, SegmentIndex, ServerIndex, Site, TrackIndex,
    interface_name, router_name, router_named,
};
use crate::trace::{Detail, Trace, told};

/// How long after its start a world begins: its nodes start in the middle of a second, like real ones.
const FIRST_MOMENT: Duration = Duration::from_millis(1_000_123);

/// How far the clocks of two machines may be apart; more than any interval is as good as anything.
const CLOCK_SPREAD: Duration = Duration::from_secs(100);

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The nodes and their configuration.
    pub site: Site,
    /// How well the segments carry.
    pub quality: Quality,
    /// How fast the kernels work.
    pub pace: Pace,
    /// How much is written down.
    pub detail: Detail,
}

/// Every node of a site in one virtual time.
#[derive(Clone, Debug)]
pub struct World {
    now: Instant,
    queue: EventQueue<Event>,
    machines: Vec<Machine>,
    interfaces: [InterfaceName; SEGMENT_LIMIT],
    network: Network,
    living: Vec<Life>,
    /// How often a probe fails for a reason of the node's own.
    shortage: PerMille,
    referee: Referee,
    trace: Trace,
    dice: Dice,
    inputs: u64,
    fingerprint: u64,
}

/// Whether a real server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Alive,
    Dead,
}

/// Something that is going to happen.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A fault of the scenario.
    Fault(Fault),
    /// A packet reaches a node.
    Arrival { to: NodeIndex, segment: SegmentIndex, packet: Packet },
    /// A machine is asked for an address.
    Question { from: NodeIndex, to: NodeIndex, segment: SegmentIndex, sign: Sign },
    /// A node hears what a neighbour says of an address.
    SignArrival { to: NodeIndex, segment: SegmentIndex, sign: Sign },
    /// A reconciler is to be seen to.
    KernelWork { node: NodeIndex, life: u32, ticket: Ticket },
    /// A node looks at a track.
    Look { node: NodeIndex, life: u32, track: TrackIndex },
    /// A guard is to be seen to.
    Guard { node: NodeIndex, number: u32 },
    /// A daemon begins that a guard has started.
    Begin { node: NodeIndex, life: u32 },
    /// The leases of a machine's addresses end, unless they are renewed by now.
    LeasesEnd { node: NodeIndex },
    /// The hooks that a hand-over waits for have run.
    Prepared { node: NodeIndex, life: u32, router: RouterIndex },
    /// A probe is over.
    ProbeOver { node: NodeIndex, life: u32, probe: ProbeId, server: ServerIndex, outcome: Outcome },
}

/// What a neighbour says of an address of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sign {
    Announced(IpAddr),
    Answered(IpAddr),
}

/// A packet on its way.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    source: std::net::IpAddr,
    destination: std::net::IpAddr,
    payload: Arc<[u8]>,
}

/// What comes up next.
enum Turn {
    Event,
    Deadline(NodeIndex),
}

impl World {
    /// Returns a world in which nobody runs yet, with the chance of this seed.
    pub fn new(setting: Setting, seed: u64) -> Self {
        let Setting { site, quality, pace, detail } = setting;
        let mut dice = Dice::new(seed);
        let mut machine = |node| {
            let clock = dice.between(Duration::ZERO, CLOCK_SPREAD);
            Machine::new(site.config(node), pace, clock)
        };
        let machines = site.node_indices().map(&mut machine).collect();
        let servers = site.service.map_or(0, |service| service.real_servers);
        let mut referee = Referee::new(Scene::new(site));
        if quality.loss > PerMille(0) {
            referee.lose_words();
        }
        Self {
            now: Instant::from_start(FIRST_MOMENT),
            queue: EventQueue::default(),
            machines,
            interfaces: [0, 1].map(|segment| interface_name(SegmentIndex(segment))),
            network: Network::new(quality),
            living: vec![Life::Alive; servers],
            shortage: PerMille(0),
            referee,
            trace: Trace::new(detail, Instant::from_start(FIRST_MOMENT)),
            dice,
            inputs: 0,
            fingerprint: 0,
        }
    }

    /// Returns what time it is.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Returns what is known of every node.
    pub fn scene(&self) -> &Scene {
        &self.referee.scene
    }

    /// Returns how many inputs the nodes have handled.
    pub fn inputs(&self) -> u64 {
        self.inputs
    }

    /// Returns a number that differs, all but surely, where anything else happened.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Returns what happened so far.
    pub fn trace(&self) -> &str {
        self.trace.text()
    }

    /// Returns the source of chance.
    pub fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    /// Returns how long after the last fault every election is over.
    pub fn calm(&self) -> Duration {
        self.referee.calm(&self.network)
    }

    /// Returns how long it takes until nobody hands over any more.
    pub fn hand_overs(&self) -> Duration {
        let prepared = self.referee.scene.preparations.iter().map(|(_, _, until)| until - self.now).max();
        let leaving = self.referee.scene.leaving().next();
        match (prepared, leaving) {
            (None, None) => Duration::ZERO,
            (None | Some(_), Some(_)) | (Some(_), None) => {
                prepared.unwrap_or_default() + self.referee.longest_hand_over()
            }
        }
    }

    /// Lets a fault come at a moment that has not passed.
    pub fn schedule(&mut self, at: Instant, fault: Fault) {
        self.queue.put(at.max(self.now), Event::Fault(fault));
    }

    /// Lets a fault come now.
    ///
    /// # Errors
    /// The invariant that it breaks.
    pub fn inflict(&mut self, fault: Fault) -> Result<(), Broken> {
        self.suffer(fault)
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn run_for(&mut self, time: Duration) -> Result<(), Broken> {
        let end = self.now + time;
        while let Some((at, turn)) = self.next_turn().filter(|(at, _)| *at <= end) {
            self.referee.until(at, &self.network)?;
            self.now = at;
            match turn {
                Turn::Event => {
                    let event = self.queue.take().expect("the turn is that of the first event");
                    self.happen(event)?;
                }
                Turn::Deadline(node) => self.meet_deadline(node)?,
            }
        }
        self.referee.until(end, &self.network)?;
        self.now = end;
        Ok(())
    }

    /// Looks at everything that must hold when the world was quiet long enough for kernels and checks to settle too.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn settle(&self) -> Result<(), Broken> {
        let alive: Vec<_> = self.living.iter().map(|life| *life == Life::Alive).collect();
        for (node, machine) in self.referee.scene.site.node_indices().zip(&self.machines) {
            match &machine.daemon {
                Daemon::Running(_) if machine.kernel.is_done() => {
                    let (scene, held) = (&self.referee.scene, machine.kernel.held());
                    invariants::checks_find_the_truth(node, &machine.book, &alive)?;
                    invariants::the_host_holds_what_is_active_and_fit(
                        node,
                        scene,
                        &machine.book,
                        held,
                        self.now,
                    )?;
                }
                Daemon::Running(_) if machine.kernel.is_refusing() => {}
                Daemon::Running(_) | Daemon::Leaving => {
                    invariants::kernels_come_to_rest(node, &machine.kernel)?;
                }
                Daemon::Absent if machine.leases_end.is_none() => {
                    invariants::nobody_holds_what_is_not_renewed(node, machine.kernel.held())?;
                }
                Daemon::Absent | Daemon::Beginning | Daemon::Paused(..) => {}
            }
        }
        self.referee.look_at_traffic()
    }

    /// What waits in the sockets comes before a deadline of the same moment.
    fn next_turn(&self) -> Option<(Instant, Turn)> {
        let mut next = self.queue.next_at().map(|at| (at, Turn::Event));
        for (index, machine) in self.machines.iter().enumerate() {
            let Some(deadline) = machine.deadline else { continue };
            if next.as_ref().is_none_or(|(at, _)| deadline.max(self.now) < *at) {
                next = Some((deadline.max(self.now), Turn::Deadline(NodeIndex(index))));
            }
        }
        next
    }

    fn meet_deadline(&mut self, node: NodeIndex) -> Result<(), Broken> {
        self.trace.note(Detail::Everything, node, self.now, || "deadline".to_owned());
        self.feed(node, Input::Deadline)?;
        invariants::a_deadline_passes_once(node, self.machines[node.0].deadline, self.now)
    }

    fn happen(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Fault(fault) => self.suffer(fault),
            Event::Arrival { to, segment, packet } => self.arrive(to, segment, packet),
            Event::Question { from, to, segment, sign } => {
                self.answer_question(from, to, segment, sign);
                Ok(())
            }
            Event::SignArrival { to, segment, sign } => self.hear_sign(to, segment, sign),
            Event::KernelWork { node, life, ticket } => self.work(node, life, ticket),
            Event::Look { node, life, track } => self.look(node, life, track),
            Event::Guard { node, number } => self.guard(node, number),
            Event::Begin { node, life } => self.begin(node, life),
            Event::LeasesEnd { node } => {
                self.end_leases(node);
                Ok(())
            }
            Event::Prepared { node, life, router } => self.prepared(node, life, router),
            Event::ProbeOver { node, life, probe, server, outcome } => {
                self.answer(node, life, probe, server, outcome)
            }
        }
    }

    fn arrive(&mut self, to: NodeIndex, segment: SegmentIndex, packet: Packet) -> Result<(), Broken> {
        if self.referee.scene.carrier(to, segment) == Carrier::Down {
            return Ok(());
        }
        if let Daemon::Paused(_, backlog) = &mut self.machines[to.0].daemon {
            backlog.push(Event::Arrival { to, segment, packet });
            return Ok(());
        }
        let Packet { source, destination, payload } = packet;
        self.trace.note(Detail::Everything, to, self.now, || {
            format!("hears {source}: vrid {} priority {}", payload[1], payload[2])
        });
        let rival = self.rivalry(to, &payload);
        let before = rival.and_then(|router| self.believed(to, router));
        let interface = self.interfaces[segment.0].clone();
        let datagram =
            Datagram { interface: &interface, source, destination, hop_limit: 255, payload: &payload };
        self.feed(to, Input::Datagram(datagram))?;
        if let Some(router) = rival
            && self.believed(to, router) > before
        {
            self.referee.contest(to, router, self.now);
        }
        Ok(())
    }

    /// Returns the virtual router that this advertisement claims although the node that hears it is its Active.
    fn rivalry(&self, to: NodeIndex, payload: &[u8]) -> Option<RouterIndex> {
        let (router, priority) = invariants::said(payload)?;
        let is_rival = priority > 0 && self.referee.scene.standing(to, router) == Standing::Active;
        is_rival.then_some(router)
    }

    /// Returns how many advertisements a node has believed: where they are proven and clocks are set, it may take one for
    /// a recording.
    fn believed(&self, node: NodeIndex, router: RouterIndex) -> Option<u64> {
        let Daemon::Running(brain) = &self.machines[node.0].daemon else { return None };
        let routers = brain.status().0.virtual_routers;
        routers.get(&router_name(router)).map(|status| status.counters.advertisements_received)
    }

    fn hear_sign(&mut self, to: NodeIndex, segment: SegmentIndex, sign: Sign) -> Result<(), Broken> {
        if self.referee.scene.carrier(to, segment) == Carrier::Down {
            return Ok(());
        }
        if let Daemon::Paused(_, backlog) = &mut self.machines[to.0].daemon {
            backlog.push(Event::SignArrival { to, segment, sign });
            return Ok(());
        }
        let interface = self.interfaces[segment.0].clone();
        self.feed(
            to,
            match sign {
                Sign::Announced(address) => Input::AddressAnnounced { interface, address },
                Sign::Answered(address) => {
                    let segment = Segment { interface, family: Family::of(address) };
                    Input::NeighbourAnswered { segment, address }
                }
            },
        )
    }

    fn work(&mut self, node: NodeIndex, life: u32, ticket: Ticket) -> Result<(), Broken> {
        let machine = &mut self.machines[node.0];
        if machine.life != life {
            return Ok(());
        }
        if let Daemon::Paused(_, backlog) = &mut machine.daemon {
            backlog.push(Event::KernelWork { node, life, ticket });
            return Ok(());
        }
        let Finished { changes, outcome, next } = {
            let Machine { kernel, daemon, .. } = machine;
            kernel.finish(ticket, || daemon.wanted())?
        };
        if let Some(appointment) = next {
            let ticket = appointment.ticket;
            self.queue.put(self.now + appointment.after, Event::KernelWork { node, life, ticket });
        }
        let has_devices = changes.iter().any(|change| matches!(change, Change::Device(..)));
        for change in changes {
            self.trace.note(Detail::Story, node, self.now, || format!("kernel: {change}"));
        }
        if has_devices {
            self.tell_devices(node)?;
        }
        let Some(outcome) = outcome else { return Ok(()) };
        let announced = outcome.taken.iter().filter(|(_, said)| **said == Said::Once);
        for (address, _) in announced {
            self.referee.hear_first_word(node, address, self.machines[node.0].kernel.told())?;
            self.announce(node, address, 1);
        }
        let machine = &mut self.machines[node.0];
        match &machine.daemon {
            Daemon::Running(_) => {}
            Daemon::Leaving if machine.kernel.is_done() => return self.end(node),
            Daemon::Leaving | Daemon::Paused(..) | Daemon::Beginning | Daemon::Absent => return Ok(()),
        }
        if machine.kernel.is_done() {
            let (scene, held) = (&self.referee.scene, machine.kernel.held());
            invariants::the_host_holds_what_is_active_and_fit(node, scene, &machine.book, held, self.now)?;
        }
        self.feed(node, Input::Reconciled(outcome))
    }

    fn answer(
        &mut self,
        node: NodeIndex,
        life: u32,
        probe: ProbeId,
        server: ServerIndex,
        outcome: Outcome,
    ) -> Result<(), Broken> {
        let machine = &mut self.machines[node.0];
        if machine.life != life {
            return Ok(());
        }
        if let Daemon::Paused(_, backlog) = &mut machine.daemon {
            backlog.push(Event::ProbeOver { node, life, probe, server, outcome });
            return Ok(());
        }
        let service = self.referee.scene.site.service.as_ref().expect("only real servers are asked");
        machine.book.note(service, server, &outcome);
        self.trace.note(Detail::Everything, node, self.now, || format!("probe of {server:?}: {outcome:?}"));
        self.feed(node, Input::Probed { probe, outcome })
    }

    /// Hands one input to a node that runs and carries out what it answers; a node that does not run hears nothing.
    fn feed(&mut self, node: NodeIndex, input: Input<'_>) -> Result<(), Broken> {
        let machine = &mut self.machines[node.0];
        let Daemon::Running(brain) = &mut machine.daemon else { return Ok(()) };
        let outputs = brain.handle(input, self.now + machine.clock);
        machine.note_deadline();
        self.inputs += 1;
        self.note_fingerprint(node, outputs.len());
        if outputs.is_empty() {
            return Ok(());
        }
        self.carry_out(node, outputs)
    }

    /// Mixes what happened into the fingerprint: an odd factor and a rotation, as FNV does.
    fn note_fingerprint(&mut self, node: NodeIndex, outputs: usize) {
        const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
        let at = self.now.since_start();
        let happened = [at.as_secs(), u64::from(at.subsec_nanos()) << 8 | number(node.0), number(outputs)];
        for part in happened {
            self.fingerprint = (self.fingerprint ^ part).wrapping_mul(ODD).rotate_left(23);
        }
    }

    fn tell(&mut self, node: NodeIndex, report: &Report) -> Result<(), Broken> {
        self.trace.note(Detail::Story, node, self.now, || told(report));
        if let Report::BecameActive { router, .. } = report {
            self.look_at_the_hanging(router_named(router))?;
        }
        if let Report::HandingOver { router, .. } = report {
            let scene = &self.referee.scene;
            invariants::hooks_have_their_time(node, router_named(router), scene, self.now)?;
        }
        self.referee.hear_report(node, report, &self.network, self.now)
    }

    fn end(&mut self, node: NodeIndex) -> Result<(), Broken> {
        let machine = &mut self.machines[node.0];
        machine.daemon = Daemon::Absent;
        self.referee.set_presence(node, Presence::Absent, self.now);
        self.trace.note(Detail::Story, node, self.now, || "ends".to_owned());
        invariants::a_stop_leaves_nothing(node, machine.kernel.held())
    }
}

fn number(index: usize) -> u64 {
    u64::try_from(index).expect("counts fit in 64 bits")
}
