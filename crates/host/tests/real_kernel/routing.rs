//! Virtual routes and rules on the real kernel, with `ip` as the second opinion.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::kernel::{Kernel, virtual_address};
use crate::pair::{CABLE, Pair};
use lab::Namespace;
use node::host_state::Holding;
use node::name::InterfaceName;
use node::plan::{Change, Step};
use node::reconciliation::RefusalKind;
use node::routing::{Network, RouteTable, RouteTarget, RuleAction, RuleMark, VirtualRoute, VirtualRule};

/// The tag, as `ip` shows it.
const TAG: &str = "112";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn network(text: &str) -> Network {
    let (address, prefix_length) = text.split_once('/').unwrap();
    Network::new(ip(address), prefix_length.parse().unwrap()).unwrap()
}

fn through(destination: &str, via: &str) -> VirtualRoute {
    VirtualRoute::new(network(destination), RouteTarget::Gateway { via: ip(via), interface: None })
}

fn rule(priority: u32, from: &str) -> VirtualRule {
    let from = network(from);
    VirtualRule {
        priority,
        family: from.family(),
        from: Some(from),
        to: None,
        input: None,
        output: None,
        mark: None,
        action: RuleAction::Lookup(RouteTable::new(100).unwrap()),
    }
}

/// Routes and rules of both families, with the addresses that they need.
fn holding() -> Holding {
    let table = RouteTable::new(100).unwrap();
    let cable = InterfaceName::new(CABLE).unwrap();
    let source = Some(ip("10.9.0.50"));
    Holding {
        addresses: BTreeSet::from(
            ["10.9.0.50/24", "10.20.0.1/24", "fd99::50/64"].map(|it| virtual_address(it, CABLE)),
        ),
        routes: BTreeSet::from([
            VirtualRoute { source, ..through("0.0.0.0/0", "10.9.0.2") },
            VirtualRoute { table, metric: 7, ..through("10.79.0.0/16", "10.20.0.2") },
            VirtualRoute::new(network("10.80.0.0/16"), RouteTarget::Link(cable)),
            VirtualRoute::new(network("10.81.0.0/16"), RouteTarget::Blackhole),
            through("fd79::/48", "fd99::2"),
            VirtualRoute::new(network("fd81::/48"), RouteTarget::Unreachable),
        ]),
        rules: BTreeSet::from([
            rule(1000, "10.9.0.50/32"),
            rule(1001, "fd99::50/128"),
            VirtualRule {
                to: Some(network("10.79.0.0/16")),
                input: InterfaceName::new("lo").ok(),
                mark: Some(RuleMark { value: 7, mask: 0xFF }),
                action: RuleAction::Prohibit,
                ..rule(1002, "10.9.0.0/24")
            },
        ]),
        ..Holding::default()
    }
}

