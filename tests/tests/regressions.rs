//! What seeds have found, each as the shortest story in which it happens.

mod pair;

use std::time::Duration;

use pair::{INSIDE, LB1, LB2, OUTSIDE, setting, sync_group};
use simulator::fault::{Clock, Fault, Reload};
use simulator::kernel::Pace;
use simulator::network::Road;
use simulator::scene::NodeSet;
use simulator::site::{Carrier, NodeIndex, Proof};
use simulator::world::{Setting, World};
use virtual_server::service::Weight;
use vrrp::{Centiseconds, Priority};

/// Starts every node, lets each fault come that long after the one before, and then looks at everything.
fn hold(setting: &Setting, faults: &[(u64, Fault)], then: Duration) {
    let mut world = World::new(setting.clone(), 1);
    let result = setting
        .site
        .node_indices()
        .try_for_each(|node| world.inflict(Fault::Start(node)))
        .and_then(|()| {
            faults.iter().try_for_each(|(after, fault)| {
                world.run_for(Duration::from_millis(*after))?;
                world.inflict(*fault)
            })
        })
        .and_then(|()| world.run_for(then))
        .and_then(|()| world.settle());
    assert_eq!(result, Ok(()), "{}", world.trace());
}

/// It lost the role between the two bursts and its kernel still held the address when the second one was due.
#[test]
fn a_backup_with_a_slow_kernel_drew_the_traffic() {
    let mut setting = setting(&[150, 100]);
    setting.pace = Pace { chunk_time: Duration::from_millis(700), chunk: 1 };
    hold(&setting, &[(12_000, Fault::Crash(LB1)), (3_200, Fault::Start(LB1))], Duration::from_secs(20));
}

/// Its kernel was busy with something else meanwhile and never removed the address, so nothing told it to announce.
#[test]
fn an_active_that_was_a_backup_for_a_moment_stayed_silent() {
    let mut setting = setting(&[100, 150]);
    setting.pace = Pace { chunk_time: Duration::from_secs(6), chunk: 100 };
    let faults = [
        (20_000, Fault::Crash(LB2)),
        (15_000, Fault::Start(LB2)),
        (3_000, Fault::Reload(LB1, Reload::Weight(Weight::new(5)))),
        (1_000, Fault::Stop(LB2)),
    ];
    hold(&setting, &faults, Duration::from_secs(30));
}

/// The loser had announced last; the winner did not know, or had announced just before.
#[test]
fn the_winner_of_a_split_left_the_neighbours_with_the_loser() {
    let island = |road| Fault::Island(OUTSIDE, NodeSet::of([LB2]), road);
    for heals_after in [4_000, 4_400, 5_000, 20_000] {
        let faults = [(10_000, island(Road::Closed)), (heals_after, island(Road::Open))];
        hold(&setting(&[150, 100]), &faults, Duration::from_secs(10));
    }
}

/// Its addresses are always there, so the kernel never took them.
#[test]
fn an_owner_that_came_back_did_not_announce_its_addresses() {
    let mut setting = setting(&[254, 100]);
    setting.site.nodes[0].seats[0].priority = Priority::OWNER;
    let faults = [(10_000, Fault::Crash(LB1)), (10_000, Fault::Start(LB1))];
    hold(&setting, &faults, Duration::from_secs(10));
}

/// With other intervals on the nodes, the last word of the loser can teach a Backup the shorter one.
#[test]
fn a_third_node_claims_once_more_after_a_preemption_and_is_answered() {
    let mut setting = setting(&[33, 126, 71]);
    for (node, hundredths) in setting.site.nodes.iter_mut().zip([10, 50, 10]) {
        node.seats[0].interval = Centiseconds::new(hundredths);
    }
    hold(&setting, &[(3_000, Fault::Crash(LB2)), (3_000, Fault::Start(LB2))], Duration::from_secs(10));
}

/// The release of one member sets the timer of a Backup that was about to claim back to the skew time.
#[test]
fn a_sync_group_that_yields_delays_the_better_one_by_a_skew_time_at_most() {
    let setting = sync_group(&[33, 126, 71]);
    let faults = [(200, Fault::Crash(LB2)), (3_100, Fault::Start(LB2))];
    hold(&setting, &faults, Duration::from_secs(12));
}

/// It was Active on its side of a split, announced there and ended there: nobody could hear that it had been.
#[test]
fn whoever_ends_while_it_is_cut_off_is_not_answered() {
    let island = |road| Fault::Island(OUTSIDE, NodeSet::of([LB2]), road);
    let faults = [(10_000, island(Road::Closed)), (4_000, Fault::Stop(LB2)), (1_000, island(Road::Open))];
    hold(&setting(&[150, 100]), &faults, Duration::from_secs(10));
}

