//! A new configuration for a running pair: only what differs is touched.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Instant;

use netns_tests::{LIMIT, Pair, VIRTUAL, WEB, WEB_V6, at, pair};
use rustix::fs::OFlags;

/// Another address of [`WEB`]'s.
const SECOND: &str = "10.77.0.51";

fn with_second() -> String {
    WEB.replace("[\"10.77.0.50/24\"]", "[\"10.77.0.50/24\", \"10.77.0.51/24\"]")
}

#[test]
fn the_same_file_changes_nothing() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let client = pair.ping(VIRTUAL);
    pair.look_from_now();
    for node in ["lb1", "lb2"] {
        let answer = pair.daemon(node).ask(&["reload"]);
        assert_eq!((answer.code, answer.output.as_str()), (0, "nothing changed\n"), "{}", answer.complaint);
        pair.daemon(node).wait_for("reloaded", &[("changes", "0")], LIMIT);
    }
    pair.wait_to_hear("lb2", 5);
    for node in ["lb1", "lb2"] {
        let events: Vec<_> = pair.daemon(node).new_events().into_iter().map(|event| event.name).collect();
        assert_eq!(events, ["reloaded"], "{node}");
    }
    let seen = client.stop().unwrap();
    assert_eq!(seen.lost(), 0, "{seen}");
}

#[test]
fn a_new_address_comes_and_the_old_one_stays() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let client = pair.ping(VIRTUAL);
    pair.look_from_now();
    pair.configure(&netns_tests::pair(&[&with_second()]));
    let answer = pair.daemon("lb1").ask(&["reload"]);
    assert_eq!(answer.code, 0, "{}", answer.complaint);
    assert!(answer.output.contains("web"), "{}", answer.output);
    pair.wait_for_holder(SECOND, "lb1");
    drop(pair.ping(SECOND));
    // The nodes come one after the other, and the list that differs meanwhile is no reason to claim.
    pair.wait_to_hear("lb2", 5);
    assert_eq!(pair.daemon("lb2").ask(&["reload"]).code, 0);
    pair.wait_to_hear("lb2", 5);
    for node in ["lb1", "lb2"] {
        assert_eq!(pair.daemon(node).transitions(), [""; 0], "{node}");
    }
    let seen = client.stop().unwrap();
    assert_eq!(seen.lost(), 0, "{seen}");

    pair.daemon("lb1").stop(LIMIT);
    pair.wait_for_holder_of_all(&[VIRTUAL, SECOND], "lb2");
}

#[test]
fn a_signal_reloads_too_and_an_address_that_is_no_longer_wanted_leaves() {
    let mut pair = Pair::elected(&pair(&[&with_second()]), VIRTUAL);
    pair.wait_for_holder(SECOND, "lb1");
    pair.look_from_now();
    pair.configure(&netns_tests::pair(&[WEB]));
    pair.daemon("lb1").hang_up(LIMIT);
    pair.wait_for_holders(SECOND, &[]);
    assert_eq!(pair.holders(VIRTUAL), ["lb1"]);
    assert_eq!(pair.daemon("lb1").transitions(), [""; 0]);
}

#[test]
fn a_file_that_is_wrong_is_refused_with_the_place_and_the_cause() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let client = pair.ping(VIRTUAL);
    pair.look_from_now();
    pair.configure(&netns_tests::pair(&[WEB, "virtual_addreses = [\"10.77.0.51/24\"]\n"]));
    let answer = pair.daemon("lb1").ask(&["reload"]);
    assert_eq!(answer.code, 1, "{answer:?}");
    for part in ["baton.toml:", "virtual_addreses", "^", "virtual_addresses"] {
        assert!(answer.complaint.contains(part), "no {part} in {}", answer.complaint);
    }
    pair.daemon("lb1").wait_for("reload_refused", &[], LIMIT);

    // The signal has nobody to answer to but the log.
    pair.look_from_now();
    pair.daemon("lb1").process().signal(lab::Signal::HUP).unwrap();
    let event = pair.daemon("lb1").wait_for("reload_refused", &[], LIMIT);
    assert!(event.field("message").contains("virtual_addreses"), "{event}");

    pair.wait_to_hear("lb2", 5);
    assert_eq!(pair.daemon("lb1").transitions(), [""; 0]);
    assert_eq!(pair.holders(VIRTUAL), ["lb1"]);
    let seen = client.stop().unwrap();
    assert_eq!(seen.lost(), 0, "{seen}");

    // Put right, the next one is taken.
    pair.configure(&netns_tests::pair(&[&with_second()]));
    assert_eq!(pair.daemon("lb1").ask(&["reload"]).code, 0);
    pair.wait_for_holder(SECOND, "lb1");
}

