use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::health::CheckKind;
use crate::service::Forwarding;

const NOW: Instant = Instant::START;

fn real_server(number: u16) -> SocketAddr {
    SocketAddr::from(([10, 78, 0, 21], number))
}

const fn destination(weight: u16) -> Destination {
    Destination { weight: Weight::new(weight), forwarding: Forwarding::Nat }
}

fn check(interval: u64) -> Arc<Check> {
    Arc::new(Check {
        kind: CheckKind::Tcp,
        interval: Duration::from_secs(interval),
        timeout: Duration::from_secs(1),
        rise: 1.try_into().unwrap(),
        fall: 1.try_into().unwrap(),
    })
}

fn settings(weights: &[u16]) -> PoolSettings {
    PoolSettings {
        quorum: 1,
        sorry_server: None,
        real_servers: (1..).zip(weights).map(|(n, &weight)| (real_server(n), destination(weight))).collect(),
        check: Some(check(1)),
    }
}

fn sorry() -> (SocketAddr, Destination) {
    (SocketAddr::from(([10, 78, 0, 99], 80)), destination(1))
}

fn answer(pool: &mut Pool, real_server: SocketAddr, outcome: Outcome) -> Vec<PoolChange> {
    pool.start_probe(real_server, NOW);
    pool.finish_probe(real_server, outcome, NOW)
}

fn bad() -> Outcome {
    Outcome::Bad("connection refused".into())
}

fn down(number: u16) -> PoolChange {
    PoolChange::Down { real_server: real_server(number), reason: "connection refused".into() }
}

#[test]
fn nobody_is_served_before_a_check_was_good_but_the_sorry_server() {
    let mut roster = Roster::default();
    let pool = Pool::new(settings(&[1, 1]), &mut roster, NOW);
    assert_eq!((pool.state(), pool.destinations()), (Quorum::Lost, BTreeMap::new()));
    let pool = Pool::new(PoolSettings { sorry_server: Some(sorry()), ..settings(&[1]) }, &mut roster, NOW);
    assert_eq!(pool.destinations(), BTreeMap::from([sorry()]));
}

#[test]
fn without_a_check_everybody_serves_from_the_start() {
    let pool = Pool::new(PoolSettings { check: None, ..settings(&[1, 2]) }, &mut Roster::default(), NOW);
    assert_eq!((pool.state(), pool.weight(), pool.destinations().len()), (Quorum::Reached, 3, 2));
}

#[test]
fn the_sorry_server_gives_way_to_the_quorum_and_comes_back_when_it_is_lost() {
    let wanted = PoolSettings { quorum: 2, sorry_server: Some(sorry()), ..settings(&[1, 1]) };
    let mut pool = Pool::new(wanted, &mut Roster::default(), NOW);
    assert_eq!(answer(&mut pool, real_server(1), Outcome::Good), [PoolChange::Up(real_server(1))]);
    assert_eq!(pool.destinations(), BTreeMap::from([sorry()]), "one is fit, two are needed");
    assert_eq!(
        answer(&mut pool, real_server(2), Outcome::Good),
        [PoolChange::Up(real_server(2)), PoolChange::QuorumReached, PoolChange::Destinations]
    );
    assert_eq!(pool.destinations().len(), 2);
    assert_eq!(
        answer(&mut pool, real_server(1), bad()),
        [down(1), PoolChange::QuorumLost, PoolChange::Destinations]
    );
    assert_eq!(pool.destinations(), BTreeMap::from([sorry()]));
    assert_eq!(answer(&mut pool, real_server(2), bad()), [down(2)], "the sorry server serves already");
}

#[test]
fn without_a_sorry_server_those_that_are_fit_stay_below_the_quorum() {
    let mut pool = Pool::new(PoolSettings { quorum: 5, ..settings(&[1, 1]) }, &mut Roster::default(), NOW);
    assert_eq!(
        answer(&mut pool, real_server(1), Outcome::Good),
        [PoolChange::Up(real_server(1)), PoolChange::Destinations]
    );
    assert_eq!(pool.destinations(), BTreeMap::from([(real_server(1), destination(1))]));
}

#[test]
fn a_drained_real_server_stays_for_its_connections_and_counts_for_nothing() {
    let mut pool = Pool::new(settings(&[0]), &mut Roster::default(), NOW);
    assert_eq!(
        answer(&mut pool, real_server(1), Outcome::Good),
        [PoolChange::Up(real_server(1)), PoolChange::Destinations]
    );
    assert_eq!((pool.state(), pool.weight(), pool.destinations().len()), (Quorum::Lost, 0, 1));
}

