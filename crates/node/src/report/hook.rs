//! Events of hooks.

use std::time::Duration;

use crate::config::Occasion;
use crate::hooks::Subject;
use crate::name::HookName;

/// Something that happened to a hook and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookReport {
    /// The hook.
    pub hook: HookName,
    /// Whose change it is for.
    pub subject: Subject,
    /// What it is for.
    pub occasion: Occasion,
    /// What happened.
    pub event: HookEvent,
}

/// What happened to a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookEvent {
    /// It was started.
    Started {
        /// Which time, from 1.
        attempt: u32,
    },
    /// It has done what it had to.
    Succeeded {
        /// The attempt that did, from 1.
        attempt: u32,
        /// How long that one took.
        took: Duration,
    },
    /// It has not.
    Failed {
        /// The attempt that failed, from 1.
        attempt: u32,
        /// What is wrong and what it said.
        reason: String,
        /// When it is tried again; never if left out.
        retry_after: Option<Duration>,
    },
    /// It was killed when its time was up and is still not gone.
    Stuck {
        /// The attempt that is stuck, from 1.
        attempt: u32,
        /// What is wrong and what it said.
        reason: String,
    },
    /// It was not run, or not tried again, since what it was for is over.
    Skipped {
        /// What has come in its place.
        newer: Occasion,
    },
}
