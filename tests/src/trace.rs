//! What happened in a world, in lines for people.

use std::fmt::Write;

use monotonic::Instant;
use node::report::{EngineReport, HookReport, Report};

use crate::site::{NodeIndex, node_name};

/// How much is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Nothing.
    Nothing,
    /// What changes something.
    Story,
    /// Every input as well.
    Everything,
}

/// The lines written so far.
#[derive(Clone, Debug)]
pub struct Trace {
    detail: Detail,
    /// The moment from which times are counted.
    origin: Instant,
    text: String,
}

impl Trace {
    /// Returns a trace with no lines.
    pub fn new(detail: Detail, origin: Instant) -> Self {
        Self { detail, origin, text: String::new() }
    }

    /// Returns the lines.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Writes a line about a node when this much detail is asked for; otherwise costs nothing.
    pub fn note(&mut self, detail: Detail, node: NodeIndex, now: Instant, line: impl FnOnce() -> String) {
        if detail <= self.detail {
            self.write(now, node_name(node).as_str(), &line());
        }
    }

    /// Writes a line about the world.
    pub fn note_world(&mut self, now: Instant, line: impl FnOnce() -> String) {
        if Detail::Story <= self.detail {
            self.write(now, "--", &line());
        }
    }

    fn write(&mut self, now: Instant, who: &str, line: &str) {
        let at = now - self.origin;
        let (seconds, microseconds) = (at.as_secs(), at.subsec_micros());
        writeln!(self.text, "{seconds:>4}.{microseconds:06}  {who:<3}  {line}").expect("a String takes all");
    }
}

/// Returns a report as a line.
pub fn told(report: &Report) -> String {
    match report {
        Report::BecameActive { router, cause } => format!("{router}: became Active, {cause}"),
        Report::RoleAdopted { router } => format!("{router} is adopted"),
        Report::BecameBackup { router, cause } => format!("{router}: became Backup, {cause}"),
        Report::HandingOver { router, reason } => format!("{router}: hands over, {reason}"),
        Report::HandedOver { router, to, took } => format!("{router}: {to} serves after {took:?}"),
        Report::NobodyTookOver { router } => format!("{router}: nobody took over"),
        Report::StaysAway { router } => format!("{router}: stays away"),
        Report::HandOverCalledOff { router } => format!("{router}: is not handed over after all"),
        Report::ComesBack { router } => format!("{router}: comes back"),
        Report::RouterStopped { router } => format!("{router}: stopped"),
        Report::RouterFaulted { router, fault } => format!("{router}: cannot take part, {fault}"),
        Report::NeighbourAnswered { router, address } => format!("{router}: {address} answered"),
        Report::RouterRecovered { router } => format!("{router}: can take part again"),
        Report::PriorityChanged { router, from, sum } => format!("{router}: priority {from} -> {sum}"),
        Report::TrackUp { track, reason, .. } => format!("track {track} is up, {reason}"),
        Report::TrackDown { track, reason, .. } => format!("track {track} is down, {reason}"),
        Report::TrackNumber { track, number, .. } => format!("track {track} is {number}"),
        Report::TrackTimedOut { track, reason }
        | Report::TrackStuck { track, reason }
        | Report::TrackUnclear { track, reason, .. } => format!("track {track} says nothing clear: {reason}"),
        Report::DualActive { router, by, priority } => {
            format!("{router}: heard another Active, {by} of priority {}, that has to yield", priority.get())
        }
        Report::DualActiveOver { router, by, lasted } => {
            format!("{router}: {by} is heard as Active no more, it was for {lasted:?}")
        }
        Report::VridConflict { router, from, addresses } => {
            format!("{router}: {from} uses its number for {addresses:?}")
        }
        Report::AdvertisementRefused { from, rejection, .. } => {
            format!("refused a packet from {from}: {rejection}")
        }
        Report::UnauthenticatedAccepted { router, from } => format!("{router}: {from} does not sign"),
        Report::AddressListDiffers { router, from } => format!("{router}: {from} lists other addresses"),
        Report::IntervalDiffers { router, from, theirs } => {
            format!("{router}: {from} has the interval {theirs:?}")
        }
        Report::AddressTaken { address } => format!("has {address}"),
        Report::DeviceChanged { change }
        | Report::RoutingChanged { change }
        | Report::DropsChanged { change } => change.to_string(),
        Report::AddressLeft { address } => format!("has no longer {address}"),
        Report::Repaired { change } => format!("repaired: {change}"),
        Report::AddressFight { address, removals, lasting } => {
            format!("somebody removed {address} {removals} times in {lasting:?}")
        }
        Report::AddressFightOver { address, removals, lasting } => {
            format!("the fight about {address} is over, {removals} times in {lasting:?}")
        }
        Report::ChangeRefused { change, reason } => format!("could not {change}: {reason}"),
        Report::AddressForeign { address } => format!("{address} is somebody else's"),
        Report::IpvsUnavailable { reason } => format!("has no IPVS: {reason}"),
        Report::IpvsAvailable => "has IPVS".to_owned(),
        Report::RealServerUp { server, real_server } => format!("{server}: {real_server} is up"),
        Report::RealServerDown { server, real_server, reason } => {
            format!("{server}: {real_server} is down, {reason}")
        }
        Report::QuorumReached { server, weight, quorum } => {
            format!("{server}: quorum reached, {weight} of {quorum}")
        }
        Report::QuorumLost { server, weight, quorum, sorry_server } => {
            let sorry = sorry_server.map(|sorry| format!(", {sorry} serves")).unwrap_or_default();
            format!("{server}: quorum lost, {weight} of {quorum}{sorry}")
        }
        Report::WeightChanged { server, real_server, from, to } => {
            format!("{server}: {real_server} has weight {} instead of {}", to.get(), from.get())
        }
        Report::ProbeInconclusive { server, real_server, reason } => {
            format!("{server}: could not ask {real_server}, {reason}")
        }
        Report::TableComplete { service, destinations } => {
            format!("table of {service} complete, real servers: {destinations}")
        }
        Report::NetlinkResync => "asked the kernel for everything anew".to_owned(),
        Report::ListeningFailed { interface, reason } => format!("cannot listen on {interface}: {reason}"),
        Report::SendingFailed { interface, reason } => format!("cannot send on {interface}: {reason}"),
        Report::ReloadRefused { reason } => format!("reload refused: {reason}"),
        Report::Engine(EngineReport::SettingRefused { setting, reason }) => {
            format!("no {} for the engine: {reason}", setting.key())
        }
        Report::Engine(EngineReport::Late { lateness, cause, times }) => {
            format!("engine late by {lateness:?}, {}, {times} times", cause.reason())
        }
        Report::Hook(HookReport { hook, subject, occasion, event }) => {
            format!("hook {hook} of {subject} for {occasion}: {event:?}")
        }
        Report::DaemonDied { how } => format!("the daemon died: {how}"),
        Report::Fenced { router, reason } => format!("{router} was fenced: {reason}"),
        Report::GuardDied => "the guard died".to_owned(),
        Report::Reloaded { changes } => format!("reloaded: {}", changes.join("; ")),
    }
}
