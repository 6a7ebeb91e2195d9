//! The program itself: how it starts, why it does not, and what an operator can ask it.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use netns_tests::{LIMIT, NODES, Pair, VIRTUAL, WEB, copy_of_baton, pair};

/// Runs `baton run` where it has to end by itself, and returns its exit code and all that it wrote.
#[track_caller]
fn refused(pair: &Pair, mut command: Command) -> (Option<i32>, String) {
    let started = pair.machine("lb1").spawn("baton", &mut command);
    let mut process = started.unwrap_or_else(|error| panic!("{error}"));
    let status = process.wait(LIMIT).unwrap_or_else(|error| panic!("{error}"));
    (status.code(), process.log())
}

#[test]
fn without_rights_it_says_which_it_needs() {
    let pair = Pair::idle(&pair(&[WEB]));
    let place = pair.place("lb1");
    let folder = place.socket.parent().unwrap().to_owned();
    fs::create_dir(&folder).unwrap();
    for path in [pair.folder().path(), &folder] {
        fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]);
    // The program itself may be where nobody but root may look.
    let program = copy_of_baton(pair.folder().path().join("baton"));
    command.arg(program).args(["run", "--node", "lb1", "--config"]).arg(&place.config);
    command.arg("--socket").arg(&place.socket);
    let (code, log) = refused(&pair, command);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("CAP_NET_RAW") || log.contains("root"), "{log}");
}

#[test]
fn a_file_that_is_wrong_is_shown_with_the_place_the_cause_and_a_suggestion() {
    let pair = Pair::idle(&pair(&[WEB, "adver_interval = \"1s\"\n"]));
    let place = pair.place("lb1");
    let (code, log) = refused(&pair, place.command(&["run"]));
    assert_eq!(code, Some(1), "{log}");
    let check = place.ask(&["check"]);
    assert_eq!(check.code, 1);
    for text in [&log, &check.complaint] {
        for part in ["baton.toml:", "adver_interval", "^", "advert_interval"] {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }
}

#[test]
fn a_reader_that_has_enough_is_no_error_and_a_full_disk_is_one() {
    let pair = Pair::idle(&pair(&[WEB]));
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    for (output, code) in [(Stdio::from(writer), 0), (Stdio::from(full), 1)] {
        let mut check = pair.place("lb1").command(&["check"]);
        let ended = check.stdout(output).output().unwrap();
        let complaint = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{complaint}");
        assert!(!complaint.contains("panicked"), "{complaint}");
    }
}

#[test]
fn all_errors_of_a_file_are_shown_at_once() {
    let twice = "[virtual_router.other]\ninterface = \"eth0\"\nvirtual_router_id = 51\nadvert_interval = \"1\"\n\
                 virtual_addresses = [\"10.77.0.60/24\"]\n";
    let pair = Pair::idle(&pair(&[WEB, "preempt = 7\n", twice]));
    let check = pair.place("lb1").ask(&["check"]);
    assert_eq!(check.code, 1);
    for part in ["preempt", "advert_interval"] {
        assert!(check.complaint.contains(part), "no {part} in {}", check.complaint);
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let pair = Pair::idle("");
    let place = pair.place("lb1");
    fs::remove_file(&place.config).unwrap();
    let (code, log) = refused(&pair, place.command(&["run"]));
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains(place.config.to_str().unwrap()), "{log}");
}

#[test]
fn a_node_that_the_file_does_not_know_is_told_which_it_knows() {
    let pair = Pair::idle(&pair(&[WEB]));
    let (code, log) = refused(&pair, pair.place("lb7").command(&["run"]));
    assert_eq!(code, Some(1), "{log}");
    for part in ["lb7", "lb1", "lb2"] {
        assert!(log.contains(part), "no {part} in {log}");
    }
}

#[test]
fn wrong_use_is_told_apart_from_a_wrong_file() {
    let pair = Pair::idle(&pair(&[WEB]));
    let answer = pair.place("lb1").ask(&["no-such-command"]);
    assert_eq!(answer.code, 2, "{answer:?}");
    assert_eq!(pair.place("lb1").ask(&["check"]).code, 0);
}

#[test]
fn a_second_daemon_on_the_same_socket_is_refused_and_the_first_goes_on() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let place = pair.place("lb1");
    let (code, log) = refused(&pair, place.command(&["run"]));
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains(place.socket.to_str().unwrap()), "{log}");
    assert_eq!(pair.daemon("lb1").router("web").state, "active");
    assert_eq!(pair.holders(VIRTUAL), ["lb1"]);
}

