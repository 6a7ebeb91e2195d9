//! Whether a program can and should be run by a user.
//!
//! This finds mistakes; it is no fence against somebody who changes files in the moment between looking and running.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::user::User;

const STICKY: u32 = 0o1000;
const WRITABLE_BY_GROUP: u32 = 0o0020;
const WRITABLE_BY_OTHERS: u32 = 0o0002;
const EXECUTABLE_BY_ANYBODY: u32 = 0o0111;

/// Why a program must not be run.
#[derive(Debug, Error)]
pub enum ProgramError {
    /// It cannot be looked at.
    #[error("cannot look at {path}: {error}", path = .path.display())]
    Unseen {
        /// The program.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// It is a folder, a device or the like.
    #[error("{path} is no file", path = .path.display())]
    NoFile {
        /// The program.
        path: PathBuf,
    },
    /// The user may not start it.
    #[error("{path} is not executable for user {user}: chmod a+x {path}", path = .path.display())]
    NotExecutable {
        /// The program.
        path: PathBuf,
        /// The user.
        user: String,
    },
    /// The user may not even reach it.
    #[error("user {user} may not enter {path}: move the program elsewhere, or name another `user`", path = .path.display())]
    NotReachable {
        /// The folder.
        path: PathBuf,
        /// The user.
        user: String,
    },
    /// Anybody could put another program in its place.
    #[error("{path} can be written by everybody: chmod o-w {path}", path = .path.display())]
    WritableByOthers {
        /// The program, or a folder on the way to it.
        path: PathBuf,
    },
    /// Somebody else than root could have it run as root.
    #[error("{path} can be written by others than root, and is to be run as root: chown root:root {path}", path = .path.display())]
    NotRootsOwn {
        /// The program, or a folder on the way to it.
        path: PathBuf,
    },
}

impl ProgramError {
    /// Tells whether there is no such program on this machine.
    pub fn is_absence(&self) -> bool {
        match self {
            Self::Unseen { error, .. } => error.kind() == io::ErrorKind::NotFound,
            Self::NoFile { .. }
            | Self::NotExecutable { .. }
            | Self::NotReachable { .. }
            | Self::WritableByOthers { .. }
            | Self::NotRootsOwn { .. } => false,
        }
    }
}

/// Looks whether a user can start a program, and whether only those can change it who may.
pub(super) fn examine(program: &Path, user: &User) -> Result<(), ProgramError> {
    let look = |path: &Path| {
        fs::metadata(path).map_err(|error| ProgramError::Unseen { path: path.to_owned(), error })
    };
    let unseen = |error| ProgramError::Unseen { path: program.to_owned(), error };
    // Links are followed: what counts is where the program really is.
    let real = fs::canonicalize(program).map_err(unseen)?;
    let metadata = look(&real)?;
    if !metadata.is_file() {
        return Err(ProgramError::NoFile { path: real });
    }
    examine_rights(&real, &metadata, user)?;
    if !may_execute(&metadata, user) {
        return Err(ProgramError::NotExecutable { path: real, user: user.name.clone() });
    }
    for folder in real.ancestors().skip(1) {
        let metadata = look(folder)?;
        examine_rights(folder, &metadata, user)?;
        if !may_execute(&metadata, user) {
            return Err(ProgramError::NotReachable { path: folder.to_owned(), user: user.name.clone() });
        }
    }
    Ok(())
}

fn examine_rights(path: &Path, metadata: &Metadata, user: &User) -> Result<(), ProgramError> {
    // In a folder like /tmp everybody may write, but not replace what is there.
    if metadata.is_dir() && metadata.mode() & STICKY != 0 {
        return Ok(());
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(ProgramError::WritableByOthers { path: path.to_owned() });
    }
    let is_roots_own =
        metadata.uid() == 0 && (metadata.gid() == 0 || metadata.mode() & WRITABLE_BY_GROUP == 0);
    if user.uid == 0 && !is_roots_own {
        return Err(ProgramError::NotRootsOwn { path: path.to_owned() });
    }
    Ok(())
}

/// Tells whether a user may start a program or enter a folder.
fn may_execute(metadata: &Metadata, user: &User) -> bool {
    if user.uid == 0 {
        return metadata.is_dir() || metadata.mode() & EXECUTABLE_BY_ANYBODY != 0;
    }
    let shift = if metadata.uid() == user.uid {
        6
    } else if metadata.gid() == user.gid {
        3
    } else {
        0
    };
    metadata.mode() >> shift & 1 != 0
}

#[cfg(test)]
mod tests;
