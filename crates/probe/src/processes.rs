//! How many processes of a name run, and when one of them ends.

use std::future::{pending, poll_fn};
use std::io::ErrorKind;
use std::path::Path;
use std::task::Poll;
use std::{fs, io};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::net::unix::pipe::Receiver;

/// How many processes are watched for their end; of more, the end is seen when they are counted next.
const WATCHED_LIMIT: usize = 64;

/// How much of a process's name the kernel keeps, in bytes (`TASK_COMM_LEN` less its NUL, `linux/sched.h`).
const KEPT_NAME_LENGTH: usize = 15;

/// The processes of one name, as they were when they were counted.
#[derive(Debug)]
pub struct Processes {
    count: u32,
    /// A process's descriptor becomes readable when it ends, `pidfd_open(2)`.
    watched: Vec<Receiver>,
}

impl Processes {
    /// Counts the running processes whose program, or whose name of their own, is called so.
    ///
    /// # Errors
    /// The system's, when `/proc` cannot be read or lists nobody.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub fn named(name: &str) -> io::Result<Self> {
        Self::listed_in(Path::new("/proc"), name)
    }

    fn listed_in(folder: &Path, name: &str) -> io::Result<Self> {
        let mut processes = Self { count: 0, watched: Vec::new() };
        let mut is_anybody_there = false;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let number = entry.file_name().to_str().and_then(|number| number.parse().ok());
            let Some(process) = number.and_then(Pid::from_raw) else { continue };
            is_anybody_there = true;
            if !is_named(&entry.path(), name)? || has_ended(&entry.path())? {
                continue;
            }
            processes.count += 1;
            if processes.watched.len() < WATCHED_LIMIT {
                // A kernel that cannot watch processes leaves it at counting them again and again.
                let descriptor = pidfd_open(process, PidfdFlags::NONBLOCK).map_err(io::Error::from);
                // It can be waited for as if it were a pipe, which is all that is done with it.
                processes.watched.extend(descriptor.and_then(Receiver::from_owned_fd_unchecked).ok());
            }
        }
        // Whoever counts is a process too.
        if !is_anybody_there {
            return Err(io::Error::other("it lists no process; is it mounted?"));
        }
        Ok(processes)
    }

    /// Returns how many there were.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Waits until one of them ends; for ever while none is there. Cancel safe.
    pub async fn ended(&self) {
        if self.watched.is_empty() {
            return pending().await;
        }
        let mut ends: Vec<_> = self.watched.iter().map(|process| Box::pin(process.readable())).collect();
        poll_fn(|context| {
            let one_has = ends.iter_mut().any(|end| end.as_mut().poll(context).is_ready());
            if one_has { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Tells whether a process is called so; one that ended meanwhile is not.
fn is_named(process: &Path, name: &str) -> io::Result<bool> {
    let own = said(&process.join("comm"))?;
    let own = own.strip_suffix(b"\n").unwrap_or(&own);
    if own == name.as_bytes() {
        return Ok(true);
    }
    // The kernel cuts long names off, and an interpreter's name is not that of its program.
    let may_be_cut = name.len() > KEPT_NAME_LENGTH && name.as_bytes().starts_with(own);
    if !may_be_cut && own.len() == KEPT_NAME_LENGTH {
        return Ok(false);
    }
    let command = said(&process.join("cmdline"))?;
    let program = command.split(|&byte| byte == 0).next().unwrap_or_default();
    Ok(program.rsplit(|&byte| byte == b'/').next() == Some(name.as_bytes()))
}

/// Tells whether a process only waits for its parent to take notice of its end (state Z, proc(5)).
fn has_ended(process: &Path) -> io::Result<bool> {
    let status = said(&process.join("stat"))?;
    // Its name, before it in brackets, may hold brackets too.
    let state = status.rsplit(|&byte| byte == b')').next().unwrap_or_default().trim_ascii_start();
    Ok(matches!(state, [] | [b'Z' | b'X', ..]))
}

/// Returns what the kernel says of a process; nothing of one that has ended or that it does not show.
fn said(file: &Path) -> io::Result<Vec<u8>> {
    let gone = |error: &io::Error| {
        matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied)
            || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
    };
    fs::read(file).or_else(|error| if gone(&error) { Ok(Vec::new()) } else { Err(error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proc_that_is_not_mounted_is_no_word_that_nothing_runs() {
        let folder = std::env::temp_dir().join(format!("baton-no-proc-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let empty = Processes::listed_in(&folder, "named").unwrap_err();
        fs::remove_dir(&folder).unwrap();
        assert_eq!(empty.to_string(), "it lists no process; is it mounted?");
        assert!(Processes::listed_in(&folder, "named").is_err());
    }
}
