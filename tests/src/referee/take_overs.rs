//! Who has to take over from whom, and by when.

use std::time::Duration;

use monotonic::Instant;
use vrrp::{Centiseconds, Priority, Version};

use super::{MARGIN, Referee, SUCCESSION_TIME};
use crate::invariants::{self, Broken};
use crate::network::{Network, Order};
use crate::scene::{Presence, Standing};
use crate::site::{Carrier, NodeIndex, RouterIndex};

/// The interval that a planned hand-over teaches a single heir, and one of several.
const TAUGHT_ONE: Centiseconds = Centiseconds::new(1);
const TAUGHT_SEVERAL: Centiseconds = Centiseconds::new(10);

/// A take-over that is to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct TakeOver {
    pub(super) router: RouterIndex,
    from: NodeIndex,
    since: Instant,
    within: Duration,
    end: End,
    disturbances: u64,
}

/// How an Active ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It said so.
    Planned,
    /// It vanished.
    Silent,
}

/// Until when a node could advertise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spoke {
    until: Instant,
    /// Since when the world had been quiet then.
    quiet_since: Instant,
}

impl Spoke {
    pub(super) const NEVER: Self = Self { until: Instant::START, quiet_since: Instant::START };
}

impl Referee {
    /// Notes whether a node's daemon is there from now on.
    pub fn set_presence(&mut self, node: NodeIndex, presence: Presence, now: Instant) {
        self.spoke[node.0] = self.spoke(node, now);
        if presence == Presence::Running {
            self.resumed[node.0] = now;
        }
        self.scene.set_presence(node, presence);
    }

    /// One that is there since this moment has said nothing yet.
    fn spoke(&self, node: NodeIndex, now: Instant) -> Spoke {
        match self.scene.presence(node) {
            Presence::Running if self.resumed[node.0] < now => {
                Spoke { until: now, quiet_since: self.quiet_before(now) }
            }
            Presence::Running | Presence::Paused | Presence::Leaving | Presence::Absent => self.spoke[node.0],
        }
    }

    /// Notes that a node ends, and expects its successor in each virtual router where one must come.
    pub fn expect_take_over_after(&mut self, from: NodeIndex, end: End, network: &Network, now: Instant) {
        let routers = self.scene.site.router_indices();
        let due = routers.filter_map(|router| self.take_over(from, router, end, network, now)).collect();
        self.disturb_node(from, now);
        self.expect(due);
    }

    /// Notes that a node hands a virtual router over, and expects its successor where one must come.
    pub(super) fn expect_succession(
        &mut self,
        from: NodeIndex,
        router: RouterIndex,
        network: &Network,
        now: Instant,
    ) {
        let due = self.take_over(from, router, End::Planned, network, now).into_iter().collect();
        self.hear_own_word(from, now);
        self.expect(due);
    }

    /// The end itself is a disturbance, and counted by now.
    fn expect(&mut self, due: Vec<TakeOver>) {
        let disturbances = self.disturbances;
        self.expected.extend(due.into_iter().map(|due| TakeOver { disturbances, ..due }));
    }

    /// Returns the take-over that has to come when a node ends now.
    fn take_over(
        &self,
        from: NodeIndex,
        router: RouterIndex,
        end: End,
        network: &Network,
        now: Instant,
    ) -> Option<TakeOver> {
        if self.scene.standing(from, router) != Standing::Active || self.scene.active_count(router) > 1 {
            return None;
        }
        let heirs = self.scene.site.node_indices().filter(|heir| self.is_heir(*heir, from, router));
        let wait = heirs.map(|heir| self.longest_wait(heir, from, router, end, network, now)).min()?;
        let within = wait + network.longest_delay() + MARGIN;
        Some(TakeOver { router, from, since: now, within, end, disturbances: self.disturbances })
    }

    /// Notes that a node tells of its own end, after which its successors are still due: what moves together is told one by
    /// one.
    pub(super) fn hear_own_word(&mut self, node: NodeIndex, now: Instant) {
        let due = self.disturbances;
        let own = self.expected.iter_mut().filter(|one| one.from == node && one.disturbances == due);
        own.for_each(|one| one.disturbances += 1);
        self.disturb_node(node, now);
    }

