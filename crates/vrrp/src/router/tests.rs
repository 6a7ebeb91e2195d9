mod leaving;
mod restraint;

use std::time::Duration;

use super::*;
use crate::identity::Vrid;

const T0: Instant = Instant::from_start(Duration::from_secs(100));
/// An address of a /23 whose grid begins with the clock.
const OWN: [u8; 4] = [10, 77, 1, 0];
const GREATER: [u8; 4] = [10, 77, 1, 12];
const LESSER: [u8; 4] = [10, 77, 0, 10];
const LEARNED: Centiseconds = Centiseconds::new(50);

fn parameters() -> Parameters {
    Parameters {
        vrid: Vrid::new(51).unwrap(),
        version: Version::V3,
        priority: Priority::DEFAULT,
        interval: Centiseconds::DEFAULT,
        preemption: Preemption::Allowed,
        restraint: Restraint::default(),
        source: OWN.into(),
        addresses: vec![[10, 77, 0, 50].into()],
    }
}

fn owner() -> Parameters {
    Parameters { priority: Priority::OWNER, ..parameters() }
}

fn heard(priority: u8) -> Advertisement {
    Advertisement {
        version: Version::V3,
        vrid: parameters().vrid,
        priority: Priority::from_wire(priority),
        interval: LEARNED,
        addresses: parameters().addresses,
    }
}

fn after(milliseconds: u64) -> Instant {
    T0 + Duration::from_millis(milliseconds)
}

fn in_state(parameters: Parameters, state: State) -> VirtualRouter {
    VirtualRouter { state, ..VirtualRouter::new(parameters) }
}

fn down_at(learned: Centiseconds, from: Instant) -> Instant {
    from + learned.active_down(Version::V3, Priority::DEFAULT)
}

const INITIALIZE: State = State::Initialize;
const BACKUP: State = State::Backup { learned: Centiseconds::DEFAULT, active_down_at: T0 };
const ACTIVE: State = State::Active { advertise_at: T0 };

fn backup_anew(learned: Centiseconds) -> State {
    State::Backup { learned, active_down_at: down_at(learned, T0) }
}

fn advertise() -> RouterAction {
    says(Priority::DEFAULT, Centiseconds::DEFAULT)
}

fn says(priority: Priority, interval: Centiseconds) -> RouterAction {
    RouterAction::Advertise(Statement { priority, interval })
}

/// One row: in this state, at [`T0`], this happens; then it is in that state and has asked for those actions.
struct Row {
    name: &'static str,
    parameters: Parameters,
    state: State,
    event: Happening,
    then: State,
    actions: Vec<RouterAction>,
}

