//! A process that cannot be killed, as one that waits for a dead disk.

use std::fs;
use std::path::Path;
use std::process::Command;

use lab::{Namespace, Process, Signal, wait_until};

use crate::LIMIT;

/// A tracer that has stopped: what it traces can be killed, and is not gone while the tracer does not look (ptrace(2)).
#[derive(Debug)]
pub struct StoppedTracer(Process);

impl StoppedTracer {
    /// Traces the process whose number is in a file. It may end before; then the next one is traced.
    ///
    /// # Panics
    /// When `strace` is missing or there is no such process.
    #[track_caller]
    pub fn of_process_in(file: &Path, machine: &Namespace) -> Self {
        let mut found = None;
        let waited = wait_until("A process to trace", LIMIT, || {
            let Ok(process) = fs::read_to_string(file) else { return Ok(false) };
            let process = process.trim();
            let mut command = Command::new("strace");
            let mut tracer =
                machine.spawn("strace", command.args(["-qq", "-o", "/dev/null", "-p", process]))?;
            let line = format!("TracerPid:\t{}\n", tracer.id());
            let status = Path::new("/proc").join(process).join("status");
            let is_traced = || fs::read_to_string(&status).is_ok_and(|text| text.contains(&line));
            wait_until("The tracer", LIMIT, || Ok(is_traced() || !tracer.is_running()?))?;
            tracer.signal(Signal::STOP)?;
            if is_traced() {
                found = Some(Self(tracer));
            }
            Ok(found.is_some())
        });
        waited.unwrap_or_else(|error| panic!("{error}"));
        found.expect("the wait ended because it was found")
    }

    /// Ends the tracer, and with it what it kept.
    ///
    /// # Panics
    /// When the operating system refuses.
    #[track_caller]
    pub fn let_go(mut self) {
        self.0.kill().unwrap_or_else(|error| panic!("{error}"));
    }
}
