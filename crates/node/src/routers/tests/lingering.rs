//! What an outranked Active keeps until the winner's addresses are announced.

use super::*;

/// It has become Active and is outranked at 3.8 s.
fn outranked(mut routers: Routers) -> Routers {
    let _ = run_until(&mut routers, at(3_700));
    let _ = hear(&mut routers, &advertisement(51, 200), at(3_800));
    assert_eq!(state(&routers, "web"), RouterState::Backup);
    routers
}

fn announced(last: u8) -> RoutersInput<'static> {
    RoutersInput::AddressAnnounced { interface: interface("eth0"), address: virtual_address(last).address }
}

#[test]
fn an_outranked_node_keeps_its_addresses_until_the_winner_announces_them() {
    let mut routers = outranked(one());
    assert_eq!(routers.roles().held.len(), 1);
    assert_eq!(routers.neighbour_segments().len(), 1);
    let _ = routers.handle(announced(51), at(3_801));
    assert_eq!(routers.roles().held.len(), 1, "another address");
    let outputs = routers.handle(announced(50), at(3_802));
    assert!(outputs.contains(&RoutersOutput::RolesChanged));
    assert!(routers.roles().held.is_empty());
    assert!(routers.neighbour_segments().is_empty());
}

#[test]
fn where_nothing_is_announced_it_asks_who_has_them_and_leaves_them_after_a_twentieth_of_an_interval() {
    for (interval, asks, leaves) in [(100, 10, 50), (10, 1, 5)] {
        let interval = Centiseconds::new(interval);
        let config = config(&[("web", VirtualRouterConfig { interval, ..virtual_router(51, 50) })], &[]);
        let mut routers = outranked(started(config));
        assert_eq!(routers.next_deadline(), Some(at(3_800 + asks)));
        let outputs = routers.handle(RoutersInput::Deadline, at(3_800 + asks));
        let [RoutersOutput::Solicit(question)] = &outputs[..] else { panic!("{outputs:?}") };
        assert_eq!(question.whom, Whom::Holders(BTreeSet::from([virtual_address(50).address])));
        assert_eq!(question.source, IpAddr::from(OWN));
        assert_eq!(routers.roles().held.len(), 1, "nobody has answered");
        assert_eq!(routers.next_deadline(), Some(at(3_800 + leaves)));
        let outputs = routers.handle(RoutersInput::Deadline, at(3_800 + leaves));
        assert!(outputs.contains(&RoutersOutput::RolesChanged));
        assert!(routers.roles().held.is_empty());
    }
}

#[test]
fn a_refusal_that_comes_too_late_keeps_no_backup_out_of_the_election() {
    let mut routers = outranked(one());
    let _ = routers.handle(refused(50), at(3_801));
    for second in [4, 5, 6] {
        let _ = run_until(&mut routers, at(second * 1_000));
        let _ = hear(&mut routers, &advertisement(51, 200), at(second * 1_000));
        assert_eq!(state(&routers, "web"), RouterState::Backup);
    }
}

#[test]
fn whoever_becomes_active_again_or_takes_part_no_longer_lingers_no_more() {
    let mut routers = outranked(one());
    let _ = routers.handle(link_event(None), at(3_810));
    assert!(routers.roles().held.is_empty());
    let mut routers = outranked(one());
    let _ = routers.handle(RoutersInput::Shutdown, at(3_810));
    assert!(routers.roles().held.is_empty());
}
