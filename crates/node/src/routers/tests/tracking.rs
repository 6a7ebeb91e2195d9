//! What tracks mean for the virtual routers that have them.

use super::*;
use crate::fault::Fault;
use crate::legacy::Legacy;
use crate::report::HandOverReason;
use crate::script::Script;
use crate::status::TrackState;
use crate::track::{
    Delays, Effect, Observation, Problem, ProblemCause, Requirement, Sense, TrackConfig, TrackKind,
    TrackWeight,
};

fn track(name: &str) -> TrackName {
    TrackName::new(name).unwrap()
}

fn weight(number: i64) -> Effect {
    Effect::Weight(TrackWeight::new(number).unwrap())
}

fn uplink(effect: Effect) -> TrackConfig {
    let kind = TrackKind::Interface {
        interface: interface("eth1"),
        requirement: Requirement::Carrier,
        delays: Delays { up: Duration::ZERO, down: Duration::ZERO },
    };
    TrackConfig { kind, sense: Sense::Straight, effect }
}

fn script(effect: Effect) -> TrackConfig {
    let one = 1.try_into().unwrap();
    let kind = TrackKind::Script {
        script: Script::new(vec!["/bin/check".to_owned()], None).unwrap(),
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        rise: one,
        fall: one,
    };
    TrackConfig { kind, sense: Sense::Straight, effect }
}

/// A configuration whose virtual routers all have the same track.
fn tracking(
    routers: &[(&str, VirtualRouterConfig)],
    group: &[&str],
    config_of_track: &TrackConfig,
) -> Arc<Config> {
    let mut config = Arc::unwrap_or_clone(config(routers, group));
    for router in config.virtual_routers.values_mut() {
        Arc::make_mut(router).tracks = BTreeSet::from([track("check")]);
    }
    config.tracks = BTreeMap::from([(track("check"), Arc::new(config_of_track.clone()))]);
    Arc::new(config)
}

fn one_with(config_of_track: &TrackConfig) -> Routers {
    let config = tracking(&[("web", virtual_router(51, 50))], &[], config_of_track);
    let mut routers = Routers::new(config, at(0));
    let _ = routers.handle(uplink_event(true), at(0));
    let _ = routers.handle(link_event(Some(link(&[OWN]))), at(0));
    let _ = routers.handle(RoutersInput::Start, at(0));
    routers
}

fn uplink_event(is_up: bool) -> RoutersInput<'static> {
    let state = LinkState { index: 3, is_up, ..link(&[]) };
    RoutersInput::Link(LinkEvent { interface: interface("eth1"), state: Some(state) })
}

fn seen(routers: &Routers, seen: Observation) -> RoutersInput<'static> {
    let config = Arc::clone(&routers.config.tracks["check"]);
    RoutersInput::Tracked { track: track("check"), config, seen }
}

fn failed() -> Observation {
    Observation::Wrong(Problem { cause: ProblemCause::ExitCode(1), reason: "exit code 1".to_owned() })
}

#[test]
fn an_active_whose_track_fails_hands_over_and_takes_part_again_when_it_is_well() {
    let mut routers = one_with(&uplink(Effect::Fault));
    let _ = run_until(&mut routers, at(3_700));
    let outputs = routers.handle(uplink_event(false), at(3_800));
    assert_eq!(sent(&outputs), [Priority::DEFAULT, Priority::RELEASE]);
    let reason = "eth1 is down or has no carrier".to_owned();
    let down = Report::TrackDown { track: track("check"), reason: reason.clone(), cause: None };
    let fault = Fault::TrackDown { track: track("check"), reason };
    let handing_over = Report::HandingOver { router: router("web"), reason: HandOverReason::Fault(fault) };
    let told = reports(&outputs);
    assert!(told.contains(&&down) && told.contains(&&handing_over), "{told:?}");
    assert!(routers.roles().held.contains_key("web"), "it serves until its successor does");
    let _ = hear(&mut routers, &advertisement(51, 90), at(3_807));
    let _ = run_until(&mut routers, at(3_900));
    assert_eq!((state(&routers, "web"), routers.roles().held.len()), (RouterState::Fault, 0));
    let _ = routers.handle(uplink_event(true), at(5_000));
    assert_eq!(state(&routers, "web"), RouterState::Backup);
}

#[test]
fn a_node_that_starts_claims_nothing_before_it_knows_its_tracks() {
    let mut routers = one_with(&script(Effect::Fault));
    let _ = run_until(&mut routers, at(60_000));
    let status = &routers.status().virtual_routers["web"];
    assert_eq!(status.state, RouterState::Initialize);
    assert_eq!(status.reason, "it waits for the first word of track check");
    let input = seen(&routers, Observation::Passed);
    let _ = routers.handle(input, at(60_000));
    assert_eq!(state(&routers, "web"), RouterState::Backup);
    let _ = run_until(&mut routers, at(63_700));
    assert_eq!(state(&routers, "web"), RouterState::Active);
}

