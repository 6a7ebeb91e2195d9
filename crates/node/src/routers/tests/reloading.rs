//! Another configuration for virtual routers that run: what is the same is left alone.

use super::*;

#[test]
fn reloading_the_same_configuration_changes_nothing() {
    let mut routers = pair();
    let _ = run_until(&mut routers, at(3_700));
    let (deadline, status) = (routers.next_deadline(), routers.status());
    let same =
        config(&[("web", virtual_router(51, 50)), ("inside", virtual_router(52, 1))], &["inside", "web"]);
    assert_eq!(routers.handle(RoutersInput::Reload(same), at(3_750)), []);
    assert_eq!((routers.next_deadline(), routers.status()), (deadline, status));
}

#[test]
fn a_reload_touches_only_what_differs() {
    let mut routers =
        started(config(&[("web", virtual_router(51, 50)), ("old", virtual_router(60, 60))], &[]));
    let _ = run_until(&mut routers, at(3_700));
    let changed = VirtualRouterConfig {
        addresses: vec![virtual_address(50), virtual_address(51)],
        ..virtual_router(51, 50)
    };
    let outputs = routers.handle(
        RoutersInput::Reload(config(&[("web", changed), ("new", virtual_router(70, 70))], &[])),
        at(3_750),
    );
    assert_eq!(sent(&outputs), [Priority::RELEASE], "the virtual router that is gone says so");
    assert_eq!((state(&routers, "web"), state(&routers, "new")), (RouterState::Active, RouterState::Backup));
    assert_eq!(routers.roles().held[&router("web")].addresses.len(), 2);
    assert!(!routers.status().virtual_routers.contains_key("old"));
}

#[test]
fn a_stop_ends_when_a_reload_takes_away_the_last_one_that_it_waits_for() {
    let gone = config(&[], &[]);
    let changed = config(&[("web", virtual_router(61, 50))], &[]);
    for (after, what) in [(&gone, "gone"), (&changed, "another election")] {
        let mut leaving = one();
        let mut preparing = preparing::with_hook(&one().config, "web");
        for (routers, state_before) in
            [(&mut leaving, RouterState::Leaving), (&mut preparing, RouterState::Active)]
        {
            let _ = run_until(routers, at(3_700));
            let _ = routers.handle(RoutersInput::Shutdown, at(3_750));
            assert_eq!(state(routers, "web"), state_before);
            let outputs = routers.handle(RoutersInput::Reload(Arc::clone(after)), at(3_760));
            assert!(outputs.contains(&RoutersOutput::Exit), "{state_before:?}, {what}: {outputs:?}");
            assert!(routers.roles().held.is_empty());
            assert_eq!(routers.next_deadline(), None);
        }
    }
}

#[test]
fn a_reload_ends_no_stop_while_somebody_hands_over() {
    let mut routers =
        started(config(&[("web", virtual_router(51, 50)), ("old", virtual_router(60, 60))], &[]));
    let _ = run_until(&mut routers, at(3_700));
    let _ = routers.handle(RoutersInput::Shutdown, at(3_750));
    let after = config(&[("web", virtual_router(51, 50))], &[]);
    let outputs = routers.handle(RoutersInput::Reload(after), at(3_760));
    assert!(!outputs.contains(&RoutersOutput::Exit), "{outputs:?}");
    assert_eq!(state(&routers, "web"), RouterState::Leaving);
    assert!(run_until(&mut routers, at(6_000)).contains(&RoutersOutput::Exit));
}
