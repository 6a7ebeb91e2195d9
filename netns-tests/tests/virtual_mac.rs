//! Virtual MAC addresses: a take-over that no neighbour has to learn, and a node that is as it was afterwards.

#![expect(clippy::unwrap_used, reason = "the tests share functions, which the lint does not take for tests")]

use std::time::Instant;

use lab::{Namespace, wait_until};
use netns_tests::frames::{self, Checksum};
use netns_tests::{LIMIT, Pair, VIRTUAL, VIRTUAL_V6, WEB, WEB_V6, pair};

const VIRTUAL_MAC: &str = "virtual_mac = true\n";
const MAC: &str = "00:00:5e:00:01:33";
const MAC_V6: &str = "00:00:5e:00:02:33";

/// Where the client thinks that an address is.
fn neighbour(pair: &Pair, address: &str) -> Option<String> {
    let text = pair.machine("client").run(&["ip", "neighbour", "show", address]).unwrap();
    let mut words = text.split_whitespace().skip_while(|word| *word != "lladdr");
    words.nth(1).map(str::to_owned)
}

fn wait_for_neighbour(pair: &Pair, address: &str, mac: &str) {
    wait_until(
        &format!("{address} at {mac}"),
        LIMIT,
        || Ok(neighbour(pair, address).as_deref() == Some(mac)),
    )
    .unwrap();
}

/// The interfaces that Baton has made, and the settings of the one below.
fn traces(machine: &Namespace) -> (String, [String; 2]) {
    let devices = machine.run(&["ip", "-oneline", "link", "show", "group", "112"]).unwrap();
    let setting = |name: &str| machine.sysctl(&format!("net/ipv4/conf/eth0/{name}")).unwrap();
    (devices, ["arp_ignore", "arp_announce"].map(setting))
}

