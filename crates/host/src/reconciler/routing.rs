//! Routes and rules, as the reconciler takes and leaves them.

use std::collections::BTreeSet;

use node::host_state::HostState;
use node::plan::{Change, Step};
use node::reconciliation::{Reconciliation, RefusalKind};
use node::routing::{VirtualRoute, VirtualRule};
use tokio::time::Instant;

use super::refusals::Refusals;
use crate::route_netlink::RouteNetlink;
use crate::routing::RoutingError;
use crate::{route, rule};

/// The routes and rules that were there when they were last looked at.
#[derive(Debug, Default)]
pub(super) struct Routing {
    routes: BTreeSet<VirtualRoute>,
    rules: BTreeSet<VirtualRule>,
}

impl Routing {
    /// Makes changes of routes and rules.
    pub(super) async fn apply(
        &mut self,
        changes: &[Change],
        netlink: &mut RouteNetlink,
        refusals: &mut Refusals,
        outcome: &mut Reconciliation,
    ) {
        for change in changes {
            // What is taken although it was there has been removed by nobody but others.
            let (done, was_there) = match change {
                Change::Rule(Step::Leave, own) => {
                    let done = rule::leave(netlink, own).await;
                    self.rules.remove(own);
                    (done, false)
                }
                Change::Route(Step::Leave, own) => {
                    let done = route::leave(netlink, own).await;
                    self.routes.remove(own);
                    (done, false)
                }
                Change::Route(Step::Take, wanted) => {
                    (route::take(netlink, wanted).await, self.routes.remove(wanted))
                }
                Change::Rule(Step::Take, wanted) => {
                    (rule::take(netlink, wanted).await, self.rules.remove(wanted))
                }
                Change::Drop(..) | Change::Address(..) | Change::Device(..) | Change::Service(_) => continue,
            };
            match done {
                Ok(()) => {
                    refusals.forgive(change);
                    if was_there {
                        outcome.repaired.push(change.clone());
                    }
                    outcome.rerouted.push(change.clone());
                }
                Err(error) => {
                    let (kind, reason) = (kind(&error), error.to_string());
                    outcome.refused.extend(refusals.refuse(change, kind, &reason, Instant::now()));
                }
            }
        }
    }

    /// Remembers what is there of what is wanted.
    pub(super) fn note(&mut self, seen: &HostState, wanted: &HostState) {
        self.routes.extend(seen.routes.intersection(&wanted.routes).cloned());
        self.rules.extend(seen.rules.intersection(&wanted.rules).cloned());
        self.routes.retain(|route| wanted.routes.contains(route));
        self.rules.retain(|rule| wanted.rules.contains(rule));
    }
}

fn kind(error: &RoutingError) -> RefusalKind {
    match error {
        RoutingError::Foreign { .. } => RefusalKind::Foreign,
        RoutingError::NoInterface { .. } => RefusalKind::NoInterface,
        RoutingError::NotPermitted | RoutingError::OutOfReach { .. } | RoutingError::Kernel { .. } => {
            RefusalKind::Kernel
        }
    }
}
