//! A machine's kernel and the reconciler that works on it, as slow and as stubborn as the scenario wants.

use std::collections::BTreeSet;
use std::time::Duration;

use node::config::InterfaceAddress;
use node::host_state::{HostState, Wanted};
use node::plan::{Change, Step, plan};
use node::reconciliation::{Agreement, Reconciliation, Refusal, RefusalKind, Said};

use crate::dice::{Dice, PerMille};
use crate::invariants::{self, Broken};
use crate::site::{is_kept, is_there};

/// How long the reconciler waits before it tries again what the kernel refused.
const REFUSAL_RETRY: Duration = Duration::from_millis(300);

/// How fast a kernel works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long one chunk of changes takes.
    pub chunk_time: Duration,
    /// How many changes are made between two looks at what is wanted.
    pub chunk: usize,
}

/// Whether the kernel gives virtual addresses to whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temper {
    /// It does.
    Obliging,
    /// It refuses every one.
    Refusing,
}

/// Whether there was something to take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theft {
    /// There was.
    Done,
    /// There was not.
    InVain,
}

/// What the reconciler is doing.
#[derive(Clone, Debug)]
enum Work {
    /// Nothing: what is wanted is there.
    Done,
    /// A chunk of changes is on its way to the kernel.
    Chunk { changes: Vec<Change>, wanted: Wanted },
    /// It waits before it tries again what was refused.
    Waiting,
}

/// Whether the chunk under way is what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Known,
    Newer,
}

/// Names one piece of work, so that the end of one that was given up is not taken for another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u32);

/// When the reconciler is to be seen to again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appointment {
    /// What for.
    pub ticket: Ticket,
    /// In how long.
    pub after: Duration,
}

/// What came of a piece of work.
#[derive(Clone, Debug, Default)]
pub struct Finished {
    /// The changes that were asked of the kernel.
    pub changes: Vec<Change>,
    /// What the daemon is to hear.
    pub outcome: Option<Reconciliation>,
    /// When the reconciler is to be seen to again.
    pub next: Option<Appointment>,
}

/// A machine's kernel; it outlives the daemon.
#[derive(Clone, Debug)]
pub struct Kernel {
    held: HostState,
    pace: Pace,
    temper: Temper,
    work: Work,
    ticket: Ticket,
    wish: Wish,
    /// The addresses that the daemon was told it holds.
    told: BTreeSet<InterfaceAddress>,
    /// What puts back what somebody else took away.
    stolen: Vec<Change>,
    /// What the daemon was told that it is refused.
    refused: Vec<Change>,
    /// What is not to be tried again yet.
    tried: Vec<Change>,
}

impl Kernel {
    /// Returns a kernel that holds nothing.
    pub fn new(pace: Pace) -> Self {
        Self {
            held: HostState::default(),
            pace,
            temper: Temper::Obliging,
            work: Work::Done,
            ticket: Ticket(0),
            wish: Wish::Known,
            told: BTreeSet::new(),
            stolen: Vec::new(),
            refused: Vec::new(),
            tried: Vec::new(),
        }
    }

    /// Returns what it holds for Baton.
    pub fn held(&self) -> &HostState {
        &self.held
    }

    /// Returns the addresses that the daemon has reason to think it holds: somebody may have taken one away just now.
    pub fn told(&self) -> &BTreeSet<InterfaceAddress> {
        &self.told
    }

    /// Tells whether it refuses addresses, or has not given yet what it refused before.
    pub fn is_refusing(&self) -> bool {
        self.temper == Temper::Refusing || !self.refused.is_empty()
    }

    /// Tells whether all that was wanted is done.
    pub fn is_done(&self) -> bool {
        matches!(self.work, Work::Done)
    }

    /// Returns the changes under way.
    pub fn planned(&self) -> &[Change] {
        match &self.work {
            Work::Chunk { changes, .. } => changes,
            Work::Done | Work::Waiting => &[],
        }
    }

    /// Makes it work at another pace from the next chunk on.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// Makes it refuse addresses or no longer.
    pub fn set_temper(&mut self, temper: Temper) {
        self.temper = temper;
    }

    /// Forgets the reconciler, which died with its daemon; what the kernel holds stays.
    pub fn lose_reconciler(&mut self) {
        self.work = Work::Done;
        self.wish = Wish::Known;
        self.told.clear();
        self.stolen.clear();
        self.refused.clear();
        self.tried.clear();
    }