#[test]
fn a_file_that_is_gone_is_refused() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    fs::remove_file(pair.place("lb1").config).unwrap();
    let answer = pair.daemon("lb1").ask(&["reload"]);
    assert_eq!(answer.code, 1);
    assert!(answer.complaint.contains("baton.toml"), "{}", answer.complaint);
    assert_eq!(pair.daemon("lb1").router("web").state, "active");
}

#[test]
fn a_lower_priority_hands_the_role_over() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let lower = netns_tests::pair(&[WEB, "[virtual_router.web.node.lb1]\npriority = 50\n"]);
    pair.configure(&lower);
    assert_eq!(pair.daemon("lb1").ask(&["reload"]).code, 0);
    pair.wait_for_holder(VIRTUAL, "lb2");
    assert_eq!(pair.daemon("lb1").router("web").priority, 50);
}

#[test]
fn virtual_routers_come_and_go_beside_one_that_stays() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let client = pair.ping(VIRTUAL);
    pair.look_from_now();
    pair.configure(&netns_tests::pair(&[WEB, WEB_V6]));
    for node in ["lb1", "lb2"] {
        assert_eq!(pair.daemon(node).ask(&["reload"]).code, 0);
    }
    pair.wait_for_holder("fd77::50", "lb1");

    pair.configure(&netns_tests::pair(&[WEB]));
    for node in ["lb2", "lb1"] {
        assert_eq!(pair.daemon(node).ask(&["reload"]).code, 0);
    }
    pair.wait_for_holders("fd77::50", &[]);
    pair.daemon("lb1").wait_for("router_stopped", &[("virtual_router", "web6")], LIMIT);
    assert_eq!(pair.daemon("lb1").status().virtual_routers.keys().collect::<Vec<_>>(), ["web"]);
    for node in ["lb1", "lb2"] {
        let of_web = pair.daemon(node).new_events().into_iter();
        let of_web: Vec<_> = of_web.filter(|event| event.field("virtual_router") == "web").collect();
        assert!(of_web.is_empty(), "{node}: {of_web:?}");
    }
    let seen = client.stop().unwrap();
    assert_eq!(seen.lost(), 0, "{seen}");
}

#[test]
fn a_virtual_router_moves_to_another_interface() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    pair.configure(&netns_tests::pair(&[&WEB.replace("eth0", "eth1")]));
    for node in ["lb2", "lb1"] {
        assert_eq!(pair.daemon(node).ask(&["reload"]).code, 0);
    }
    let on = |interface: &str| {
        let addresses = pair.machine("lb1").addresses(interface)?;
        Ok(addresses.iter().any(|cidr| cidr.address() == at(VIRTUAL)))
    };
    lab::wait_until("The address on eth1 alone", LIMIT, || Ok(on("eth1")? && !on("eth0")?)).unwrap();
    pair.wait_for_holder(VIRTUAL, "lb1");
}

#[test]
fn an_address_that_changes_its_virtual_router_stays_where_it_is() {
    let other = WEB.replace("web", "other").replace("51", "52").replace("10.77.0.50", "10.77.0.52");
    let mut pair = Pair::elected(&pair(&[&with_second(), &other]), VIRTUAL);
    pair.wait_for_holder_of_all(&[SECOND, "10.77.0.52"], "lb1");
    let client = pair.ping(SECOND);
    pair.look_from_now();
    let moved = other.replace("[\"10.77.0.52/24\"]", "[\"10.77.0.52/24\", \"10.77.0.51/24\"]");
    pair.configure(&netns_tests::pair(&[WEB, &moved]));
    for node in ["lb1", "lb2"] {
        assert_eq!(pair.daemon(node).ask(&["reload"]).code, 0);
    }
    pair.wait_to_hear("lb2", 6);
    let touched = pair.daemon("lb1").new_events().into_iter();
    let touched: Vec<_> = touched.filter(|event| event.field("address") == SECOND).collect();
    assert!(touched.is_empty(), "{touched:?}");
    assert_eq!(pair.holders(SECOND), ["lb1"]);
    let seen = client.stop().unwrap();
    assert_eq!(seen.lost(), 0, "{seen}");

    // It follows its new virtual router from now on.
    pair.daemon("lb1").stop(LIMIT);
    pair.wait_for_holder(SECOND, "lb2");
}

#[test]
fn many_reloads_in_a_row_end_with_the_last_file() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let client = pair.ping(VIRTUAL);
    pair.look_from_now();
    for round in 0..30 {
        let web = if round % 2 == 0 { with_second() } else { WEB.to_owned() };
        pair.configure(&netns_tests::pair(&[&web]));
        let answer = pair.daemon("lb1").ask(&["reload"]);
        assert_eq!(answer.code, 0, "{}", answer.complaint);
    }
    pair.wait_for_holders(SECOND, &[]);
    assert_eq!(pair.holders(VIRTUAL), ["lb1"]);
    for node in ["lb1", "lb2"] {
        assert_eq!(pair.daemon(node).transitions(), [""; 0], "{node}");
    }
    let seen = client.stop().unwrap();
    assert_eq!(seen.lost(), 0, "{seen}");
}

