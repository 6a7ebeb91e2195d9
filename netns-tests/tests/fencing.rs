//! No death without heirs: what happens when the daemon, its guard or both die or stand still.

#![expect(clippy::unwrap_used, reason = "the tests share functions, which the lint does not take for tests")]

use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use lab::Signal;
use netns_tests::frames::{self, Checksum};
use netns_tests::{Event, LIMIT, Pair, VIRTUAL, VIRTUAL_V6, pair};

/// At the default interval of a second a Backup of priority 100 waits 3.6 s, far longer than any restart takes.
const WEB: &str = r#"
[virtual_router.web]
interface = "eth0"
virtual_router_id = 51
virtual_addresses = ["10.77.0.50/24"]
"#;

#[test]
fn a_killed_daemon_is_restarted_and_goes_on_and_nobody_notices() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let client = pair.ping(VIRTUAL);
    pair.look_from_now();
    let before = pair.daemon("lb1").router("web");

    let death = Instant::now();
    pair.daemon("lb1").signal_engine(Signal::KILL);
    pair.daemon("lb1").wait_for("daemon_died", &[], LIMIT);
    pair.daemon("lb1").wait_for("role_adopted", &[("virtual_router", "web")], LIMIT);
    pair.daemon("lb1").wait_for_socket(LIMIT).unwrap();
    // Longer than the Backup would wait for a dead Active.
    pair.wait_to_hear("lb2", 5);
    let seen = client.stop().unwrap().since(death);
    assert_eq!(seen.lost(), 0, "{seen}");
    assert_eq!(pair.daemon("lb2").transitions(), [""; 0]);
    assert_eq!(pair.daemon("lb1").transitions(), [""; 0]);
    assert_eq!(pair.holders(VIRTUAL), ["lb1"]);
    let after = pair.daemon("lb1").router("web");
    assert_eq!((after.state, after.reason), (before.state, before.reason));

    // The next one obeys as the first did.
    pair.daemon("lb1").stop(LIMIT);
    assert_eq!(pair.holders(VIRTUAL), ["lb2"]);
}

#[test]
fn a_daemon_that_dies_twice_within_a_minute_is_handed_over_and_comes_back_as_a_backup() {
    assert_that_dying_twice_hands_over("");
}

/// Its Backup waits for 0.6 s after a release, whatever the interval.
#[test]
fn a_daemon_of_version_2_that_dies_twice_leaves_its_addresses_until_its_slow_backup_serves() {
    assert_that_dying_twice_hands_over("version = 2\n");
}

#[track_caller]
fn assert_that_dying_twice_hands_over(version: &str) {
    let config = pair(&[WEB, version, "preempt = false\nhearing_wait = \"0s\"\n"]);
    let mut pair = Pair::elected(&config, VIRTUAL);
    pair.daemon("lb1").signal_engine(Signal::KILL);
    pair.daemon("lb1").wait_for("role_adopted", &[], LIMIT);
    pair.daemon("lb1").wait_for_socket(LIMIT).unwrap();
    pair.wait_to_hear("lb2", 2);
    let client = pair.ping(VIRTUAL);
    pair.look_from_now();

    let death = Instant::now();
    pair.daemon("lb1").signal_engine(Signal::KILL);
    pair.daemon("lb2").wait_for("became_active", &[("reason", "active_released")], LIMIT);
    pair.daemon("lb1").wait_for("fenced", &[("virtual_router", "web"), ("reason", "died_again")], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    let seen = client.stop().unwrap().since(death);
    assert_eq!(seen.lost(), 0, "{seen}");
    // A node without the address keeps requests for whoever takes it next: they are not lost, and late.
    assert!(seen.longest_gap().duration().as_millis() < 300, "{seen}");
    pair.daemon("lb1").wait_for("became_backup", &[("reason", "started")], LIMIT);
    pair.daemon("lb1").wait_for_socket(LIMIT).unwrap();
    assert_eq!(pair.daemon("lb1").router("web").state, "backup");
}

#[test]
fn a_daemon_that_stands_still_is_fenced_before_its_peer_claims_and_never_do_two_own_the_address() {
    let mut pair = Pair::elected(&pair(&[WEB, "preempt = false\nhearing_wait = \"0s\"\n"]), VIRTUAL);
    pair.look_from_now();
    pair.daemon("lb1").signal_engine(Signal::STOP);
    // Had nobody said anything, the reason would be that the Active is down.
    pair.daemon("lb2").wait_for("became_active", &[("reason", "active_released")], LIMIT);
    pair.daemon("lb1").wait_for("fenced", &[("virtual_router", "web"), ("reason", "silent")], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");
    let left = pair.daemon("lb1").wait_for("address_left", &[("address", VIRTUAL)], LIMIT);
    let taken = pair.daemon("lb2").wait_for("address_taken", &[("address", VIRTUAL)], LIMIT);
    assert!(left.field("timestamp") < taken.field("timestamp"), "{left}, {taken}");
    pair.daemon("lb1").wait_for("became_backup", &[("reason", "started")], LIMIT);
}

#[test]
fn a_daemon_without_a_role_that_stands_still_is_restarted_and_the_log_says_why() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    pair.look_from_now();
    pair.daemon("lb2").signal_engine(Signal::STOP);
    let why = [("reason", "it said nothing any more and was killed")];
    pair.daemon("lb2").wait_for("daemon_died", &why, LIMIT);
    pair.daemon("lb2").wait_for("became_backup", &[("reason", "started")], LIMIT);
}

#[test]
fn a_daemon_that_stands_still_when_it_is_to_end_is_ended_by_its_guard_and_nothing_is_left() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    pair.look_from_now();
    pair.daemon("lb1").signal_engine(Signal::STOP);
    pair.daemon("lb1").stop(LIMIT);
    pair.daemon("lb2").wait_for("became_active", &[("reason", "active_released")], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");
    assert!(!pair.daemon("lb1").place().socket.with_file_name("owned.json").exists());
}

#[test]
fn a_daemon_without_a_guard_hands_over_and_ends() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let client = pair.ping(VIRTUAL);
    let engine = pair.daemon("lb1").engine();
    let death = Instant::now();
    pair.daemon("lb1").process().kill_alone().unwrap();
    pair.daemon("lb1").wait_for("guard_died", &[], LIMIT);
    pair.daemon("lb2").wait_for("became_active", &[("reason", "active_released")], LIMIT);
    let process = format!("/proc/{}", engine.as_raw_nonzero());
    let is_gone = || Ok(!Path::new(&process).exists());
    lab::wait_until("The end of the daemon", LIMIT, is_gone).unwrap();
    assert_eq!(pair.holders(VIRTUAL), ["lb2"]);
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    let seen = client.stop().unwrap().since(death);
    assert_eq!(seen.lost(), 0, "{seen}");
}

