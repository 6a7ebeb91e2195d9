//! Reads files that somebody may be writing at this moment, and takes no part of one for the whole.
//!
//! Editors, `cp`, `scp` and Ansible may write a file in place: it is cut to nothing and grows again in steps. What has been
//! written of a configuration by then may be valid, and mean something else.

use std::fs::File;
use std::io::{self, Read};
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

/// How long a file is waited for that somebody goes on writing: long enough for a large one to come to its end, short
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

/// Reads a file, up to `limit` bytes, into `contents`, whose room is used first. It blocks while the file is being written.
///
/// A regular file that may have changed a moment ago is watched before it is read. Where its size or its time of change is
/// another one afterwards, it is opened and read again. Pipes and devices are read once: nobody can read them twice.
///
/// # Errors
/// [`ReadError`], and what `open` returns.
pub(super) fn read<E: From<ReadError>>(
    open: impl Fn() -> Result<File, E>,
    limit: u64,
    contents: &mut Vec<u8>,
) -> Result<(), E> {
    let end = now() + PATIENCE;
    loop {
        let file = open()?;
        contents.clear();
        match read_once(&file, limit, contents).map_err(ReadError::System)? {
            Extent::Whole => return Ok(()),
            Extent::Torn if now() >= end => return Err(ReadError::BeingWritten.into()),
            Extent::Torn => thread::sleep(REST),
        }
    }
}

/// How much of a file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    Whole,
    /// What was read may never have stood there at one time.
    Torn,
}

fn read_once(file: &File, limit: u64, contents: &mut Vec<u8>) -> io::Result<Extent> {
    let before = Stamp::of(file)?;
    if before.is_some_and(Stamp::is_fresh) {
        thread::sleep(REST);
    }
    file.take(limit).read_to_end(contents)?;
    let Some(before) = before else { return Ok(Extent::Whole) };
    let is_whole = contents.len() as u64 == before.size.min(limit) && Stamp::of(file)? == Some(before);
    Ok(if is_whole { Extent::Whole } else { Extent::Torn })
}

/// What differs after a regular file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    changed: SystemTime,
}

impl Stamp {
    /// Returns that of a regular file; nothing else has one.
    fn of(file: &File) -> io::Result<Option<Self>> {
        let metadata = file.metadata()?;
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
