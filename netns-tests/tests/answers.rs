//! Who answers for a virtual address, and what a Backup keeps to itself.

use netns_tests::frames::{self, Checksum};
use netns_tests::{LIMIT, Pair, VIRTUAL, VIRTUAL_V6, WEB, WEB_V6, pair};

/// Asks for an address anew, and returns the hardware addresses in the answers that pass a filter.
#[track_caller]
fn answers(pair: &Pair, address: &str, filter: &str, field: &str) -> Vec<String> {
    let client = pair.machine("client");
    let mut wire = frames::record(client, "eth0");
    client.run(&["ip", "neighbour", "flush", "dev", "eth0"]).unwrap_or_else(|error| panic!("{error}"));
    drop(pair.ping(address));
    wire.stop().unwrap_or_else(|error| panic!("{error}"));
    let rows = frames::decode(&wire, Checksum::MessageOnly, filter, &[field]);
    rows.into_iter().flatten().collect()
}

#[track_caller]
fn assert_that_the_active_answers_alone(config: &str, address: &str, filter: &str, field: &str) {
    let mut pair = Pair::elected(&pair(&[config]), address);
    for active in ["lb1", "lb2"] {
        pair.wait_for_holder(address, active);
        let node = pair.machine(active).link_address("eth0").unwrap_or_else(|error| panic!("{error}"));
        let answers = answers(&pair, address, filter, field);
        assert!(!answers.is_empty(), "{active} does not answer");
        assert!(answers.iter().all(|answer| *answer == node), "{answers:?}, while {active} is {node}");
        if active == "lb1" {
            assert_eq!(pair.daemon("lb1").ask(&["pass", router(config)]).code, 0);
        }
    }
}

fn router(config: &str) -> &'static str {
    if config == WEB { "web" } else { "web6" }
}

#[test]
fn only_the_active_answers_for_an_address() {
    let answer = "arp.opcode == 2 && arp.src.proto_ipv4 == 10.77.0.50";
    assert_that_the_active_answers_alone(WEB, VIRTUAL, answer, "arp.src.hw_mac");
}

#[test]
fn only_the_active_answers_for_an_address_of_ipv6() {
    let answer = "icmpv6.nd.na.flag.s == 1 && icmpv6.nd.na.target_address == fd77::50";
    assert_that_the_active_answers_alone(WEB_V6, VIRTUAL_V6, answer, "icmpv6.opt.linkaddr");
}

#[test]
fn a_backup_that_stops_says_nothing() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let mut wire = frames::record(pair.machine("client"), "eth0");
    pair.daemon("lb2").stop(LIMIT);
    pair.start("lb2");
    pair.wait_to_hear("lb2", 3);
    wire.stop().unwrap();
    let said = |host| {
        let filter = format!("vrrp && ip.src == 10.77.0.{host}");
        frames::decode(&wire, Checksum::MessageOnly, &filter, &["vrrp.prio"]).len()
    };
    assert!(said(11) >= 3);
    assert_eq!(said(12), 0);
}
