//! The records of what happens to the daemon and its guard.

use node::name::RouterName;
use node::report::FenceReason;
use tracing::warn;

pub(super) fn daemon_died(how: &str) {
    warn!(event = "daemon_died", reason = how, "the daemon has died: {how}");
}

pub(super) fn fenced(router: &RouterName, reason: FenceReason) {
    warn!(event = "fenced", virtual_router = %router, reason = reason.reason(), "{router} was given up in the daemon's place: {reason}");
}

pub(super) fn guard_died() {
    warn!(event = "guard_died", "the guard has died: the daemon hands over and ends");
}
