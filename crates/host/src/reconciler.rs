//! Makes the kernel hold what it should, on a thread of its own.
//!
//! The engine says what is wanted and never waits; a newer wish replaces an older one that was not begun. What came of
//! it, and what the kernel tells of its links, comes back through a channel.

mod addresses;
mod arrival;
mod connection;
mod devices;
mod drops;
mod herald;
mod pace;
mod refusals;
mod routing;
mod services;
mod worker;

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fs, io, mem};

use node::config::InterfaceAddress;
use node::device::VirtualDevice;
use node::host_state::Wanted;
use node::input_drop::InputDrop;
use node::link::LinkEvent;
use node::plan::{Change, Step};
use node::reconciliation::{Agreement, Reconciliation, Refusal};
use node::routing::{VirtualRoute, VirtualRule};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use virtual_server::service::ServiceKey;

use crate::address::{self, Lease};
use crate::record::Record;
pub use crate::record::RecordError;
pub use crate::route_netlink::RequestError;
use crate::route_netlink::RouteNetlink;
use crate::routing::Routing;
use crate::{route, rule};
use worker::Worker;

/// How many events may wait for the engine; the reconciler then waits for it, never the other way round.
const EVENT_LIMIT: usize = 1024;

/// How long cleaning may take. Ten thousand destinations take well under a second.
const CLEANING_LIMIT: Duration = Duration::from_secs(10);

/// Why the reconciler cannot start.
#[derive(Debug, Error)]
pub enum ReconcilerError {
    /// What is Baton's own in the kernel is not known.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The kernel does not tell its links and addresses.
    #[error("The kernel does not tell its links and addresses: {0}")]
    Links(#[from] RequestError),
    /// The system has no thread or descriptor left.
    #[error("The reconciler's thread cannot start: {0}")]
    Thread(#[from] io::Error),
    /// Cleaning has not come to an end.
    #[error("Cleaning has not come to an end within {} s", CLEANING_LIMIT.as_secs())]
    Unfinished,
}

/// What the kernel has done or told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelEvent {
    /// A link changed.
    Link(LinkEvent),
    /// Something that the kernel told was lost, and everything was asked for anew.
    Resynced,
    /// Work on the kernel was done, or refused.
    Reconciled(Box<Reconciliation>),
}

/// The thread that makes the kernel hold what it should.
///
/// When it is dropped the thread ends after what it is just doing, and the kernel keeps what it holds.
#[derive(Debug)]
pub struct Reconciler {
    wanted: watch::Sender<Option<Arc<Wanted>>>,
    leases: watch::Sender<Leases>,
    thread: Option<JoinHandle<()>>,
}

/// How long addresses are kept, and how often that was renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Leases {
    lease: Lease,
    renewals: u64,
}

/// A reconciler that has looked around.
#[derive(Debug)]
pub struct Started {
    /// To say what is wanted.
    pub reconciler: Reconciler,
    /// Every link as it was found; changes come as events.
    pub links: Vec<LinkEvent>,
    /// What happens from now on.
    pub events: mpsc::Receiver<KernelEvent>,
}

/// What was removed from the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Cleaned {
    /// The virtual addresses.
    pub addresses: Vec<InterfaceAddress>,
    /// The interfaces with virtual hardware addresses.
    pub devices: Vec<VirtualDevice>,
    /// The addresses packets to which were dropped.
    pub drops: Vec<InputDrop>,
    /// The virtual routes.
    pub routes: Vec<VirtualRoute>,
    /// The virtual rules.
    pub rules: Vec<VirtualRule>,
    /// The IPVS services that were on record.
    pub services: Vec<ServiceKey>,
    /// What the kernel did not remove.
    pub refused: Vec<Refusal>,
}

impl Reconciler {
    /// Starts the thread and returns when it knows the kernel's links; nothing in the kernel is touched before something
    /// is wanted.
    ///
    /// `record` is the file that names what is Baton's own there; its folder is made where it is missing.
    ///
    /// # Errors
    /// [`ReconcilerError`] when the record cannot be read or written, or the links cannot be read.
    pub fn start(record: &Path) -> Result<Started, ReconcilerError> {
        Self::start_with(Record::open(record)?)
    }

    fn start_with(record: Record) -> Result<Started, ReconcilerError> {
        let (wanted, wishes) = watch::channel(None);
        let (leases, renewals) = watch::channel(Leases::default());
        let (outlet, events) = mpsc::channel(EVENT_LIMIT);
        let (started, found) = std::sync::mpsc::sync_channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::Builder::new().name("reconciler".to_owned()).spawn(move || {
            runtime.block_on(async {
                match Worker::new(record, wishes, renewals, outlet).await {
                    Ok((worker, links)) => {
                        // Nobody waits for it when the caller is gone, and then nothing is ever wanted either.
                        let _ = started.send(Ok(links));
                        worker.run().await;
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                    }
                }
            });
        })?;
        let reconciler = Self { wanted, leases, thread: Some(thread) };
        let links = found.recv().expect("the thread answers before it ends")?;
        Ok(Started { reconciler, links, events })
    }