#[test]
fn a_take_over_changes_nothing_in_a_neighbour_s_cache() {
    let mut pair = Pair::idle(&pair(&[WEB, VIRTUAL_MAC]));
    let before = traces(pair.machine("lb1"));
    pair.elect(VIRTUAL);
    let client = pair.ping(VIRTUAL);
    wait_for_neighbour(&pair, VIRTUAL, MAC);
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    let details = pair.machine("lb1").run(&["ip", "-details", "link", "show", "vrrp4.51"]).unwrap();
    assert!(details.contains("macvlan mode bridge") && details.contains("group 112"), "{details}");
    assert!(traces(pair.machine("lb2")).0.is_empty());

    let mut wire = frames::record(pair.machine("client"), "eth0");
    pair.daemon("lb1").stop(LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    // The successor's first word comes before it has the address, and must not draw the traffic to it.
    let all = "(vrrp && ip.src == 10.77.0.11) || arp.src.proto_ipv4 == 10.77.0.50";
    let announced = "arp.isgratuitous == 1 && arp.src.proto_ipv4 == 10.77.0.50";
    wait_until("An announcement", LIMIT, || Ok(!wire.fields(announced, &["frame.number"])?.is_empty()))
        .unwrap();
    wire.stop().unwrap();
    let fields = ["eth.src", "_ws.malformed"];
    for frame in frames::decode(&wire, Checksum::MessageOnly, all, &fields) {
        assert_eq!(frame, [MAC, ""]);
    }
    wait_for_neighbour(&pair, VIRTUAL, MAC);
    // The switch may learn of the new interface a moment before the address is on it.
    let seen = client.stop().unwrap();
    assert!(seen.lost() <= 1, "{seen}");
    assert_eq!(traces(pair.machine("lb1")), before);
}

#[test]
fn ipv6_has_a_virtual_mac_of_its_own() {
    let mut pair = Pair::elected(&pair(&[WEB_V6, VIRTUAL_MAC]), VIRTUAL_V6);
    let client = pair.ping(VIRTUAL_V6);
    wait_for_neighbour(&pair, VIRTUAL_V6, MAC_V6);
    pair.daemon("lb1").stop(LIMIT);
    pair.wait_for_holder(VIRTUAL_V6, "lb2");
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    wait_for_neighbour(&pair, VIRTUAL_V6, MAC_V6);
}

#[test]
fn whoever_asks_for_an_ipv6_address_is_never_told_the_interface_s_own_mac() {
    let pair = Pair::elected(&pair(&[WEB_V6, VIRTUAL_MAC]), VIRTUAL_V6);
    let client = pair.ping(VIRTUAL_V6);
    let mut wire = frames::record(pair.machine("client"), "eth0");
    let solicited = "icmpv6.nd.na.target_address == fd77::50 && icmpv6.nd.na.flag.s == 1";
    wait_until("Five answers", LIMIT, || {
        pair.machine("client").run(&["ip", "-6", "neighbour", "flush", "dev", "eth0"])?;
        client.wait_for_answer(Instant::now(), LIMIT)?;
        Ok(wire.fields(solicited, &["frame.number"])?.len() >= 5)
    })
    .unwrap();
    wire.stop().unwrap();
    for answer in wire.fields(solicited, &["eth.src", "icmpv6.opt.linkaddr"]).unwrap() {
        assert_eq!(answer, [MAC_V6; 2]);
    }
}

#[test]
fn the_interface_s_own_traffic_goes_on_under_its_own_mac() {
    let pair = Pair::elected(&pair(&[WEB, VIRTUAL_MAC]), VIRTUAL);
    let own = pair.machine("lb1").link_address("eth0").unwrap();
    let (virtual_client, own_client) = (pair.ping(VIRTUAL), pair.ping("10.77.0.11"));
    wait_for_neighbour(&pair, VIRTUAL, MAC);
    wait_for_neighbour(&pair, "10.77.0.11", &own);
    // Now the node has to ask for the client itself, and must not do so in the name of the virtual address.
    for _ in 0..5 {
        pair.machine("lb1").run(&["ip", "neighbour", "flush", "dev", "eth0"]).unwrap();
        virtual_client.wait_for_answer(Instant::now(), LIMIT).unwrap();
        own_client.wait_for_answer(Instant::now(), LIMIT).unwrap();
        assert_eq!(neighbour(&pair, VIRTUAL).as_deref(), Some(MAC));
        assert_eq!(neighbour(&pair, "10.77.0.11").as_deref(), Some(&*own));
    }
}

#[test]
fn two_actives_with_the_same_mac_hear_each_other_when_the_split_heals() {
    let mut pair = Pair::elected(&pair(&[WEB, VIRTUAL_MAC]), VIRTUAL);
    pair.lab().port("lb1", "eth0").detach().unwrap();
    pair.wait_for_holders(VIRTUAL, &["lb1", "lb2"]);
    pair.look_from_now();
    pair.lab().attach("lb1").unwrap();
    pair.daemon("lb2").wait_for("became_backup", &[], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
}

#[test]
fn an_interface_that_somebody_removes_is_put_back_with_its_addresses() {
    let mut pair = Pair::elected(&pair(&[WEB, VIRTUAL_MAC]), VIRTUAL);
    pair.look_from_now();
    pair.machine("lb1").run(&["ip", "link", "delete", "vrrp4.51"]).unwrap();
    let change = "add interface vrrp4.51 on eth0 with 00:00:5e:00:01:33";
    pair.daemon("lb1").wait_for("repaired", &[("change", change)], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
    let client = pair.ping(VIRTUAL);
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    assert_eq!(pair.daemon("lb1").transitions(), [""; 0]);
}

#[test]
fn an_interface_of_that_name_that_is_somebody_else_s_is_left_alone_and_named() {
    let mut pair = Pair::idle(&pair(&[WEB, VIRTUAL_MAC]));
    pair.machine("lb1").run(&["ip", "link", "add", "vrrp4.51", "type", "bridge"]).unwrap();
    pair.start("lb2");
    let event = pair.start("lb1").wait_for("change_refused", &[], LIMIT);
    assert!(event.to_string().contains("not Baton's"), "{event}");
    pair.wait_for_holder(VIRTUAL, "lb2");
    pair.daemon("lb1").stop(LIMIT);
    let details = pair.machine("lb1").run(&["ip", "-details", "link", "show", "vrrp4.51"]).unwrap();
    assert!(details.contains("bridge"), "{details}");
}

#[test]
fn cleaning_leaves_a_node_as_it_was_before_a_daemon_that_was_killed() {
    let mut pair = Pair::idle(&pair(&[WEB, VIRTUAL_MAC]));
    pair.machine("lb1").set_sysctl("net/ipv4/conf/eth0/arp_announce", "1").unwrap();
    let before = traces(pair.machine("lb1"));
    pair.start("lb1");
    pair.wait_for_holder(VIRTUAL, "lb1");
    assert_eq!(traces(pair.machine("lb1")).1, ["1", "2"]);
    pair.daemon("lb1").process().kill().unwrap();
    let answer = pair.place("lb1").ask_in(pair.machine("lb1"), &["clean"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(answer.output.contains("removed interface vrrp4.51"), "{answer:?}");
    assert_eq!(traces(pair.machine("lb1")), before);
}
