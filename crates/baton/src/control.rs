//! What an operator can ask of a running daemon, by signal or by its API.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use node::config::Config;
use node::difference::differences;
use node::hooks::HooksInput;
use node::name::NodeName;
use node::report::Report;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::spawn_blocking;

use crate::bond::{Bond, Word};
use crate::checker::CheckerCommand;
use crate::config_file::{ConfigErrors, ConfigFile, Machine};
use crate::engine::{EngineCommand, EngineStatus};
use crate::hooks::HookLine;
use crate::journal::Journal;
use crate::view::{Calendar, NodeView};

/// A running daemon, as its operator sees it.
pub struct Control {
    pub config_path: PathBuf,
    /// What runs now; the tracker follows it.
    pub config: watch::Sender<Arc<Config>>,
    /// Held while a reload is under way, so that reloads come one after another.
    pub reloading: Mutex<()>,
    /// Set once the daemon is on its way out.
    pub ending: OnceLock<Stopping>,
    pub engine: mpsc::Sender<EngineCommand>,
    pub checker: mpsc::Sender<CheckerCommand>,
    pub engine_status: watch::Receiver<Arc<EngineStatus>>,
    pub hooks: HookLine,
    pub journal: Journal,
    pub calendar: Mutex<Calendar>,
    pub bond: Bond,
}

/// The daemon is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The daemon is stopping")]
pub struct Stopping;

/// Why a configuration was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file is not valid; the running configuration stays.
    #[error("The running configuration stays, since the file is not valid\n\n{0}")]
    Invalid(#[from] ConfigErrors),
    /// It is too late.
    #[error(transparent)]
    Stopping(#[from] Stopping),
}

impl Control {
    /// Reads the configuration file again, once nobody is writing it any more, applies the difference and returns it, one
    /// line for each.
    ///
    /// # Errors
    /// [`ReloadError`]; the running configuration stays then.
    pub async fn reload(&self) -> Result<Vec<String>, ReloadError> {
        let _turn = self.reloading.lock().await;
        let running = Arc::clone(&self.config.borrow());
        let (path, node) = (self.config_path.clone(), running.node.clone());
        let read = spawn_blocking(move || read(&path, &node)).await.expect("reading does not panic");
        let (config, text) = match read {
            Ok((config, text)) => (Arc::new(config.adopt_unchanged(&running)), text),
            Err(errors) => {
                self.journal.tell(Report::ReloadRefused { reason: errors.in_one_line() });
                return Err(errors.into());
            }
        };
        let changes = differences(&running, &config);
        let checker = self.checker.reserve().await.map_err(|_| Stopping)?;
        let engine = self.engine.reserve().await.map_err(|_| Stopping)?;
        // From here on nothing waits, so a stop comes before all of this or after it.
        self.ending.get().copied().map_or(Ok(()), Err)?;
        checker.send(CheckerCommand::Reload(Arc::clone(&config)));
        engine.send(EngineCommand::Reload(Arc::clone(&config)));
        self.hooks.tell(HooksInput::Reload(Arc::clone(&config)));
        self.bond.tell([Word::Configuration { text }]);
        // After the engine: it takes no notice of tracks that it does not know.
        self.config.send_replace(config);
        self.journal.tell(Report::Reloaded { changes: changes.clone() });
        Ok(changes)
    }

    /// Has everything handed over. A reload that still waits for its file changes nothing any more: it would end a
    /// hand-over that is under way.
    pub async fn stop(&self) {
        // A second stop finds it set already.
        let _ = self.ending.set(Stopping);
        // An engine that has ended already needs no telling.
        let _ = self.engine.send(EngineCommand::Shutdown).await;
    }

    /// Returns how everything is.
    ///
    /// # Errors
    /// [`Stopping`] when there is nobody left to ask.
    pub async fn status(&self) -> Result<NodeView, Stopping> {
        let (asked, answer) = oneshot::channel();
        self.checker.send(CheckerCommand::Status(asked)).await.map_err(|_| Stopping)?;
        let pools = answer.await.map_err(|_| Stopping)?;
        let hooks = self.hooks.status().await.ok_or(Stopping)?;
        let node = self.config.borrow().node.clone();
        // Nothing was ever seen through the receiver that this one begins as, so it waits for the engine's first word alone.
        let mut engine_status = self.engine_status.clone();
        engine_status.changed().await.map_err(|_| Stopping)?;
        let engine = Arc::clone(&engine_status.borrow());
        let mut calendar = self.calendar.lock().await;
        calendar.follow(host::clock::now(), Timestamp::now());
        Ok(NodeView::new(&node, &engine, &pools, &hooks, *calendar))
    }
}

/// Reads what a node is to do, and the text that says so; blocks while that is being written.
fn read(path: &Path, node: &NodeName) -> Result<(Config, String), ConfigErrors> {
    let (file, text) = ConfigFile::read_with_text(path)?;
    Ok((file.with_fit_programs(&text, Machine::Node)?.resolve(node)?, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_reload_says_first_that_nothing_has_changed() {
        let errors = ConfigFile::parse("test.toml", "node = lb1").unwrap_err();
        let refusal = ReloadError::from(errors.clone()).to_string();
        assert!(!refusal.starts_with("error:"), "{refusal}");
        assert!(refusal.starts_with("The running configuration stays"), "{refusal}");
        assert!(refusal.ends_with(&errors.to_string()), "{refusal}");
    }
}
