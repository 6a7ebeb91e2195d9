//! The main stories, written down line by line; the text files are what an operator would see.
//!
//! `BATON_REWRITE_GOLDEN=1` writes the files anew; read what is different before you commit it.

mod pair;

use std::num::NonZeroU8;
use std::path::Path;
use std::time::Duration;
use std::{env, fs};

use node::track::{Delays, Effect, Requirement, Sense, TrackWeight};
use pair::{INSIDE, LB1, LB2, OUTSIDE, setting, sync_group};
use simulator::fault::Fault;
use simulator::invariants::Broken;
use simulator::kernel::{Pace, Temper};
use simulator::network::Road;
use simulator::scene::NodeSet;
use simulator::site::{Carrier, ServerIndex, Sight, SiteTrack, SiteTrackKind, TrackIndex};
use simulator::world::{Setting, World};
use vrrp::Preemption;

/// What happens in a story and how long it is looked at then, in milliseconds.
type Chapter = (Fault, u64);

#[test]
fn crash_and_take_over() {
    let chapters = [(Fault::Crash(LB1), 6_000), (Fault::Start(LB1), 6_000)];
    tell("crash_and_take_over", &setting(&[150, 100]), &chapters);
}

#[test]
fn a_daemon_that_dies_and_is_succeeded_at_once_is_no_transition() {
    let story = "a_daemon_that_dies_and_is_succeeded_at_once_is_no_transition";
    tell(story, &setting(&[150, 100]), &[(Fault::Death(LB1), 3_000), (Fault::Death(LB2), 3_000)]);
}

#[test]
fn two_die_one_after_the_other() {
    let chapters = [(Fault::Crash(LB1), 1), (Fault::Crash(LB2), 5_000)];
    tell("two_die_one_after_the_other", &setting(&[200, 150, 100]), &chapters);
}

#[test]
fn equal_priorities() {
    tell(
        "equal_priorities",
        &setting(&[100, 100]),
        &[(Fault::Crash(LB2), 5_000), (Fault::Start(LB2), 5_000)],
    );
}

#[test]
fn planned_stop() {
    let chapters = [(Fault::Stop(LB1), 3_000), (Fault::Start(LB1), 6_000)];
    tell("planned_stop", &setting(&[150, 100]), &chapters);
}

#[test]
fn a_node_that_was_passed_on_stays_away_until_it_comes_back() {
    let chapters = [(Fault::Pass(LB1, None), 10_000), (Fault::Return(LB1), 6_000)];
    tell("a_node_that_was_passed_on_stays_away_until_it_comes_back", &setting(&[150, 100]), &chapters);
}

#[test]
fn nobody_takes_over() {
    let chapters = [(Fault::Crash(LB2), 1_000), (Fault::Pass(LB1, None), 3_000)];
    tell("nobody_takes_over", &setting(&[150, 100]), &chapters);
}

#[test]
fn no_preemption() {
    let mut setting = setting(&[150, 100]);
    setting.site.nodes[0].seats[0].preemption = Preemption::Refused;
    let chapters = [(Fault::Crash(LB1), 6_000), (Fault::Start(LB1), 10_000)];
    tell("no_preemption", &setting, &chapters);
}

#[test]
fn a_node_without_preemption_that_comes_back_behind_a_deaf_port_steals_nothing() {
    let mut setting = setting(&[150, 100]);
    setting.site.nodes[0].seats[0].preemption = Preemption::Refused;
    setting.site.nodes[0].seats[0].restraint.unheard = Duration::from_secs(30);
    let alone = NodeSet::of([LB1]);
    let chapters = [
        (Fault::Crash(LB1), 6_000),
        (Fault::Island(OUTSIDE, alone, Road::Closed), 1_000),
        (Fault::Start(LB1), 15_000),
        (Fault::Island(OUTSIDE, alone, Road::Open), 10_000),
    ];
    tell("a_node_without_preemption_that_comes_back_behind_a_deaf_port_steals_nothing", &setting, &chapters);
}

