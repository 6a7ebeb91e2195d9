//! Virtual addresses on the kernel: whose they are, how they move, and what happens to them when others interfere.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime};

use lab::{Capture, wait_until};
use netns_tests::frames::{self, Checksum};
use netns_tests::{INSIDE, LIMIT, Pair, VIRTUAL, VIRTUAL_V6, WEB, WEB_V6, at, pair};

/// The gateway of the real servers over IPv6.
const INSIDE_V6: &str = "fd78::1";

/// A virtual router of the inside, whose fate is that of `web`.
const INNER: &str = r#"
[virtual_router.inner]
interface = "eth1"
virtual_router_id = 52
advert_interval = "100ms"
virtual_addresses = ["10.78.0.1/24"]
sync_group = "edge"
"#;

#[test]
fn an_address_that_somebody_removes_is_put_back_and_announced_again() {
    let mut pair = Pair::elected(
        &pair(&[WEB, "[virtual_router.web.announcements]\nburst = 1\nrepeat_after = \"0s\"\n"]),
        VIRTUAL,
    );
    let client = pair.ping(VIRTUAL);
    let mut wire = frames::record(pair.machine("client"), "eth0");
    pair.look_from_now();

    let removed = Instant::now();
    pair.machine("lb1").run(&["ip", "address", "del", "10.77.0.50/24", "dev", "eth0"]).unwrap();
    pair.daemon("lb1").wait_for("repaired", &[], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    let announced = "arp.isgratuitous == 1 && arp.src.proto_ipv4 == 10.77.0.50";
    wait_until("An announcement", LIMIT, || Ok(!wire.fields(announced, &["frame.number"])?.is_empty()))
        .unwrap();
    wire.stop().unwrap();

    assert_eq!(pair.daemon("lb1").transitions(), [""; 0]);
    assert_eq!(pair.daemon("lb2").transitions(), [""; 0]);
    assert_eq!(pair.daemon("lb1").router("web").addresses_restored, 1);
    // A Backup would wait longer than that before it claimed.
    let seen = client.stop().unwrap().since(removed);
    assert!(seen.longest_gap().duration().as_millis() < 300, "{seen}");
}

/// Removes the address of a machine whenever it is there, so many times.
#[track_caller]
fn remove_again_and_again(pair: &Pair, machine: &str, times: u32) {
    for _ in 0..times {
        let machine = pair.machine(machine);
        wait_until("The address", LIMIT, || machine.holds(at(VIRTUAL))).expect("it is put back");
        machine.run(&["ip", "address", "del", "10.77.0.50/24", "dev", "eth0"]).expect("it was there");
    }
}

#[test]
fn an_address_that_is_removed_again_and_again_moves_to_the_other_node() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let client = pair.ping(VIRTUAL);
    pair.look_from_now();
    remove_again_and_again(&pair, "lb1", 4);
    let fight = pair.daemon("lb1").wait_for("address_fight", &[("address", VIRTUAL)], LIMIT);
    assert_eq!(fight.field("removals"), "4");
    pair.daemon("lb1").wait_for("handing_over", &[("reason", "address_fight")], LIMIT);
    pair.daemon("lb1").wait_for("handed_over", &[("peer", "10.77.0.12")], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");
    pair.daemon("lb1").wait_for("address_fight_over", &[("address", VIRTUAL)], LIMIT);
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    pair.wait_to_hear("lb1", 8);
    assert_eq!(pair.daemon("lb1").router("web").state, "backup");
    assert_eq!(pair.daemon("lb1").router("web").address_fights, 1);
}

#[test]
fn a_node_alone_puts_an_address_back_less_and_less_often_and_serves_on() {
    let mut pair = Pair::idle(&pair(&[WEB]));
    pair.start("lb1");
    pair.wait_for_holder(VIRTUAL, "lb1");
    let began = Instant::now();
    remove_again_and_again(&pair, "lb1", 6);
    pair.wait_for_holder(VIRTUAL, "lb1");
    // Half a second, then one, then two.
    assert!(began.elapsed().as_millis() > 3_500, "{:?}", began.elapsed());
    let told = pair.daemon("lb1").events();
    let names = ["address_fight", "nobody_took_over"];
    let told: Vec<_> = told.iter().map(|event| &*event.name).filter(|name| names.contains(name)).collect();
    assert_eq!(told, names);
    let router = pair.daemon("lb1").router("web");
    assert_eq!((router.state.as_str(), router.addresses_restored), ("active", 6));
}

#[test]
fn an_ipv6_address_that_somebody_removes_is_put_back() {
    let mut pair = Pair::elected(&pair(&[WEB_V6]), VIRTUAL_V6);
    pair.look_from_now();
    pair.machine("lb1").run(&["ip", "address", "del", "fd77::50/64", "dev", "eth0"]).unwrap();
    pair.daemon("lb1").wait_for("repaired", &[], LIMIT);
    pair.wait_for_holder(VIRTUAL_V6, "lb1");
    assert_eq!(pair.daemon("lb1").transitions(), [""; 0]);
}

#[test]
fn an_address_that_is_somebody_else_s_is_left_alone_and_named() {
    let mut pair = Pair::idle(&pair(&[WEB]));
    let node =
        |pair: &Pair| pair.machine("lb1").run(&["ip", "-json", "address", "show", "dev", "eth0"]).unwrap();
    pair.machine("lb1").run(&["ip", "address", "add", "10.77.0.50/24", "dev", "eth0"]).unwrap();
    let before = node(&pair);

    pair.start("lb2");
    pair.wait_for_holders(VIRTUAL, &["lb1", "lb2"]);
    let lb1 = pair.start("lb1");
    lb1.wait_for("router_faulted", &[("virtual_router", "web"), ("reason", "address_foreign")], LIMIT);
    let router = lb1.router("web");
    assert_eq!(router.state, "fault");
    assert!(router.reason.contains(VIRTUAL), "{}", router.reason);
    assert_eq!(node(&pair), before);

    // Whoever put it there takes it away: from then on the node takes part.
    pair.machine("lb1").run(&["ip", "address", "del", "10.77.0.50/24", "dev", "eth0"]).unwrap();
    pair.daemon("lb1").wait_for("became_active", &[], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
}

#[test]
fn a_node_that_ends_leaves_somebody_else_s_address_where_it_is() {
    let mut pair = Pair::idle(&pair(&[WEB]));
    pair.machine("lb1").run(&["ip", "address", "add", "10.77.0.50/24", "dev", "eth0"]).unwrap();
    let lb1 = pair.start("lb1");
    lb1.wait_for("router_faulted", &[("reason", "address_foreign")], LIMIT);
    lb1.stop(LIMIT);
    assert_eq!(pair.place("lb1").ask_in(pair.machine("lb1"), &["clean"]).code, 0);
    assert_eq!(pair.holders(VIRTUAL), ["lb1"]);
}

#[test]
fn an_address_that_leaves_takes_no_neighbour_of_its_subnet_along() {
    let subnet = "[virtual_router.web]\ninterface = \"eth0\"\nvirtual_router_id = 51\nadvert_interval = \"100ms\"\n\
                  virtual_addresses = [\"10.79.0.1/24\"]\n";
    let mut pair = Pair::elected(&pair(&[subnet]), "10.79.0.1");
    // The virtual address was there first, so to the kernel this one is a secondary address of it.
    pair.machine("lb1").run(&["ip", "address", "add", "10.79.0.2/24", "dev", "eth0"]).unwrap();
    pair.daemon("lb1").stop(LIMIT);
    pair.wait_for_holder("10.79.0.1", "lb2");
    assert_eq!(pair.holders("10.79.0.2"), ["lb1"]);
}

#[test]
fn gratuitous_arp_is_what_it_should_be_and_is_repeated() {
    let announcements = "[virtual_router.web.announcements]\nburst = 3\nrepeat_after = \"500ms\"\n";
    let mut pair = Pair::idle(&pair(&[WEB, announcements]));
    let mut wire = frames::record(pair.machine("client"), "eth0");
    pair.start("lb1");
    pair.wait_for_holder(VIRTUAL, "lb1");
    let all = "arp.src.proto_ipv4 == 10.77.0.50";
    wait_until("Both bursts", LIMIT, || Ok(wire.fields(all, &["frame.number"])?.len() >= 6)).unwrap();
    pair.daemon("lb1").stop(LIMIT);
    wire.stop().unwrap();

    let node = pair.machine("lb1").link_address("eth0").unwrap();
    let fields =
        ["eth.dst", "eth.src", "arp.src.hw_mac", "arp.dst.proto_ipv4", "arp.isgratuitous", "_ws.malformed"];
    let seen = frames::decode(&wire, Checksum::MessageOnly, all, &fields);
    assert_eq!(seen.len(), 6, "{seen:?}");
    for frame in seen {
        assert_eq!(frame, ["ff:ff:ff:ff:ff:ff", &node, &node, VIRTUAL, "1", ""]);
    }
}

/// Waits for so many gratuitous ARP frames, and returns whose, from where, and how long after a moment each was seen.
#[track_caller]
fn announcements(wire: &mut Capture, count: usize, since: SystemTime) -> Vec<(String, String, Duration)> {
    let all = "arp.isgratuitous == 1";
    let enough = || Ok(wire.fields(all, &["frame.number"])?.len() >= count);
    wait_until(&format!("{count} announcements"), LIMIT, enough).unwrap_or_else(|error| panic!("{error}"));
    wire.stop().expect("a recording that has begun can be ended");
    let since = since.duration_since(SystemTime::UNIX_EPOCH).expect("it is past 1970").as_secs_f64();
    let fields = ["arp.src.proto_ipv4", "eth.src", "frame.time_epoch"];
    let seen = frames::decode(wire, Checksum::MessageOnly, all, &fields).into_iter().map(|frame| {
        let [address, source, time] = frame.try_into().expect("three fields were asked for");
        let after = time.parse::<f64>().expect("a time in seconds") - since;
        (address, source, Duration::from_secs_f64(after))
    });
    seen.collect()
}

#[test]
fn announcements_keep_to_their_rate_and_name_every_address_before_any_a_second_time() {
    const ADDRESSES: usize = 250;
    const BURST: usize = 3;
    const AT_ONCE: usize = 256;
    let address = |number: usize| format!("10.77.1.{number}/32");
    let addresses: Vec<_> = (1..=ADDRESSES).map(address).collect();
    // An owner has all of its addresses at one moment, however its kernel would take them.
    let config = format!(
        "[engine]\nannouncement_rate = 200\n[virtual_router.web]\ninterface = \"eth0\"\nvirtual_router_id = 51\n\
         virtual_addresses = {addresses:?}\n[virtual_router.web.node.lb1]\npriority = 255\n\
         [virtual_router.web.announcements]\nburst = {BURST}\nrepeat_after = \"0s\"\n"
    );
    let mut pair = Pair::idle(&pair(&[&config]));
    let mut batch = String::new();
    for address in &addresses {
        writeln!(batch, "address add {address} dev eth0").unwrap();
    }
    let batch = pair.folder().write("addresses", &batch).display().to_string();
    pair.machine("lb1").run(&["ip", "-batch", &batch]).unwrap();
    let mut wire = frames::record(pair.machine("client"), "eth0");
    let started = SystemTime::now();
    pair.start("lb1");
    let seen = announcements(&mut wire, BURST * ADDRESSES, started);
    assert_eq!(seen.len(), BURST * ADDRESSES);
    for (before, (_, _, after)) in seen.iter().enumerate() {
        let earliest = Duration::from_millis(5) * u32::try_from(before.saturating_sub(AT_ONCE - 1)).unwrap();
        assert!(*after >= earliest, "{before} announcements and one more within {after:?}");
    }
    for round in seen.chunks(ADDRESSES) {
        let named: BTreeSet<_> = round.iter().map(|(address, _, _)| address).collect();
        assert_eq!(named.len(), ADDRESSES, "{round:?}");
    }
}

#[test]
fn an_active_announces_its_address_once_more_with_each_refresh_and_a_backup_never() {
    const BURST: u32 = 2;
    const REFRESHES: u32 = 10;
    let refresh = Duration::from_millis(200);
    let announcements_table = format!(
        "[virtual_router.web.announcements]\nburst = {BURST}\nrepeat_after = \"0s\"\nrefresh = \"{refresh:?}\"\n"
    );
    let mut pair = Pair::idle(&pair(&[WEB, &announcements_table]));
    let mut wire = frames::record(pair.machine("client"), "eth0");
    let started = SystemTime::now();
    pair.elect(VIRTUAL);
    let seen = announcements(&mut wire, (BURST + REFRESHES) as usize, started);
    let active = pair.machine("lb1").link_address("eth0").unwrap();
    for ((address, source, after), number) in seen.iter().zip(1..) {
        assert_eq!((address.as_str(), source), (VIRTUAL, &active));
        let earliest = refresh * u32::saturating_sub(number, BURST);
        assert!(*after >= earliest, "the {number}th announcement after {after:?}: {seen:?}");
    }
}

#[test]
fn an_ipv6_address_is_usable_at_once_and_announced_to_all() {
    let mut pair = Pair::idle(&pair(&[WEB_V6]));
    // The lab turns duplicate address detection off; here it has to be skipped by the one who adds the address.
    for which in ["all", "eth0"] {
        pair.machine("lb1").set_sysctl(&format!("net/ipv6/conf/{which}/accept_dad"), "1").unwrap();
    }
    let mut wire = frames::record(pair.machine("client"), "eth0");
    pair.start("lb1").wait_for("address_taken", &[("address", VIRTUAL_V6)], LIMIT);
    let tentative = ["ip", "-6", "address", "show", "dev", "eth0", "tentative"];
    assert_eq!(pair.machine("lb1").run(&tentative).unwrap(), "");
    let all = "icmpv6.type == 136 && icmpv6.nd.na.target_address == fd77::50";
    wait_until("An announcement", LIMIT, || Ok(!wire.fields(all, &["frame.number"])?.is_empty())).unwrap();
    wire.stop().unwrap();

    let node = pair.machine("lb1").link_address("eth0").unwrap();
    let fields = [
        "eth.src",
        "eth.dst",
        "ipv6.src",
        "ipv6.dst",
        "ipv6.hlim",
        "icmpv6.nd.na.flag.o",
        "icmpv6.opt.linkaddr",
        "icmpv6.checksum.status",
        "_ws.malformed",
    ];
    for frame in frames::decode(&wire, Checksum::MessageOnly, all, &fields) {
        let expected = [&*node, "33:33:00:00:00:01", VIRTUAL_V6, "ff02::1", "255", "1", &node, "1", ""];
        assert_eq!(frame, expected);
    }
    let asked = "icmpv6.type == 135 && icmpv6.nd.ns.target_address == fd77::50";
    assert!(frames::decode(&wire, Checksum::MessageOnly, asked, &["frame.number"]).is_empty());
}

#[test]
fn addresses_of_a_sync_group_move_together() {
    let edge = "sync_group = \"edge\"\n";
    let gateway = |address: &str| {
        format!("unadvertised_addresses = [{{ address = \"{address}\", interface = \"eth1\" }}]\n")
    };
    let config = pair(&[WEB, edge, &gateway("10.78.0.1/24"), WEB_V6, edge, &gateway("fd78::1/64")]);
    let mut pair = Pair::elected(&config, VIRTUAL);
    let all = [VIRTUAL, VIRTUAL_V6, INSIDE, INSIDE_V6];
    pair.wait_for_holder_of_all(&all, "lb1");

    pair.lab().port("lb1", "eth0").carrier_off().unwrap();
    pair.daemon("lb1").wait_for("router_faulted", &[("reason", "interface_down")], LIMIT);
    pair.wait_for_holder_of_all(&all, "lb2");

    pair.lab().port("lb1", "eth0").carrier_on().unwrap();
    pair.wait_for_holder_of_all(&all, "lb1");
}

#[test]
fn both_families_move_with_one_election() {
    let both = "unadvertised_addresses = [\"fd77::50/64\"]\n";
    let mut pair = Pair::elected(&pair(&[WEB, both]), VIRTUAL);
    pair.wait_for_holder(VIRTUAL_V6, "lb1");
    let client = pair.ping(VIRTUAL_V6);
    let stop = Instant::now();
    pair.daemon("lb1").stop(LIMIT);
    pair.wait_for_holder_of_all(&[VIRTUAL, VIRTUAL_V6], "lb2");
    pair.wait_for_neighbour(VIRTUAL_V6, "lb2");
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    let seen = client.stop().unwrap().since(stop);
    assert_eq!(seen.lost(), 0, "{seen}");
}

#[test]
fn a_reload_that_changes_a_label_replaces_that_address_alone() {
    let with = |second: &str| {
        let addresses = format!("virtual_addresses = [\"10.77.0.50/24\", {second}]\n");
        pair(&[&WEB.replace("virtual_addresses = [\"10.77.0.50/24\"]\n", &addresses)])
    };
    let mut pair = Pair::elected(&with("\"10.77.0.51/32\""), VIRTUAL);
    pair.wait_for_holder("10.77.0.51", "lb1");
    let client = pair.ping(VIRTUAL);
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    pair.look_from_now();
    pair.configure(&with("{ address = \"10.77.0.51/32\", label = \"eth0:web\", scope = \"link\" }"));
    assert_eq!(pair.daemon("lb1").ask(&["reload"]).code, 0);
    pair.daemon("lb1").wait_for("address_taken", &[("address", "10.77.0.51")], LIMIT);
    let shown = pair.machine("lb1").run(&["ip", "-oneline", "address", "show", "label", "eth0:web"]).unwrap();
    assert!(shown.contains("10.77.0.51/32 scope link dynamic eth0:web"), "{shown}");
    let seen = client.stop().unwrap();
    assert_eq!((seen.lost(), pair.daemon("lb1").transitions().len()), (0, 0), "{seen}");
}

#[test]
fn a_sync_group_leaves_a_node_on_which_one_of_its_interfaces_is_down() {
    let config = pair(&[WEB, "sync_group = \"edge\"\n", INNER]);
    let mut pair = Pair::elected(&config, VIRTUAL);
    pair.wait_for_holder(INSIDE, "lb1");
    pair.lab().port("lb1", "eth1").carrier_off().unwrap();
    pair.wait_for_holder_of_all(&[VIRTUAL, INSIDE], "lb2");
    assert_eq!(pair.daemon("lb1").router("web").state, "fault");
    pair.lab().port("lb1", "eth1").carrier_on().unwrap();
    pair.wait_for_holder_of_all(&[VIRTUAL, INSIDE], "lb1");
}

#[test]
fn a_crash_on_one_side_alone_moves_the_other_side_too() {
    let config = pair(&[WEB, "sync_group = \"edge\"\n", INNER]);
    let pair = Pair::elected(&config, VIRTUAL);
    pair.wait_for_holder(INSIDE, "lb1");
    // The Active cannot know, and goes on; but the other node must not hold one side alone.
    pair.lab().port("lb1", "eth0").detach().unwrap();
    pair.lab().port("lb1", "eth1").detach().unwrap();
    for address in [VIRTUAL, INSIDE] {
        pair.wait_for_holders(address, &["lb1", "lb2"]);
    }
    pair.lab().attach("lb1").unwrap();
    pair.wait_for_holder_of_all(&[VIRTUAL, INSIDE], "lb1");
}

#[test]
fn an_interface_that_is_deleted_and_made_anew_is_used_again() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    pair.look_from_now();
    pair.lab().port("lb1", "eth0").delete().unwrap();
    pair.daemon("lb1").wait_for("router_faulted", &[("reason", "interface_missing")], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");

    pair.lab().port("lb1", "eth0").recreate().unwrap();
    pair.daemon("lb1").wait_for("became_active", &[], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
    let client = pair.ping(VIRTUAL);
    pair.wait_for_neighbour(VIRTUAL, "lb1");
    drop(client);
    // It hears on the new interface as well as it speaks.
    pair.daemon("lb1").stop(LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");
    pair.start("lb1");
    pair.wait_for_holder(VIRTUAL, "lb1");
}

#[test]
fn an_interface_that_appears_later_is_picked_up() {
    let mut pair = Pair::idle(&pair(&[WEB]));
    pair.lab().port("lb1", "eth0").delete().unwrap();
    let lb1 = pair.start("lb1");
    lb1.wait_for("router_faulted", &[("virtual_router", "web"), ("reason", "interface_missing")], LIMIT);
    let router = lb1.router("web");
    assert_eq!(router.state, "fault");
    assert!(router.reason.contains("eth0"), "{}", router.reason);

    pair.lab().port("lb1", "eth0").recreate().unwrap();
    pair.daemon("lb1").wait_for("router_recovered", &[], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
}

#[test]
fn a_cable_that_is_pulled_and_plugged_again_and_again_ends_well() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    for _ in 0..10 {
        pair.lab().port("lb1", "eth0").carrier_off().unwrap();
        pair.wait_for_holders(VIRTUAL, &["lb2"]);
        pair.lab().port("lb1", "eth0").carrier_on().unwrap();
        pair.wait_for_holders(VIRTUAL, &["lb1"]);
    }
    pair.wait_to_hear("lb2", 5);
    let client = pair.ping(VIRTUAL);
    pair.wait_for_neighbour(VIRTUAL, "lb1");
    drop(client);
    assert_eq!(pair.daemon("lb2").router("web").state, "backup");
}

#[test]
fn a_node_whose_interface_has_no_address_yet_waits_for_one() {
    let mut pair = Pair::idle(&pair(&[WEB]));
    pair.machine("lb1").run(&["ip", "address", "del", "10.77.0.11/24", "dev", "eth0"]).unwrap();
    let lb1 = pair.start("lb1");
    lb1.wait_for("router_faulted", &[("reason", "no_source")], LIMIT);
    pair.machine("lb1").run(&["ip", "address", "add", "10.77.0.11/24", "dev", "eth0"]).unwrap();
    pair.wait_for_holder(VIRTUAL, "lb1");
}

#[test]
fn the_owner_of_the_addresses_is_active_at_once_and_never_removes_them() {
    let mut pair = Pair::idle(&pair(&[WEB, "[virtual_router.web.node.lb1]\npriority = 255\n"]));
    pair.machine("lb1").run(&["ip", "address", "add", "10.77.0.50/24", "dev", "eth0"]).unwrap();
    pair.start("lb2");
    pair.start("lb1").wait_for("became_active", &[("reason", "owner")], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
    pair.daemon("lb1").stop(LIMIT);
    pair.wait_for_holders(VIRTUAL, &["lb1", "lb2"]);
    assert!(pair.machine("lb1").holds(at(VIRTUAL)).unwrap());
}
