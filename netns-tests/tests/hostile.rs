//! Packets that must change nothing: who is Active, and when anybody next speaks or claims.

#![expect(clippy::unwrap_used, reason = "the tests share functions, which the lint does not take for tests")]

use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use lab::{Capture, Packet, Stranger, wait_until};
use netns_tests::{LIMIT, Pair, VIRTUAL, VIRTUAL_V6, WEB, WEB_V6, at, pair};

/// How often each packet is sent.
const TIMES: u64 = 20;

/// A stranger sends each packet many times; each is counted by its reason and told once, and nothing else happens.
#[track_caller]
fn assert_refused(config: &str, router: &str, address: &str, nodes: &[&str], packets: &[(&str, Packet)]) {
    let mut pair = Pair::elected(config, address);
    let stranger = Stranger::at(pair.machine("client")).unwrap();
    let before: Vec<_> = nodes.iter().map(|node| pair.daemon(node).router(router)).collect();
    pair.look_from_now();
    let mut expected = std::collections::BTreeMap::new();
    for (reason, packet) in packets {
        for _ in 0..TIMES {
            stranger.send(packet).unwrap();
        }
        *expected.entry((*reason).to_owned()).or_insert(0) += TIMES;
    }
    let unknown = expected.remove("vrid").unwrap_or(0);

    for (node, before) in nodes.iter().zip(before) {
        let daemon = pair.daemon(node);
        let counted = wait_until("The count of refused packets", LIMIT, || {
            let status = daemon.status();
            Ok(status.virtual_routers[router].refused == expected && status.unknown_vrid == unknown)
        });
        counted.unwrap_or_else(|error| panic!("{error} on {node}: {:?}, not {expected:?}", daemon.status()));
        let after = daemon.router(router);
        assert_eq!((after.state, after.since), (before.state, before.since), "{node}");
        let mut told: Vec<_> = daemon.new_events();
        told.retain(|event| event.name == "advertisement_refused");
        let mut reasons: Vec<_> = told.iter().map(|event| event.field("reason")).collect();
        reasons.sort_unstable();
        let mut all: Vec<_> =
            expected.keys().cloned().chain((unknown > 0).then(|| "vrid".to_owned())).collect();
        all.sort_unstable();
        assert_eq!(reasons, all, "{node} told {told:?}");
    }
    pair.wait_to_hear("lb2", 5);
    for node in ["lb1", "lb2"] {
        assert_eq!(pair.daemon(node).transitions(), [""; 0], "{node}");
    }
    assert_eq!(pair.holders(address), ["lb1"]);
}

/// What version 3 over IPv4 refuses.
fn bad_version_3() -> Vec<(&'static str, Packet)> {
    let mut packets = Vec::new();
    // The Active would yield to priority 255, the Backup would claim after priority 0.
    for priority in [255, 0] {
        let good = Packet::version_3(priority);
        packets.extend([
            ("hop_limit", Packet { hop_limit: 254, ..good.clone() }),
            ("hop_limit", Packet { hop_limit: 1, ..good.clone() }),
            ("checksum", good.clone().with_wrong_checksum()),
            ("version", Packet::version_2(priority)),
            ("version", good.clone().with(0, &[0x41])),
            ("type", good.clone().with(0, &[0x32])),
            ("length", good.clone().with_length(5)),
            ("length", good.clone().with_length(11)),
            ("length", good.clone().with_length(13)),
            ("length", good.clone().with(3, &[2])),
            ("vrid", good.clone().with(1, &[52])),
            ("vrid", good.clone().with(1, &[0])),
            ("address_count", good.clone().with(3, &[0]).with_length(8)),
            ("interval", good.with(4, &[0, 0])),
        ]);
    }
    packets
}

#[test]
fn bad_packets_of_version_3_are_refused_and_counted() {
    assert_refused(&pair(&[WEB]), "web", VIRTUAL, &["lb1", "lb2"], &bad_version_3());
}

#[test]
fn bad_packets_of_version_2_are_refused_and_counted() {
    let config = "[virtual_router.web]\ninterface = \"eth0\"\nvirtual_router_id = 51\nversion = 2\n\
                  virtual_addresses = [\"10.77.0.50/24\"]\n";
    let good = Packet::version_2(255);
    let packets = [
        ("interval", good.clone().with(5, &[2])),
        ("authentication", good.clone().with(4, &[1])),
        ("hop_limit", Packet { hop_limit: 254, ..good.clone() }),
        ("checksum", good.clone().with_wrong_checksum()),
        ("length", good.with_length(12)),
        ("version", Packet::version_3(255)),
    ];
    assert_refused(&pair(&[config]), "web", VIRTUAL, &["lb1", "lb2"], &packets);
}

