//! How processes are counted by their name.

#![allow(clippy::unwrap_used, reason = "a test program tells by a panic what it could not set up")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use probe::processes::Processes;
use tokio::time::timeout;

/// Long enough for anything that happens.
const AMPLE: Duration = Duration::from_secs(30);

/// A program that nobody else runs.
struct Program(PathBuf);

impl Program {
    fn named(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{name}{}", std::process::id()));
        // A process is called by the link that it was started by.
        std::os::unix::fs::symlink("/bin/sleep", &path).unwrap();
        Self(path)
    }

    fn name(&self) -> &str {
        self.0.file_name().unwrap().to_str().unwrap()
    }

    fn start(&self) -> Running {
        let child = Command::new(&self.0).arg("1000").stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Running(child.unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Ends when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until so many processes run under their new name, which a process gets a moment after it is started.
async fn counted(program: &Program, count: u32) -> Processes {
    let reached = async {
        loop {
            let processes = Processes::named(program.name()).unwrap();
            if processes.count() == count {
                return processes;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(AMPLE, reached)
        .await
        .unwrap_or_else(|_| panic!("{} is never there {count} times", program.name()))
}

#[tokio::test]
async fn running_processes_of_a_name_are_counted_and_no_zombies() {
    for program in [Program::named("bt"), Program::named("a-name-longer-than-15-bytes-")] {
        counted(&program, 0).await;
        let (first, mut second) = (program.start(), program.start());
        counted(&program, 2).await;
        // Nobody asks for its exit code yet.
        second.0.kill().unwrap();
        counted(&program, 1).await;
        drop((first, second));
        counted(&program, 0).await;
    }
}

#[tokio::test]
async fn that_a_process_ends_is_seen_at_once() {
    let program = Program::named("bw");
    let (first, second) = (program.start(), program.start());
    let seen = counted(&program, 2).await;
    assert!(timeout(Duration::from_millis(50), seen.ended()).await.is_err());
    drop(second);
    timeout(AMPLE, seen.ended()).await.unwrap();
    drop(first);
}
