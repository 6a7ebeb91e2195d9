//! Whether the programs that a file names can be run on this machine.
//!
//! This is asked before a configuration is taken over, and not when the daemon starts: a node whose script somebody has
//! changed the rights of has to come up, with that track down.

use node::config::HookAction;
use node::script::Script;
use probe::script::{Unfit, examine};

use super::document::Document;
use super::problem::{At, Problem};
use super::{ConfigErrors, ConfigFile};

/// A script and who wants it run.
#[derive(Clone, Debug)]
pub(super) struct Program {
    script: At<Script>,
    title: String,
}

/// Returns every script of a file.
pub(super) fn named(document: &Document) -> Vec<Program> {
    let by_track = |track: &super::track_section::TrackSection| {
        let title = format!("track {}", track.name.value);
        let script = track.kind.value.script()?.clone();
        Some(Program { script: At { value: script, span: track.kind.span }, title })
    };
    let by_hook = |hook: &super::hook_section::HookSection| match &hook.action.value {
        HookAction::Command(script) => {
            let title = format!("hook {}", hook.name.value);
            Some(Program { script: At { value: script.clone(), span: hook.action.span }, title })
        }
        HookAction::Post(_) => None,
    };
    let by_tracks = document.tracks.iter().filter_map(by_track);
    by_tracks.chain(document.hooks.iter().filter_map(by_hook)).collect()
}

impl ConfigFile {
    /// Returns the same file, whose text this is, if those of its programs that are on this machine could be run here; others may be on the
    /// other nodes alone.
    ///
    /// # Errors
    /// What keeps them from it.
    pub(crate) fn with_fit_programs(self, text: &str) -> Result<Self, ConfigErrors> {
        let problem = |Program { script, title }: &Program| {
            match examine(&script.value) {
            Ok(()) | Err(Unfit::User(_)) => None,
            Err(Unfit::Program(error)) if error.is_absence() => None,
            Err(Unfit::Program(error)) => Some(
                Problem::at(script.span, format!("The script of {title} cannot be run"))
                    .label(error.to_string())
                    .help("`baton check` looks at the programs of this machine; those of the other nodes are looked at there"),
            ),
        }
        };
        let problems: Vec<_> = self.programs.iter().filter_map(problem).collect();
        if problems.is_empty() {
            return Ok(self);
        }
        Err(ConfigErrors { file: self.name, text: text.to_owned(), problems })
    }
}
