//! Whom a script runs as.

use std::fs;
use std::path::{Path, PathBuf};

use node::name::UserName;
use node::script::{DEFAULT_USER, Script};
use rustix::process::{getegid, geteuid};
use thiserror::Error;

/// The local users. Those of a directory service are not asked for: a service may not answer, and a script must not
/// depend on it.
const USERS: &str = "/etc/passwd";

/// Why nobody can be found to run a script as.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UserError {
    /// The user is not a local one.
    #[error("there is no user {0} in {USERS}: name another with `user`")]
    Unknown(String),
    /// The daemon is not root.
    #[error("the daemon is not root and cannot run it as {0}: leave `user` out, or start the daemon as root")]
    NotRoot(UserName),
}

/// Whom a script runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: u32,
    /// The only group: those that the user has besides are left out.
    pub(super) gid: u32,
    pub(super) home: PathBuf,
    pub(super) change: Change,
}

/// Whether the daemon has to become somebody else for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Needed,
    Needless,
}

impl User {
    /// Returns the user that a script is to be run as, whoever asks.
    pub(super) fn wanted(script: &Script) -> Result<Self, UserError> {
        let name = script.user().map_or(DEFAULT_USER, UserName::as_str);
        Self::named(name, &fs::read_to_string(USERS).unwrap_or_default())
    }

    /// Returns the user that this process runs a script as.
    pub(super) fn of(script: &Script) -> Result<Self, UserError> {
        let users = fs::read_to_string(USERS).unwrap_or_default();
        let own = geteuid().as_raw();
        match script.user() {
            _ if own == 0 => Self::wanted(script),
            Some(name) => match Self::named(name.as_str(), &users)? {
                user if user.uid == own => Ok(Self { change: Change::Needless, ..user }),
                _ => Err(UserError::NotRoot(name.clone())),
            },
            None => Ok(Self {
                name: users
                    .lines()
                    .filter_map(Self::read)
                    .find(|user| user.uid == own)
                    .map_or_else(|| own.to_string(), |user| user.name),
                uid: own,
                gid: getegid().as_raw(),
                home: Path::new("/").to_owned(),
                change: Change::Needless,
            }),
        }
    }

    fn named(name: &str, users: &str) -> Result<Self, UserError> {
        let found = users.lines().filter_map(Self::read).find(|user| user.name == name);
        found.ok_or_else(|| UserError::Unknown(name.to_owned()))
    }

    /// Reads `name:password:uid:gid:comment:home:shell`, passwd(5).
    fn read(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        let home = fields.nth(1)?.into();
        Some(Self { name, uid, gid, home, change: Change::Needed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str =
        "root:x:0:0:root:/root:/bin/bash\nhalf\nnobody:x:65534:65533:nobody:/nonexistent:/bin/false\n";

    #[test]
    fn a_user_is_found_among_lines_that_are_none() {
        let user = User::named("nobody", LINES).unwrap();
        assert_eq!((user.uid, user.gid, user.home.to_str()), (65_534, 65_533, Some("/nonexistent")));
        let error = User::named("half", LINES).unwrap_err().to_string();
        assert_eq!(error, "there is no user half in /etc/passwd: name another with `user`");
    }
}