#[test]
fn a_second_daemon_and_a_cleaning_beside_a_running_one_are_refused_whatever_their_socket() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let mut elsewhere = pair.place("lb1");
    elsewhere.socket = pair.folder().path().join("elsewhere/baton.sock");
    let (code, log) = refused(&pair, elsewhere.command(&["run"]));
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("Another baton daemon works in this network namespace"), "{log}");
    for place in [pair.place("lb1"), elsewhere] {
        let answer = place.ask_in(pair.machine("lb1"), &["clean"]);
        assert_eq!((answer.code, answer.output.as_str()), (1, ""), "{answer:?}");
        assert!(answer.complaint.contains("stop it first"), "{answer:?}");
    }
    let lb1 = pair.daemon("lb1");
    assert_eq!(lb1.router("web").addresses_restored, 0, "{:?}", lb1.events());
    assert_eq!(pair.holders(VIRTUAL), ["lb1"]);
}

#[test]
fn questions_to_a_daemon_that_does_not_run_say_so() {
    let pair = Pair::idle(&pair(&[WEB]));
    let place = pair.place("lb1");
    for words in [&["status"][..], &["status", "--json"], &["reload"]] {
        let answer = place.ask(words);
        assert_eq!(answer.code, 1, "{answer:?}");
        assert!(answer.complaint.contains(place.socket.to_str().unwrap()), "{}", answer.complaint);
    }
}

#[test]
fn the_status_is_a_table_for_people_and_json_for_programs() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let table = pair.daemon("lb1").ask(&["status"]);
    assert_eq!(table.code, 0);
    let row = table.output.lines().find(|line| line.starts_with("web ")).unwrap();
    assert_eq!(row.split_whitespace().take(3).collect::<Vec<_>>(), ["web", "active", "150"]);
    let status = pair.daemon("lb2").status();
    assert_eq!(status.node, "lb2");
    assert_eq!(status.virtual_routers["web"].state, "backup");
    assert!(!status.virtual_routers["web"].reason.is_empty());
}

#[test]
fn nobody_but_its_own_user_may_ask_a_daemon() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let socket = pair.daemon("lb1").place().socket.clone();
    assert_eq!(fs::metadata(socket).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_a_killed_daemon_left_is_removed_by_clean() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    pair.daemon("lb1").process().kill().unwrap();
    pair.wait_for_holders(VIRTUAL, &["lb1", "lb2"]);
    let answer = pair.place("lb1").ask_in(pair.machine("lb1"), &["clean"]);
    assert_eq!(answer.code, 0, "{}", answer.complaint);
    assert!(answer.output.contains(VIRTUAL), "{}", answer.output);
    assert_eq!(pair.holders(VIRTUAL), ["lb2"]);
    // There is nothing left, and that is well.
    let again = pair.place("lb1").ask_in(pair.machine("lb1"), &["clean"]);
    assert_eq!((again.code, again.output.contains(VIRTUAL)), (0, false), "{}", again.complaint);
}

#[test]
fn an_interrupt_ends_it_as_a_termination_does() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let lb1 = pair.daemon("lb1").process();
    lb1.signal(lab::Signal::INT).unwrap();
    assert!(lb1.wait(LIMIT).unwrap().success());
    pair.daemon("lb2").wait_for("became_active", &[("reason", "active_released")], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");
}

#[test]
fn a_node_with_many_virtual_routers_starts_all_of_them() {
    let mut config = NODES.to_owned();
    for number in 1..=100 {
        write!(
            config,
            "[virtual_router.r{number}]\ninterface = \"eth0\"\nvirtual_router_id = {number}\n\
             advert_interval = \"200ms\"\nvirtual_addresses = [\"10.80.0.{number}/24\"]\n"
        )
        .unwrap();
    }
    let mut pair = Pair::idle(&config);
    pair.start("lb1");
    pair.start("lb2");
    let all: Vec<_> = (1..=100).map(|number| format!("10.80.0.{number}")).collect();
    for address in &all {
        pair.wait_for_holder(address, "lb1");
    }
    pair.lab().detach("lb1").unwrap();
    for address in &all {
        pair.wait_for_holders(address, &["lb1", "lb2"]);
    }
    pair.lab().attach("lb1").unwrap();
    for address in &all {
        pair.wait_for_holder(address, "lb1");
    }
}
