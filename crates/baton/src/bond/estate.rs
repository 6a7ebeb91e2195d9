//! What a daemon has told by now: with this the guard acts in its place, and the next daemon goes on.

use node::legacy::{Legacy, RouterLegacy};
use node::name::{RouterName, ServerName};
use node::routers::Silence;

use super::wire::moment;
use super::{Beat, Word};

/// Everything that is left if the daemon dies now.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Estate {
    /// The text of the configuration that runs; nothing before any daemon has begun.
    pub configuration: Option<String>,
    /// Roles, absences and verdicts.
    pub legacy: Legacy,
}

impl Estate {
    /// Takes in what a daemon tells. What has a name that no configuration can have is left out.
    pub fn take(&mut self, word: Word) {
        match word {
            Word::Began { at } => self.legacy.began = Some(moment(at)),
            Word::Beat(Beat { speak_by, silence_limit }) => {
                let limits = silence_limit.map(moment).zip(speak_by.map(moment));
                self.legacy.silence = limits.map(|(limit, speak_by)| Silence { limit, speak_by });
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
        let Legacy { began, virtual_routers, silence, verdicts } = &self.legacy;
        let began = began.iter().map(|began| Word::began(*began));
        let configuration = self.configuration.iter().map(|text| Word::Configuration { text: text.clone() });
        let routers = virtual_routers.iter().map(|(name, legacy)| Word::router(name, Some(legacy)));
        let real_servers = verdicts
            .iter()
            .map(|((server, address), verdict)| Word::real_server(server, *address, Some(*verdict)));
        let beat = Word::Beat(Beat::new(*silence));
        began.chain(configuration).chain(routers).chain(real_servers).chain([beat])
    }
}