#[test]
fn bad_packets_over_ipv6_are_refused_and_counted() {
    let good = Packet::over_ipv6(255);
    let packets = [
        ("hop_limit", Packet { hop_limit: 254, ..good.clone() }),
        ("checksum", good.clone().with_wrong_checksum()),
        ("version", good.clone().with(0, &[0x21])),
        ("type", good.clone().with(0, &[0x30])),
        ("length", good.clone().with(3, &[3])),
        ("interval", good.with(4, &[0, 0])),
    ];
    assert_refused(&pair(&[WEB_V6]), "web6", VIRTUAL_V6, &["lb1", "lb2"], &packets);
}

#[test]
fn a_unicast_node_refuses_everybody_but_its_peers() {
    let to_lb1 = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 11));
    let packets = [
        ("unknown_source", Packet { destination: to_lb1, ..Packet::version_3(255) }),
        ("hop_limit", Packet { destination: to_lb1, hop_limit: 254, ..Packet::version_3(255) }),
    ];
    let config = pair(&[WEB, "transport = \"unicast\"\n"]);
    assert_refused(&config, "web", VIRTUAL, &["lb1"], &packets);
}

#[test]
fn a_multicast_node_refuses_what_is_sent_to_it_alone() {
    let to_lb1 = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 11));
    let packets = [("destination", Packet { destination: to_lb1, ..Packet::version_3(255) })];
    assert_refused(&pair(&[WEB]), "web", VIRTUAL, &["lb1"], &packets);
}

#[test]
fn a_packet_from_a_node_s_own_address_is_refused() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    // Otherwise the kernel drops such packets before anybody sees them.
    pair.machine("lb1").set_sysctl("net/ipv4/conf/all/accept_local", "1").unwrap();
    pair.look_from_now();
    let stranger = Stranger::at(pair.machine("client")).unwrap();
    let own = Ipv4Addr::new(10, 77, 0, 11);
    stranger.send(&Packet { source: own.into(), ..Packet::version_3(255) }).unwrap();
    pair.daemon("lb1").wait_for("advertisement_refused", &[("reason", "own_source")], LIMIT);
    assert_eq!(pair.daemon("lb1").router("web").refused["own_source"], 1);
    assert_eq!(pair.daemon("lb1").transitions(), [""; 0]);
}

#[test]
fn another_address_list_of_the_other_node_is_accepted_and_told() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    pair.look_from_now();
    pair.configure(&netns_tests::pair(&[&WEB.replace("0.50/24", "0.51/24")]));
    assert_eq!(pair.daemon("lb1").ask(&["reload"]).code, 0);
    pair.daemon("lb2").wait_for("address_list_differs", &[("peer", "10.77.0.11")], LIMIT);
    pair.wait_to_hear("lb2", 5);
    assert_eq!(pair.daemon("lb2").transitions(), [""; 0]);
}

#[test]
fn a_foreign_pair_with_the_same_number_is_named_and_changes_nothing_unless_it_outranks() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let stranger = Stranger::at(pair.machine("client")).unwrap();
    let foreign = |priority| Packet::version_3(priority).with(8, &[10, 77, 0, 99]);
    pair.look_from_now();
    for _ in 0..TIMES {
        stranger.send(&foreign(50)).unwrap();
    }
    let fields = [("virtual_router", "web"), ("peer", "10.77.0.100"), ("addresses", "10.77.0.99")];
    for node in ["lb1", "lb2"] {
        pair.daemon(node).wait_for("vrid_conflict", &fields, LIMIT);
        let daemon = pair.daemon(node);
        let all = || Ok(daemon.router("web").vrid_conflicts == TIMES);
        wait_until("The count of foreign advertisements", LIMIT, all).unwrap();
        let told = daemon.new_events().iter().filter(|event| event.name == "vrid_conflict").count();
        assert_eq!((told, daemon.transitions()), (1, Vec::new()), "{node}");
    }
    pair.wait_for_holder(VIRTUAL, "lb1");

    // Better than both: it takes the role away until it is silent, as anybody would.
    stranger.send(&foreign(200)).unwrap();
    let outranked = [("reason", "outranked"), ("peer", "10.77.0.100"), ("priority", "200")];
    pair.daemon("lb1").wait_for("became_backup", &outranked, LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
    assert!(pair.daemon("lb1").router("web").refused.is_empty());
}

