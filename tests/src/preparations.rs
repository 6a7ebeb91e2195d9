//! Which hand-overs wait for hooks, noted apart from the nodes, so that they can be held to it.

use monotonic::Instant;

use crate::site::{NODE_LIMIT, NodeIndex, ROUTER_LIMIT, RouterIndex};

/// The hand-overs of every node that wait for hooks.
#[derive(Clone, Debug, Default)]
pub struct Preparations {
    entries: [[Option<Preparation>; ROUTER_LIMIT]; NODE_LIMIT],
}

/// A hand-over that waits for hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preparation {
    /// Until when it waits at most.
    pub until: Instant,
    /// How far they are.
    pub progress: Progress,
}

/// How far hooks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// They run.
    Underway,
    /// They have run.
    Done,
}

impl Preparations {
    /// Notes that a hand-over waits for hooks from now on.
    pub fn begin(&mut self, node: NodeIndex, router: RouterIndex, until: Instant) {
        self.entries[node.0][router.0] = Some(Preparation { until, progress: Progress::Underway });
    }

    /// Notes that the hooks have run for which a hand-over waits, if it does.
    pub fn finish(&mut self, node: NodeIndex, router: RouterIndex) {
        if let Some(preparation) = &mut self.entries[node.0][router.0] {
            preparation.progress = Progress::Done;
        }
    }

    /// Notes that a hand-over waits no longer: it has begun, or does not come.
    pub fn end(&mut self, node: NodeIndex, router: RouterIndex) {
        self.entries[node.0][router.0] = None;
    }

    /// Returns what a hand-over waits for, if it waits.
    pub fn of(&self, node: NodeIndex, router: RouterIndex) -> Option<Preparation> {
        self.entries[node.0][router.0]
    }

    /// Returns until when each hand-over waits at most.
    pub fn iter(&self) -> impl Iterator<Item = (NodeIndex, RouterIndex, Instant)> {
        let nodes = (0..NODE_LIMIT).map(NodeIndex);
        let pairs = nodes.flat_map(|node| (0..ROUTER_LIMIT).map(move |router| (node, RouterIndex(router))));
        pairs.filter_map(|(node, router)| Some((node, router, self.of(node, router)?.until)))
    }
}
