//! Decides when which invariant is to be looked at.

mod take_overs;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use monotonic::Instant;
use node::Output;
use node::config::InterfaceAddress;
use node::report::Report;
use vrrp::{Centiseconds, Priority};

pub use self::take_overs::End;
use self::take_overs::{Spoke, TakeOver};
use crate::invariants::{self, Broken};
use crate::network::Network;
use crate::scene::{Presence, Scene, Standing};
use crate::site::{
    Grouping, NODE_LIMIT, NodeIndex, Proof, ROUTER_LIMIT, RouterIndex, Sight, SiteNode, TrackIndex,
    router_named,
};
use crate::track_book::{News, TrackBook};

/// Beyond the protocol's own times: nothing, but that what is due at a moment may be handled after the question.
const MARGIN: Duration = Duration::from_micros(1);

/// The longest skew time of version 2, whatever the interval.
const LONGEST_SKEW: Duration = Duration::from_secs(1);

/// What a hand-over may take beyond the skew time: until the successor is heard, and until it has the addresses.
const SUCCESSION_MARGIN: Duration = Duration::from_millis(100);
const SUCCESSION_TIME: Duration = Duration::from_millis(50);

/// Watches over a world.
#[derive(Clone, Debug)]
pub struct Referee {
    /// What is known of every node.
    pub scene: Scene,
    quiet_since: Instant,
    /// The same before the moment of the last disturbance.
    quiet_before_that: Instant,
    disturbances: u64,
    elections: [Election; ROUTER_LIMIT],
    /// The extremes of the intervals and the lowest priority that any node ever had.
    shortest_interval: [Centiseconds; ROUTER_LIMIT],
    longest_interval: [Centiseconds; ROUTER_LIMIT],
    lowest_priority: [Priority; ROUTER_LIMIT],
    /// What they make of the time that an election takes.
    slowest_election: Duration,
    expected: Vec<TakeOver>,
    /// Until when each node could advertise, as of its last change of presence; of one that runs ask [`Self::spoke`].
    spoke: [Spoke; NODE_LIMIT],
    /// Since when the daemon of each node is there, if it is.
    resumed: [Instant; NODE_LIMIT],
    announced: BTreeMap<(NodeIndex, InterfaceAddress), Instant>,
    announced_last_by: BTreeMap<InterfaceAddress, NodeIndex>,
    words: Words,
    clocks: Clocks,
    /// When each node last heard another Active while it was Active itself.
    contested: [[Instant; ROUTER_LIMIT]; NODE_LIMIT],
}

/// What is known of an election's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Election {
    /// Something was done to the world not long ago.
    Open,
    /// The world was quiet for long enough, and the outcome is right.
    Over,
    /// The world was quiet for long enough, but the roads leave no right outcome.
    Unclear,
}

/// Whether every node has heard the last word of each Active that it should have heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    /// It has.
    Kept,
    /// One may have been lost, or never said.
    Lost,
}

/// Whether somebody has set a wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clocks {
    /// Nobody has.
    Kept,
    /// Somebody has.
    Set,
}

impl Referee {
    /// Returns the referee of a scene on which nobody runs yet.
    pub fn new(scene: Scene) -> Self {
        let mut referee = Self {
            scene,
            quiet_since: Instant::START,
            quiet_before_that: Instant::START,
            disturbances: 0,
            elections: [Election::Open; ROUTER_LIMIT],
            shortest_interval: [Centiseconds::MAX_V2; ROUTER_LIMIT],
            longest_interval: [Centiseconds::new(1); ROUTER_LIMIT],
            lowest_priority: [Priority::OWNER; ROUTER_LIMIT],
            slowest_election: Duration::ZERO,
            expected: Vec::new(),
            spoke: [Spoke::NEVER; NODE_LIMIT],
            resumed: [Instant::START; NODE_LIMIT],
            announced: BTreeMap::new(),
            announced_last_by: BTreeMap::new(),
            words: Words::Kept,
            clocks: Clocks::Kept,
            contested: [[Instant::START; ROUTER_LIMIT]; NODE_LIMIT],
        };
        referee.note_extremes();
        referee
    }

