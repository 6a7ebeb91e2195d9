//! A role that is given up on purpose: the client notices nothing, whoever the successor is.

use std::time::Instant;

use lab::Topology;
use netns_tests::dialect::{Dialect, Preferred, Transport, Version};
use netns_tests::keepalived::Keepalived;
use netns_tests::{LIMIT, Pair, VIRTUAL, VIRTUAL_V6, pair};

/// At the default interval of a second a Backup of priority 100 waits 610 ms after a release.
const WEB: &str = r#"
[virtual_router.web]
interface = "eth0"
virtual_router_id = 51
virtual_addresses = ["10.77.0.50/24"]
"#;

const WEB_V6: &str = r#"
[virtual_router.web6]
interface = "eth0"
virtual_router_id = 51
virtual_addresses = ["fe80::50/64", "fd77::50/64"]
"#;

/// A gateway for the real servers moves along.
const INSIDE: &str = r#"
sync_group = "edge"

[virtual_router.inside]
interface = "eth1"
virtual_router_id = 52
virtual_addresses = ["10.78.0.1/24"]
sync_group = "edge"
"#;

#[test]
fn a_stop_loses_no_request() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let client = pair.ping(VIRTUAL);
    let stop = Instant::now();
    pair.daemon("lb1").stop(LIMIT);
    pair.daemon("lb2").wait_for("became_active", &[("reason", "active_released")], LIMIT);
    pair.daemon("lb1").wait_for("handed_over", &[("peer", "10.77.0.12")], LIMIT);
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    assert_eq!(pair.holders(VIRTUAL), ["lb2"]);
    let seen = client.stop().unwrap().since(stop);
    assert_eq!(seen.lost(), 0, "{seen}");
}

#[test]
fn a_stop_loses_no_request_over_ipv6() {
    let mut pair = Pair::elected(&pair(&[WEB_V6]), VIRTUAL_V6);
    let client = pair.ping(VIRTUAL_V6);
    let stop = Instant::now();
    pair.daemon("lb1").stop(LIMIT);
    pair.daemon("lb1").wait_for("handed_over", &[("virtual_router", "web6")], LIMIT);
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    assert_eq!(pair.holders(VIRTUAL_V6), ["lb2"]);
    let seen = client.stop().unwrap().since(stop);
    assert_eq!(seen.lost(), 0, "{seen}");
}

#[test]
fn what_was_passed_on_stays_away_until_it_is_released() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let client = pair.ping(VIRTUAL);
    let passed = Instant::now();
    let answer = pair.daemon("lb1").ask(&["pass", "web"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(answer.output.starts_with("web: lb2, 10.77.0.12 serves after "), "{answer:?}");
    pair.wait_for_holder(VIRTUAL, "lb2");
    pair.wait_to_hear("lb1", 5);
    let status = pair.daemon("lb1").ask(&["status"]).output;
    assert!(status.contains("stays away until released"), "{status}");
    assert_eq!(pair.holders(VIRTUAL), ["lb2"]);

    let answer = pair.daemon("lb1").ask(&["release", "web"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    pair.wait_for_holder(VIRTUAL, "lb1");
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    let seen = client.stop().unwrap().since(passed);
    assert_eq!(seen.lost(), 0, "{seen}");
}

#[test]
fn what_was_passed_on_for_a_time_comes_back_by_itself() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let answer = pair.daemon("lb1").ask(&["pass", "web", "--for", "1s"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    pair.daemon("lb1").wait_for("comes_back", &[("virtual_router", "web")], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
}

#[test]
fn what_cannot_be_passed_on_is_refused_with_what_to_do() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let ask = |pair: &mut Pair, words: &[&str]| pair.daemon("lb1").ask(words);
    let unknown = ask(&mut pair, &["pass", "mail"]);
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(
        unknown.complaint.contains("no virtual router or sync group mail on this node: web"),
        "{unknown:?}"
    );
    let present = ask(&mut pair, &["release", "web"]);
    assert!(present.code == 1 && present.complaint.contains("was not passed on"), "{present:?}");
    let garbled = ask(&mut pair, &["pass", "web", "--for", "10"]);
    assert!(garbled.code == 2 && garbled.complaint.contains("the unit is missing"), "{garbled:?}");
    assert_eq!(pair.holders(VIRTUAL), ["lb1"]);
}

#[test]
fn what_nobody_takes_over_goes_on_being_served() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    pair.lab().detach("lb2").unwrap();
    let client = pair.ping(VIRTUAL);
    let passed = Instant::now();
    let answer = pair.daemon("lb1").ask(&["pass", "web"]);
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.complaint.contains("Nobody took web over"), "{answer:?}");
    pair.daemon("lb1").wait_for("nobody_took_over", &[("virtual_router", "web")], LIMIT);
    assert_eq!(pair.daemon("lb1").router("web").state, "active");
    let seen = client.stop().unwrap().since(passed);
    assert_eq!(seen.lost(), 0, "{seen}");
}

#[test]
fn of_three_nodes_the_second_takes_over_from_the_first() {
    let lab = Topology::standard(3, 0).build().unwrap();
    let third = "[node.lb3]\naddresses = [\"10.77.0.13\"]\npriority = 95\n";
    let mut nodes = Pair::in_lab(lab, &pair(&[third, WEB]));
    nodes.start("lb3");
    nodes.elect(VIRTUAL);
    nodes.wait_to_hear("lb3", 1);
    let client = nodes.ping(VIRTUAL);
    let stop = Instant::now();
    nodes.daemon("lb1").stop(LIMIT);
    nodes.daemon("lb1").wait_for("handed_over", &[("peer", "10.77.0.12")], LIMIT);
    nodes.wait_for_holder(VIRTUAL, "lb2");
    assert_eq!(nodes.daemon("lb3").transitions(), ["became_backup"]);
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    let seen = client.stop().unwrap().since(stop);
    assert_eq!(seen.lost(), 0, "{seen}");
}

#[test]
fn a_group_that_loses_a_link_is_handed_over_through_the_other() {
    let mut pair = Pair::elected(&pair(&[WEB, INSIDE]), VIRTUAL);
    let client = pair.ping(VIRTUAL);
    let cut = Instant::now();
    pair.machine("lb1").run(&["ip", "link", "set", "eth1", "down"]).unwrap();
    pair.daemon("lb1").wait_for("handing_over", &[("reason", "sync_group")], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");
    pair.wait_for_holder("10.78.0.1", "lb2");
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    let seen = client.stop().unwrap().since(cut);
    assert_eq!(seen.lost(), 0, "{seen}");
}

/// Keepalived knows nothing of hand-overs, but the standard makes it fast.
#[test]
fn keepalived_takes_over_without_a_lost_request() {
    let dialect = Dialect { version: Version::V3, transport: Transport::Multicast };
    let mut pair = Pair::idle(&dialect.baton(Preferred::Baton));
    let mut keepalived = Keepalived::start(pair.machine("lb2"), dialect, Preferred::Baton);
    pair.start("lb1");
    pair.wait_for_holder(VIRTUAL, "lb1");
    keepalived.wait_for("Entering BACKUP STATE");
    let client = pair.ping(VIRTUAL);
    let passed = Instant::now();
    let answer = pair.daemon("lb1").ask(&["pass", "web"]);
    assert_eq!(answer.code, 0, "{answer:?} {}", keepalived.log());
    pair.wait_for_holder(VIRTUAL, "lb2");
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    let seen = client.stop().unwrap().since(passed);
    assert_eq!(seen.lost(), 0, "{seen}");
}
