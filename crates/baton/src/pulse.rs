//! The signs of life of the engine: to its guard, with what it would leave, and to the kernel, which else takes the
//! virtual addresses away by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use monotonic::Instant;
use node::legacy::{Legacy, RouterLegacy};
use node::name::RouterName;
use node::routers::Routers;

use crate::bond::{Beat, Bond, Word};
use crate::desire::Desire;

/// How often the guard hears of an engine that has no role; one that has speaks whenever it advertises.
const BEAT_INTERVAL: Duration = Duration::from_secs(1);

/// How often a lease is renewed while it lasts, so that a renewal may fail once.
const RENEWALS: u32 = 3;

/// What keeps roles and addresses, as long as the engine turns.
pub struct Pulse {
    bond: Bond,
    desire: Desire,
    /// What the guard was told that is left.
    left: BTreeMap<RouterName, RouterLegacy>,
    age: Age,
    beat: Beat,
    beat_at: Instant,
    lease: Duration,
    renew_at: Instant,
}

/// Whether the guard was told everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    Fresh,
    Stale,
}

impl Pulse {
    /// Returns the pulse of an engine that goes on with what was left to it.
    pub fn new(bond: Bond, desire: Desire, legacy: &Legacy, lease: Duration, now: Instant) -> Self {
        desire.lend(lease);
        Self {
            bond,
            desire,
            left: legacy.virtual_routers.clone(),
            age: Age::Stale,
            beat: Beat::default(),
            beat_at: now,
            lease,
            // On a grid, so that the next process renews no later than this one would have.
            renew_at: now.next_on_grid(lease / RENEWALS),
        }
    }

    /// Returns when it is due.
    pub fn next(&self) -> Instant {
        self.beat_at.min(self.renew_at)
    }

    /// Notes that something else may be left now.
    pub fn note(&mut self) {
        self.age = Age::Stale;
    }

    /// Takes over how long the kernel keeps addresses that are not renewed.
    pub fn lend(&mut self, lease: Duration, now: Instant) {
        if lease != self.lease {
            self.lease = lease;
            self.desire.lend(lease);
            self.renew_at = now;
        }
    }

    /// Tells what is news by now.
    pub fn beat(&mut self, routers: &Routers, now: Instant) {
        self.leave(routers);
        let beat = Beat::new(routers.silence());
        if beat != self.beat || now >= self.beat_at {
            self.bond.tell([Word::Beat(beat)]);
            self.beat = beat;
            self.beat_at = now + BEAT_INTERVAL;
        }
        if now >= self.renew_at {
            self.desire.renew();
            self.renew_at = now.next_on_grid(self.lease / RENEWALS);
        }
    }

    /// Tells the guard what would be left if this process died now.
    fn leave(&mut self, routers: &Routers) {
        if std::mem::replace(&mut self.age, Age::Fresh) == Age::Fresh {
            return;
        }
        let leaves = routers.legacy();
        let gone = self.left.keys().filter(|name| !leaves.contains_key(*name));
        let news = leaves.iter().filter(|(name, legacy)| self.left.get(*name) != Some(*legacy));
        let words = gone.map(|name| Word::router(name, None));
        self.bond.tell(words.chain(news.map(|(name, legacy)| Word::router(name, Some(legacy)))));
        self.left = leaves;
    }
}