    /// Outlives a reconciler that was killed: what it had asked for may be done all the same.
    pub fn outlive_reconciler(&mut self, dice: &mut Dice) {
        if let Work::Chunk { changes, .. } = std::mem::replace(&mut self.work, Work::Done)
            && self.temper == Temper::Obliging
            && dice.chance(PerMille(500))
        {
            for change in &changes {
                self.held.apply(change);
            }
            self.drop_what_hangs_in_the_air();
        }
    }

    /// Removes every address, as whoever fences the daemon has it, and returns them.
    pub fn leave_addresses(&mut self) -> BTreeSet<InterfaceAddress> {
        let left = std::mem::take(&mut self.held.addresses);
        self.drop_what_hangs_in_the_air();
        left
    }

    /// Removes the addresses by itself, since nobody has renewed them in time, and returns them.
    pub fn end_leases(&mut self) -> BTreeSet<InterfaceAddress> {
        let before = self.held.clone();
        let ended = self.leave_addresses();
        self.stolen.extend(lost(&before, &self.held));
        ended
    }

    /// Removes everything that is Baton's.
    pub fn clean(&mut self) {
        self.held = HostState::default();
        self.lose_reconciler();
    }

    /// Takes something away behind the daemon's back, and with it what cannot be there without it.
    pub fn steal(&mut self, choice: usize) -> Theft {
        let HostState { devices, addresses, routes, rules, .. } = &self.held;
        let things: Vec<_> = (addresses.iter().cloned().map(|address| Change::Address(Step::Leave, address)))
            .chain(routes.iter().cloned().map(|route| Change::Route(Step::Leave, route)))
            .chain(rules.iter().cloned().map(|rule| Change::Rule(Step::Leave, rule)))
            .chain(devices.iter().cloned().map(|device| Change::Device(Step::Leave, device)))
            .collect();
        let Some(loot) = things.iter().cycle().nth(choice) else { return Theft::InVain };
        let before = self.held.clone();
        self.held.apply(loot);
        self.drop_what_hangs_in_the_air();
        let gone = lost(&before, &self.held);
        self.stolen.extend(gone);
        Theft::Done
    }

    /// Hears that something else is wanted, or that something is missing; answers when it is to be seen to, unless that
    /// is arranged already.
    #[must_use]
    pub fn wake(&mut self, wanted: impl FnOnce() -> Wanted) -> Option<Appointment> {
        match self.work {
            Work::Done | Work::Waiting => Some(self.begin(wanted())),
            Work::Chunk { .. } => {
                self.wish = Wish::Newer;
                None
            }
        }
    }

    /// Finishes what is under way; returns what came of it and when it is to be seen to again.
    ///
    /// # Errors
    /// The invariant that a change breaks.
    pub fn finish(&mut self, ticket: Ticket, newest: impl FnOnce() -> Wanted) -> Result<Finished, Broken> {
        if ticket != self.ticket {
            return Ok(Finished::default());
        }
        match std::mem::replace(&mut self.work, Work::Done) {
            Work::Done => Ok(Finished::default()),
            Work::Waiting => {
                self.tried.clear();
                let next = self.begin(newest());
                Ok(Finished { next: Some(next), ..Finished::default() })
            }
            Work::Chunk { changes, wanted } => {
                let mut outcome = Reconciliation::default();
                for change in &changes {
                    self.make(change, &wanted, &mut outcome)?;
                }
                let newest = newest();
                if self.wish == Wish::Known {
                    invariants::nothing_else_is_wanted_unsaid(&wanted, &newest)?;
                }
                self.tell_what_stands(&changes, &wanted, &mut outcome);
                let left = plan(&newest, &self.held);
                let next = if left.is_empty() {
                    self.settle(&newest, &mut outcome)?;
                    None
                } else if left.iter().all(|change| self.is_tried(change)) {
                    self.work = Work::Waiting;
                    Some(self.appoint(REFUSAL_RETRY))
                } else {
                    Some(self.begin(newest))
                };
                Ok(Finished { changes, outcome: Some(outcome), next })
            }
        }
    }

    fn begin(&mut self, wanted: Wanted) -> Appointment {
        let mut changes = plan(&wanted, &self.held);
        changes.retain(|change| !self.is_tried(change));
        changes.truncate(self.pace.chunk);
        self.wish = Wish::Known;
        self.work = Work::Chunk { changes, wanted };
        self.appoint(self.pace.chunk_time)
    }

    fn appoint(&mut self, after: Duration) -> Appointment {
        self.ticket.0 += 1;
        Appointment { ticket: self.ticket, after }
    }

    fn is_tried(&self, change: &Change) -> bool {
        self.tried.contains(change)
    }

