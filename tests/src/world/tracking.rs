//! What the tracks of a node see.

use std::sync::Arc;
use std::time::Duration;

use node::Input;

use super::{Event, World};
use crate::invariants::Broken;
use crate::machine::{Attention, Daemon};
use crate::site::{NodeIndex, Seen, SiteTrackKind, TrackIndex, track_name};

impl World {
    /// Lets a new daemon look at its tracks, each for the first time before its interval is over.
    pub(super) fn begin_looking(&mut self, node: NodeIndex) {
        let machine = &mut self.machines[node.0];
        machine.attention = Attention::Tracks;
        let life = machine.life;
        self.referee.forget_tracks(node);
        for track in self.referee.scene.site.track_indices() {
            let interval = self.referee.scene.site.tracks[track.0].interval;
            let at = self.now + self.dice.between(Duration::ZERO, interval);
            self.queue.put(at, Event::Look { node, life, track });
        }
    }

    /// Tells a new daemon of the interfaces that it tracks, as of all others, before it begins.
    pub(super) fn tell_tracked_links(&mut self, node: NodeIndex) -> Result<(), Broken> {
        let tracks = self.referee.scene.site.track_indices();
        let is_link = |track: &TrackIndex| match self.referee.scene.site.tracks[track.0].kind {
            SiteTrackKind::Interface { .. } => true,
            SiteTrackKind::Script { .. } | SiteTrackKind::Process { .. } | SiteTrackKind::File => false,
        };
        let links: Vec<_> = tracks.filter(is_link).collect();
        links.into_iter().try_for_each(|track| self.see(node, track))
    }

    pub(super) fn look(&mut self, node: NodeIndex, life: u32, track: TrackIndex) -> Result<(), Broken> {
        let machine = &mut self.machines[node.0];
        if machine.life != life || machine.attention == Attention::Elsewhere {
            return Ok(());
        }
        if let Daemon::Paused(_, backlog) = &mut machine.daemon {
            backlog.push(Event::Look { node, life, track });
            return Ok(());
        }
        let interval = self.referee.scene.site.tracks[track.0].interval;
        self.queue.put(self.now + interval, Event::Look { node, life, track });
        self.see(node, track)
    }

    fn see(&mut self, node: NodeIndex, track: TrackIndex) -> Result<(), Broken> {
        let machine = &self.machines[node.0];
        let (sight, name) = (machine.sights[track.0], track_name(track));
        let config = Arc::clone(&machine.config.tracks[&name]);
        let kind = self.referee.scene.site.tracks[track.0].kind;
        self.referee.see(node, track, sight, self.now);
        match sight.seen(kind, track) {
            Seen::Link(event) => self.feed(node, Input::Link(event)),
            Seen::Observation(seen) => self.feed(node, Input::Tracked { track: name, config, seen }),
        }
    }
}
