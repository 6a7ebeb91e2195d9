//! The reconciler's view of the IPVS services that are Baton's own.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use node::host_state::HostState;
use node::plan::{Change, ServiceChange};
use node::reconciliation::{IpvsAvailability, Reconciliation, RefusalKind};
use tokio::time::Instant;
use virtual_server::service::{Service, ServiceKey};

use super::connection::Connection;
use super::refusals::{News, Refusals};
use crate::ipvs::ChangeError;

/// The services and how they are reached.
pub(super) struct Services {
    connection: Connection,
    /// As last read, with what was changed since.
    view: BTreeMap<ServiceKey, Arc<Service>>,
    age: Age,
    /// Those that were looked at, whether they were there or not.
    known: BTreeSet<ServiceKey>,
    /// Those that somebody else has changed.
    disturbed: BTreeSet<ServiceKey>,
    /// Those that were told as complete.
    complete: BTreeSet<ServiceKey>,
    /// Those of which it is not known whether they are complete by now.
    undecided: BTreeSet<ServiceKey>,
}

/// Whether the view can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    /// They were never read.
    Unseen,
    /// Something was not as it had been read, or somebody may have changed it since.
    Stale,
    /// Nothing says otherwise.
    Fresh,
}

/// What came of the services that were to be made in one round.
#[derive(Debug, Default)]
pub(super) struct Additions {
    planned: BTreeSet<ServiceKey>,
    failed: BTreeSet<ServiceKey>,
}

impl Additions {
    pub(super) fn new(changes: &[Change]) -> Self {
        Self { planned: changes.iter().filter_map(added_service).collect(), failed: BTreeSet::new() }
    }
}

impl Services {
    pub(super) fn new() -> Self {
        Self {
            connection: Connection::new(),
            view: BTreeMap::new(),
            age: Age::Unseen,
            known: BTreeSet::new(),
            disturbed: BTreeSet::new(),
            complete: BTreeSet::new(),
            undecided: BTreeSet::new(),
        }
    }

    pub(super) fn view(&self) -> &BTreeMap<ServiceKey, Arc<Service>> {
        &self.view
    }

    /// Tells whether changes can be made.
    pub(super) fn is_reachable(&self) -> bool {
        self.connection.is_open()
    }

    /// Tells whether services may be there that cannot be looked at.
    pub(super) fn is_unseen(&self) -> bool {
        self.age == Age::Unseen
    }

