//! What `baton status --json` says: the names that stay.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One node.
#[derive(Clone, Debug, Deserialize)]
pub struct NodeStatus {
    /// Its name in the configuration.
    pub node: String,
    /// Its virtual routers.
    pub virtual_routers: BTreeMap<String, RouterStatus>,
    /// Its virtual servers.
    pub virtual_servers: BTreeMap<String, ServerStatus>,
    /// Packets for virtual routers that it does not have.
    pub unknown_vrid: u64,
}

/// One virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RouterStatus {
    /// `initialize`, `backup`, `active` or `fault`.
    pub state: String,
    /// The node's priority in it.
    pub priority: u8,
    /// When it came to stand there.
    pub since: String,
    /// Why it stands there.
    pub reason: String,
    /// Advertisements sent.
    pub advertisements_sent: u64,
    /// Advertisements received and accepted.
    pub advertisements_received: u64,
    /// Packets refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Times it became Active.
    pub became_active: u64,
    /// Times an address was put back.
    pub addresses_restored: u64,
}

/// One virtual server.
#[derive(Clone, Debug, Deserialize)]
pub struct ServerStatus {
    /// `up`, `down` or `unavailable`.
    pub state: String,
    /// Why.
    pub reason: String,
    /// Its real servers by address.
    pub real_servers: BTreeMap<String, RealServerStatus>,
}

/// One real server.
#[derive(Clone, Debug, Deserialize)]
pub struct RealServerStatus {
    /// `checking`, `up` or `down`.
    pub state: String,
    /// Its share now.
    pub weight: u16,
    /// What the last probe said.
    pub reason: String,
}
