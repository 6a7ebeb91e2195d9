use proptest::prelude::*;

use super::*;

const INTERVAL: Duration = Duration::from_secs(2);

const fn at(milliseconds: u64) -> Instant {
    Instant::from_start(Duration::from_millis(milliseconds))
}

fn check(rise: u8, fall: u8) -> Arc<Check> {
    Arc::new(Check {
        kind: CheckKind::Tcp,
        interval: INTERVAL,
        timeout: Duration::from_secs(1),
        rise: rise.try_into().unwrap(),
        fall: fall.try_into().unwrap(),
    })
}

fn health(verdict: Verdict) -> Health {
    Roster::default().enrol(check(2, 3), verdict, at(0))
}

fn bad() -> Outcome {
    Outcome::Bad("connection refused".into())
}

fn inconclusive() -> Outcome {
    Outcome::Inconclusive("no file descriptor left".into())
}

#[test]
fn every_verdict_meets_every_outcome() {
    use Verdict::{Checking, Down, Up};
    let (rise_2_fall_3, good) = (health, Outcome::Good);
    let table = [
        (Checking { good: 0, bad: 0 }, good.clone(), Checking { good: 1, bad: 0 }, None),
        (Checking { good: 1, bad: 0 }, good.clone(), Up { bad: 0 }, Some(Turn::Up)),
        (Checking { good: 0, bad: 2 }, good.clone(), Checking { good: 1, bad: 0 }, None),
        (Checking { good: 1, bad: 0 }, bad(), Checking { good: 0, bad: 1 }, None),
        (Checking { good: 0, bad: 2 }, bad(), Down { good: 0 }, Some(Turn::Down)),
        (Checking { good: 1, bad: 0 }, inconclusive(), Checking { good: 1, bad: 0 }, None),
        (Up { bad: 0 }, good.clone(), Up { bad: 0 }, None),
        (Up { bad: 2 }, good.clone(), Up { bad: 0 }, None),
        (Up { bad: 1 }, bad(), Up { bad: 2 }, None),
        (Up { bad: 2 }, bad(), Down { good: 0 }, Some(Turn::Down)),
        (Up { bad: 2 }, inconclusive(), Up { bad: 2 }, None),
        (Down { good: 0 }, good.clone(), Down { good: 1 }, None),
        (Down { good: 1 }, good, Up { bad: 0 }, Some(Turn::Up)),
        (Down { good: 1 }, bad(), Down { good: 0 }, None),
        (Down { good: 1 }, inconclusive(), Down { good: 1 }, None),
    ];
    for (before, outcome, after, turn) in table {
        let mut health = rise_2_fall_3(before);
        health.start_probe(at(0));
        assert_eq!(health.finish_probe(outcome.clone(), at(1)), turn, "{before:?} and {outcome:?}");
        assert_eq!(health.verdict(), after, "{before:?} and {outcome:?}");
    }
}

#[test]
fn probes_start_an_interval_apart_however_long_they_take() {
    let mut health = health(Verdict::UNKNOWN);
    assert_eq!(health.next_probe(), Some(at(0)));
    health.start_probe(at(0));
    assert_eq!(health.next_probe(), None, "one probe at a time");
    assert_eq!(health.finish_probe(Outcome::Good, at(700)), None);
    assert_eq!(health.next_probe(), Some(at(2000)));
}

#[test]
fn a_probe_that_starts_late_does_not_shift_the_ones_after_it() {
    let mut health = health(Verdict::UNKNOWN);
    health.start_probe(at(5300));
    assert_eq!(health.finish_probe(Outcome::Good, at(5301)), None);
    assert_eq!(health.next_probe(), Some(at(6000)));
}

#[test]
fn a_probe_that_takes_longer_than_the_interval_is_followed_by_one_probe_not_by_all_that_were_missed() {
    let mut health = health(Verdict::UNKNOWN);
    health.start_probe(at(0));
    assert_eq!(health.finish_probe(bad(), at(7000)), None);
    assert_eq!(health.next_probe(), Some(at(2000)));
    health.start_probe(at(7000));
    assert_eq!(health.finish_probe(bad(), at(7100)), None);
    assert_eq!(health.next_probe(), Some(at(8000)));
}

