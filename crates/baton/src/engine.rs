//! The thread that must be on time: it owns the virtual routers, their sockets and their one timer, and waits for
//! nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use host::clock::{Alarm, now, wall_clock};
use host::gateway;
use host::neighbour_socket::Sign;
use host::packet_socket::{Frame, FrameSocket};
use host::reconciler::KernelEvent;
use host::scheduling::Granted;
use monotonic::Instant;
use node::Segment;
use node::config::Config;
use node::hooks::HooksInput;
use node::legacy::Legacy;
use node::link::LinkEvent;
use node::name::{RouterName, TrackName};
use node::punctuality::Punctuality;
use node::report::Report;
use node::routers::{Announcement, Routers, RoutersInput, RoutersOutput, Solicitation, Transmission, Whom};
use node::status::RoutersStatus;
use node::track::{Observation, TrackConfig};
use node::wall_clock::WallClock;
use tokio::sync::{mpsc, watch};
use vrrp::{Family, solicitation};

use crate::bond::Bond;
use crate::desire::Desire;
use crate::hooks::HookLine;
use crate::journal::Journal;
use crate::pulse::Pulse;
use crate::sockets::Sockets;
use crate::turns::Turns;

/// How old the published status may become while only counters move; a monitor asks every few seconds.
const STATUS_AGE: Duration = Duration::from_secs(1);

/// What an operator wants of the engine.
#[derive(Debug)]
pub enum EngineCommand {
    /// Go on with this configuration.
    Reload(Arc<Config>),
    /// Hand these over and stay away, until then or until told otherwise.
    Pass {
        /// Which.
        routers: BTreeSet<RouterName>,
        /// Until when.
        until: Option<Instant>,
    },
    /// Stay away no longer.
    Return {
        /// Which.
        routers: BTreeSet<RouterName>,
    },
    /// Take over what was seen of a track.
    Tracked {
        /// The track.
        track: TrackName,
        /// How it was configured for whoever looked.
        config: Arc<TrackConfig>,
        /// What was seen.
        seen: Observation,
    },
    /// The hooks that had to run before a virtual router is handed over have.
    Prepared {
        /// Which.
        router: RouterName,
    },
    /// Hand everything over and end.
    Shutdown,
}

/// The virtual routers of this node at work; made and run on the thread that they own.
pub struct Engine {
    routers: Routers,
    sockets: Sockets,
    frame_socket: FrameSocket,
    alarm: Alarm,
    kernel: mpsc::Receiver<KernelEvent>,
    commands: mpsc::Receiver<EngineCommand>,
    desire: Desire,
    journal: Journal,
    status: watch::Sender<Arc<EngineStatus>>,
    turns: Turns,
    asked: Asked,
    /// When the status is published next, if anything happens by then; at once after what an operator wants to see.
    publish_at: Instant,
    wall_clock: WallClock,
    transmissions: Vec<Arc<Transmission>>,
    announcements: Vec<Announcement>,
    course: Course,
    pulse: Pulse,
    hooks: HookLine,
    /// What hooks hear when the status is published that they are told as well.
    news: Vec<HooksInput>,
}

/// What the engine is connected to.
pub struct Connections {
    /// What the kernel tells it.
    pub kernel: mpsc::Receiver<KernelEvent>,
    /// What an operator wants of it.
    pub commands: mpsc::Receiver<EngineCommand>,
    /// Where its roles go.
    pub desire: Desire,
    /// Where its events go.
    pub journal: Journal,
    /// Where its status goes.
    pub status: watch::Sender<Arc<EngineStatus>>,
    /// Where its roles and its signs of life go.
    pub bond: Bond,
    /// Where what hooks follow goes.
    pub hooks: HookLine,
}

/// Whom it asked last on each segment whether it can hear.
pub type Asked = BTreeMap<Segment, BTreeSet<IpAddr>>;

/// How the engine is.
#[derive(Debug, Default)]
pub struct EngineStatus {
    /// Its virtual routers.
    pub routers: RoutersStatus,
    /// How late it comes to what is due.
    pub punctuality: Punctuality,
    /// What the kernel gives its thread.
    pub granted: Granted,
    /// Whom it asked last.
    pub asked: Asked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Running,
    Ended,
}

/// Why the engine has something to do.
enum Wake {
    Packets,
    Deadline,
    Kernel(KernelEvent),
    Command(EngineCommand),
}

impl Engine {
    /// Returns an engine for this configuration that goes on with what was left to it; has to be called inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// The kernel's, when it gives no timer.
    pub fn new(
        config: Arc<Config>,
        legacy: &Legacy,
        frame_socket: FrameSocket,
        connections: Connections,
    ) -> io::Result<Self> {
        let Connections { kernel, commands, desire, journal, status, bond, hooks } = connections;
        let now = now();
        let pulse = Pulse::new(bond, desire.clone(), legacy, config.engine.address_lease, now);
        let mut routers = Routers::new(Arc::clone(&config), now);
        routers.inherit(legacy);
        Ok(Self {
            turns: Turns::new(config, &journal)?,
            asked: Asked::new(),
            routers,
            sockets: Sockets::default(),
            frame_socket,
            alarm: Alarm::new()?,
            kernel,
            commands,
            desire,
            journal,
            status,
            publish_at: now,
            wall_clock: WallClock::default(),
            transmissions: Vec::new(),
            announcements: Vec::new(),
            course: Course::Running,
            pulse,
            hooks,
            news: Vec::new(),
        })
    }

