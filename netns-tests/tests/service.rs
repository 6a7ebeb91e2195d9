//! `config/baton.service`: a node that has what the unit grants it, and nothing else.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use lab::kernel::{Guest, Needs, TestKernel};
use lab::{Signal, wait_until};
use netns_tests::{LIMIT, Pair, VIRTUAL, WEB, baton, pair};

const UNIT: &str = include_str!("../../config/baton.service");
/// Where the unit expects the program.
const INSTALLED: &str = "/usr/bin/baton";

/// What needs each of the unit's rights: sockets, addresses, drops, and programs of another user, one of which has to be
/// killed. No lease ends while a test runs.
const EVERYTHING: &str = r#"
track = ["well", "hung"]

[engine]
address_lease = "1h"

[track.well]
script = ["/bin/true"]
interval = "100ms"

[track.hung]
script = ["/bin/sh", "-c", "echo $$ >> $HERE/hung; exec sleep 1000"]
interval = "500ms"
timeout = "200ms"
weight = -1

[hook.test]
virtual_routers = ["web"]
on = ["active"]
command = ["/bin/sh", "-c", "cat /proc/self/status > $HERE/$BATON_NODE"]

[virtual_router.closed]
interface = "eth0"
virtual_router_id = 52
advert_interval = "100ms"
virtual_addresses = ["10.77.0.60/24"]
accept = false
"#;
const CLOSED: &str = "10.77.0.60";

/// The user `nobody`.
const NOBODY: &str = "65534";

/// What follows a key in the unit, line by line (`systemd.syntax(7)`).
fn values(key: &str) -> impl Iterator<Item = &'static str> {
    UNIT.lines().filter_map(move |line| line.strip_prefix(key)?.strip_prefix('='))
}

/// What the unit has the program do at an occasion.
#[track_caller]
fn words(occasion: &str) -> Vec<&'static str> {
    let command = values(occasion).next().unwrap_or_else(|| panic!("The unit has no {occasion}"));
    let words = command.strip_prefix(INSTALLED).unwrap_or_else(|| panic!("{occasion} runs {command}"));
    words.split_whitespace().collect()
}

/// What becomes a program with the unit's capabilities and its umask, as systemd does (`systemd.exec(5)`).
fn rights() -> Vec<String> {
    let capabilities = values("CapabilityBoundingSet").flat_map(str::split_whitespace);
    let granted = capabilities.map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase()));
    let mut starter = vec!["setpriv".to_owned(), "--inh-caps=-all".to_owned()];
    starter.push(format!("--bounding-set=-all{}", granted.collect::<String>()));
    starter.extend(values("NoNewPrivileges").map(|value| {
        assert_eq!(value, "yes");
        "--no-new-privs".to_owned()
    }));
    let mask = values("UMask").next().expect("the unit has a umask");
    starter.extend(["sh", "-c", &format!("umask {mask} && exec \"$@\""), "sh"].map(str::to_owned));
    starter
}

/// What sets the unit's limits; others stay as the kernel has them, who grants neither of those that the engine needs.
fn limits() -> Vec<String> {
    let given = UNIT.lines().filter_map(|line| line.strip_prefix("Limit")?.split_once('='));
    let options = given
        .map(|(name, limit)| format!("--{}={}", name.to_lowercase(), limit.replace("infinity", "unlimited")));
    std::iter::once("prlimit".to_owned()).chain(options).collect()
}

/// Starts a node by what becomes the unit's program.
#[track_caller]
fn launch(pair: &mut Pair, node: &str, starter: &[String]) {
    assert_eq!(words("ExecStart"), ["run"]);
    pair.launch_by(node, &starter.iter().map(String::as_str).collect::<Vec<_>>());
    pair.daemon(node).wait_for_socket(LIMIT).unwrap_or_else(|error| panic!("{error}"));
}

/// A pair that needs all the rights of the unit, and the folder that its programs write to.
#[track_caller]
fn idle() -> (Pair, PathBuf) {
    let pair = Pair::idle("");
    let said = pair.folder().path().join("said");
    let allow = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
    let made = fs::create_dir(&said).and_then(|()| allow(&said, 0o777));
    made.and_then(|()| allow(pair.folder().path(), 0o755)).unwrap_or_else(|error| panic!("{error}"));
    let everything = EVERYTHING.replace("$HERE", &said.to_string_lossy());
    pair.configure(&netns_tests::pair(&[WEB, &everything]));
    (pair, said)
}

