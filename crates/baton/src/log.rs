//! Each event as one structured log record; the names and fields are listed in the README and stay.

mod engine;

use std::net::SocketAddr;

use node::report::Report;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;
use vrrp::{BecomeActiveCause, BecomeBackupCause};

use crate::cli::LogFormat;

/// Starts writing the log to standard output; `RUST_LOG` chooses what, everything from INFO on unless it is set.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    match format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).init(),
    }
}

/// Writes one event.
// An arm for each: the compiler keeps the list complete.
#[allow(clippy::too_many_lines)]
pub fn write(report: &Report) {
    match report {
        Report::BecameActive { router, cause } => {
            info!(event = "became_active", virtual_router = %router, reason = active_reason(*cause), "{router} is Active: {cause}");
        }
        Report::BecameBackup { router, cause } => {
            info!(event = "became_backup", virtual_router = %router, reason = backup_reason(*cause), "{router} is a Backup: {cause}");
        }
        Report::HandingOver { router, reason } => {
            info!(event = "handing_over", virtual_router = %router, reason = reason.reason(), "{router} is handed over, {reason}: this node serves until its successor does");
        }
        Report::HandedOver { router, to, took } => {
            let milliseconds = took.as_secs_f64() * 1e3;
            info!(event = "handed_over", virtual_router = %router, peer = %to, milliseconds = milliseconds, "{to} serves {router} after {milliseconds:.1} ms");
        }
        Report::NobodyTookOver { router } => {
            warn!(event = "nobody_took_over", virtual_router = %router, "{router} was released and nobody took over");
        }
        Report::StaysAway { router } => {
            info!(event = "stays_away", virtual_router = %router, "{router} was passed on: this node prefers others, whatever their priority");
        }
        Report::ComesBack { router } => {
            info!(event = "comes_back", virtual_router = %router, "this node competes for {router} by its priority again");
        }
        Report::RouterStopped { router } => {
            info!(event = "router_stopped", virtual_router = %router, "{router} takes part no longer");
        }
        Report::RouterFaulted { router, fault } => {
            warn!(event = "router_faulted", virtual_router = %router, reason = fault.reason(), "{router} cannot take part: {fault}");
        }
        Report::RouterRecovered { router } => {
            info!(event = "router_recovered", virtual_router = %router, "{router} can take part again");
        }
        Report::DualActive { router, by, priority } => {
            warn!(event = "dual_active", virtual_router = %router, peer = %by, priority = priority.get(), "{by} is Active for {router} too, with priority {priority}; it has to yield");
        }
        Report::AdvertisementRefused { interface, router, from, rejection } => {
            let router = router.as_ref().map(ToString::to_string);
            warn!(event = "advertisement_refused", interface = %interface, virtual_router = router, peer = %from, reason = rejection.reason(), "refused a packet from {from} on {interface}: {rejection}");
        }
        Report::AddressListDiffers { router, from } => {
            warn!(event = "address_list_differs", virtual_router = %router, peer = %from, "{from} advertises other addresses for {router} than this node would");
        }
        Report::IntervalDiffers { router, from, theirs } => {
            warn!(event = "interval_differs", virtual_router = %router, peer = %from, interval = ?theirs, "{from} advertises {router} every {theirs:?}, which this node learns but would not do itself");
        }
        Report::AddressTaken { address } => {
            info!(event = "address_taken", address = %address.address, interface = %address.interface, "took {address}");
        }
        Report::AddressLeft { address } => {
            info!(event = "address_left", address = %address.address, interface = %address.interface, "left {address}");
        }
        Report::Repaired { change } => {
            warn!(event = "repaired", change = %change, "somebody else had changed what is Baton's: {change}");
        }
        Report::ChangeRefused { change, reason } => {
            warn!(event = "change_refused", change = %change, "the kernel refused to {change}: {reason}");
        }
        Report::AddressForeign { address } => {
            warn!(event = "address_foreign", address = %address.address, interface = %address.interface, "{address} is already there and is not Baton's");
        }
        Report::ListeningFailed { interface, reason } => {
            warn!(event = "listening_failed", interface = %interface, "{reason}");
        }
        Report::SendingFailed { interface, reason } => {
            warn!(event = "sending_failed", interface = %interface, "a packet could not be sent on {interface}: {reason}");
        }
        Report::IpvsUnavailable { reason } => {
            warn!(event = "ipvs_unavailable", "virtual servers are unavailable: {reason}");
        }
        Report::IpvsAvailable => info!(event = "ipvs_available", "IPVS is there"),
        Report::RealServerUp { server, real_server } => {
            info!(event = "real_server_up", virtual_server = %server, real_server = %real_server, "{real_server} of {server} is fit");
        }
        Report::RealServerDown { server, real_server, reason } => {
            warn!(event = "real_server_down", virtual_server = %server, real_server = %real_server, reason = reason, "{real_server} of {server} is not fit: {reason}");
        }
        Report::QuorumReached { server, weight, quorum } => {
            info!(event = "quorum_reached", virtual_server = %server, weight = weight, quorum = quorum, "{server} is up: weight {weight} of the {quorum} it needs");
        }
        Report::QuorumLost { server, weight, quorum, sorry_server } => {
            let sorry_server = sorry_server.map(|address: SocketAddr| address.to_string());
            warn!(event = "quorum_lost", virtual_server = %server, weight = weight, quorum = quorum, sorry_server = sorry_server, "{server} is down: weight {weight} of the {quorum} it needs");
        }
        Report::WeightChanged { server, real_server, from, to } => {
            let (from, to) = (from.get(), to.get());
            info!(event = "weight_changed", virtual_server = %server, real_server = %real_server, from = from, to = to, "the weight of {real_server} of {server} changed from {from} to {to}");
        }
        Report::ProbeInconclusive { server, real_server, reason } => {
            warn!(event = "probe_inconclusive", virtual_server = %server, real_server = %real_server, reason = reason, "{real_server} of {server} could not be asked: {reason}");
        }
        Report::TableComplete { service, destinations } => {
            info!(event = "table_complete", service = %service, destinations = destinations, "the table of {service} is complete with {destinations} real servers");
        }
        Report::Engine(report) => engine::write(report),
        Report::Reloaded { changes } => {
            info!(event = "reloaded", changes = changes.len(), "reloaded: {}", changes.join("; "));
        }
        Report::ReloadRefused { reason } => {
            warn!(event = "reload_refused", "the running configuration stays:\n{reason}");
        }
    }
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
        BecomeBackupCause::Released => "released",
    }
}
