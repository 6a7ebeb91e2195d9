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

/// The machine on which the programs of a file are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    /// One of the file's nodes, which runs all of them.
    Node,
    /// Another one: they may be on the nodes alone.
    Other,
}

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

const HELP: &str = "`baton check` and `baton reload` look at the programs of this machine; those of the other nodes are looked at there";

/// Tells whether what is wrong may be right where the program is to run.
fn is_of_another_machine(unfit: &Unfit) -> bool {
    match unfit {
        Unfit::User(_) => true,
        Unfit::Program(error) => error.is_absence(),
    }
}

impl ConfigFile {
    /// Returns the same file, whose text this is, if its programs could be run here, as far as they should be on this machine.
    ///
    /// # Errors
    /// What keeps them from it.
    pub(crate) fn with_fit_programs(self, text: &str, machine: Machine) -> Result<Self, ConfigErrors> {
        let problem = |Program { script, title }: &Program| {
            let unfit = examine(&script.value).err().filter(|unfit| match machine {
                Machine::Node => true,
                Machine::Other => !is_of_another_machine(unfit),
            })?;
            let problem = Problem::at(script.span, format!("The script of {title} cannot be run"));
            Some(problem.label(unfit.to_string()).help(HELP))
        };
        let problems: Vec<_> = self.programs.iter().filter_map(problem).collect();
        if problems.is_empty() {
            return Ok(self);
        }
        Err(ConfigErrors { file: self.name, text: text.to_owned(), problems })
    }
}
