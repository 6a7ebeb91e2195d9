//! What was seen of a node's tracks, counted apart from the node, so that its priority and its faults can be held to it.

use std::time::Duration;

use monotonic::Instant;
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
    /// What will hold unless it is seen no more before.
    coming: Option<(i32, Instant)>,
}

/// Whether something else holds than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Something does.
    Some,
    /// Nothing does.
    None,
}

/// How something has to be seen before it holds.
#[derive(Clone, Copy, Debug)]
enum Patience {
    /// So often in a row.
    Looks(u8),
    /// For so long.
    Time(Duration),
}

const ONCE: Patience = Patience::Looks(1);

impl TrackBook {
    /// Notes one look.
    pub fn note(&mut self, track: &SiteTrack, index: TrackIndex, sight: Sight, now: Instant) -> News {
        let entry = &mut self.entries[index.0];
        let has_weight = matches!(track.effect, Effect::Weight(_));
        let (number, patience) = match (track.kind, sight) {
            (SiteTrackKind::Script { rise, .. }, Sight::Well) => (0, Patience::Looks(rise.get())),
            (SiteTrackKind::Script { fall, .. }, Sight::Ill(_) | Sight::Unclear) => {
                (1, Patience::Looks(fall.get()))
            }
            (SiteTrackKind::Interface { delays, .. } | SiteTrackKind::Process { delays }, Sight::Well) => {
                (0, Patience::Time(delays.up))
            }
            (SiteTrackKind::Interface { delays, .. }, Sight::Ill(_) | Sight::Unclear)
            | (SiteTrackKind::Process { delays }, Sight::Ill(_)) => (1, Patience::Time(delays.down)),
            (SiteTrackKind::File, Sight::Ill(number)) if has_weight => (i32::from(number), ONCE),
            (SiteTrackKind::File, Sight::Ill(number)) => (i32::from(number != 0), ONCE),
            // What was clear goes on to hold.
            (SiteTrackKind::Process { .. }, Sight::Unclear) => return News::None,
            (SiteTrackKind::File, Sight::Unclear) if entry.settled.is_some() => return News::None,
            (SiteTrackKind::File, Sight::Well | Sight::Unclear) => (0, ONCE),
        };
        if entry.settled == Some(number) {
            (entry.differing, entry.coming) = (0, None);
            return News::None;
        }
        entry.differing = entry.differing.saturating_add(1);
        match patience {
            _ if entry.settled.is_none() => {}
            Patience::Looks(looks) if entry.differing < looks => return News::None,
            Patience::Time(_) if entry.coming.is_some() => return News::None,
            Patience::Time(time) if !time.is_zero() => {
                entry.coming = Some((number, now + time));
                return News::None;
            }
            Patience::Looks(_) | Patience::Time(_) => {}
        }
        *entry = Entry { settled: Some(number), ..Entry::default() };
        News::Some
    }

    /// Returns when something else holds of a track, unless it is seen no more before.
    pub fn waits_until(&self, TrackIndex(track): TrackIndex) -> Option<Instant> {
        self.entries[track].coming.map(|(_, end)| end)
    }

    /// Lets hold what was seen for long enough by now.
    pub fn end_wait(&mut self, TrackIndex(track): TrackIndex, now: Instant) -> News {
        let entry = &mut self.entries[track];
        let Some((number, _)) = entry.coming.filter(|(_, end)| *end <= now) else { return News::None };
        *entry = Entry { settled: Some(number), ..Entry::default() };
        News::Some
    }

    /// Waits for nothing any more.
    pub fn stop_waiting(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.coming = None);
    }

    /// Tells whether there is a track of which nothing is known yet.
    pub fn is_blank(&self, site: &Site) -> bool {
        site.track_indices().any(|TrackIndex(track)| self.entries[track].settled.is_none())
    }

    /// Returns what a track adds to a priority.
    pub fn points(&self, track: &SiteTrack, index: TrackIndex) -> i32 {
        let Effect::Weight(weight) = track.effect else { return 0 };
        let Some(number) = self.entries[index.0].settled else { return 0 };
        match track.kind {
            SiteTrackKind::File => (number * weight.get()).clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT),
            SiteTrackKind::Interface { .. }
            | SiteTrackKind::Script { .. }
            | SiteTrackKind::Process { .. } => {
                if is_up(track.sense, number) {
                    weight.get().max(0)
                } else {
                    weight.get().min(0)
                }
            }
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
