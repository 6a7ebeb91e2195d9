//! What was seen of a node's tracks, counted apart from the node, so that its priority and its faults can be held to it.

use node::track::{Effect, Sense, WEIGHT_LIMIT};
use vrrp::Priority;

use crate::site::{Sight, Site, SiteTrack, SiteTrackKind, TRACK_LIMIT, TrackIndex};

/// What one node has seen of each track since it started.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrackBook {
    entries: [Entry; TRACK_LIMIT],
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// What holds: 0 is well. Nothing before the first look.
    settled: Option<i32>,
    differing: u8,
}

/// Whether something else holds than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Something does.
    Some,
    /// Nothing does.
    None,
}

impl TrackBook {
    /// Notes one look.
    pub fn note(&mut self, track: &SiteTrack, index: TrackIndex, sight: Sight) -> News {
        let entry = &mut self.entries[index.0];
        let has_weight = matches!(track.effect, Effect::Weight(_));
        let (number, patience) = match (track.kind, sight) {
            (SiteTrackKind::Script { rise, .. }, Sight::Well) => (0, rise.get()),
            (SiteTrackKind::Script { fall, .. }, Sight::Ill(_) | Sight::Unclear) => (1, fall.get()),
            (SiteTrackKind::File, Sight::Ill(number)) if has_weight => (i32::from(number), 1),
            (SiteTrackKind::File, Sight::Ill(number)) => (i32::from(number != 0), 1),
            // What was clear goes on to hold.
            (SiteTrackKind::File, Sight::Unclear) if entry.settled.is_some() => return News::None,
            (SiteTrackKind::File, Sight::Well | Sight::Unclear) => (0, 1),
        };
        if entry.settled == Some(number) {
            entry.differing = 0;
            return News::None;
        }
        entry.differing += 1;
        if entry.settled.is_some() && entry.differing < patience {
            return News::None;
        }
        *entry = Entry { settled: Some(number), differing: 0 };
        News::Some
    }

    /// Returns what a track adds to a priority.
    pub fn points(&self, track: &SiteTrack, index: TrackIndex) -> i32 {
        let Effect::Weight(weight) = track.effect else { return 0 };
        let Some(number) = self.entries[index.0].settled else { return 0 };
        match track.kind {
            SiteTrackKind::File => (number * weight.get()).clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT),
            SiteTrackKind::Script { .. } if is_up(track.sense, number) => weight.get().max(0),
            SiteTrackKind::Script { .. } => weight.get().min(0),
        }
    }

    /// Returns a node's priority with all that its tracks add.
    pub fn priority(&self, site: &Site, base: Priority) -> Priority {
        if site.tracks.is_empty() || base == Priority::OWNER {
            return base;
        }
        let points = site.track_indices().map(|index| self.points(&site.tracks[index.0], index)).sum::<i32>();
        let sum = (i32::from(base.get()) + points).clamp(1, 254);
        Priority::new(sum.unsigned_abs()).expect("it is between 1 and 254")
    }

    /// Tells whether a track keeps the node from taking part.
    pub fn is_faulted(&self, site: &Site) -> bool {
        site.track_indices().any(|index| {
            let SiteTrack { sense, effect, .. } = site.tracks[index.0];
            let settled = self.entries[index.0].settled;
            effect == Effect::Fault && settled.is_some_and(|number| !is_up(sense, number))
        })
    }
}

fn is_up(sense: Sense, number: i32) -> bool {
    match sense {
        Sense::Straight => number == 0,
        Sense::Reversed => number != 0,
    }
}
