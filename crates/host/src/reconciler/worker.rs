//! The reconciler's thread: look, plan, apply a piece, tell, look again whether something newer is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use node::config::InterfaceAddress;
use node::host_state::{HostState, Wanted};
use node::link::LinkEvent;
use node::plan::{Change, plan};
use node::reconciliation::{Agreement, Reconciliation, Refusal, RefusalKind};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use virtual_server::service::{Service, ServiceKey};

use super::refusals::{News, Refusals};
use super::services::Table;
use super::{KernelEvent, ReconcilerError};
use crate::address::{self, AddressError};
use crate::ipvs::{CHUNK_LIMIT, ChangeError};
use crate::record::Record;
use crate::route_netlink::RouteNetlink;

/// How often everything is read anew, in case somebody changed what the kernel does not tell of.
const AUDIT_INTERVAL: Duration = Duration::from_secs(10);

/// How many addresses are taken or left before that is told, so that announcements start while the rest is worked on.
const ADDRESS_CHUNK: usize = 16;

/// How long to wait before asking again where rtnetlink does not answer.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// The thread's state.
pub(super) struct Worker {
    record: Record,
    wishes: watch::Receiver<Option<Arc<Wanted>>>,
    outlet: mpsc::Sender<KernelEvent>,
    netlink: RouteNetlink,
    table: Table,
    refusals: Refusals,
    /// The services as last read, with what was changed since; of the addresses rtnetlink has the view.
    services: BTreeMap<ServiceKey, Arc<Service>>,
    services_age: Age,
    /// The services that were looked at, whether they were there or not.
    known: BTreeSet<ServiceKey>,
    audit_at: Instant,
    /// The addresses that were told as taken.
    held: BTreeSet<InterfaceAddress>,
    /// The services that were told as complete.
    complete: BTreeSet<ServiceKey>,
    /// The services that somebody else has changed.
    disturbed: BTreeSet<ServiceKey>,
    agreement: Agreement,
}

/// Whether the view of the services can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    /// They were never read.
    Unseen,
    /// Something was not as it had been read.
    Stale,
    /// Nothing says otherwise.
    Fresh,
}

/// Why there is work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasion {
    /// Something else is wanted.
    Wish,
    /// A link or an address changed, or a change is to be tried again.
    Circumstance,
}

/// Whether a round came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    Finished,
    /// Something newer is wanted.
    Overtaken,
    /// The engine is gone.
    Abandoned,
}

impl Worker {
    pub(super) async fn new(
        record: Record,
        wishes: watch::Receiver<Option<Arc<Wanted>>>,
        outlet: mpsc::Sender<KernelEvent>,
    ) -> Result<(Self, Vec<LinkEvent>), ReconcilerError> {
        let mut netlink = RouteNetlink::open().await?;
        let links = netlink.interfaces_mut().events(&record);
        let worker = Self {
            record,
            wishes,
            outlet,
            netlink,
            table: Table::new(),
            refusals: Refusals::default(),
            services: BTreeMap::new(),
            services_age: Age::Unseen,
            known: BTreeSet::new(),
            audit_at: Instant::now() + AUDIT_INTERVAL,
            held: BTreeSet::new(),
            complete: BTreeSet::new(),
            disturbed: BTreeSet::new(),
            agreement: Agreement::Pending,
        };
        Ok((worker, links))
    }