#[test]
fn a_node_without_preemption_claims_when_a_neighbour_answers_and_no_active_is_heard() {
    let mut setting = setting(&[150, 100]);
    setting.site.nodes[0].seats[0].preemption = Preemption::Refused;
    setting.site.nodes[0].seats[0].restraint.unheard = Duration::from_secs(30);
    let chapters = [(Fault::Crash(LB1), 6_000), (Fault::Crash(LB2), 1_000), (Fault::Start(LB1), 10_000)];
    tell(
        "a_node_without_preemption_claims_when_a_neighbour_answers_and_no_active_is_heard",
        &setting,
        &chapters,
    );
}

#[test]
fn partition_and_heal() {
    let island = NodeSet::of([LB2]);
    let chapters = [
        (Fault::Island(OUTSIDE, island, Road::Closed), 6_500),
        (Fault::Island(OUTSIDE, island, Road::Open), 6_500),
    ];
    tell("partition_and_heal", &setting(&[150, 100]), &chapters);
}

#[test]
fn one_hears_and_is_not_heard() {
    let chapters = [
        (Fault::Road(OUTSIDE, LB1, LB2, Road::Closed), 7_500),
        (Fault::Road(OUTSIDE, LB1, LB2, Road::Open), 3_000),
    ];
    tell("one_hears_and_is_not_heard", &setting(&[150, 100]), &chapters);
}

#[test]
fn an_active_that_slept_hears_its_successor_before_it_speaks() {
    let mut setting = setting(&[100, 150]);
    setting.site.nodes[1].seats[0].preemption = Preemption::Refused;
    let chapters = [
        (Fault::Crash(LB2), 5_000),
        (Fault::Start(LB2), 5_000),
        (Fault::Pause(LB1), 5_500),
        (Fault::Resume(LB1), 6_000),
    ];
    tell("an_active_that_slept_hears_its_successor_before_it_speaks", &setting, &chapters);
}

#[test]
fn sync_group_fault() {
    let chapters = [
        (Fault::Carrier(LB1, INSIDE, Carrier::Down), 3_000),
        (Fault::Carrier(LB1, INSIDE, Carrier::Up), 6_000),
    ];
    tell("sync_group_fault", &sync_group(&[150, 100]), &chapters);
}

#[test]
fn sync_group_split_and_heal() {
    let island = |segment, road| Fault::Island(segment, NodeSet::of([LB2]), road);
    let chapters = [
        (island(OUTSIDE, Road::Closed), 0),
        (island(INSIDE, Road::Closed), 6_500),
        (island(OUTSIDE, Road::Open), 0),
        (island(INSIDE, Road::Open), 6_500),
    ];
    tell("sync_group_split_and_heal", &sync_group(&[150, 100]), &chapters);
}

#[test]
fn a_track_without_a_weight_takes_the_role_away_and_one_with_a_weight_outranks() {
    let interval = Duration::from_secs(1);
    let kind = SiteTrackKind::Script { rise: NonZeroU8::MIN, fall: NonZeroU8::MIN };
    let fault = SiteTrack { kind, sense: Sense::Straight, effect: Effect::Fault, interval };
    let weight = TrackWeight::new(-60).expect("it is between -253 and 253");
    let weighty = SiteTrack { effect: Effect::Weight(weight), ..fault };
    let mut setting = setting(&[150, 100]);
    setting.site.service = None;
    setting.site.tracks = vec![fault, weighty];
    let (disk, uplink) = (TrackIndex(0), TrackIndex(1));
    let chapters = [
        (Fault::Track(LB1, disk, Sight::Ill(1)), 3_000),
        (Fault::Track(LB1, disk, Sight::Well), 6_000),
        (Fault::Track(LB1, uplink, Sight::Ill(1)), 6_000),
    ];
    tell("a_track_without_a_weight_takes_the_role_away_and_one_with_a_weight_outranks", &setting, &chapters);
}

