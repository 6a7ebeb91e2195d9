//! The planned hand-over of one virtual router, of a sync group and of a whole node.

use super::*;
use crate::fault::Fault;
use crate::report::HandOverReason;
use crate::status::HandOverOutcome;

fn announced_by_somebody(last: u8) -> RoutersInput<'static> {
    let InterfaceAddress { interface, address, .. } = virtual_address(last);
    RoutersInput::AddressAnnounced { interface, address }
}

fn pass(name: &str, until: Option<Instant>) -> RoutersInput<'static> {
    RoutersInput::Pass { routers: BTreeSet::from([router(name)]), until }
}

fn come_back(name: &str) -> RoutersInput<'static> {
    RoutersInput::Return { routers: BTreeSet::from([router(name)]) }
}

fn exits(outputs: &[RoutersOutput]) -> bool {
    outputs.contains(&RoutersOutput::Exit)
}

fn states(routers: &Routers) -> (RouterState, RouterState) {
    (state(routers, "web"), state(routers, "inside"))
}

#[test]
fn a_node_that_stops_holds_its_addresses_until_the_successor_has_announced_them() {
    let mut routers = one();
    let _ = run_until(&mut routers, at(3_700));
    let outputs = routers.handle(RoutersInput::Shutdown, at(3_750));
    assert_eq!(sent(&outputs), [Priority::DEFAULT, Priority::RELEASE]);
    assert!(!exits(&outputs) && routers.roles().held.contains_key("web"));
    let _ = hear(&mut routers, &advertisement(51, 90), at(3_757));
    assert!(routers.roles().held.contains_key("web"), "the successor has only claimed");
    let outputs = routers.handle(announced_by_somebody(50), at(3_758));
    assert!(exits(&outputs) && routers.roles().held.is_empty());
    let told = Report::HandedOver { router: router("web"), to: PEER.into(), took: Duration::from_millis(8) };
    assert!(reports(&outputs).contains(&&told), "{outputs:?}");
}

#[test]
fn a_successor_serves_once_it_has_announced_every_address() {
    let mut web = virtual_router(51, 50);
    web.addresses.push(virtual_address(51));
    let mut routers = started(config(&[("web", web)], &[]));
    let _ = run_until(&mut routers, at(3_700));
    let _ = routers.handle(RoutersInput::Shutdown, at(3_750));
    let _ = hear(&mut routers, &advertisement(51, 90), at(3_757));
    for repeated in [3_758, 3_759] {
        let outputs = routers.handle(announced_by_somebody(51), at(repeated));
        assert!(
            !exits(&outputs) && routers.roles().held.contains_key("web"),
            "the other one is still to come"
        );
    }
    let outputs = routers.handle(announced_by_somebody(50), at(3_760));
    assert!(exits(&outputs) && routers.roles().held.is_empty());
}

#[test]
fn a_node_that_nobody_succeeds_stops_in_the_end_and_says_so() {
    let mut routers = pair();
    let _ = run_until(&mut routers, at(3_700));
    assert!(!exits(&routers.handle(RoutersInput::Shutdown, at(3_750))));
    let outputs = run_until(&mut routers, at(5_000));
    assert!(exits(&outputs) && routers.roles().held.is_empty());
    let told = reports(&outputs);
    assert!(told.contains(&&Report::NobodyTookOver { router: router("web") }), "{told:?}");
    assert_eq!(routers.next_deadline().filter(|deadline| *deadline < at(60_000)), None);
}

#[test]
fn whoever_says_stop_twice_does_not_wait() {
    let mut routers = one();
    let _ = run_until(&mut routers, at(3_700));
    let _ = routers.handle(RoutersInput::Shutdown, at(3_750));
    let outputs = routers.handle(RoutersInput::Shutdown, at(3_760));
    assert!(exits(&outputs) && routers.roles().held.is_empty());
}

#[test]
fn a_router_that_was_passed_on_stays_away_until_it_is_told_to_come_back() {
    let mut routers = one();
    let _ = run_until(&mut routers, at(3_700));
    let _ = routers.handle(pass("web", None), at(3_800));
    let _ = hear(&mut routers, &advertisement(51, 90), at(3_807));
    let _ = routers.handle(announced_by_somebody(50), at(3_808));
    assert_eq!(state(&routers, "web"), RouterState::Backup);
    for seconds in 4..30 {
        let _ = hear(&mut routers, &advertisement(51, 90), at(seconds * 1_000));
        let _ = run_until(&mut routers, at(seconds * 1_000 + 500));
        assert_eq!(state(&routers, "web"), RouterState::Backup, "after {seconds} s");
    }
    let _ = routers.handle(come_back("web"), at(30_000));
    let _ = hear(&mut routers, &advertisement(51, 90), at(30_100));
    let _ = run_until(&mut routers, at(34_000));
    assert_eq!(state(&routers, "web"), RouterState::Active, "its priority counts again");
}

#[test]
fn a_router_that_stays_away_takes_over_when_nobody_else_is_there() {
    let mut routers = one();
    let _ = run_until(&mut routers, at(3_700));
    let _ = routers.handle(pass("web", Some(at(600_000))), at(3_800));
    let _ = hear(&mut routers, &advertisement(51, 90), at(3_807));
    let outputs = run_until(&mut routers, at(8_000));
    assert_eq!(state(&routers, "web"), RouterState::Active);
    assert!(reports(&outputs).contains(&&Report::ComesBack { router: router("web") }));
}

#[test]
fn a_time_to_stay_away_ends_by_itself() {
    let mut routers = one();
    let _ = routers.handle(pass("web", Some(at(2_000))), at(100));
    assert!(routers.status().virtual_routers["web"].away.is_some());
    let _ = run_until(&mut routers, at(2_000));
    assert_eq!(routers.status().virtual_routers["web"].away, None);
}

