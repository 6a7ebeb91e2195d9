//! What happens to a network interface under a running pair.

use std::thread::sleep;
use std::time::{Duration, Instant};

use lab::wait_until;
use netns_tests::frames;
use netns_tests::{LIMIT, Pair, VIRTUAL, VIRTUAL_V6, WEB, WEB_V6, at, pair};

/// Another hardware address for an interface.
const OTHER_MAC: &str = "02:00:00:00:99:01";

fn run(pair: &Pair, machine: &str, words: &str) {
    let words: Vec<_> = words.split(' ').collect();
    pair.machine(machine).run(&words).unwrap_or_else(|error| panic!("{error}"));
}

fn index(pair: &Pair, machine: &str, interface: &str) -> String {
    let path = format!("/sys/class/net/{interface}/ifindex");
    let index = pair.machine(machine).run(&["cat", &path]).unwrap_or_else(|error| panic!("{error}"));
    index.trim().to_owned()
}

#[test]
fn an_interface_that_has_another_name_is_missing_until_it_has_its_own_again() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    pair.look_from_now();
    run(&pair, "lb1", "ip link set eth0 down");
    run(&pair, "lb1", "ip link set eth0 name away");
    run(&pair, "lb1", "ip link set away up");
    pair.daemon("lb1").wait_for("router_faulted", &[("reason", "interface_missing")], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");

    run(&pair, "lb1", "ip link set away down");
    run(&pair, "lb1", "ip link set away name eth0");
    run(&pair, "lb1", "ip link set eth0 up");
    pair.daemon("lb1").wait_for("became_active", &[], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
    let client = pair.ping(VIRTUAL);
    pair.wait_for_neighbour(VIRTUAL, "lb1");
    drop(client);
    pair.wait_to_hear("lb2", 5);
}

#[test]
fn an_index_that_another_interface_has_by_now_is_not_taken_for_the_old_one() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let old = index(&pair, "lb1", "eth0");
    pair.look_from_now();
    pair.lab().port("lb1", "eth0").delete().unwrap();
    let make = format!("ip link add other index {old} type veth peer name end");
    let make: Vec<_> = make.split(' ').collect();
    wait_until("The old index", LIMIT, || Ok(pair.machine("lb1").run(&make).is_ok())).unwrap();
    run(&pair, "lb1", "ip link set other up");
    pair.daemon("lb1").wait_for("router_faulted", &[("reason", "interface_missing")], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");
    pair.lab().port("lb1", "eth0").recreate().unwrap();
    pair.daemon("lb1").wait_for("became_active", &[], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
    let on_other = pair.machine("lb1").addresses("other").unwrap();
    assert!(on_other.iter().all(|cidr| cidr.address() != at(VIRTUAL)), "{on_other:?}");
    pair.wait_to_hear("lb2", 5);
}

#[test]
fn another_hardware_address_is_announced_at_once() {
    let announcements = "[virtual_router.web.announcements]\nrepeat_after = \"0s\"\n";
    let mut pair = Pair::elected(&pair(&[WEB, announcements]), VIRTUAL);
    let client = pair.ping(VIRTUAL);
    pair.look_from_now();
    let mut wire = frames::record(pair.machine("client"), "eth0");
    run(&pair, "lb1", &format!("ip link set eth0 address {OTHER_MAC}"));
    let announced =
        format!("arp.isgratuitous == 1 && arp.src.proto_ipv4 == 10.77.0.50 && eth.src == {OTHER_MAC}");
    wait_until("The announcements", LIMIT, || Ok(wire.fields(&announced, &["frame.number"])?.len() >= 5))
        .unwrap();
    wire.stop().unwrap();
    pair.wait_for_neighbour(VIRTUAL, "lb1");
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    for node in ["lb1", "lb2"] {
        assert_eq!(pair.daemon(node).transitions(), [""; 0], "{node}");
    }
}

#[test]
fn a_unicast_node_that_comes_back_with_another_hardware_address_hears_its_peers() {
    let mut pair = Pair::elected(&pair(&[WEB, "transport = \"unicast\"\n"]), VIRTUAL);
    run(&pair, "lb1", "ip link set eth0 down");
    pair.daemon("lb1").wait_for("router_faulted", &[("reason", "interface_down")], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");
    pair.look_from_now();
    let mut wire = frames::record(pair.machine("lb2"), "eth0");
    run(&pair, "lb1", &format!("ip link set eth0 address {OTHER_MAC}"));
    run(&pair, "lb1", "ip link set eth0 up");
    // Without that word the other node's advertisements go to the old hardware address and are not heard.
    let introduced =
        format!("arp.isgratuitous == 1 && arp.src.proto_ipv4 == 10.77.0.11 && eth.src == {OTHER_MAC}");
    wait_until("The introduction", LIMIT, || Ok(!wire.fields(&introduced, &["frame.number"])?.is_empty()))
        .unwrap();
    wire.stop().unwrap();
    pair.daemon("lb1").wait_for("became_active", &[("reason", "preempting")], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
}

#[test]
fn another_source_address_is_used_from_the_next_advertisement_on() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    // Else the kernel removes the subnet's other addresses along with the first one.
    pair.machine("lb1").set_sysctl("net/ipv4/conf/eth0/promote_secondaries", "1").unwrap();
    run(&pair, "lb1", "ip address add 10.77.0.21/24 dev eth0");
    pair.look_from_now();
    let mut wire = frames::record(pair.machine("client"), "eth0");
    run(&pair, "lb1", "ip address del 10.77.0.11/24 dev eth0");
    let moved = "vrrp && ip.src == 10.77.0.21";
    wait_until("Advertisements", LIMIT, || Ok(wire.fields(moved, &["frame.number"])?.len() >= 5)).unwrap();
    wire.stop().unwrap();
    for node in ["lb1", "lb2"] {
        assert_eq!(pair.daemon(node).transitions(), [""; 0], "{node}");
    }
    pair.wait_for_holder(VIRTUAL, "lb1");
}

#[test]
fn a_node_that_loses_its_last_source_address_takes_part_again_with_another() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    pair.look_from_now();
    run(&pair, "lb1", "ip address flush dev eth0");
    pair.daemon("lb1").wait_for("router_faulted", &[("reason", "no_source")], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");
    run(&pair, "lb1", "ip address add 10.77.0.21/24 dev eth0");
    pair.daemon("lb1").wait_for("became_active", &[], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
    pair.daemon("lb2").wait_for("became_backup", &[("peer", "10.77.0.21")], LIMIT);
}

#[test]
fn a_blocked_switch_port_makes_two_actives_that_are_one_again_when_it_opens() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let client = pair.ping(VIRTUAL);
    pair.look_from_now();
    // Its carrier stays: the Active cannot know, and the other one serves everybody who is not behind that port.
    pair.lab().port("lb1", "eth0").block().unwrap();
    pair.wait_for_holders(VIRTUAL, &["lb1", "lb2"]);
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    pair.wait_for_neighbour(VIRTUAL, "lb2");

    pair.lab().port("lb1", "eth0").unblock().unwrap();
    pair.wait_for_holder(VIRTUAL, "lb1");
    pair.wait_for_neighbour(VIRTUAL, "lb1");
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    pair.daemon("lb1").wait_for("dual_active", &[("peer", "10.77.0.12")], LIMIT);
    pair.daemon("lb1").wait_for("dual_active_over", &[("peer", "10.77.0.12")], LIMIT);
    assert_eq!(pair.daemon("lb1").transitions(), [""; 0]);
    assert_eq!(pair.daemon("lb2").transitions(), ["became_active", "became_backup"]);
}

/// Takes the carrier away and gives it back, ten times a second for three seconds.
fn flap(pair: &Pair, machine: &str) {
    let port = pair.lab().port(machine, "eth0");
    for _ in 0..30 {
        port.carrier_off().unwrap_or_else(|error| panic!("{error}"));
        sleep(Duration::from_millis(50));
        port.carrier_on().unwrap_or_else(|error| panic!("{error}"));
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_link_that_flaps_ten_times_a_second_ends_in_the_right_roles_and_hears() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    flap(&pair, "lb1");
    pair.wait_for_holder(VIRTUAL, "lb1");
    pair.wait_to_hear("lb2", 5);
    assert_eq!(pair.daemon("lb1").router("web").state, "active");
    assert_eq!(pair.daemon("lb2").router("web").state, "backup");
    let client = pair.ping(VIRTUAL);
    pair.wait_for_neighbour(VIRTUAL, "lb1");
    drop(client);
    // It hears as well as it speaks.
    pair.daemon("lb1").stop(LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");
    flap(&pair, "lb2");
    pair.start("lb1");
    pair.wait_for_holder(VIRTUAL, "lb1");
    pair.wait_to_hear("lb2", 5);
}

#[test]
fn an_ipv6_interface_that_is_set_down_and_up_again_and_again_ends_well() {
    let mut pair = Pair::elected(&pair(&[WEB_V6]), VIRTUAL_V6);
    for _ in 0..10 {
        run(&pair, "lb1", "ip link set eth0 down");
        run(&pair, "lb1", "ip link set eth0 up");
    }
    // The kernel took the node's own global addresses along; its link-local one comes back by itself.
    pair.wait_for_holder(VIRTUAL_V6, "lb1");
    pair.wait_to_hear("lb2", 5);
    assert_eq!(pair.daemon("lb2").router("web6").state, "backup");
}

#[test]
fn an_interface_that_is_made_anew_five_times_is_heard_on_each_time() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    for _ in 0..5 {
        pair.lab().port("lb2", "eth0").delete().unwrap();
        pair.lab().port("lb2", "eth0").recreate().unwrap();
        pair.wait_to_hear("lb2", 3);
    }
    assert_eq!(pair.holders(VIRTUAL), ["lb1"]);
}

#[test]
fn more_changes_than_the_kernel_can_tell_of_are_made_up_for() {
    let mut pair = Pair::idle(&pair(&[WEB]));
    pair.start("lb1");
    pair.wait_for_holder(VIRTUAL, "lb1");
    pair.look_from_now();
    // Nobody listens meanwhile, and no buffer holds so much.
    pair.daemon("lb1").process().pause().unwrap();
    let mut lines = String::new();
    for _ in 0..15_000 {
        lines += "address add 10.99.0.1/32 dev lo\naddress del 10.99.0.1/32 dev lo\n";
    }
    pair.folder().write("churn", &lines);
    let batch = pair.folder().path().join("churn");
    pair.machine("lb1").run(&["ip", "-batch", batch.to_str().unwrap()]).unwrap();
    run(&pair, "lb1", "ip address del 10.77.0.50/24 dev eth0");
    pair.daemon("lb1").process().resume().unwrap();

    pair.daemon("lb1").wait_for("netlink_resync", &[], LIMIT);
    // By a repair, or by the renewal of its lease, whichever comes first.
    pair.wait_for_holder(VIRTUAL, "lb1");
    let events = pair.daemon("lb1").events();
    assert!(events.iter().all(|event| event.name != "router_faulted"), "{events:?}");
    // What is told from then on is heard as before.
    run(&pair, "lb1", "ip link set eth0 down");
    pair.daemon("lb1").wait_for("router_faulted", &[("reason", "interface_down")], LIMIT);
}