    fn make(&mut self, change: &Change, wanted: &Wanted, outcome: &mut Reconciliation) -> Result<(), Broken> {
        let is_address = matches!(change, Change::Address(Step::Take, _));
        if is_address && self.temper == Temper::Refusing {
            self.refuse(change, "the kernel of this scenario refuses it", outcome);
            return Ok(());
        }
        let is_undisturbed = self.refused.is_empty() && self.stolen.is_empty();
        if let Err(broken) = invariants::nothing_hangs_in_the_air(change, &self.held) {
            if is_undisturbed {
                return Err(broken);
            }
            // An address that was planned before somebody took its interface away is planned again.
            if !is_address {
                self.refuse(change, "what it needs is not there", outcome);
            }
            return Ok(());
        }
        self.refused.retain(|refused| refused != change);
        self.tried.retain(|tried| tried != change);
        if let Some(index) = self.stolen.iter().position(|stolen| stolen == change) {
            self.stolen.swap_remove(index);
            if let Change::Address(_, address) = change {
                self.told.remove(address);
            }
            outcome.repaired.push(change.clone());
        }
        invariants::table_before_address(change, &self.held, wanted)?;
        self.held.apply(change);
        self.drop_what_hangs_in_the_air();
        match change {
            Change::Device(..) => outcome.devices.push(change.clone()),
            Change::Route(..) | Change::Rule(..) => outcome.rerouted.push(change.clone()),
            Change::Address(..) | Change::Drop(..) | Change::Service(_) => {}
        }
        invariants::what_is_not_accepted_is_dropped(change, &self.held, wanted)
    }

    fn refuse(&mut self, change: &Change, reason: &str, outcome: &mut Reconciliation) {
        self.tried.push(change.clone());
        if !self.refused.contains(change) {
            self.refused.push(change.clone());
            let (change, reason) = (change.clone(), reason.to_owned());
            outcome.refused.push(Refusal { change, kind: RefusalKind::Kernel, reason });
        }
    }

    /// Does what a kernel does by itself: what is on an interface goes with it, and a route with the address that it
    /// comes from.
    fn drop_what_hangs_in_the_air(&mut self) {
        let HostState { devices, addresses, routes, .. } = &mut self.held;
        addresses.retain(|address| is_there(&address.interface, devices));
        routes.retain(|route| is_kept(route, addresses, devices));
    }

    fn tell_what_stands(&mut self, changes: &[Change], wanted: &Wanted, outcome: &mut Reconciliation) {
        let taken: Vec<_> = changes.iter().filter_map(Change::taken_address).collect();
        let is_wanted = |address: &InterfaceAddress| {
            wanted.holdings.iter().any(|holding| holding.addresses.contains(address))
        };
        let is_left =
            |address: &&InterfaceAddress| !self.held.addresses.contains(*address) && !is_wanted(address);
        outcome.left = self.told.iter().filter(is_left).cloned().collect();
        for address in &outcome.left {
            self.told.remove(address);
        }
        for address in wanted.holdings.iter().flat_map(|holding| &holding.addresses) {
            if self.held.addresses.contains(address) && self.told.insert(address.clone()) {
                let is_fresh = taken.contains(&address);
                let is_said = is_fresh && self.wish == Wish::Known && wanted.announced.contains(address);
                outcome.taken.insert(address.clone(), if is_said { Said::Once } else { Said::Nothing });
            }
        }
    }

    fn settle(&mut self, wanted: &Wanted, outcome: &mut Reconciliation) -> Result<(), Broken> {
        let state = wanted.state();
        invariants::plan_reaches_what_is_wanted(wanted, &state, &self.held)?;
        self.held = state;
        self.refused.clear();
        self.tried.clear();
        self.stolen.clear();
        outcome.agreement = Agreement::Settled;
        Ok(())
    }
}

/// Returns what puts back what was there before and is not any more.
fn lost(before: &HostState, held: &HostState) -> Vec<Change> {
    let addresses = before.addresses.difference(&held.addresses).cloned();
    let routes = before.routes.difference(&held.routes).cloned();
    let rules = before.rules.difference(&held.rules).cloned();
    let devices = before.devices.difference(&held.devices).cloned();
    (addresses.map(|address| Change::Address(Step::Take, address)))
        .chain(routes.map(|route| Change::Route(Step::Take, route)))
        .chain(rules.map(|rule| Change::Rule(Step::Take, rule)))
        .chain(devices.map(|device| Change::Device(Step::Take, device)))
        .collect()
}