#[test]
fn a_router_that_nobody_wants_is_active_again_and_says_so() {
    let mut routers = one();
    let _ = run_until(&mut routers, at(3_700));
    let _ = routers.handle(taken(&[virtual_address(50)]), at(3_700));
    let _ = routers.handle(pass("web", None), at(3_800));
    let outputs = run_until(&mut routers, at(5_000));
    let status = &routers.status().virtual_routers["web"];
    let outcome = status.hand_over.map(|hand_over| hand_over.outcome);
    assert_eq!((status.state, outcome), (RouterState::Active, Some(HandOverOutcome::Nobody)));
    assert_eq!(
        (sent(&outputs)[0], announced(&outputs)),
        (Priority::DEFAULT, 1),
        "and draws the traffic again"
    );
}

#[test]
fn what_the_kernel_refused_meanwhile_counts_where_nobody_takes_over() {
    let mut routers = one();
    let _ = run_until(&mut routers, at(3_700));
    let _ = routers.handle(pass("web", None), at(3_800));
    let _ = routers.handle(refused(50), at(3_810));
    let _ = run_until(&mut routers, at(5_000));
    assert_eq!(state(&routers, "web"), RouterState::Active, "nobody took over");
    let _ = run_until(&mut routers, at(6_000));
    assert_eq!(state(&routers, "web"), RouterState::Leaving, "it has no address to serve with");
}

#[test]
fn a_fault_that_leaves_a_router_able_to_speak_is_handed_over() {
    let mut routers = one();
    let _ = run_until(&mut routers, at(3_700));
    let foreign = link(&[OWN, [10, 77, 0, 50]]);
    let outputs = routers.handle(link_event(Some(foreign)), at(3_800));
    let fault = Fault::AddressForeign { address: virtual_address(50) };
    let told = Report::HandingOver { router: router("web"), reason: HandOverReason::Fault(fault) };
    assert!(reports(&outputs).contains(&&told), "{outputs:?}");
    let _ = hear(&mut routers, &advertisement(51, 90), at(3_807));
    let _ = routers.handle(announced_by_somebody(50), at(3_808));
    assert_eq!(state(&routers, "web"), RouterState::Fault);
    assert!(routers.roles().held.is_empty());
}

#[test]
fn each_member_of_a_group_serves_until_its_own_successor_does() {
    let mut routers = pair();
    let _ = run_until(&mut routers, at(3_700));
    let _ = routers.handle(pass("inside", None), at(3_800));
    assert_eq!(states(&routers), (RouterState::Leaving, RouterState::Leaving));
    let _ = hear(&mut routers, &advertisement(51, 90), at(3_807));
    let _ = routers.handle(announced_by_somebody(50), at(3_808));
    assert_eq!(states(&routers), (RouterState::Backup, RouterState::Leaving));
    let _ = hear(&mut routers, &advertisement(52, 90), at(3_810));
    let _ = routers.handle(announced_by_somebody(1), at(3_811));
    assert_eq!(states(&routers), (RouterState::Backup, RouterState::Backup));
}

#[test]
fn a_group_of_which_a_part_is_succeeded_does_not_take_the_rest_back() {
    let mut routers = pair();
    let _ = run_until(&mut routers, at(3_700));
    let _ = routers.handle(pass("inside", None), at(3_800));
    for step in 0..15 {
        let _ = hear(&mut routers, &advertisement(51, 90), at(3_807 + step * 100));
        let _ = run_until(&mut routers, at(3_850 + step * 100));
    }
    assert_eq!(states(&routers), (RouterState::Backup, RouterState::Backup));
}

#[test]
fn a_group_that_nobody_wants_is_active_again_as_a_whole() {
    let mut routers = pair();
    let _ = run_until(&mut routers, at(3_700));
    let _ = routers.handle(pass("web", None), at(3_800));
    let _ = run_until(&mut routers, at(5_000));
    assert_eq!(states(&routers), (RouterState::Active, RouterState::Active));
}

#[test]
fn the_release_of_one_member_counts_for_its_group() {
    let mut routers = pair();
    for vrid in [51, 52] {
        let _ = hear(&mut routers, &advertisement(vrid, 200), at(1_000));
    }
    let _ = hear(&mut routers, &advertisement(51, 0), at(1_500));
    let _ = run_until(&mut routers, at(2_200));
    assert_eq!(states(&routers), (RouterState::Active, RouterState::Active), "a skew time later");
}

#[test]
fn a_release_here_is_nothing_while_the_other_member_hears_its_active() {
    let mut routers = pair();
    for vrid in [51, 52] {
        let _ = hear(&mut routers, &advertisement(vrid, 200), at(1_000));
    }
    let _ = hear(&mut routers, &advertisement(51, 0), at(1_500));
    let _ = hear(&mut routers, &advertisement(52, 200), at(2_000));
    let _ = run_until(&mut routers, at(4_900));
    assert_eq!(states(&routers), (RouterState::Backup, RouterState::Backup));
}

#[test]
fn a_release_by_one_that_was_succeeded_already_moves_no_member_of_the_group() {
    let mut routers = pair();
    let _ = hear(&mut routers, &advertisement(51, 200), at(1_000));
    let _ = hear(&mut routers, &advertisement(52, 200), at(2_000));
    let claim_at = routers.next_deadline();
    let third = [10, 77, 0, 13];
    let late = advertisement(51, 0).emit(third.into(), GROUP_ADDRESS, ChecksumStyle::MessageOnly);
    let _ = hear_bytes_from(&mut routers, third, &late, 255, at(2_100));
    assert_eq!(routers.next_deadline(), claim_at);
}
