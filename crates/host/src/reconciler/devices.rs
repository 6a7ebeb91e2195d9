//! Interfaces with virtual hardware addresses, as the reconciler makes and removes them.

use std::collections::BTreeSet;

use node::device::VirtualDevice;
use node::host_state::HostState;
use node::plan::{Change, Step};
use node::reconciliation::{Reconciliation, RefusalKind};
use tokio::time::Instant;

use super::refusals::Refusals;
use crate::device::{self, DeviceError};
use crate::record::Record;
use crate::route_netlink::RouteNetlink;

/// The devices that were there when they were last looked at.
#[derive(Debug, Default)]
pub(super) struct Devices {
    known: BTreeSet<VirtualDevice>,
}

impl Devices {
    /// Makes changes of devices.
    pub(super) async fn apply(
        &mut self,
        changes: &[Change],
        netlink: &mut RouteNetlink,
        record: &mut Record,
        refusals: &mut Refusals,
        outcome: &mut Reconciliation,
    ) {
        for change in changes {
            let done = match change {
                Change::Device(Step::Take, wanted) => {
                    let done = device::take(netlink, record, wanted).await;
                    // What is made although it was there has been removed by nobody but others.
                    if done.is_ok() && self.known.remove(wanted) {
                        outcome.repaired.push(change.clone());
                    }
                    done
                }
                Change::Device(Step::Leave, own) => {
                    self.known.remove(own);
                    device::leave(netlink, own).await
                }
                Change::Rule(..)
                | Change::Route(..)
                | Change::Drop(..)
                | Change::Address(..)
                | Change::Service(_) => continue,
            };
            match done {
                Ok(()) => {
                    refusals.forgive(change);
                    outcome.devices.push(change.clone());
                }
                Err(error) => {
                    let (kind, reason) = (kind(&error), error.to_string());
                    outcome.refused.extend(refusals.refuse(change, kind, &reason, Instant::now()));
                }
            }
        }
    }

    /// Remembers which of the wanted devices are there, and puts the settings of interfaces back that have none any more.
    pub(super) async fn conclude(
        &mut self,
        seen: &HostState,
        wanted: &HostState,
        netlink: &mut RouteNetlink,
        record: &mut Record,
    ) {
        self.known.extend(seen.devices.intersection(&wanted.devices).cloned());
        self.known.retain(|device| wanted.devices.contains(device));
        for (parent, before) in record.parents() {
            let is_used =
                |devices: &BTreeSet<VirtualDevice>| devices.iter().any(|device| device.parent == parent);
            if is_used(&seen.devices) || is_used(&wanted.devices) {
                continue;
            }
            // Where it fails it stays on record, and the next round tries again.
            if device::restore(netlink, &parent, before).await.is_ok() {
                let _ = record.forget_parent(&parent);
            }
        }
    }
}

fn kind(error: &DeviceError) -> RefusalKind {
    match error {
        DeviceError::Foreign(_) => RefusalKind::Foreign,
        DeviceError::NoParent(_) => RefusalKind::NoInterface,
        DeviceError::NotPermitted
        | DeviceError::NoMacvlan
        | DeviceError::Record(_)
        | DeviceError::Kernel { .. } => RefusalKind::Kernel,
    }
}
