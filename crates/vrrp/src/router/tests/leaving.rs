//! The planned hand-over, and what a sync group makes of a release.

use super::*;

const HEIR: [u8; 4] = LESSER;
const STATED: Centiseconds = Centiseconds::new(1);

fn offered(then: AfterLeaving) -> State {
    let skew = Centiseconds::DEFAULT.skew(Version::V3, Priority::LOWEST);
    let give_up_at = T0 + skew + Duration::from_millis(100);
    State::Leaving { stage: HandOverStage::Offered { give_up_at }, then }
}

fn hopeless(then: AfterLeaving) -> State {
    State::Leaving { stage: HandOverStage::Offered { give_up_at: T0 }, then }
}

fn claimed(served_at: Instant, then: AfterLeaving) -> State {
    State::Leaving { stage: HandOverStage::Claimed { by: HEIR.into(), served_at }, then }
}

fn hand_over(then: AfterLeaving) -> Happening {
    Happening::Plain(RouterEvent::HandOver { heirs: Heirs::One, then })
}

/// The fourth state with every event, and the events of a hand-over in every other state.
#[test]
#[expect(clippy::too_many_lines, reason = "one row for each case is what a table is")]
fn every_event_of_a_hand_over_does_what_keeps_the_addresses_served() {
    use AfterLeaving::{Backup, Initialize};
    use Happening::{Heard, Plain};
    use RouterEvent::{AddressesAnnounced, Deadline, NeighbourAnswered, Release, Resume, Shutdown, Startup};

    let active_anew = State::Active { advertise_at: after(1000) };
    let as_backup = backup_anew(Centiseconds::DEFAULT);
    let last_words =
        [says(Priority::DEFAULT, STATED), says(Priority::RELEASE, STATED), RouterAction::BecameLeaving];
    let handed_over = RouterAction::HandedOver { to: HEIR.into() };
    let backs_up = RouterAction::BecameBackup(BecomeBackupCause::Released);
    let ends = RouterAction::BecameInitialize;
    let nobody = RouterAction::NobodyTookOver;
    let again = RouterAction::BecameActive(BecomeActiveCause::NobodyTookOver);
    let silent: &[RouterAction] = &[];
    let released = || Plain(RouterEvent::GroupReleased { interval: STATED });
    let hurried = State::Backup {
        learned: Centiseconds::DEFAULT,
        active_down_at: T0 + STATED.skew(Version::V3, Priority::DEFAULT),
    };
    let in_50_ms = claimed(after(50), Backup);

    let p = parameters;
    hold(vec![
        row("out, hand over", p(), INITIALIZE, hand_over(Initialize), INITIALIZE, silent),
        row("out, addresses announced", p(), INITIALIZE, Plain(AddressesAnnounced), INITIALIZE, silent),
        row("out, answered", p(), INITIALIZE, Plain(NeighbourAnswered), INITIALIZE, silent),
        row("backup, answered", p(), BACKUP, Plain(NeighbourAnswered), BACKUP, silent),
        row("active, answered", p(), ACTIVE, Plain(NeighbourAnswered), ACTIVE, silent),
        row("offered, answered", p(), offered(Backup), Plain(NeighbourAnswered), offered(Backup), silent),
        row("claimed, answered", p(), in_50_ms, Plain(NeighbourAnswered), in_50_ms, silent),
        row("out, group released", p(), INITIALIZE, released(), INITIALIZE, silent),
        row("backup, end", p(), BACKUP, hand_over(Initialize), INITIALIZE, &[ends]),
        row("backup, hand over", p(), BACKUP, hand_over(Backup), BACKUP, silent),
        row("backup, addresses announced", p(), BACKUP, Plain(AddressesAnnounced), BACKUP, silent),
        row("backup, group released", p(), as_backup, released(), hurried, silent),
        row("active, hand over", p(), ACTIVE, hand_over(Backup), offered(Backup), &last_words),
        row("active, end", p(), ACTIVE, hand_over(Initialize), offered(Initialize), &last_words),
        row("active, addresses announced", p(), ACTIVE, Plain(AddressesAnnounced), ACTIVE, silent),
        row("active, group released", p(), ACTIVE, released(), ACTIVE, silent),
        row("offered, go on", p(), offered(Initialize), Plain(Resume), offered(Initialize), silent),
        row("offered, start", p(), offered(Initialize), Plain(Startup), offered(Initialize), silent),
        row("offered, again", p(), offered(Backup), hand_over(Backup), offered(Backup), silent),
        row(
            "offered, to end after all",
            p(),
            offered(Backup),
            hand_over(Initialize),
            offered(Initialize),
            silent,
        ),
        row("offered, end at once", p(), offered(Backup), Plain(Shutdown), INITIALIZE, &[ends]),
        row("offered, release", p(), offered(Backup), Plain(Release), as_backup, &[backs_up]),
        row("offered, release at the end", p(), offered(Initialize), Plain(Release), INITIALIZE, &[ends]),
        row("offered, group released", p(), offered(Backup), released(), offered(Backup), silent),
        row(
            "offered, announced by whom",
            p(),
            offered(Backup),
            Plain(AddressesAnnounced),
            offered(Backup),
            silent,
        ),
        row("offered, another leaves", p(), offered(Backup), Heard(0, HEIR), offered(Backup), silent),
        row("offered, claimed by a lower one", p(), offered(Backup), Heard(1, HEIR), in_50_ms, silent),
        row("offered, claimed by a higher one", p(), offered(Backup), Heard(254, HEIR), in_50_ms, silent),
        row("offered, not yet", p(), offered(Backup), Plain(Deadline), offered(Backup), silent),
        row(
            "nobody came",
            p(),
            hopeless(Backup),
            Plain(Deadline),
            active_anew,
            &[nobody, advertise(), again],
        ),
        row(
            "nobody came to the end",
            p(),
            hopeless(Initialize),
            Plain(Deadline),
            INITIALIZE,
            &[nobody, ends],
        ),
        row(
            "claimed, announced",
            p(),
            in_50_ms,
            Plain(AddressesAnnounced),
            as_backup,
            &[handed_over, backs_up],
        ),
        row(
            "claimed, announced at the end",
            p(),
            claimed(after(50), Initialize),
            Plain(AddressesAnnounced),
            INITIALIZE,
            &[handed_over, ends],
        ),
        row(
            "claimed, time is over",
            p(),
            claimed(T0, Backup),
            Plain(Deadline),
            as_backup,
            &[handed_over, backs_up],
        ),
        row("claimed, not yet", p(), in_50_ms, Plain(Deadline), in_50_ms, silent),
        row("claimed, advertised again", p(), in_50_ms, Heard(100, HEIR), in_50_ms, silent),
        row("claimed, end at once", p(), in_50_ms, Plain(Shutdown), INITIALIZE, &[ends]),
        row("claimed, release", p(), in_50_ms, Plain(Release), as_backup, &[backs_up]),
    ]);
}

