//! The reconciler's thread: look, plan, apply a piece, tell, look again whether something newer is wanted.

use std::collections::BTreeSet;
use std::future::ready;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use node::config::InterfaceAddress;
use node::host_state::{HostState, Wanted};
use node::link::LinkEvent;
use node::plan::{Change, plan};
use node::reconciliation::{Agreement, Reconciliation, RefusalKind};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::addresses::{Addresses, Lacking};
use super::devices::Devices;
use super::drops::Drops;
use super::herald::Herald;
use super::pace::Pace;
use super::refusals::Refusals;
use super::routing::Routing;
use super::services::{Additions, Services, added_service, service_of};
use super::{KernelEvent, Leases, ReconcilerError};
use crate::ipvs::CHUNK_LIMIT;
use crate::record::Record;
use crate::route_netlink::{Resync, RouteNetlink};

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
    leases: watch::Receiver<Leases>,
    outlet: mpsc::Sender<KernelEvent>,
    netlink: RouteNetlink,
    addresses: Addresses,
    herald: Herald,
    devices: Devices,
    drops: Drops,
    routing: Routing,
    services: Services,
    refusals: Refusals,
    pace: Pace,
    audit_at: Instant,
    agreement: Agreement,
    /// How often leases were renewed.
    renewals: u64,
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
        leases: watch::Receiver<Leases>,
        outlet: mpsc::Sender<KernelEvent>,
    ) -> Result<(Self, Vec<LinkEvent>), ReconcilerError> {
        let mut netlink = RouteNetlink::open().await?;
        let links = netlink.interfaces_mut().events(&record);
        let worker = Self {
            record,
            wishes,
            leases,
            outlet,
            netlink,
            addresses: Addresses::default(),
            herald: Herald::new(),
            devices: Devices::default(),
            drops: Drops::new(),
            routing: Routing::default(),
            services: Services::new(),
            refusals: Refusals::default(),
            pace: Pace::default(),
            audit_at: Instant::now() + AUDIT_INTERVAL,
            agreement: Agreement::Pending,
            renewals: 0,
        };
        Ok((worker, links))
    }

    /// Works until the engine is gone.
    pub(super) async fn run(mut self) {
        loop {
            let put_back_at = self.addresses.next(self.netlink.interfaces());
            let retries = [self.refusals.next(), self.services.retry_at(), put_back_at, self.pace.next()];
            let wake_at = retries.into_iter().flatten().fold(self.audit_at, Instant::min);
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
                    outcome = match changed {
                        Ok(()) => self.netlink.catch_up().await,
                        Err(error) => Err(error),
                    };
                }
                changed = self.leases.changed() => if changed.is_err() {
                    return;
                },
                () = self.drops.changed() => {}
                () = ready(()), if self.addresses.are_due() => {}
                () = sleep_until(wake_at) => {}
            }
            self.follow_leases();
            if self.audit_at <= Instant::now() {
                outcome = outcome.and(self.netlink.observe().await);
                self.services.audit();
                self.drops.audit();
                self.audit_at = Instant::now() + AUDIT_INTERVAL;
            }
            if outcome.is_err() && self.netlink.reopen().await.is_err() {
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
            if self.netlink.take_resync() == Resync::Done
                && self.send(KernelEvent::Resynced).await == Round::Abandoned
            {
                return;
            }
            if self.tell_links().await == Round::Abandoned {
                return;
            }
            // It may have come with something else, and whoever wished is told when it is settled.
            if self.wishes.has_changed().unwrap_or(false) {
                occasion = Occasion::Wish;
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
            let Self { addresses, netlink, record, wishes, .. } = &mut self;
            addresses.renew(netlink, record, || wishes.has_changed().unwrap_or(true)).await;
        }
    }

    fn follow_leases(&mut self) {
        let Leases { lease, renewals } = *self.leases.borrow_and_update();
        self.addresses.lend(lease);
        if renewals == self.renewals {
            return;
        }
        self.renewals = renewals;
        let wanted = self.wishes.borrow().as_ref().map(|wanted| wanted.state().addresses).unwrap_or_default();
        let own = self.netlink.interfaces().own_addresses(&self.record);
        self.addresses.hold(own.intersection(&wanted).cloned().collect());
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
        self.services.begin(&state.services);
        let own = self.record.services().iter().chain(state.services.keys()).copied().collect();
        let wishes = &self.wishes;
        self.services.look(own, now, || wishes.has_changed().unwrap_or(true));
        self.drops.look(&state.drops);

        let mut outcome = Reconciliation::default();
        let changes = self.due_changes(wanted, &state, now, &mut outcome);
        let mut additions = Additions::new(&changes);
        for same in changes.chunk_by(|one, next| Subject::of(one) == Subject::of(next)) {
            let subject = Subject::of(&same[0]);
            let mut pieces = same.chunks(subject.chunk_limit()).peekable();
            while let Some(piece) = pieces.next() {
                match self.wishes.has_changed() {
                    Ok(true) => return self.tell(outcome, &state, Round::Overtaken).await,
                    Ok(false) => {}
                    Err(_) => return Round::Abandoned,
                }
                let Self { netlink, record, refusals, drops, .. } = self;
                match subject {
                    Subject::Drop => drops.apply(piece, refusals, &mut outcome),
                    Subject::Address => {
                        let there = netlink.interfaces().own_devices();
                        let missing = state.devices.difference(&there);
                        let lacking = Lacking {
                            devices: missing.map(|device| device.name.clone()).collect(),
                            drops: state.drops.difference(drops.view()).collect(),
                            obstacle: drops.obstacle(),
                        };
                        let taken = self
                            .addresses
                            .apply(piece, &lacking, netlink, record, refusals, &mut outcome)
                            .await;
                        // Those of IPv4 wait for no others.
                        let (here, arriving): (Vec<_>, Vec<_>) =
                            taken.into_iter().partition(|taken| taken.address.is_ipv4());
                        self.announce(&here, wanted);
                        self.addresses.arrive(&arriving, &mut self.netlink, &self.record).await;
                        self.announce(&arriving, wanted);
                    }
                    Subject::Device => {
                        self.devices.apply(piece, netlink, record, refusals, &mut outcome).await;
                    }
                    Subject::Routing => {
                        self.attend_to_routing(&state).await;
                        let Self { netlink, refusals, .. } = self;
                        self.routing.apply(piece, netlink, refusals, &mut outcome).await;
                    }
                    Subject::Service => self.services.apply(piece, &mut additions, refusals, &mut outcome),
                }
                for repair in &outcome.repaired {
                    match Subject::of(repair) {
                        Subject::Device | Subject::Drop | Subject::Routing => {
                            self.pace.note(repair, Instant::now());
                        }
                        // Addresses have a pace of their own.
                        Subject::Address | Subject::Service => {}
                    }
                }
                let is_told = subject.is_awaited() || pieces.peek().is_none();
                if is_told
                    && self.tell(mem::take(&mut outcome), &state, Round::Finished).await == Round::Abandoned
                {
                    return Round::Abandoned;
                }
            }
        }
        self.attend_to_routing(&state).await;
        self.conclude(wanted, &state, occasion, outcome).await
    }

    /// Has the kernel tell of routes and rules where some are wanted; not before the addresses are there, since it looks all
    /// of its routes through for that, which may be a million.
    async fn attend_to_routing(&mut self, state: &HostState) {
        if !(state.routes.is_empty() && state.rules.is_empty()) {
            // Where it fails nothing is known of others' work on routes until the next round.
            let _ = self.netlink.attend_to_routing().await;
        }
    }

    /// Announces once what was taken, unless the roles may be others by now.
    fn announce(&mut self, taken: &[InterfaceAddress], wanted: &Wanted) {
        let interfaces = self.netlink.interfaces();
        let is_there = |address: &&InterfaceAddress| {
            let interface = interfaces.find(&address.interface);
            interface.is_some_and(|(_, interface)| interface.own(address, &self.record).is_some())
        };
        let announced = taken.iter().filter(|address| wanted.announced.contains(*address)).filter(is_there);
        let is_overtaken = || self.wishes.has_changed().unwrap_or(true);
        let announced = self.herald.announce(announced, interfaces, is_overtaken);
        self.addresses.note_announced(announced);
    }

    /// Returns what can be done now of what there is to do; all that it makes is on record.
    fn due_changes(
        &mut self,
        wanted: &Wanted,
        state: &HostState,
        now: Instant,
        outcome: &mut Reconciliation,
    ) -> Vec<Change> {
        let mut changes = plan(wanted, &self.seen(state));
        self.refusals.retain(&changes);
        self.pace.forget(now);
        let is_reachable = self.services.is_reachable();
        changes.retain(|change| Subject::of(change) != Subject::Service || is_reachable);
        // Nothing can be put into a service that itself has to wait.
        let waits = |change: &&Change| !self.refusals.is_due(change, now);
        let waiting: BTreeSet<_> = changes.iter().filter(waits).filter_map(added_service).collect();
        changes.retain(|change| {
            self.refusals.is_due(change, now) && service_of(change).is_none_or(|key| !waiting.contains(&key))
        });

        changes.retain(|change| self.addresses.is_due(change, self.netlink.interfaces()));
        changes.retain(|change| self.pace.is_due(change));

        let services: Vec<_> = changes.iter().filter_map(added_service).collect();
        if let Err(error) =
            self.record.announce(changes.iter().filter_map(Change::taken_address).cloned(), services)
        {
            let reason = error.to_string();
            changes.retain(|change| {
                let is_unknown = change.taken_address().is_some() && self.record.decides_on_addresses();
                let makes = is_unknown || added_service(change).is_some();
                if makes {
                    let refusal = self.refusals.refuse(change, RefusalKind::Kernel, &reason, now);
                    outcome.refused.extend(refusal);
                }
                !makes
            });
        }
        changes
    }

    /// Tells how the round came out as a whole.
    async fn conclude(
        &mut self,
        wanted: &Wanted,
        state: &HostState,
        occasion: Occasion,
        mut outcome: Reconciliation,
    ) -> Round {
        self.services.conclude();
        self.note(state, &mut outcome);
        let seen = self.seen(state);
        self.routing.note(&seen, state);
        self.drops.note(&state.drops);
        self.devices.conclude(&seen, state, &mut self.netlink, &mut self.record).await;
        // What is on record and cannot be looked at may still be there.
        let is_unseen = self.services.is_unseen();
        let may_be_more = is_unseen && !self.record.services().is_empty();
        let is_settled = !may_be_more && plan(wanted, &seen).is_empty();
        outcome.agreement = if is_settled { Agreement::Settled } else { Agreement::Pending };
        // A record that names more than there is does no harm, and the next round writes it again.
        let _ = self.record.retain(
            |address| seen.addresses.contains(address) || state.addresses.contains(address),
            |key| is_unseen || seen.services.contains_key(key) || state.services.contains_key(key),
        );
        let is_news = occasion == Occasion::Wish || outcome.agreement != self.agreement;
        self.agreement = outcome.agreement;
        if is_news || has_content(&outcome) {
            return self.send(KernelEvent::Reconciled(Box::new(outcome))).await;
        }
        Round::Finished
    }

    fn seen(&self, wanted: &HostState) -> HostState {
        let routing = self.netlink.routing();
        HostState {
            devices: self.netlink.interfaces().own_devices(),
            drops: self.drops.view().clone(),
            addresses: self.netlink.interfaces().own_addresses(&self.record),
            routes: routing.routes_among(&wanted.routes),
            rules: routing.rules.clone(),
            services: self.services.view().clone(),
        }
    }

    /// Adds to the outcome what the kernel holds by now and did not before.
    fn note(&mut self, state: &HostState, outcome: &mut Reconciliation) {
        let own = self.netlink.interfaces().own_addresses(&self.record);
        self.addresses.note(&own, &state.addresses, outcome);
        outcome.completed.extend(self.services.completed(&state.services));
        outcome.ipvs = self.services.news();
    }

    /// Tells what came of a piece of work, if anything.
    async fn tell(&mut self, mut outcome: Reconciliation, state: &HostState, round: Round) -> Round {
        self.note(state, &mut outcome);
        if self.tell_links().await == Round::Abandoned {
            return Round::Abandoned;
        }
        if has_content(&outcome)
            && self.send(KernelEvent::Reconciled(Box::new(outcome))).await == Round::Abandoned
        {
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
    *outcome != Reconciliation { agreement: outcome.agreement, ..Reconciliation::default() }
}

/// What a change is about, and so who makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Device,
    Drop,
    Address,
    Routing,
    Service,
}

impl Subject {
    fn of(change: &Change) -> Self {
        match change {
            Change::Device(..) => Self::Device,
            Change::Drop(..) => Self::Drop,
            Change::Address(..) => Self::Address,
            Change::Rule(..) | Change::Route(..) => Self::Routing,
            Change::Service(_) => Self::Service,
        }
    }

    /// How many changes are made before it is looked whether something newer is wanted.
    const fn chunk_limit(self) -> usize {
        match self {
            Self::Address => ADDRESS_CHUNK,
            Self::Device | Self::Drop | Self::Routing | Self::Service => CHUNK_LIMIT,
        }
    }

    /// Whether somebody waits to hear of each piece: addresses are announced while the rest is worked on. A table of
    /// hundreds of services is told of as a whole, as the engine would be woken up for each of them.
    const fn is_awaited(self) -> bool {
        match self {
            Self::Address => true,
            Self::Device | Self::Drop | Self::Routing | Self::Service => false,
        }
    }
}
