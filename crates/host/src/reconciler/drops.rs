//! What packets are dropped, as the reconciler has it begin and end.

use std::collections::BTreeSet;
use std::future::pending;

use node::input_drop::InputDrop;
use node::plan::{Change, Step};
use node::reconciliation::{Reconciliation, RefusalKind};
use tokio::time::Instant;

use super::refusals::Refusals;
use crate::nftables::{Nftables, NftablesError, Table, Watch};

/// Baton's table of the packet filter, as last looked at.
pub(super) struct Drops {
    connection: Option<Nftables>,
    /// Hears of others' changes, while something is dropped.
    watch: Option<Watch>,
    table: Table,
    view: BTreeSet<InputDrop>,
    age: Age,
    /// Those that were there when they were last looked at, of those that are wanted.
    known: BTreeSet<InputDrop>,
    /// Why what is wanted is not dropped, where it is not.
    obstacle: Option<String>,
}

/// Whether the view can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    /// It was never looked at; a dead process may have left something.
    Unseen,
    /// Somebody may have changed it.
    Stale,
    /// Nothing says otherwise.
    Fresh,
}

impl Drops {
    pub(super) const fn new() -> Self {
        Self {
            connection: None,
            watch: None,
            table: Table::Absent,
            view: BTreeSet::new(),
            age: Age::Unseen,
            known: BTreeSet::new(),
            obstacle: None,
        }
    }

    /// What is dropped.
    pub(super) const fn view(&self) -> &BTreeSet<InputDrop> {
        &self.view
    }

    /// Why what is wanted is not dropped.
    pub(super) fn obstacle(&self) -> &str {
        self.obstacle.as_deref().unwrap_or("the packet filter has not been asked yet")
    }

    /// Waits until somebody else may have changed what is dropped.
    ///
    /// Dropping the future before it is ready loses nothing.
    pub(super) async fn changed(&mut self) {
        let Some(watch) = &mut self.watch else { return pending().await };
        if watch.changed().await.is_err() {
            // The next look opens another one.
            self.watch = None;
        }
        self.age = Age::Stale;
    }

    /// Has it looked at anew: what the kernel tells may be lost.
    pub(super) fn audit(&mut self) {
        self.age = Age::Stale;
    }

    /// Looks at what is dropped where that is not known.
    pub(super) fn look(&mut self, wanted: &BTreeSet<InputDrop>) {
        let is_used = !(wanted.is_empty() && self.view.is_empty());
        match self.age {
            Age::Fresh => {}
            Age::Stale if !is_used => {}
            Age::Stale | Age::Unseen => match self.observe() {
                Ok(()) => {}
                // There is no table where there are none.
                Err(NftablesError::Unavailable) => self.believe(Table::Absent),
                // What was known is the best guess until the next audit.
                Err(_) => self.connection = None,
            },
        }
        if !is_used {
            self.watch = None;
        } else if self.watch.is_none() {
            // What is changed before it listens is seen by looking once more; without it the audits have to do.
            self.watch = self.listen();
            if self.watch.is_some() {
                let _ = self.observe();
            }
        }
    }

    /// Begins or ends to drop packets, all in one transaction.
    pub(super) fn apply(
        &mut self,
        changes: &[Change],
        refusals: &mut Refusals,
        outcome: &mut Reconciliation,
    ) {
        let mut wanted = self.view.clone();
        for change in changes {
            match change {
                Change::Drop(Step::Take, drop) => {
                    wanted.insert(drop.clone());
                }
                Change::Drop(Step::Leave, drop) => {
                    wanted.remove(drop);
                }
                Change::Rule(..)
                | Change::Route(..)
                | Change::Address(..)
                | Change::Device(..)
                | Change::Service(_) => {}
            }
        }
        match self.change(&wanted) {
            Ok(()) => {
                self.obstacle = None;
                for change in changes {
                    refusals.forgive(change);
                    // What begins although it had begun has been ended by nobody but others.
                    if let Change::Drop(Step::Take, drop) = change
                        && self.known.remove(drop)
                    {
                        outcome.repaired.push(change.clone());
                    }
                    outcome.dropped.push(change.clone());
                }
            }
            Err(error) => {
                let reason = error.to_string();
                for change in changes {
                    let refusal = refusals.refuse(change, kind(&error), &reason, Instant::now());
                    outcome.refused.extend(refusal);
                }
                self.obstacle = Some(reason);
            }
        }
    }

    /// Remembers what is there of what is wanted.
    pub(super) fn note(&mut self, wanted: &BTreeSet<InputDrop>) {
        self.known.extend(self.view.intersection(wanted).cloned());
        self.known.retain(|drop| wanted.contains(drop));
    }

    fn change(&mut self, wanted: &BTreeSet<InputDrop>) -> Result<(), NftablesError> {
        let table = self.table.clone();
        match self.connected()?.change(&table, wanted) {
            // Perhaps somebody has changed it since it was looked at.
            Err(NftablesError::Refused(_)) => {
                self.observe()?;
                let table = self.table.clone();
                self.connected()?.change(&table, wanted)?;
            }
            done @ (Ok(()) | Err(_)) => done?,
        }
        self.believe(if wanted.is_empty() { Table::Absent } else { Table::Whole(wanted.clone()) });
        Ok(())
    }

    fn observe(&mut self) -> Result<(), NftablesError> {
        let table = self.connected()?.observe()?;
        self.believe(table);
        Ok(())
    }

    fn believe(&mut self, table: Table) {
        self.view = match &table {
            Table::Whole(drops) => drops.clone(),
            Table::Absent | Table::Damaged | Table::Foreign(_) => BTreeSet::new(),
        };
        self.table = table;
        self.age = Age::Fresh;
    }

    fn connected(&mut self) -> Result<&mut Nftables, NftablesError> {
        if self.connection.is_none() {
            self.connection = Some(Nftables::open()?);
        }
        Ok(self.connection.as_mut().expect("it was opened just now"))
    }

    fn listen(&mut self) -> Option<Watch> {
        let port = self.connected().ok()?.port().ok()?;
        Watch::open(port).ok()
    }
}

/// Removes Baton's table; that it is gone already, or never was, is as good.
pub(super) fn leave_all() -> Result<(), NftablesError> {
    let mut nftables = Nftables::open()?;
    let table = nftables.observe()?;
    nftables.change(&table, &BTreeSet::new())
}

const fn kind(error: &NftablesError) -> RefusalKind {
    match error {
        NftablesError::Foreign(_) => RefusalKind::Foreign,
        NftablesError::Unavailable
        | NftablesError::NotPermitted
        | NftablesError::Torn
        | NftablesError::Refused(_)
        | NftablesError::Socket(_) => RefusalKind::Kernel,
    }
}
