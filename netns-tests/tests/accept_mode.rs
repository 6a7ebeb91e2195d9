//! `accept = false`: an Active that forwards, and answers for its addresses on the link alone.

#![expect(clippy::unwrap_used, reason = "the tests share functions, which the lint does not take for tests")]

use std::time::{Duration, Instant};

use lab::{Fate, Namespace, Probe, Prober, Signal, Topology, WebServer, wait_until};
use netns_tests::{LIMIT, Pair, VIRTUAL, VIRTUAL_V6, WEB, WEB_V6, at, pair};

const CLOSED: &str = "accept = false\n";
const OPEN: &str = "accept = true\n";

/// The gateways of what is behind the nodes.
const GATEWAY: &str = "unadvertised_addresses = [{ address = \"10.78.0.1/24\", interface = \"eth1\" }]\n";
const GATEWAY_V6: &str = "unadvertised_addresses = [{ address = \"fd78::1/64\", interface = \"eth1\" }]\n";

/// Who is behind the nodes.
const BEHIND: &str = "10.78.0.21";
const BEHIND_V6: &str = "fd78::21";

/// How often the client asks what is not answered.
const PACE: Duration = Duration::from_millis(5);

/// What of a packet sent to an address shows that it was dropped, in one of these sets.
const IPV4: &str = "accept_off_ipv4";
const IPV6: &str = "accept_off_ipv6";
const LINK_LOCAL: &str = "accept_off_link_local";

/// A pair with somebody behind it, whom the client reaches through the virtual address.
fn gateways(parts: &[&str]) -> Pair {
    let pair = Pair::in_lab(Topology::standard(2, 1).build().unwrap(), &pair(parts));
    let client = pair.machine("client");
    client.run(&["ip", "route", "add", "10.78.0.0/24", "via", VIRTUAL]).unwrap();
    client.run(&["ip", "route", "add", "fd78::/64", "via", VIRTUAL_V6]).unwrap();
    pair
}

/// Baton's table as `nft` shows it; empty where there is none.
fn table(machine: &Namespace) -> String {
    machine.run(&["nft", "--handle", "list", "table", "inet", "baton"]).unwrap_or_default()
}

/// The same without what changes with each packet.
fn structure(machine: &Namespace) -> String {
    let table = table(machine);
    let words = table.split(' ').scan("", |last, word| {
        let is_count = ["packets", "bytes"].contains(last);
        *last = word;
        Some(if is_count { "" } else { word })
    });
    words.collect::<Vec<_>>().join(" ")
}

/// How many packets were dropped for what is in a set.
fn dropped(machine: &Namespace, set: &str) -> u64 {
    let table = table(machine);
    let rule = table.lines().find(|line| line.contains(&format!("@{set} ")));
    let count = rule.and_then(|rule| rule.split("packets ").nth(1)?.split(' ').next()?.parse().ok());
    count.unwrap_or_default()
}

fn wait_for_drops(machine: &Namespace, set: &str) {
    let before = dropped(machine, set);
    wait_until(&format!("packets dropped by {set}"), LIMIT, || Ok(dropped(machine, set) >= before + 3))
        .unwrap();
}

/// A client that asks an address and has not been answered.
fn knock(pair: &Pair, address: &str) -> Prober {
    Prober::echo(pair.machine("client"), at(address), PACE).unwrap()
}

fn assert_unanswered(prober: Prober) {
    let seen = prober.stop().unwrap();
    let is_answered = |probe: &Probe| matches!(probe.fate, Fate::Answered { .. });
    assert!(seen.sent() > 0 && !seen.probes().iter().any(is_answered), "{seen}");
}

