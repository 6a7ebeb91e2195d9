//! What the world knows about every node from the outside: what it said of itself and what was done to it.

use monotonic::Instant;
use vrrp::{Preemption, Priority};

use crate::network::Network;
use crate::preparations::Preparations;
use crate::site::{
    Carrier, Grouping, NODE_LIMIT, NodeIndex, ROUTER_LIMIT, RouterIndex, SEGMENT_LIMIT, Seat, SegmentIndex,
    Site,
};
use crate::track_book::TrackBook;

/// Where a node stands in a virtual router, by its own reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It takes no part.
    Out,
    /// It watches.
    Backup,
    /// It is the Active.
    Active,
    /// It has released the role and serves until its successor does.
    Leaving,
    /// It cannot take part.
    Fault,
}

/// Whether a node's daemon is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    Running,
    /// It is, but does nothing.
    Paused,
    /// It was told to stop and cleans up.
    Leaving,
    /// It is not.
    Absent,
}

/// Whether a node begins to prefer others, or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// It was passed on.
    Begins,
    /// It competes by its priority again.
    Ends,
}

/// A set of nodes, a bit for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct NodeSet(u8);

impl NodeSet {
    /// Returns the set of these nodes.
    pub fn of(nodes: impl IntoIterator<Item = NodeIndex>) -> Self {
        nodes.into_iter().fold(Self::default(), Self::with)
    }

    /// Returns the set with this node in it too.
    #[must_use]
    pub fn with(self, node: NodeIndex) -> Self {
        Self(self.0 | 1 << node.0)
    }

    /// Returns the set without this node.
    #[must_use]
    pub fn without(self, node: NodeIndex) -> Self {
        Self(self.0 & !(1 << node.0))
    }

    /// Tells whether the node is in the set.
    pub fn contains(self, node: NodeIndex) -> bool {
        self.0 >> node.0 & 1 == 1
    }

    /// Returns the nodes.
    pub fn iter(self) -> impl Iterator<Item = NodeIndex> {
        (0..NODE_LIMIT).map(NodeIndex).filter(move |node| self.contains(*node))
    }
}

/// What the world knows about every node.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The site with what was reloaded since.
    pub site: Site,
    /// The hand-overs that wait for hooks.
    pub preparations: Preparations,
    standings: [[(Standing, Instant); ROUTER_LIMIT]; NODE_LIMIT],
    actives: [u8; ROUTER_LIMIT],
    presence: [Presence; NODE_LIMIT],
    carriers: [[Carrier; SEGMENT_LIMIT]; NODE_LIMIT],
    disturbed: [Instant; NODE_LIMIT],
    /// The nodes that prefer others in a virtual router.
    away: [NodeSet; ROUTER_LIMIT],
    /// The nodes whose kernel has refused addresses in this life of theirs.
    refused: NodeSet,
    books: [TrackBook; NODE_LIMIT],
}

impl Scene {
    /// Returns the scene of a site on which nobody runs.
    pub fn new(site: Site) -> Self {
        Self {
            site,
            preparations: Preparations::default(),
            standings: [[(Standing::Out, Instant::START); ROUTER_LIMIT]; NODE_LIMIT],
            actives: [0; ROUTER_LIMIT],
            presence: [Presence::Absent; NODE_LIMIT],
            carriers: [[Carrier::Up; SEGMENT_LIMIT]; NODE_LIMIT],
            disturbed: [Instant::START; NODE_LIMIT],
            away: [NodeSet::default(); ROUTER_LIMIT],
            refused: NodeSet::default(),
            books: [TrackBook::default(); NODE_LIMIT],
        }
    }

    /// Returns where a node stands in a virtual router.
    pub fn standing(&self, node: NodeIndex, router: RouterIndex) -> Standing {
        self.standings[node.0][router.0].0
    }

    /// Returns where a node stands in each virtual router.
    pub fn standings_of(&self, node: NodeIndex) -> [Standing; ROUTER_LIMIT] {
        self.standings[node.0].map(|(standing, _)| standing)
    }

    /// Returns since when it stands there.
    pub fn since(&self, node: NodeIndex, router: RouterIndex) -> Instant {
        self.standings[node.0][router.0].1
    }

    /// Notes where a node stands from now on.
    pub fn set_standing(&mut self, node: NodeIndex, router: RouterIndex, standing: Standing, now: Instant) {
        let (before, since) = &mut self.standings[node.0][router.0];
        self.actives[router.0] += u8::from(standing == Standing::Active);
        self.actives[router.0] -= u8::from(*before == Standing::Active);
        if *before != standing {
            *since = now;
        }
        *before = standing;
        if standing != Standing::Active {
            self.preparations.end(node, router);
        }
    }

    /// Returns how many nodes are Active.
    pub fn active_count(&self, router: RouterIndex) -> u8 {
        self.actives[router.0]
    }

    /// Returns the nodes that are Active.
    pub fn actives(&self, router: RouterIndex) -> impl Iterator<Item = NodeIndex> {
        self.site.node_indices().filter(move |node| self.standing(*node, router) == Standing::Active)
    }

    /// Returns who hands over.
    pub fn leaving(&self) -> impl Iterator<Item = (NodeIndex, RouterIndex)> {
        let routers = || self.site.router_indices();
        let pairs =
            self.site.node_indices().flat_map(move |node| routers().map(move |router| (node, router)));
        pairs.filter(|(node, router)| self.standing(*node, *router) == Standing::Leaving)
    }