    /// Says what the kernel should hold from now on.
    pub fn want(&self, wanted: Arc<Wanted>) {
        self.wanted.send_replace(Some(wanted));
    }

    /// Says how long the kernel keeps addresses by itself that are taken or renewed from now on; without end before that
    /// is said. Whole seconds count.
    pub fn lend(&self, time: Duration) {
        self.leases.send_modify(|leases| leases.lease = Lease::Ending(time));
    }

    /// Has the kernel keep what is wanted and there for another lease.
    pub fn renew(&self) {
        self.leases.send_modify(|leases| leases.renewals += 1);
    }
}

impl Drop for Reconciler {
    fn drop(&mut self) {
        // The thread ends when nobody can want anything any more.
        drop(mem::replace(&mut self.wanted, watch::channel(None).0));
        if let Some(thread) = self.thread.take() {
            // A panic has ended the process already or was printed.
            let _ = thread.join();
        }
    }
}

/// Removes every virtual address that is Baton's own from the kernel at once and tells which; then the routes and rules,
/// the drops of packets to them, and nothing else.
///
/// Has to be called inside a tokio runtime. The record is only read, so that a full disk is no hindrance.
///
/// # Errors
/// [`ReconcilerError`] when what is Baton's own is not known; an address that the kernel does not remove is left out.
pub async fn leave_addresses(record: &Path) -> Result<Vec<InterfaceAddress>, ReconcilerError> {
    let record = Record::read(record)?;
    let mut netlink = RouteNetlink::open().await?;
    let mut left = Vec::new();
    for own in netlink.interfaces().own_addresses(&record) {
        if address::leave(&mut netlink, &record, &own).await.is_ok() {
            left.push(own);
        }
    }
    // What is still there of these attracts nobody's traffic; the next daemon removes what stays.
    let Routing { routes, rules } = netlink.routing().clone();
    for rule in rules {
        let _ = rule::leave(&mut netlink, &rule).await;
    }
    for route in routes.iter().rev() {
        let _ = route::leave(&mut netlink, route).await;
    }
    let _ = drops::leave_all();
    Ok(left)
}

/// Removes everything that is Baton's own from the kernel and tells what that was.
///
/// No reconciler may be running on the same record. What only goes need not be written down, so that a full disk is no
/// hindrance.
///
/// # Errors
/// [`ReconcilerError`] when what is Baton's own is not known, or cleaning has not come to an end.
pub fn clean(record: &Path) -> Result<Cleaned, ReconcilerError> {
    let known = Record::read(record)?;
    let services: Vec<_> = known.services().iter().copied().collect();
    let Started { reconciler, links: _, mut events } = Reconciler::start_with(known)?;
    reconciler.want(Arc::new(Wanted::default()));
    let mut cleaned = Cleaned { services, ..Cleaned::default() };
    let finish = async {
        while let Some(event) = events.recv().await {
            let KernelEvent::Reconciled(outcome) = event else { continue };
            cleaned.addresses.extend(outcome.left);
            for change in outcome.devices {
                if let Change::Device(Step::Leave, device) = change {
                    cleaned.devices.push(device);
                }
            }
            for change in outcome.dropped {
                if let Change::Drop(Step::Leave, drop) = change {
                    cleaned.drops.push(drop);
                }
            }
            for change in outcome.rerouted {
                if let Change::Route(Step::Leave, route) = change {
                    cleaned.routes.push(route);
                } else if let Change::Rule(Step::Leave, rule) = change {
                    cleaned.rules.push(rule);
                }
            }
            let is_refused = !outcome.refused.is_empty();
            cleaned.refused.extend(outcome.refused);
            if is_refused || outcome.agreement == Agreement::Settled {
                break;
            }
        }
    };
    // On a thread of its own, since the caller's may be serving a runtime, and then no other may begin or end on it.
    let finished = thread::scope(|scope| {
        let limited = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
            let finished = runtime.block_on(async { tokio::time::timeout(CLEANING_LIMIT, finish).await });
            finished.map_err(|_| ReconcilerError::Unfinished)
        };
        scope.spawn(limited).join().expect("it only receives")
    });
    drop(reconciler);
    finished?;
    if cleaned.refused.is_empty() {
        // A record that names nothing says no more than none; one that cannot be removed does no harm.
        let _ = fs::remove_file(record);
    }
    Ok(cleaned)
}
