//! The records of the engine's own events.

use node::punctuality::LateCause;
use node::report::EngineReport;
use tracing::warn;

use super::milliseconds;

/// Writes one event.
pub fn write(report: &EngineReport) {
    match report {
        EngineReport::SettingRefused { setting, reason } => {
            warn!(event = "engine_setting_refused", setting = setting.key(), "{reason}");
        }
        EngineReport::Late { lateness, cause, times } => {
            let milliseconds = milliseconds(*lateness);
            let because = because(*cause);
            warn!(
                event = "engine_late",
                milliseconds = milliseconds,
                reason = cause.reason(),
                times = times,
                "the engine came {milliseconds:.1} ms too late to what was due: {because}"
            );
        }
    }
}

fn because(cause: LateCause) -> &'static str {
    match cause {
        LateCause::Slept => "the machine slept",
        LateCause::Starved => {
            "no processor was left to it; [engine] of the configuration can give it precedence"
        }
        LateCause::Busy => "it was at work on what had come before",
        LateCause::Stopped => "the process or the virtual machine was stopped, or waited for the disk",
    }
}
