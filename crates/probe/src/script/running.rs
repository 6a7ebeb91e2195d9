//! A program that runs, with all that it started.

use std::io::{self, ErrorKind, pipe};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use node::script::Script;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout_at};

use super::last_words::LastWords;
use super::user::{Change, User};

/// How long a script may take to tidy up after it was told to end.
pub const TERMINATION_TIME: Duration = Duration::from_secs(2);

/// How long the kernel may take to end what it was told to kill: more than the memory of a large program takes.
const DEATH_TIME: Duration = Duration::from_secs(1);

/// How much a script may write, in bytes; beyond it nobody reads, so that writing fails and one that writes for ever
/// costs nothing.
pub const OUTPUT_LIMIT: usize = 1024 * 1024;

/// How often it is looked whether a script that was told to end has.
const LOOK: Duration = Duration::from_millis(10);

/// Where programs are looked for by scripts that name them without their path.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that runs, with all that it started; dropping it kills them.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    /// The process group, until the program has ended and its number may be another's.
    group: Option<Pid>,
    /// What it writes, until it has written too much or nobody is left to write.
    output: Option<Receiver>,
    read: usize,
    last_words: LastWords,
    ending: Ending,
}

/// How far its end has been brought about.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// It was left to itself.
    Unasked,
    /// It was told to end, and is killed then.
    Asked { until: Instant },
    /// It was killed then.
    Killed { at: Instant },
}

/// How far a program is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Waited {
    Exited { code: i32, said: String },
    Killed { signal: i32, said: String },
    StillRuns { said: String },
}

impl Running {
    /// Starts the program; waits for its file system.
    pub(super) fn start(script: &Script, user: &User, variables: &[(String, String)]) -> io::Result<Self> {
        // One pipe for both, so that what is said stays in its order.
        let (reader, writer) = pipe()?;
        let mut command = Command::new(script.program());
        command
            .args(script.arguments())
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", &user.home)
            .env("USER", &user.name)
            .env("LOGNAME", &user.name)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .kill_on_drop(true);
        match user.change {
            // This drops the daemon's other groups as well.
            Change::Needed => {
                command.gid(user.gid).uid(user.uid);
            }
            Change::Needless => {}
        }
        let child = command.spawn().map_err(|error| explained(error, user))?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let output = Some(Receiver::from_owned_fd(reader.into())?);
        Ok(Self { child, group, output, read: 0, last_words: LastWords::default(), ending: Ending::Unasked })
    }

    /// Waits until the program ends by itself or the time is up. What it started in the background is left to itself.
    pub(super) async fn wait_until(&mut self, deadline: Instant) -> io::Result<Waited> {
        let waited = timeout_at(deadline, async {
            loop {
                tokio::select! {
                    status = self.child.wait() => return status,
                    () = readable(self.output.as_ref()) => {}
                }
                self.read_what_waits();
            }
        })
        .await;
        if let Ok(status) = waited {
            let status = status?;
            self.group = None;
            self.read_the_rest();
            return Ok(ended(status, self.last_words.text()));
        }
        self.read_the_rest();
        Ok(Waited::StillRuns { said: self.last_words.text() })
    }

    /// Has the whole group end, by force where it does not by itself. Cancel safe.
    pub(super) async fn end(&mut self) {
        if let Some(group) = self.group {
            let until = self.ask_to_end(group);
            // As long as nobody has asked for its exit code, its number is no one else's.
            while !has_ended(group) && Instant::now() < until {
                self.read_what_waits();
                sleep(LOOK).await;
            }
            self.kill();
        }
        // That it cannot be waited for means that it is gone.
        let _ = self.child.wait().await;
    }

    /// Tells whether it was killed and ought to be gone since.
    pub(super) fn resists_death(&self) -> bool {
        match self.ending {
            Ending::Unasked | Ending::Asked { .. } => false,
            Ending::Killed { at } => at.elapsed() >= DEATH_TIME,
        }
    }

    /// Tells the group to end, once, and returns when its time for that is up.
    fn ask_to_end(&mut self, group: Pid) -> Instant {
        match self.ending {
            Ending::Unasked => {
                // One that is gone already needs no signal.
                let _ = kill_process_group(group, Signal::TERM);
                let until = Instant::now() + TERMINATION_TIME;
                self.ending = Ending::Asked { until };
                until
            }
            Ending::Asked { until } => until,
            Ending::Killed { at } => at,
        }
    }

    fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            // One that is gone already needs no signal.
            let _ = kill_process_group(group, Signal::KILL);
            self.ending = Ending::Killed { at: Instant::now() };
        }
    }

    fn read_what_waits(&mut self) {
        self.read_by(Receiver::try_read);
    }

    /// Reads what was written up to the end, of which the reactor may not have heard yet.
    fn read_the_rest(&mut self) {
        self.read_by(|output, buffer| Ok(rustix::io::read(output, buffer)?));
    }

    fn read_by(&mut self, read: impl Fn(&Receiver, &mut [u8]) -> io::Result<usize>) {
        let mut buffer = [0; 4096];
        while let Some(output) = &self.output {
            match read(output, &mut buffer) {
                Ok(length) if length > 0 && self.read < OUTPUT_LIMIT => {
                    self.read += length;
                    self.last_words.add(&buffer[..length]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => self.output = None,
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn readable(output: Option<&Receiver>) {
    match output {
        // Whatever is wrong with it shows when it is read.
        Some(output) => drop(output.readable().await),
        None => std::future::pending().await,
    }
}

fn has_ended(child: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(child), options), Ok(None))
}

fn ended(status: ExitStatus, said: String) -> Waited {
    match status.signal() {
        Some(signal) => Waited::Killed { signal, said },
        None => Waited::Exited { code: status.code().expect("what no signal ended has a code"), said },
    }
}

/// Says what the system's short reasons mean here.
fn explained(error: io::Error, user: &User) -> io::Error {
    let words = match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::NOEXEC) => {
            "it is neither a program nor a script whose first line is like #!/bin/sh".to_owned()
        }
        Some(rustix::io::Errno::NOENT) => {
            "the interpreter that its first line names does not exist".to_owned()
        }
        Some(rustix::io::Errno::PERM) => {
            format!("the daemon lacks the right to run as {}: give it CAP_SETUID and CAP_SETGID", user.name)
        }
        Some(_) | None => return error,
    };
    io::Error::new(error.kind(), words)
}
