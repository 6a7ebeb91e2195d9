//! Events of addresses and sockets.

use std::time::Duration;

use node::config::InterfaceAddress;
use node::name::InterfaceName;
use node::plan::Change;
use tracing::{info, warn};

use super::seconds;

pub(super) fn address_taken(address: &InterfaceAddress) {
    info!(event = "address_taken", address = %address.address, interface = %address.interface, "took {address}");
}

pub(super) fn address_left(address: &InterfaceAddress) {
    info!(event = "address_left", address = %address.address, interface = %address.interface, "left {address}");
}

pub(super) fn device_changed(change: &Change) {
    info!(event = "device_changed", change = change.to_string(), "{change}");
}

pub(super) fn routing_changed(change: &Change) {
    info!(event = "routing_changed", change = change.to_string(), "{change}");
}

pub(super) fn drops_changed(change: &Change) {
    info!(event = "drops_changed", change = change.to_string(), "{change}");
}

pub(super) fn repaired(change: &Change) {
    warn!(
        event = "repaired",
        change = change.to_string(),
        "somebody else had changed what is Baton's: {change}"
    );
}

pub(super) fn address_fight(address: &InterfaceAddress, removals: u32, lasting: Duration) {
    let seconds = seconds(lasting);
    warn!(event = "address_fight", address = %address.address, interface = %address.interface, removals = removals, seconds = seconds, "somebody on this machine removed {address} {removals} times within {lasting:.1?}; it is put back less and less often");
}

pub(super) fn address_fight_over(address: &InterfaceAddress, removals: u32, lasting: Duration) {
    let seconds = seconds(lasting);
    info!(event = "address_fight_over", address = %address.address, interface = %address.interface, removals = removals, seconds = seconds, "{address} was removed {removals} times within {lasting:.1?} and is fought about no longer");
}

pub(super) fn change_refused(change: &Change, reason: &str) {
    warn!(event = "change_refused", change = change.to_string(), "the kernel refused to {change}: {reason}");
}

pub(super) fn address_foreign(address: &InterfaceAddress) {
    warn!(event = "address_foreign", address = %address.address, interface = %address.interface, "{address} is already there and is not Baton's");
}

pub(super) fn netlink_resync() {
    warn!(
        event = "netlink_resync",
        "the kernel told more of interfaces and addresses than could be heard: everything was asked for anew"
    );
}

pub(super) fn listening_failed(interface: &InterfaceName, reason: &str) {
    warn!(event = "listening_failed", interface = %interface, "{reason}");
}

pub(super) fn sending_failed(interface: &InterfaceName, reason: &str) {
    warn!(event = "sending_failed", interface = %interface, "a packet could not be sent on {interface}: {reason}");
}
