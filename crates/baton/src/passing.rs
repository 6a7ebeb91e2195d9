//! `baton pass` and `baton release`: a virtual router or sync group is handed over on purpose.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use host::clock::now;
use monotonic::Instant;
use node::config::Config;
use node::name::{GroupName, RouterName};
use node::status::{HandOver, HandOverOutcome, RouterState, RouterStatus, RoutersStatus};
use serde::{Deserialize, Serialize};
use vrrp::Priority;

use crate::control::{Control, Stopping};
use crate::engine::EngineCommand;

/// How long an answer is waited for: the longest interval there is, and a margin for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// What became of each virtual router that was passed on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Passed {
    /// Each of them by its name.
    pub virtual_routers: BTreeMap<String, Fate>,
}

/// What became of one virtual router.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Fate {
    /// Another node serves.
    HandedOver {
        /// Its address.
        to: IpAddr,
        /// Its name in the configuration, when it has one.
        node: Option<String>,
        /// How long that took.
        milliseconds: f64,
    },
    /// Nobody claimed the role; this node goes on.
    NobodyTookOver,
    /// It was released before its hooks had run; this node goes on.
    CalledOff,
    /// This node was not Active anyway; it stays away all the same.
    NotActive,
}

/// What came back.
#[derive(Debug, Serialize, Deserialize)]
pub struct Released {
    /// The virtual routers that compete by their priority again.
    pub virtual_routers: Vec<String>,
}

/// Why nothing was passed on or released, or why nobody knows what came of it.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// There is no such thing.
    #[error("There is no virtual router or sync group {name} on this node: {known}")]
    Unknown {
        /// What was named.
        name: String,
        /// What there is.
        known: String,
    },
    /// The owner's addresses are its own.
    #[error("{router} has priority 255: its addresses are this node's own and cannot move")]
    Owner {
        /// The virtual router.
        router: RouterName,
    },
    /// It was not passed on.
    #[error("{name} was not passed on: there is nothing to release")]
    NotAway {
        /// What was named.
        name: String,
    },
    /// The engine did not come to an end with it.
    #[error("The hand-over of {name} did not come to an end within {PATIENCE:?}: see `baton status`")]
    Unfinished {
        /// What was named.
        name: String,
    },
    /// It is too late.
    #[error(transparent)]
    Stopping(#[from] Stopping),
}

impl Control {
    /// Hands a virtual router or sync group over and has this node stay away from it, for so long or until released.
    ///
    /// # Errors
    /// [`PassError`]. After [`PassError::Unknown`] and [`PassError::Owner`] nothing was handed over. After
    /// [`PassError::Unfinished`] the hand-over goes on, and after [`PassError::Stopping`] it may have begun.
    pub async fn pass(&self, name: &str, time: Option<Duration>) -> Result<Passed, PassError> {
        let config = Arc::clone(&self.config.borrow());
        let routers = named(&config, name)?;
        let owner = |router: &&RouterName| config.virtual_routers[*router].priority == Priority::OWNER;
        if let Some(router) = routers.iter().find(owner) {
            return Err(PassError::Owner { router: router.clone() });
        }
        let asked = now();
        let until = time.map(|time| asked + time);
        let mut published = self.engine_status.clone();
        published.mark_unchanged();
        let command = EngineCommand::Pass { routers: routers.clone(), until };
        self.engine.send(command).await.map_err(|_| Stopping)?;
        let fates = async {
            loop {
                published.changed().await.map_err(|_| Stopping)?;
                let status = published.borrow().clone();
                if let Some(virtual_routers) = fates(&config, &routers, &status.routers, asked) {
                    return Ok(Passed { virtual_routers });
                }
            }
        };
        match tokio::time::timeout(PATIENCE, fates).await {
            Ok(passed) => passed,
            Err(_) => Err(PassError::Unfinished { name: name.to_owned() }),
        }
    }

    /// Has a virtual router or sync group that was passed on compete by its priority again.
    ///
    /// # Errors
    /// [`PassError`] when there is nothing to release.
    pub async fn release(&self, name: &str) -> Result<Released, PassError> {
        let config = Arc::clone(&self.config.borrow());
        let routers = named(&config, name)?;
        let status = self.engine_status.borrow().clone();
        let is_away = |router: &RouterName| {
            status.routers.virtual_routers.get(router).is_some_and(|one| one.away.is_some())
        };
        if !routers.iter().any(is_away) {
            return Err(PassError::NotAway { name: name.to_owned() });
        }
        let command = EngineCommand::Return { routers: routers.clone() };
        self.engine.send(command).await.map_err(|_| Stopping)?;
        Ok(Released { virtual_routers: routers.iter().map(ToString::to_string).collect() })
    }
}

/// Returns the virtual routers that move together under this name: of a sync group, or the one and its group.
fn named(config: &Config, name: &str) -> Result<BTreeSet<RouterName>, PassError> {
    if let Some((_, members)) = config.sync_groups.iter().find(|(group, _)| group.as_str() == name) {
        return Ok(members.clone());
    }
    let Some(router) = config.virtual_routers.keys().find(|router| router.as_str() == name) else {
        let routers = config.virtual_routers.keys().map(RouterName::as_str);
        let known: Vec<_> = routers.chain(config.sync_groups.keys().map(GroupName::as_str)).collect();
        return Err(PassError::Unknown { name: name.to_owned(), known: known.join(", ") });
    };
    let group = config.sync_groups.values().find(|members| members.contains(router));
    Ok(group.cloned().unwrap_or_else(|| BTreeSet::from([router.clone()])))
}

/// Returns what became of every virtual router, once that is known of all.
fn fates(
    config: &Config,
    routers: &BTreeSet<RouterName>,
    status: &RoutersStatus,
    asked: Instant,
) -> Option<BTreeMap<String, Fate>> {
    let one = |router: &RouterName| {
        let fate = fate(config, status.virtual_routers.get(router)?, asked)?;
        Some((router.to_string(), fate))
    };
    routers.iter().map(one).collect()
}

fn fate(config: &Config, router: &RouterStatus, asked: Instant) -> Option<Fate> {
    match router.hand_over {
        Some(HandOver { since, outcome }) if since >= asked => match outcome {
            HandOverOutcome::Underway => None,
            HandOverOutcome::To { peer, took } => {
                let milliseconds = took.as_secs_f64() * 1e3;
                Some(Fate::HandedOver { to: peer, node: node_at(config, peer), milliseconds })
            }
            HandOverOutcome::Nobody => Some(Fate::NobodyTookOver),
            HandOverOutcome::CalledOff => Some(Fate::CalledOff),
        },
        Some(_) | None => match router.state {
            RouterState::Initialize | RouterState::Backup | RouterState::Fault => {
                router.away.map(|_| Fate::NotActive)
            }
            RouterState::Active | RouterState::Leaving => None,
        },
    }
}

fn node_at(config: &Config, address: IpAddr) -> Option<String> {
    let peer = config.peers.iter().find(|(_, addresses)| addresses.contains(&address))?;
    Some(peer.0.to_string())
}
