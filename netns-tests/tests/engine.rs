//! The engine's thread: what the kernel gives it, and what is told when it comes too late.

use std::fs;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use lab::{Namespace, Process, Signal, wait_until};
use netns_tests::{LIMIT, Pair, VIRTUAL, WEB, pair};

/// A second's interval: what is stopped for two seconds is late, and nobody takes over.
const SLOW: &str = r#"
[virtual_router.web]
interface = "eth0"
virtual_router_id = 51
virtual_addresses = ["10.77.0.50/24"]
"#;

/// One test after the other: who is late is to be late for its own test's sake.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the kernel says of the engine's thread.
#[derive(Debug, PartialEq, Eq)]
struct Thread {
    /// 0: `SCHED_OTHER`, 1: `SCHED_FIFO`.
    policy: u32,
    realtime_priority: u32,
    processors: String,
    is_locked: bool,
}

/// Looks at the thread called `engine` of whatever runs in a namespace (`proc_pid_stat(5)`, `proc_pid_status(5)`).
fn engine_in(machine: &Namespace) -> Option<Thread> {
    let processes = machine.processes().unwrap_or_else(|error| panic!("{error}"));
    let tasks =
        processes.into_iter().filter_map(|process| fs::read_dir(format!("/proc/{process}/task")).ok());
    let mut tasks = tasks.flatten().flatten().map(|task| task.path());
    let task =
        tasks.find(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "engine\n"))?;
    let stat = fs::read_to_string(task.join("stat")).ok()?;
    // The name in brackets is the second field; what follows is counted from the third.
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let status = fs::read_to_string(task.join("status")).ok()?;
    let line = |key: &str| Some(status.lines().find_map(|line| line.strip_prefix(key))?.trim().to_owned());
    Some(Thread {
        policy: fields[41 - 3].parse().ok()?,
        realtime_priority: fields[40 - 3].parse().ok()?,
        processors: line("Cpus_allowed_list:")?,
        is_locked: line("VmLck:")? != "0 kB",
    })
}

#[track_caller]
fn wait_for_engine(machine: &Namespace, expected: &Thread) {
    let mut seen = None;
    let waited = wait_until("The engine's precedence", LIMIT, || {
        seen = engine_in(machine);
        Ok(seen.as_ref() == Some(expected))
    });
    waited.unwrap_or_else(|error| panic!("{error}: {seen:?} instead of {expected:?}"));
}

#[test]
fn the_engine_has_the_precedence_the_memory_and_the_processors_that_it_is_configured() {
    let _turn = turn();
    let engine = "[engine]\nrealtime_priority = 20\nprocessors = [0]\n";
    let mut pair = Pair::idle(&pair(&[engine, WEB]));
    pair.start("lb1").wait_for("became_active", &[], LIMIT);
    let processors = || "0".to_owned();
    let configured = Thread { policy: 1, realtime_priority: 20, processors: processors(), is_locked: true };
    wait_for_engine(pair.machine("lb1"), &configured);
    let told = pair.daemon("lb1").status().engine;
    assert_eq!((told.realtime_priority, told.memory_locked, told.processors), (Some(20), true, vec![0]));

    let engine = "[engine]\nrealtime_priority = 0\nlock_memory = false\nprocessors = [0]\n";
    pair.configure(&netns_tests::pair(&[engine, WEB]));
    pair.daemon("lb1").hang_up(LIMIT);
    let ordinary = Thread { policy: 0, realtime_priority: 0, processors: processors(), is_locked: false };
    wait_for_engine(pair.machine("lb1"), &ordinary);
    assert_eq!(pair.daemon("lb1").transitions(), Vec::<String>::new());
}

