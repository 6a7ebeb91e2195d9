//! Verdicts and weights into the destinations of one virtual server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use monotonic::Instant;

use crate::health::{Check, Health, Outcome, Roster, Turn, Verdict};
use crate::service::{Destination, Weight};

/// What a pool is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// The sum of weights that the fit real servers have to reach.
    pub quorum: u32,
    /// Who serves while they do not.
    pub sorry_server: Option<(SocketAddr, Destination)>,
    /// The real servers, by address and port.
    pub real_servers: BTreeMap<SocketAddr, Destination>,
    /// How they are checked; always fit when left out.
    pub check: Option<Arc<Check>>,
}

/// The real servers of one virtual server and how they are.
///
/// While the fit ones reach the quorum they serve. While they do not, the sorry server serves alone; where there is
/// none, those that are fit stay: a few are better than nobody.
#[derive(Clone, Debug)]
pub struct Pool {
    quorum: u32,
    sorry_server: Option<(SocketAddr, Destination)>,
    members: BTreeMap<SocketAddr, Member>,
    /// The sum of the fit members' weights; beyond `u32` only with more than 65,537 of them.
    fit_weight: u64,
    state: Quorum,
    since: Instant,
}

/// One real server of a pool.
#[derive(Clone, Debug)]
pub struct Member {
    destination: Destination,
    condition: Condition,
    since: Instant,
}

/// Whether anything is known about a real server.
#[derive(Clone, Debug)]
pub enum Condition {
    /// Nobody asks: always fit.
    Unchecked,
    /// What its check says; apart, since tables of thousands that nobody checks are common.
    Checked(Box<Health>),
}

/// Whether the fit real servers are enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quorum {
    /// They are.
    Reached,
    /// They are not.
    Lost,
}

/// Something that is different about a pool now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolChange {
    /// A real server is fit.
    Up(SocketAddr),
    /// A real server is not fit.
    Down {
        /// The real server.
        real_server: SocketAddr,
        /// What the last probe found amiss.
        reason: String,
    },
    /// A real server has another weight.
    Weight {
        /// The real server.
        real_server: SocketAddr,
        /// Its weight until now.
        from: Weight,
        /// Its weight from now on.
        to: Weight,
    },
    /// The fit real servers are enough.
    QuorumReached,
    /// The fit real servers are not enough.
    QuorumLost,
    /// [`Pool::destinations`] has another answer.
    Destinations,
}

impl Member {
    /// Returns its weight and how packets reach it.
    pub fn destination(&self) -> Destination {
        self.destination
    }

    /// Returns what is known about it.
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// Returns when its condition last changed.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Tells whether it may serve.
    pub fn is_fit(&self) -> bool {
        match &self.condition {
            Condition::Unchecked => true,
            Condition::Checked(health) => match health.verdict() {
                Verdict::Up { .. } => true,
                Verdict::Checking { .. } | Verdict::Down { .. } => false,
            },
        }
    }

    /// Returns its check, when it has one.
    pub fn health(&self) -> Option<&Health> {
        match &self.condition {
            Condition::Unchecked => None,
            Condition::Checked(health) => Some(health),
        }
    }

    fn health_mut(&mut self) -> Option<&mut Health> {
        match &mut self.condition {
            Condition::Unchecked => None,
            Condition::Checked(health) => Some(health),
        }
    }

    fn fit_weight(&self) -> u64 {
        if self.is_fit() { u64::from(self.destination.weight.get()) } else { 0 }
    }
}

impl Pool {
    /// Returns the pool with these settings; its checks start now, one after the other.
    pub fn new(settings: PoolSettings, roster: &mut Roster, now: Instant) -> Self {
        Self::with_known(settings, |_| Verdict::UNKNOWN, roster, now)
    }

    /// Returns the same, where something is known of the real servers before they are checked.
    pub fn with_known(
        settings: PoolSettings,
        known: impl Fn(SocketAddr) -> Verdict,
        roster: &mut Roster,
        now: Instant,
    ) -> Self {
        let PoolSettings { quorum, sorry_server, real_servers, check } = settings;
        let members = real_servers
            .into_iter()
            .map(|(address, destination)| {
                let condition = match &check {
                    None => Condition::Unchecked,
                    Some(check) => {
                        Condition::Checked(Box::new(roster.enrol(check.clone(), known(address), now)))
                    }
                };
                (address, Member { destination, condition, since: now })
            })
            .collect();
        let mut pool = Self { quorum, sorry_server, members, fit_weight: 0, state: Quorum::Lost, since: now };
        pool.fit_weight = pool.members.values().map(Member::fit_weight).sum();
        pool.state = pool.count();
        pool
    }