    /// Tells whether a node's daemon is there.
    pub fn presence(&self, node: NodeIndex) -> Presence {
        self.presence[node.0]
    }

    /// Notes whether a node's daemon is there from now on.
    pub fn set_presence(&mut self, node: NodeIndex, presence: Presence) {
        self.presence[node.0] = presence;
    }

    /// Tells whether an interface has a carrier.
    pub fn carrier(&self, node: NodeIndex, segment: SegmentIndex) -> Carrier {
        self.carriers[node.0][segment.0]
    }

    /// Notes whether an interface has a carrier from now on.
    pub fn set_carrier(&mut self, node: NodeIndex, segment: SegmentIndex, carrier: Carrier) {
        self.carriers[node.0][segment.0] = carrier;
    }

    /// Returns when something was last done to a node.
    pub fn disturbed(&self, node: NodeIndex) -> Instant {
        self.disturbed[node.0]
    }

    /// Notes that something was done to a node.
    pub fn disturb(&mut self, node: NodeIndex, now: Instant) {
        self.disturbed[node.0] = now;
    }

    /// Tells whether a node prefers others in a virtual router.
    pub fn is_away(&self, node: NodeIndex, router: RouterIndex) -> bool {
        self.away[router.0].contains(node)
    }

    /// Notes that a node prefers others in a virtual router, or no longer.
    pub fn set_away(&mut self, node: NodeIndex, router: RouterIndex, absence: Absence) {
        let away = &mut self.away[router.0];
        *away = match absence {
            Absence::Begins => away.with(node),
            Absence::Ends => away.without(node),
        };
    }

    /// Tells whether a node would take over from an Active of lower priority.
    pub fn preempts(&self, node: NodeIndex, router: RouterIndex) -> bool {
        self.seat(node, router).preemption == Preemption::Allowed && !self.is_away(node, router)
    }

    /// Tells whether a node's kernel has refused addresses in this life of its.
    pub fn has_refused(&self, node: NodeIndex) -> bool {
        self.refused.contains(node)
    }

    /// Notes that a node's kernel refuses addresses.
    pub fn note_refusal(&mut self, node: NodeIndex) {
        self.refused = self.refused.with(node);
    }

    /// Returns how a node stands in the configuration of a virtual router, with what its tracks make of its priority.
    pub fn seat(&self, node: NodeIndex, router: RouterIndex) -> Seat {
        let seat = self.site.seat(node, router);
        Seat { priority: self.books[node.0].priority(&self.site, seat.priority), ..seat }
    }

    /// Returns what was seen of a node's tracks.
    pub fn book(&self, node: NodeIndex) -> &TrackBook {
        &self.books[node.0]
    }

    /// Returns the same to note more.
    pub fn book_mut(&mut self, node: NodeIndex) -> &mut TrackBook {
        &mut self.books[node.0]
    }

    /// Returns what decides between two Actives: the priority, then the address, which grows with the index.
    pub fn rank(&self, node: NodeIndex, router: RouterIndex) -> (Priority, NodeIndex) {
        (self.seat(node, router).priority, node)
    }

    /// Returns the segment of a virtual router.
    pub fn segment(&self, router: RouterIndex) -> SegmentIndex {
        self.site.routers[router.0].segment
    }

    /// Returns the virtual routers that move together with this one, itself included.
    pub fn together_with(&self, router: RouterIndex) -> impl Iterator<Item = RouterIndex> {
        let grouping = self.site.grouping;
        self.site.router_indices().filter(move |other| match grouping {
            Grouping::Apart => *other == router,
            Grouping::Together => true,
        })
    }

    /// Returns the nodes that take part in an election.
    pub fn usable(&self, router: RouterIndex) -> NodeSet {
        NodeSet::of(self.site.node_indices().filter(|node| {
            self.presence(*node) == Presence::Running
                && matches!(self.standing(*node, router), Standing::Backup | Standing::Active)
        }))
    }

    /// Returns the groups of usable nodes in which everybody hears everybody, when the roads leave such groups: nothing
    /// when some hear others who do not hear them, or not the same others.
    pub fn cliques(&self, router: RouterIndex, network: &Network) -> Option<Vec<NodeSet>> {
        let usable = self.usable(router);
        let mut cliques: Vec<NodeSet> = Vec::new();
        for node in usable.iter() {
            let clique = self.hears_both_ways(router, node, usable, network)?;
            match cliques.iter().find(|known| known.contains(node)) {
                Some(known) if *known == clique => {}
                Some(_) => return None,
                None => cliques.push(clique),
            }
        }
        Some(cliques)
    }

    fn hears_both_ways(
        &self,
        router: RouterIndex,
        node: NodeIndex,
        usable: NodeSet,
        network: &Network,
    ) -> Option<NodeSet> {
        let mut clique = NodeSet::default().with(node);
        for other in usable.iter().filter(|other| *other != node) {
            let mut roads = self.together_with(router).flat_map(|router| {
                let segment = self.segment(router);
                [network.is_open(segment, node, other), network.is_open(segment, other, node)]
            });
            let first = roads.next().expect("a virtual router moves together with itself");
            if roads.any(|road| road != first) {
                return None;
            }
            if first {
                clique = clique.with(other);
            }
        }
        Some(clique)
    }
}