    /// Takes part until it is told to end and has handed everything over.
    ///
    /// # Errors
    /// The kernel's or the reactor's, when its timer fails; without one there is no going on.
    pub async fn run(mut self, interfaces: Vec<LinkEvent>) -> io::Result<()> {
        for event in interfaces {
            self.follow_link(event);
        }
        self.look_at_the_wall_clock();
        self.handle(RoutersInput::Start);
        self.desire.set_roles(self.routers.roles());
        self.flush();
        while self.course == Course::Running {
            let pulse_at = self.pulse.next();
            let wake_at = self.routers.next_deadline().map_or(pulse_at, |at| at.min(pulse_at));
            self.alarm.set(Some(wake_at))?;
            let wake = self.wait().await?;
            // Who waits for a successor's announcement is in haste.
            if let Wake::Packets = wake
                && !self.sockets.hears_neighbours()
            {
                self.turns.let_packets_gather(self.routers.next_deadline());
            }
            self.turn(wake);
        }
        Ok(())
    }

    async fn wait(&mut self) -> io::Result<Wake> {
        let wake = tokio::select! {
            biased;
            () = self.sockets.readable() => Wake::Packets,
            expired = self.alarm.expired() => expired.map(|()| Wake::Deadline)?,
            Some(event) = self.kernel.recv() => Wake::Kernel(event),
            Some(command) = self.commands.recv() => Wake::Command(command),
            never = pending() => never,
        };
        Ok(wake)
    }

    /// Whatever woke the engine: what waits in the sockets is heard before a deadline is acted on, so that a node that
    /// slept hears its successor before it says a word.
    fn turn(&mut self, wake: Wake) {
        let due = self.routers.next_deadline();
        self.look_at_the_wall_clock();
        self.hear();
        match wake {
            Wake::Packets => {
                // Where they come faster than they are heard nobody else would have his turn.
                if let Ok(event) = self.kernel.try_recv() {
                    self.follow_kernel(event);
                }
                if let Ok(command) = self.commands.try_recv() {
                    self.obey(command);
                }
            }
            Wake::Deadline => {}
            Wake::Kernel(event) => self.follow_kernel(event),
            Wake::Command(command) => self.obey(command),
        }
        self.turns.note(due, &self.journal);
        if self.routers.next_deadline().is_some_and(|deadline| deadline <= now()) {
            self.handle(RoutersInput::Deadline);
        }
        self.flush();
        self.turns.end();
    }

    fn follow_kernel(&mut self, event: KernelEvent) {
        match event {
            KernelEvent::Link(event) => self.follow_link(event),
            KernelEvent::Resynced => self.journal.tell(Report::NetlinkResync),
            KernelEvent::Reconciled(outcome) => self.handle(RoutersInput::Reconciled(*outcome)),
        }
    }

    fn obey(&mut self, command: EngineCommand) {
        match command {
            EngineCommand::Reload(config) => {
                self.pulse.lend(config.engine.address_lease, now());
                self.turns.follow(Arc::clone(&config), &self.journal);
                self.handle(RoutersInput::Reload(config));
                self.pulse.note();
                self.sockets.follow(&self.routers, &self.journal);
            }
            EngineCommand::Pass { routers, until } => {
                self.handle(RoutersInput::Pass { routers, until });
            }
            EngineCommand::Return { routers } => {
                self.handle(RoutersInput::Return { routers });
            }
            EngineCommand::Tracked { track, config, seen } => {
                self.handle(RoutersInput::Tracked { track, config, seen });
            }
            EngineCommand::Prepared { router } => {
                self.handle(RoutersInput::Prepared { router });
            }
            EngineCommand::Shutdown => self.handle(RoutersInput::Shutdown),
        }
    }

    /// People's time only matters where it was set.
    fn look_at_the_wall_clock(&mut self) {
        let seen = now();
        let shown = WallClock::new(seen, wall_clock());
        if shown.differs(self.wall_clock) {
            self.wall_clock = shown;
            self.handle(RoutersInput::WallClock(shown));
        }
    }

    fn hear(&mut self) {
        let Self { sockets, routers, .. } = self;
        let mut outputs = Vec::new();
        sockets
            .receive(|datagram| outputs.append(&mut routers.handle(RoutersInput::Datagram(datagram), now())));
        // A successor advertises before it announces.
        sockets.receive_signs(|segment, sign| {
            let said = match sign {
                Sign::Announced(address) => {
                    RoutersInput::AddressAnnounced { interface: segment.interface.clone(), address }
                }
                Sign::Answered(address) => {
                    RoutersInput::NeighbourAnswered { segment: segment.clone(), address }
                }
            };
            let mut follows = routers.handle(said, now());
            if follows.is_empty() {
                return ControlFlow::Continue(());
            }
            // What follows from it does not wait for others: two nodes may have an address until then.
            outputs.append(&mut follows);
            ControlFlow::Break(())
        });
        self.carry_out(outputs);
    }

