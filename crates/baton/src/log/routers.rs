//! Events of virtual routers.

use std::net::IpAddr;
use std::time::Duration;

use node::Rejection;
use node::fault::Fault;
use node::name::{InterfaceName, RouterName};
use node::report::HandOverReason;
use tracing::{info, warn};
use vrrp::{BecomeActiveCause, BecomeBackupCause, Priority};

use super::milliseconds;

pub(super) fn became_active(router: &RouterName, cause: BecomeActiveCause) {
    info!(event = "became_active", virtual_router = %router, reason = active_reason(cause), "{router} is Active: {cause}");
}

pub(super) fn role_adopted(router: &RouterName) {
    info!(event = "role_adopted", virtual_router = %router, "{router} goes on as Active where the daemon before this one died");
}

pub(super) fn became_backup(router: &RouterName, cause: BecomeBackupCause) {
    let by = outranking(cause);
    let (peer, priority) = (by.map(|(peer, _)| peer.to_string()), by.map(|(_, priority)| priority.get()));
    info!(event = "became_backup", virtual_router = %router, reason = backup_reason(cause), peer = peer, priority = priority, "{router} is a Backup: {cause}");
}

pub(super) fn handing_over(router: &RouterName, reason: &HandOverReason) {
    info!(event = "handing_over", virtual_router = %router, reason = reason.reason(), "{router} is handed over, {reason}: this node serves until its successor does");
}

pub(super) fn handed_over(router: &RouterName, to: IpAddr, took: Duration) {
    let milliseconds = milliseconds(took);
    info!(event = "handed_over", virtual_router = %router, peer = %to, milliseconds = milliseconds, "{to} serves {router} after {milliseconds:.1} ms");
}

pub(super) fn nobody_took_over(router: &RouterName) {
    warn!(event = "nobody_took_over", virtual_router = %router, "{router} was released and nobody took over");
}

pub(super) fn stays_away(router: &RouterName) {
    info!(event = "stays_away", virtual_router = %router, "this node prefers others for {router}, whatever their priority");
}

pub(super) fn hand_over_called_off(router: &RouterName) {
    info!(event = "hand_over_called_off", virtual_router = %router, "{router} is not handed over after all");
}

pub(super) fn comes_back(router: &RouterName) {
    info!(event = "comes_back", virtual_router = %router, "this node competes for {router} by its priority again");
}

pub(super) fn router_stopped(router: &RouterName) {
    info!(event = "router_stopped", virtual_router = %router, "{router} takes part no longer");
}

pub(super) fn router_faulted(router: &RouterName, fault: &Fault) {
    warn!(event = "router_faulted", virtual_router = %router, reason = fault.reason(), "{router} cannot take part: {fault}");
}

pub(super) fn router_recovered(router: &RouterName) {
    info!(event = "router_recovered", virtual_router = %router, "{router} can take part again");
}

pub(super) fn neighbour_answered(router: &RouterName, peer: IpAddr) {
    info!(event = "neighbour_answered", virtual_router = %router, peer = %peer, "{peer} answered: this node can hear, and claims {router} when it has missed an Active from now on");
}

pub(super) fn dual_active(router: &RouterName, by: IpAddr, priority: Priority) {
    warn!(event = "dual_active", virtual_router = %router, peer = %by, priority = priority.get(), "{by} is Active for {router} too, with priority {priority}; it has to yield");
}

pub(super) fn dual_active_over(router: &RouterName, by: IpAddr, lasted: Duration) {
    let milliseconds = milliseconds(lasted);
    info!(event = "dual_active_over", virtual_router = %router, peer = %by, milliseconds = milliseconds, "{by} is not Active for {router} besides this node any more; both were for {milliseconds:.1} ms that this node could hear");
}

pub(super) fn vrid_conflict(router: &RouterName, from: IpAddr, addresses: &[IpAddr]) {
    let (addresses, vrid) = (listed(addresses), "virtual_router_id");
    warn!(event = "vrid_conflict", virtual_router = %router, peer = %from, addresses = addresses, "{from} uses the {vrid} of {router} for other addresses, {addresses}: give one of the two another {vrid}");
}

pub(super) fn advertisement_refused(
    interface: &InterfaceName,
    router: Option<&RouterName>,
    from: IpAddr,
    rejection: Rejection,
) {
    let router = router.map(ToString::to_string);
    warn!(event = "advertisement_refused", interface = %interface, virtual_router = router, peer = %from, reason = rejection.reason(), "refused a packet from {from} on {interface}: {rejection}");
}

pub(super) fn unauthenticated_accepted(router: &RouterName, from: IpAddr) {
    warn!(event = "unauthenticated_accepted", virtual_router = %router, peer = %from, "{from} does not sign its advertisements of {router}; they would be refused with mode = \"enforce\"");
}

pub(super) fn address_list_differs(router: &RouterName, from: IpAddr) {
    warn!(event = "address_list_differs", virtual_router = %router, peer = %from, "{from} advertises other addresses for {router} than this node would");
}

pub(super) fn interval_differs(router: &RouterName, from: IpAddr, theirs: Duration) {
    warn!(event = "interval_differs", virtual_router = %router, peer = %from, interval = ?theirs, "{from} advertises {router} every {theirs:?}, which this node learns but would not do itself");
}

fn active_reason(cause: BecomeActiveCause) -> &'static str {
    match cause {
        BecomeActiveCause::Owner => "owner",
        BecomeActiveCause::ActiveDown => "active_down",
        BecomeActiveCause::ActiveReleased => "active_released",
        BecomeActiveCause::Preempting => "preempting",
        BecomeActiveCause::NobodyTookOver => "nobody_took_over",
    }
}

fn backup_reason(cause: BecomeBackupCause) -> &'static str {
    match cause {
        BecomeBackupCause::Started => "started",
        BecomeBackupCause::Outranked { .. } => "outranked",
        BecomeBackupCause::Overslept { .. } => "overslept",
        BecomeBackupCause::Released => "released",
    }
}

fn outranking(cause: BecomeBackupCause) -> Option<(IpAddr, Priority)> {
    match cause {
        BecomeBackupCause::Outranked { by, priority } | BecomeBackupCause::Overslept { by, priority } => {
            Some((by, priority))
        }
        BecomeBackupCause::Started | BecomeBackupCause::Released => None,
    }
}

fn listed(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
