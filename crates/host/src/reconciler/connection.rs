//! The reconciler's way to IPVS: whether it is there at all, and what has to be told of that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use node::plan::ServiceChange;
use node::reconciliation::IpvsAvailability;
use tokio::time::Instant;
use virtual_server::service::{Service, ServiceKey};

use crate::ipvs::{ChangeError, Ipvs, IpvsError};

/// How long after IPVS was found missing, or failed, it is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(3);

/// The connection to IPVS, if there is one.
pub(super) struct Connection {
    state: State,
    told: Option<IpvsAvailability>,
    news: Option<IpvsAvailability>,
}

enum State {
    Untried,
    Open(Ipvs),
    Absent { retry_at: Instant, absence: Absence },
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absence {
    /// There is no IPVS, and so no service in it.
    Missing,
    /// It may be there.
    Failed,
}

impl Connection {
    pub(super) fn new() -> Self {
        Self { state: State::Untried, told: None, news: None }
    }

    /// Tells whether changes can be made.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Connects where there is no connection and it is due; tells whether changes can be made.
    pub(super) fn connect(&mut self, now: Instant) -> bool {
        match self.state {
            State::Open(_) => return true,
            State::Absent { retry_at, .. } if retry_at > now => return false,
            State::Absent { .. } | State::Untried => {}
        }
        match Ipvs::open() {
            Ok(ipvs) => {
                self.state = State::Open(ipvs);
                // That it is there is news only after it was not.
                if self.told.is_some() {
                    self.tell(IpvsAvailability::Available);
                }
                true
            }
            Err(error) => {
                self.fail(&error, now);
                false
            }
        }
    }

    /// Returns when to try again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        match self.state {
            State::Absent { retry_at, .. } => Some(retry_at),
            State::Untried | State::Open(_) => None,
        }
    }

    /// Reads the services of these keys; nothing when the connection is closed, was lost by this or there was something
    /// more urgent.
    pub(super) fn observe(
        &mut self,
        keys: &BTreeSet<ServiceKey>,
        now: Instant,
        is_interrupted: impl Fn() -> bool,
    ) -> Option<BTreeMap<ServiceKey, Arc<Service>>> {
        let State::Open(ipvs) = &mut self.state else { return None };
        match ipvs.observe(keys, is_interrupted) {
            Ok(services) => services,
            Err(error) => {
                self.fail(&error, now);
                None
            }
        }
    }

    /// Makes changes; nothing when the connection is closed or was lost by this.
    pub(super) fn apply(
        &mut self,
        changes: &[ServiceChange],
        now: Instant,
    ) -> Option<Vec<Result<(), ChangeError>>> {
        let State::Open(ipvs) = &mut self.state else { return None };
        match ipvs.apply(changes) {
            Ok(outcomes) => Some(outcomes),
            Err(error) => {
                self.fail(&error, now);
                None
            }
        }
    }

    /// Returns what has to be told since the last call.
    pub(super) fn news(&mut self) -> Option<IpvsAvailability> {
        self.news.take()
    }

    /// Tells whether this kernel has no IPVS at all, so that nothing can be in its table.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self.state, State::Absent { absence: Absence::Missing, .. })
    }

    fn fail(&mut self, error: &IpvsError, now: Instant) {
        let absence = match error {
            IpvsError::Unavailable => Absence::Missing,
            IpvsError::NotPermitted | IpvsError::Socket(_) => Absence::Failed,
        };
        self.state = State::Absent { retry_at: now + RETRY_PAUSE, absence };
        self.tell(IpvsAvailability::Unavailable { reason: error.to_string() });
    }

    fn tell(&mut self, availability: IpvsAvailability) {
        if self.told.as_ref() != Some(&availability) {
            self.told = Some(availability.clone());
            self.news = Some(availability);
        }
    }
}
