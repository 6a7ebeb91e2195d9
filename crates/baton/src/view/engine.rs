//! The engine in the status: what its thread is given, and how late it comes to what is due.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use node::config::RealtimePriority;
use node::punctuality::Worst;
use serde::{Deserialize, Serialize};

use super::{Calendar, short};
use crate::engine::EngineStatus;

/// The thread of the virtual routers.
#[derive(Debug, Serialize, Deserialize)]
pub struct EngineView {
    /// Its rank before ordinary processes, 1 to 99; it is one of those if left out.
    pub realtime_priority: Option<u8>,
    pub memory_locked: bool,
    /// The processors that it may run on.
    pub processors: Vec<u16>,
    /// How many deadlines it has acted on since the daemon started.
    pub deadlines: u64,
    /// How many of them by more than half of the shortest interval too late.
    pub late: u64,
    /// What half of the deadlines, 99 % and 99.9 % were late by at most, exact to a factor of two.
    pub lateness_milliseconds: Option<LatenessView>,
    /// How many deadlines were late by no more than so much, and by more than the bound before.
    pub lateness_histogram: Vec<BucketView>,
}

/// How late deadlines were acted on.
#[derive(Debug, Serialize, Deserialize)]
pub struct LatenessView {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    /// The latest of all, exactly.
    pub max: f64,
    /// When that was.
    pub max_at: Timestamp,
}

/// One part of a histogram.
#[derive(Debug, Serialize, Deserialize)]
pub struct BucketView {
    /// Without bound in the last one.
    pub up_to_microseconds: Option<u64>,
    pub count: u64,
}

impl EngineView {
    /// Puts the engine's status into the view's terms.
    pub fn new(status: &EngineStatus, calendar: Calendar) -> Self {
        let EngineStatus { routers: _, punctuality, granted, asked: _ } = status;
        let quantile =
            |per_mille| punctuality.quantile(per_mille).map_or(0.0, |time| time.as_secs_f64() * 1e3);
        let lateness = |Worst { lateness, at }| LatenessView {
            p50: quantile(500),
            p99: quantile(990),
            p999: quantile(999),
            max: lateness.as_secs_f64() * 1e3,
            max_at: calendar.time(at),
        };
        let bucket = |(bound, count): (Option<Duration>, u64)| BucketView {
            up_to_microseconds: bound.and_then(|bound| u64::try_from(bound.as_micros()).ok()),
            count,
        };
        Self {
            realtime_priority: granted.realtime_priority.map(RealtimePriority::get),
            memory_locked: granted.is_memory_locked,
            processors: granted.processors.iter().copied().collect(),
            deadlines: punctuality.count(),
            late: punctuality.late(),
            lateness_milliseconds: punctuality.worst().map(lateness),
            lateness_histogram: punctuality.histogram().map(bucket).collect(),
        }
    }
}

impl fmt::Display for EngineView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.realtime_priority {
            Some(priority) => write!(formatter, "engine with real-time priority {priority}")?,
            None => formatter.write_str("engine without real-time priority")?,
        }
        formatter.write_str(if self.memory_locked { ", memory locked" } else { ", memory not locked" })?;
        if let Some(LatenessView { p50, p99, p999: _, max, max_at }) = &self.lateness_milliseconds {
            let deadlines = if self.deadlines == 1 { "deadline" } else { "deadlines" };
            writeln!(formatter, "; {} {deadlines}, {} too late", self.deadlines, self.late)?;
            write!(
                formatter,
                "  half at most {p50:.3} ms late, 99% {p99:.3} ms, all {max:.3} ms ({})",
                short(*max_at),
            )?;
        }
        writeln!(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(deadlines: u64) -> EngineView {
        EngineView {
            realtime_priority: Some(10),
            memory_locked: true,
            processors: Vec::new(),
            deadlines,
            late: 12,
            lateness_milliseconds: Some(LatenessView {
                p50: 1.234,
                p99: 1.234,
                p999: 1.234,
                max: 1.234,
                max_at: Timestamp::UNIX_EPOCH,
            }),
            lateness_histogram: Vec::new(),
        }
    }

    #[test]
    fn the_engine_fits_into_a_terminal_of_80_columns() {
        let shown = view(1_000_000).to_string();
        let widest = shown.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{widest:?} in\n{shown}");
    }

    #[test]
    fn one_deadline_is_no_plural() {
        assert!(view(1).to_string().contains("; 1 deadline, "), "{}", view(1));
        assert!(view(2).to_string().contains("; 2 deadlines, "), "{}", view(2));
    }
}
