//! What breaks pairs in the field, where time is what matters: loss, silence, splits, pauses, clocks, links, reloads, ties,
//! deaths in a row. `FAULTS.md` says which of these tests, and of those in network namespaces, stands for what.

mod pair;

use std::time::Duration;

use monotonic::Instant;
use pair::{INSIDE, LB1, LB2, OUTSIDE, setting, sync_group};
use simulator::dice::PerMille;
use simulator::fault::{Clock, Fault, Hooks, Reload};
use simulator::network::Road;
use simulator::scene::{NodeSet, Standing};
use simulator::site::{Carrier, NodeIndex, Proof, RouterIndex};
use simulator::trace::Detail;
use simulator::world::{Setting, World};

const WEB: RouterIndex = RouterIndex(0);
const INTERVAL: Duration = Duration::from_secs(1);
/// What a kernel of these worlds takes to change an address, and a packet to arrive.
const WRITE: Duration = Duration::from_millis(5);

/// A world without real servers, whose probes tell nothing here.
fn bare(priorities: &[u32]) -> Setting {
    let mut setting = setting(priorities);
    setting.site.service = None;
    setting
}

#[track_caller]
fn run(world: &mut World, time: Duration) {
    let result = world.run_for(time);
    assert_eq!(result, Ok(()), "{}", world.trace());
}

#[track_caller]
fn inflict(world: &mut World, fault: Fault) {
    let result = world.inflict(fault);
    assert_eq!(result, Ok(()), "{}", world.trace());
}

/// A world in which everybody has started and one is Active for long.
fn elected(setting: &Setting, seed: u64) -> World {
    let mut world = World::new(setting.clone(), seed);
    for node in setting.site.node_indices() {
        inflict(&mut world, Fault::Start(node));
    }
    run(&mut world, Duration::from_secs(12));
    world
}

fn actives(world: &World) -> Vec<NodeIndex> {
    world.scene().actives(WEB).collect()
}

/// Who said what when, of the lines from a moment on that have these words.
fn said<'a>(world: &'a World, from: Duration, words: &str) -> Vec<(Duration, &'a str)> {
    let lines = world.trace().lines().filter(|line| line.contains(words));
    let parsed = lines.map(|line| {
        let mut parts = line.split_whitespace();
        let seconds: f64 =
            parts.next().and_then(|time| time.parse().ok()).expect("a line begins with its time");
        (Duration::from_secs_f64(seconds), parts.next().expect("somebody says it"))
    });
    parsed.filter(|(at, _)| *at >= from).collect()
}

/// How long the world has been there, as its trace counts.
fn age(world: &World, start: Instant) -> Duration {
    world.now() - start
}

/// A Backup claims where three advertisements in a row are lost after one that was heard.
fn falsely_claimed(loss: f64, advertisements: f64) -> f64 {
    advertisements * (1.0 - loss) * loss.powi(3)
}

#[track_caller]
fn assert_loss_is_borne(thousandths: u16, hours: u32) {
    let mut setting = bare(&[150, 100]);
    setting.quality.loss = PerMille(thousandths);
    let mut world = World::new(setting, 1);
    for node in [LB1, LB2] {
        inflict(&mut world, Fault::Start(node));
    }
    run(&mut world, Duration::from_hours(hours.into()));

    let claims = said(&world, Duration::from_secs(12), "lb2  web: became Active");
    let yields = said(&world, Duration::from_secs(12), "lb2  web: became Backup");
    let expected = falsely_claimed(f64::from(thousandths) / 1000.0, f64::from(hours) * 3600.0);
    let count = f64::from(u32::try_from(claims.len()).expect("there are few"));
    // Four times the deviation of such a count.
    assert!((count - expected).abs() <= 4.0 * expected.sqrt(), "{count} claims, {expected} expected");
    assert_eq!(said(&world, Duration::from_secs(12), "lb1  web: became Backup"), []);

    let mut dual: Vec<_> =
        claims.iter().zip(&yields).map(|((from, _), (to, _))| to.saturating_sub(*from)).collect();
    dual.sort_unstable();
    let median = dual[dual.len() / 2];
    assert!(median <= INTERVAL, "half of the times with two Actives lasted longer than {median:?}");
}

#[test]
fn a_tenth_of_all_packets_lost_makes_no_more_role_changes_than_the_odds_say() {
    assert_loss_is_borne(100, 10);
}

#[test]
fn a_third_of_all_packets_lost_makes_no_more_role_changes_than_the_odds_say() {
    assert_loss_is_borne(300, 2);
}

