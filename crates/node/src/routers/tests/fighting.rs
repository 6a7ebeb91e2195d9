//! Addresses that somebody on this machine removes again and again.

use super::*;
use crate::fight::{Course, Fight};
use crate::report::HandOverReason;

fn fight(course: Course) -> RoutersInput<'static> {
    let fight = Fight { address: virtual_address(50), removals: 4, lasting: Duration::from_secs(2), course };
    RoutersInput::Reconciled(Reconciliation { fights: vec![fight], ..Reconciliation::default() })
}

fn active_of(nodes: usize) -> Routers {
    let peers = (1..nodes).map(|node| (NodeName::new(&format!("peer{node}")).unwrap(), BTreeSet::new()));
    let config = Config::clone(&config(&[("web", virtual_router(51, 50))], &[]));
    let mut routers = started(Arc::new(Config { peers: peers.collect(), ..config }));
    let _ = run_until(&mut routers, at(3_700));
    let _ = routers.handle(taken(&[virtual_address(50)]), at(3_700));
    routers
}

fn hands_over(outputs: &[RoutersOutput]) -> bool {
    let reason = HandOverReason::AddressFight;
    reports(outputs).contains(&&Report::HandingOver { router: router("web"), reason })
}

fn away_for(routers: &Routers, now: Instant) -> Option<Duration> {
    let away = routers.status().virtual_routers["web"].away?;
    Some(away.until? - now)
}

/// A Backup of a lower priority takes over, announces and serves until this node comes back.
fn let_somebody_serve(routers: &mut Routers, from: u64, until: u64) {
    let _ = hear(routers, &advertisement(51, 90), at(from + 5));
    let announced =
        RoutersInput::AddressAnnounced { interface: interface("eth0"), address: virtual_address(50).address };
    let _ = routers.handle(announced, at(from + 6));
    for time in (from + 500..until).step_by(500) {
        let _ = hear(routers, &advertisement(51, 90), at(time));
        let _ = run_until(routers, at(time));
        assert_eq!(state(routers, "web"), RouterState::Backup, "at {time} ms");
    }
}

#[test]
fn an_address_that_is_fought_about_is_handed_over_and_others_are_preferred_for_a_while() {
    let mut routers = active_of(2);
    let outputs = routers.handle(fight(Course::Begun), at(10_000));
    assert!(matches!(reports(&outputs)[0], Report::AddressFight { removals: 4, .. }), "{outputs:?}");
    assert!(hands_over(&outputs), "{outputs:?}");
    assert_eq!(away_for(&routers, at(10_000)), Some(Duration::from_mins(1)));
    let_somebody_serve(&mut routers, 10_000, 70_000);
    let _ = run_until(&mut routers, at(75_000));
    assert_eq!(state(&routers, "web"), RouterState::Active, "its priority counts again");
    assert_eq!(routers.status().virtual_routers["web"].counters.address_fights, 1);

    let _ = routers.handle(fight(Course::Begun), at(80_000));
    assert_eq!(away_for(&routers, at(80_000)), Some(Duration::from_mins(2)), "longer each time");
}

#[test]
fn where_nobody_else_serves_the_node_goes_on() {
    let mut routers = active_of(2);
    let outputs = routers.handle(fight(Course::Begun), at(10_000));
    assert!(hands_over(&outputs));
    let _ = run_until(&mut routers, at(12_000));
    assert_eq!((state(&routers, "web"), away_for(&routers, at(12_000))), (RouterState::Active, None));

    let mut alone = active_of(1);
    let outputs = alone.handle(fight(Course::Begun), at(10_000));
    assert!(!hands_over(&outputs), "{outputs:?}");
    assert_eq!(state(&alone, "web"), RouterState::Active);
}

#[test]
fn the_end_of_a_fight_is_told() {
    let mut routers = active_of(1);
    let _ = routers.handle(fight(Course::Begun), at(10_000));
    let outputs = routers.handle(fight(Course::Over), at(60_000));
    assert!(matches!(reports(&outputs)[..], [Report::AddressFightOver { .. }]), "{outputs:?}");
}
