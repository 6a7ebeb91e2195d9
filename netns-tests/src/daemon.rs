//! A running `baton run`, and the commands that an operator gives it.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use lab::{Namespace, Pid, Process, Result, Signal, wait_until};

use crate::{Event, NodeStatus, RouterStatus, baton};

/// Where a node's files are: what every command has to be told.
#[derive(Clone, Debug)]
pub struct Place {
    /// The configuration file.
    pub config: PathBuf,
    /// The node's name in it.
    pub node: String,
    /// The daemon's socket.
    pub socket: PathBuf,
}

/// What a command of the operator's ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The exit code.
    pub code: i32,
    /// What it wrote to its standard output.
    pub output: String,
    /// What it wrote to its standard error.
    pub complaint: String,
}

impl Place {
    /// A command with the three options that every command takes.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(baton());
        command.args(words).arg("--config").arg(&self.config).arg("--socket").arg(&self.socket);
        command.args(["--node", &self.node]);
        command
    }

    /// Runs a command of the operator's inside a namespace, to its end.
    ///
    /// # Panics
    /// When it cannot be started or is killed.
    #[track_caller]
    pub fn ask_in(&self, namespace: &Namespace, words: &[&str]) -> Answer {
        Answer::new(namespace.output(&mut self.command(words)).unwrap_or_else(|error| panic!("{error}")))
    }

    /// Runs a command that only speaks to the daemon or reads files, to its end.
    ///
    /// # Panics
    /// When it cannot be started or is killed.
    #[track_caller]
    pub fn ask(&self, words: &[&str]) -> Answer {
        Answer::new(
            self.command(words).output().unwrap_or_else(|error| panic!("Cannot start baton: {error}")),
        )
    }
}

impl Answer {
    #[track_caller]
    fn new(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("baton writes UTF-8");
        Self {
            code: output.status.code().unwrap_or_else(|| panic!("baton ended with {}", output.status)),
            output: text(output.stdout),
            complaint: text(output.stderr),
        }
    }
}

/// A running daemon; it is killed when this is dropped.
#[derive(Debug)]
pub struct Daemon {
    place: Place,
    process: Process,
    /// How many events [`Daemon::wait_for`] does not look at any more.
    passed: usize,
}

impl Daemon {
    /// Starts one inside a namespace, without waiting for anything.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start(namespace: &Namespace, place: Place) -> Self {
        Self::start_by(namespace, place, &[])
    }

    /// Starts one inside a namespace by another program, such as `setpriv` with its options, that becomes the daemon.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start_by(namespace: &Namespace, place: Place, starter: &[&str]) -> Self {
        let run = place.command(&["run", "--log-format", "json"]);
        let mut command = match starter {
            [] => run,
            [program, options @ ..] => {
                let mut command = Command::new(program);
                command.args(options).arg(run.get_program()).args(run.get_args());
                command
            }
        };
        let process = namespace.spawn("baton", &mut command).unwrap_or_else(|error| panic!("{error}"));
        Self { place, process, passed: 0 }
    }

    /// The running process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The process that its guard, which is [`Self::process`], has started.
    ///
    /// # Panics
    /// When there is none, or more than one.
    #[track_caller]
    pub fn engine(&self) -> Pid {
        let descendants = self.process.descendants().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(descendants.len(), 1, "{descendants:?}");
        descendants[0]
    }

    /// Sends a signal to the process that its guard has started, and not to the guard.
    ///
    /// # Panics
    /// When the operating system refuses.
    #[track_caller]
    pub fn signal_engine(&self, signal: Signal) {
        self.process.signal_descendants(signal).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Where its files are.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Runs a command that only speaks to the daemon, such as `reload`.
    ///
    /// # Panics
    /// When it cannot be started or is killed.
    #[track_caller]
    pub fn ask(&self, words: &[&str]) -> Answer {
        self.place.ask(words)
    }

    /// How it is, by `baton status --json`.
    ///
    /// # Panics
    /// When it does not answer, or something else than a status.
    #[track_caller]
    pub fn status(&self) -> NodeStatus {
        let answer = self.ask(&["status", "--json"]);
        assert_eq!(answer.code, 0, "{}", answer.complaint);
        serde_json::from_str(&answer.output).unwrap_or_else(|error| panic!("{error}: {}", answer.output))
    }

    /// How one of its virtual routers is.
    ///
    /// # Panics
    /// When it has no such virtual router or does not answer.
    #[track_caller]
    pub fn router(&self, name: &str) -> RouterStatus {
        let mut status = self.status();
        let found = status.virtual_routers.remove(name);
        found.unwrap_or_else(|| panic!("no virtual router {name} in {status:?}"))
    }

    /// Waits until it answers its socket.
    ///
    /// # Errors
    /// When it does not within the limit, or ends.
    pub fn wait_for_socket(&mut self, limit: Duration) -> Result<()> {
        let (socket, process) = (self.place.socket.clone(), &mut self.process);
        let answers =
            || Ok(std::os::unix::net::UnixStream::connect(&socket).is_ok() || !process.is_running()?);
        wait_until("The daemon's socket", limit, answers).map(drop)
    }

    /// Everything it has told since it was started.
    pub fn events(&self) -> Vec<Event> {
        Event::all(&self.process.log())
    }

    /// What it has told since the last [`Daemon::look_from_now`].
    pub fn new_events(&self) -> Vec<Event> {
        self.events().split_off(self.passed)
    }

    /// Makes [`Daemon::wait_for`] and [`Daemon::new_events`] look at what comes from now on only.
    pub fn look_from_now(&mut self) {
        self.passed = self.events().len();
    }

    /// Waits for an event with these fields and returns it.
    ///
    /// # Panics
    /// When none comes within the limit.
    #[track_caller]
    pub fn wait_for(&self, name: &str, fields: &[(&str, &str)], limit: Duration) -> Event {
        let mut found = None;
        let what = format!("The event {name} {fields:?} on {}", self.place.node);
        let waited = wait_until(&what, limit, || {
            found = self.new_events().into_iter().find(|event| event.is(name, fields));
            Ok(found.is_some())
        });
        waited.unwrap_or_else(|error| panic!("{error}"));
        found.expect("the wait ended because it was found")
    }

    /// The names of the transitions that it has told since the last [`Daemon::look_from_now`].
    pub fn transitions(&self) -> Vec<String> {
        let names =
            ["became_active", "became_backup", "router_stopped", "router_faulted", "router_recovered"];
        let events = self.new_events().into_iter();
        events.map(|event| event.name).filter(|name| names.contains(&name.as_str())).collect()
    }

    /// Reads its configuration again by a signal, and returns when it has.
    ///
    /// # Panics
    /// When it does not tell within the limit that it has.
    #[track_caller]
    pub fn hang_up(&mut self, limit: Duration) -> Event {
        self.look_from_now();
        self.process.signal(Signal::HUP).unwrap_or_else(|error| panic!("{error}"));
        self.wait_for("reloaded", &[], limit)
    }

    /// Asks it to end, and waits for that.
    ///
    /// # Panics
    /// When it does not end within the limit, or reports failure.
    #[track_caller]
    pub fn stop(&mut self, limit: Duration) {
        let status = self.process.terminate(limit).unwrap_or_else(|error| panic!("{error}"));
        assert!(status.success(), "it ended with {status}:\n{}", self.process.log());
    }
}