#[test]
fn a_changed_weight_keeps_verdict_and_timers() {
    let mut roster = Roster::default();
    let mut pool = Pool::new(settings(&[1]), &mut roster, NOW);
    assert!(!answer(&mut pool, real_server(1), Outcome::Good).is_empty());
    let next = pool.members()[&real_server(1)].health().unwrap().next_probe();
    let later = NOW + Duration::from_millis(300);
    assert_eq!(
        pool.reconfigure(settings(&[7]), &mut roster, later),
        [
            PoolChange::Weight { real_server: real_server(1), from: Weight::new(1), to: Weight::new(7) },
            PoolChange::Destinations
        ]
    );
    let member = &pool.members()[&real_server(1)];
    assert_eq!((member.is_fit(), member.health().unwrap().next_probe(), pool.weight()), (true, next, 7));
    assert_eq!(member.since(), NOW);
}

#[test]
fn a_changed_check_starts_anew_but_keeps_the_verdict() {
    let mut roster = Roster::default();
    let mut pool = Pool::new(settings(&[1, 1, 1]), &mut roster, NOW);
    assert!(!answer(&mut pool, real_server(1), Outcome::Good).is_empty());
    assert!(!answer(&mut pool, real_server(2), bad()).is_empty());
    let old = pool.members()[&real_server(1)].health().unwrap().id();
    let changed = PoolSettings { check: Some(check(5)), ..settings(&[1, 1, 1]) };
    assert_eq!(pool.reconfigure(changed, &mut roster, NOW), []);
    let verdict = |number| pool.members()[&real_server(number)].health().unwrap().verdict();
    assert_eq!(verdict(1), Verdict::Up { bad: 0 });
    assert_eq!(verdict(2), Verdict::Down { good: 0 });
    assert_eq!(verdict(3), Verdict::UNKNOWN);
    assert_ne!(pool.members()[&real_server(1)].health().unwrap().id(), old);
}

#[test]
fn a_check_that_is_added_takes_nobody_out_and_one_that_is_dropped_lets_everybody_in() {
    let mut roster = Roster::default();
    let unchecked = PoolSettings { check: None, ..settings(&[1]) };
    let mut pool = Pool::new(unchecked.clone(), &mut roster, NOW);
    assert_eq!(pool.reconfigure(settings(&[1]), &mut roster, NOW), []);
    assert_eq!(
        answer(&mut pool, real_server(1), bad()),
        [down(1), PoolChange::QuorumLost, PoolChange::Destinations]
    );
    assert_eq!(
        pool.reconfigure(unchecked, &mut roster, NOW),
        [PoolChange::Up(real_server(1)), PoolChange::QuorumReached, PoolChange::Destinations]
    );
}

#[derive(Clone, Debug)]
enum Step {
    Answer(u16, Outcome),
    Reconfigure(PoolSettings),
}

fn any_settings() -> impl Strategy<Value = PoolSettings> {
    (
        prop::collection::btree_map(1_u16..6, 0_u16..4, 0..5),
        0_u32..6,
        any::<bool>(),
        prop::option::weighted(0.8, 1_u64..3),
    )
        .prop_map(|(weights, quorum, with_sorry, interval)| PoolSettings {
            quorum,
            sorry_server: with_sorry.then(sorry),
            real_servers: weights.into_iter().map(|(n, w)| (real_server(n), destination(w))).collect(),
            check: interval.map(check),
        })
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1_u16..6, prop_oneof![Just(Outcome::Good), Just(bad())]).prop_map(|(n, o)| Step::Answer(n, o)),
        1 => any_settings().prop_map(Step::Reconfigure),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_sums_are_right_and_every_difference_is_told(
        first in any_settings(),
        steps in prop::collection::vec(any_step(), 0..60),
    ) {
        let mut roster = Roster::default();
        let mut pool = Pool::new(first, &mut roster, NOW);
        for step in steps {
            let (destinations, state) = (pool.destinations(), pool.state());
            let changes = match step {
                Step::Answer(number, outcome) => answer(&mut pool, real_server(number), outcome),
                Step::Reconfigure(settings) => pool.reconfigure(settings, &mut roster, NOW),
            };
            let fit: BTreeMap<_, _> = pool
                .members()
                .iter()
                .filter(|(_, member)| member.is_fit())
                .map(|(&address, member)| (address, member.destination()))
                .collect();
            let weight: u32 = fit.values().map(|destination| u32::from(destination.weight.get())).sum();
            prop_assert_eq!(pool.weight(), weight);
            prop_assert_eq!(pool.state() == Quorum::Reached, weight >= pool.quorum());
            let sorry_serves = weight < pool.quorum() && pool.sorry_server().is_some();
            prop_assert_eq!(
                pool.destinations(),
                if sorry_serves { BTreeMap::from([sorry()]) } else { fit }
            );
            prop_assert_eq!(
                changes.contains(&PoolChange::Destinations),
                pool.destinations() != destinations
            );
            prop_assert_eq!(
                changes.contains(&PoolChange::QuorumReached) || changes.contains(&PoolChange::QuorumLost),
                pool.state() != state
            );
        }
    }
}
