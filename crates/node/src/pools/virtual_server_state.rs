//! One virtual server of the configuration with its pool and its services.

use std::net::SocketAddr;
use std::sync::Arc;

use monotonic::Instant;
use virtual_server::health::{Health, Outcome, Roster, Verdict};
use virtual_server::pool::{Condition, Member, Pool, PoolChange, PoolSettings, Quorum};
use virtual_server::service::ServiceKey;
use virtual_server::table::{ServiceSettings, Table};

use super::FollowingService;
use crate::config::VirtualServerConfig;
use crate::name::ServerName;
use crate::report::Report;
use crate::status::{RealServerState, RealServerStatus, ServerState, ServerStatus};

#[derive(Clone, Debug)]
pub(super) struct VirtualServerState {
    config: Arc<VirtualServerConfig>,
    pool: Pool,
    table: Table,
}

impl VirtualServerState {
    /// Also returns what is worth telling about a virtual server that was not there before.
    pub(super) fn new(
        config: Arc<VirtualServerConfig>,
        known: impl Fn(SocketAddr) -> Verdict,
        roster: &mut Roster,
        now: Instant,
    ) -> (Self, Option<PoolChange>) {
        let pool = Pool::with_known(pool_settings(&config), known, roster, now);
        let change = match pool.state() {
            Quorum::Reached => Some(PoolChange::QuorumReached),
            Quorum::Lost => None,
        };
        (Self { config, pool, table: Table::default() }, change)
    }

    pub(super) fn reconfigure(
        &mut self,
        config: Arc<VirtualServerConfig>,
        roster: &mut Roster,
        now: Instant,
    ) -> Vec<PoolChange> {
        let changes = self.pool.reconfigure(pool_settings(&config), roster, now);
        self.config = config;
        changes
    }

    pub(super) fn config(&self) -> &Arc<VirtualServerConfig> {
        &self.config
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = ServiceKey> {
        self.config.services.iter().map(|&(key, _)| key)
    }

    pub(super) fn checks(&self) -> impl Iterator<Item = (SocketAddr, &Health)> {
        self.pool.members().iter().filter_map(|(&address, member)| Some((address, member.health()?)))
    }

    pub(super) fn health(&self, real_server: SocketAddr) -> Option<&Health> {
        self.pool.members().get(&real_server)?.health()
    }

    pub(super) fn start_probe(&mut self, real_server: SocketAddr, now: Instant) -> Option<&Health> {
        self.pool.start_probe(real_server, now)
    }

    pub(super) fn finish_probe(
        &mut self,
        real_server: SocketAddr,
        outcome: Outcome,
        now: Instant,
    ) -> Vec<PoolChange> {
        self.pool.finish_probe(real_server, outcome, now)
    }

    /// Puts the services together again and returns them.
    pub(super) fn refresh_services(&mut self) -> impl Iterator<Item = (ServiceKey, FollowingService)> {
        let keys: Vec<_> = self.keys().collect();
        self.table.refresh(keys, &service_settings(&self.config), &self.pool.destinations());
        self.config.services.iter().filter_map(|(key, follow)| {
            let service = self.table.services().get(key)?.clone();
            Some((*key, FollowingService { follow: follow.clone(), service }))
        })
    }

    /// Returns what an operator hears of a change; of the destinations the kernel's side tells when they are in place.
    pub(super) fn report(&self, server: &ServerName, change: PoolChange) -> Option<Report> {
        let server = server.clone();
        let (weight, quorum) = (self.pool.weight(), self.pool.quorum());
        match change {
            PoolChange::Up(real_server) => Some(Report::RealServerUp { server, real_server }),
            PoolChange::Down { real_server, reason } => {
                Some(Report::RealServerDown { server, real_server, reason })
            }
            PoolChange::Weight { real_server, from, to } => {
                Some(Report::WeightChanged { server, real_server, from, to })
            }
            PoolChange::QuorumReached => Some(Report::QuorumReached { server, weight, quorum }),
            PoolChange::QuorumLost => {
                let sorry_server = self.pool.sorry_server();
                Some(Report::QuorumLost { server, weight, quorum, sorry_server })
            }
            PoolChange::Destinations => None,
        }
    }

    pub(super) fn status(&self) -> ServerStatus {
        ServerStatus {
            state: match self.pool.state() {
                Quorum::Reached => ServerState::Up,
                Quorum::Lost => ServerState::Down,
            },
            since: self.pool.since(),
            services: self.keys().collect(),
            weight: self.pool.weight(),
            quorum: self.pool.quorum(),
            sorry: self.pool.is_sorry(),
            real_servers: self
                .pool
                .members()
                .iter()
                .map(|(&address, member)| (address, real_server_status(member)))
                .collect(),
        }
    }
}

fn real_server_status(member: &Member) -> RealServerStatus {
    let (state, reason) = match member.condition() {
        Condition::Unchecked => (RealServerState::Up, ""),
        Condition::Checked(health) => {
            let state = match health.verdict() {
                Verdict::Checking { .. } => RealServerState::Checking,
                Verdict::Up { .. } => RealServerState::Up,
                Verdict::Down { .. } => RealServerState::Down,
            };
            (state, health.complaint().unwrap_or_default())
        }
    };
    let weight = member.destination().weight;
    RealServerStatus { state, since: member.since(), weight, reason: reason.to_owned() }
}

fn pool_settings(config: &VirtualServerConfig) -> PoolSettings {
    PoolSettings {
        quorum: config.quorum,
        sorry_server: config.sorry_server,
        real_servers: config.real_servers.clone(),
        check: config.check.clone(),
    }
}

fn service_settings(config: &VirtualServerConfig) -> ServiceSettings {
    ServiceSettings {
        scheduler: config.scheduler,
        flags: config.flags.clone(),
        persistence: config.persistence,
    }
}