#[test]
fn loss_one_way_is_alarmed_within_two_intervals_and_ends_with_it() {
    let mut world = elected(&bare(&[150, 100]), 1);
    inflict(&mut world, Fault::Road(OUTSIDE, LB1, LB2, Road::Closed));
    run(&mut world, Duration::from_secs(20));
    assert_eq!(actives(&world), [LB1, LB2]);
    let claimed = said(&world, Duration::ZERO, "lb2  web: became Active")[0].0;
    let alarmed = said(&world, Duration::ZERO, "lb1  web: heard another Active")[0].0;
    assert!(alarmed.saturating_sub(claimed) <= 2 * INTERVAL, "{claimed:?}, {alarmed:?}");
    let (winner, loser) = (said(&world, claimed, "lb1  announces"), said(&world, claimed, "lb2  announces"));
    for (drawn_away, _) in loser {
        let drawn_back =
            winner.iter().find(|(at, _)| *at > drawn_away).map(|(at, _)| at.saturating_sub(drawn_away));
        assert!(drawn_back.is_some_and(|time| time <= INTERVAL + WRITE), "{drawn_back:?}: {}", world.trace());
    }

    inflict(&mut world, Fault::Road(OUTSIDE, LB1, LB2, Road::Open));
    run(&mut world, INTERVAL + WRITE);
    assert_eq!(actives(&world), [LB1]);
    run(&mut world, 4 * INTERVAL);
    assert_eq!(said(&world, Duration::ZERO, "is heard as Active no more").len(), 1, "{}", world.trace());
}

#[test]
fn a_split_that_heals_leaves_one_active_with_the_first_packet_of_either_side() {
    let island = |road| Fault::Island(OUTSIDE, NodeSet::of([LB2]), road);
    for moment in 0..40 {
        let mut world = elected(&bare(&[150, 100]), moment);
        inflict(&mut world, island(Road::Closed));
        run(&mut world, Duration::from_secs(6) + Duration::from_millis(25 * moment));
        assert_eq!(actives(&world), [LB1, LB2]);
        inflict(&mut world, island(Road::Open));
        run(&mut world, INTERVAL + WRITE);
        assert_eq!(actives(&world), [LB1], "{}", world.trace());
        run(&mut world, 4 * INTERVAL);
        let yields = said(&world, Duration::from_secs(17), "lb2  web: became Backup");
        assert_eq!(yields.len(), 1, "{}", world.trace());
        assert_eq!(said(&world, Duration::from_secs(17), "lb1  web: became Backup"), []);
        assert_eq!(world.settle(), Ok(()), "{}", world.trace());
    }
}

#[test]
fn a_sync_group_that_was_split_on_both_sides_is_in_one_place_an_interval_after_it_heals() {
    let mut setting = sync_group(&[150, 100]);
    setting.site.service = None;
    let mut world = elected(&setting, 1);
    for road in [Road::Closed, Road::Open] {
        for segment in [OUTSIDE, INSIDE] {
            inflict(&mut world, Fault::Island(segment, NodeSet::of([LB2]), road));
        }
        run(&mut world, if road == Road::Closed { 6 * INTERVAL } else { INTERVAL + WRITE });
    }
    for router in [WEB, RouterIndex(1)] {
        assert_eq!(world.scene().actives(router).collect::<Vec<_>>(), [LB1], "{}", world.trace());
    }
}

#[test]
fn an_active_that_slept_is_silent_until_it_has_heard_its_successor() {
    for length in 0..30 {
        let mut setting = bare(&[100, 150]);
        setting.site.nodes[1].seats[0].preemption = vrrp::Preemption::Refused;
        let mut world = World::new(setting, length);
        let start = world.now();
        inflict(&mut world, Fault::Start(LB1));
        run(&mut world, Duration::from_secs(6));
        inflict(&mut world, Fault::Start(LB2));
        run(&mut world, Duration::from_secs(6));
        assert_eq!(actives(&world), [LB1]);
        inflict(&mut world, Fault::Pause(LB1));
        run(&mut world, Duration::from_secs(5) + Duration::from_millis(170 * length));
        inflict(&mut world, Fault::Resume(LB1));
        let resumed = age(&world, start);
        run(&mut world, WRITE);
        let trace = world.trace().to_owned();
        for words in ["lb1  advertises", "lb1  announces"] {
            assert_eq!(said(&world, resumed, words), [], "{trace}");
        }
        assert_eq!(said(&world, resumed, "lb1  web: became Backup").len(), 1, "{trace}");
        assert_eq!(said(&world, resumed, "lb1  has no longer").len(), 1, "off within 5 ms: {trace}");
        run(&mut world, 6 * INTERVAL);
        assert_eq!(world.settle(), Ok(()), "{}", world.trace());
    }
}

