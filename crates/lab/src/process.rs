//! A daemon that runs inside a namespace.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::child::Child;
use crate::family;
use crate::{Error, Result, wait_until};

/// A running program whose output goes to a log file.
///
/// When it is dropped it is killed; the log is printed first if a test is failing.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program in the namespace of the calling thread.
    pub(crate) fn start(name: String, command: &mut Command) -> Result<Self> {
        let (log, file) = new_file(&name)?;
        let other = file.try_clone().map_err(Error::system(format!("open {} twice", log.display())))?;
        let child = Child::spawn(name, command.stdin(Stdio::null()).stdout(file).stderr(other))?;
        Ok(Self { child, log })
    }

    /// The process id.
    pub fn id(&self) -> Pid {
        self.child.id()
    }

    /// Everything it has written to its standard output and standard error so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The file its output goes to.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Waits until its log contains a text.
    ///
    /// # Errors
    /// When it has not within the limit, or ends without having written it.
    pub fn wait_for_log(&mut self, text: &str, limit: Duration) -> Result<()> {
        let what = format!("`{text}` in the log of {}", self.child.name());
        let mut ended = false;
        let seen = wait_until(&what, limit, || {
            // The order matters: what is written before the end is seen in the look after the end.
            ended = self.child.ended()?.is_some();
            Ok(self.log().contains(text) || ended)
        });
        if seen.is_ok() && !self.log().contains(text) {
            let reason = format!("it ended without writing `{text}`:\n{}", self.log());
            return Err(Error::Answer { command: self.child.name().to_owned(), reason });
        }
        seen.map(drop)
    }

    /// Whether it still runs; a stopped process does.
    ///
    /// # Errors
    /// When the operating system cannot say.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.ended()?.is_none())
    }

    /// Sends a signal; one to a process that has ended is no error.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.child.signal(signal)
    }

    /// Stops it and all that it has started where they stand, as a stalled machine would (SIGSTOP).
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn pause(&self) -> Result<()> {
        // The parent first, so that it sees nothing of what happens to the others.
        self.signal(Signal::STOP)?;
        family::signal(self.id(), Signal::STOP)
    }

    /// Lets them go on after [`Process::pause`] (SIGCONT).
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn resume(&self) -> Result<()> {
        family::signal(self.id(), Signal::CONT)?;
        self.signal(Signal::CONT)
    }

    /// Kills it and all that it has started at once, as the loss of a machine would (SIGKILL), and waits for its end.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        if self.is_running()? {
            self.pause()?;
            family::kill(self.id())?;
        }
        self.child.kill()
    }

    /// Kills it alone (SIGKILL) and waits for its end; what it has started lives on.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill_alone(&mut self) -> Result<ExitStatus> {
        self.child.kill()
    }

    /// Sends a signal to all that it has started, and not to itself.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn signal_descendants(&self, signal: Signal) -> Result<()> {
        family::signal(self.id(), signal)
    }

    /// The processes that it has started and that still run, with those that these have started.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn descendants(&self) -> Result<Vec<Pid>> {
        family::descendants(self.id())
    }

    /// Asks it to end (SIGTERM) and waits for that.
    ///
    /// # Errors
    /// When it has not ended within the limit.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(limit)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it has not ended within the limit.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.child.wait(limit)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("lab: {error}");
        }
        if std::thread::panicking() {
            eprintln!("--- log of {}\n{}---", self.child.name(), self.log());
        }
        // A log that cannot be removed is only litter in the temporary folder.
        let _ = fs::remove_file(&self.log);
    }
}

/// A file in the temporary folder that nobody else has: others of this lab may look for one at the same time.
fn new_file(name: &str) -> Result<(PathBuf, File)> {
    let folder = std::env::temp_dir();
    for number in 0_u32.. {
        let path = folder.join(format!("{name}-{number}.log"));
        match File::create_new(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::system(format!("create {}", path.display()))(error)),
        }
    }
    unreachable!("there are more numbers than processes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Namespace;

    const LIMIT: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_is_readable_while_it_runs() {
        let namespace = Namespace::new("output").unwrap();
        let mut process =
            namespace.spawn("talker", &mut shell("echo out; echo err >&2; sleep 1000")).unwrap();
        process.wait_for_log("err", LIMIT).unwrap();
        assert_eq!(process.log(), "out\nerr\n");
        assert!(process.is_running().unwrap());
    }

    #[test]
    fn waiting_for_what_is_never_written_ends_with_the_process() {
        let namespace = Namespace::new("silent").unwrap();
        let mut process = namespace.spawn("brief", &mut shell("echo something else")).unwrap();
        let error = process.wait_for_log("ready", LIMIT).unwrap_err().to_string();
        assert!(error.contains("something else"), "{error}");
    }

    #[test]
    fn a_paused_process_does_not_end_before_it_is_resumed() {
        let namespace = Namespace::new("pause").unwrap();
        let mut process = namespace
            .spawn("trap", &mut shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done"))
            .unwrap();
        process.wait_for_log("ready", LIMIT).unwrap();
        process.pause().unwrap();
        let early = process.terminate(Duration::from_millis(200)).unwrap_err();
        assert!(matches!(early, Error::TimedOut { .. }), "{early}");
        process.resume().unwrap();
        assert_eq!(process.wait(LIMIT).unwrap().code(), Some(7));
    }

    #[test]
    fn what_a_killed_process_has_started_is_gone_too() {
        let namespace = Namespace::new("family").unwrap();
        let mut process = namespace.spawn("parent", &mut shell("sleep 1000 & echo ready; wait")).unwrap();
        process.wait_for_log("ready", LIMIT).unwrap();
        let started = process.descendants().unwrap();
        assert_eq!(started.len(), 1);
        process.kill().unwrap();
        let is_gone = || Ok(rustix::process::test_kill_process(started[0]).is_err());
        wait_until("The end of the child", LIMIT, is_gone).unwrap();
    }

    #[test]
    fn a_killed_process_is_gone() {
        let namespace = Namespace::new("kill").unwrap();
        let mut process = namespace.spawn("sleep", &mut shell("exec sleep 1000")).unwrap();
        assert_eq!(process.kill().unwrap().code(), None);
        assert!(!process.is_running().unwrap());
        process.signal(Signal::TERM).unwrap();
    }
}
