//! What the tracks of a node mean for its virtual routers.

use std::collections::BTreeMap;
use std::sync::Arc;

use monotonic::Instant;

use super::{Routers, RoutersOutput, Timer};
use crate::config::Config;
use crate::fault::{Fault, Wait};
use crate::name::{InterfaceName, RouterName, TrackName};
use crate::report::Report;
use crate::track::{Meaning, Observation, Track, TrackConfig, TrackKind};

impl Routers {
    /// Takes over which tracks there are; what is the same keeps what is known of it.
    pub(super) fn adopt_tracks(&mut self, config: &Config, now: Instant) {
        let mut known = std::mem::take(&mut self.tracks);
        for (name, track) in &config.tracks {
            let kept = known.remove(name).filter(|known| known.config() == track);
            let track = kept.unwrap_or_else(|| Track::new(Arc::clone(track), now));
            self.tracks.insert(name.clone(), track);
            self.set_track_timer(name);
        }
        for gone in known.into_keys() {
            self.timers.set(Timer::Track(gone), None);
        }
    }

    /// Takes over what was seen of a track; what was seen for another configuration of it is of no interest.
    pub(super) fn track(
        &mut self,
        name: &TrackName,
        config: &Arc<TrackConfig>,
        seen: Observation,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        let Some(track) = self.tracks.get_mut(name).filter(|track| track.config() == config) else { return };
        let reports = track.observe(name, seen, now);
        self.follow_track(name, reports, now, outputs);
    }

    /// Lets every interface track see how its interface is.
    pub(super) fn track_links(&mut self, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        let names: Vec<_> = self.tracks.keys().cloned().collect();
        for name in names {
            self.track_link(&name, now, outputs);
        }
    }

    pub(super) fn tracks_of_link(&self, interface: &InterfaceName) -> Vec<TrackName> {
        let looks = |track: &Track| matches!(&track.config().kind, TrackKind::Interface { interface: tracked, .. } if tracked == interface);
        self.tracks.iter().filter(|(_, track)| looks(track)).map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn track_link(&mut self, name: &TrackName, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        let Some(track) = self.tracks.get_mut(name) else { return };
        let TrackKind::Interface { interface, .. } = &track.config().kind else { return };
        let link = self.links.get(interface).cloned();
        let report = track.follow_link(name, link.as_ref(), now);
        self.follow_track(name, report, now, outputs);
    }

    pub(super) fn fire_track(&mut self, name: &TrackName, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        let Some(track) = self.tracks.get_mut(name) else { return };
        let report = track.fire(name, now);
        self.follow_track(name, report, now, outputs);
    }

    fn follow_track(
        &mut self,
        name: &TrackName,
        reports: impl IntoIterator<Item = Report>,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        self.set_track_timer(name);
        let before = outputs.len();
        outputs.extend(reports.into_iter().map(RoutersOutput::Report));
        if outputs.len() == before {
            return;
        }
        let having = self.members.iter().filter(|(_, member)| member.config.tracks.contains(name));
        let having: Vec<_> = having.map(|(name, _)| name.clone()).collect();
        for router in having {
            self.evaluate(&router, now, outputs);
        }
    }

    fn set_track_timer(&mut self, name: &TrackName) {
        let deadline = self.tracks.get(name).and_then(Track::next_deadline);
        self.timers.set(Timer::Track(name.clone()), deadline);
    }

    fn meanings(&self, router: &RouterName) -> impl Iterator<Item = (&TrackName, Meaning)> {
        let tracks = self.members[router].config.tracks.iter();
        tracks.filter_map(|name| Some((name, self.tracks.get(name)?.meaning())))
    }

    /// Returns the fault that a track of this virtual router brings about.
    pub(super) fn track_fault(&self, router: &RouterName) -> Option<Fault> {
        self.meanings(router).find_map(|(track, meaning)| match meaning {
            Meaning::Fault { reason } => Some(Fault::TrackDown { track: track.clone(), reason }),
            Meaning::Unknown | Meaning::Points(_) => None,
        })
    }

    /// Returns the track of which nothing is known yet.
    pub(super) fn track_wait(&self, router: &RouterName) -> Option<Wait> {
        let unknown = self.meanings(router).find(|(_, meaning)| *meaning == Meaning::Unknown);
        unknown.map(|(track, _)| Wait::Track { track: track.clone() })
    }

    /// Has a virtual router's priority follow its tracks; its state machine hears of it when it is evaluated.
    pub(super) fn weigh(&mut self, router: &RouterName, outputs: &mut Vec<RoutersOutput>) {
        let weights: BTreeMap<_, _> = self
            .meanings(router)
            .filter_map(|(track, meaning)| match meaning {
                Meaning::Points(points) if points != 0 => Some((track.clone(), points)),
                Meaning::Points(_) | Meaning::Unknown | Meaning::Fault { .. } => None,
            })
            .collect();
        let member = self.members.get_mut(router).expect("only members are weighed");
        let from = member.priority().effective();
        member.weights = weights;
        let sum = member.priority();
        if sum.effective() != from {
            let router = router.clone();
            outputs.push(RoutersOutput::Report(Report::PriorityChanged { router, from, sum }));
        }
    }
}