    /// Returns how long an election takes at most after the world became quiet: packets that are still on their way, a
    /// whole active-down interval, and the way of the winner's first advertisement.
    ///
    /// Where the nodes' intervals differ, the loser's last advertisement may reach a Backup after the winner's first one
    /// and teach it the loser's shorter interval; it claims once more and is answered. In a sync group a member that
    /// yields makes the others release, and a release sets a Backup's timer to the skew time, however little was left.
    /// Where advertisements are proven and clocks are set, a Backup may take those of a node that was started again for
    /// recordings until it claims itself, and is heard by that node.
    pub fn calm(&self, network: &Network) -> Duration {
        self.slowest_election + 4 * network.longest_delay() + MARGIN
    }

    /// Returns how long a hand-over takes at most.
    pub fn longest_hand_over(&self) -> Duration {
        let longest = self.longest_interval.into_iter().zip(self.scene.site.router_indices());
        let longest = longest.map(|(interval, _)| interval.duration()).max().unwrap_or_default();
        longest.max(LONGEST_SKEW) + SUCCESSION_TIME + SUCCESSION_MARGIN + MARGIN
    }

    /// Notes that something was done to the world.
    pub fn disturb(&mut self, now: Instant) {
        self.quiet_before_that = self.quiet_before(now);
        self.quiet_since = now;
        self.disturbances += 1;
        self.elections = [Election::Open; ROUTER_LIMIT];
    }

    /// Returns since when the world had been quiet before what is done to it at this moment.
    fn quiet_before(&self, now: Instant) -> Instant {
        if self.quiet_since < now { self.quiet_since } else { self.quiet_before_that }
    }

    /// Returns how often something was done to the world.
    pub fn disturbances(&self) -> u64 {
        self.disturbances
    }

    /// Tells whether the outcome of every election is known and right.
    pub fn is_settled(&self) -> bool {
        self.scene.site.router_indices().all(|router| self.elections[router.0] == Election::Over)
    }

    /// Notes that something was done to a node.
    pub fn disturb_node(&mut self, node: NodeIndex, now: Instant) {
        self.scene.disturb(node, now);
        self.disturb(now);
    }

    /// Notes that a node has another configuration from now on.
    pub fn reconfigure(&mut self, node: NodeIndex, configured: SiteNode) {
        self.scene.site.nodes[node.0] = configured;
        self.note_extremes();
    }

    /// Looks at what must hold until this moment; nothing has happened since the last one.
    ///
    /// # Errors
    /// The invariant that does not hold.
    pub fn until(&mut self, now: Instant, network: &Network) -> Result<(), Broken> {
        self.end_track_waits(now);
        for router in self.scene.site.router_indices() {
            if self.scene.active_count(router) > 1 {
                invariants::one_active(router, &self.scene, network, now)?;
            }
        }
        if !self.expected.is_empty() {
            self.miss_take_overs(now)?;
        }
        for (node, router, until) in self.scene.preparations.iter() {
            invariants::no_hook_holds_up_a_release(node, router, until + MARGIN, &self.scene, now)?;
        }
        let is_open = self.elections[0] == Election::Open;
        if is_open && now > self.quiet_since + self.calm(network) {
            let leaving = self.scene.leaving().next();
            match leaving {
                Some((node, router)) => self.look_at_hand_over(node, router, now)?,
                None if self.scene.preparations.iter().next().is_some() => {}
                None => self.close_elections(network)?,
            }
        }
        Ok(())
    }