/// The routes with Baton's tag, as `ip` shows them.
fn routes(end: &Namespace) -> BTreeSet<String> {
    let show = |family| end.run(&["ip", family, "route", "show", "table", "all", "proto", TAG]).unwrap();
    let text = show("-4") + &show("-6");
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// The rules with Baton's tag, as `ip` shows them.
fn rules(end: &Namespace) -> BTreeSet<String> {
    let show = |family| end.run(&["ip", "-details", family, "rule", "show"]).unwrap();
    let text = show("-4") + &show("-6");
    let own = text.lines().filter_map(|line| line.strip_suffix(&format!("proto {TAG}")));
    own.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn routes_and_rules_come_and_go_with_their_addresses_and_carry_the_tag() {
    let pair = Pair::new();
    let mut kernel = Kernel::new(&pair.left);
    kernel.want_holdings(&[holding()]);
    let outcome = kernel.settle();
    assert_eq!((&outcome.refused[..], &outcome.repaired[..]), (&[][..], &[][..]));
    assert_eq!(outcome.rerouted.len(), 9);
    let expected = [
        "10.79.0.0/16 via 10.20.0.2 dev cable table 100 metric 7",
        "10.80.0.0/16 dev cable scope link",
        "blackhole 10.81.0.0/16",
        "default via 10.9.0.2 dev cable src 10.9.0.50",
        "fd79::/48 via fd99::2 dev cable metric 1024 pref medium",
        "unreachable fd81::/48 dev lo metric 1024 pref medium",
    ];
    assert_eq!(routes(&pair.left), expected.map(str::to_owned).into());
    let expected = [
        "1000: from 10.9.0.50 lookup 100",
        "1001: from fd99::50 lookup 100",
        "1002: from 10.9.0.0/24 to 10.79.0.0/16 fwmark 0x7/0xff iif lo prohibit",
    ];
    assert_eq!(rules(&pair.left), expected.map(str::to_owned).into());

    // The next process finds what it wants, also where the kernel has chosen the interface, and has nothing to do.
    let mut kernel = Kernel::on(&pair.left, kernel.end());
    kernel.want_holdings(&[holding()]);
    assert_eq!(kernel.settle().rerouted, []);
    kernel.want_holdings(&[]);
    let outcome = kernel.settle();
    assert_eq!((outcome.rerouted.len(), outcome.left.len()), (9, 3));
    assert_eq!((routes(&pair.left), rules(&pair.left)), (BTreeSet::new(), BTreeSet::new()));
}

#[test]
fn a_route_or_rule_that_somebody_removes_is_put_back_and_told() {
    let pair = Pair::new();
    let mut kernel = Kernel::new(&pair.left);
    kernel.want_holdings(&[holding()]);
    kernel.settle();
    let before = (routes(&pair.left), rules(&pair.left));
    let removals: [&[&str]; 4] = [
        &["ip", "route", "delete", "default", "proto", TAG],
        &["ip", "-6", "route", "delete", "fd79::/48"],
        &["ip", "rule", "delete", "priority", "1000"],
        // The kernel drops the route that names it without a word.
        &["ip", "address", "delete", "10.9.0.50/24", "dev", CABLE],
    ];
    for removal in removals {
        pair.left.run(removal).unwrap();
        let outcome = kernel.outcome("the repair", |outcome| !outcome.repaired.is_empty());
        let is_routing =
            |change: &Change| matches!(change, Change::Route(Step::Take, _) | Change::Rule(Step::Take, _));
        if !outcome.repaired.iter().any(is_routing) {
            kernel.outcome("the repair", |outcome| outcome.repaired.iter().any(is_routing));
        }
        assert_eq!((routes(&pair.left), rules(&pair.left)), before, "{removal:?}");
    }
    pair.left.run(&["ip", "link", "set", CABLE, "down"]).unwrap();
    pair.left.run(&["ip", "link", "set", CABLE, "up"]).unwrap();
    lab::wait_until("The routes to come back", Duration::from_secs(30), || {
        Ok((routes(&pair.left), rules(&pair.left)) == before)
    })
    .unwrap();
}

#[test]
fn a_route_that_somebody_removes_again_and_again_is_put_back_at_an_even_pace() {
    let pair = Pair::new();
    let mut kernel = Kernel::new(&pair.left);
    kernel.want_holdings(&[holding()]);
    kernel.settle();
    let mut repaired = Vec::new();
    for _ in 0..3 {
        pair.left.run(&["ip", "route", "delete", "blackhole", "10.81.0.0/16"]).unwrap();
        kernel.outcome("the repair", |outcome| !outcome.repaired.is_empty());
        repaired.push(Instant::now());
    }
    // The first one comes at once; each further one a second after the one before, less what this test was late.
    assert!(repaired[2] - repaired[0] > Duration::from_secs(1), "{repaired:?}");
}

#[test]
fn what_is_somebody_else_s_is_never_touched() {
    let pair = Pair::new();
    pair.left.run(&["ip", "route", "add", "default", "via", "10.9.0.3"]).unwrap();
    pair.left.run(&["ip", "rule", "add", "priority", "1000", "from", "10.9.0.50", "table", "100"]).unwrap();
    let mut kernel = Kernel::new(&pair.left);
    let wanted = Holding {
        routes: BTreeSet::from([through("0.0.0.0/0", "10.9.0.2"), through("10.79.0.0/16", "10.9.0.2")]),
        rules: BTreeSet::from([rule(1000, "10.9.0.50/32")]),
        ..Holding::default()
    };
    kernel.want_holdings(std::slice::from_ref(&wanted));
    let refused = kernel.outcome("the refusal", |outcome| !outcome.refused.is_empty()).refused;
    assert_eq!((refused.len(), refused[0].kind), (1, RefusalKind::Foreign));
    assert!(refused[0].reason.contains("another metric or priority"), "{}", refused[0].reason);
    let default = |pair: &Pair| pair.left.run(&["ip", "route", "show", "default"]).unwrap();
    assert_eq!(default(&pair), "default via 10.9.0.3 dev cable \n");
    assert_eq!(routes(&pair.left), ["10.79.0.0/16 via 10.9.0.2 dev cable".to_owned()].into());
    // The same rule can be there once with each tag.
    assert_eq!(rules(&pair.left), ["1000: from 10.9.0.50 lookup 100".to_owned()].into());

    // Whoever put the route there takes it away; from then on it is Baton's, until somebody else takes its place.
    pair.left.run(&["ip", "route", "delete", "default"]).unwrap();
    kernel.settle();
    assert_eq!(routes(&pair.left).len(), 2);
    pair.left.run(&["ip", "route", "replace", "default", "via", "10.9.0.4"]).unwrap();
    kernel.outcome("the refusal", |outcome| !outcome.refused.is_empty());
    assert_eq!(default(&pair), "default via 10.9.0.4 dev cable \n");

    let cleaned = kernel.end().clean(&pair.left);
    assert_eq!((cleaned.routes.len(), cleaned.rules.len(), cleaned.refused.len()), (1, 1, 0));
    assert_eq!(default(&pair), "default via 10.9.0.4 dev cable \n");
    let theirs = pair.left.run(&["ip", "rule", "show", "priority", "1000"]).unwrap();
    assert_eq!(theirs, "1000:\tfrom 10.9.0.50 lookup 100\n");
}

#[test]
fn a_gateway_that_no_address_reaches_is_named_and_taken_when_one_does() {
    let pair = Pair::new();
    let mut kernel = Kernel::new(&pair.left);
    let wanted =
        Holding { routes: BTreeSet::from([through("10.79.0.0/16", "10.50.0.1")]), ..Holding::default() };
    kernel.want_holdings(std::slice::from_ref(&wanted));
    let outcome = kernel.outcome("the refusal", |outcome| !outcome.refused.is_empty());
    assert!(outcome.refused[0].reason.contains("reaches the gateway"), "{:?}", outcome.refused);
    pair.left.run(&["ip", "address", "add", "10.50.0.2/24", "dev", CABLE]).unwrap();
    kernel.settle();
    assert_eq!(routes(&pair.left).len(), 1);
}

#[test]
fn a_route_waits_for_the_address_of_another_holding_that_it_needs() {
    let pair = Pair::new();
    let mut kernel = Kernel::new(&pair.left);
    let first =
        Holding { routes: BTreeSet::from([through("10.79.0.0/16", "10.20.0.2")]), ..Holding::default() };
    let second =
        Holding { addresses: BTreeSet::from([virtual_address("10.20.0.1/24", CABLE)]), ..Holding::default() };
    kernel.want_holdings(&[first, second]);
    assert_eq!(kernel.settle().refused, []);
    assert_eq!(routes(&pair.left), ["10.79.0.0/16 via 10.20.0.2 dev cable".to_owned()].into());
}