#[test]
fn an_active_that_does_not_accept_forwards_and_answers_to_nothing_but_arp() {
    let mut pair = gateways(&[WEB, GATEWAY, CLOSED]);
    pair.elect(VIRTUAL);
    let lb1 = pair.machine("lb1");
    let _server = WebServer::start(lb1, "lb1", 8080).unwrap();
    let client = pair.machine("client");
    client.run(&["ip", "neighbour", "flush", "dev", "eth0"]).unwrap();
    let through = pair.ping(BEHIND);
    pair.wait_for_neighbour(VIRTUAL, "lb1");

    let echo = knock(&pair, VIRTUAL);
    wait_for_drops(lb1, IPV4);
    assert_unanswered(echo);
    let web = Prober::web(client, "10.77.0.50:8080".parse().unwrap(), PACE).unwrap();
    wait_for_drops(lb1, IPV4);
    assert_unanswered(web);
    // From the other side too, where the address is not even on the interface.
    let inside = Prober::echo(pair.machine("rs1"), at(VIRTUAL), PACE).unwrap();
    wait_for_drops(lb1, IPV4);
    assert_unanswered(inside);

    let own = Prober::web(client, "10.77.0.11:8080".parse().unwrap(), PACE).unwrap();
    own.wait_for_answer(Instant::now(), LIMIT).unwrap();
    through.wait_for_answer(Instant::now(), LIMIT).unwrap();
    assert!(!pair.daemon("lb1").router("web").accept);
}

#[test]
fn neighbour_discovery_is_answered_for_an_address_that_is_not_accepted() {
    let mut pair = gateways(&[WEB_V6, GATEWAY_V6, CLOSED]);
    pair.elect(VIRTUAL_V6);
    let (client, lb1) = (pair.machine("client"), pair.machine("lb1"));
    client.run(&["ip", "-6", "neighbour", "flush", "dev", "eth0"]).unwrap();
    let through = pair.ping(BEHIND_V6);
    pair.wait_for_neighbour(VIRTUAL_V6, "lb1");
    // Asked whether it is still there the address is asked itself, not its group.
    let mac = lb1.link_address("eth0").unwrap();
    let probe = ["ip", "neighbour", "replace", VIRTUAL_V6, "lladdr", &mac, "dev", "eth0", "nud", "probe"];
    client.run(&probe).unwrap();
    wait_until("An answer to a solicitation", LIMIT, || {
        Ok(client.run(&["ip", "neighbour", "show", VIRTUAL_V6])?.contains("REACHABLE"))
    })
    .unwrap();
    // After solicitations of its own went unanswered the client would ask the group, which is never dropped.
    assert_eq!(dropped(lb1, IPV6), 0);

    let echo = knock(&pair, VIRTUAL_V6);
    wait_for_drops(lb1, IPV6);
    assert_unanswered(echo);
    client.run(&["ping", "-c", "3", "-i", "0.1", "-W", "1", "fe80::50%eth0"]).unwrap_err();
    assert_eq!(dropped(lb1, LINK_LOCAL), 3);
    through.wait_for_answer(Instant::now(), LIMIT).unwrap();
}