    /// Works until the engine is gone.
    pub(super) async fn run(mut self) {
        loop {
            let wake_at = [Some(self.audit_at), self.refusals.next(), self.table.retry_at()];
            let wake_at = wake_at.into_iter().flatten().min().unwrap_or(self.audit_at);
            let mut occasion = Occasion::Circumstance;
            let mut outcome = Ok(());
            tokio::select! {
                changed = self.wishes.changed() => match changed {
                    Ok(()) => {
                        occasion = Occasion::Wish;
                        outcome = self.netlink.catch_up().await;
                    }
                    Err(_) => return,
                },
                changed = self.netlink.changed() => {
                    self.refusals.hurry_addresses(Instant::now());
                    outcome = changed;
                }
                () = sleep_until(wake_at) => {}
            }
            if self.audit_at <= Instant::now() {
                outcome = outcome.and(self.netlink.observe().await);
                if self.services_age == Age::Fresh {
                    self.services_age = Age::Stale;
                }
                self.audit_at = Instant::now() + AUDIT_INTERVAL;
            }
            if outcome.is_err() && self.netlink.reopen().await.is_err() {
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
            if self.tell_links().await == Round::Abandoned {
                return;
            }
            loop {
                let wanted = self.wishes.borrow_and_update().clone();
                let Some(wanted) = wanted else { break };
                match self.round(&wanted, occasion).await {
                    Round::Finished => break,
                    Round::Overtaken => occasion = Occasion::Wish,
                    Round::Abandoned => return,
                }
            }
        }
    }

    async fn tell_links(&mut self) -> Round {
        for event in self.netlink.interfaces_mut().events(&self.record) {
            if self.send(KernelEvent::Link(event)).await == Round::Abandoned {
                return Round::Abandoned;
            }
        }
        Round::Finished
    }

    /// Makes the kernel hold what is wanted, as far as it lets itself be made.
    async fn round(&mut self, wanted: &Wanted, occasion: Occasion) -> Round {
        let now = Instant::now();
        let state = wanted.state();
        self.look_at_services(&state, now);
        let mut changes = plan(wanted, &self.seen());
        self.refusals.retain(&changes);
        let is_table_open = self.table.is_open();
        changes.retain(|change| is_address(change) || is_table_open);
        let waits = |change: &&Change| !self.refusals.is_due(change, now);
        // Nothing can be put into a service that itself has to wait.
        let waiting: BTreeSet<_> = changes.iter().filter(waits).filter_map(added_service).collect();
        changes.retain(|change| {
            self.refusals.is_due(change, now) && service_of(change).is_none_or(|key| !waiting.contains(&key))
        });

        let mut outcome = Reconciliation::default();
        self.announce(&mut changes, now, &mut outcome);
        // What depends on a service that could not be made is not even tried.
        let mut unmade = BTreeSet::new();
        let added: BTreeSet<_> = changes.iter().filter_map(added_service).collect();
        for same in changes.chunk_by(|one, next| is_address(one) == is_address(next)) {
            let limit = if is_address(&same[0]) { ADDRESS_CHUNK } else { CHUNK_LIMIT };
            for piece in same.chunks(limit) {
                match self.wishes.has_changed() {
                    Ok(true) => return self.tell(outcome, &state, Round::Overtaken).await,
                    Ok(false) => {}
                    Err(_) => return Round::Abandoned,
                }
                if is_address(&piece[0]) {
                    self.apply_addresses(piece, &mut outcome).await;
                } else {
                    self.apply_services(piece, &added, &mut unmade, &mut outcome);
                }
                if self.tell(mem::take(&mut outcome), &state, Round::Finished).await == Round::Abandoned {
                    return Round::Abandoned;
                }
            }
        }
        self.conclude(wanted, &state, occasion, outcome).await
    }

    /// Tells how the round came out as a whole.
    async fn conclude(
        &mut self,
        wanted: &Wanted,
        state: &HostState,
        occasion: Occasion,
        mut outcome: Reconciliation,
    ) -> Round {
        self.disturbed.clear();
        let seen = self.seen();
        // What is on record but cannot be looked at may still be there.
        let is_unseen = self.services_age == Age::Unseen && !self.record.services().is_empty();
        let is_settled = plan(wanted, &seen).is_empty() && !is_unseen;
        let agreement = if is_settled { Agreement::Settled } else { Agreement::Pending };
        let is_record_kept = self.record.retain(
            |address| seen.addresses.contains(address) || state.addresses.contains(address),
            |key| {
                seen.services.contains_key(key)
                    || state.services.contains_key(key)
                    || self.services_age == Age::Unseen
            },
        );
        // The record then names more than there is, which is harmless, and is written again before it grows.
        drop(is_record_kept);
        let is_news = occasion == Occasion::Wish || agreement != self.agreement;
        self.agreement = agreement;
        outcome.agreement = agreement;
        self.note(state, &mut outcome);
        if is_news || has_content(&outcome) {
            return self.send(KernelEvent::Reconciled(outcome)).await;
        }
        Round::Finished
    }

    fn seen(&self) -> HostState {
        HostState {
            addresses: self.netlink.interfaces().own_addresses(&self.record),
            services: self.services.clone(),
        }
    }

    /// Reads the services where the view of them is not to be relied on.
    fn look_at_services(&mut self, state: &HostState, now: Instant) {
        let own: BTreeSet<_> = self.record.services().iter().chain(state.services.keys()).copied().collect();
        if own.is_empty() {
            return;
        }
        let was_open = self.table.is_open();
        if !self.table.connect(now) {
            // What was known of a table that went away says nothing of the one that comes.
            self.services_age = Age::Unseen;
            self.services.clear();
            self.complete.clear();
            if self.table.is_missing() {
                self.services_age = Age::Stale;
            }
            return;
        }
        if !was_open {
            self.services_age = Age::Unseen;
        }
        let asked = match self.services_age {
            Age::Fresh => own.difference(&self.known).copied().collect(),
            Age::Unseen | Age::Stale => own.clone(),
        };
        if asked.is_empty() {
            return;
        }
        let (wishes, age) = (&self.wishes, self.services_age);
        // An audit can wait, a first look cannot.
        let is_interrupted = || age == Age::Stale && wishes.has_changed().unwrap_or(true);
        let Some(observed) = self.table.observe(&asked, now, is_interrupted) else { return };
        for key in asked {
            let believed = self.services.get(&key);
            let observed = observed.get(&key);
            // What is the same stays the same to the planner too, which then need not compare it.
            if believed == observed {
                continue;
            }
            if believed.is_some() {
                self.disturbed.insert(key);
            }
            match observed {
                Some(service) => self.services.insert(key, Arc::clone(service)),
                None => self.services.remove(&key),
            };
        }
        self.known = own;
        self.services_age = Age::Fresh;
    }

    /// Writes down what is about to be made; what cannot be written down is not made.
    fn announce(&mut self, changes: &mut Vec<Change>, now: Instant, outcome: &mut Reconciliation) {
        let addresses = changes.iter().filter_map(|change| match change {
            Change::TakeAddress(address) => Some(address.clone()),
            Change::LeaveAddress(_)
            | Change::AddService(_)
            | Change::EditService(_)
            | Change::AddDestination(..)
            | Change::EditDestination(..)
            | Change::RemoveDestination(..)
            | Change::RemoveService(_) => None,
        });
        let services: Vec<_> = changes.iter().filter_map(added_service).collect();
        if let Err(error) = self.record.announce(addresses, services) {
            let reason = error.to_string();
            changes.retain(|change| {
                let makes = matches!(change, Change::TakeAddress(_) | Change::AddService(_));
                if makes && self.refusals.add(change, &reason, now) == News::Fresh {
                    let (change, reason) = (change.clone(), reason.clone());
                    outcome.refused.push(Refusal { change, kind: RefusalKind::Kernel, reason });
                }
                !makes
            });
        }
    }

    async fn apply_addresses(&mut self, changes: &[Change], outcome: &mut Reconciliation) {
        for change in changes {
            let done = match change {
                Change::TakeAddress(wanted) => address::take(&mut self.netlink, &self.record, wanted).await,
                Change::LeaveAddress(own) => address::leave(&mut self.netlink, &self.record, own).await,
                Change::AddService(_)
                | Change::EditService(_)
                | Change::AddDestination(..)
                | Change::EditDestination(..)
                | Change::RemoveDestination(..)
                | Change::RemoveService(_) => Ok(()),
            };
            match done {
                Ok(()) => {
                    self.refusals.forgive(change);
                    match change {
                        Change::LeaveAddress(address) => {
                            self.held.remove(address);
                            outcome.left.push(address.clone());
                        }
                        Change::TakeAddress(address) if self.held.remove(address) => {
                            outcome.repaired.push(change.clone());
                        }
                        Change::TakeAddress(_)
                        | Change::AddService(_)
                        | Change::EditService(_)
                        | Change::AddDestination(..)
                        | Change::EditDestination(..)
                        | Change::RemoveDestination(..)
                        | Change::RemoveService(_) => {}
                    }
                }
                Err(error) => self.refuse(change, refusal_kind(&error), &error.to_string(), outcome),
            }
        }
    }

    fn apply_services(
        &mut self,
        changes: &[Change],
        added: &BTreeSet<ServiceKey>,
        unmade: &mut BTreeSet<ServiceKey>,
        outcome: &mut Reconciliation,
    ) {
        let changes: Vec<_> = changes
            .iter()
            .filter(|change| service_of(change).is_none_or(|key| !unmade.contains(&key)))
            .cloned()
            .collect();
        let Some(done) = self.table.apply(&changes, Instant::now()) else {
            self.services_age = Age::Unseen;
            return;
        };
        let mut kernel = HostState { addresses: BTreeSet::new(), services: mem::take(&mut self.services) };
        for (change, done) in changes.iter().zip(done) {
            let Some(key) = service_of(change) else { continue };
            match done {
                Ok(()) => {
                    kernel.apply(change);
                    self.refusals.forgive(change);
                    // A service that was gone is one repair, however many destinations it has.
                    let is_part = added.contains(&key) && !matches!(change, Change::AddService(_));
                    if self.disturbed.contains(&key) && !is_part {
                        outcome.repaired.push(change.clone());
                    }
                }
                Err(_) if unmade.contains(&key) => {}
                Err(error) => {
                    if matches!(change, Change::AddService(_)) {
                        unmade.insert(key);
                    }
                    match error {
                        ChangeError::There | ChangeError::Gone => {
                            self.services_age = Age::Stale;
                            if self.refusals.surprise(change, Instant::now()) == News::Fresh {
                                continue;
                            }
                        }
                        ChangeError::NoScheduler(_) | ChangeError::Kernel { .. } => {}
                    }
                    self.refuse(change, RefusalKind::Kernel, &error.to_string(), outcome);
                }
            }
        }
        self.services = kernel.services;
    }

    fn refuse(&mut self, change: &Change, kind: RefusalKind, reason: &str, outcome: &mut Reconciliation) {
        if self.refusals.add(change, reason, Instant::now()) == News::Fresh {
            outcome.refused.push(Refusal { change: change.clone(), kind, reason: reason.to_owned() });
        }
    }

    /// Adds to the outcome what the kernel holds by now and did not before.
    fn note(&mut self, state: &HostState, outcome: &mut Reconciliation) {
        let own = self.netlink.interfaces().own_addresses(&self.record);
        for address in own.intersection(&state.addresses) {
            if self.held.insert(address.clone()) {
                outcome.taken.push(address.clone());
            }
        }
        let gone = |address: &InterfaceAddress| !own.contains(address) && !state.addresses.contains(address);
        let (gone, held) = mem::take(&mut self.held).into_iter().partition::<BTreeSet<_>, _>(gone);
        self.held = held;
        outcome.left.extend(gone);

        for (key, wanted) in &state.services {
            let Some(seen) = self.services.get_mut(key) else {
                self.complete.remove(key);
                continue;
            };
            if !Arc::ptr_eq(seen, wanted) {
                if seen != wanted {
                    self.complete.remove(key);
                    continue;
                }
                *seen = Arc::clone(wanted);
                self.complete.remove(key);
            }
            if self.complete.insert(*key) {
                outcome.completed.push((*key, wanted.destinations.len()));
            }
        }
        self.complete.retain(|key| state.services.contains_key(key));
        outcome.ipvs = self.table.news();
    }

    /// Tells what came of a piece of work, if anything.
    async fn tell(&mut self, mut outcome: Reconciliation, state: &HostState, round: Round) -> Round {
        self.note(state, &mut outcome);
        if self.tell_links().await == Round::Abandoned {
            return Round::Abandoned;
        }
        if has_content(&outcome) && self.send(KernelEvent::Reconciled(outcome)).await == Round::Abandoned {
            return Round::Abandoned;
        }
        round
    }

    async fn send(&mut self, event: KernelEvent) -> Round {
        let mut wishes = self.wishes.clone();
        tokio::select! {
            sent = self.outlet.send(event) => if sent.is_ok() { Round::Finished } else { Round::Abandoned },
            // An engine that ends takes no more events.
            _ = wishes.wait_for(|_| false) => Round::Abandoned,
        }
    }
}

fn has_content(outcome: &Reconciliation) -> bool {
    let Reconciliation { taken, left, refused, repaired, completed, ipvs, agreement: _ } = outcome;
    let is_empty = taken.is_empty() && left.is_empty() && refused.is_empty() && repaired.is_empty();
    !is_empty || !completed.is_empty() || ipvs.is_some()
}

fn refusal_kind(error: &AddressError) -> RefusalKind {
    match error {
        AddressError::Foreign(_) => RefusalKind::Foreign,
        AddressError::NoInterface(_) => RefusalKind::NoInterface,
        AddressError::NotPermitted | AddressError::Ipv6Disabled(_) | AddressError::Kernel { .. } => {
            RefusalKind::Kernel
        }
    }
}

fn is_address(change: &Change) -> bool {
    service_of(change).is_none()
}

fn service_of(change: &Change) -> Option<ServiceKey> {
    match change {
        Change::LeaveAddress(_) | Change::TakeAddress(_) => None,
        Change::AddService(service) | Change::EditService(service) => Some(service.key),
        Change::AddDestination(key, ..)
        | Change::EditDestination(key, ..)
        | Change::RemoveDestination(key, _)
        | Change::RemoveService(key) => Some(*key),
    }
}

fn added_service(change: &Change) -> Option<ServiceKey> {
    match change {
        Change::AddService(service) => Some(service.key),
        Change::LeaveAddress(_)
        | Change::TakeAddress(_)
        | Change::EditService(_)
        | Change::AddDestination(..)
        | Change::EditDestination(..)
        | Change::RemoveDestination(..)
        | Change::RemoveService(_) => None,
    }
}