/// An editor that writes the file in place, and somebody who cannot wait.
#[test]
fn hundreds_of_signals_to_reload_a_file_that_is_still_being_written_move_nobody() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let client = pair.ping(VIRTUAL);
    pair.look_from_now();
    // Wherever it is cut in the long comment, what is left is valid, and has no virtual router any more.
    let comment = "# Whoever changes what stands below asks the others first.\n".repeat(1_000);
    let texts = [WEB.to_owned(), with_second()].map(|web| netns_tests::pair(&[&comment, &web]));
    for _ in 0..300 {
        pair.daemon("lb1").process().signal(lab::Signal::HUP).unwrap();
        for text in texts.iter().cycle().take(20) {
            fs::write(pair.place("lb1").config, text).unwrap();
        }
    }
    let answer = pair.daemon("lb1").ask(&["reload"]);
    assert_eq!(answer.code, 0, "{}", answer.complaint);
    pair.wait_for_holder(SECOND, "lb1");
    pair.wait_to_hear("lb2", 5);
    for node in ["lb1", "lb2"] {
        assert_eq!(pair.daemon(node).transitions(), [""; 0], "{node}");
    }
    let seen = client.stop().unwrap();
    assert_eq!(seen.lost(), 0, "{seen}");
}

/// A pipe without a writer stands for a disk that does not answer.
#[test]
fn a_reload_that_waits_for_its_file_holds_up_neither_a_status_nor_a_stop() {
    let mut pair = Pair::idle("");
    let here = pair.folder().path().display().to_string();
    let (leaving, held) = (format!("{here}/leaving"), pair.folder().write("held", ""));
    let hook = format!(
        "[hook.wait]\nvirtual_routers = [\"web\"]\nuser = \"root\"\non = [\"before_release\"]\n\
         command = [\"/bin/sh\", \"-c\", \"touch {leaving}; while test -e {here}/held; do sleep 0.01; done\"]\n"
    );
    pair.configure(&netns_tests::pair(&[WEB, &hook]));
    pair.elect(VIRTUAL);
    let place = pair.place("lb1");
    fs::remove_file(&place.config).unwrap();
    assert!(Command::new("mkfifo").arg(&place.config).status().unwrap().success());
    thread::scope(|scope| {
        let reload = scope.spawn(|| place.ask(&["reload"]));
        let mut pipe = wait_for_reader(&place.config);
        assert_eq!(pair.daemon("lb1").router("web").state, "active");
        pipe.write_all(netns_tests::pair(&[&with_second(), &hook]).as_bytes()).unwrap();
        drop(pipe);
        let answer = reload.join().unwrap();
        assert_eq!(answer.code, 0, "{}", answer.complaint);
    });
    pair.wait_for_holder(SECOND, "lb1");

    let client = pair.ping(VIRTUAL);
    pair.look_from_now();
    thread::scope(|scope| {
        let reload = scope.spawn(|| place.ask(&["reload"]));
        let mut pipe = wait_for_reader(&place.config);
        pair.daemon("lb1").process().signal(lab::Signal::TERM).unwrap();
        lab::wait_until("The hand-over", LIMIT, || Ok(Path::new(&leaving).exists())).unwrap();
        // What comes through now has no virtual router any more, and would end the hand-over of this one.
        pipe.write_all(netns_tests::pair(&[]).as_bytes()).unwrap();
        drop(pipe);
        let answer = reload.join().unwrap();
        assert_eq!(answer.code, 1, "{answer:?}");
        assert!(answer.complaint.contains("The daemon is stopping"), "{}", answer.complaint);
    });
    assert_eq!(pair.holders(VIRTUAL), ["lb1"]);
    fs::remove_file(held).unwrap();
    assert!(pair.daemon("lb1").process().wait(LIMIT).unwrap().success());
    pair.wait_for_holder_of_all(&[VIRTUAL], "lb2");
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    let seen = client.stop().unwrap();
    assert_eq!(seen.lost(), 0, "{seen}");
    let events = pair.daemon("lb1").new_events();
    assert!(events.iter().all(|event| event.name != "reloaded"), "{events:?}");

    // Nor does a stop wait for a file that never comes.
    let place = pair.place("lb2");
    pair.daemon("lb2").process().signal(lab::Signal::HUP).unwrap();
    let _pipe = wait_for_reader(&place.config);
    pair.daemon("lb2").stop(LIMIT);
}

/// Waits until somebody reads a pipe, and opens it to write.
fn wait_for_reader(path: &Path) -> File {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut opened = None;
    let open = || {
        opened = File::options().write(true).custom_flags(flags).open(path).ok();
        Ok(opened.is_some())
    };
    let waited = lab::wait_until("A reader of the configuration", LIMIT, open);
    waited.unwrap_or_else(|error| panic!("{error}"));
    opened.expect("it was waited for")
}