    /// Looks at what a node answered and notes what it told.
    ///
    /// # Errors
    /// The invariant that does not hold.
    pub fn hear_report(
        &mut self,
        node: NodeIndex,
        report: &Report,
        network: &Network,
        now: Instant,
    ) -> Result<(), Broken> {
        if let Report::AdvertisementRefused { rejection, .. } = report {
            // Networks double packets, and clocks are set while nodes are down.
            if self.scene.site.proof == Proof::Given && rejection.reason() == "replayed" {
                return Ok(());
            }
            return invariants::nodes_understand_each_other(node, report);
        }
        // What a hand-over leaves behind is a matter of the election that begins with its end.
        if let Report::RouterFaulted { .. } | Report::RouterRecovered { .. } | Report::HandedOver { .. } =
            report
        {
            self.hear_own_word(node, now);
        }
        if let Report::NeighbourAnswered { .. } | Report::NobodyTookOver { .. } = report {
            self.disturb_node(node, now);
        }
        if let Report::HandingOver { router, .. } = report {
            self.expect_succession(node, router_named(router), network, now);
        }
        if let Some(track) = invariants::track_told(report) {
            self.end_track_wait(node, track, now);
        }
        if let Report::HandOverCalledOff { router } = report {
            self.scene.preparations.end(node, router_named(router));
        }
        if let Some((router, absence)) = invariants::absence_told(report) {
            self.scene.set_away(node, router, absence);
            self.hear_own_word(node, now);
        }
        let Some((router, standing)) = invariants::standing_told(report) else { return Ok(()) };
        if self.elections[router.0] == Election::Over {
            return invariants::nothing_moves_in_the_quiet(node, report);
        }
        self.scene.set_standing(node, router, standing, now);
        if standing == Standing::Active {
            self.expected.retain(|expected| expected.router != router);
        }
        Ok(())
    }

    /// Notes that a node announces an address.
    pub fn hear_announcement(&mut self, node: NodeIndex, address: &InterfaceAddress, now: Instant) {
        self.announced.insert((node, address.clone()), now);
        self.announced_last_by.insert(address.clone(), node);
    }

    /// Notes that an Active's last word may be lost, or not be said at all.
    pub fn lose_words(&mut self) {
        self.words = Words::Lost;
    }

    /// Notes that a node has looked at a track.
    pub fn see(&mut self, node: NodeIndex, index: TrackIndex, sight: Sight, now: Instant) {
        let track = self.scene.site.tracks[index.0];
        if self.scene.book_mut(node).note(&track, index, sight, now) == News::Some {
            self.disturb_node(node, now);
            self.note_extremes();
        }
    }

    /// Lets hold what tracks have shown for long enough; a node that stands still finds out when it goes on.
    fn end_track_waits(&mut self, now: Instant) {
        for node in self.scene.site.node_indices() {
            if self.scene.presence(node) != Presence::Running {
                continue;
            }
            for track in self.scene.site.track_indices() {
                let Some(end) = self.scene.book(node).waits_until(track) else { continue };
                let found_out = end.max(self.scene.disturbed(node));
                if found_out < now {
                    self.end_track_wait(node, track, found_out);
                }
            }
        }
    }

    fn end_track_wait(&mut self, node: NodeIndex, track: TrackIndex, now: Instant) {
        if self.scene.book_mut(node).end_wait(track, now) == News::Some {
            self.disturb_node(node, now);
            self.note_extremes();
        }
    }

    /// Notes that a node knows nothing of its tracks any more.
    pub fn forget_tracks(&mut self, node: NodeIndex) {
        *self.scene.book_mut(node) = TrackBook::default();
        self.note_extremes();
    }

    /// Notes that somebody has set a wall clock.
    pub fn set_clocks(&mut self) {
        self.clocks = Clocks::Set;
        self.note_extremes();
    }

    /// Notes that an Active has heard another one and believed it: it has to draw the traffic back, in its whole sync
    /// group, since there the other one was Active too.
    pub fn contest(&mut self, node: NodeIndex, router: RouterIndex, now: Instant) {
        let together: Vec<_> = self.scene.together_with(router).collect();
        for router in together {
            self.contested[node.0][router.0] = now;
        }
    }

    /// Looks at what a node answered, before it is carried out.
    ///
    /// # Errors
    /// The invariant that does not hold.
    pub fn hear_outputs(
        &self,
        node: NodeIndex,
        outputs: &[Output],
        held: &BTreeSet<InterfaceAddress>,
        now: Instant,
    ) -> Result<(), Broken> {
        invariants::only_an_active_speaks(node, outputs, &self.scene, held, now)
    }