    /// Takes other settings over and returns what is different by them.
    ///
    /// A real server that stays keeps its verdict: it is never taken out by a reload, only by bad probes. Its timers
    /// and the probe under way stay as well unless its check is another now.
    pub fn reconfigure(
        &mut self,
        settings: PoolSettings,
        roster: &mut Roster,
        now: Instant,
    ) -> Vec<PoolChange> {
        let PoolSettings { quorum, sorry_server, real_servers, check } = settings;
        let before = self.destinations();
        let mut changes = Vec::new();
        let mut members = BTreeMap::new();
        for (address, destination) in real_servers {
            let known = self.members.remove(&address);
            if let Some(known) = known.as_ref().filter(|known| known.destination.weight != destination.weight)
            {
                changes.push(PoolChange::Weight {
                    real_server: address,
                    from: known.destination.weight,
                    to: destination.weight,
                });
            }
            let was_unfit = known.as_ref().is_some_and(|known| !known.is_fit());
            let known_since = known.as_ref().map(Member::since);
            let condition = recheck(known, check.as_ref(), roster, now);
            let mut member = Member { destination, condition, since: known_since.unwrap_or(now) };
            if was_unfit && member.is_fit() {
                member.since = now;
                changes.push(PoolChange::Up(address));
            }
            members.insert(address, member);
        }
        self.quorum = quorum;
        self.sorry_server = sorry_server;
        self.members = members;
        self.fit_weight = self.members.values().map(Member::fit_weight).sum();
        self.settle(now, &mut changes);
        if self.destinations() != before {
            changes.push(PoolChange::Destinations);
        }
        changes
    }

    /// Notes that a probe of a real server starts now, and returns its check; nothing when it has none.
    pub fn start_probe(&mut self, real_server: SocketAddr, now: Instant) -> Option<&Health> {
        let health = self.members.get_mut(&real_server)?.health_mut()?;
        health.start_probe(now);
        Some(health)
    }

    /// Takes the outcome of a real server's probe and returns what is different by it.
    #[must_use]
    pub fn finish_probe(
        &mut self,
        real_server: SocketAddr,
        outcome: Outcome,
        now: Instant,
    ) -> Vec<PoolChange> {
        let Some(member) = self.members.get_mut(&real_server) else { return Vec::new() };
        let (was_fit, weight_before) = (member.is_fit(), member.fit_weight());
        let Some(health) = member.health_mut() else { return Vec::new() };
        let Some(turn) = health.finish_probe(outcome, now) else { return Vec::new() };
        let mut changes = vec![match turn {
            Turn::Up => PoolChange::Up(real_server),
            Turn::Down => {
                PoolChange::Down { real_server, reason: health.complaint().unwrap_or_default().to_owned() }
            }
        }];
        member.since = now;
        let (is_fit, weight) = (member.is_fit(), member.fit_weight());
        let sorry_served = self.is_sorry();
        self.fit_weight = self.fit_weight - weight_before + weight;
        self.settle(now, &mut changes);
        if self.is_sorry() != sorry_served || (is_fit != was_fit && !self.is_sorry()) {
            changes.push(PoolChange::Destinations);
        }
        changes
    }

    /// Returns who is to serve.
    pub fn destinations(&self) -> BTreeMap<SocketAddr, Destination> {
        match (self.state, self.sorry_server) {
            (Quorum::Lost, Some(sorry_server)) => BTreeMap::from([sorry_server]),
            (Quorum::Reached, _) | (Quorum::Lost, None) => self
                .members
                .iter()
                .filter(|(_, member)| member.is_fit())
                .map(|(&address, member)| (address, member.destination))
                .collect(),
        }
    }

    /// Tells whether the sorry server serves.
    pub fn is_sorry(&self) -> bool {
        match self.state {
            Quorum::Lost => self.sorry_server.is_some(),
            Quorum::Reached => false,
        }
    }

    /// Returns the sorry server.
    pub fn sorry_server(&self) -> Option<SocketAddr> {
        self.sorry_server.map(|(address, _)| address)
    }

    /// Returns whether the fit real servers are enough.
    pub fn state(&self) -> Quorum {
        self.state
    }

    /// Returns when [`Self::state`] last changed.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Returns the sum of the fit real servers' weights.
    pub fn weight(&self) -> u32 {
        u32::try_from(self.fit_weight).unwrap_or(u32::MAX)
    }

    /// Returns what that sum has to reach.
    pub fn quorum(&self) -> u32 {
        self.quorum
    }

    /// Returns the real servers.
    pub fn members(&self) -> &BTreeMap<SocketAddr, Member> {
        &self.members
    }

    fn count(&self) -> Quorum {
        if self.fit_weight >= u64::from(self.quorum) { Quorum::Reached } else { Quorum::Lost }
    }

    fn settle(&mut self, now: Instant, changes: &mut Vec<PoolChange>) {
        let state = self.count();
        if state != self.state {
            self.state = state;
            self.since = now;
            changes.push(match state {
                Quorum::Reached => PoolChange::QuorumReached,
                Quorum::Lost => PoolChange::QuorumLost,
            });
        }
    }
}

/// A member's condition under the check that holds from now on.
fn recheck(
    known: Option<Member>,
    check: Option<&Arc<Check>>,
    roster: &mut Roster,
    now: Instant,
) -> Condition {
    let Some(check) = check else { return Condition::Unchecked };
    let verdict = match known.map(|known| known.condition) {
        Some(Condition::Checked(health)) if health.check() == check => return Condition::Checked(health),
        Some(Condition::Checked(health)) => health.verdict().afresh(),
        Some(Condition::Unchecked) => Verdict::Up { bad: 0 },
        None => Verdict::UNKNOWN,
    };
    Condition::Checked(Box::new(roster.enrol(check.clone(), verdict, now)))
}

#[cfg(test)]
mod tests;
