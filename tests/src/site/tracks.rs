//! What else has to be well on a node, besides its interfaces.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

use node::name::TrackName;
use node::script::Script;
use node::track::{Effect, Observation, Problem, ProblemCause, Sense, TrackConfig, TrackKind};

use super::Site;

/// The most tracks that a site has.
pub const TRACK_LIMIT: usize = 2;

const TRACK_NAMES: [&str; TRACK_LIMIT] = ["disk", "uplink"];

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
    /// A script.
    Script {
        /// How often in a row it has to end well to be well again.
        rise: NonZeroU8,
        /// How often in a row it has to fail to be well no more.
        fall: NonZeroU8,
    },
    /// A number in a file.
    File,
}

/// How the thing is that a track looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// The script ends well; the file is not there.
    Well,
    /// The script fails; the file holds this number.
    Ill(i8),
    /// The script does not end; the file holds no number.
    Unclear,
}

impl Sight {
    /// Returns what whoever looks sees.
    pub fn seen(self, kind: SiteTrackKind) -> Observation {
        let wrong =
            |cause| Observation::Wrong(Problem { cause, reason: "as this scenario has it".to_owned() });
        match (kind, self) {
            (SiteTrackKind::Script { .. }, Self::Well) => Observation::Passed,
            (SiteTrackKind::Script { .. }, Self::Ill(_)) => wrong(ProblemCause::ExitCode(1)),
            (SiteTrackKind::Script { .. }, Self::Unclear) => wrong(ProblemCause::TimedOut),
            (SiteTrackKind::File, Self::Well) => Observation::NoFile,
            (SiteTrackKind::File, Self::Ill(number)) => Observation::Number(number.into()),
            (SiteTrackKind::File, Self::Unclear) => wrong(ProblemCause::NoNumber),
        }
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
        let config = |track: TrackIndex| (track_name(track), Arc::new(self.tracks[track.0].config()));
        self.track_indices().map(config).collect()
    }
}

impl SiteTrack {
    fn config(&self) -> TrackConfig {
        let interval = self.interval;
        let kind = match self.kind {
            SiteTrackKind::Script { rise, fall } => {
                let words = vec!["/bin/true".to_owned()];
                let script = Script::new(words, None).expect("the words start a program");
                TrackKind::Script { script, interval, timeout: interval / 2, rise, fall }
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
