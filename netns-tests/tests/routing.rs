//! Virtual routes and rules: they move with their virtual router, and what others do to them is put right.

#![expect(clippy::unwrap_used, reason = "the tests share functions, which the lint does not take for tests")]

use std::time::{Duration, Instant};

use lab::wait_until;
use netns_tests::{LIMIT, Pair, VIRTUAL, WEB, pair};

/// A way out through the client, and a table of its own for the virtual address.
const ROUTING: &str = r#"
virtual_routes = [
    { destination = "default", via = "10.77.0.254", source = "10.77.0.50" },
    { destination = "10.79.0.0/16", via = "10.77.0.254", interface = "eth0", table = 100, metric = 5 },
]
virtual_rules = [{ priority = 1000, from = "10.77.0.50", table = 100 }]
"#;

/// After more than this it is put back at once again.
const PUT_BACK_AGAIN: Duration = Duration::from_millis(1_100);

/// What a node has of them, as `ip` shows it: the routes with the tag, then the rules of that priority.
fn held(pair: &Pair, node: &str) -> String {
    let machine = pair.machine(node);
    let routes = machine.run(&["ip", "route", "show", "table", "all", "proto", "112"]).unwrap();
    routes + &machine.run(&["ip", "rule", "show", "priority", "1000"]).unwrap()
}

const ALL: &str = "default via 10.77.0.254 dev eth0 src 10.77.0.50 \n\
                   10.79.0.0/16 via 10.77.0.254 dev eth0 table 100 metric 5 \n\
                   1000:\tfrom 10.77.0.50 lookup 100 proto 112\n";

fn wait_for_all(pair: &Pair, node: &str) {
    wait_until(&format!("the routes and the rule on {node}"), LIMIT, || {
        let held: std::collections::BTreeSet<_> = held(pair, node).lines().map(str::to_owned).collect();
        Ok(held == ALL.lines().map(str::to_owned).collect())
    })
    .unwrap();
}

#[test]
fn routes_and_rules_move_with_their_virtual_router() {
    let mut pair = Pair::elected(&pair(&[WEB, ROUTING]), VIRTUAL);
    wait_for_all(&pair, "lb1");
    assert_eq!(held(&pair, "lb2"), "");
    let router = pair.daemon("lb1").router("web");
    assert_eq!(router.routes[0], "0.0.0.0/0 via 10.77.0.254 source 10.77.0.50");
    assert_eq!(router.rules, ["1000: from 10.77.0.50/32 table 100"]);

    pair.daemon("lb1").stop(LIMIT);
    wait_for_all(&pair, "lb2");
    assert_eq!(held(&pair, "lb1"), "");
}

#[test]
fn a_route_or_rule_that_somebody_removes_is_put_back_without_a_transition() {
    let mut pair = Pair::elected(&pair(&[WEB, ROUTING]), VIRTUAL);
    wait_for_all(&pair, "lb1");
    pair.look_from_now();
    pair.machine("lb1").run(&["ip", "route", "delete", "default"]).unwrap();
    pair.daemon("lb1").wait_for(
        "repaired",
        &[("change", "add route 0.0.0.0/0 via 10.77.0.254 source 10.77.0.50")],
        LIMIT,
    );
    pair.machine("lb1").run(&["ip", "rule", "delete", "priority", "1000"]).unwrap();
    pair.daemon("lb1").wait_for(
        "repaired",
        &[("change", "add rule 1000: from 10.77.0.50/32 table 100")],
        LIMIT,
    );
    wait_for_all(&pair, "lb1");
    assert_eq!(pair.daemon("lb1").router("web").routing_restored, 2);
    assert_eq!(pair.daemon("lb1").transitions(), [""; 0]);

    // And nothing is worked at any more.
    std::thread::sleep(PUT_BACK_AGAIN);
    let (before, begin) = (pair.machine("lb1").processor_time().unwrap(), Instant::now());
    std::thread::sleep(PUT_BACK_AGAIN);
    let (after, passed) = (pair.machine("lb1").processor_time().unwrap(), begin.elapsed());
    assert!(after < before + passed / 5, "{before:?} and {passed:?} later {after:?}");
}

#[test]
fn cleaning_removes_the_routes_and_rules_of_a_dead_daemon_and_nobody_else_s() {
    let mut pair = Pair::idle(&pair(&[WEB, ROUTING]));
    let foreign = ["ip", "route", "add", "10.80.0.0/16", "via", "10.77.0.254"];
    pair.machine("lb1").run(&foreign).unwrap();
    pair.start("lb1");
    wait_for_all(&pair, "lb1");
    pair.daemon("lb1").process().kill().unwrap();
    assert_eq!(held(&pair, "lb1").lines().count(), 3);
    let answer = pair.place("lb1").ask_in(pair.machine("lb1"), &["clean"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(answer.output.contains("removed rule 1000: from 10.77.0.50/32 table 100"), "{answer:?}");
    assert_eq!(held(&pair, "lb1"), "");
    let left = pair.machine("lb1").run(&["ip", "route", "show", "10.80.0.0/16"]).unwrap();
    assert!(left.starts_with("10.80.0.0/16 via 10.77.0.254"), "{left}");
}

#[test]
fn a_reload_changes_only_the_routes_that_differ() {
    let mut pair = Pair::elected(&pair(&[WEB, ROUTING]), VIRTUAL);
    wait_for_all(&pair, "lb1");
    pair.look_from_now();
    pair.configure(&netns_tests::pair(&[WEB, &ROUTING.replace("metric = 5", "metric = 6")]));
    assert_eq!(pair.daemon("lb1").ask(&["reload"]).code, 0);
    let added = "add route 10.79.0.0/16 via 10.77.0.254 on eth0 metric 6 table 100";
    pair.daemon("lb1").wait_for("routing_changed", &[("change", added)], LIMIT);
    let events = pair.daemon("lb1").new_events();
    assert_eq!(events.iter().filter(|event| event.name == "routing_changed").count(), 2, "{events:?}");
}