#[test]
fn another_interval_is_learnt_and_told() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let client = pair.ping(VIRTUAL);
    pair.look_from_now();
    let slow = Packet::version_3(200).with(4, &100_u16.to_be_bytes());
    let sent = Instant::now();
    Stranger::at(pair.machine("client")).unwrap().send(&slow).unwrap();
    pair.daemon("lb2").wait_for("interval_differs", &[("peer", "10.77.0.100")], LIMIT);
    pair.daemon("lb1").wait_for("became_backup", &[], LIMIT);
    // Three intervals of a second; with their own the nodes would be back after less than half a second.
    pair.daemon("lb1").wait_for("became_active", &[], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
    assert!(sent.elapsed() > Duration::from_secs(3), "{:?}", sent.elapsed());
    drop(client);
}

/// How many packets a second a stranger sends: few enough to be noticed by nobody, and as many as the machine is able to.
const RATES: [u32; 2] = [40, 50_000];
/// How long.
const FLOOD: Duration = Duration::from_secs(3);
/// How long an Active may be silent on a busy machine: a packet that was believed would silence it for longer.
const SILENCE: Duration = Duration::from_millis(500);

/// A flood of packets to the Active costs the client nothing, moves nobody, and silences nobody.
#[track_caller]
fn assert_that_a_flood_does_nothing(config: &str, interval: Duration, packets: &[Packet]) {
    let mut pair = Pair::idle(config);
    let key = pair.folder().write("web.key", "what only the nodes of the pair know of each other\n");
    fs::set_permissions(key, Permissions::from_mode(0o600)).unwrap();
    // Otherwise the kernel drops packets from the node's own address before anybody sees them.
    pair.machine("lb1").set_sysctl("net/ipv4/conf/all/accept_local", "1").unwrap();
    pair.elect(VIRTUAL);
    let client = pair.ping(VIRTUAL);
    pair.look_from_now();
    let stranger = Stranger::at(pair.machine("client")).unwrap();
    for rate in RATES {
        let counted = |pair: &mut Pair| -> u64 {
            let daemon = pair.daemon("lb1");
            daemon.router("web").refused.values().sum::<u64>() + daemon.status().unknown_vrid
        };
        let before = counted(&mut pair);
        let mut wire =
            Capture::start(pair.machine("lb2"), "eth0", "src host 10.77.0.11 and ip proto 112").unwrap();
        let sent = stranger.flood(packets, rate, FLOOD).unwrap();
        pair.wait_to_hear("lb2", 3);
        wire.stop().unwrap();

        let times = wire.fields("vrrp && vrrp.prio == 150", &["frame.time_epoch"]).unwrap();
        let times: Vec<f64> = times.iter().map(|row| row[0].parse().unwrap()).collect();
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        println!("{sent} packets in {FLOOD:?}, the longest gap between advertisements was {longest:.3} s");
        assert!(longest < (interval + SILENCE).as_secs_f64(), "{longest} s without an advertisement");
        let seen = counted(&mut pair) - before;
        assert!(seen > u64::from(sent) / 2, "{seen} of {sent} were counted");
    }
    for node in ["lb1", "lb2"] {
        assert_eq!(pair.daemon(node).transitions(), [""; 0], "{node}");
        // The reasons of the packets sent, each once.
        assert!(pair.daemon(node).new_events().len() <= 10, "{:?}", pair.daemon(node).new_events());
    }
    let seen = client.stop().unwrap();
    assert_eq!(seen.lost(), 0, "{seen}");
}

#[test]
fn a_flood_of_bad_packets_delays_no_advertisement() {
    let mut packets: Vec<_> = bad_version_3().into_iter().map(|(_, packet)| packet).collect();
    packets.push(Packet { source: at("10.77.0.11"), ..Packet::version_3(255) });
    assert_that_a_flood_does_nothing(&pair(&[WEB]), Duration::from_millis(100), &packets);
}

#[test]
fn a_flood_without_the_password_delays_no_advertisement_of_version_2() {
    let config = "[virtual_router.web]\ninterface = \"eth0\"\nvirtual_router_id = 51\nversion = 2\n\
                  virtual_addresses = [\"10.77.0.50/24\"]\nauthentication.simple_text = \"s3cret\"\n";
    let packets: Vec<_> = [255, 0]
        .into_iter()
        .flat_map(|priority| {
            let good = Packet::version_2(priority).with(4, &[1]).with(12, b"s3cret\0\0");
            [
                Packet::version_2(priority),
                good.clone().with(12, b"other\0\0\0"),
                good.clone().with(5, &[2]),
                Packet { hop_limit: 254, ..good.clone() },
                good.with_wrong_checksum(),
            ]
        })
        .collect();
    assert_that_a_flood_does_nothing(&pair(&[config]), Duration::from_secs(1), &packets);
}

