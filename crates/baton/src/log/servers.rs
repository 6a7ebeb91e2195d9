//! Events of virtual servers.

use std::net::SocketAddr;

use node::name::ServerName;
use tracing::{info, warn};
use virtual_server::service::{ServiceKey, Weight};

pub(super) fn ipvs_unavailable(reason: &str) {
    warn!(event = "ipvs_unavailable", "virtual servers are unavailable: {reason}");
}

pub(super) fn ipvs_available() {
    info!(event = "ipvs_available", "IPVS is there");
}

pub(super) fn real_server_up(server: &ServerName, real_server: SocketAddr) {
    info!(event = "real_server_up", virtual_server = %server, real_server = %real_server, "{real_server} of {server} is fit");
}

pub(super) fn real_server_down(server: &ServerName, real_server: SocketAddr, reason: &str) {
    warn!(event = "real_server_down", virtual_server = %server, real_server = %real_server, reason = reason, "{real_server} of {server} is not fit: {reason}");
}

pub(super) fn quorum_reached(server: &ServerName, weight: u32, quorum: u32) {
    info!(event = "quorum_reached", virtual_server = %server, weight = weight, quorum = quorum, "{server} is up: weight {weight} of the {quorum} it needs");
}

pub(super) fn quorum_lost(server: &ServerName, weight: u32, quorum: u32, sorry_server: Option<SocketAddr>) {
    let sorry_server = sorry_server.map(|address: SocketAddr| address.to_string());
    warn!(event = "quorum_lost", virtual_server = %server, weight = weight, quorum = quorum, sorry_server = sorry_server, "{server} is down: weight {weight} of the {quorum} it needs");
}

pub(super) fn weight_changed(server: &ServerName, real_server: SocketAddr, from: Weight, to: Weight) {
    let (from, to) = (from.get(), to.get());
    info!(event = "weight_changed", virtual_server = %server, real_server = %real_server, from = from, to = to, "the weight of {real_server} of {server} changed from {from} to {to}");
}

pub(super) fn probe_inconclusive(server: &ServerName, real_server: SocketAddr, reason: &str) {
    warn!(event = "probe_inconclusive", virtual_server = %server, real_server = %real_server, reason = reason, "{real_server} of {server} could not be asked: {reason}");
}

pub(super) fn table_complete(service: ServiceKey, destinations: usize) {
    info!(
        event = "table_complete",
        service = service.to_string(),
        destinations = destinations,
        "the table of {service} is complete with {destinations} real servers"
    );
}
