//! Reads files that somebody may be writing at this moment, and takes no part of one for the whole.
//!
//! Editors, `cp`, `scp` and Ansible may write a file in place: it is cut to nothing and grows again in steps. What has been
//! written of a configuration by then may be valid, and mean something else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use host::clock::now;
use thiserror::Error;

/// How long a file has to stay as it is before it counts as written: a writer pauses for less between two blocks, and
/// nobody who asks for a reload notices.
const REST: Duration = Duration::from_millis(50);

/// What was changed this long ago has rested, however coarsely its file system keeps time: the coarsest, FAT, counts in
/// steps of 2 s.
const LONG_AGO: Duration = Duration::from_secs(3);

/// How long files are waited for that somebody goes on writing: long enough for a large one to come to its end, short
/// enough for people who wait for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a file was not read.
#[derive(Debug, Error)]
pub(super) enum ReadError {
    /// The system refuses.
    #[error(transparent)]
    System(#[from] io::Error),
    /// Somebody goes on writing it.
    #[error("it is being written: it changed whenever it was read, for {} s", PATIENCE.as_secs())]
    BeingWritten,
}

/// Reads a file, up to `limit` bytes, as [`read_all`] does.
///
/// # Errors
/// [`ReadError`], and what `open` returns.
pub(super) fn read<E: From<ReadError>>(
    path: &Path,
    open: impl Fn(&Path) -> Result<File, E>,
    limit: u64,
) -> Result<Vec<u8>, E> {
    read_all(BTreeSet::from([path.to_owned()]), open, limit, Vec::new)
        .remove(path)
        .expect("what is asked for is returned")
}

/// Reads files, each up to `limit` bytes, into what `empty` returns. It blocks while one of them is being written.
///
/// Regular files that may have changed a moment ago are watched before they are read, all of them at the same time. Those
/// whose size or time of change is another one afterwards are watched and read again. Pipes and devices are read once:
/// nobody can read them twice.
///
/// # Errors
/// For each file [`ReadError`], and what `open` returns.
pub(super) fn read_all<C: AsMut<Vec<u8>>, E: From<ReadError>>(
    mut paths: BTreeSet<PathBuf>,
    open: impl Fn(&Path) -> Result<File, E>,
    limit: u64,
    empty: impl Fn() -> C,
) -> BTreeMap<PathBuf, Result<C, E>> {
    let end = now() + PATIENCE;
    let mut outcomes = BTreeMap::new();
    let mut rest = Duration::ZERO;
    while !paths.is_empty() {
        let stamps: Vec<_> = paths.into_iter().map(|path| (Stamp::at(&path), path)).collect();
        if stamps.iter().any(|(before, _)| before.is_some_and(Stamp::is_fresh)) {
            rest = REST;
        }
        thread::sleep(rest);
        paths = BTreeSet::new();
        for (before, path) in stamps {
            let contents = match open(&path).map(|file| read_once(&file, before, limit, empty())) {
                Ok(Ok(Some(contents))) => Ok(contents),
                Ok(Ok(None)) if now() < end => {
                    paths.insert(path);
                    continue;
                }
                Ok(Ok(None)) => Err(ReadError::BeingWritten.into()),
                Ok(Err(error)) => Err(ReadError::System(error).into()),
                Err(error) => Err(error),
            };
            outcomes.insert(path, contents);
        }
        // What was found torn is being written, whatever its age says.
        rest = REST;
    }
    outcomes
}

/// Returns what is in a file; nothing if that may never have stood there at one time.
fn read_once<C: AsMut<Vec<u8>>>(
    file: &File,
    before: Option<Stamp>,
    limit: u64,
    mut contents: C,
) -> io::Result<Option<C>> {
    let opened = Stamp::of(&file.metadata()?)?;
    let octets = file.take(limit).read_to_end(contents.as_mut())?;
    let is_whole = |opened: Stamp| before == Some(opened) && octets as u64 == opened.size.min(limit);
    let has_rested = Stamp::of(&file.metadata()?)? == opened && opened.is_none_or(is_whole);
    Ok(has_rested.then_some(contents))
}

/// What differs after a regular file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    changed: SystemTime,
}

impl Stamp {
    /// Returns that of what stands at a path, if it can be looked at. It is not opened: a pipe's writer would notice.
    fn at(path: &Path) -> Option<Self> {
        Self::of(&fs::metadata(path).ok()?).ok()?
    }

    /// Returns that of a regular file; nothing else has one.
    fn of(metadata: &Metadata) -> io::Result<Option<Self>> {
        if !metadata.is_file() {
            return Ok(None);
        }
        Ok(Some(Self { size: metadata.len(), changed: metadata.modified()? }))
    }

    /// Tells whether the file may have changed a moment ago. One from the future, as after a step of the clock, may have.
    fn is_fresh(self) -> bool {
        self.changed.elapsed().map_or(true, |age| age < LONG_AGO)
    }
}

#[cfg(test)]
pub(super) mod tests;
