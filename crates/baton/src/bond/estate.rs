//! What a daemon has told by now: with this the guard acts in its place, and the next daemon goes on.

use std::time::Duration;

use monotonic::Instant;
use node::legacy::{Legacy, RoleLegacy, RouterLegacy};
use node::name::{RouterName, ServerName};
use node::routers::Transmission;

use super::wire::moment;
use super::{Beat, Word};

/// Everything that is left if the daemon dies now.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Estate {
    /// The text of the configuration that runs; nothing before any daemon has begun.
    pub configuration: Option<String>,
    /// Roles, absences and verdicts.
    pub legacy: Legacy,
    /// By when the engine will have advertised again; nothing while it has no role.
    pub speak_by: Option<Instant>,
}

impl Estate {
    /// Takes in what a daemon tells. What has a name that no configuration can have is left out.
    pub fn take(&mut self, word: Word) {
        match word {
            Word::Began { at } => self.legacy.began = Some(moment(at)),
            Word::Beat(Beat { speak_by, silence_limit }) => {
                self.speak_by = speak_by.map(moment);
                self.legacy.silence_limit = silence_limit.map(moment);
            }
            Word::Configuration { text } => self.configuration = Some(text),
            Word::Router { name, legacy } => {
                let Ok(name) = RouterName::new(&name) else { return };
                match legacy.map(RouterLegacy::try_from) {
                    Some(Ok(legacy)) => self.legacy.virtual_routers.insert(name, legacy),
                    Some(Err(_)) | None => self.legacy.virtual_routers.remove(&name),
                };
            }
            Word::RealServer { server, address, verdict } => {
                let Ok(server) = ServerName::new(&server) else { return };
                match verdict {
                    Some(verdict) => self.legacy.verdicts.insert((server, address), verdict.verdict()),
                    None => self.legacy.verdicts.remove(&(server, address)),
                };
            }
        }
    }

    /// Returns the words that add up to this.
    pub fn words(&self) -> impl Iterator<Item = Word> {
        let Legacy { began, virtual_routers, silence_limit, verdicts } = &self.legacy;
        let began = began.iter().map(|began| Word::began(*began));
        let configuration = self.configuration.iter().map(|text| Word::Configuration { text: text.clone() });
        let routers = virtual_routers.iter().map(|(name, legacy)| Word::router(name, Some(legacy)));
        let real_servers = verdicts
            .iter()
            .map(|((server, address), verdict)| Word::real_server(server, *address, Some(*verdict)));
        let beat = Word::Beat(Beat::new(self.speak_by, *silence_limit));
        began.chain(configuration).chain(routers).chain(real_servers).chain([beat])
    }

    /// Forgets the roles: others have them.
    pub fn drop_roles(&mut self) {
        for legacy in self.legacy.virtual_routers.values_mut() {
            legacy.role = None;
        }
        (self.speak_by, self.legacy.silence_limit) = (None, None);
    }

    /// Returns what has to be said, in this order, so that other nodes take over; nothing once they may have by
    /// themselves, since the words would unsettle them.
    pub fn last_will(&self, now: Instant) -> Vec<Transmission> {
        if self.legacy.silence_limit.is_none_or(|limit| limit <= now) {
            return Vec::new();
        }
        self.roles().flat_map(|role| role.last_will.iter().cloned()).collect()
    }

    /// Returns the shortest interval of a virtual router that is Active; nothing when none is.
    pub fn shortest_interval(&self) -> Option<Duration> {
        self.roles().map(|role| role.interval).min()
    }

    /// Returns how long after the last will all addresses are taken by others; nothing when no virtual router is Active.
    pub fn succeeded_within(&self) -> Option<Duration> {
        self.roles().map(|role| role.succeeded_within).max()
    }

    /// Returns the virtual routers that are Active.
    pub fn active(&self) -> impl Iterator<Item = &RouterName> {
        let routers = self.legacy.virtual_routers.iter();
        routers.filter(|(_, legacy)| legacy.role.is_some()).map(|(name, _)| name)
    }

    fn roles(&self) -> impl Iterator<Item = &RoleLegacy> {
        self.legacy.virtual_routers.values().filter_map(|legacy| legacy.role.as_ref())
    }
}
