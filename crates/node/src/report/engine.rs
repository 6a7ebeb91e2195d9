//! Events of the engine itself.

use std::time::Duration;

use crate::config::EngineSetting;
use crate::punctuality::LateCause;

/// Something that happened to the engine and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineReport {
    /// The kernel does not give the engine what the configuration asks for; it runs without.
    SettingRefused {
        /// What it does not give.
        setting: EngineSetting,
        /// The kernel's reason and what to do about it.
        reason: String,
    },
    /// The engine came to something that was due by more than half of the shortest interval too late; at most one a
    /// minute.
    Late {
        /// How much too late.
        lateness: Duration,
        /// Why.
        cause: LateCause,
        /// How often that happened since it was told last.
        times: u64,
    },
}