#[test]
fn several_heirs_are_given_time_to_stay_apart_and_version_2_has_no_short_interval() {
    let statements = |parameters: Parameters, heirs| {
        let said = VirtualRouter::new(parameters).hand_over(heirs);
        said.iter().map(|said| (said.priority.get(), said.interval.get())).collect::<Vec<_>>()
    };
    assert_eq!(statements(parameters(), Heirs::One), [(100, 1), (0, 1)]);
    assert_eq!(statements(parameters(), Heirs::Several), [(100, 10), (0, 10)]);
    let fast = Parameters { interval: Centiseconds::new(5), ..parameters() };
    assert_eq!(statements(fast, Heirs::Several), [(100, 5), (0, 5)]);
    let old = Parameters { version: Version::V2, ..parameters() };
    assert_eq!(statements(old, Heirs::One), [(0, 100)]);
}

#[test]
fn whoever_cannot_hear_the_slowest_successor_waits_for_its_skew_time_at_the_interval_that_was_named() {
    let within = |parameters: Parameters, heirs| VirtualRouter::new(parameters).succeeded_within(heirs);
    let skew = |milliseconds| Duration::from_millis(milliseconds) * 255 / 256;
    let served = Duration::from_millis(50);
    assert_eq!(within(parameters(), Heirs::One), skew(10) + served);
    assert_eq!(within(parameters(), Heirs::Several), skew(100) + served);
    let fast = Parameters { interval: Centiseconds::new(2), ..parameters() };
    assert_eq!(within(fast, Heirs::Several), skew(20) + Duration::from_millis(20));
    for interval in [100, 1_000].map(Centiseconds::new) {
        let old = || Parameters { version: Version::V2, interval, ..parameters() };
        assert_eq!([Heirs::One, Heirs::Several].map(|heirs| within(old(), heirs)), [skew(1_000) + served; 2]);
    }
}

#[test]
fn two_hold_the_addresses_no_longer_than_an_interval_where_it_is_short() {
    let fast = Parameters { interval: Centiseconds::new(2), ..parameters() };
    let mut router = in_state(fast, offered(AfterLeaving::Backup));
    let advertisement = &heard(100);
    let _ = router.handle(RouterEvent::Heard { advertisement, from: HEIR.into() }, T0);
    assert_eq!(router.next_deadline(), Some(after(20)));
}

#[test]
fn a_backup_that_hears_the_last_words_claims_within_milliseconds() {
    let mut heir = in_state(parameters(), backup_anew(Centiseconds::DEFAULT));
    let leaving = VirtualRouter::new(Parameters { priority: Priority::new(150).unwrap(), ..parameters() });
    for statement in leaving.hand_over(Heirs::One) {
        let advertisement = &leaving.advertisement(statement);
        assert_eq!(heir.handle(RouterEvent::Heard { advertisement, from: GREATER.into() }, T0), []);
    }
    let claims_at = heir.next_deadline().expect("a Backup waits");
    assert!(claims_at <= after(10), "{claims_at:?}");
}
