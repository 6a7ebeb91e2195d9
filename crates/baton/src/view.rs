//! The status of a node as JSON and as a table; the names in the JSON stay.

mod engine;
mod groups;
mod hooks;
mod routers;
mod tracks;

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::time::Duration;

use jiff::Timestamp;
use monotonic::Instant;
use node::name::NodeName;
use node::reconciliation::IpvsAvailability;
use node::status::{HooksStatus, PoolsStatus, RealServerState, RealServerStatus, ServerState, ServerStatus};
use serde::{Deserialize, Serialize};

use self::engine::EngineView;
use self::groups::GroupView;
use self::hooks::HookView;
use self::routers::RouterView;
use self::tracks::TrackView;
use crate::engine::EngineStatus;

/// One node.
#[derive(Debug, Serialize, Deserialize)]
pub struct NodeView {
    pub node: String,
    pub version: String,
    pub virtual_routers: BTreeMap<String, RouterView>,
    pub sync_groups: BTreeMap<String, GroupView>,
    pub tracks: BTreeMap<String, TrackView>,
    pub virtual_servers: BTreeMap<String, ServerView>,
    pub hooks: BTreeMap<String, HookView>,
    /// Packets for virtual routers that this node does not have.
    pub unknown_vrid: u64,
    pub engine: EngineView,
}

/// One virtual server.
#[derive(Debug, Serialize, Deserialize)]
pub struct ServerView {
    /// up, down, or unavailable where the kernel has no IPVS.
    pub state: String,
    pub since: Timestamp,
    pub reason: String,
    pub services: Vec<String>,
    pub weight: u32,
    pub quorum: u32,
    /// Whether the sorry server serves.
    pub sorry: bool,
    pub real_servers: BTreeMap<String, RealServerView>,
}

/// One real server.
#[derive(Debug, Serialize, Deserialize)]
pub struct RealServerView {
    /// checking, up or down.
    pub state: String,
    pub weight: u16,
    pub since: Timestamp,
    pub reason: String,
}

/// How far the wall clock may have moved against the monotonic one before times are told by its new setting; less is the
/// slewing of a time service, and a moment in the past should not move with each look at it.
const WALL_CLOCK_STEP: Duration = Duration::from_secs(1);

/// Turns moments of the monotonic clock into times that people read.
#[derive(Clone, Copy, Debug)]
pub struct Calendar {
    /// Two clocks' word for the same moment.
    reference: (Instant, Timestamp),
}

impl Calendar {
    /// Returns a calendar by two clocks that were read together.
    pub fn new(now: Instant, today: Timestamp) -> Self {
        Self { reference: (now, today) }
    }

    /// Goes by the clocks' new word where the wall clock was set anew.
    pub fn follow(&mut self, now: Instant, today: Timestamp) {
        if self.time(now).duration_until(today).unsigned_abs() > WALL_CLOCK_STEP {
            *self = Self::new(now, today);
        }
    }

    fn time(&self, at: Instant) -> Timestamp {
        let (now, today) = self.reference;
        let time = if at < now { today.saturating_sub(now - at) } else { today.saturating_add(at - now) };
        time.unwrap_or(today)
    }
}

impl NodeView {
    /// Puts together what an operator sees.
    pub fn new(
        node: &NodeName,
        engine: &EngineStatus,
        pools: &PoolsStatus,
        hooks: &HooksStatus,
        calendar: Calendar,
    ) -> Self {
        let routers = &engine.routers;
        let ipvs = routers.ipvs.as_ref();
        Self {
            node: node.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            virtual_routers: (routers.virtual_routers.iter())
                .map(|(name, router)| (name.to_string(), RouterView::new(router, &engine.asked, calendar)))
                .collect(),
            sync_groups: (routers.sync_groups.iter())
                .map(|(name, group)| (name.to_string(), GroupView::new(group)))
                .collect(),
            tracks: (routers.tracks.iter())
                .map(|(name, track)| (name.to_string(), TrackView::new(track, calendar)))
                .collect(),
            virtual_servers: (pools.virtual_servers.iter())
                .map(|(name, server)| (name.to_string(), ServerView::new(server, ipvs, calendar)))
                .collect(),
            hooks: hooks::views(hooks, calendar),
            unknown_vrid: routers.unknown_vrid,
            engine: EngineView::new(engine, calendar),
        }
    }
}