    fn follow_link(&mut self, event: LinkEvent) {
        self.sockets.follow_link(&event);
        self.handle(RoutersInput::Link(event));
        self.pulse.note();
        self.sockets.follow(&self.routers, &self.journal);
    }

    fn handle(&mut self, input: RoutersInput<'_>) {
        let outputs = self.routers.handle(input, now());
        self.carry_out(outputs);
    }

    fn carry_out(&mut self, outputs: Vec<RoutersOutput>) {
        for output in outputs {
            match output {
                RoutersOutput::Send(transmission) => self.transmissions.push(transmission),
                RoutersOutput::Announce(announcement) | RoutersOutput::Introduce(announcement) => {
                    self.announcements.push(announcement);
                }
                RoutersOutput::Solicit(solicitation) => self.ask(&solicitation),
                RoutersOutput::RolesChanged => {
                    self.pulse.note();
                    // Who is Active now says so before the kernel is asked for anything.
                    self.send();
                    self.desire.set_roles(self.routers.roles());
                    self.publish_at = Instant::START;
                }
                RoutersOutput::Report(report) => {
                    self.pulse.note();
                    self.news.extend(HooksInput::of(&report));
                    self.journal.tell(report);
                    self.sockets.follow_neighbours(&self.routers, &self.journal);
                    self.publish_at = Instant::START;
                }
                RoutersOutput::Prepare { router, until, reason } => {
                    self.news.push(HooksInput::Prepare { router, until, reason });
                }
                RoutersOutput::Exit => self.course = Course::Ended,
            }
        }
    }

    /// What became due in one turn goes out together.
    fn flush(&mut self) {
        if !self.transmissions.is_empty() && self.routers.dates_its_legacy() {
            self.pulse.note();
        }
        self.send();
        self.announce();
        if self.sockets.hears_neighbours() {
            self.sockets.follow_neighbours(&self.routers, &self.journal);
        }
        let now = now();
        self.pulse.beat(&self.routers, now);
        if now >= self.publish_at {
            self.publish_at = now + STATUS_AGE;
            if self.sockets.are_lacking() {
                self.sockets.follow(&self.routers, &self.journal);
            }
            self.status.send_replace(Arc::new(EngineStatus {
                routers: self.routers.status(),
                punctuality: self.turns.punctuality().clone(),
                granted: self.turns.granted().clone(),
                asked: self.asked.clone(),
            }));
        }
        for input in self.news.drain(..) {
            self.hooks.tell(input);
        }
    }

    fn send(&mut self) {
        self.sockets.send(&self.transmissions, &self.frame_socket, &self.journal);
        self.transmissions.clear();
    }

    /// Asks neighbours; who is deaf on this interface gets no answer.
    fn ask(&mut self, solicitation: &Solicitation) {
        let Solicitation { interface, link, source, mac, whom } = solicitation;
        let targets = match whom {
            Whom::Neighbours(peers) => {
                let family = Family::of(*source);
                // Without it the others are asked all the same.
                let gateway = gateway::towards_the_world(*link, family).ok().flatten();
                let targets: BTreeSet<_> = peers.iter().copied().chain(gateway).collect();
                self.asked.insert(Segment { interface: interface.clone(), family }, targets.clone());
                targets
            }
            Whom::Holders(addresses) => addresses.clone(),
        };
        let frames: Vec<_> =
            targets.iter().filter_map(|target| solicitation::frame(*target, *source, *mac)).collect();
        let frames: Vec<_> = frames.iter().map(|octets| Frame { interface_index: *link, octets }).collect();
        if let Some(failure) = self.frame_socket.send_batch(&frames).first() {
            self.sockets.tell_failure(interface, failure.error.to_string(), &self.journal);
        }
    }

    fn announce(&mut self) {
        let rounds = self.announcements.iter().map(|announcement| announcement.count).max().unwrap_or(0);
        // Every address once before any a second time.
        let frames: Vec<_> = (0..rounds)
            .flat_map(|round| self.announcements.iter().filter(move |one| one.count > round))
            .map(|one| Frame { interface_index: one.link, octets: &one.frame })
            .collect();
        if frames.is_empty() {
            return;
        }
        let mut failed = BTreeMap::new();
        for failure in self.frame_socket.send_batch(&frames) {
            failed.insert(frames[failure.index].interface_index, failure.error.to_string());
        }
        for announcement in &self.announcements {
            if let Some(reason) = failed.remove(&announcement.link) {
                let interface = announcement.address.interface.clone();
                self.sockets.tell_failure(&interface, reason, &self.journal);
            }
        }
        self.announcements.clear();
    }
}