#[test]
fn a_node_that_starts_with_a_bad_track_is_faulted_or_weaker_from_the_beginning() {
    let mut routers = one_with(&script(Effect::Fault));
    let input = seen(&routers, failed());
    let _ = routers.handle(input, at(10));
    assert_eq!(state(&routers, "web"), RouterState::Fault);

    let mut routers = one_with(&script(weight(-60)));
    let input = seen(&routers, failed());
    let _ = routers.handle(input, at(10));
    assert_eq!(sent(&run_until(&mut routers, at(3_900))), [Priority::new(40).unwrap()]);
}

#[test]
fn a_weight_moves_the_priority_and_the_running_timer_and_is_told_as_a_sum() {
    let mut routers = one_with(&uplink(weight(-60)));
    let before = routers.next_deadline().unwrap();
    let outputs = routers.handle(uplink_event(false), at(1_000));
    let Some(Report::PriorityChanged { from, sum, .. }) = reports(&outputs).last().copied() else {
        panic!("{outputs:?}")
    };
    assert_eq!((from.get(), sum.to_string().as_str()), (100, "base 100, check -60 = 40"));
    assert_eq!(
        routers.next_deadline().unwrap() - before,
        Duration::from_micros(234_375),
        "60 / 256 of a second"
    );
    let _ = routers.handle(uplink_event(true), at(1_500));
    assert_eq!(routers.next_deadline(), Some(before));
    assert_eq!(routers.status().virtual_routers["web"].priority.to_string(), "base 100");
}

#[test]
fn the_owner_s_priority_never_changes() {
    let owner = VirtualRouterConfig { priority: Priority::OWNER, ..virtual_router(51, 11) };
    let mut routers = Routers::new(tracking(&[("web", owner)], &[], &uplink(weight(-60))), at(0));
    let _ = routers.handle(link_event(Some(link(&[OWN]))), at(0));
    let _ = routers.handle(RoutersInput::Start, at(0));
    assert_eq!(routers.status().tracks["check"].state, TrackState::Down);
    assert_eq!(routers.status().virtual_routers["web"].priority.effective(), Priority::OWNER);
}

#[test]
fn the_members_of_a_group_lose_their_roles_and_their_weights_together() {
    let members = [("web", virtual_router(51, 50)), ("inside", virtual_router(52, 1))];
    let with = |track: &TrackConfig| {
        let mut routers = Routers::new(tracking(&members, &["inside", "web"], track), at(0));
        let _ = routers.handle(uplink_event(true), at(0));
        let _ = routers.handle(link_event(Some(link(&[OWN]))), at(0));
        let _ = routers.handle(RoutersInput::Start, at(0));
        let _ = run_until(&mut routers, at(3_700));
        let _ = routers.handle(uplink_event(false), at(3_800));
        routers
    };
    let routers = with(&uplink(Effect::Fault));
    assert_eq!(
        (state(&routers, "web"), state(&routers, "inside")),
        (RouterState::Leaving, RouterState::Leaving)
    );
    let routers = with(&uplink(weight(-60)));
    let priorities: Vec<_> =
        routers.status().virtual_routers.values().map(|router| router.priority.effective().get()).collect();
    assert_eq!(priorities, [40, 40]);
}

#[test]
fn a_reload_keeps_a_track_that_did_not_change_and_a_new_one_takes_no_role_away() {
    let mut routers = one_with(&script(Effect::Fault));
    let input = seen(&routers, Observation::Passed);
    let _ = routers.handle(input, at(0));
    let _ = run_until(&mut routers, at(3_700));
    let since = routers.status().tracks["check"].since;

    let same = tracking(&[("web", virtual_router(51, 50))], &[], &script(Effect::Fault));
    assert_eq!(routers.handle(RoutersInput::Reload(same), at(3_800)), []);
    assert_eq!(routers.status().tracks["check"].since, since);

    let stale = seen(&routers, failed());
    let changed = tracking(&[("web", virtual_router(51, 50))], &[], &script(weight(-60)));
    let _ = routers.handle(RoutersInput::Reload(changed), at(3_800));
    assert_eq!(routers.status().tracks["check"].state, TrackState::Unknown);
    let _ = routers.handle(stale, at(3_900));
    assert_eq!(routers.status().tracks["check"].state, TrackState::Unknown, "that was the old track");
    assert_eq!(state(&routers, "web"), RouterState::Active);
    assert_eq!(routers.status().virtual_routers["web"].priority.effective(), Priority::DEFAULT);
}

#[test]
fn a_role_that_a_dead_daemon_left_is_taken_up_before_anything_is_known_of_its_tracks() {
    let mut routers = one_with(&script(Effect::Fault));
    let input = seen(&routers, Observation::Passed);
    let _ = routers.handle(input, at(0));
    let _ = run_until(&mut routers, at(3_700));
    let legacy =
        Legacy { virtual_routers: routers.legacy(), silence: routers.silence(), ..Legacy::default() };
    let mut heir = Routers::new(Arc::clone(&routers.config), at(3_900));
    heir.inherit(&legacy);
    let _ = heir.handle(link_event(Some(link(&[OWN]))), at(3_900));
    let _ = heir.handle(RoutersInput::Start, at(3_900));
    assert_eq!(state(&heir, "web"), RouterState::Active);
    let input = seen(&heir, failed());
    let _ = heir.handle(input, at(3_950));
    assert_eq!(state(&heir, "web"), RouterState::Leaving, "the first word counts at once");
}