enum Happening {
    Plain(RouterEvent<'static>),
    Heard(u8, [u8; 4]),
}

fn row(
    name: &'static str,
    parameters: Parameters,
    state: State,
    event: Happening,
    then: State,
    actions: &[RouterAction],
) -> Row {
    Row { name, parameters, state, event, then, actions: actions.to_vec() }
}

/// Every state with every event, and for what is heard every order of priorities and addresses.
/// [RFC 9568, section 6.4](https://www.rfc-editor.org/rfc/rfc9568#section-6.4)
#[expect(clippy::too_many_lines, reason = "one row for each case is what a table is")]
fn table() -> Vec<Row> {
    use Happening::{Heard, Plain};
    use RouterEvent::{Deadline, Release, Resume, Shutdown, Startup};

    let skew = Centiseconds::DEFAULT.skew(Version::V3, Priority::DEFAULT);
    let hurried = State::Backup { learned: Centiseconds::DEFAULT, active_down_at: T0 + skew };
    let active_anew = State::Active { advertise_at: after(1000) };
    let stubborn = || Parameters { preemption: Preemption::Refused, ..parameters() };
    let outranked = |priority, by: [u8; 4]| {
        let priority = Priority::from_wire(priority);
        RouterAction::BecameBackup(BecomeBackupCause::Outranked { by: by.into(), priority })
    };
    let contested = |priority, by: [u8; 4]| RouterAction::Contested {
        by: by.into(),
        priority: Priority::from_wire(priority),
    };
    let started = RouterAction::BecameBackup(BecomeBackupCause::Started);
    let own_started =
        [says(Priority::OWNER, Centiseconds::DEFAULT), RouterAction::BecameActive(BecomeActiveCause::Owner)];
    let release = says(Priority::RELEASE, Centiseconds::DEFAULT);
    let silent: &[RouterAction] = &[];

    let mut rows = vec![
        row(
            "6.4.1 start",
            parameters(),
            INITIALIZE,
            Plain(Startup),
            backup_anew(Centiseconds::DEFAULT),
            &[started],
        ),
        row("6.4.1 start of the owner", owner(), INITIALIZE, Plain(Startup), active_anew, &own_started),
        row(
            "stopped, go on where another process was",
            parameters(),
            INITIALIZE,
            Plain(Resume),
            active_anew,
            &[advertise(), RouterAction::Resumed],
        ),
        row("backup, go on", parameters(), BACKUP, Plain(Resume), BACKUP, silent),
        row("active, go on", parameters(), ACTIVE, Plain(Resume), ACTIVE, silent),
        row("stopped, shutdown", parameters(), INITIALIZE, Plain(Shutdown), INITIALIZE, silent),
        row("stopped, release", parameters(), INITIALIZE, Plain(Release), INITIALIZE, silent),
        row("stopped, deadline", parameters(), INITIALIZE, Plain(Deadline), INITIALIZE, silent),
        row(
            "6.4.2 shutdown",
            parameters(),
            BACKUP,
            Plain(Shutdown),
            INITIALIZE,
            &[RouterAction::BecameInitialize],
        ),
        row("backup, start again", parameters(), BACKUP, Plain(Startup), BACKUP, silent),
        row("backup, nothing to release", parameters(), BACKUP, Plain(Release), BACKUP, silent),
        row(
            "6.4.2 active down",
            parameters(),
            BACKUP,
            Plain(Deadline),
            active_anew,
            &[advertise(), RouterAction::BecameActive(BecomeActiveCause::ActiveDown)],
        ),
        row(
            "backup, deadline too early",
            parameters(),
            backup_anew(LEARNED),
            Plain(Deadline),
            backup_anew(LEARNED),
            silent,
        ),
        row("6.4.2 the active releases", parameters(), BACKUP, Heard(0, GREATER), hurried, silent),
        row("6.4.2 higher", parameters(), BACKUP, Heard(101, LESSER), backup_anew(LEARNED), silent),
        row("6.4.2 equal", parameters(), BACKUP, Heard(100, LESSER), backup_anew(LEARNED), silent),
        row("6.4.2 lower, preempting", parameters(), BACKUP, Heard(99, GREATER), BACKUP, silent),
        row(
            "6.4.2 lower, not preempting",
            stubborn(),
            BACKUP,
            Heard(99, LESSER),
            backup_anew(LEARNED),
            silent,
        ),
        row("6.4.3 start again", parameters(), ACTIVE, Plain(Startup), ACTIVE, silent),
        row("6.4.3 advertise", parameters(), ACTIVE, Plain(Deadline), active_anew, &[advertise()]),
        row("active, deadline too early", parameters(), active_anew, Plain(Deadline), active_anew, silent),
        row(
            "6.4.3 shutdown",
            parameters(),
            ACTIVE,
            Plain(Shutdown),
            INITIALIZE,
            &[release, RouterAction::BecameInitialize],
        ),
        row(
            "active, release",
            parameters(),
            ACTIVE,
            Plain(Release),
            backup_anew(Centiseconds::DEFAULT),
            &[release, RouterAction::BecameBackup(BecomeBackupCause::Released)],
        ),
        row(
            "6.4.3 another releases",
            parameters(),
            ACTIVE,
            Heard(0, GREATER),
            active_anew,
            &[advertise(), contested(0, GREATER)],
        ),
        row(
            "6.4.3 higher",
            parameters(),
            ACTIVE,
            Heard(101, LESSER),
            backup_anew(LEARNED),
            &[advertise(), outranked(101, LESSER), RouterAction::Linger],
        ),
        row(
            "6.4.3 equal, greater address",
            parameters(),
            ACTIVE,
            Heard(100, GREATER),
            backup_anew(LEARNED),
            &[advertise(), outranked(100, GREATER), RouterAction::Linger],
        ),
        row(
            "6.4.3 equal, lesser address",
            parameters(),
            ACTIVE,
            Heard(100, LESSER),
            ACTIVE,
            &[advertise(), contested(100, LESSER)],
        ),
        row(
            "6.4.3 lower",
            parameters(),
            ACTIVE,
            Heard(99, GREATER),
            ACTIVE,
            &[advertise(), contested(99, GREATER)],
        ),
        row(
            "6.4.3 higher, not preempting",
            stubborn(),
            ACTIVE,
            Heard(101, LESSER),
            backup_anew(LEARNED),
            &[advertise(), outranked(101, LESSER), RouterAction::Linger],
        ),
    ];
    for priority in [0, 99, 100, 101, 255] {
        rows.push(row(
            "stopped, hearing",
            parameters(),
            INITIALIZE,
            Heard(priority, GREATER),
            INITIALIZE,
            silent,
        ));
        rows.push(row(
            "7.1 the owner discards",
            owner(),
            ACTIVE,
            Heard(priority, GREATER),
            ACTIVE,
            &[contested(priority, GREATER)],
        ));
    }
    rows
}

#[test]
fn every_event_in_every_state_does_what_the_rfc_says() {
    hold(table());
}

fn hold(table: Vec<Row>) {
    for Row { name, parameters, state, event, then, actions } in table {
        let mut router = in_state(parameters, state);
        let done = match event {
            Happening::Plain(event) => router.handle(event, T0),
            Happening::Heard(priority, from) => {
                router.handle(RouterEvent::Heard { advertisement: &heard(priority), from: from.into() }, T0)
            }
        };
        assert_eq!((router.state(), done), (then, actions), "{name}");
    }
}

#[test]
fn a_take_over_says_what_led_to_it() {
    let causes = [
        (None, BecomeActiveCause::ActiveDown),
        (Some(0), BecomeActiveCause::ActiveReleased),
        (Some(99), BecomeActiveCause::Preempting),
        (Some(101), BecomeActiveCause::ActiveDown),
    ];
    for (priority, cause) in causes {
        let mut router = in_state(parameters(), backup_anew(LEARNED));
        if let Some(priority) = priority {
            let advertisement = &heard(priority);
            assert_eq!(router.handle(RouterEvent::Heard { advertisement, from: LESSER.into() }, T0), []);
        }
        let actions = router.handle(RouterEvent::Deadline, router.next_deadline().unwrap());
        assert_eq!(actions, [advertise(), RouterAction::BecameActive(cause)]);
    }
}

#[test]
fn a_second_release_does_not_lengthen_the_wait() {
    let mut router = in_state(parameters(), backup_anew(Centiseconds::DEFAULT));
    let release = heard(0);
    let event = RouterEvent::Heard { advertisement: &release, from: GREATER.into() };
    let _ = router.handle(event, T0);
    let first = router.next_deadline();
    let _ = router.handle(event, after(300));
    assert_eq!(router.next_deadline(), first);
}

#[test]
fn a_release_by_another_than_the_active_heard_last_frees_nothing() {
    let mut router = in_state(parameters(), backup_anew(Centiseconds::DEFAULT));
    let (claim, release) = (heard(150), heard(0));
    let _ = router.handle(RouterEvent::Heard { advertisement: &claim, from: GREATER.into() }, T0);
    let watched = router.next_deadline();
    let _ = router.handle(RouterEvent::Heard { advertisement: &release, from: LESSER.into() }, after(1));
    assert_eq!(router.next_deadline(), watched);

    let _ = router.handle(RouterEvent::Heard { advertisement: &release, from: GREATER.into() }, after(2));
    assert_eq!(router.next_deadline(), Some(after(2) + LEARNED.skew(Version::V3, Priority::DEFAULT)));
}

#[test]
fn an_active_that_wakes_late_advertises_once_and_returns_to_its_grid() {
    let mut router = in_state(parameters(), ACTIVE);
    assert_eq!(router.handle(RouterEvent::Deadline, after(2_300)), [advertise()]);
    assert_eq!(router.next_deadline(), Some(after(3_000)));
}

#[test]
fn a_received_advertisement_that_changes_nothing_leaves_the_sending_timer_alone() {
    let mut router = in_state(parameters(), State::Active { advertise_at: after(700) });
    for priority in [1, 99] {
        let advertisement = &heard(priority);
        let _ = router.handle(RouterEvent::Heard { advertisement, from: GREATER.into() }, after(10));
    }
    assert_eq!(router.next_deadline(), Some(after(700)));
}

#[test]
fn an_active_that_slept_past_its_own_advertisement_yields_without_a_word() {
    let yielding = |milliseconds| {
        let heard = RouterEvent::Heard { advertisement: &heard(101), from: LESSER.into() };
        in_state(parameters(), ACTIVE).handle(heard, after(milliseconds))
    };
    let cause = BecomeBackupCause::Outranked { by: LESSER.into(), priority: Priority::from_wire(101) };
    let became_backup = RouterAction::BecameBackup(cause);
    assert_eq!(yielding(1_001), [became_backup]);
    // One that was only about to advertise still says that it was Active.
    for late in [1, 1_000] {
        assert_eq!(yielding(late), [advertise(), became_backup, RouterAction::Linger], "{late} ms");
    }
}

#[test]
fn an_active_that_slept_until_another_may_have_claimed_yields_to_whoever_has_without_a_word() {
    for (slept, expected) in [
        (1_999, vec![advertise(), contested_by(1)]),
        (2_000, vec![RouterAction::BecameBackup(overslept_by(1))]),
    ] {
        let mut router = in_state(parameters(), ACTIVE);
        let advertisement = &heard(1);
        let actions = router.handle(RouterEvent::Heard { advertisement, from: LESSER.into() }, after(slept));
        assert_eq!(actions, expected, "{slept} ms after it should have advertised");
    }
}

#[test]
fn an_active_that_slept_and_hears_nobody_goes_on() {
    let mut router = in_state(parameters(), ACTIVE);
    assert_eq!(router.handle(RouterEvent::Deadline, after(5_000)), [advertise()]);
    assert_eq!(router.silence_limit(), Some(after(8_000)));
}

#[test]
fn an_active_that_slept_gives_the_role_up_without_a_word() {
    let mut router = in_state(parameters(), ACTIVE);
    let actions = router.handle(RouterEvent::Release, after(2_000));
    assert_eq!(actions, [RouterAction::BecameBackup(BecomeBackupCause::Released)]);
}

fn contested_by(priority: u8) -> RouterAction {
    RouterAction::Contested { by: LESSER.into(), priority: Priority::from_wire(priority) }
}

fn overslept_by(priority: u8) -> BecomeBackupCause {
    BecomeBackupCause::Overslept { by: LESSER.into(), priority: Priority::from_wire(priority) }
}

#[test]
fn version_2_keeps_its_own_interval() {
    let parameters = Parameters { version: Version::V2, ..parameters() };
    let mut router = in_state(parameters, BACKUP);
    let _ = router.handle(RouterEvent::Heard { advertisement: &heard(200), from: GREATER.into() }, T0);
    let State::Backup { learned, .. } = router.state() else {
        panic!("a Backup that hears its Active stays one")
    };
    assert_eq!(learned, Centiseconds::DEFAULT);
}

#[test]
fn a_changed_priority_moves_a_backups_timer_by_the_difference_of_the_skew_times() {
    let mut router = in_state(parameters(), backup_anew(Centiseconds::DEFAULT));
    let raised = Parameters { priority: Priority::new(228).unwrap(), ..parameters() };
    router.reconfigure(raised, after(100));
    let expected = T0 + Centiseconds::DEFAULT.active_down(Version::V3, Priority::new(228).unwrap());
    assert_eq!(router.next_deadline(), Some(expected));
}

#[test]
fn a_shorter_interval_brings_the_next_advertisement_forward_and_a_longer_one_does_not_delay_it() {
    for (interval, expected) in [(10, after(100)), (4000, after(700))] {
        let mut router = in_state(parameters(), State::Active { advertise_at: after(700) });
        router.reconfigure(Parameters { interval: Centiseconds::new(interval), ..parameters() }, T0);
        assert_eq!(router.next_deadline(), Some(expected));
    }
}

#[test]
fn an_active_may_be_silent_for_three_intervals_after_its_last_advertisement() {
    let mut router = in_state(parameters(), INITIALIZE);
    assert_eq!(router.silence_limit(), None);
    let _ = router.handle(RouterEvent::Resume, T0);
    assert_eq!(router.silence_limit(), Some(after(3000)));
    let _ = router.handle(RouterEvent::Deadline, after(1000));
    assert_eq!(router.silence_limit(), Some(after(4000)));
    let _ = router.handle(RouterEvent::Release, after(1100));
    assert_eq!(router.silence_limit(), None);
}

#[test]
fn an_advertisement_says_what_is_configured_besides_the_statement() {
    let router = VirtualRouter::new(parameters());
    let Parameters { vrid, version, interval, addresses, .. } = parameters();
    let expected = Advertisement { version, vrid, priority: Priority::RELEASE, interval, addresses };
    assert_eq!(router.advertisement(router.release()), expected);
}