/// The same, elected with the rights of the unit.
#[track_caller]
fn elected() -> (Pair, PathBuf) {
    let (mut pair, said) = idle();
    for node in ["lb1", "lb2"] {
        launch(&mut pair, node, &rights());
    }
    pair.wait_for_holder_of_all(&[VIRTUAL, CLOSED], "lb1");
    pair.wait_to_hear("lb2", 1);
    (pair, said)
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let pair = Pair::idle("");
    let unit = UNIT.replace(INSTALLED, &baton().to_string_lossy());
    let unit = pair.folder().write("baton.service", &unit);
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(unit).output().unwrap();
    // What it says of units that the machine has besides is not ours to mend.
    let complaint = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && !complaint.contains("baton.service"), "{complaint}");
}

#[test]
fn a_pair_with_the_rights_of_the_unit_does_all_that_a_pair_does() {
    let (mut pair, said) = elected();
    let client = pair.ping(VIRTUAL);
    pair.machine("client").run(&["ping", "-c", "1", "-W", "1", CLOSED]).unwrap_err();
    pair.wait_for_neighbour(CLOSED, "lb1");

    // A program runs as another user, without any of the capabilities.
    let hook = [("hook", "test"), ("state", "active")];
    pair.daemon("lb1").wait_for("hook_succeeded", &hook, LIMIT);
    let status = fs::read_to_string(said.join("lb1")).unwrap();
    let field =
        |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap().split_whitespace();
    assert_eq!(field("Uid:").collect::<Vec<_>>(), [NOBODY; 4]);
    assert_eq!(field("CapEff:").chain(field("CapPrm:")).collect::<Vec<_>>(), ["0000000000000000"; 2]);
    // One that hangs is killed.
    pair.daemon("lb1").wait_for("track_timed_out", &[("track", "hung")], LIMIT);
    let is_gone = |process: &str| !Path::new("/proc").join(process).exists();
    let first_is_gone = || {
        let hung = fs::read_to_string(said.join("hung")).unwrap_or_default();
        Ok(hung.lines().next().is_some_and(is_gone))
    };
    wait_until("The end of what hangs", LIMIT, first_is_gone).unwrap();

    let reload = pair.daemon("lb1").ask(&words("ExecReload"));
    assert_eq!(reload.code, 0, "{reload:?}");

    // As systemd stops a unit: every process of it is told.
    let begin = Instant::now();
    pair.machine("lb1").signal_all(Signal::TERM).unwrap();
    let stopped = pair.daemon("lb1").process().wait(LIMIT).unwrap();
    assert!(stopped.success(), "{stopped}: {}", pair.daemon("lb1").process().log());
    pair.wait_for_holder_of_all(&[VIRTUAL, CLOSED], "lb2");
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    let seen = client.stop().unwrap().since(begin);
    assert_eq!(seen.lost(), 0, "{seen}");
}

#[test]
fn what_the_unit_runs_after_a_death_of_all_processes_leaves_nothing_behind() {
    let (mut pair, _said) = elected();
    pair.daemon("lb1").process().kill().unwrap();
    for address in [VIRTUAL, CLOSED] {
        pair.wait_for_holders(address, &["lb1", "lb2"]);
    }
    let clean = pair.place("lb1").command(&words("ExecStopPost"));
    let [program, options @ ..] = &rights()[..] else { panic!("nothing starts a program with rights") };
    let mut command = Command::new(program);
    command.args(options).arg(clean.get_program()).args(clean.get_args());
    let cleaned = pair.machine("lb1").output(&mut command).unwrap();
    assert!(cleaned.status.success(), "{cleaned:?}");
    assert_eq!([VIRTUAL, CLOSED].map(|address| pair.holders(address)), [["lb2"]; 2]);
    let tables = pair.machine("lb1").run(&["nft", "list", "tables"]).unwrap();
    assert!(!tables.contains("baton"), "{tables}");
}

/// The system calls that the unit's filter lets through. A set (`@name`) stands for others, and for sets again.
fn allowed_calls() -> BTreeSet<String> {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut names: Vec<_> = values("SystemCallFilter").flat_map(words).collect();
    let mut calls = BTreeSet::new();
    while let Some(name) = names.pop() {
        assert!(!name.starts_with('~'), "{name} is a list of what is forbidden, not of what is let through");
        if name.starts_with('@') {
            let set = Command::new("systemd-analyze").args(["syscall-filter", &name]).output();
            let set = set.unwrap_or_else(|error| panic!("Cannot start systemd-analyze: {error}"));
            let members = String::from_utf8_lossy(&set.stdout);
            names.extend(members.lines().skip(1).filter(|line| !line.contains('#')).flat_map(words));
        } else {
            calls.insert(name);
        }
    }
    calls
}

