use std::collections::BTreeSet;

use super::*;
use crate::name::InterfaceName;
use crate::script::Script;

const NAME: &str = "check";

fn name() -> TrackName {
    TrackName::new(NAME).unwrap()
}

fn at(milliseconds: u64) -> Instant {
    Instant::from_start(Duration::from_millis(100_000 + milliseconds))
}

fn track(kind: TrackKind, sense: Sense, effect: Effect) -> Track {
    Track::new(Arc::new(TrackConfig { kind, sense, effect }), at(0))
}

fn script(rise: u8, fall: u8) -> TrackKind {
    TrackKind::Script {
        script: Script::new(vec!["/bin/check".to_owned()], None).unwrap(),
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        rise: rise.try_into().unwrap(),
        fall: fall.try_into().unwrap(),
    }
}

fn interface(requirement: Requirement, up: u64, down: u64) -> TrackKind {
    let delays = Delays { up: Duration::from_millis(up), down: Duration::from_millis(down) };
    TrackKind::Interface { interface: InterfaceName::new("eth1").unwrap(), requirement, delays }
}

fn file() -> TrackKind {
    TrackKind::File { path: "/run/weight".into(), interval: Duration::from_millis(200) }
}

fn process(minimum: u32) -> TrackKind {
    let delays = Delays { up: Duration::ZERO, down: Duration::from_secs(2) };
    TrackKind::Process { name: "named".to_owned(), minimum, interval: Duration::from_secs(1), delays }
}

fn weight(number: i64) -> Effect {
    Effect::Weight(TrackWeight::new(number).unwrap())
}

fn link(is_up: bool, addresses: &[&str]) -> LinkState {
    let addresses: BTreeSet<_> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    LinkState { index: 3, is_up, mac: None, primary_v4: None, link_local: None, addresses }
}

fn failed() -> Observation {
    wrong(ProblemCause::ExitCode(1), "exit code 1")
}

fn wrong(cause: ProblemCause, reason: &str) -> Observation {
    Observation::Wrong(Problem { cause, reason: reason.to_owned() })
}

fn points(track: &Track) -> Option<i32> {
    match track.meaning() {
        Meaning::Points(points) => Some(points),
        Meaning::Unknown | Meaning::Fault { .. } => None,
    }
}

#[test]
fn the_first_word_of_a_script_counts_at_once_and_later_ones_by_rise_and_fall() {
    for (first, state) in [(Observation::Passed, TrackState::Up), (failed(), TrackState::Down)] {
        let mut track = track(script(2, 3), Sense::Straight, Effect::Fault);
        assert_eq!((track.status().state, track.meaning()), (TrackState::Unknown, Meaning::Unknown));
        assert_eq!(track.observe(&name(), first, at(1)).len(), 1);
        assert_eq!(track.status().state, state);
    }
    let mut track = track(script(2, 3), Sense::Straight, Effect::Fault);
    let mut states = |observations: &str| -> String {
        let see = |letter| if letter == '+' { Observation::Passed } else { failed() };
        let mut state = |letter| {
            let _ = track.observe(&name(), see(letter), at(1));
            if track.status().state == TrackState::Up { 'U' } else { 'd' }
        };
        observations.chars().map(&mut state).collect()
    };
    assert_eq!(states("+--+---"), "UUUUUUd");
    assert_eq!(states("+-++-+"), "dddUUU");
}

#[test]
fn a_track_that_goes_up_and_down_says_so_once_each_with_what_was_seen() {
    let mut track = track(script(1, 1), Sense::Straight, Effect::Fault);
    let up = Report::TrackUp { track: name(), reason: "the script ended well".to_owned(), cause: None };
    let down = Report::TrackDown {
        track: name(),
        reason: "exit code 1".to_owned(),
        cause: Some(ProblemCause::ExitCode(1)),
    };
    assert_eq!(track.observe(&name(), Observation::Passed, at(1)), [up]);
    assert_eq!(track.observe(&name(), Observation::Passed, at(2)), []);
    assert_eq!(track.observe(&name(), failed(), at(3)), [down]);
    assert_eq!(track.status().since, at(3));
}

#[test]
fn a_script_that_hangs_fails_and_is_told_once_until_one_ends_in_time() {
    let mut track = track(script(1, 2), Sense::Straight, Effect::Fault);
    let hung = || wrong(ProblemCause::TimedOut, "did not end within 1s");
    let _ = track.observe(&name(), Observation::Passed, at(1));
    let names = |reports: Vec<Report>| -> Vec<bool> {
        reports.iter().map(|report| matches!(report, Report::TrackTimedOut { .. })).collect()
    };
    assert_eq!(names(track.observe(&name(), hung(), at(2))), [true]);
    assert_eq!(names(track.observe(&name(), hung(), at(3))), [false], "it is down now");
    assert_eq!(names(track.observe(&name(), hung(), at(4))), <[bool; 0]>::default());
    let _ = track.observe(&name(), Observation::Passed, at(5));
    assert_eq!(names(track.observe(&name(), hung(), at(6))), [true]);
}

