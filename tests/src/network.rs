//! The segments between the nodes: what gets through, how late, how often.

use std::time::Duration;

use monotonic::Instant;

use crate::dice::{Dice, PerMille};
use crate::site::{NODE_LIMIT, NodeIndex, SEGMENT_LIMIT, SegmentIndex};

/// How well the segments carry what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quality {
    /// How long a packet takes at least.
    pub shortest_delay: Duration,
    /// How long it takes at most.
    pub longest_delay: Duration,
    /// Whether packets of one node to another can overtake each other.
    pub order: Order,
    /// How often one is lost.
    pub loss: PerMille,
    /// How often one arrives twice.
    pub duplication: PerMille,
}

/// Whether packets arrive in the order in which they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// They do, as on any one path.
    Kept,
    /// They overtake each other.
    Lost,
}

/// Whether packets pass from one node to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// They do.
    Open,
    /// They vanish.
    Closed,
}

/// What becomes of one packet on its way to one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It never arrives.
    Lost,
    /// It arrives.
    Once(Instant),
    /// It arrives twice.
    Twice(Instant, Instant),
}

/// Every segment.
#[derive(Clone, Debug)]
pub struct Network {
    quality: Quality,
    roads: [[[Road; NODE_LIMIT]; NODE_LIMIT]; SEGMENT_LIMIT],
    disturbed: [[[Instant; NODE_LIMIT]; NODE_LIMIT]; SEGMENT_LIMIT],
    last_arrival: [[[Instant; NODE_LIMIT]; NODE_LIMIT]; SEGMENT_LIMIT],
    /// The longest delay since the start: packets of then may still be on their way.
    longest_delay_ever: Duration,
}

impl Network {
    /// Returns segments with every road open.
    pub fn new(quality: Quality) -> Self {
        Self {
            quality,
            roads: [[[Road::Open; NODE_LIMIT]; NODE_LIMIT]; SEGMENT_LIMIT],
            disturbed: [[[Instant::START; NODE_LIMIT]; NODE_LIMIT]; SEGMENT_LIMIT],
            last_arrival: [[[Instant::START; NODE_LIMIT]; NODE_LIMIT]; SEGMENT_LIMIT],
            longest_delay_ever: quality.longest_delay,
        }
    }

    /// Returns how well the segments carry.
    pub fn quality(&self) -> Quality {
        self.quality
    }

    /// Makes the segments carry like this from now on.
    pub fn set_quality(&mut self, quality: Quality) {
        self.quality = quality;
        self.longest_delay_ever = self.longest_delay_ever.max(quality.longest_delay);
    }

    /// Returns the longest time that a packet can have been on its way.
    pub fn longest_delay(&self) -> Duration {
        self.longest_delay_ever
    }

    /// Opens or closes the road from one node to another, one way.
    pub fn set_road(
        &mut self,
        segment: SegmentIndex,
        from: NodeIndex,
        to: NodeIndex,
        road: Road,
        now: Instant,
    ) {
        self.roads[segment.0][from.0][to.0] = road;
        self.disturbed[segment.0][from.0][to.0] = now;
    }

    /// Tells whether packets pass from one node to another.
    pub fn is_open(&self, segment: SegmentIndex, from: NodeIndex, to: NodeIndex) -> bool {
        self.roads[segment.0][from.0][to.0] == Road::Open
    }

    /// Returns when a packet was last lost between the two, or the road between them opened or closed.
    pub fn disturbed(&self, segment: SegmentIndex, from: NodeIndex, to: NodeIndex) -> Instant {
        self.disturbed[segment.0][from.0][to.0]
    }

    /// Decides what becomes of a packet that is sent now.
    pub fn carry(
        &mut self,
        segment: SegmentIndex,
        from: NodeIndex,
        to: NodeIndex,
        dice: &mut Dice,
        now: Instant,
    ) -> Fate {
        let Quality { shortest_delay, longest_delay, order, loss, duplication } = self.quality;
        if !self.is_open(segment, from, to) {
            return Fate::Lost;
        }
        if dice.chance(loss) {
            self.disturbed[segment.0][from.0][to.0] = now;
            return Fate::Lost;
        }
        let mut arrival = || {
            let arrival = now + dice.between(shortest_delay, longest_delay);
            match order {
                Order::Kept => {
                    let last = &mut self.last_arrival[segment.0][from.0][to.0];
                    *last = arrival.max(*last);
                    *last
                }
                Order::Lost => arrival,
            }
        };
        let first = arrival();
        if duplication > PerMille(0) {
            let second = arrival();
            if dice.chance(duplication) {
                return Fate::Twice(first, second);
            }
        }
        Fate::Once(first)
    }
}
