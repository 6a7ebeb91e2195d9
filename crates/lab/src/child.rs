//! A child process that is watched and signalled by its descriptor, so that no recycled id is ever hit.

use std::os::fd::OwnedFd;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{Error, Result, command};

/// A running program; it is killed and reaped when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    name: String,
    process: std::process::Child,
    descriptor: OwnedFd,
}

impl Child {
    /// Starts a program; the name stands for it in messages.
    pub(crate) fn spawn(name: String, command: &mut Command) -> Result<Self> {
        let started = command.spawn();
        let process = started.map_err(|source| Error::Start { command: command::line(command), source })?;
        let descriptor = pidfd_open(Pid::from_child(&process), PidfdFlags::empty())
            .map_err(|source| Error::system(format!("watch process {name}"))(source.into()))?;
        Ok(Self { name, process, descriptor })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn id(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    /// Sends a signal; one to a process that has ended is no error.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        match pidfd_send_signal(&self.descriptor, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(source) => Err(Error::system(format!("send {signal:?} to {}", self.name))(source.into())),
        }
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.process.try_wait().map_err(Error::system(format!("ask about {}", self.name)))
    }

    /// Kills it and waits for its end.
    pub(crate) fn kill(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        self.reap()
    }

    /// Waits for its end, at most that long.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).expect("limits are far below 2^63 seconds");
            match poll(&mut [PollFd::new(&self.descriptor, PollFlags::IN)], Some(&timeout)) {
                Ok(0) => return Err(Error::TimedOut { what: format!("The end of {}", self.name), limit }),
                Ok(_) => return self.reap(),
                Err(rustix::io::Errno::INTR) => {}
                Err(source) => return Err(Error::system(format!("wait for {}", self.name))(source.into())),
            }
        }
    }

    fn reap(&mut self) -> Result<ExitStatus> {
        self.process.wait().map_err(Error::system(format!("wait for {}", self.name)))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("lab: {error}");
        }
    }
}