#[test]
fn a_restarted_daemon_goes_on_with_the_configuration_that_ran_and_not_with_the_file() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    pair.configure("this is no configuration");
    pair.daemon("lb1").signal_engine(Signal::KILL);
    pair.daemon("lb1").wait_for("role_adopted", &[], LIMIT);
    pair.daemon("lb1").wait_for_socket(LIMIT).unwrap();
    assert_eq!(pair.daemon("lb1").router("web").state, "active");
    assert_eq!(pair.daemon("lb1").ask(&["reload"]).code, 1);
}

#[test]
fn a_restarted_daemon_reloads_and_stops_as_it_is_told_by_signals() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    pair.daemon("lb1").signal_engine(Signal::KILL);
    pair.daemon("lb1").wait_for("role_adopted", &[], LIMIT);
    pair.daemon("lb1").hang_up(LIMIT);
    // The signals that a terminal or an operator sends to all processes count once.
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        pair.daemon("lb1").signal_engine(signal);
    }
    pair.daemon("lb1").stop(LIMIT);
    pair.daemon("lb1").wait_for("handed_over", &[("peer", "10.77.0.12")], LIMIT);
}

#[test]
fn the_last_will_is_the_short_interval_and_then_the_release() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let mut wire = frames::record(pair.machine("client"), "eth0");
    pair.daemon("lb1").signal_engine(Signal::STOP);
    pair.wait_for_holder(VIRTUAL, "lb2");
    wire.stop().unwrap();
    let fields = ["vrrp.prio", "vrrp.short_adver_int"];
    let said = frames::decode(&wire, Checksum::MessageOnly, "ip.src == 10.77.0.11 && vrrp", &fields);
    assert_eq!(said[said.len() - 2..], [["150", "1"], ["0", "1"]], "{said:?}");
}

/// Threads start side by side, so how many open files are too few for one of them alone differs.
#[test]
fn a_daemon_of_which_a_thread_cannot_start_ends_rather_than_to_go_on_without_it() {
    let mut pair = Pair::idle(&pair(&[WEB]));
    let mut incomplete = 0;
    for files in 30..46 {
        let limited = format!("ulimit -n {files}; exec \"$@\"");
        let daemon = pair.launch_by("lb1", &["sh", "-c", &limited, "sh"]);
        lab::wait_until("A beginning or an end", LIMIT, || {
            let tells = |event: &Event| ["became_backup", "daemon_died"].contains(&event.name.as_str());
            Ok(daemon.events().iter().any(tells) || !daemon.process().is_running()?)
        })
        .unwrap();
        daemon.process().terminate(LIMIT).unwrap();
        incomplete += usize::from(daemon.process().log().contains(" ended: Too many open files"));
    }
    assert!(incomplete > 0, "no limit was too low for a thread and high enough for the others");
}