#[test]
fn a_start_delay_ends_by_itself_and_holds_for_the_whole_group() {
    let delayed = VirtualRouterConfig { start_delay: Duration::from_secs(20), ..virtual_router(51, 50) };
    let mut routers =
        started(config(&[("web", delayed), ("inside", virtual_router(52, 1))], &["inside", "web"]));
    let _ = run_until(&mut routers, at(19_999));
    assert_eq!(
        (state(&routers, "web"), state(&routers, "inside")),
        (RouterState::Initialize, RouterState::Initialize)
    );
    let delay = routers.status().virtual_routers["web"].delay;
    assert_eq!(delay, Some(Delay { kind: DelayKind::Start, until: at(20_000) }));
    let _ = run_until(&mut routers, at(20_000));
    assert_eq!(routers.status().virtual_routers["web"].delay, None);
    assert_eq!(
        (state(&routers, "web"), state(&routers, "inside")),
        (RouterState::Backup, RouterState::Backup)
    );
}

#[test]
fn a_start_delay_is_not_waited_for_again_by_the_next_daemon() {
    let delayed = VirtualRouterConfig { start_delay: Duration::from_secs(20), ..virtual_router(51, 50) };
    let routers = started(config(&[("web", delayed)], &[]));
    let legacy = Legacy { began: routers.began(), ..Legacy::default() };
    for (start, expected) in [(15_000, RouterState::Initialize), (20_000, RouterState::Backup)] {
        let mut heir = Routers::new(Arc::clone(&routers.config), at(start));
        heir.inherit(&legacy);
        let _ = heir.handle(link_event(Some(link(&[OWN]))), at(start));
        let _ = heir.handle(RoutersInput::Start, at(start));
        assert_eq!(state(&heir, "web"), expected);
        let _ = run_until(&mut heir, at(20_000));
        assert_eq!(state(&heir, "web"), RouterState::Backup);
    }
}

#[test]
fn the_state_of_a_group_says_who_is_ready_and_who_holds_it_back() {
    let mut routers = pair();
    let group = |routers: &Routers| {
        let group = routers.status().sync_groups["edge"].clone();
        (group.state, group.reason)
    };
    assert_eq!(group(&routers), (RouterState::Backup, "every Backup of it watches for an Active".to_owned()));
    let _ = hear(&mut routers, &advertisement(52, 200), at(3_000));
    let _ = hear(&mut routers, &advertisement(52, 200), at(4_000));
    let held_back = "web may claim, and inside holds it back: its Active may still be there".to_owned();
    assert_eq!(group(&routers), (RouterState::Backup, held_back));
    let _ = run_until(&mut routers, at(8_000));
    assert_eq!(group(&routers), (RouterState::Active, "every member is Active".to_owned()));
    let gone = LinkState { is_up: false, ..link(&[OWN]) };
    let _ = routers.handle(link_event(Some(gone)), at(8_100));
    let (state, reason) = group(&routers);
    assert_eq!(state, RouterState::Fault);
    assert_eq!(reason, "inside holds it back: interface eth0 is down or has no carrier");
}

#[test]
fn whoever_is_outranked_while_it_prepares_to_hand_over_for_a_fault_takes_no_part_afterwards() {
    let (web, inside) = (virtual_router(51, 50), virtual_router(52, 60));
    let apart = tracking(&[("web", web.clone())], &[], &script(Effect::Fault));
    let together = tracking(&[("web", web), ("inside", inside)], &["inside", "web"], &script(Effect::Fault));
    for config in [apart, together] {
        let mut routers = super::preparing::with_hook(&config, "web");
        let _ = routers.handle(seen(&routers, Observation::Passed), at(100));
        let _ = run_until(&mut routers, at(4_000));
        assert_eq!(state(&routers, "web"), RouterState::Active);
        let _ = routers.handle(seen(&routers, failed()), at(4_100));
        assert_eq!(state(&routers, "web"), RouterState::Active);

        let _ = hear(&mut routers, &advertisement(51, 200), at(4_200));
        let roles = routers.roles();
        assert!(roles.held.keys().eq(config.virtual_routers.keys()), "until they are announced: {roles:?}");
        let _ = run_until(&mut routers, at(4_250));
        for name in config.virtual_routers.keys() {
            assert_eq!(state(&routers, name.as_str()), RouterState::Fault, "{name}");
        }
        assert!(routers.roles().held.is_empty());
        assert_eq!(sent(&run_until(&mut routers, at(20_000))), []);

        let _ = routers.handle(seen(&routers, Observation::Passed), at(20_000));
        for name in config.virtual_routers.keys() {
            assert_eq!(state(&routers, name.as_str()), RouterState::Backup, "{name}");
        }
    }
}