impl ServerView {
    fn new(server: &ServerStatus, ipvs: Option<&IpvsAvailability>, calendar: Calendar) -> Self {
        let (state, reason) = match (ipvs, server.state) {
            (Some(IpvsAvailability::Unavailable { reason }), ServerState::Up | ServerState::Down) => {
                ("unavailable", reason.clone())
            }
            (Some(IpvsAvailability::Available) | None, state @ (ServerState::Up | ServerState::Down)) => {
                (state.name(), format!("weight {} of the {} it needs", server.weight, server.quorum))
            }
        };
        Self {
            state: state.to_owned(),
            since: calendar.time(server.since),
            reason,
            services: server.services.iter().map(ToString::to_string).collect(),
            weight: server.weight,
            quorum: server.quorum,
            sorry: server.sorry,
            real_servers: (server.real_servers.iter())
                .map(|(address, real_server)| {
                    (address.to_string(), RealServerView::new(real_server, calendar))
                })
                .collect(),
        }
    }
}

impl RealServerView {
    fn new(real_server: &RealServerStatus, calendar: Calendar) -> Self {
        let weight = match real_server.state {
            RealServerState::Up => real_server.weight.get(),
            RealServerState::Checking | RealServerState::Down => 0,
        };
        Self {
            state: real_server.state.name().to_owned(),
            weight,
            since: calendar.time(real_server.since),
            reason: real_server.reason.clone(),
        }
    }
}

impl fmt::Display for NodeView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "node {}, baton {}", self.node, self.version)?;
        write!(formatter, "{}", self.engine)?;
        write!(formatter, "\n{}", routers::standings(&self.virtual_routers))?;
        write!(formatter, "\n{}", routers::places(&self.virtual_routers))?;
        if !self.sync_groups.is_empty() {
            let mut groups = Table::new(["sync group", "state", "members", "reason"]);
            for (name, group) in &self.sync_groups {
                let members = group.members.iter().map(|(name, member)| format!("{name} {}", member.stance));
                let members = members.collect::<Vec<_>>().join(", ");
                groups.row([name, &group.state, &members, &group.reason]);
            }
            write!(formatter, "\n{groups}")?;
        }
        if !self.tracks.is_empty() {
            let mut tracks = Table::new(["track", "state", "effect", "since", "reason"]);
            for (name, track) in &self.tracks {
                tracks.row([name, &track.cell(), &track.effect, &short(track.since), &track.full_reason()]);
            }
            write!(formatter, "\n{tracks}")?;
        }
        if !self.hooks.is_empty() {
            write!(formatter, "\n{}", hooks::table(&self.hooks))?;
        }
        if self.virtual_servers.is_empty() {
            return Ok(());
        }
        let mut servers = Table::new(["virtual server", "state", "weight", "since", "reason"]);
        for (name, server) in &self.virtual_servers {
            let state = if server.sorry { "sorry" } else { &server.state };
            servers.row([name, state, &server.weight.to_string(), &short(server.since), &server.reason]);
            for (address, real_server) in &server.real_servers {
                let RealServerView { state, weight, since, reason } = real_server;
                servers.row([&format!("  {address}"), state, &weight.to_string(), &short(*since), reason]);
            }
        }
        write!(formatter, "\n{servers}")
    }
}

/// Whole seconds are what a person reads.
fn short(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Columns as wide as their widest cell.
struct Table<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    fn new(head: [&str; COLUMNS]) -> Self {
        Self { rows: vec![head.map(str::to_uppercase)] }
    }

    fn row(&mut self, cells: [&str; COLUMNS]) {
        self.rows.push(cells.map(str::to_owned));
    }
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..COLUMNS).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                write!(line, "{cell:width$}  ")?;
            }
            writeln!(formatter, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: Timestamp = Timestamp::UNIX_EPOCH;

    fn at(seconds: u64, nanoseconds: u32) -> Instant {
        Instant::from_start(Duration::new(seconds, nanoseconds))
    }

    #[test]
    fn a_moment_in_the_past_does_not_move_with_each_look_at_it() {
        let mut calendar = Calendar::new(at(100, 0), BOOT + Duration::from_secs(100));
        let before = calendar.time(at(40, 0));
        calendar.follow(at(160, 700), BOOT + Duration::from_secs(160));
        assert_eq!(calendar.time(at(40, 0)), before);
    }

    #[test]
    fn a_wall_clock_that_was_set_anew_is_followed() {
        let mut calendar = Calendar::new(at(100, 0), BOOT + Duration::from_secs(100));
        calendar.follow(at(160, 0), BOOT + Duration::from_hours(1));
        assert_eq!(calendar.time(at(159, 0)), BOOT + Duration::from_secs(3599));
    }
}
