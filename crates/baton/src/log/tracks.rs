//! Events of tracks, and of what follows from them for priorities.

use node::name::{RouterName, TrackName};
use node::track::{PrioritySum, ProblemCause};
use tracing::{info, warn};
use vrrp::Priority;

pub(super) fn priority_changed(router: &RouterName, from: Priority, sum: &PrioritySum) {
    let (from, priority) = (from.get(), sum.effective().get());
    info!(event = "priority_changed", virtual_router = %router, from = from, priority = priority, sum = sum.to_string(), "the priority of {router} changed from {from} to {priority}: {sum}");
}

pub(super) fn track_up(track: &TrackName, reason: &str, cause: Option<ProblemCause>) {
    let (cause, code) = (cause.map(ProblemCause::word), cause.and_then(ProblemCause::code));
    info!(event = "track_up", track = %track, reason = reason, cause = cause, code = code, "track {track} is up: {reason}");
}

pub(super) fn track_down(track: &TrackName, reason: &str, cause: Option<ProblemCause>) {
    let (cause, code) = (cause.map(ProblemCause::word), cause.and_then(ProblemCause::code));
    warn!(event = "track_down", track = %track, reason = reason, cause = cause, code = code, "track {track} is down: {reason}");
}

pub(super) fn track_number(track: &TrackName, number: i32, reason: &str) {
    info!(event = "track_number", track = %track, number = number, reason = reason, "the number of track {track} is {number}: {reason}");
}

pub(super) fn track_timed_out(track: &TrackName, reason: &str) {
    warn!(event = "track_timed_out", track = %track, reason = reason, "the script of track {track} {reason}; it is killed with its children");
}

pub(super) fn track_stuck(track: &TrackName, reason: &str) {
    warn!(event = "track_stuck", track = %track, reason = reason, "the script of track {track} {reason}; it is not run again before it is gone");
}

pub(super) fn track_unclear(track: &TrackName, cause: ProblemCause, reason: &str) {
    warn!(event = "track_unclear", track = %track, cause = cause.word(), reason = reason, "nothing clear is to be seen of track {track}, {reason}: what was seen before holds");
}
