//! Who is Active when nodes die, leave, come back and lose sight of each other.

use std::time::{Duration, Instant};

use lab::Topology;
use netns_tests::frames::{self, Checksum};
use netns_tests::{ActiveStatus, LIMIT, NODES, Pair, VIRTUAL, VIRTUAL_V6, WEB, WEB_V6, at, pair};

/// 3 × interval + skew of `lb2`: 100 ms and priority 100.
/// [RFC 9568, section 6.1](https://www.rfc-editor.org/rfc/rfc9568#section-6.1)
const ACTIVE_DOWN: Duration = Duration::from_millis(361);

/// The client, which can be a gateway as well.
const CLIENT: &str = "10.77.0.100";

#[test]
fn after_a_crash_the_backup_serves_the_client() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let client = pair.ping(VIRTUAL);
    pair.wait_for_neighbour(VIRTUAL, "lb1");
    pair.look_from_now();

    let crash = Instant::now();
    pair.lab().detach("lb1").unwrap();
    let fields = [("virtual_router", "web"), ("reason", "active_down")];
    pair.daemon("lb2").wait_for("became_active", &fields, LIMIT);
    let taken = Instant::now();
    client.wait_for_answer(taken, LIMIT).unwrap();
    pair.wait_for_neighbour(VIRTUAL, "lb2");

    let seen = client.stop().unwrap().since(crash);
    assert!(seen.longest_gap().duration() < 2 * ACTIVE_DOWN, "{seen}");
    assert_eq!(pair.daemon("lb2").transitions(), ["became_active"]);
}

#[test]
fn after_a_crash_the_backup_serves_the_client_over_ipv6() {
    let mut pair = Pair::elected(&pair(&[WEB_V6]), VIRTUAL_V6);
    let client = pair.ping(VIRTUAL_V6);
    pair.wait_for_neighbour(VIRTUAL_V6, "lb1");

    let crash = Instant::now();
    pair.lab().detach("lb1").unwrap();
    pair.daemon("lb2").wait_for("became_active", &[("virtual_router", "web6")], LIMIT);
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    pair.wait_for_neighbour(VIRTUAL_V6, "lb2");
    let seen = client.stop().unwrap().since(crash);
    assert!(seen.longest_gap().duration() < 2 * ACTIVE_DOWN, "{seen}");
}

#[test]
fn nodes_take_over_in_the_order_of_their_priorities() {
    let lab = Topology::standard(3, 0).build().unwrap();
    let third = "[node.lb3]\naddresses = [\"10.77.0.13\"]\npriority = 50\n";
    // Fifty steps of priority are a fifth of an interval: that much late the second may be before the third claims.
    let mut nodes = Pair::in_lab(lab, &pair(&[third, &WEB.replace("100ms", "1s")]));
    nodes.start("lb3");
    nodes.elect(VIRTUAL);

    nodes.lab().detach("lb1").unwrap();
    nodes.wait_for_holders(VIRTUAL, &["lb1", "lb2"]);
    nodes.wait_to_hear("lb3", 5);
    assert_eq!(nodes.daemon("lb3").transitions(), ["became_backup"]);
    nodes.lab().detach("lb2").unwrap();
    nodes.wait_for_holders(VIRTUAL, &["lb1", "lb2", "lb3"]);
    let _client = nodes.ping(VIRTUAL);
    nodes.wait_for_neighbour(VIRTUAL, "lb3");
}

#[test]
fn a_stopped_node_says_so_and_leaves_nothing_behind() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let before = Pair::idle("").machine("lb1").addresses("eth0").unwrap().len();
    let mut wire = frames::record(pair.machine("client"), "eth0");
    let client = pair.ping(VIRTUAL);

    pair.daemon("lb1").stop(LIMIT);
    pair.daemon("lb2").wait_for("became_active", &[("reason", "active_released")], LIMIT);
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    assert_eq!(pair.holders(VIRTUAL), ["lb2"]);
    pair.wait_for_neighbour(VIRTUAL, "lb2");

    let left = pair.machine("lb1").addresses("eth0").unwrap();
    assert_eq!(left.len(), before, "{left:?}");
    let socket = pair.place("lb1").socket;
    assert!(!socket.exists());
    let owned = std::fs::read_to_string(socket.with_file_name("owned.json")).unwrap_or_default();
    assert!(!owned.contains(VIRTUAL), "{owned}");

    wire.stop().unwrap();
    let farewell = "ip.src == 10.77.0.11 && vrrp.prio == 0";
    assert!(!frames::decode(&wire, Checksum::MessageOnly, farewell, &["vrrp.prio"]).is_empty());
}