    /// Looks whether a node's kernel may announce what it has just taken.
    ///
    /// # Errors
    /// [`Broken`] when its daemon is not Active.
    pub fn hear_first_word(
        &self,
        node: NodeIndex,
        address: &InterfaceAddress,
        held: &BTreeSet<InterfaceAddress>,
    ) -> Result<(), Broken> {
        let standings = self.scene.standings_of(node);
        invariants::only_an_active_announces(node, address, &standings, &self.scene, held)
    }

    /// Looks at where the neighbours' traffic goes now that everything is settled.
    ///
    /// # Errors
    /// The invariant that does not hold.
    pub fn look_at_traffic(&self) -> Result<(), Broken> {
        let scene = &self.scene;
        for router in scene.site.router_indices() {
            let actives = scene.actives(router).filter(|node| scene.presence(*node) == Presence::Running);
            for active in actives {
                let contested = self.contested[active.0][router.0];
                for address in scene.site.moving_addresses(active, router) {
                    let announced = self.announced.get(&(active, address.clone())).copied();
                    invariants::traffic_goes_to_the_active(
                        router, active, &address, announced, contested, scene,
                    )?;
                    if self.words == Words::Kept && scene.active_count(router) == 1 {
                        let last_by = self.announced_last_by.get(&address).copied();
                        invariants::the_active_announces_last(router, active, &address, last_by)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn note_extremes(&mut self) {
        for router in self.scene.site.router_indices() {
            for node in self.scene.site.node_indices() {
                let seat = self.scene.seat(node, router);
                let shortest = &mut self.shortest_interval[router.0];
                *shortest = seat.interval.min(*shortest);
                let longest = &mut self.longest_interval[router.0];
                *longest = seat.interval.max(*longest);
                let lowest = &mut self.lowest_priority[router.0];
                *lowest = seat.priority.min(*lowest);
            }
            self.slowest_election = self.slowest_election.max(self.longest_election(router));
        }
    }

    fn longest_election(&self, RouterIndex(router): RouterIndex) -> Duration {
        let version = self.scene.site.routers[router].version;
        let (longest, lowest) = (self.longest_interval[router], self.lowest_priority[router]);
        let rounds =
            1 + u32::from(self.shortest_interval[router] != longest) + u32::from(self.may_be_disbelieved());
        let seats = self.scene.site.nodes.iter().map(|node| node.seats[router]);
        let held_back = seats.map(|seat| {
            // Counted from the first advertisement of a lower one, who has to become Active before.
            let before_preempting = match seat.restraint.before_preempting {
                Duration::ZERO => Duration::ZERO,
                delay => longest.active_down(version, lowest) + delay + longest.duration(),
            };
            seat.start_delay + seat.restraint.unheard.max(before_preempting)
        });
        let held_back = held_back.max().unwrap_or_default();
        let rounds = rounds * longest.active_down(version, lowest) + held_back;
        match self.scene.site.grouping {
            Grouping::Apart => rounds,
            Grouping::Together => rounds + longest.skew(version, lowest),
        }
    }

    /// Tells whether a node may take for a recording what another one says.
    fn may_be_disbelieved(&self) -> bool {
        self.scene.site.proof == Proof::Given && self.clocks == Clocks::Set
    }

    fn look_at_hand_over(&self, node: NodeIndex, router: RouterIndex, now: Instant) -> Result<(), Broken> {
        if self.scene.presence(node) != Presence::Running {
            return Ok(());
        }
        let since = self.scene.since(node, router).max(self.scene.disturbed(node));
        invariants::a_hand_over_comes_to_an_end(node, router, now - since, self.longest_hand_over())
    }

    fn close_elections(&mut self, network: &Network) -> Result<(), Broken> {
        for router in self.scene.site.router_indices() {
            for node in self.scene.site.node_indices() {
                if self.scene.presence(node) == Presence::Running {
                    invariants::whoever_can_takes_part(node, router, &self.scene)?;
                    invariants::whoever_cannot_takes_no_part(node, router, &self.scene)?;
                }
            }
            self.elections[router.0] = match self.scene.cliques(router, network) {
                Some(cliques) => {
                    for clique in cliques {
                        invariants::quiet_means_one_best_active(router, clique, &self.scene)?;
                    }
                    Election::Over
                }
                None => Election::Unclear,
            };
        }
        Ok(())
    }
}
