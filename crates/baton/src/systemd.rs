//! What systemd is told of the daemon (`sd_notify(3)`); nothing where it does not ask.

use sd_notify::NotifyState;

/// The daemon takes part.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The daemon hands everything over.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The engine lives, or is about to be started again.
pub fn alive() {
    if sd_notify::watchdog_enabled().is_some() {
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(event = "notify_failed", "systemd could not be told: {error}");
    }
}