#[test]
fn what_the_kernel_refuses_the_engine_is_told_with_what_to_do_and_it_does_without() {
    let _turn = turn();
    let mut pair = Pair::idle(&pair(&["[engine]\nprocessors = [1023]\n", WEB]));
    let unprivileged = ["setpriv", "--bounding-set=-sys_nice,-sys_resource,-ipc_lock"];
    let daemon = pair.launch_by("lb1", &unprivileged);
    for (setting, advice) in [
        ("realtime_priority", "LimitRTPRIO=10"),
        ("lock_memory", "LimitMEMLOCK=infinity"),
        ("processors", "{1023}"),
    ] {
        let refused = daemon.wait_for("engine_setting_refused", &[("setting", setting)], LIMIT);
        assert!(refused.field("message").contains(advice), "{refused:?}");
    }
    pair.wait_for_holder(VIRTUAL, "lb1");
    let told = pair.daemon("lb1").status().engine;
    assert_eq!((told.realtime_priority, told.memory_locked), (None, false));
}

#[test]
fn an_engine_that_came_too_late_says_so_once_and_why() {
    let _turn = turn();
    let mut pair = Pair::elected(&pair(&[SLOW, "advert_interval = \"2s\"\n"]), VIRTUAL);
    // Late by an interval from here: half of one is what is told, and half an interval later the guard would be heard.
    pair.wait_to_hear("lb2", 1);
    pair.machine("lb1").signal_all(Signal::STOP).unwrap();
    thread::sleep(Duration::from_secs(4));
    pair.machine("lb1").signal_all(Signal::CONT).unwrap();
    let late = pair.daemon("lb1").wait_for("engine_late", &[("reason", "stopped")], LIMIT);
    let told: f64 = late.field("milliseconds").parse().unwrap();
    assert!(told > 500.0, "{late:?}");
    pair.wait_to_hear("lb2", 3);

    let engine = pair.daemon("lb1").status().engine;
    assert!(engine.late >= 1 && engine.deadlines > engine.late, "{engine:?}");
    let counted: u64 = engine.lateness_histogram.iter().map(|bucket| bucket.count).sum();
    assert_eq!(counted, engine.deadlines);
    let lateness = engine.lateness_milliseconds.unwrap();
    // The log counts in whole microseconds.
    assert!(lateness.max > told - 0.001 && lateness.p50 < told, "{lateness:?} {late:?}");
    let text = pair.daemon("lb1").ask(&["status"]).output;
    assert!(text.contains("engine with real-time priority 10, memory locked; "), "{text}");
}

/// Keeps the first processor from every ordinary process for a few seconds, but not from an engine with precedence.
fn hog(pair: &Pair) -> Process {
    let mut command = Command::new("timeout");
    command.args([
        "4",
        "chrt",
        "--fifo",
        "5",
        "taskset",
        "--cpu-list",
        "0",
        "sh",
        "-c",
        "while :; do :; done",
    ]);
    pair.machine("lb1").spawn("hog", &mut command).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn an_engine_with_precedence_advertises_while_others_keep_its_processor_busy() {
    let _turn = turn();
    // A starved engine is silent for 950 ms of each second, longer than three of these; a virtual machine's processor may stand
    // still for one or two.
    let engine = "[engine.node.lb1]\nprocessors = [0]\n";
    let mut pair = Pair::elected(&pair(&[engine, &WEB.replace("100ms", "200ms")]), VIRTUAL);
    let mut hog = hog(&pair);
    hog.wait(LIMIT).unwrap();
    assert_eq!(pair.daemon("lb2").transitions(), ["became_backup"]);
}

#[test]
fn an_engine_without_precedence_says_that_it_was_starved() {
    let _turn = turn();
    // The kernel leaves ordinary threads a twentieth of each second. Late is what is so by half an interval, and after three the
    // guard would give the role up in the engine's place.
    let slower = "advert_interval = \"500ms\"\n[engine.node.lb1]\nprocessors = [0]\nrealtime_priority = 0\n";
    let mut pair = Pair::elected(&pair(&[SLOW, slower]), VIRTUAL);
    let _hog = hog(&pair);
    pair.daemon("lb1").wait_for("engine_late", &[("reason", "starved")], LIMIT);
}
