//! Events of addresses and sockets.

use node::config::InterfaceAddress;
use node::name::InterfaceName;
use node::plan::Change;
use tracing::{info, warn};

pub(super) fn address_taken(address: &InterfaceAddress) {
    info!(event = "address_taken", address = %address.address, interface = %address.interface, "took {address}");
}

pub(super) fn address_left(address: &InterfaceAddress) {
    info!(event = "address_left", address = %address.address, interface = %address.interface, "left {address}");
}

pub(super) fn repaired(change: &Change) {
    warn!(event = "repaired", change = %change, "somebody else had changed what is Baton's: {change}");
}

pub(super) fn change_refused(change: &Change, reason: &str) {
    warn!(event = "change_refused", change = %change, "the kernel refused to {change}: {reason}");
}

pub(super) fn address_foreign(address: &InterfaceAddress) {
    warn!(event = "address_foreign", address = %address.address, interface = %address.interface, "{address} is already there and is not Baton's");
}

pub(super) fn listening_failed(interface: &InterfaceName, reason: &str) {
    warn!(event = "listening_failed", interface = %interface, "{reason}");
}

pub(super) fn sending_failed(interface: &InterfaceName, reason: &str) {
    warn!(event = "sending_failed", interface = %interface, "a packet could not be sent on {interface}: {reason}");
}
