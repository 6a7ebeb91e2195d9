//! How a Backup holds back that must not preempt, or not yet.

use super::*;

fn restrained(preemption: Preemption, unheard: u64, before_preempting: u64) -> VirtualRouter {
    let [unheard, before_preempting] = [unheard, before_preempting].map(Duration::from_secs);
    let restraint = Restraint { unheard, before_preempting };
    VirtualRouter::new(Parameters { preemption, restraint, ..parameters() })
}

fn starts(router: &mut VirtualRouter) {
    let _ = router.handle(RouterEvent::Startup, T0);
}

fn hears(router: &mut VirtualRouter, priority: u8, milliseconds: u64) {
    let advertisement = &heard(priority);
    let _ = router.handle(RouterEvent::Heard { advertisement, from: GREATER.into() }, after(milliseconds));
}

#[test]
fn without_preemption_a_node_that_comes_up_and_hears_nobody_waits_for_long() {
    for (preemption, unheard, deadline) in [
        (Preemption::Refused, 30, after(30_000)),
        (Preemption::Refused, 0, down_at(Centiseconds::DEFAULT, T0)),
        (Preemption::Refused, 2, down_at(Centiseconds::DEFAULT, T0)),
        (Preemption::Allowed, 30, down_at(Centiseconds::DEFAULT, T0)),
    ] {
        let mut router = restrained(preemption, unheard, 0);
        starts(&mut router);
        assert_eq!(router.next_deadline(), Some(deadline), "{preemption:?} {unheard}");
        let _ = router.handle(RouterEvent::Deadline, deadline);
        assert!(matches!(router.state(), State::Active { .. }), "in the end it claims");
    }
}

#[test]
fn whoever_was_heard_proves_that_a_node_can_hear() {
    for (priority, waits) in [
        (50, LEARNED.active_down(Version::V3, Priority::DEFAULT)),
        (200, LEARNED.active_down(Version::V3, Priority::DEFAULT)),
        (0, Centiseconds::DEFAULT.skew(Version::V3, Priority::DEFAULT)),
    ] {
        let mut router = restrained(Preemption::Refused, 30, 0);
        starts(&mut router);
        hears(&mut router, priority, 1_000);
        assert_eq!(router.next_deadline(), Some(after(1_000) + waits), "priority {priority}");
    }
}

#[test]
fn an_answered_question_proves_it_too_and_an_active_may_still_be_heard() {
    let wait = Centiseconds::DEFAULT.active_down(Version::V3, Priority::DEFAULT);
    for (answered, claims) in [(1_000, after(1_000) + wait), (29_000, after(30_000))] {
        let mut router = restrained(Preemption::Refused, 30, 0);
        starts(&mut router);
        assert!(router.awaits_proof_of_hearing());
        assert_eq!(router.handle(RouterEvent::NeighbourAnswered, after(answered)), []);
        assert!(!router.awaits_proof_of_hearing());
        assert_eq!(router.next_deadline(), Some(claims), "answered after {answered} ms");
        let _ = router.handle(RouterEvent::NeighbourAnswered, after(answered + 100));
        assert_eq!(router.next_deadline(), Some(claims), "a second answer proves nothing more");
    }
}

#[test]
fn whoever_preempts_waits_for_no_proof_and_none_moves_its_timer() {
    let mut router = restrained(Preemption::Allowed, 30, 0);
    starts(&mut router);
    assert!(!router.awaits_proof_of_hearing());
    let deadline = router.next_deadline();
    let _ = router.handle(RouterEvent::NeighbourAnswered, after(1_000));
    assert_eq!(router.next_deadline(), deadline);
}

#[test]
fn an_active_of_lower_priority_is_preempted_after_the_delay_and_a_dead_one_succeeded_at_once() {
    let mut router = restrained(Preemption::Allowed, 0, 10);
    starts(&mut router);
    for step in 0..=20 {
        hears(&mut router, 50, step * 500);
        assert_eq!(router.next_deadline(), Some(down_at(LEARNED, after((step * 500).min(9_500)))), "{step}");
    }
    let deadline = router.next_deadline().unwrap();
    let actions = router.handle(RouterEvent::Deadline, deadline);
    assert!(actions.contains(&RouterAction::BecameActive(BecomeActiveCause::Preempting)), "{actions:?}");

    let mut router = restrained(Preemption::Allowed, 0, 10);
    starts(&mut router);
    hears(&mut router, 50, 0);
    let actions = router.handle(RouterEvent::Deadline, down_at(LEARNED, T0));
    assert!(actions.contains(&RouterAction::BecameActive(BecomeActiveCause::ActiveDown)), "{actions:?}");
}

#[test]
fn the_delay_begins_anew_after_an_active_of_higher_priority() {
    let mut router = restrained(Preemption::Allowed, 0, 10);
    starts(&mut router);
    for (priority, milliseconds) in [(50, 0), (200, 9_000), (50, 9_500)] {
        hears(&mut router, priority, milliseconds);
    }
    hears(&mut router, 50, 19_000);
    assert_eq!(router.next_deadline(), Some(down_at(LEARNED, after(19_000))), "not yet 10 s");
}
