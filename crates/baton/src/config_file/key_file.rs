//! The files that keys of authentication are read from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use thiserror::Error;
use vrrp::{Key, KeyError};
use zeroize::Zeroizing;

use super::settled_file::{self, ReadError};

/// More than any key takes, in hexadecimal digits and with the end of the line.
const FILE_LIMIT: u64 = 1024;

/// The permission bits of those who are not the owner.
const OTHERS: u32 = 0o077;

/// Why a file gives no key.
#[derive(Debug, Error)]
pub(super) enum KeyFileError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] ReadError),
    /// It is a folder, a pipe, a device.
    #[error("is no file")]
    NoFile,
    /// Others can read or change it.
    #[error("others than its owner can read or change it: its mode is {mode:04o}")]
    Open {
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to somebody who is neither root nor who runs Baton.
    #[error("it belongs to user {owner}")]
    Foreign {
        /// The number of its owner.
        owner: u32,
    },
    /// What it contains is no key.
    #[error(transparent)]
    NoKey(#[from] KeyError),
}

impl KeyFileError {
    /// Returns what to do about it.
    pub(super) fn help(&self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Unreadable(ReadError::BeingWritten) => format!("save {path} first, then ask again"),
            Self::Unreadable(ReadError::System(_)) | Self::NoFile => {
                format!(
                    "make one, the same on each node: (umask 077; openssl rand -hex 32 | sed s/^/hex:/ > {path})"
                )
            }
            Self::Open { .. } => format!("chmod 600 {path}; if others may have read it, make a new key"),
            Self::Foreign { .. } => format!("chown root {path}"),
            Self::NoKey(_) => format!(
                "write a line of 64 hexadecimal digits: openssl rand -hex 32 | sed s/^/hex:/ > {path}"
            ),
        }
    }
}

/// Reads keys from files that only their owner can read: root, or the user who runs this.
///
/// # Errors
/// For each file [`KeyFileError`]; the file's contents are in none of them.
pub(super) fn read_all(paths: BTreeSet<PathBuf>) -> BTreeMap<PathBuf, Result<Key, KeyFileError>> {
    // With all its room from the start: a vector that grows leaves copies behind.
    let room = usize::try_from(FILE_LIMIT).expect("a kibibyte fits") + 1;
    let empty = || Zeroizing::new(Vec::with_capacity(room));
    let key = |contents: Zeroizing<Vec<u8>>| Ok(Key::read(&contents)?);
    let files = settled_file::read_all(paths, open, FILE_LIMIT, empty);
    files.into_iter().map(|(path, contents)| (path, contents.and_then(key))).collect()
}

fn open(path: &Path) -> Result<File, KeyFileError> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(ReadError::from)?;
    // What was opened is looked at, so that nobody can put another file in its place in between.
    check(&file.metadata().map_err(ReadError::from)?)?;
    Ok(file)
}

fn check(metadata: &Metadata) -> Result<(), KeyFileError> {
    if !metadata.is_file() {
        return Err(KeyFileError::NoFile);
    }
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(KeyFileError::Open { mode });
    }
    let ours = rustix::process::geteuid().as_raw();
    match metadata.uid() {
        0 => Ok(()),
        owner if owner == ours => Ok(()),
        owner => Err(KeyFileError::Foreign { owner }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config_file::settled_file::tests::{Scratch, write_in_blocks};

    const DIGITS: &str = "hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";

    fn read(path: &Path) -> Result<Key, KeyFileError> {
        read_all(BTreeSet::from([path.to_owned()])).remove(path).unwrap()
    }

    #[test]
    fn a_key_is_read_from_a_file_that_only_its_owner_can_read() {
        for mode in [0o600, 0o400] {
            let file = Scratch::new(DIGITS, mode);
            assert_eq!(read(&file.0).unwrap(), Key::read(DIGITS.as_bytes()).unwrap());
        }
    }

    #[test]
    fn a_file_that_others_can_read_or_change_is_refused_with_what_to_do() {
        for mode in [0o640, 0o604, 0o620, 0o602, 0o644] {
            let file = Scratch::new(DIGITS, mode);
            let error = read(&file.0).unwrap_err();
            assert!(error.to_string().contains(&format!("its mode is {mode:04o}")), "{error}");
            assert!(error.help(&file.0).starts_with("chmod 600 /"), "{}", error.help(&file.0));
        }
    }

    #[test]
    fn what_is_in_a_file_stands_in_no_error() {
        let file = Scratch::new("hex:5ecre7", 0o600);
        let error = read(&file.0).unwrap_err();
        let told = format!("{error} {error:?} {}", error.help(&file.0));
        assert!(!told.contains("5ec"), "{told}");
    }

    #[test]
    fn the_first_half_of_a_key_is_not_taken_for_the_key() {
        let key = "the first half, 32 octets, is a key as well as all of the 64 are";
        let file = Scratch::new("", 0o600);
        let writer = write_in_blocks(&file.0, key);
        let read = read(&file.0).unwrap();
        let pause = writer.join().unwrap();
        assert!(read == Key::read(key.as_bytes()).unwrap() || !pause.is_short(), "{pause:?}");
    }

    #[test]
    fn folders_and_devices_are_no_key_files() {
        assert!(matches!(read(Path::new("/dev/zero")), Err(KeyFileError::NoFile)));
        assert!(matches!(read(Path::new("/")), Err(KeyFileError::NoFile)));
    }
}