#[test]
fn after_an_inconclusive_probe_the_next_one_comes_within_a_second() {
    let mut health = health(Verdict::UNKNOWN);
    health.start_probe(at(0));
    assert_eq!(health.finish_probe(inconclusive(), at(1)), None);
    assert_eq!(health.next_probe(), Some(at(1001)));
    assert_eq!(health.complaint(), Some("no file descriptor left"));
}

#[test]
fn an_outcome_that_nobody_waits_for_changes_nothing() {
    let mut health = health(Verdict::Up { bad: 2 });
    assert_eq!(health.finish_probe(bad(), at(1)), None);
    assert_eq!((health.verdict(), health.next_probe()), (Verdict::Up { bad: 2 }, Some(at(0))));
}

#[test]
fn ten_thousand_checks_that_start_together_are_spread_evenly_over_their_interval() {
    let mut roster = Roster::default();
    let mut starts = std::collections::BTreeMap::<Instant, u32>::new();
    for _ in 0..10_000 {
        let health = roster.enrol(check(2, 3), Verdict::UNKNOWN, at(0));
        *starts.entry(health.next_probe().unwrap()).or_default() += 1;
    }
    assert!(starts.values().all(|&together| together == 5));
    assert_eq!(starts.len(), 2000);
    assert!(starts.keys().all(|&start| start < at(0) + INTERVAL));
}

#[test]
fn a_check_that_a_reload_adds_to_ten_thousand_starts_at_once() {
    let mut roster = Roster::default();
    for _ in 0..10_000 {
        roster.enrol(check(2, 3), Verdict::UNKNOWN, at(0));
    }
    roster.begin_group();
    let health = roster.enrol(check(2, 3), Verdict::UNKNOWN, at(9000));
    assert_eq!(health.next_probe(), Some(at(9000)));
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![3 => Just(Outcome::Good), 4 => Just(bad()), 1 => Just(inconclusive())]
}

proptest! {
    #[test]
    fn a_turn_needs_exactly_that_many_probes_in_a_row(
        rise in 1_u8..5,
        fall in 1_u8..5,
        outcomes in prop::collection::vec(any_outcome(), 0..200),
    ) {
        let mut health = Roster::default().enrol(check(rise, fall), Verdict::UNKNOWN, at(0));
        let (mut good_run, mut bad_run, mut fit) = (0_u32, 0_u32, false);
        let mut judged = false;
        for outcome in outcomes {
            match outcome {
                Outcome::Good => (good_run, bad_run) = (good_run + 1, 0),
                Outcome::Bad(_) => (good_run, bad_run) = (0, bad_run + 1),
                Outcome::Inconclusive(_) => {}
            }
            let expected = if good_run >= u32::from(rise) && !fit {
                (fit, judged) = (true, true);
                Some(Turn::Up)
            } else if bad_run >= u32::from(fall) && (fit || !judged) {
                (fit, judged) = (false, true);
                Some(Turn::Down)
            } else {
                None
            };
            health.start_probe(at(0));
            prop_assert_eq!(health.finish_probe(outcome, at(0)), expected);
            prop_assert_eq!(matches!(health.verdict(), Verdict::Up { .. }), fit);
        }
    }

    #[test]
    fn the_next_probe_is_in_phase_and_at_most_an_interval_after_the_last_start(
        interval in 1_u64..100_000,
        late in 0_u64..1_000_000,
    ) {
        let mut check = Check::clone(&check(2, 3));
        check.interval = Duration::from_millis(interval);
        let mut health = Roster::default().enrol(Arc::new(check), Verdict::UNKNOWN, at(0));
        health.start_probe(at(late));
        prop_assert!(health.finish_probe(Outcome::Good, at(late)).is_none());
        let next = health.next_probe().unwrap();
        prop_assert!(next > at(late) && next <= at(late + interval));
        prop_assert_eq!(next.since_start().as_millis() % u128::from(interval), 0);
    }
}
