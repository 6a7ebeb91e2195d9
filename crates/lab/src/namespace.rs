//! A network namespace: one machine of the lab, as far as the network is concerned.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{Error, Process, Result, command};

/// Where `ip netns` keeps the named namespaces.
const DIRECTORY: &str = "/run/netns";
/// Each namespace of a lab is called `baton-<process id>-<number>-<label>`.
const PREFIX: &str = "baton-";

/// A network namespace with its loopback up.
///
/// When it is dropped the processes inside are killed and the namespace is deleted.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace whose name ends with the label and is used by nobody else.
    ///
    /// The first one of a process also deletes those that labs killed before left behind.
    ///
    /// # Errors
    /// When `ip` is missing or refuses, which without root it does.
    pub fn new(label: &str) -> Result<Self> {
        static SWEEP: Once = Once::new();
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        SWEEP.call_once(sweep);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}-{label}", std::process::id());
        command::run(Command::new("ip").args(["netns", "add", &name]))?;
        let namespace = Self { name };
        namespace.batch("link set lo up\n")?;
        Ok(namespace)
    }

    /// The name, as `ip netns exec` wants it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a closure on a thread inside the namespace and waits for it.
    ///
    /// A socket opened there stays in the namespace, whichever thread uses it later.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let path = self.path();
        thread::scope(|scope| {
            let inside = scope.spawn(|| enter_this_thread(&path).map(|()| work()));
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Starts a named thread that lives inside the namespace.
    ///
    /// # Errors
    /// When the thread cannot be started; the thread's own result says when it could not enter.
    pub fn spawn_thread<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<Result<T>>> {
        let path = self.path();
        let inside = move || enter_this_thread(&path).map(|()| work());
        let builder = thread::Builder::new().name(name.to_owned());
        builder.spawn(inside).map_err(Error::system(format!("start thread {name}")))
    }

    /// Runs a program inside, to its end, and returns what it wrote, whatever its exit status.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn output(&self, command: &mut Command) -> Result<Output> {
        self.enter(|| command::output(command))?
    }

    /// Runs a command line inside that has to succeed, and returns its standard output.
    ///
    /// # Errors
    /// When it cannot be started or reports failure.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        self.enter(|| command::run(&mut command::command(words)))?
    }

    /// Starts a program inside that goes on running; the label names it in messages and its log.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self, label: &str, command: &mut Command) -> Result<Process> {
        let name = format!("{}-{label}", self.name);
        self.enter(|| Process::start(name, command))?
    }

    /// Sets a kernel parameter inside, such as `net/ipv4/ip_forward`.
    ///
    /// # Errors
    /// When the kernel has no such parameter or refuses the value.
    pub fn set_sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys").join(key);
        self.enter(|| fs::write(path, value))?
            .map_err(Error::system(format!("set {key} to {value} in {}", self.name)))
    }

    /// Reads a kernel parameter inside, without the line's end.
    ///
    /// # Errors
    /// When the kernel has no such parameter.
    pub fn sysctl(&self, key: &str) -> Result<String> {
        let path = Path::new("/proc/sys").join(key);
        let text = self
            .enter(|| fs::read_to_string(path))?
            .map_err(Error::system(format!("read {key} in {}", self.name)))?;
        Ok(text.trim_end().to_owned())
    }

    /// The processes that run inside.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn processes(&self) -> Result<Vec<Pid>> {
        processes_in(&self.path())
    }

    /// The processor time that all processes inside have had so far, all of their threads together.
    ///
    /// # Errors
    /// When `/proc` cannot be read, or a process ends meanwhile.
    pub fn processor_time(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for process in self.processes()? {
            let tasks = format!("/proc/{}/task", process.as_raw_nonzero());
            let unreadable = || Error::system(format!("read {tasks}"));
            for task in fs::read_dir(&tasks).map_err(unreadable())?.flatten() {
                let text = fs::read_to_string(task.path().join("schedstat")).map_err(unreadable())?;
                let run = text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
                nanoseconds += run.ok_or_else(|| unreadable()(io::ErrorKind::InvalidData.into()))?;
            }
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Sends one signal to every process inside: `Signal::STOP` is the stall of a whole machine.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn signal_all(&self, signal: Signal) -> Result<()> {
        for process in self.processes()? {
            // A process that ended meanwhile needs no signal.
            let _ = rustix::process::kill_process(process, signal);
        }
        Ok(())
    }

    /// Runs many `ip` commands, one per line, in one go.
    pub(crate) fn batch(&self, lines: &str) -> Result<()> {
        command::run_with_input(Command::new("ip").args(["-n", &self.name, "-batch", "-"]), lines).map(drop)
    }

    fn path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(&self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = delete(&self.name) {
            eprintln!("lab: {error}");
        }
    }
}

fn enter_this_thread(path: &Path) -> Result<()> {
    let enter = || {
        let namespace = File::open(path)?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(())
    };
    enter().map_err(Error::system(format!("enter namespace {}", path.display())))
}

fn delete(name: &str) -> Result<()> {
    for process in processes_in(&Path::new(DIRECTORY).join(name))? {
        // A process that ended meanwhile needs no signal.
        let _ = rustix::process::kill_process(process, Signal::KILL);
    }
    command::run(Command::new("ip").args(["netns", "del", name])).map(drop)
}

/// Deletes the namespaces of labs whose process is gone; what cannot be deleted is left to the next one.
fn sweep() {
    let Ok(entries) = fs::read_dir(DIRECTORY) else { return };
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let Some(owner) = owner.and_then(|owner| owner.parse::<u32>().ok()) else { continue };
        if !Path::new("/proc").join(owner.to_string()).exists() {
            let _ = delete(&name);
        }
    }
}