#[test]
fn a_script_that_cannot_even_be_killed_is_told_apart_from_one_that_hangs_and_once() {
    let mut track = track(script(1, 1), Sense::Straight, Effect::Fault);
    let hung = || wrong(ProblemCause::TimedOut, "did not end within 1s");
    let stuck = || wrong(ProblemCause::Stuck, "did not end within 1s; it was killed and is still not gone");
    let is_told =
        |reports: Vec<Report>| reports.iter().any(|report| matches!(report, Report::TrackStuck { .. }));
    let mut tells = |seen, milliseconds| is_told(track.observe(&name(), seen, at(milliseconds)));
    assert_eq!([tells(hung(), 1), tells(stuck(), 2), tells(stuck(), 3)], [false, true, false]);
    assert_eq!([tells(hung(), 4), tells(stuck(), 5)], [false, false], "it goes on as it was");
    assert_eq!([tells(failed(), 6), tells(stuck(), 7)], [false, true], "one has ended meanwhile");
}

#[test]
fn the_status_says_what_is_wrong_now_and_since_when_even_before_it_counts() {
    let mut track = track(script(1, 3), Sense::Straight, Effect::Fault);
    let problem = |track: &Track| track.status().problem.map(|problem| (problem.cause, problem.since));
    let _ = track.observe(&name(), Observation::Passed, at(1));
    assert_eq!(problem(&track), None);
    let _ = track.observe(&name(), failed(), at(2));
    let _ = track.observe(&name(), failed(), at(3));
    assert_eq!(
        (track.status().state, problem(&track)),
        (TrackState::Up, Some((ProblemCause::ExitCode(1), at(2))))
    );
    let _ = track.observe(&name(), wrong(ProblemCause::Stuck, "it was killed and is still not gone"), at(4));
    assert_eq!(
        (track.status().state, problem(&track)),
        (TrackState::Down, Some((ProblemCause::Stuck, at(4))))
    );
    let _ = track.observe(&name(), Observation::Passed, at(5));
    assert_eq!((track.status().state, problem(&track)), (TrackState::Up, None));
}

#[test]
fn processes_that_cannot_be_counted_are_told_once_and_change_nothing() {
    let mut track = track(process(1), Sense::Straight, Effect::Fault);
    let unreadable = || wrong(ProblemCause::Unreadable, "/proc cannot be read: Too many open files");
    let told = |reports: Vec<Report>| -> Vec<bool> {
        reports.iter().map(|report| matches!(report, Report::TrackUnclear { .. })).collect()
    };
    assert_eq!(told(track.observe(&name(), unreadable(), at(1))), [true]);
    assert_eq!((track.meaning(), track.status().state), (Meaning::Unknown, TrackState::Unknown));
    assert_eq!(told(track.observe(&name(), Observation::Processes(1), at(2))), [false], "it is up");
    assert_eq!(told(track.observe(&name(), unreadable(), at(3))), [true]);
    assert_eq!(told(track.observe(&name(), unreadable(), at(4))), <[bool; 0]>::default());
    assert_eq!((track.meaning(), track.next_deadline()), (Meaning::Points(0), None));
}

#[test]
fn a_weight_is_added_while_up_or_taken_while_down() {
    for (number, sense, passed, up, down) in [
        (-60, Sense::Straight, true, 0, -60),
        (60, Sense::Straight, true, 60, 0),
        (-60, Sense::Reversed, true, -60, 0),
        (60, Sense::Reversed, true, 0, 60),
    ] {
        let mut track = track(script(1, 1), sense, weight(number));
        assert_eq!(points(&track), None, "nothing is known");
        let _ = track.observe(&name(), if passed { Observation::Passed } else { failed() }, at(1));
        assert_eq!(points(&track), Some(up));
        let _ = track.observe(&name(), failed(), at(2));
        assert_eq!(points(&track), Some(down));
    }
}

#[test]
fn an_interface_is_up_with_its_carrier_and_where_asked_for_with_an_address_too() {
    let own = ["10.78.0.11"];
    for (requirement, state, is_up) in [
        (Requirement::Carrier, None, false),
        (Requirement::Carrier, Some(link(false, &own)), false),
        (Requirement::Carrier, Some(link(true, &[])), true),
        (Requirement::Address, Some(link(true, &[])), false),
        (Requirement::Address, Some(link(true, &["fe80::1", "169.254.0.1"])), false),
        (Requirement::Address, Some(link(true, &own)), true),
        (Requirement::Address, Some(link(true, &["fd78::11"])), true),
        (Requirement::Address, Some(link(false, &own)), false),
    ] {
        let mut track = track(interface(requirement, 0, 0), Sense::Straight, Effect::Fault);
        let _ = track.follow_link(&name(), state.as_ref(), at(1));
        assert_eq!(track.status().state == TrackState::Up, is_up, "{requirement:?} {state:?}");
    }
}

