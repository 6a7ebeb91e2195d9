//! A reconciler at work in a namespace.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use host::reconciler::{Cleaned, KernelEvent, Reconciler, Started, clean};
use lab::Namespace;
use node::config::InterfaceAddress;
use node::host_state::{Holding, Wanted};
use node::link::{LinkEvent, LinkState};
use node::name::InterfaceName;
use node::reconciliation::{Agreement, Reconciliation};
use tokio::sync::mpsc::Receiver;
use virtual_server::service::Service;

/// How long the kernel may take for anything; it takes milliseconds.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The reconciler, what it said and where it writes.
pub(crate) struct Kernel {
    links: Vec<LinkEvent>,
    reconciler: Reconciler,
    events: Receiver<KernelEvent>,
    record: Record,
}

/// A record of one test's own, gone with it.
pub(crate) struct Record(PathBuf);

impl Record {
    pub(crate) fn new(namespace: &Namespace) -> Self {
        Self(std::env::temp_dir().join(format!("{}-record", namespace.name())).join("owned.json"))
    }

    pub(crate) fn clean(&self, namespace: &Namespace) -> Cleaned {
        namespace.enter(|| clean(&self.0)).unwrap().unwrap()
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let folder = self.0.parent().unwrap();
        // It is a file where a test has blocked it.
        let _ = std::fs::remove_dir_all(folder);
        let _ = std::fs::remove_file(folder);
    }
}

impl Kernel {
    pub(crate) fn new(namespace: &Namespace) -> Self {
        Self::on(namespace, Record::new(namespace))
    }

    /// Starts where an earlier process has left its record.
    pub(crate) fn on(namespace: &Namespace, record: Record) -> Self {
        let started = namespace.enter(|| Reconciler::start(&record.0)).unwrap();
        let Started { reconciler, links, events } = started.unwrap();
        Self { links, reconciler, events, record }
    }

    /// Lets nothing be written to the record any more: no file can be made below a file.
    pub(crate) fn block_the_record(&self) {
        let folder = self.record.0.parent().unwrap();
        let _ = std::fs::remove_dir_all(folder);
        std::fs::write(folder, "").unwrap();
    }

    /// Ends as a process does that is killed: the kernel keeps what it holds.
    pub(crate) fn end(self) -> Record {
        self.record
    }

    /// Returns how a link was at the start.
    pub(crate) fn link(&self, name: &str) -> Option<&LinkState> {
        self.links.iter().find(|event| event.interface.as_str() == name)?.state.as_ref()
    }

    pub(crate) fn want(&self, addresses: &[&InterfaceAddress], services: &[Arc<Service>]) {
        let addresses: BTreeSet<_> = addresses.iter().map(|&address| address.clone()).collect();
        self.reconciler.want(Arc::new(Wanted {
            holdings: vec![Holding { addresses, services: services.to_vec(), ..Holding::default() }],
            ..Wanted::default()
        }));
    }

    /// Wants addresses, of which some are to be announced.
    pub(crate) fn want_announced(&self, addresses: &[&InterfaceAddress], announced: &[&InterfaceAddress]) {
        let [addresses, announced]: [BTreeSet<InterfaceAddress>; 2] =
            [addresses, announced].map(|some| some.iter().copied().cloned().collect());
        let holdings = vec![Holding { addresses, ..Holding::default() }];
        self.reconciler.want(Arc::new(Wanted { holdings, announced, ..Wanted::default() }));
    }

    pub(crate) fn want_holdings(&self, holdings: &[Holding]) {
        self.reconciler.want(Arc::new(Wanted { holdings: holdings.to_vec(), ..Wanted::default() }));
    }

    /// Waits for an event that `pick` takes, and passes over the others.
    pub(crate) fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&KernelEvent) -> Option<T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut passed = Vec::new();
        runtime.block_on(async {
            loop {
                let Ok(event) = tokio::time::timeout(LIMIT, self.events.recv()).await else {
                    panic!("waited in vain for {what}; there were {passed:#?}")
                };
                let event = event.expect("the reconciler runs");
                if let Some(picked) = pick(&event) {
                    return picked;
                }
                passed.push(event);
            }
        })
    }

    /// Waits for an outcome that holds, and passes over the others.
    pub(crate) fn outcome(&mut self, what: &str, holds: impl Fn(&Reconciliation) -> bool) -> Reconciliation {
        self.wait(what, |event| match event {
            KernelEvent::Reconciled(outcome) if holds(outcome) => Some(Reconciliation::clone(outcome)),
            KernelEvent::Reconciled(_) | KernelEvent::Link(_) | KernelEvent::Resynced => None,
        })
    }

    /// Waits until the kernel holds what is wanted, and returns all that came of it.
    pub(crate) fn settle(&mut self) -> Reconciliation {
        let mut all = Reconciliation::default();
        self.wait("the kernel to hold what is wanted", |event| {
            let KernelEvent::Reconciled(outcome) = event else { return None };
            all.taken.extend(outcome.taken.clone());
            all.left.extend_from_slice(&outcome.left);
            all.rerouted.extend_from_slice(&outcome.rerouted);
            all.refused.extend_from_slice(&outcome.refused);
            all.repaired.extend_from_slice(&outcome.repaired);
            all.completed.extend_from_slice(&outcome.completed);
            all.agreement = outcome.agreement;
            (outcome.agreement == Agreement::Settled).then(|| all.clone())
        })
    }
}

pub(crate) fn virtual_address(text: &str, interface: &str) -> InterfaceAddress {
    let (address, prefix_length) = text.split_once('/').unwrap();
    InterfaceAddress::new(
        InterfaceName::new(interface).unwrap(),
        address.parse().unwrap(),
        prefix_length.parse().unwrap(),
    )
}