/// The processes whose namespace is the given one, but for this one.
fn processes_in(namespace: &Path) -> Result<Vec<Pid>> {
    let failed = |path: &Path| Error::system(format!("read {}", path.display()));
    let wanted = fs::metadata(namespace).map_err(failed(namespace))?;
    let proc = Path::new("/proc");
    let mut found = Vec::new();
    for entry in fs::read_dir(proc).map_err(failed(proc))?.flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(process) = number.and_then(Pid::from_raw) else { continue };
        let same = fs::metadata(entry.path().join("ns/net"))
            .is_ok_and(|seen| seen.ino() == wanted.ino() && seen.dev() == wanted.dev());
        if same && process != rustix::process::getpid() {
            found.push(process);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_loopback_inside_is_not_the_host_s() {
        let (one, other) = (Namespace::new("one").unwrap(), Namespace::new("other").unwrap());
        let listener = one.enter(|| TcpListener::bind("127.0.0.1:8000")).unwrap().unwrap();
        assert!(other.enter(|| TcpListener::bind("127.0.0.1:8000")).unwrap().is_ok());
        assert!(one.enter(|| TcpListener::bind("127.0.0.1:8000")).unwrap().is_err());
        drop(listener);
    }

    #[test]
    fn parameters_are_set_inside_only() {
        let (one, other) = (Namespace::new("one").unwrap(), Namespace::new("other").unwrap());
        one.set_sysctl("net/ipv4/ip_forward", "1").unwrap();
        other.set_sysctl("net/ipv4/ip_forward", "0").unwrap();
        assert_eq!(one.sysctl("net/ipv4/ip_forward").unwrap(), "1");
        assert_eq!(other.sysctl("net/ipv4/ip_forward").unwrap(), "0");
        assert!(one.set_sysctl("net/ipv4/no_such_thing", "1").is_err());
    }

    #[test]
    fn a_failed_command_says_what_it_complained_about() {
        let namespace = Namespace::new("complaint").unwrap();
        let error = namespace.run(&["ip", "link", "show", "nosuchlink"]).unwrap_err().to_string();
        assert!(error.contains("ip link show nosuchlink") && error.contains("does not exist"), "{error}");
    }

    #[test]
    fn dropping_kills_what_runs_inside_and_deletes_the_namespace() {
        let namespace = Namespace::new("dropped").unwrap();
        let path = namespace.path();
        let mut sleeper = namespace.spawn("sleep", Command::new("sleep").arg("1000")).unwrap();
        assert_eq!(namespace.processes().unwrap(), [sleeper.id()]);
        drop(namespace);
        assert!(!path.exists());
        let status = sleeper.wait(Duration::from_secs(5)).unwrap();
        assert!(!status.success());
    }

    #[test]
    fn a_thread_lives_inside() {
        let namespace = Namespace::new("thread").unwrap();
        let listener = namespace.enter(|| TcpListener::bind("127.0.0.1:8000")).unwrap().unwrap();
        let thread = namespace.spawn_thread("client", || std::net::TcpStream::connect("127.0.0.1:8000"));
        assert!(thread.unwrap().join().unwrap().unwrap().is_ok());
        drop(listener);
    }
}