#[test]
fn a_change_that_does_not_last_does_not_count() {
    let mut track = track(interface(Requirement::Carrier, 500, 200), Sense::Straight, Effect::Fault);
    let (up, down) = (link(true, &[]), link(false, &[]));
    assert!(track.follow_link(&name(), Some(&up), at(0)).is_some(), "the first word counts at once");
    assert_eq!(track.follow_link(&name(), Some(&down), at(1_000)), None);
    assert_eq!(track.next_deadline(), Some(at(1_200)));
    assert_eq!(track.follow_link(&name(), Some(&down), at(1_100)), None);
    assert_eq!(track.next_deadline(), Some(at(1_200)), "it has been down since then");
    let coming = track.status().coming.map(|coming| (coming.state, coming.at));
    assert_eq!(coming, Some((TrackState::Down, at(1_200))));
    assert_eq!(track.follow_link(&name(), Some(&up), at(1_150)), None);
    assert_eq!((track.next_deadline(), track.status().state), (None, TrackState::Up));
    let _ = track.follow_link(&name(), Some(&down), at(2_000));
    assert_eq!(track.fire(&name(), at(2_199)), None);
    assert!(matches!(track.fire(&name(), at(2_200)), Some(Report::TrackDown { .. })));
    let _ = track.follow_link(&name(), Some(&up), at(3_000));
    assert_eq!(track.next_deadline(), Some(at(3_500)));
}

#[test]
fn the_delays_of_a_reversed_track_are_those_of_the_thing() {
    let mut track = track(interface(Requirement::Carrier, 500, 200), Sense::Reversed, Effect::Fault);
    let (up, down) = (link(true, &[]), link(false, &[]));
    let _ = track.follow_link(&name(), Some(&down), at(0));
    assert_eq!(track.status().state, TrackState::Up);
    let _ = track.follow_link(&name(), Some(&up), at(1_000));
    assert_eq!(track.status().coming.map(|coming| coming.state), Some(TrackState::Down));
    assert_eq!(track.fire(&name(), at(1_499)), None);
    assert!(matches!(track.fire(&name(), at(1_500)), Some(Report::TrackDown { .. })));
    let _ = track.follow_link(&name(), Some(&down), at(2_000));
    assert_eq!(track.next_deadline(), Some(at(2_200)));
}

#[test]
fn too_few_processes_are_none() {
    let mut track = track(process(2), Sense::Straight, weight(-20));
    let _ = track.observe(&name(), Observation::Processes(2), at(1));
    assert_eq!(points(&track), Some(0));
    let _ = track.observe(&name(), Observation::Processes(1), at(10));
    assert_eq!(points(&track), Some(0), "it may be restarted in time");
    let Some(Report::TrackDown { reason, .. }) = track.fire(&name(), at(2_010)) else { panic!("{track:?}") };
    assert_eq!((reason.as_str(), points(&track)), ("1 of the 2 processes run", Some(-20)));
}

#[test]
fn the_number_of_a_file_counts_times_the_weight() {
    let mut track = track(file(), Sense::Straight, weight(10));
    for (seen, expected) in [
        (Observation::NoFile, 0),
        (Observation::Number(-5), -50),
        (wrong(ProblemCause::NoNumber, "empty"), -50),
        (Observation::Number(i32::MAX), 253),
        (Observation::Number(i32::MIN), -253),
        (Observation::NoFile, 0),
    ] {
        let _ = track.observe(&name(), seen.clone(), at(1));
        assert_eq!(points(&track), Some(expected), "{seen:?}");
    }
}

#[test]
fn a_file_without_a_weight_is_down_while_it_says_anything_but_0() {
    for (sense, down) in
        [(Sense::Straight, [false, true, true, false]), (Sense::Reversed, [true, false, false, true])]
    {
        let mut track = track(file(), sense, Effect::Fault);
        let seen = [
            Observation::NoFile,
            Observation::Number(3),
            wrong(ProblemCause::NoNumber, "\"x\" is no number"),
            Observation::Number(0),
        ];
        for (seen, is_down) in seen.into_iter().zip(down) {
            let _ = track.observe(&name(), seen.clone(), at(1));
            assert_eq!(matches!(track.meaning(), Meaning::Fault { .. }), is_down, "{sense:?} {seen:?}");
        }
    }
}

#[test]
fn a_file_that_says_nothing_clear_is_told_once_and_taken_for_0_before_it_ever_did() {
    let mut track = track(file(), Sense::Straight, Effect::Fault);
    let unclear = || wrong(ProblemCause::NoNumber, "it is empty");
    let reports = track.observe(&name(), unclear(), at(1));
    assert!(matches!(reports[..], [Report::TrackUnclear { .. }, Report::TrackUp { .. }]), "{reports:?}");
    assert_eq!(track.observe(&name(), unclear(), at(2)), []);
    assert_eq!(track.observe(&name(), Observation::Number(0), at(3)), []);
    assert_eq!(track.observe(&name(), unclear(), at(4)).len(), 1);
}