#[test]
fn a_flood_of_strangers_delays_no_advertisement_by_unicast() {
    let packets: Vec<_> = [255, 0]
        .into_iter()
        .flat_map(|priority| {
            let stranger = Packet { destination: at("10.77.0.11"), ..Packet::version_3(priority) };
            // What bears a peer's name has to be right all the same.
            let peer = Packet { source: at("10.77.0.12"), ..stranger.clone() };
            [stranger, Packet { hop_limit: 254, ..peer.clone() }, peer.with_wrong_checksum()]
        })
        .collect();
    let config = pair(&[WEB, "transport = \"unicast\"\n"]);
    assert_that_a_flood_does_nothing(&config, Duration::from_millis(100), &packets);
}

#[test]
fn a_flood_without_the_key_delays_no_advertisement() {
    let packets = [255, 0].into_iter().flat_map(|priority| {
        let bare = Packet::version_3(priority);
        // A trailer of the right shape, and of nobody's key.
        let mut forged = bare.clone();
        forged.message.extend([1, 1, 0, 0, 0x70, 0, 0, 0, 0, 0, 0, 0]);
        forged.message.extend([0x5A; 16]);
        [bare, forged]
    });
    let packets: Vec<_> = packets.collect();
    let config = pair(&[WEB, "authentication.keys = { 1 = \"web.key\" }\n"]);
    assert_that_a_flood_does_nothing(&config, Duration::from_millis(100), &packets);
}

/// How many valid packets a second are sent: more in each interval than the nodes send in many.
const STEADY: u32 = 300;

/// After a flood of valid packets, which nobody can refuse, `lb1` alone holds the address. It has said no more than a
/// word for each that it heard, besides its own, and neither node has told a line for each.
#[track_caller]
fn assert_that_a_valid_flood_is_bounded(packets: &[Packet]) -> Pair {
    let config = pair(&[WEB]);
    let interval = if config.contains("\"500ms\"") { 500 } else { 100 };
    let start = Instant::now();
    let mut pair = Pair::elected(&config, VIRTUAL);
    let stranger = Stranger::at(pair.machine("client")).unwrap();
    pair.look_from_now();
    let sent = stranger.flood(packets, STEADY, FLOOD).unwrap();
    let reached = wait_until("Most of the flood on lb2", LIMIT, || {
        Ok(pair.daemon("lb2").router("web").advertisements_received > u64::from(sent) / 2)
    });
    reached.unwrap_or_else(|error| panic!("{error}: {:?}", pair.daemon("lb2").router("web")));
    pair.wait_to_hear("lb2", 5);
    pair.wait_for_holder(VIRTUAL, "lb1");

    let lb1 = pair.daemon("lb1").router("web");
    let due = start.elapsed().as_millis() / interval + 1;
    let (said, heard) = (lb1.advertisements_sent, lb1.advertisements_received);
    println!("{sent} packets in {FLOOD:?}: lb1 heard {heard} and said {said}, of which {due} were due");
    assert!(u128::from(said) <= u128::from(heard) + due, "It said {said}, heard {heard}, and {due} were due");
    for node in ["lb1", "lb2"] {
        let told = pair.daemon(node).new_events();
        println!("{node} told {} events", told.len());
        assert!(told.len() < sent as usize / 3, "{node} told {} of {sent} packets: {told:?}", told.len());
    }
    pair
}

#[test]
fn a_flood_of_lower_priorities_is_answered_once_each_told_once_and_moves_nobody() {
    let mut pair = assert_that_a_valid_flood_is_bounded(&[Packet::version_3(50)]);
    for node in ["lb1", "lb2"] {
        assert_eq!(pair.daemon(node).transitions(), [""; 0], "{node}");
        assert!(pair.daemon(node).new_events().len() <= 10, "{:?}", pair.daemon(node).new_events());
    }
}

/// Nothing but a key keeps the Backup from believing them.
#[test]
fn a_flood_of_releases_in_the_active_s_name_ends_with_one_holder_and_tells_no_line_for_each() {
    let release = Packet { source: at("10.77.0.11"), ..Packet::version_3(0) };
    let mut pair = assert_that_a_valid_flood_is_bounded(&[release]);
    pair.daemon("lb2").wait_for("became_active", &[("reason", "active_released")], LIMIT);
}

#[test]
fn a_flood_of_releases_and_lower_priorities_ends_with_one_holder_and_tells_no_line_for_each() {
    let release = Packet { source: at("10.77.0.11"), ..Packet::version_3(0) };
    assert_that_a_valid_flood_is_bounded(&[release, Packet::version_3(0), Packet::version_3(50)]);
}
