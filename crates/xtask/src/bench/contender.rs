//! The two programs that are measured next to each other.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lab::{Namespace, Process};

use super::duty::{Duty, Node};
use super::error::BenchError;
use super::{baton, keepalived};

/// How long either program may take to end and to take its addresses away.
pub(crate) const END_LIMIT: Duration = Duration::from_secs(30);

/// One of the two programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// The one that is there already.
    Keepalived,
    /// The one that is measured.
    Baton,
}

impl Contender {
    /// Both, in the order of each round.
    pub(crate) const BOTH: [Self; 2] = [Self::Keepalived, Self::Baton];
}

impl fmt::Display for Contender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Keepalived => "keepalived",
            Self::Baton => "baton",
        })
    }
}

/// Something of each program.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Each<T> {
    /// Keepalived's.
    pub(crate) keepalived: T,
    /// Baton's.
    pub(crate) baton: T,
}

impl<T> Each<T> {
    /// One program's.
    pub(crate) fn of(&mut self, contender: Contender) -> &mut T {
        match contender {
            Contender::Keepalived => &mut self.keepalived,
            Contender::Baton => &mut self.baton,
        }
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// Keepalived's.
    pub(crate) keepalived: PathBuf,
    /// Baton's.
    pub(crate) baton: PathBuf,
}

impl Programs {
    /// Where the configuration of a node is within a folder.
    pub(crate) fn configuration(contender: Contender, node: Node, folder: &Path) -> PathBuf {
        folder.join(format!("{contender}-{}.conf", node.name))
    }

    /// Writes the configuration for a duty into a folder, over an earlier one of the same node, and returns where.
    pub(crate) fn configure(
        contender: Contender,
        duty: Duty,
        node: Node,
        folder: &Path,
    ) -> Result<PathBuf, BenchError> {
        let path = Self::configuration(contender, node, folder);
        let text = match contender {
            Contender::Keepalived => keepalived::configuration(duty, node),
            Contender::Baton => baton::configuration(duty),
        };
        fs::write(&path, text).map_err(BenchError::write(&path))?;
        Ok(path)
    }

    /// Starts a program that does a duty as a node, from a configuration that was written for both.
    pub(crate) fn start(
        &self,
        contender: Contender,
        duty: Duty,
        node: Node,
        machine: &Namespace,
        configuration: &Path,
    ) -> Result<Process, BenchError> {
        let mut command = match contender {
            Contender::Keepalived => keepalived::command(&self.keepalived, duty, configuration),
            Contender::Baton => baton::command(&self.baton, node, configuration),
        };
        Ok(machine.spawn(&contender.to_string(), &mut command)?)
    }
}

/// A folder for configurations that is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes an empty folder: what an earlier run recorded would be cleaned up first, which takes time.
    pub(crate) fn new() -> Result<Self, BenchError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(format!("baton-bench-{process}-{number}"));
        fs::create_dir(&path).map_err(BenchError::write(&path))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is only litter in the temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}