#[test]
fn a_backup_that_slept_takes_nothing_over_while_the_active_is_there() {
    for length in 0..30 {
        let mut world = elected(&bare(&[150, 100]), length);
        inflict(&mut world, Fault::Pause(LB2));
        run(&mut world, Duration::from_secs(4) + Duration::from_millis(170 * length));
        inflict(&mut world, Fault::Resume(LB2));
        run(&mut world, 8 * INTERVAL);
        assert_eq!(said(&world, Duration::ZERO, "lb2  web: became Active"), []);
        assert_eq!(world.settle(), Ok(()), "{}", world.trace());
    }
}

/// Timers count another clock; what counts the wall clock is how a node tells a signed advertisement from a recording.
#[test]
fn a_wall_clock_that_is_set_by_an_hour_moves_nobody_whether_or_not_advertisements_are_signed() {
    let hour = Duration::from_hours(1);
    for proof in [Proof::Spared, Proof::Given] {
        let mut setting = bare(&[150, 100]);
        setting.site.proof = proof;
        let mut world = elected(&setting, 1);
        for clock in [Clock::Ahead(hour), Clock::Right, Clock::Behind(hour), Clock::Ahead(hour), Clock::Right]
        {
            for node in [LB1, LB2] {
                inflict(&mut world, Fault::Clock(node, clock));
                run(&mut world, 6 * INTERVAL);
            }
        }
        assert_eq!(said(&world, Duration::from_secs(12), "became"), [], "{proof:?}: {}", world.trace());
        assert_eq!(actives(&world), [LB1]);
        assert_eq!(world.settle(), Ok(()), "{}", world.trace());
    }
}

#[test]
fn a_link_that_flaps_ten_times_a_second_for_a_minute_ends_in_the_right_roles() {
    for node in [LB1, LB2] {
        let mut world = elected(&bare(&[150, 100]), 1);
        let flaps = 600;
        for carrier in [Carrier::Down, Carrier::Up].repeat(flaps) {
            inflict(&mut world, Fault::Carrier(node, OUTSIDE, carrier));
            run(&mut world, Duration::from_millis(50));
        }
        let begin = Duration::from_secs(12);
        for word in ["cannot take part", "can take part again"] {
            assert_eq!(said(&world, begin, word).len(), flaps, "one word for each flap");
        }
        // 3 × interval + skew time of either.
        run(&mut world, 3 * INTERVAL + INTERVAL * (256 - 100) / 256 + WRITE);
        assert_eq!(actives(&world), [LB1], "{}", world.trace());
        run(&mut world, 8 * INTERVAL);
        assert_eq!(world.settle(), Ok(()), "{}", world.trace());
    }
}

#[test]
fn a_hundred_reloads_a_second_move_nobody_and_no_address_that_stays() {
    let mut world = elected(&bare(&[150, 100]), 1);
    for addresses in [2, 1].repeat(500) {
        for node in [LB1, LB2] {
            inflict(&mut world, Fault::Reload(node, Reload::Addresses(addresses)));
        }
        run(&mut world, Duration::from_millis(10));
    }
    let begin = Duration::from_secs(12);
    assert_eq!(said(&world, begin, "became"), [], "{}", world.trace());
    assert!(!said(&world, begin, "has no longer").is_empty(), "what comes and goes does so");
    assert_eq!(said(&world, begin, "has no longer 10.77.0.50/24"), [], "{}", world.trace());
    assert_eq!(world.settle(), Ok(()), "{}", world.trace());
}

#[test]
fn of_ten_thousand_starts_of_two_equals_none_oscillates() {
    let mut setting = bare(&[100, 100]);
    setting.detail = Detail::Nothing;
    for seed in 0..10_000 {
        let mut world = World::new(setting.clone(), seed);
        inflict(&mut world, Fault::Start(LB1));
        let apart = Duration::from_micros(seed % 2_000);
        run(&mut world, apart);
        inflict(&mut world, Fault::Start(LB2));
        run(&mut world, 4 * INTERVAL + Duration::from_millis(610));
        let winner = actives(&world);
        assert_eq!(winner.len(), 1, "seed {seed}");
        let since = world.scene().since(winner[0], WEB);
        run(&mut world, 5 * INTERVAL);
        assert_eq!((actives(&world), world.scene().since(winner[0], WEB)), (winner, since), "seed {seed}");
    }
}

#[test]
fn when_two_die_one_millisecond_apart_the_third_takes_over_in_its_time() {
    for nodes in 3..=5_u32 {
        let priorities: Vec<_> = (0..nodes).map(|node| 250 - 50 * node.min(4)).collect();
        let mut world = elected(&bare(&priorities), 1);
        assert_eq!(actives(&world), [LB1]);
        inflict(&mut world, Fault::Crash(LB1));
        run(&mut world, Duration::from_millis(1));
        inflict(&mut world, Fault::Crash(LB2));
        // 3 × interval + skew time of the third, 150 at a second.
        run(&mut world, 3 * INTERVAL + INTERVAL * (256 - 150) / 256 + WRITE);
        let third = NodeIndex(2);
        assert_eq!(actives(&world), [third], "{}", world.trace());
        assert_eq!(world.scene().standing(third, WEB), Standing::Active);
        run(&mut world, 8 * INTERVAL);
        assert_eq!(world.settle(), Ok(()), "{}", world.trace());
    }
}