/// Its clock was behind, so that of its words only those were believed that it said after it had heard the other one: on
/// the link that healed, and not on the other.
#[test]
fn the_winner_of_a_split_left_the_neighbours_of_one_side_of_its_sync_group_with_the_loser() {
    let mut setting = sync_group(&[150, 100]);
    setting.site.proof = Proof::Given;
    let road = |segment, road| Fault::Road(segment, LB1, LB2, road);
    let faults = [
        (0, road(OUTSIDE, Road::Closed)),
        (0, road(INSIDE, Road::Closed)),
        (0, Fault::Clock(LB2, Clock::Behind(Duration::from_hours(1)))),
        (8_000, road(OUTSIDE, Road::Open)),
    ];
    hold(&setting, &faults, Duration::from_secs(10));
}

/// It could not know that the other one's clock is behind, as long as nothing of its own got there.
#[test]
fn whoever_is_not_heard_by_one_whose_clock_is_behind_does_not_believe_it() {
    let mut setting = setting(&[100, 150]);
    setting.site.proof = Proof::Given;
    let road = |from, to, road| Fault::Road(OUTSIDE, from, to, road);
    let faults = [
        (0, road(LB1, LB2, Road::Closed)),
        (0, road(LB2, LB1, Road::Closed)),
        (0, Fault::Clock(LB2, Clock::Behind(Duration::from_hours(1)))),
        (8_000, road(LB2, LB1, Road::Open)),
        (4_000, road(LB1, LB2, Road::Open)),
    ];
    hold(&setting, &faults, Duration::from_secs(10));
}

/// It was heard with a clock that ran ahead, last by the third node, and said less when it was started again.
#[test]
fn a_third_node_takes_one_whose_clock_was_put_right_for_a_recording_until_it_has_claimed_itself() {
    let mut setting = setting(&[7, 60, 179]);
    setting.site.proof = Proof::Given;
    let lb3 = NodeIndex(2);
    let faults = [
        (0, Fault::Clock(lb3, Clock::Ahead(Duration::from_hours(1)))),
        (10_000, Fault::Road(OUTSIDE, lb3, LB2, Road::Closed)),
        (2_500, Fault::Crash(lb3)),
        (0, Fault::Road(OUTSIDE, lb3, LB2, Road::Open)),
        (0, Fault::Clock(lb3, Clock::Right)),
        (8_000, Fault::Start(lb3)),
    ];
    hold(&setting, &faults, Duration::from_secs(20));
}

/// It discards what others advertise, and so did not know that somebody had stood in for it.
#[test]
fn an_owner_left_the_neighbours_with_the_one_that_stood_in_for_it_behind_a_split() {
    let mut setting = setting(&[254, 100]);
    setting.site.nodes[0].seats[0].priority = Priority::OWNER;
    let island = |road| Fault::Island(OUTSIDE, NodeSet::of([LB2]), road);
    let faults = [(10_000, island(Road::Closed)), (6_000, island(Road::Open))];
    hold(&setting, &faults, Duration::from_secs(10));
}

/// What it took for recordings taught it no interval.
#[test]
fn whoever_takes_the_active_for_a_recording_waits_for_as_long_as_its_own_interval_says() {
    let mut setting = setting(&[150, 100]);
    setting.site.proof = Proof::Given;
    setting.site.nodes[0].seats[0].interval = Centiseconds::new(10);
    let faults = [(0, Fault::Clock(LB2, Clock::Ahead(Duration::from_hours(1)))), (1_000, Fault::Crash(LB1))];
    hold(&setting, &faults, Duration::from_secs(20));
}

/// The end of its start delay had passed while it slept, so that the reload was not what made it begin.
#[test]
fn a_reload_of_the_same_file_finds_a_node_that_slept_through_the_end_of_its_start_delay() {
    let mut setting = setting(&[150, 100]);
    setting.site.nodes[1].seats[0].start_delay = Duration::from_secs(5);
    let faults =
        [(1_000, Fault::Pause(LB2)), (1_000, Fault::Reload(LB2, Reload::Same)), (8_000, Fault::Resume(LB2))];
    hold(&setting, &faults, Duration::from_secs(20));
}

/// It waits for its turn before it preempts: until somebody is Active, and for the delay from when it first hears that.
#[test]
fn whoever_waits_before_it_preempts_does_so_when_its_delay_is_over() {
    let mut setting = setting(&[100, 150]);
    let seat = &mut setting.site.nodes[1].seats[0];
    seat.start_delay = Duration::from_secs(2);
    seat.restraint.before_preempting = Duration::from_secs(5);
    hold(&setting, &[], Duration::from_secs(30));
}

/// It still advertised there for as long as its hooks ran, and so held back whoever was to take over the rest.
#[test]
fn a_sync_group_of_which_one_link_failed_waited_for_its_hooks_on_the_other() {
    let mut setting = sync_group(&[150, 100]);
    setting.site.preparation = Some(Duration::from_secs(2));
    hold(&setting, &[(10_000, Fault::Carrier(LB1, OUTSIDE, Carrier::Down))], Duration::from_secs(10));
}
