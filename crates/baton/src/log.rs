//! Each event as one structured log record; the names and fields are listed in the README and stay.

mod engine;
mod hooks;
mod kernel;
mod life;
mod routers;
mod servers;
mod tracks;

#[cfg(test)]
mod tests;

use std::time::Duration;

use node::report::Report;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

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
pub fn write(report: &Report) {
    match report {
        Report::BecameActive { router, cause } => routers::became_active(router, *cause),
        Report::RoleAdopted { router } => routers::role_adopted(router),
        Report::BecameBackup { router, cause } => routers::became_backup(router, *cause),
        Report::HandingOver { router, reason } => routers::handing_over(router, reason),
        Report::HandedOver { router, to, took } => routers::handed_over(router, *to, *took),
        Report::NobodyTookOver { router } => routers::nobody_took_over(router),
        Report::StaysAway { router } => routers::stays_away(router),
        Report::HandOverCalledOff { router } => routers::hand_over_called_off(router),
        Report::ComesBack { router } => routers::comes_back(router),
        Report::RouterStopped { router } => routers::router_stopped(router),
        Report::RouterFaulted { router, fault } => routers::router_faulted(router, fault),
        Report::NeighbourAnswered { router, address } => routers::neighbour_answered(router, *address),
        Report::RouterRecovered { router } => routers::router_recovered(router),
        Report::PriorityChanged { router, from, sum } => tracks::priority_changed(router, *from, sum),
        Report::TrackUp { track, reason, cause } => tracks::track_up(track, reason, *cause),
        Report::TrackDown { track, reason, cause } => tracks::track_down(track, reason, *cause),
        Report::TrackNumber { track, number, reason } => tracks::track_number(track, *number, reason),
        Report::TrackTimedOut { track, reason } => tracks::track_timed_out(track, reason),
        Report::TrackStuck { track, reason } => tracks::track_stuck(track, reason),
        Report::TrackUnclear { track, cause, reason } => tracks::track_unclear(track, *cause, reason),
        Report::DualActive { router, by, priority } => routers::dual_active(router, *by, *priority),
        Report::DualActiveOver { router, by, lasted } => routers::dual_active_over(router, *by, *lasted),
        Report::VridConflict { router, from, addresses } => routers::vrid_conflict(router, *from, addresses),
        Report::AdvertisementRefused { interface, router, from, rejection } => {
            routers::advertisement_refused(interface, router.as_ref(), *from, *rejection);
        }
        Report::UnauthenticatedAccepted { router, from } => {
            routers::unauthenticated_accepted(router, *from);
        }
        Report::AddressListDiffers { router, from } => routers::address_list_differs(router, *from),
        Report::IntervalDiffers { router, from, theirs } => routers::interval_differs(router, *from, *theirs),
        Report::AddressTaken { address } => kernel::address_taken(address),
        Report::AddressLeft { address } => kernel::address_left(address),
        Report::DeviceChanged { change } => kernel::device_changed(change),
        Report::RoutingChanged { change } => kernel::routing_changed(change),
        Report::DropsChanged { change } => kernel::drops_changed(change),
        Report::Repaired { change } => kernel::repaired(change),
        Report::AddressFight { address, removals, lasting } => {
            kernel::address_fight(address, *removals, *lasting);
        }
        Report::AddressFightOver { address, removals, lasting } => {
            kernel::address_fight_over(address, *removals, *lasting);
        }
        Report::ChangeRefused { change, reason } => kernel::change_refused(change, reason),
        Report::AddressForeign { address } => kernel::address_foreign(address),
        Report::NetlinkResync => kernel::netlink_resync(),
        Report::ListeningFailed { interface, reason } => kernel::listening_failed(interface, reason),
        Report::SendingFailed { interface, reason } => kernel::sending_failed(interface, reason),
        Report::IpvsUnavailable { reason } => servers::ipvs_unavailable(reason),
        Report::IpvsAvailable => servers::ipvs_available(),
        Report::RealServerUp { server, real_server } => servers::real_server_up(server, *real_server),
        Report::RealServerDown { server, real_server, reason } => {
            servers::real_server_down(server, *real_server, reason);
        }
        Report::QuorumReached { server, weight, quorum } => servers::quorum_reached(server, *weight, *quorum),
        Report::QuorumLost { server, weight, quorum, sorry_server } => {
            servers::quorum_lost(server, *weight, *quorum, *sorry_server);
        }
        Report::WeightChanged { server, real_server, from, to } => {
            servers::weight_changed(server, *real_server, *from, *to);
        }
        Report::ProbeInconclusive { server, real_server, reason } => {
            servers::probe_inconclusive(server, *real_server, reason);
        }
        Report::TableComplete { service, destinations } => servers::table_complete(*service, *destinations),
        Report::Engine(report) => engine::write(report),
        Report::Hook(report) => hooks::write(report),
        Report::DaemonDied { how } => life::daemon_died(how),
        Report::Fenced { router, reason } => life::fenced(router, *reason),
        Report::GuardDied => life::guard_died(),
        Report::Reloaded { changes } => {
            let what = if changes.is_empty() { "nothing changed".to_owned() } else { changes.join("; ") };
            info!(event = "reloaded", changes = changes.len(), "reloaded: {what}");
        }
        Report::ReloadRefused { reason } => {
            warn!(event = "reload_refused", "the running configuration stays: {reason}");
        }
    }
}

/// Returns a time in milliseconds, to the microsecond: what is finer is noise, and so are a fraction's last digits.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Returns a time in seconds, to the microsecond.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}