#[test]
fn at_no_moment_of_a_take_over_is_the_address_accepted() {
    let mut pair = gateways(&[WEB, GATEWAY, CLOSED]);
    let knocking = knock(&pair, VIRTUAL);
    pair.elect(VIRTUAL);
    let through = pair.ping(BEHIND);
    wait_for_drops(pair.machine("lb1"), IPV4);
    // It is ready before it is needed.
    assert!(table(pair.machine("lb2")).contains("10.77.0.50"));

    pair.daemon("lb1").stop(LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");
    wait_for_drops(pair.machine("lb2"), IPV4);
    through.wait_for_answer(Instant::now(), LIMIT).unwrap();
    assert_eq!(table(pair.machine("lb1")), "");

    pair.start("lb1");
    pair.wait_for_holder(VIRTUAL, "lb1");
    wait_for_drops(pair.machine("lb1"), IPV4);
    assert_unanswered(knocking);
}

#[test]
fn a_table_that_somebody_flushes_is_put_back_without_a_transition() {
    let mut pair = gateways(&[WEB, GATEWAY, CLOSED]);
    pair.elect(VIRTUAL);
    let echo = knock(&pair, VIRTUAL);
    wait_for_drops(pair.machine("lb1"), IPV4);
    assert_unanswered(echo);
    for command in [
        "nft flush ruleset",
        "nft flush chain inet baton accept_off",
        "nft delete element inet baton accept_off_ipv4 { 10.77.0.50 }",
        "nft insert rule inet baton accept_off accept",
    ] {
        pair.look_from_now();
        pair.machine("lb1").run(&command.split(' ').collect::<Vec<_>>()).unwrap();
        let change = "add drop of packets to 10.77.0.50";
        pair.daemon("lb1").wait_for("repaired", &[("change", change)], LIMIT);
        let echo = knock(&pair, VIRTUAL);
        wait_for_drops(pair.machine("lb1"), IPV4);
        echo.stop().unwrap();
        let table = table(pair.machine("lb1"));
        assert!(table.contains("elements = { 10.77.0.50, 10.78.0.1 }"), "{table}");
        assert_eq!(pair.daemon("lb1").transitions(), [""; 0]);
    }
    let router = pair.daemon("lb1").router("web");
    assert!(router.drops_restored >= 4, "{router:?}");
}

#[test]
fn the_rules_of_others_are_never_touched() {
    let mut pair = Pair::idle(&pair(&[WEB, CLOSED]));
    let others = "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy \
                  accept;\n\t\ttcp dport 22 accept\n\t}\n}\n";
    pair.folder().write("others.nft", others);
    let file = pair.folder().path().join("others.nft");
    pair.machine("lb1").run(&["nft", "-f", file.to_str().unwrap()]).unwrap();
    pair.start("lb1");
    pair.wait_for_holder(VIRTUAL, "lb1");
    assert!(table(pair.machine("lb1")).contains("10.77.0.50"));
    pair.daemon("lb1").stop(LIMIT);
    assert_eq!(pair.machine("lb1").run(&["nft", "list", "ruleset"]).unwrap(), others);
}

#[test]
fn a_daemon_that_is_killed_leaves_the_table_to_the_next_one_as_it_is() {
    let mut pair = gateways(&[WEB, GATEWAY, CLOSED]);
    pair.elect(VIRTUAL);
    let knocking = knock(&pair, VIRTUAL);
    wait_for_drops(pair.machine("lb1"), IPV4);
    let before = structure(pair.machine("lb1"));
    pair.look_from_now();
    pair.daemon("lb1").signal_engine(Signal::KILL);
    pair.daemon("lb1").wait_for("role_adopted", &[], LIMIT);
    pair.wait_to_hear("lb2", 3);
    wait_for_drops(pair.machine("lb1"), IPV4);
    // The handles too: what is made anew has others.
    assert_eq!(structure(pair.machine("lb1")), before);
    assert_unanswered(knocking);
}

#[test]
fn what_a_dead_daemon_left_is_removed_by_the_next_one() {
    let mut pair = Pair::idle(&pair(&[WEB, CLOSED]));
    pair.start("lb1");
    pair.wait_for_holder(VIRTUAL, "lb1");
    pair.daemon("lb1").process().kill().unwrap();
    assert!(table(pair.machine("lb1")).contains("10.77.0.50"));
    pair.configure(&netns_tests::pair(&[WEB, OPEN]));
    pair.start("lb1");
    wait_until("no table", LIMIT, || Ok(table(pair.machine("lb1")).is_empty())).unwrap();
}

#[test]
fn cleaning_removes_the_table_of_a_daemon_that_was_killed() {
    let mut pair = Pair::idle(&pair(&[WEB, CLOSED]));
    pair.start("lb1");
    pair.wait_for_holder(VIRTUAL, "lb1");
    pair.daemon("lb1").process().kill().unwrap();
    let answer = pair.place("lb1").ask_in(pair.machine("lb1"), &["clean"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(answer.output.contains("removed drop of packets to 10.77.0.50"), "{answer:?}");
    assert_eq!(table(pair.machine("lb1")), "");
}

#[test]
fn a_reload_opens_and_closes_an_address_without_a_transition() {
    let mut pair = gateways(&[WEB, GATEWAY, CLOSED]);
    pair.elect(VIRTUAL);
    let client = knock(&pair, VIRTUAL);
    wait_for_drops(pair.machine("lb1"), IPV4);
    pair.look_from_now();
    pair.configure(&netns_tests::pair(&[WEB, GATEWAY, OPEN]));
    let answer = pair.daemon("lb1").ask(&["reload"]);
    assert!(answer.output.contains("accept false -> true"), "{answer:?}");
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    wait_until("no table", LIMIT, || Ok(table(pair.machine("lb1")).is_empty())).unwrap();

    pair.configure(&netns_tests::pair(&[WEB, GATEWAY, CLOSED]));
    pair.daemon("lb1").ask(&["reload"]);
    wait_for_drops(pair.machine("lb1"), IPV4);
    assert_eq!(pair.daemon("lb1").transitions(), [""; 0]);
}

#[test]
fn a_node_that_cannot_drop_packets_says_so_at_once_and_takes_no_part_until_it_can() {
    let mut pair = Pair::idle(&pair(&[WEB, CLOSED]));
    let lb1 = pair.machine("lb1");
    lb1.run(&["nft", "add", "table", "inet", "baton"]).unwrap();
    lb1.run(&["nft", "add", "chain", "inet", "baton", "mine"]).unwrap();
    let before = table(lb1);
    pair.start("lb2");
    pair.wait_for_holder(VIRTUAL, "lb2");
    let daemon = pair.start("lb1");
    let event = daemon.wait_for("router_faulted", &[("reason", "not_dropped")], LIMIT).to_string();
    assert!(event.contains("somebody else's chain mine is in the table `inet baton`"), "{event}");
    assert!(daemon.router("web").reason.contains("as `accept = false` asks"));
    assert_eq!(pair.holders(VIRTUAL), ["lb2"]);
    assert_eq!(table(pair.machine("lb1")), before);

    pair.machine("lb1").run(&["nft", "delete", "chain", "inet", "baton", "mine"]).unwrap();
    pair.daemon("lb1").wait_for("router_recovered", &[], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
    let echo = knock(&pair, VIRTUAL);
    wait_for_drops(pair.machine("lb1"), IPV4);
    assert_unanswered(echo);
}

#[test]
fn an_active_whose_table_cannot_be_put_back_goes_on_and_says_so() {
    let mut pair = gateways(&[WEB, GATEWAY, CLOSED]);
    pair.elect(VIRTUAL);
    let through = pair.ping(BEHIND);
    pair.look_from_now();
    pair.machine("lb1").run(&["nft", "add", "chain", "inet", "baton", "mine"]).unwrap();
    let change = [("change", "add drop of packets to 10.77.0.50")];
    pair.daemon("lb1").wait_for("change_refused", &change, LIMIT);
    pair.wait_to_hear("lb2", 3);
    through.wait_for_answer(Instant::now(), LIMIT).unwrap();
    assert_eq!(pair.daemon("lb1").transitions(), [""; 0]);
}

#[test]
fn an_address_with_a_virtual_mac_is_closed_all_the_same() {
    let mut pair = gateways(&[WEB_V6, GATEWAY_V6, CLOSED, "virtual_mac = true\n"]);
    pair.elect(VIRTUAL_V6);
    let through = pair.ping(BEHIND_V6);
    let echo = knock(&pair, VIRTUAL_V6);
    wait_for_drops(pair.machine("lb1"), IPV6);
    assert_unanswered(echo);
    pair.machine("client").run(&["ping", "-c", "3", "-i", "0.1", "-W", "1", "fe80::50%eth0"]).unwrap_err();
    assert_eq!(dropped(pair.machine("lb1"), LINK_LOCAL), 3);
    through.wait_for_answer(Instant::now(), LIMIT).unwrap();
}