#[test]
fn processes_and_an_interface_that_are_gone_for_less_than_their_delays_move_nobody() {
    let interval = Duration::from_secs(1);
    let seconds = |up, down| Delays { up: Duration::from_secs(up), down: Duration::from_secs(down) };
    let processes = SiteTrackKind::Process { delays: seconds(3, 2) };
    let link = SiteTrackKind::Interface { requirement: Requirement::Address, delays: seconds(2, 4) };
    let fault = SiteTrack { kind: processes, sense: Sense::Straight, effect: Effect::Fault, interval };
    let weight = TrackWeight::new(-60).expect("it is between -253 and 253");
    let weighty = SiteTrack { kind: link, effect: Effect::Weight(weight), ..fault };
    let mut setting = setting(&[150, 100]);
    setting.site.service = None;
    setting.site.tracks = vec![fault, weighty];
    let (disk, uplink) = (TrackIndex(0), TrackIndex(1));
    let chapters = [
        (Fault::Track(LB1, disk, Sight::Ill(1)), 1_100),
        (Fault::Track(LB1, disk, Sight::Well), 3_000),
        (Fault::Track(LB1, uplink, Sight::Unclear), 3_100),
        (Fault::Track(LB1, uplink, Sight::Well), 6_000),
        (Fault::Track(LB1, disk, Sight::Ill(1)), 5_000),
        (Fault::Track(LB1, disk, Sight::Well), 8_000),
        (Fault::Track(LB1, uplink, Sight::Ill(1)), 9_000),
    ];
    let name = "processes_and_an_interface_that_are_gone_for_less_than_their_delays_move_nobody";
    tell(name, &setting, &chapters);
}

#[test]
fn slow_kernel() {
    let mut setting = setting(&[150, 100]);
    setting.pace = Pace { chunk_time: Duration::from_millis(300), chunk: 1 };
    tell("slow_kernel", &setting, &[(Fault::Crash(LB1), 8_000), (Fault::Start(LB1), 8_000)]);
}

#[test]
fn refused_address() {
    let chapters = [
        (Fault::Temper(LB2, Temper::Refusing), 1_000),
        (Fault::Crash(LB1), 8_000),
        (Fault::Temper(LB2, Temper::Obliging), 30_000),
    ];
    tell("refused_address", &setting(&[200, 150, 100]), &chapters);
}

#[test]
fn stolen_address() {
    tell("stolen_address", &setting(&[150, 100]), &[(Fault::Theft(LB1, 0), 1_000)]);
}

#[test]
fn real_servers_die_and_return() {
    let chapters = [
        (Fault::ServerDies(ServerIndex(0)), 3_000),
        (Fault::ServerDies(ServerIndex(1)), 3_000),
        (Fault::ServerReturns(ServerIndex(0)), 3_000),
        (Fault::Crash(LB1), 6_000),
    ];
    tell("real_servers_die_and_return", &setting(&[150, 100]), &chapters);
}

/// Starts every node, lets the story happen and holds its trace to the file of its name.
fn tell(name: &str, setting: &Setting, chapters: &[Chapter]) {
    let mut world = World::new(setting.clone(), 1);
    let happened = happen(&mut world, setting, chapters);
    let found = world.trace().to_owned();
    assert_eq!(happened, Ok(()), "{found}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("{name}.txt"));
    if env::var_os("BATON_REWRITE_GOLDEN").is_some() {
        fs::write(&path, found).expect("the files of the stories are writable");
        return;
    }
    let expected = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; BATON_REWRITE_GOLDEN=1 writes it", path.display()));
    assert!(found == expected, "{name} is another story now:\n{}", first_difference(&expected, &found));
}

fn happen(world: &mut World, setting: &Setting, chapters: &[Chapter]) -> Result<(), Broken> {
    for node in setting.site.node_indices() {
        world.inflict(Fault::Start(node))?;
    }
    world.run_for(Duration::from_secs(12))?;
    for (fault, milliseconds) in chapters {
        world.inflict(*fault)?;
        world.run_for(Duration::from_millis(*milliseconds))?;
    }
    world.settle()
}

fn first_difference(expected: &str, found: &str) -> String {
    let mut lines = expected.lines().zip(found.lines()).enumerate();
    match lines.find(|(_, (expected, found))| expected != found) {
        Some((number, (expected, found))) => format!("line {}\n- {expected}\n+ {found}", number + 1),
        None => format!("{} lines became {}", expected.lines().count(), found.lines().count()),
    }
}
