//! The records of hooks.

use node::report::{HookEvent, HookReport};
use tracing::{debug, info, warn};

use super::milliseconds;

/// Writes one event.
pub fn write(HookReport { hook, subject, occasion, event }: &HookReport) {
    match event {
        HookEvent::Started { attempt } => {
            debug!(event = "hook_started", hook = %hook, subject = %subject, state = %occasion, attempt = attempt, "hook {hook} of {subject} for {occasion} was started");
        }
        HookEvent::Succeeded { attempt, took } => {
            let milliseconds = milliseconds(*took);
            info!(event = "hook_succeeded", hook = %hook, subject = %subject, state = %occasion, attempt = attempt, milliseconds = milliseconds, "hook {hook} of {subject} for {occasion} succeeded");
        }
        HookEvent::Failed { attempt, reason, retry_after } => {
            let retry_after = retry_after.map(|time| format!("{time:?}"));
            let next = retry_after
                .as_ref()
                .map_or("it is not tried again".to_owned(), |time| format!("it is tried again after {time}"));
            warn!(event = "hook_failed", hook = %hook, subject = %subject, state = %occasion, attempt = attempt, reason = reason, retry_after = retry_after, "hook {hook} of {subject} for {occasion} failed, {next}: {reason}");
        }
        HookEvent::Stuck { attempt, reason } => {
            warn!(event = "hook_stuck", hook = %hook, subject = %subject, state = %occasion, attempt = attempt, reason = reason, "hook {hook} of {subject} for {occasion} is stuck and not run again for {subject} before it is gone: {reason}");
        }
        HookEvent::Skipped { newer } => {
            info!(event = "hook_skipped", hook = %hook, subject = %subject, state = %occasion, newer = %newer, "hook {hook} of {subject} for {occasion} gave way to what came after it, {newer}");
        }
    }
}
