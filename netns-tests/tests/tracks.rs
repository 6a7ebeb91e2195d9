//! What else has to be well: an interface, a script, a process, a number in a file.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lab::wait_until;
use netns_tests::{LIMIT, Pair, StoppedTracer, VIRTUAL, WEB, pair};

/// At the default interval of a second a Backup of priority 100 waits 610 ms after a release.
const SLOW_WEB: &str = r#"
[virtual_router.web]
interface = "eth0"
virtual_router_id = 51
virtual_addresses = ["10.77.0.50/24"]
track = ["check"]
"#;

const TRACK: &str = "track = [\"check\"]\n[track.check]\n";

/// A pair in whose folder a file is that any user may read.
fn idle(config: impl FnOnce(&str) -> String) -> Pair {
    let pair = Pair::idle("");
    let folder = pair.folder().path().to_owned();
    allow(&folder, 0o755);
    pair.configure(&config(&folder.to_string_lossy()));
    pair
}

fn allow(path: &Path, mode: u32) {
    let allowed = fs::set_permissions(path, PermissionsExt::from_mode(mode));
    allowed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn wait_for_priority(pair: &mut Pair, node: &str, sum: &str) {
    let daemon = pair.daemon(node);
    let waited = wait_until(sum, LIMIT, || Ok(daemon.router("web").priority_sum == sum));
    waited.unwrap_or_else(|error| panic!("{error}: {:?}", daemon.router("web")));
}

#[test]
fn an_active_whose_tracked_interface_loses_its_carrier_is_succeeded_without_a_lost_request() {
    let config = pair(&[SLOW_WEB, "[track.check]\ninterface = \"eth1\""]);
    let mut pair = Pair::elected(&config, VIRTUAL);
    let client = pair.ping(VIRTUAL);
    let cut = Instant::now();
    pair.lab().port("lb1", "eth1").carrier_off().unwrap();
    pair.daemon("lb1").wait_for("track_down", &[("track", "check")], LIMIT);
    pair.daemon("lb1").wait_for("handed_over", &[("peer", "10.77.0.12")], LIMIT);
    pair.daemon("lb1").wait_for("router_faulted", &[("reason", "track_down")], LIMIT);
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    assert_eq!(pair.holders(VIRTUAL), ["lb2"]);
    let seen = client.stop().unwrap().since(cut);
    assert_eq!(seen.lost(), 0, "{seen}");

    let status = pair.daemon("lb1").ask(&["status"]).output;
    assert!(status.contains("track check is down: eth1 is down or has no carrier"), "{status}");
    pair.lab().port("lb1", "eth1").carrier_on().unwrap();
    pair.daemon("lb1").wait_for("track_up", &[("track", "check")], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
}

#[test]
fn a_script_that_fails_takes_the_role_away_and_says_why() {
    let mut pair = idle(|folder| {
        let script =
            format!("script = [\"/bin/sh\", \"-c\", \"cat {folder}/well\"]\ninterval = \"100ms\"\nfall = 2");
        pair(&[WEB, TRACK, &script])
    });
    let well = pair.folder().write("well", "");
    allow(&well, 0o644);
    pair.start("lb1");
    pair.wait_for_holder(VIRTUAL, "lb1");
    fs::remove_file(&well).unwrap();
    let event = pair.daemon("lb1").wait_for("track_down", &[("track", "check")], LIMIT);
    assert!(event.field("reason").starts_with("exit code 1: cat: "), "{event}");
    pair.daemon("lb1").wait_for("router_faulted", &[("reason", "track_down")], LIMIT);
    let well = pair.folder().write("well", "");
    allow(&well, 0o644);
    pair.wait_for_holder(VIRTUAL, "lb1");
}

#[test]
fn a_script_that_hangs_is_reported_once_killed_with_its_children_and_holds_nothing_up() {
    let mut pair = idle(|folder| {
        let text = format!("echo $$ > {folder}/lb1/pids; sleep 1000 & echo $! >> {folder}/lb1/pids; wait");
        let script = format!(
            "script = [\"/bin/sh\", \"-c\", \"{text}\"]\ninterval = \"500ms\"\ntimeout = \"200ms\"\nuser = \"root\"\nweight = -60"
        );
        pair(&[WEB, TRACK, &script])
    });
    pair.start("lb1");
    pair.daemon("lb1").wait_for("track_timed_out", &[("track", "check")], LIMIT);
    pair.daemon("lb1").wait_for("track_down", &[("track", "check")], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
    wait_for_priority(&mut pair, "lb1", "base 150, check -60 = 90");
    let pids = fs::read_to_string(pair.folder().path().join("lb1/pids")).unwrap();
    let is_gone = |pid: &str| !Path::new("/proc").join(pid).exists();
    wait_until("The script's end", LIMIT, || Ok(pids.split_whitespace().all(is_gone))).unwrap();
    // Several more runs hang meanwhile.
    let pids = pair.folder().path().join("lb1/pids");
    let first = fs::read_to_string(&pids).unwrap();
    let daemon = pair.daemon("lb1");
    wait_until("another run", LIMIT, || Ok(fs::read_to_string(&pids).is_ok_and(|now| now != first))).unwrap();
    let told = daemon.events().into_iter().filter(|event| event.is("track_timed_out", &[])).count();
    assert_eq!(told, 1);
    daemon.stop(LIMIT);
    let last = fs::read_to_string(&pids).unwrap();
    wait_until("The last run's end", LIMIT, || Ok(last.split_whitespace().all(is_gone))).unwrap();
}

/// Waits until something is wrong with a track for this reason, and returns its exit code or signal and the words for it.
#[track_caller]
fn wait_for_cause(pair: &mut Pair, track: &str, cause: &str) -> (Option<i32>, String) {
    let daemon = pair.daemon("lb1");
    let problem = || daemon.status().tracks[track].problem.clone().filter(|problem| problem.cause == cause);
    let waited = wait_until(&format!("{track} {cause}"), LIMIT, || Ok(problem().is_some()));
    waited.unwrap_or_else(|error| panic!("{error}: {:?}", daemon.status().tracks));
    let problem = problem().expect("what the script does is always the same");
    (problem.code, problem.reason)
}

#[test]
fn what_is_wrong_with_a_script_is_told_by_its_cause() {
    let mut pair = idle(|_| {
        let script = |name: &str, words: &str| {
            format!("[track.{name}]\nscript = [{words}]\ninterval = \"100ms\"\nweight = -1\n")
        };
        pair(&[
            WEB,
            "track = [\"code\", \"killed\", \"absent\", \"hung\"]\n",
            &script("code", r#""/bin/sh", "-c", "exit 3""#),
            &script("killed", r#""/bin/sh", "-c", "kill -USR1 $$""#),
            &script("absent", r#""/no/such/program""#),
            &script("hung", r#""/bin/sleep", "1000""#),
        ])
    });
    pair.start("lb1");
    pair.wait_for_holder(VIRTUAL, "lb1");
    for (track, cause, code) in [
        ("code", "exit_code", Some(3)),
        ("killed", "signal", Some(10)),
        ("absent", "not_started", None),
        ("hung", "timed_out", None),
    ] {
        let text = code.map_or_else(String::new, |code| code.to_string());
        pair.daemon("lb1").wait_for(
            "track_down",
            &[("track", track), ("cause", cause), ("code", &text)],
            LIMIT,
        );
        assert_eq!(wait_for_cause(&mut pair, track, cause).0, code, "{track}");
    }
    assert_eq!(pair.daemon("lb1").router("web").priority, 146);
}

#[test]
fn a_script_that_cannot_even_be_killed_is_told_apart_and_holds_nothing_up() {
    let mut pair = idle(|folder| {
        let run = format!("[ -e {folder}/well ] && exit; echo $$ > {folder}/lb1/pid; exec sleep 1000");
        let stuck = format!("script = [\"/bin/sh\", \"-c\", \"{run}\"]\nuser = \"root\"\nweight = -60\n");
        let other = format!(
            "[track.other]\nscript = [\"/bin/sh\", \"-c\", \"echo . >> {folder}/lb1/others\"]\nuser = \"root\"\ninterval = \"100ms\"\n"
        );
        pair(&[WEB, "track = [\"check\", \"other\"]\n[track.check]\n", &stuck, &other])
    });
    pair.start("lb1");
    let [pid, others] = ["pid", "others"].map(|file| pair.folder().path().join("lb1").join(file));
    let tracer = StoppedTracer::of_process_in(&pid, pair.machine("lb1"));
    let stuck = fs::read_to_string(&pid).unwrap();
    let event = pair.daemon("lb1").wait_for("track_stuck", &[("track", "check")], LIMIT);
    assert!(event.field("reason").ends_with("it was killed and is still not gone"), "{event}");
    let (_, reason) = wait_for_cause(&mut pair, "check", "stuck");
    let status = pair.daemon("lb1").ask(&["status"]).output;
    assert!(status.contains(&reason), "{status}");

    // Everybody else goes on.
    wait_to_send(&mut pair, "lb1", 20);
    let runs = || fs::read(&others).unwrap_or_default().len();
    let before = runs();
    wait_until("Runs of the other script", LIMIT, || Ok(runs() > before + 10)).unwrap();
    assert_eq!(pair.daemon("lb1").router("web").priority_sum, "base 150, check -60 = 90");
    assert_eq!(fs::read_to_string(&pid).unwrap(), stuck, "two runs never overlap");
    let told = |pair: &mut Pair| {
        let events = pair.daemon("lb1").events().into_iter();
        events.filter(|event| event.is("track_stuck", &[])).count()
    };
    assert_eq!(told(&mut pair), 1);

    let well = pair.folder().write("well", "");
    allow(&well, 0o644);
    tracer.let_go();
    pair.daemon("lb1").wait_for("track_up", &[("track", "check")], LIMIT);
    assert!(pair.daemon("lb1").status().tracks["check"].problem.is_none());

    // Neither does it hold up a daemon that ends.
    fs::remove_file(&well).unwrap();
    let tracer = StoppedTracer::of_process_in(&pid, pair.machine("lb1"));
    let waited = wait_until("Another one that is stuck", LIMIT, || Ok(told(&mut pair) == 2));
    waited.unwrap_or_else(|error| panic!("{error}"));
    pair.daemon("lb1").stop(LIMIT);
    tracer.let_go();
}

#[test]
fn the_number_in_a_file_moves_the_role_by_hand() {
    let mut pair = idle(|folder| {
        pair(&[WEB, TRACK, &format!("file = \"{folder}/lb1/weight\"\nweight = 10\ninterval = \"50ms\"")])
    });
    pair.start("lb1");
    pair.wait_for_holder(VIRTUAL, "lb1");
    let file = pair.folder().path().join("lb1/weight");
    for (text, sum) in [
        ("-6\n", "base 150, check -60 = 90"),
        ("nonsense\n", "base 150, check -60 = 90"),
        ("3\n", "base 150, check +30 = 180"),
        ("0\n", "base 150"),
    ] {
        fs::write(&file, text).unwrap();
        if text.starts_with('n') {
            pair.daemon("lb1").wait_for("track_unclear", &[("track", "check")], LIMIT);
        }
        wait_for_priority(&mut pair, "lb1", sum);
    }
    pair.daemon("lb1").wait_for("priority_changed", &[("from", "150"), ("priority", "90")], LIMIT);
}

/// A process that ends when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_process_that_ends_takes_the_role_away_and_gives_it_back_when_it_runs_again() {
    let name = format!("bt-{}", std::process::id());
    let mut pair = idle(|_| pair(&[WEB, TRACK, &format!("process = \"{name}\"\ninterval = \"100ms\"")]));
    let program = pair.folder().path().join(&name);
    symlink("/bin/sleep", &program).unwrap();
    let start = || {
        let mut command = Command::new(&program);
        Running(command.arg("1000").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    };
    let running = start();
    pair.start("lb1");
    pair.wait_for_holder(VIRTUAL, "lb1");
    drop(running);
    let event = pair.daemon("lb1").wait_for("track_down", &[("track", "check")], LIMIT);
    assert_eq!(event.field("reason"), "0 of the 1 processes run");
    pair.wait_for_holders(VIRTUAL, &[]);
    let running = start();
    pair.wait_for_holder(VIRTUAL, "lb1");
    drop(running);
}

#[test]
fn processes_that_cannot_be_counted_and_a_file_that_cannot_be_read_are_told_and_move_nothing() {
    let mut pair = idle(|folder| {
        let file = format!("[track.manual]\nfile = \"{folder}/lb1/manual\"\ninterval = \"100ms\"\n");
        let process = "[track.named]\nprocess = \"baton\"\ninterval = \"100ms\"\n";
        pair(&[WEB, "track = [\"manual\", \"named\"]\n", &file, process])
    });
    pair.launch_by("lb1", &["unshare", "--mount"]);
    pair.wait_for_holder(VIRTUAL, "lb1");
    let guard = pair.daemon("lb1").process().id().to_string();
    let covered = Command::new("nsenter")
        .args(["--mount", "--target", &guard, "mount", "-t", "tmpfs", "none", "/proc"])
        .status();
    assert!(covered.unwrap().success());
    fs::create_dir(pair.folder().path().join("lb1/manual")).unwrap();
    for (track, reason) in
        [("named", "/proc cannot be read: it lists no process; is it mounted?"), ("manual", "is no file")]
    {
        let fields = [("track", track), ("cause", "unreadable"), ("reason", reason)];
        pair.daemon("lb1").wait_for("track_unclear", &fields, LIMIT);
        assert_eq!(wait_for_cause(&mut pair, track, "unreadable").1, reason);
    }
    wait_to_send(&mut pair, "lb1", 10);
    assert_eq!(pair.daemon("lb1").transitions(), ["became_backup", "became_active"]);
}

#[test]
fn weights_swap_the_roles_and_swap_them_back() {
    let mut pair = Pair::elected(&pair(&[WEB, TRACK, "interface = \"eth1\"\nweight = -60"]), VIRTUAL);
    let client = pair.ping(VIRTUAL);
    let begin = Instant::now();
    pair.lab().port("lb1", "eth1").carrier_off().unwrap();
    wait_for_priority(&mut pair, "lb1", "base 150, check -60 = 90");
    pair.wait_for_holder(VIRTUAL, "lb2");
    let status = pair.daemon("lb1").ask(&["status"]).output;
    assert!(status.contains("base 150, check -60 = 90"), "{status}");
    pair.lab().port("lb1", "eth1").carrier_on().unwrap();
    wait_for_priority(&mut pair, "lb1", "base 150");
    pair.wait_for_holder(VIRTUAL, "lb1");
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    let seen = client.stop().unwrap().since(begin);
    assert_eq!(seen.lost(), 0, "{seen}");
}

#[test]
fn a_sync_group_shows_who_holds_it_back_and_a_track_of_its_own_counts_for_all_members() {
    let group = r#"
sync_group = "edge"
[virtual_router.inside]
interface = "eth1"
virtual_router_id = 52
advert_interval = "100ms"
virtual_addresses = ["10.78.0.1/24"]
sync_group = "edge"
[sync_group.edge]
track = ["check"]
[track.check]
interface = "dummy0"
"#;
    let mut pair = Pair::idle(&pair(&[WEB, group]));
    pair.start("lb1");
    let edge = |pair: &mut Pair| pair.daemon("lb1").status().sync_groups.remove("edge").unwrap();
    let wait_for = |pair: &mut Pair, state: &str, reason: &str| {
        let waited = wait_until(reason, LIMIT, || {
            let edge = edge(pair);
            Ok(edge.state == state && edge.reason.ends_with(reason))
        });
        waited.unwrap_or_else(|error| panic!("{error}: {:?}", edge(pair)));
    };
    wait_for(&mut pair, "fault", " holds it back: track check is down: dummy0 does not exist");
    let status = pair.daemon("lb1").ask(&["status"]).output;
    assert!(status.contains("web fault"), "{status}");
    pair.machine("lb1")
        .run(&["ip", "link", "add", "dummy0", "type", "veth", "peer", "name", "dummy1"])
        .unwrap();
    pair.machine("lb1").run(&["ip", "link", "set", "dummy1", "up"]).unwrap();
    pair.machine("lb1").run(&["ip", "link", "set", "dummy0", "up"]).unwrap();
    wait_for(&mut pair, "active", "every member is Active");
    pair.wait_for_holder_of_all(&[VIRTUAL, "10.78.0.1"], "lb1");
    pair.machine("lb1").run(&["ip", "link", "delete", "dummy0"]).unwrap();
    pair.wait_for_holders(VIRTUAL, &[]);
    pair.wait_for_holders("10.78.0.1", &[]);
}

/// Waits until a node has sent so many more advertisements.
#[track_caller]
fn wait_to_send(pair: &mut Pair, node: &str, more: u64) {
    let daemon = pair.daemon(node);
    let sent = || daemon.router("web").advertisements_sent;
    let goal = sent() + more;
    let waited = wait_until(&format!("{more} advertisements of {node}"), LIMIT, || Ok(sent() >= goal));
    waited.unwrap_or_else(|error| panic!("{error}"));
}

/// The advertisements, one a second, count the time.
#[test]
fn a_tracked_interface_that_flaps_moves_nothing_and_one_that_stays_away_or_back_does() {
    let delay = Duration::from_secs(5);
    let track = "[track.check]\ninterface = \"eth1\"\ndown_delay = \"5s\"\nup_delay = \"5s\"\n";
    let mut pair = Pair::elected(&pair(&[SLOW_WEB, track]), VIRTUAL);
    pair.look_from_now();
    let flaps = |pair: &mut Pair, active: &str| {
        pair.lab().port("lb1", "eth1").carrier_off().unwrap();
        wait_to_send(pair, active, 1);
        pair.lab().port("lb1", "eth1").carrier_on().unwrap();
    };

    flaps(&mut pair, "lb1");
    wait_to_send(&mut pair, "lb1", 7);
    assert_eq!(pair.daemon("lb1").transitions(), [""; 0]);
    assert_eq!(pair.holders(VIRTUAL), ["lb1"]);

    let cut = Instant::now();
    pair.lab().port("lb1", "eth1").carrier_off().unwrap();
    wait_until("status to say what is coming", LIMIT, || {
        let coming = pair.daemon("lb1").status().tracks["check"].coming.clone();
        Ok(coming.is_some_and(|coming| coming.state == "down"))
    })
    .unwrap();
    pair.daemon("lb1").wait_for("track_down", &[("track", "check")], LIMIT);
    assert!(cut.elapsed() >= delay, "{:?}", cut.elapsed());
    pair.wait_for_holder(VIRTUAL, "lb2");

    pair.look_from_now();
    pair.lab().port("lb1", "eth1").carrier_on().unwrap();
    wait_to_send(&mut pair, "lb2", 1);
    pair.lab().port("lb1", "eth1").carrier_off().unwrap();
    wait_to_send(&mut pair, "lb2", 7);
    assert_eq!(pair.daemon("lb1").transitions(), [""; 0]);
    assert_eq!(pair.holders(VIRTUAL), ["lb2"]);

    let mended = Instant::now();
    pair.lab().port("lb1", "eth1").carrier_on().unwrap();
    pair.daemon("lb1").wait_for("track_up", &[("track", "check")], LIMIT);
    assert!(mended.elapsed() >= delay, "{:?}", mended.elapsed());
    pair.wait_for_holder(VIRTUAL, "lb1");
}

#[test]
fn an_interface_that_has_no_address_but_baton_s_and_link_local_ones_is_down_where_it_needs_one() {
    const MOVING: &str = "10.78.0.1";
    let moving = "unadvertised_addresses = [{ address = \"10.78.0.1/32\", interface = \"eth1\" }]\n";
    let mut pair = Pair::idle(&pair(&[WEB, moving, TRACK, "interface = \"eth1\"\nneeds_address = true"]));
    let own = pair.machine("lb1").addresses("eth1").unwrap();
    let own: Vec<_> = own.iter().filter(|cidr| !cidr.address().to_string().starts_with("fe80")).collect();
    let change = |pair: &Pair, verb: &str| {
        for cidr in &own {
            pair.machine("lb1").run(&["ip", "address", verb, &cidr.to_string(), "dev", "eth1"]).unwrap();
        }
    };
    pair.elect(VIRTUAL);
    pair.wait_for_holder(MOVING, "lb1");

    change(&pair, "delete");
    let event = pair.daemon("lb1").wait_for("track_down", &[("track", "check")], LIMIT);
    assert_eq!(event.field("reason"), "eth1 has no address of its own");
    pair.wait_for_holder_of_all(&[VIRTUAL, MOVING], "lb2");
    change(&pair, "add");
    pair.wait_for_holder_of_all(&[VIRTUAL, MOVING], "lb1");
}

#[test]
fn a_reversed_script_takes_the_role_away_while_it_ends_well() {
    let mut pair = idle(|folder| {
        let script = format!("script = [\"/bin/sh\", \"-c\", \"cat {folder}/away\"]\ninterval = \"100ms\"");
        pair(&[WEB, TRACK, &script, "\nreverse = true"])
    });
    pair.start("lb1");
    pair.wait_for_holder(VIRTUAL, "lb1");
    let away = pair.folder().write("away", "");
    allow(&away, 0o644);
    let event = pair.daemon("lb1").wait_for("track_down", &[("track", "check")], LIMIT);
    assert_eq!(event.field("reason"), "the script ended well");
    pair.wait_for_holders(VIRTUAL, &[]);
    fs::remove_file(&away).unwrap();
    pair.wait_for_holder(VIRTUAL, "lb1");
}

#[test]
fn a_reversed_process_takes_its_weight_from_the_priority_while_it_runs() {
    let name = format!("rv-{}", std::process::id());
    let mut pair = idle(|_| {
        let process = format!("process = \"{name}\"\ninterval = \"100ms\"\nweight = -60");
        pair(&[WEB, TRACK, &process, "\nreverse = true"])
    });
    let program = pair.folder().path().join(&name);
    symlink("/bin/sleep", &program).unwrap();
    pair.start("lb1");
    pair.wait_for_holder(VIRTUAL, "lb1");
    wait_for_priority(&mut pair, "lb1", "base 150");
    let mut command = Command::new(&program);
    let running = Running(command.arg("1000").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    wait_for_priority(&mut pair, "lb1", "base 150, check -60 = 90");
    drop(running);
    wait_for_priority(&mut pair, "lb1", "base 150");
}