#[test]
fn a_better_node_that_comes_back_takes_over() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    pair.daemon("lb1").stop(LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");
    pair.look_from_now();
    pair.start("lb1").wait_for("became_active", &[("reason", "preempting")], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
    pair.daemon("lb2").wait_for("became_backup", &[("reason", "outranked")], LIMIT);
}

/// What is announced unasked does not reach the loser, as if it had come before the loser listened.
#[test]
fn a_loser_that_missed_the_announcement_asks_who_has_the_address() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    pair.daemon("lb1").stop(LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");
    let unasked = "add table netdev deaf; \
                   add chain netdev deaf eth0 { type filter hook ingress device eth0 priority 0; }; \
                   add rule netdev deaf eth0 arp operation request arp saddr ip 10.77.0.50 drop";
    pair.machine("lb2").run(&["nft", unasked]).unwrap();
    let wire = frames::record(pair.machine("lb1"), "eth0");
    pair.start("lb1");
    let question = "arp.opcode == 1 && arp.src.proto_ipv4 == 10.77.0.12 && arp.dst.proto_ipv4 == 10.77.0.50";
    let asked = || Ok(!wire.fields(question, &["frame.number"])?.is_empty());
    lab::wait_until("A question", LIMIT, asked).unwrap();
    pair.wait_for_holder(VIRTUAL, "lb1");
}

#[test]
fn without_preemption_a_better_node_that_comes_back_waits_until_it_is_needed() {
    let mut pair = Pair::elected(&pair(&[WEB, "preempt = false\nhearing_wait = \"0s\"\n"]), VIRTUAL);
    pair.daemon("lb1").stop(LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");
    pair.look_from_now();

    pair.start("lb1");
    pair.wait_to_hear("lb1", 8);
    assert_eq!(pair.daemon("lb1").router("web").state, "backup");
    assert_eq!(pair.daemon("lb2").transitions(), [""; 0]);
    assert_eq!(pair.holders(VIRTUAL), ["lb2"]);

    pair.daemon("lb2").stop(LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
}

#[test]
fn a_better_node_that_comes_back_waits_for_its_preempt_delay_before_it_takes_over() {
    let delay = Duration::from_secs(10);
    let mut pair = Pair::elected(&pair(&[WEB, "preempt_delay = \"10s\"\n"]), VIRTUAL);
    pair.daemon("lb1").stop(LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");
    pair.look_from_now();

    let started = Instant::now();
    pair.start("lb1");
    pair.wait_to_hear("lb1", 8);
    let web = pair.daemon("lb1").router("web");
    assert_eq!((&*web.state, web.delay.unwrap().kind.as_str()), ("backup", "preempt_delay"));
    assert_eq!(web.active, Some(ActiveStatus { peer: [10, 77, 0, 12].into(), priority: 100 }));
    assert_eq!(pair.daemon("lb2").transitions(), [""; 0]);
    assert_eq!(pair.holders(VIRTUAL), ["lb2"]);

    pair.daemon("lb1").wait_for("became_active", &[("reason", "preempting")], LIMIT);
    assert!(started.elapsed() >= delay, "{:?}", started.elapsed());
    pair.wait_for_holder(VIRTUAL, "lb1");
}

#[test]
fn an_active_that_dies_is_succeeded_whatever_is_left_of_the_preempt_delay() {
    let mut pair = Pair::elected(&pair(&[WEB, "preempt_delay = \"1h\"\n"]), VIRTUAL);
    pair.daemon("lb1").stop(LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");
    pair.start("lb1");
    pair.wait_to_hear("lb1", 8);
    assert_eq!(pair.holders(VIRTUAL), ["lb2"]);
    pair.lab().detach("lb2").unwrap();
    pair.daemon("lb1").wait_for("became_active", &[("reason", "active_down")], LIMIT);
    pair.wait_for_holders(VIRTUAL, &["lb1", "lb2"]);
}

#[test]
fn a_rebooted_node_behind_a_port_that_does_not_forward_yet_steals_nothing_without_preemption() {
    let mut pair = Pair::idle(&pair(&[WEB, "[virtual_router.web.node.lb1]\npreempt = false\n"]));
    pair.start("lb2");
    pair.wait_for_holder(VIRTUAL, "lb2");
    pair.look_from_now();
    let port = pair.lab().port("lb1", "eth0");
    for direction in [lab::Direction::ToMachine, lab::Direction::FromMachine] {
        port.lose(direction, lab::Loss::All).unwrap();
    }
    pair.start("lb1");
    // Many times as long as a Backup waits: the other's advertisements count the time.
    let sent = |pair: &mut Pair| pair.daemon("lb2").router("web").advertisements_sent;
    let goal = sent(&mut pair) + 30;
    lab::wait_until("3 s of silence", LIMIT, || Ok(sent(&mut pair) >= goal)).unwrap();
    assert_eq!(pair.daemon("lb1").router("web").state, "backup");
    pair.lab().port("lb1", "eth0").clear().unwrap();
    pair.wait_to_hear("lb1", 8);
    assert_eq!(pair.daemon("lb1").router("web").became_active, 0);
    assert_eq!(pair.daemon("lb2").transitions(), [""; 0]);
    assert_eq!(pair.holders(VIRTUAL), ["lb2"]);
    // It has proven that it can hear, and is there when it is needed.
    pair.daemon("lb2").stop(LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
}

/// The default of `hearing_wait` is longer than anything is waited for here.
#[test]
fn a_rebooted_node_whose_neighbour_answers_need_not_wait_for_an_advertisement_that_nobody_sends() {
    for (router, address, peer) in [(WEB, VIRTUAL, "10.77.0.12"), (WEB_V6, VIRTUAL_V6, "fd77::12")] {
        let mut pair = Pair::idle(&pair(&[router, "preempt = false\n"]));
        pair.start("lb1").wait_for("neighbour_answered", &[("peer", peer)], LIMIT);
        pair.wait_for_holder(address, "lb1");
        pair.daemon("lb1").wait_for("became_active", &[("reason", "active_down")], LIMIT);
    }
}

#[test]
fn a_rebooted_node_asks_its_gateway_too_and_says_whom_it_asks() {
    let mut pair = Pair::idle(&pair(&[WEB, "preempt = false\nhearing_wait = \"1h\"\n"]));
    let lb2 = pair.lab().port("lb2", "eth0");
    lb2.lose(lab::Direction::FromMachine, lab::Loss::All).unwrap();
    let reason = pair.start("lb1").router("web").reason;
    assert_eq!(reason, "it has just started and heard nobody yet: it asks its neighbours");
    let wait_for_question = |pair: &mut Pair, whom: &str| {
        let says_so = format!("it asks its neighbours {whom}\n");
        let lb1 = pair.daemon("lb1");
        lab::wait_until(&says_so, LIMIT, || Ok(lb1.ask(&["status"]).output.contains(&says_so))).unwrap();
    };
    wait_for_question(&mut pair, "10.77.0.12");
    // Nobody has this address.
    pair.machine("lb1").run(&["ip", "route", "add", "default", "via", "10.77.0.99"]).unwrap();
    wait_for_question(&mut pair, "10.77.0.12, 10.77.0.99");
    pair.machine("lb1").run(&["ip", "route", "replace", "default", "via", CLIENT]).unwrap();
    pair.daemon("lb1").wait_for("neighbour_answered", &[("peer", CLIENT)], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
    let status = pair.daemon("lb1").ask(&["status"]).output;
    assert!(!status.contains("asks"), "{status}");
}

#[test]
fn a_start_delay_keeps_a_node_out_of_the_election_for_a_time() {
    let mut pair = Pair::idle(&pair(&[WEB, "start_delay = \"2s\"\n"]));
    let started = std::time::Instant::now();
    pair.start("lb1");
    let web = pair.daemon("lb1").router("web");
    assert_eq!(web.reason, "it waits for the end of its start delay");
    assert_eq!(web.delay.unwrap().kind, "start_delay");
    pair.wait_for_holder(VIRTUAL, "lb1");
    assert!(started.elapsed() >= std::time::Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn after_a_partition_one_node_is_active_and_the_client_talks_to_it() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let client = pair.ping(VIRTUAL);
    pair.lab().partition(&["lb1"], &["lb2"]).unwrap();
    pair.wait_for_holders(VIRTUAL, &["lb1", "lb2"]);
    pair.wait_for_neighbour(VIRTUAL, "lb2");

    pair.look_from_now();
    pair.lab().heal().unwrap();
    pair.wait_for_holder(VIRTUAL, "lb1");
    pair.wait_for_neighbour(VIRTUAL, "lb1");
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    pair.wait_to_hear("lb2", 5);
    assert_eq!(pair.daemon("lb1").transitions(), [""; 0]);
    assert_eq!(pair.daemon("lb2").transitions(), ["became_backup"]);
}

#[test]
fn a_node_that_hears_nobody_though_it_is_heard_yields_again_when_it_hears() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let port = pair.lab().port("lb2", "eth0");
    port.lose(lab::Direction::ToMachine, lab::Loss::All).unwrap();
    pair.wait_for_holders(VIRTUAL, &["lb1", "lb2"]);
    let lb2 = [("virtual_router", "web"), ("peer", "10.77.0.12")];
    pair.daemon("lb1").wait_for("dual_active", &lb2, LIMIT);
    assert_eq!(pair.daemon("lb1").router("web").dual_active, 1);
    pair.lab().heal().unwrap();
    pair.wait_for_holder(VIRTUAL, "lb1");
    let over = pair.daemon("lb1").wait_for("dual_active_over", &lb2, LIMIT);
    assert!(over.field("milliseconds").parse::<f64>().unwrap() > 0.0, "{over:?}");
    let outranked = [("reason", "outranked"), ("peer", "10.77.0.11"), ("priority", "150")];
    pair.daemon("lb2").wait_for("became_backup", &outranked, LIMIT);
}

#[test]
fn a_killed_node_leaves_no_address_twice_and_cleans_up_when_it_is_started_again() {
    let mut pair = Pair::elected(&pair(&[WEB, "preempt = false\nhearing_wait = \"0s\"\n"]), VIRTUAL);
    pair.daemon("lb1").process().kill().unwrap();
    pair.wait_for_holders(VIRTUAL, &["lb1", "lb2"]);
    pair.start("lb1");
    pair.wait_for_holder(VIRTUAL, "lb2");
    pair.wait_to_hear("lb1", 5);
    assert_eq!(pair.daemon("lb1").router("web").state, "backup");
}

#[test]
fn a_killed_node_that_is_started_again_at_once_serves_on() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    pair.daemon("lb1").process().kill().unwrap();
    pair.start("lb1");
    pair.daemon("lb1").wait_for("became_active", &[], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
    pair.wait_to_hear("lb2", 5);
    let addresses = pair.machine("lb1").addresses("eth0").unwrap();
    assert_eq!(addresses.iter().filter(|cidr| cidr.address() == at(VIRTUAL)).count(), 1, "{addresses:?}");
    assert_eq!(pair.holders(VIRTUAL), ["lb1"]);
}

#[test]
fn of_two_equal_actives_the_one_with_the_greater_address_stays() {
    let mut pair = Pair::idle(&format!("{NODES}{WEB}priority = 120\n"));
    pair.lab().partition(&["lb1"], &["lb2"]).unwrap();
    pair.start("lb1");
    pair.start("lb2");
    pair.wait_for_holders(VIRTUAL, &["lb1", "lb2"]);
    pair.lab().heal().unwrap();
    pair.wait_for_holder(VIRTUAL, "lb2");
    pair.daemon("lb1").wait_for("became_backup", &[("reason", "outranked")], LIMIT);
    // The one with the smaller address comes back to an equal, and that is no reason to change anything.
    pair.start("lb1");
    pair.wait_to_hear("lb1", 8);
    assert_eq!(pair.holders(VIRTUAL), ["lb2"]);
}

#[test]
fn of_two_equal_nodes_that_start_at_once_one_is_active() {
    let mut pair = Pair::idle(&format!("{NODES}{WEB}priority = 120\n"));
    for node in ["lb1", "lb2"] {
        pair.launch(node);
    }
    // Both wait equally long, so both may claim; of two equal Actives the one with the greater address stays.
    let mut quiet = 0;
    lab::wait_until("One Active for ten looks in a row", LIMIT, || {
        let holders = pair.lab().holders(at(VIRTUAL))?.len();
        std::thread::sleep(Duration::from_millis(100));
        quiet = if holders == 1 { quiet + 1 } else { 0 };
        Ok(quiet == 10)
    })
    .unwrap();
    let states: Vec<_> = ["lb1", "lb2"].map(|node| pair.daemon(node).router("web").state).into();
    assert!(states == ["active", "backup"] || states == ["backup", "active"], "{states:?}");
}

#[test]
fn a_backup_that_was_stopped_for_longer_than_it_waits_hears_the_active_first() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    pair.look_from_now();
    pair.daemon("lb2").process().pause().unwrap();
    // Ten advertisements go by; its down timer expires after three and a half.
    let wire = frames::record(pair.machine("client"), "eth0");
    lab::wait_until("Ten advertisements", LIMIT, || Ok(wire.fields("vrrp", &["vrrp.prio"])?.len() >= 10))
        .unwrap();
    pair.daemon("lb2").process().resume().unwrap();
    pair.wait_to_hear("lb2", 5);
    assert_eq!(pair.daemon("lb2").transitions(), [""; 0]);
    assert_eq!(pair.holders(VIRTUAL), ["lb1"]);
}