/// What systemd hears: the daemon is ready, and the guard vouches for its engine, but not for one that stands still.
#[test]
fn systemd_hears_that_the_daemon_is_ready_and_that_its_engine_lives() {
    let pair = Pair::idle(&pair(&[WEB]));
    let socket = pair.folder().path().join("notify.sock");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    systemd.set_read_timeout(Some(LIMIT)).unwrap();
    let mut command = pair.place("lb1").command(&["run", "--log-format", "json"]);
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "30000000");
    let daemon = pair.machine("lb1").spawn("baton", &mut command).unwrap();
    let hear = || {
        let mut buffer = [0; 1024];
        let length = systemd.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut missing = BTreeSet::from(["READY=1", "WATCHDOG=1"]);
    while !missing.is_empty() {
        let heard = hear();
        missing.retain(|word| !heard.contains(word));
    }
    daemon.signal_descendants(Signal::STOP).unwrap();
    systemd.set_read_timeout(Some(3 * BEAT)).unwrap();
    let mut buffer = [0; 1024];
    // What was on its way may still come.
    while systemd.recv(&mut buffer).is_ok() {}
    daemon.signal_descendants(Signal::CONT).unwrap();
    systemd.set_read_timeout(Some(LIMIT)).unwrap();
    assert!(hear().contains("WATCHDOG=1"));
}

/// The whole node stands still, guard and daemon, as a virtual machine does that is paused; its kernel answers on.
#[test]
fn a_node_that_was_stopped_altogether_hears_its_successor_and_says_nothing() {
    let hurried = "advert_interval = \"100ms\"\npreempt = false\n";
    let mut pair = Pair::elected(&pair(&[WEB, hurried]), VIRTUAL);
    let mac = pair.machine("lb1").link_address("eth0").unwrap();
    pair.look_from_now();
    let mut wire = frames::record(pair.machine("client"), "eth0");
    pair.daemon("lb1").process().pause().unwrap();
    pair.daemon("lb2").wait_for("became_active", &[("reason", "active_down")], LIMIT);
    pair.wait_for_holders(VIRTUAL, &["lb1", "lb2"]);
    pair.daemon("lb1").process().resume().unwrap();

    pair.daemon("lb1").wait_for("became_backup", &[("reason", "overslept"), ("peer", "10.77.0.12")], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");
    pair.wait_to_hear("lb1", 5);
    assert_eq!(pair.daemon("lb2").transitions(), ["became_active"]);
    assert_eq!(pair.daemon("lb1").transitions(), ["became_backup"]);
    wire.stop().unwrap();
    let said = frames::decode(&wire, Checksum::MessageOnly, "vrrp || arp.isgratuitous", &["eth.src"]);
    let successor = said.iter().position(|frame| frame[0] != mac).unwrap();
    let stale: Vec<_> = said[successor..].iter().filter(|frame| frame[0] == mac).collect();
    assert!(stale.is_empty(), "{stale:?}");
}

/// How often an engine without a role says that it lives.
const BEAT: Duration = Duration::from_secs(1);

/// Both families, and leases as short as this interval allows.
const LEASED: &str = r#"
[engine]
address_lease = "3s"

[virtual_router.web]
interface = "eth0"
virtual_router_id = 51
advert_interval = "100ms"
virtual_addresses = ["10.77.0.50/24"]
unadvertised_addresses = ["fd77::50/64"]
"#;

#[test]
fn when_all_are_dead_the_kernel_takes_the_addresses_away_by_itself() {
    let mut pair = Pair::elected(&pair(&[LEASED]), VIRTUAL);
    pair.daemon("lb1").process().kill().unwrap();
    assert_eq!([VIRTUAL, VIRTUAL_V6].map(|address| pair.holders(address)[0]), ["lb1"; 2]);
    for address in [VIRTUAL, VIRTUAL_V6] {
        pair.wait_for_holder(address, "lb2");
    }
}

#[test]
fn an_address_stands_for_longer_than_its_lease_while_the_engine_turns() {
    let mut pair = Pair::elected(&pair(&[LEASED]), VIRTUAL);
    let client = pair.ping(VIRTUAL);
    let begin = Instant::now();
    pair.look_from_now();
    let mut shortest = u64::MAX;
    lab::wait_until("Three leases", LIMIT, || {
        let left = [VIRTUAL, VIRTUAL_V6].map(|address| lifetime(&pair, address));
        shortest = left.into_iter().fold(shortest, u64::min);
        Ok(begin.elapsed() > Duration::from_secs(9))
    })
    .unwrap();
    assert!((1..=3).contains(&shortest), "{shortest}");
    assert_eq!(pair.daemon("lb1").new_events().iter().map(|event| &event.name).collect::<Vec<_>>(), [""; 0]);
    let seen = client.stop().unwrap().since(begin);
    assert_eq!(seen.lost(), 0, "{seen}");
}

/// For how many seconds the kernel of `lb1` keeps an address.
#[track_caller]
fn lifetime(pair: &Pair, address: &str) -> u64 {
    let shown = pair.machine("lb1").run(&["ip", "address", "show", "to", address]);
    let text = shown.unwrap_or_else(|error| panic!("{error}"));
    let lifetime = text.split_whitespace().skip_while(|word| *word != "valid_lft").nth(1);
    let seconds = lifetime.and_then(|lifetime| lifetime.strip_suffix("sec")?.parse().ok());
    seconds.unwrap_or_else(|| panic!("{text}"))
}