    /// Looks at the guard of a daemon that is dead, which removes the addresses: whoever heeds the last will is Active.
    ///
    /// # Errors
    /// [`Broken`] when nobody is yet, though somebody will be in time.
    pub fn look_at_legacy(&self, node: NodeIndex) -> Result<(), Broken> {
        let taught = if self.scene.site.nodes.len() == 2 { TAUGHT_ONE } else { TAUGHT_SEVERAL };
        // One that missed the interval that the will names is not waited for.
        let longest = |router: RouterIndex| {
            let interval = self.scene.seat(node, router).interval;
            let skew = taught.min(interval).skew(self.scene.site.routers[router.0].version, Priority::LOWEST);
            skew + SUCCESSION_TIME.min(interval.duration())
        };
        let unheeded = self.expected.iter().find(|expected| {
            expected.from == node
                && expected.end == End::Planned
                && expected.disturbances == self.disturbances
                && expected.within <= longest(expected.router)
        });
        match unheeded {
            Some(TakeOver { router, .. }) => {
                invariants::the_dead_serve_until_they_are_succeeded(node, *router)
            }
            None => Ok(()),
        }
    }

    /// Looks whether every take-over that was to come has.
    pub(super) fn miss_take_overs(&mut self, now: Instant) -> Result<(), Broken> {
        let disturbances = self.disturbances;
        self.expected.retain(|expected| expected.disturbances == disturbances);
        match self.expected.iter().find(|expected| now > expected.since + expected.within) {
            Some(TakeOver { router, since, within, .. }) => {
                invariants::somebody_takes_over_in_time(*router, *since, *within)
            }
            None => Ok(()),
        }
    }

    /// Tells whether a node could follow another: a Backup in all that moves together, awake and connected.
    fn is_heir(&self, heir: NodeIndex, from: NodeIndex, router: RouterIndex) -> bool {
        heir != from
            && self.scene.presence(heir) == Presence::Running
            && self.scene.together_with(router).all(|router| {
                self.scene.standing(heir, router) == Standing::Backup
                    && self.scene.carrier(heir, self.scene.segment(router)) == Carrier::Up
            })
    }

    /// Returns how long a Backup waits at most after the Active's end has reached it.
    fn longest_wait(
        &self,
        heir: NodeIndex,
        from: NodeIndex,
        router: RouterIndex,
        end: End,
        network: &Network,
        now: Instant,
    ) -> Duration {
        let wait = |router: RouterIndex| {
            let version = self.scene.site.routers[router.0].version;
            let (ours, theirs) = (self.scene.seat(heir, router), self.scene.seat(from, router));
            let segment = self.scene.segment(router);
            let is_heard = self.scene.carrier(from, segment) == Carrier::Up;
            let hears = is_heard && network.is_open(segment, from, heir) && !self.may_be_disbelieved();
            let is_accepted = !self.scene.preempts(heir, router) || theirs.priority >= ours.priority;
            let both_stand_since = self.scene.since(from, router).max(self.scene.since(heir, router));
            let spoke = self.spoke(from, now);
            let known_since = both_stand_since.max(spoke.quiet_since);
            let has_heard =
                known_since + theirs.interval.duration() + 2 * network.longest_delay() < spoke.until;
            // Its last words come just before it tells that it hands over.
            let loses_nothing =
                network.quality().order == Order::Kept && network.disturbed(segment, from, heir) < now;
            let learned = if hears && is_accepted && has_heard {
                theirs.interval
            } else {
                self.longest_interval[router.0]
            };
            match end {
                // The release of one that was not heard last frees nothing.
                End::Planned if hears && has_heard && loses_nothing => {
                    let taught = match (version, is_accepted, self.scene.site.nodes.len()) {
                        (Version::V3, true, 2) => learned.min(TAUGHT_ONE),
                        (Version::V3, true, _) => learned.min(TAUGHT_SEVERAL),
                        (Version::V2, ..) | (Version::V3, false, _) => learned,
                    };
                    taught.skew(version, ours.priority)
                }
                // One that has heard nobody may be deaf, and waits for longer.
                End::Planned | End::Silent if !(hears && has_heard) => {
                    learned.active_down(version, ours.priority).max(ours.restraint.unheard)
                }
                End::Planned | End::Silent => learned.active_down(version, ours.priority),
            }
        };
        self.scene.together_with(router).map(wait).max().expect("a virtual router moves together with itself")
    }
}