    /// Returns when to try to reach them again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.connection.retry_at()
    }

    /// Has everything read anew: nobody is told when somebody else changes the table.
    pub(super) fn audit(&mut self) {
        if self.age == Age::Fresh {
            self.age = Age::Stale;
        }
    }

    /// Reads these services where the view of them cannot be relied on; an audit gives way to what is more urgent.
    pub(super) fn look(
        &mut self,
        own: BTreeSet<ServiceKey>,
        now: Instant,
        is_interrupted: impl Fn() -> bool,
    ) {
        if own.is_empty() {
            return;
        }
        let was_open = self.connection.is_open();
        if !self.connection.connect(now) {
            // What was known of a table that went away says nothing of the one that comes.
            self.age = if self.connection.is_missing() { Age::Stale } else { Age::Unseen };
            self.view.clear();
            self.complete.clear();
            return;
        }
        if !was_open {
            self.age = Age::Unseen;
        }
        let age = self.age;
        let asked = match age {
            Age::Fresh => own.difference(&self.known).copied().collect(),
            Age::Unseen | Age::Stale => own.clone(),
        };
        if asked.is_empty() {
            return;
        }
        let gives_way = || age == Age::Stale && is_interrupted();
        let Some(observed) = self.connection.observe(&asked, now, gives_way) else { return };
        for key in asked {
            let believed = self.view.get(&key);
            let observed = observed.get(&key);
            // What is the same stays the same to the planner too, which then need not compare it.
            if believed == observed {
                continue;
            }
            if believed.is_some() {
                self.disturbed.insert(key);
            }
            match observed {
                Some(service) => self.view.insert(key, Arc::clone(service)),
                None => self.view.remove(&key),
            };
        }
        self.known = own;
        self.age = Age::Fresh;
    }

    /// Makes changes of services, one chunk at most.
    pub(super) fn apply(
        &mut self,
        changes: &[Change],
        additions: &mut Additions,
        refusals: &mut Refusals,
        outcome: &mut Reconciliation,
    ) {
        // What belongs to a service that could not be made is not even tried.
        let may_be_tried = |change: &&ServiceChange| !additions.failed.contains(&change.key());
        let changes: Vec<_> =
            changes.iter().filter_map(service_change).filter(may_be_tried).cloned().collect();
        let now = Instant::now();
        let Some(done) = self.connection.apply(&changes, now) else {
            self.age = Age::Unseen;
            return;
        };
        self.undecided.extend(changes.iter().map(ServiceChange::key));
        let mut kernel = HostState { services: mem::take(&mut self.view), ..HostState::default() };
        for (change, done) in changes.into_iter().zip(done) {
            let key = change.key();
            let Err(error) = done else {
                kernel.apply_to_table(&change);
                // A service that was gone is one repair, however many destinations it has.
                let is_part = additions.planned.contains(&key) && made_service(&change).is_none();
                let is_repair = self.disturbed.contains(&key) && !is_part;
                let change = Change::Service(change);
                refusals.forgive(&change);
                outcome.repaired.extend(is_repair.then_some(change));
                continue;
            };
            if additions.failed.contains(&key) {
                continue;
            }
            additions.failed.extend(made_service(&change));
            let change = &Change::Service(change);
            match error {
                ChangeError::There | ChangeError::Gone => {
                    self.age = Age::Stale;
                    if refusals.surprise(change, now) == News::Fresh {
                        continue;
                    }
                }
                ChangeError::NoScheduler(_) | ChangeError::Kernel { .. } => {}
            }
            outcome.refused.extend(refusals.refuse(change, RefusalKind::Kernel, &error.to_string(), now));
        }
        self.view = kernel.services;
    }

    /// Ends a round: what somebody else had changed is put right.
    pub(super) fn conclude(&mut self) {
        self.disturbed.clear();
    }

    /// Begins a round: each service that is wanted may be complete or not.
    pub(super) fn begin(&mut self, wanted: &BTreeMap<ServiceKey, Arc<Service>>) {
        self.complete.retain(|key| wanted.contains_key(key));
        self.undecided = wanted.keys().copied().collect();
    }

    /// Returns the services that are as wanted by now and were not before, each with its number of destinations.
    ///
    /// Within a round only those are looked at that were changed: there may be many, and a round has many pieces.
    pub(super) fn completed(
        &mut self,
        wanted: &BTreeMap<ServiceKey, Arc<Service>>,
    ) -> Vec<(ServiceKey, usize)> {
        let mut completed = Vec::new();
        for key in mem::take(&mut self.undecided) {
            let Some(wanted) = wanted.get(&key) else { continue };
            let Some(seen) =
                self.view.get_mut(&key).filter(|seen| Arc::ptr_eq(seen, wanted) || *seen == wanted)
            else {
                self.complete.remove(&key);
                continue;
            };
            if !Arc::ptr_eq(seen, wanted) {
                *seen = Arc::clone(wanted);
                self.complete.remove(&key);
            }
            if self.complete.insert(key) {
                completed.push((key, wanted.destinations.len()));
            }
        }
        completed
    }

    /// Returns what has to be told of IPVS itself since the last call.
    pub(super) fn news(&mut self) -> Option<IpvsAvailability> {
        self.connection.news()
    }
}

/// Returns the service that a change is about; nothing for an address, a route or a rule.
pub(super) fn service_of(change: &Change) -> Option<ServiceKey> {
    service_change(change).map(ServiceChange::key)
}

/// Returns the service that a change makes.
pub(super) fn added_service(change: &Change) -> Option<ServiceKey> {
    service_change(change).and_then(made_service)
}

fn service_change(change: &Change) -> Option<&ServiceChange> {
    match change {
        Change::Service(change) => Some(change),
        Change::Rule(..)
        | Change::Route(..)
        | Change::Drop(..)
        | Change::Address(..)
        | Change::Device(..) => None,
    }
}

fn made_service(change: &ServiceChange) -> Option<ServiceKey> {
    match change {
        ServiceChange::Add(service) => Some(service.key),
        ServiceChange::Edit(_)
        | ServiceChange::AddDestination(..)
        | ServiceChange::EditDestination(..)
        | ServiceChange::RemoveDestination(..)
        | ServiceChange::Remove(_) => None,
    }
}
