//! The processes that a process has started.

use std::fs;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use crate::{Error, Result};

/// Sends a signal to all that a process has started, and to what these have; those that have ended are no error.
pub(crate) fn signal(parent: Pid, signal: Signal) -> Result<()> {
    for process in descendants(parent)? {
        match kill_process(process, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(source) => {
                let what = format!("send {signal:?} to process {}", process.as_raw_nonzero());
                return Err(Error::system(what)(source.into()));
            }
        }
    }
    Ok(())
}

/// Kills all that a process has started, and what these have, and waits until they are gone.
pub(crate) fn kill(parent: Pid) -> Result<()> {
    let killed = Error::system("kill what a process has started".to_owned());
    let opened = descendants(parent)?.into_iter().map(|process| pidfd_open(process, PidfdFlags::empty()));
    // One that cannot be opened is gone already.
    let descriptors: Vec<_> = opened.filter_map(std::result::Result::ok).collect();
    for descriptor in &descriptors {
        match pidfd_send_signal(descriptor, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(source) => return Err(killed(source.into())),
        }
    }
    for descriptor in &descriptors {
        while let Err(source) = poll(&mut [PollFd::new(descriptor, PollFlags::IN)], None) {
            if source != Errno::INTR {
                return Err(killed(source.into()));
            }
        }
    }
    Ok(())
}

/// The processes that a process has started and that still run, with those that these have started.
pub(crate) fn descendants(parent: Pid) -> Result<Vec<Pid>> {
    let entries = fs::read_dir("/proc").map_err(Error::system("list the processes".to_owned()))?;
    // One that ends meanwhile is not there to be read any more.
    let parents: Vec<(Pid, Pid)> = entries
        .filter_map(|entry| {
            let process = Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?)?;
            Some((process, running_parent(process)?))
        })
        .collect();
    let mut found = vec![parent];
    for position in 0.. {
        let Some(&parent) = found.get(position) else { break };
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(process, _)| *process));
    }
    Ok(found.split_off(1))
}

/// The parent of a process, by `proc_pid_stat(5)`; nothing of one that is dead already.
fn running_parent(process: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).ok()?;
    // The name before may have any character in it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let is_running = !matches!(fields.next()?, "Z" | "X");
    Pid::from_raw(fields.next()?.parse().ok()?).filter(|_| is_running)
}
