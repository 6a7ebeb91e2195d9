//! What else has to be well on a node, besides its interfaces.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

use node::link::{LinkEvent, LinkState};
use node::name::{InterfaceName, TrackName};
use node::script::Script;
use node::track::{
    Delays, Effect, Observation, Problem, ProblemCause, Requirement, Sense, TrackConfig, TrackKind,
};

use super::{Site, number, octet};

/// The most tracks that a site has.
pub const TRACK_LIMIT: usize = 2;

const TRACK_NAMES: [&str; TRACK_LIMIT] = ["disk", "uplink"];

/// How many processes have to run.
const PROCESSES: u32 = 2;

/// One track, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrackIndex(pub usize);

/// One track, which every virtual router on every node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteTrack {
    /// What is looked at.
    pub kind: SiteTrackKind,
    /// Whether it is up while the thing is well.
    pub sense: Sense,
    /// What follows from it.
    pub effect: Effect,
    /// How often it is looked at.
    pub interval: Duration,
}

/// What a track looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteTrackKind {
    /// An interface of the track's name, on which nothing else stands.
    Interface {
        /// What it needs.
        requirement: Requirement,
        /// How long a change has to last.
        delays: Delays,
    },
    /// A script.
    Script {
        /// How often in a row it has to end well to be well again.
        rise: NonZeroU8,
        /// How often in a row it has to fail to be well no more.
        fall: NonZeroU8,
    },
    /// Processes of a name.
    Process {
        /// How long a change has to last.
        delays: Delays,
    },
    /// A number in a file.
    File,
}

/// How the thing is that a track looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// The interface has what it needs; the script ends well; enough processes run; the file is not there.
    Well,
    /// The interface lacks what it needs; the script fails; too few processes run; the file holds this number.
    Ill(i8),
    /// The interface does not exist; the script does not end; processes cannot be counted; the file holds no number.
    Unclear,
}

/// What whoever looks sees.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    /// What the kernel says of an interface.
    Link(LinkEvent),
    /// What was found out.
    Observation(Observation),
}

impl Sight {
    /// Returns what whoever looks sees.
    pub(crate) fn seen(self, kind: SiteTrackKind, track: TrackIndex) -> Seen {
        let wrong =
            |cause| Observation::Wrong(Problem { cause, reason: "as this scenario has it".to_owned() });
        Seen::Observation(match (kind, self) {
            (SiteTrackKind::Interface { requirement, .. }, _) => {
                let (interface, state) = (tracked_interface(track), self.link(requirement, track));
                return Seen::Link(LinkEvent { interface, state });
            }
            (SiteTrackKind::Script { .. }, Self::Well) => Observation::Passed,
            (SiteTrackKind::Script { .. }, Self::Ill(_)) => wrong(ProblemCause::ExitCode(1)),
            (SiteTrackKind::Script { .. }, Self::Unclear) => wrong(ProblemCause::TimedOut),
            (SiteTrackKind::Process { .. }, Self::Well) => Observation::Processes(PROCESSES),
            (SiteTrackKind::Process { .. }, Self::Ill(_)) => Observation::Processes(PROCESSES - 1),
            (SiteTrackKind::Process { .. }, Self::Unclear) => wrong(ProblemCause::Unreadable),
            (SiteTrackKind::File, Self::Well) => Observation::NoFile,
            (SiteTrackKind::File, Self::Ill(number)) => Observation::Number(number.into()),
            (SiteTrackKind::File, Self::Unclear) => wrong(ProblemCause::NoNumber),
        })
    }

    /// An interface that lacks its address is up.
    fn link(self, requirement: Requirement, TrackIndex(track): TrackIndex) -> Option<LinkState> {
        let (is_up, has_address) = match (self, requirement) {
            (Self::Unclear, _) => return None,
            (Self::Well, _) => (true, true),
            (Self::Ill(_), Requirement::Carrier) => (false, true),
            (Self::Ill(_), Requirement::Address) => (true, false),
        };
        let address = Ipv4Addr::new(198, 51, 100, octet(track));
        Some(LinkState {
            index: 50 + number(track),
            is_up,
            mac: None,
            primary_v4: has_address.then_some(address),
            link_local: None,
            addresses: has_address.then_some(address.into()).into_iter().collect(),
        })
    }
}

impl Site {
    /// Returns every track's index.
    pub fn track_indices(&self) -> impl Iterator<Item = TrackIndex> + use<> {
        (0..self.tracks.len()).map(TrackIndex)
    }

    pub(super) fn track_names(&self) -> BTreeSet<TrackName> {
        self.track_indices().map(track_name).collect()
    }

    pub(super) fn track_configs(&self) -> BTreeMap<TrackName, Arc<TrackConfig>> {
        let config = |track: TrackIndex| (track_name(track), Arc::new(self.tracks[track.0].config(track)));
        self.track_indices().map(config).collect()
    }
}

impl SiteTrack {
    /// Returns how long a change has to be seen at most before it counts.
    pub fn longest_delay(&self) -> Duration {
        match self.kind {
            SiteTrackKind::Interface { delays, .. } | SiteTrackKind::Process { delays } => {
                delays.up.max(delays.down)
            }
            SiteTrackKind::Script { rise, fall } => self.interval * u32::from(rise.max(fall).get() - 1),
            SiteTrackKind::File => Duration::ZERO,
        }
    }

    fn config(&self, track: TrackIndex) -> TrackConfig {
        let interval = self.interval;
        let kind = match self.kind {
            SiteTrackKind::Interface { requirement, delays } => {
                TrackKind::Interface { interface: tracked_interface(track), requirement, delays }
            }
            SiteTrackKind::Script { rise, fall } => {
                let words = vec!["/bin/true".to_owned()];
                let script = Script::new(words, None).expect("the words start a program");
                TrackKind::Script { script, interval, timeout: interval / 2, rise, fall }
            }
            SiteTrackKind::Process { delays } => {
                TrackKind::Process { name: "haproxy".to_owned(), minimum: PROCESSES, interval, delays }
            }
            SiteTrackKind::File => TrackKind::File { path: "/run/number".into(), interval },
        };
        TrackConfig { kind, sense: self.sense, effect: self.effect }
    }
}

/// Returns a track's name.
pub fn track_name(track: TrackIndex) -> TrackName {
    TrackName::new(TRACK_NAMES[track.0]).expect("the names of a site are plain")
}

/// Returns which track has this name.
pub fn track_named(name: &TrackName) -> TrackIndex {
    let index = TRACK_NAMES.iter().position(|known| *known == name.as_str());
    TrackIndex(index.expect("a node speaks of the tracks of its configuration only"))
}

fn tracked_interface(track: TrackIndex) -> InterfaceName {
    InterfaceName::new(TRACK_NAMES[track.0]).expect("the names of a site are plain")
}
