//! A machine's kernel and the reconciler that works on it, as slow and as stubborn as the scenario wants.

use std::collections::BTreeSet;
use std::time::Duration;

use node::config::InterfaceAddress;
use node::host_state::{HostState, Wanted};
use node::plan::{Change, Step, plan};
use node::reconciliation::{Agreement, Reconciliation, Refusal, RefusalKind};

use crate::invariants::{self, Broken};

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
    /// The addresses that somebody else took away and that were not put back yet.
    stolen: BTreeSet<InterfaceAddress>,
    /// The addresses whose refusal the daemon was told.
    refused: BTreeSet<InterfaceAddress>,
    /// Those of them that are not to be tried again yet.
    tried: BTreeSet<InterfaceAddress>,
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
            stolen: BTreeSet::new(),
            refused: BTreeSet::new(),
            tried: BTreeSet::new(),
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

    /// Takes an address away behind the daemon's back; returns which, when there was one.
    pub fn steal(&mut self, choice: usize) -> Option<InterfaceAddress> {
        let address = self.held.addresses.iter().cycle().nth(choice)?.clone();
        self.held.addresses.remove(&address);
        self.stolen.insert(address.clone());
        Some(address)
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
                self.tell_what_stands(&wanted, &mut outcome);
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
        matches!(change, Change::Address(Step::Take, address) if self.tried.contains(address))
    }

    fn make(&mut self, change: &Change, wanted: &Wanted, outcome: &mut Reconciliation) -> Result<(), Broken> {
        if let Change::Address(Step::Take, address) = change {
            if self.temper == Temper::Refusing {
                self.tried.insert(address.clone());
                if self.refused.insert(address.clone()) {
                    let reason = "the kernel of this scenario refuses it".to_owned();
                    let change = change.clone();
                    outcome.refused.push(Refusal { change, kind: RefusalKind::Kernel, reason });
                }
                return Ok(());
            }
            self.refused.remove(address);
            self.tried.remove(address);
            if self.stolen.remove(address) {
                self.told.remove(address);
                outcome.repaired.push(change.clone());
            }
        }
        invariants::table_before_address(change, &self.held, wanted)?;
        self.held.apply(change);
        invariants::what_is_not_accepted_is_dropped(change, &self.held, wanted)
    }

    fn tell_what_stands(&mut self, wanted: &Wanted, outcome: &mut Reconciliation) {
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
                outcome.taken.push(address.clone());
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
