//! A log that takes no more: nothing that matters waits for it.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;

use lab::Process;
use netns_tests::{LIMIT, Pair, VIRTUAL, WEB, pair};
use rustix::fs::OFlags;

/// Another address of [`WEB`]'s.
const SECOND: &str = "10.77.0.51";

/// Starts a node whose log goes to a file of the test's.
fn start_with_log(pair: &Pair, node: &str, log: &Path) -> Process {
    let run = pair.place(node).command(&["run", "--log-format", "json"]);
    let mut command = Command::new("sh");
    command.args(["-c", "log=$1; shift; exec \"$@\" >\"$log\"", "sh"]).arg(log);
    command.arg(run.get_program()).args(run.get_args());
    pair.machine(node).spawn("baton", &mut command).unwrap_or_else(|error| panic!("{error}"))
}

/// Whatever becomes of its log, a node is elected, reloads, and hands over without a lost request.
fn assert_serves_without_log(mut pair: Pair, log: &Path) {
    let mut lb1 = start_with_log(&pair, "lb1", log);
    pair.start("lb2");
    pair.wait_for_holder(VIRTUAL, "lb1");
    let client = pair.ping(VIRTUAL);
    pair.wait_to_hear("lb2", 5);

    pair.configure(&netns_tests::pair(&[
        &WEB.replace("[\"10.77.0.50/24\"]", "[\"10.77.0.50/24\", \"10.77.0.51/24\"]")
    ]));
    let answer = pair.place("lb1").ask(&["reload"]);
    assert_eq!(answer.code, 0, "{}", answer.complaint);
    pair.wait_for_holder(SECOND, "lb1");

    let status = lb1.terminate(LIMIT).unwrap_or_else(|error| panic!("{error}"));
    assert!(status.success(), "{status}");
    pair.wait_for_holder(VIRTUAL, "lb2");
    let seen = client.stop().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(seen.lost(), 0, "{seen}");
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let pair = Pair::idle(&pair(&[WEB]));
    let path = pair.folder().path().join("log");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let mut nonblocking = OpenOptions::new();
    nonblocking.read(true).write(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let mut pipe: File = nonblocking.open(&path).unwrap();
    while pipe
        .write(b"nobody reads this\n")
        .map_err(|error| assert_eq!(error.kind(), ErrorKind::WouldBlock))
        .is_ok()
    {}
    assert_serves_without_log(pair, &path);
}

#[test]
fn a_log_on_a_full_disk_holds_nothing_up() {
    assert_serves_without_log(Pair::idle(&pair(&[WEB])), Path::new("/dev/full"));
}