#[test]
fn a_daemon_that_dies_twice_is_succeeded_by_its_last_will_and_its_kernel_serves_until_then() {
    let mut world = elected(&bare(&[150, 100]), 1);
    inflict(&mut world, Fault::Death(LB1));
    run(&mut world, 5 * INTERVAL);
    assert_eq!((actives(&world), said(&world, Duration::ZERO, "lb1  has no longer")), (vec![LB1], vec![]));
    inflict(&mut world, Fault::Death(LB1));
    run(&mut world, INTERVAL / 5);
    assert_eq!(actives(&world), [LB2], "{}", world.trace());
    let claimed = said(&world, Duration::ZERO, "lb2  web: became Active")[0].0;
    let left = said(&world, Duration::ZERO, "lb1  has no longer")[0].0;
    assert!(claimed < left, "{}", world.trace());
    // After a pause it is back, and takes the role as its priority says.
    run(&mut world, 8 * INTERVAL);
    assert_eq!(actives(&world), [LB1], "{}", world.trace());
    assert_eq!(world.settle(), Ok(()), "{}", world.trace());
}

#[test]
fn a_daemon_that_hangs_is_fenced_before_its_peer_claims() {
    let mut world = elected(&bare(&[150, 100]), 1);
    inflict(&mut world, Fault::Hang(LB1));
    run(&mut world, 3 * INTERVAL);
    let left = said(&world, Duration::ZERO, "lb1  has no longer")[0].0;
    let released = said(&world, Duration::ZERO, "lb1  advertises vrid 51 with priority 0")[0].0;
    let claimed = said(&world, Duration::ZERO, "lb2  web: became Active")[0].0;
    assert!(left <= released && released < claimed, "{}", world.trace());
    run(&mut world, 8 * INTERVAL);
    assert_eq!(actives(&world), [LB1], "{}", world.trace());
    assert_eq!(world.settle(), Ok(()), "{}", world.trace());
}

#[test]
fn what_a_dead_guard_and_its_dead_daemon_left_is_gone_with_its_lease() {
    let setting = bare(&[150, 100]);
    let mut world = elected(&setting, 1);
    let died = Duration::from_secs(12);
    inflict(&mut world, Fault::Crash(LB1));
    run(&mut world, setting.site.lease());
    let ended = said(&world, died, "kernel: the lease of 10.77.0.50/24")[0].0;
    assert!(ended.saturating_sub(died) >= setting.site.lease() * 2 / 3, "{}", world.trace());
    assert_eq!(world.settle(), Ok(()), "{}", world.trace());
}

/// A pair whose hand-overs wait for hooks, three intervals at most, and those of the Active hang.
fn with_hanging_hooks() -> World {
    let mut setting = bare(&[150, 100]);
    setting.site.preparation = Some(3 * INTERVAL);
    let mut world = elected(&setting, 1);
    inflict(&mut world, Fault::Hooks(LB1, Hooks::Hanging));
    world
}

#[test]
fn a_before_release_that_hangs_holds_a_stop_up_no_longer_than_its_time() {
    let mut world = with_hanging_hooks();
    inflict(&mut world, Fault::Stop(LB1));
    run(&mut world, 2 * INTERVAL);
    assert_eq!((actives(&world), said(&world, Duration::ZERO, "hands over")), (vec![LB1], vec![]));
    run(&mut world, INTERVAL + INTERVAL / 5);
    assert_eq!(actives(&world), [LB2], "{}", world.trace());
    run(&mut world, 8 * INTERVAL);
    assert_eq!(said(&world, Duration::ZERO, "lb1  ends").len(), 1, "{}", world.trace());
    assert_eq!(world.settle(), Ok(()), "{}", world.trace());
}

#[test]
fn a_pass_that_waits_for_a_hanging_before_release_is_called_off_by_a_release() {
    let mut world = with_hanging_hooks();
    inflict(&mut world, Fault::Pass(LB1, None));
    run(&mut world, INTERVAL);
    inflict(&mut world, Fault::Return(LB1));
    run(&mut world, 8 * INTERVAL);
    assert_eq!((actives(&world), said(&world, Duration::ZERO, "hands over")), (vec![LB1], vec![]));
    assert_eq!(world.settle(), Ok(()), "{}", world.trace());
}
