//! A program of the operator's that is run for its verdict or for what it does, as the configuration names it.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::name::UserName;

/// The user that a script runs as unless the configuration names another, where the daemon may choose: the one that has
/// no files and no rights.
pub const DEFAULT_USER: &str = "nobody";

/// A program, its arguments and its user. No shell reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    program: PathBuf,
    arguments: Vec<String>,
    user: Option<UserName>,
}

/// Words that start no program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScriptError {
    /// There is no word.
    #[error("there is no program in it")]
    Empty,
    /// The program is not named from the root on, so that another one could be meant.
    #[error("the program is not named by its whole path")]
    NotAbsolute,
    /// The kernel cannot take a word with a zero byte in it.
    #[error("a word has a zero byte in it")]
    ZeroByte,
}

impl Script {
    /// Returns the script of these words, the program first; `user` left out means [`DEFAULT_USER`], or the daemon's own
    /// user where it is not root.
    ///
    /// # Errors
    /// [`ScriptError`] when the words start no program.
    pub fn new(words: Vec<String>, user: Option<UserName>) -> Result<Self, ScriptError> {
        if words.iter().any(|word| word.contains('\0')) {
            return Err(ScriptError::ZeroByte);
        }
        let mut words = words.into_iter();
        let program = PathBuf::from(words.next().ok_or(ScriptError::Empty)?);
        if !program.is_absolute() {
            return Err(ScriptError::NotAbsolute);
        }
        Ok(Self { program, arguments: words.collect(), user })
    }

    /// Returns the program's whole path.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Returns what the program is given.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// Returns the same program with these arguments after its own.
    ///
    /// # Panics
    /// When one has a zero byte in it, which names and numbers have not.
    #[must_use]
    pub fn with_arguments(&self, more: impl IntoIterator<Item = String>) -> Self {
        let mut script = self.clone();
        script.arguments.extend(more);
        assert!(!script.arguments.iter().any(|word| word.contains('\0')), "names have no zero byte");
        script
    }

    /// Returns the user that the configuration names.
    pub fn user(&self) -> Option<&UserName> {
        self.user.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_by_its_whole_path() {
        let script =
            |words: &[&str]| Script::new(words.iter().map(|word| (*word).to_owned()).collect(), None);
        assert_eq!(script(&[]), Err(ScriptError::Empty));
        assert_eq!(script(&["check"]), Err(ScriptError::NotAbsolute));
        assert_eq!(script(&["/bin/check", "a\0b"]), Err(ScriptError::ZeroByte));
        assert_eq!(script(&["/bin/check", "a b"]).unwrap().arguments(), ["a b"]);
    }
}
