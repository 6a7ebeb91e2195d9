//! The number in a file.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use thiserror::Error;

/// How long the text of a number may be, in bytes.
const TEXT_LIMIT: usize = 64;

/// Why a file says no number.
#[derive(Debug, Error)]
pub enum NumberError {
    /// It is not there.
    #[error("the file is not there")]
    Absent,
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// It is a folder, a pipe or the like.
    #[error("is no file")]
    NoFile,
    /// It holds something else, or nothing.
    #[error("{0:?} is no whole number")]
    NoNumber(String),
    /// It holds more than a number.
    #[error("is longer than {TEXT_LIMIT} bytes")]
    TooLong,
}

/// Returns the number in a file, with white space around it; waits for the file system.
///
/// # Errors
/// [`NumberError`] when there is none.
pub fn read(path: &Path) -> Result<i32, NumberError> {
    // Opening a pipe that nobody writes to would wait for ever.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = opened.map_err(|error| {
        if error.kind() == ErrorKind::NotFound { NumberError::Absent } else { NumberError::Unreadable(error) }
    })?;
    if !file.metadata().map_err(NumberError::Unreadable)?.is_file() {
        return Err(NumberError::NoFile);
    }
    let mut bytes = Vec::new();
    file.take(TEXT_LIMIT as u64 + 1).read_to_end(&mut bytes).map_err(NumberError::Unreadable)?;
    if bytes.len() > TEXT_LIMIT {
        return Err(NumberError::TooLong);
    }
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    text.parse().map_err(|_| NumberError::NoNumber(text))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_says_one_whole_number_or_why_it_does_not() {
        let folder = std::env::temp_dir().join(format!("baton-number-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let file = folder.join("number");
        let said = |text: &str| {
            fs::write(&file, text).unwrap();
            read(&file).map_err(|error| error.to_string())
        };
        assert_eq!(said("-60\n"), Ok(-60));
        assert_eq!(said(" +7 "), Ok(7));
        assert_eq!(said(""), Err("\"\" is no whole number".to_owned()));
        assert_eq!(said("1.5"), Err("\"1.5\" is no whole number".to_owned()));
        assert_eq!(said(&"1".repeat(70)), Err("is longer than 64 bytes".to_owned()));
        assert!(matches!(read(&folder.join("absent")), Err(NumberError::Absent)));
        assert!(matches!(read(&folder), Err(NumberError::NoFile)));
        fs::remove_dir_all(&folder).unwrap();
    }
}