/// A call that the filter lacks would end the daemon (`SIGSYS`), a family that is not let through cost it a socket.
#[test]
fn the_filters_of_the_unit_let_through_all_that_a_daemon_asks_the_kernel_for() {
    let (mut pair, said) = idle();
    let trace = pair.folder().path().join("trace");
    let tracer = ["strace", "-D", "-f", "-q", "-e", "signal=none", "-o", &trace.to_string_lossy()];
    launch(&mut pair, "lb1", &[tracer.map(str::to_owned).to_vec(), rights()].concat());
    pair.wait_for_holder_of_all(&[VIRTUAL, CLOSED], "lb1");
    let lb1 = pair.daemon("lb1");
    lb1.wait_for("hook_succeeded", &[("hook", "test")], LIMIT);
    lb1.wait_for("track_timed_out", &[("track", "hung")], LIMIT);
    assert!(said.join("lb1").exists());
    lb1.ask(&words("ExecReload"));
    lb1.stop(LIMIT);

    let guard = lb1.process().id().as_raw_nonzero().to_string();
    let asked = || fs::read_to_string(&trace).unwrap_or_default();
    let is_end = |line: &str| line.starts_with(&guard) && line.contains("+++ exited");
    wait_until("The end of the trace", LIMIT, || Ok(asked().lines().any(is_end))).unwrap();
    let asked = asked();
    let calls = asked.lines().filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('('));
    let calls: Vec<_> = calls.filter(|(name, _)| !name.contains(' ')).collect();
    let names: BTreeSet<_> = calls.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert!(names.contains("sched_setscheduler"), "{names:?}");
    assert_eq!(names.difference(&allowed_calls()).collect::<Vec<_>>(), [""; 0]);

    let families = calls.iter().filter(|(name, _)| *name == "socket");
    let families: BTreeSet<_> = families.filter_map(|(_, rest)| Some(rest.split_once(',')?.0)).collect();
    let allowed = values("RestrictAddressFamilies").flat_map(str::split_whitespace).collect();
    assert_eq!(families.difference(&allowed).copied().collect::<Vec<_>>(), [""; 0]);
    assert!(families.contains("AF_PACKET"), "{families:?}");
}

/// Needs a kernel that lets root raise limits; a container's root may not, and is root on a test kernel.
#[test]
fn the_engine_has_its_priority_and_its_locked_memory_by_the_limits_of_the_unit() {
    let [program, options @ ..] = &limits()[..] else { panic!("nothing sets limits") };
    let raised = Command::new(program).args(options).arg("true").output().unwrap();
    if !raised.status.success() {
        assert_eq!(TestKernel::running(), None, "{raised:?}");
        return in_guest(the_engine_has_its_priority_and_its_locked_memory_by_the_limits_of_the_unit);
    }
    let mut pair = Pair::idle(&pair(&[WEB]));
    launch(&mut pair, "lb1", &[limits(), rights()].concat());
    pair.wait_for_holder(VIRTUAL, "lb1");
    let daemon = pair.daemon("lb1");
    let engine = daemon.status().engine;
    assert_eq!((engine.realtime_priority, engine.memory_locked), (Some(10), true), "{:?}", daemon.events());
    assert!(!daemon.events().iter().any(|event| event.is("engine_setting_refused", &[])));
}

/// Runs one of these tests on a test kernel.
#[track_caller]
fn in_guest<Test: Fn()>(_test: Test) {
    let name = std::any::type_name::<Test>().rsplit("::").next().unwrap_or_default();
    let results = concat!(env!("CARGO_TARGET_TMPDIR"), "/service");
    let kernel = TestKernel::quickest(Needs::Ipvs).unwrap_or_else(|error| panic!("{error}"));
    println!("Here limits cannot be raised: it runs in {kernel}.");
    let guest = Guest::new(kernel, results).limit(4 * LIMIT).variable("BATON", baton().to_string_lossy());
    let program = std::env::current_exe().expect("a running program has a path");
    let ended = guest.run(&program, &["--exact", name]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ended, 0, "{name} failed in {kernel}; its console is above");
}
