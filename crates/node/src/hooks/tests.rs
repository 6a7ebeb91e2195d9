use super::*;
use crate::config::{EngineConfig, HookAction, WebhookUrl};
use crate::name::NodeName;
use crate::report::HookEvent;
use crate::status::{ErrandOutcome, ErrandStatus};

const TIMEOUT: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Instant {
    Instant::from_start(Duration::from_secs(100 + seconds))
}

fn router(name: &str) -> RouterName {
    RouterName::new(name).unwrap()
}

fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

fn hook_name() -> HookName {
    HookName::new("move").unwrap()
}

fn hook(routers: &[&str], groups: &[&str], occasions: &[Occasion]) -> HookConfig {
    HookConfig {
        routers: routers.iter().map(|name| router(name)).collect(),
        groups: groups.iter().map(|name| group(name)).collect(),
        occasions: occasions.iter().copied().collect(),
        action: HookAction::Post(WebhookUrl::new("http://10.0.0.9/").unwrap()),
        timeout: TIMEOUT,
        retry_after: SECOND,
    }
}

fn hooks(hook: HookConfig) -> Hooks {
    Hooks::new(Arc::new(Config {
        node: NodeName::new("lb1").unwrap(),
        peers: BTreeMap::new(),
        engine: EngineConfig::default(),
        virtual_routers: BTreeMap::new(),
        sync_groups: [(group("edge"), [router("web"), router("inside")].into())].into(),
        tracks: BTreeMap::new(),
        virtual_servers: BTreeMap::new(),
        hooks: [(hook_name(), Arc::new(hook))].into(),
    }))
}

fn change(hooks: &mut Hooks, name: &str, occasion: Occasion, now: Instant) -> Vec<HooksOutput> {
    hooks.handle(HooksInput::Changed { router: router(name), occasion, reason: String::new() }, now)
}

fn finish(hooks: &mut Hooks, subject: &Subject, outcome: Result<(), &str>, now: Instant) -> Vec<HooksOutput> {
    let (hook, subject, outcome) = (hook_name(), subject.clone(), outcome.map_err(str::to_owned));
    hooks.handle(HooksInput::Finished { hook, subject, outcome, took: SECOND }, now)
}

fn web() -> Subject {
    Subject::Router(router("web"))
}

/// What is to be run, each with the number of the attempt.
fn runs(outputs: &[HooksOutput]) -> Vec<(Occasion, u32)> {
    let run = |output: &HooksOutput| match output {
        HooksOutput::Run(errand) => Some((errand.occasion, errand.attempt)),
        HooksOutput::Prepared { .. } | HooksOutput::Report(_) => None,
    };
    outputs.iter().filter_map(run).collect()
}

fn prepared(outputs: &[HooksOutput]) -> Vec<RouterName> {
    let prepared = |output: &HooksOutput| match output {
        HooksOutput::Prepared { router } => Some(router.clone()),
        HooksOutput::Run(_) | HooksOutput::Report(_) => None,
    };
    outputs.iter().filter_map(prepared).collect()
}

/// What gave way to what.
fn skips(outputs: &[HooksOutput]) -> Vec<(Occasion, Occasion)> {
    let skip = |output: &HooksOutput| match output {
        HooksOutput::Report(HookReport { occasion, event: HookEvent::Skipped { newer }, .. }) => {
            Some((*occasion, *newer))
        }
        HooksOutput::Report(_) | HooksOutput::Run(_) | HooksOutput::Prepared { .. } => None,
    };
    outputs.iter().filter_map(skip).collect()
}

const USUAL: &[Occasion] = &[Occasion::Active, Occasion::Backup, Occasion::Fault, Occasion::Stop];

#[test]
fn one_runs_at_a_time_and_the_newest_comes_next() {
    let mut hooks = hooks(hook(&["web"], &[], USUAL));
    assert_eq!(runs(&change(&mut hooks, "web", Occasion::Backup, at(0))), [(Occasion::Backup, 1)]);
    assert_eq!(runs(&change(&mut hooks, "web", Occasion::Active, at(1))), []);
    let outputs = change(&mut hooks, "web", Occasion::Fault, at(2));
    assert_eq!((runs(&outputs), skips(&outputs)), (vec![], vec![(Occasion::Active, Occasion::Fault)]));
    assert_eq!(runs(&finish(&mut hooks, &web(), Ok(()), at(3))), [(Occasion::Fault, 1)]);
    assert_eq!(finish(&mut hooks, &web(), Ok(()), at(4)).len(), 1);
    assert!(hooks.is_idle() && hooks.next_deadline().is_none());
}

#[test]
fn what_is_stuck_is_told_once_and_what_comes_next_waits_until_it_is_gone() {
    let mut hooks = hooks(hook(&["web"], &[], USUAL));
    let _ = change(&mut hooks, "web", Occasion::Active, at(0));
    let (hook, subject, reason) = (hook_name(), web(), "still not gone".to_owned());
    let told = hooks.handle(HooksInput::Stuck { hook, subject, reason: reason.clone() }, at(12));
    let event = HookEvent::Stuck { attempt: 1, reason };
    let report = HookReport { hook: hook_name(), subject: web(), occasion: Occasion::Active, event };
    assert_eq!(told, [HooksOutput::Report(report)]);
    assert_stands(&hooks, (Occasion::Active, 1), ErrandOutcome::Stuck, at(12), Some("still not gone"));
    assert!(hooks.is_idle(), "no daemon that ends waits for it");
    assert_eq!(runs(&change(&mut hooks, "web", Occasion::Fault, at(13))), []);
    assert_eq!(runs(&finish(&mut hooks, &web(), Err("timed out"), at(20))), [(Occasion::Fault, 1)]);
    assert!(!hooks.is_idle());
}

#[test]
fn what_fails_is_tried_again_later_and_later_until_it_succeeds() {
    let mut hooks = hooks(hook(&["web"], &[], USUAL));
    let _ = change(&mut hooks, "web", Occasion::Active, at(0));
    let mut now = at(0);
    let mut delays = Vec::new();
    for attempt in 2..=9 {
        assert_eq!(runs(&finish(&mut hooks, &web(), Err("exit code 1"), now)), []);
        let deadline = hooks.next_deadline().unwrap();
        delays.push((deadline - now).as_secs());
        now = deadline;
        assert_eq!(runs(&hooks.handle(HooksInput::Deadline, now)), [(Occasion::Active, attempt)]);
    }
    assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
    let _ = finish(&mut hooks, &web(), Ok(()), now);
    assert_eq!(hooks.next_deadline(), None);
}

#[test]
fn what_is_over_is_not_tried_again_even_by_a_hook_that_is_not_for_what_came() {
    let mut hooks = hooks(hook(&["web"], &[], &[Occasion::Active]));
    let _ = change(&mut hooks, "web", Occasion::Active, at(0));
    let _ = finish(&mut hooks, &web(), Err("exit code 1"), at(0));
    let outputs = change(&mut hooks, "web", Occasion::Backup, at(0));
    assert_eq!(skips(&outputs), [(Occasion::Active, Occasion::Backup)]);
    assert_eq!(hooks.next_deadline(), None);

    let _ = change(&mut hooks, "web", Occasion::Active, at(1));
    let _ = change(&mut hooks, "web", Occasion::Backup, at(1));
    let outputs = finish(&mut hooks, &web(), Err("exit code 1"), at(2));
    assert_eq!(skips(&outputs), [(Occasion::Active, Occasion::Backup)]);
    assert_eq!(hooks.next_deadline(), None);
}

#[test]
fn what_an_active_does_is_done_again_where_it_may_have_been_undone() {
    let (router, by) = (router("web"), [10, 77, 0, 12].into());
    let healed = Report::DualActiveOver { router: router.clone(), by, lasted: Duration::ZERO };
    for report in [healed, Report::HandOverCalledOff { router }] {
        let mut hooks = hooks(hook(&["web"], &[], USUAL));
        let reaffirm = || HooksInput::of(&report).unwrap();
        let _ = change(&mut hooks, "web", Occasion::Active, at(0));
        let _ = finish(&mut hooks, &web(), Ok(()), at(0));
        assert_eq!(runs(&hooks.handle(reaffirm(), at(1))), [(Occasion::Active, 1)]);
        let _ = finish(&mut hooks, &web(), Ok(()), at(2));
        let _ = change(&mut hooks, "web", Occasion::Backup, at(3));
        let _ = finish(&mut hooks, &web(), Ok(()), at(3));
        assert_eq!(hooks.handle(reaffirm(), at(4)), []);
    }
}

#[test]
fn what_a_group_does_that_nobody_took_over_from_is_done_again() {
    let mut hooks = hooks(hook(&[], &["edge"], USUAL));
    let _ = change(&mut hooks, "web", Occasion::Active, at(0));
    assert_eq!(runs(&change(&mut hooks, "inside", Occasion::Active, at(0))), [(Occasion::Active, 1)]);
    let _ = finish(&mut hooks, &Subject::Group(group("edge")), Ok(()), at(0));
    assert_eq!(runs(&change(&mut hooks, "web", Occasion::Active, at(1))), [(Occasion::Active, 1)]);
}

#[test]
fn a_sync_group_is_where_all_of_its_members_are() {
    let mut hooks = hooks(hook(&[], &["edge"], USUAL));
    assert_eq!(change(&mut hooks, "web", Occasion::Backup, at(0)), []);
    assert_eq!(runs(&change(&mut hooks, "inside", Occasion::Backup, at(0))), [(Occasion::Backup, 1)]);
    let edge = Subject::Group(group("edge"));
    let _ = finish(&mut hooks, &edge, Ok(()), at(0));
    assert_eq!(change(&mut hooks, "web", Occasion::Active, at(1)), []);
    assert_eq!(runs(&change(&mut hooks, "inside", Occasion::Active, at(1))), [(Occasion::Active, 1)]);
    let _ = finish(&mut hooks, &edge, Ok(()), at(1));
    assert_eq!(runs(&change(&mut hooks, "inside", Occasion::Fault, at(2))), [(Occasion::Fault, 1)]);
    assert_eq!(change(&mut hooks, "web", Occasion::Fault, at(2)), []);
}

#[test]
fn a_hand_over_waits_for_what_has_to_run_before_and_no_longer_whatever_comes_of_it() {
    let mut hooks = hooks(hook(&["web"], &[], &[Occasion::BeforeRelease]));
    let prepare = |until| HooksInput::Prepare { router: router("web"), until, reason: String::new() };
    let outputs = hooks.handle(prepare(at(10)), at(0));
    assert_eq!((runs(&outputs), prepared(&outputs)), (vec![(Occasion::BeforeRelease, 1)], vec![]));
    let outputs = finish(&mut hooks, &web(), Err("exit code 1"), at(1));
    assert_eq!((runs(&outputs), prepared(&outputs)), (vec![], vec![router("web")]));
    assert_eq!(hooks.next_deadline(), None, "a hand-over is not tried again");
}

#[test]
fn what_members_of_a_group_wait_for_runs_once() {
    let mut hooks = hooks(hook(&[], &["edge"], &[Occasion::BeforeRelease]));
    let prepare = |name| HooksInput::Prepare { router: router(name), until: at(10), reason: String::new() };
    assert_eq!(runs(&hooks.handle(prepare("web"), at(0))).len(), 1);
    assert_eq!(hooks.handle(prepare("inside"), at(0)), []);
    let outputs = finish(&mut hooks, &Subject::Group(group("edge")), Ok(()), at(1));
    assert_eq!(prepared(&outputs), [router("web"), router("inside")]);
}

#[test]
fn a_hook_that_is_removed_is_not_tried_again() {
    let mut hooks = hooks(hook(&["web"], &[], USUAL));
    let _ = change(&mut hooks, "web", Occasion::Active, at(0));
    let _ = finish(&mut hooks, &web(), Err("exit code 1"), at(0));
    let config = Config { hooks: BTreeMap::new(), ..Config::clone(&hooks.config) };
    let _ = hooks.handle(HooksInput::Reload(Arc::new(config)), at(0));
    assert_eq!(hooks.next_deadline(), None);
}

/// What the status says of a hook and the virtual router `web`.
fn standing(hooks: &Hooks) -> Option<ErrandStatus> {
    hooks.status().errands.remove(&(hook_name(), web())).expect("the hook follows it")
}

#[track_caller]
fn assert_stands(
    hooks: &Hooks,
    (occasion, attempt): (Occasion, u32),
    outcome: ErrandOutcome,
    since: Instant,
    error: Option<&str>,
) {
    let error = error.map(str::to_owned);
    assert_eq!(standing(hooks), Some(ErrandStatus { occasion, attempt, outcome, since, error }));
}

#[test]
fn a_hook_that_had_nothing_to_do_yet_is_listed_for_all_that_it_follows() {
    let hooks = hooks(hook(&["web", "inside"], &["edge"], USUAL));
    let subjects = [web(), Subject::Router(router("inside")), Subject::Group(group("edge"))];
    let expected = subjects.map(|subject| ((hook_name(), subject), None)).into();
    assert_eq!(hooks.status().errands, expected);
}

#[test]
fn the_status_follows_an_errand_from_its_first_attempt_to_its_success_and_keeps_its_last_error() {
    let mut hooks = hooks(hook(&["web"], &[], USUAL));
    let _ = change(&mut hooks, "web", Occasion::Active, at(0));
    assert_stands(&hooks, (Occasion::Active, 1), ErrandOutcome::Running, at(0), None);
    let _ = finish(&mut hooks, &web(), Err("exit code 1"), at(2));
    let waiting = ErrandOutcome::Waiting { until: at(3) };
    assert_stands(&hooks, (Occasion::Active, 1), waiting, at(2), Some("exit code 1"));
    let _ = hooks.handle(HooksInput::Deadline, at(3));
    assert_stands(&hooks, (Occasion::Active, 2), ErrandOutcome::Running, at(3), Some("exit code 1"));
    let _ = finish(&mut hooks, &web(), Err("exit code 2"), at(4));
    let waiting = ErrandOutcome::Waiting { until: at(6) };
    assert_stands(&hooks, (Occasion::Active, 2), waiting, at(4), Some("exit code 2"));
    let _ = hooks.handle(HooksInput::Deadline, at(6));
    let _ = finish(&mut hooks, &web(), Ok(()), at(7));
    assert_stands(&hooks, (Occasion::Active, 3), ErrandOutcome::Succeeded, at(7), Some("exit code 2"));
    let _ = change(&mut hooks, "web", Occasion::Backup, at(8));
    assert_stands(&hooks, (Occasion::Backup, 1), ErrandOutcome::Running, at(8), None);
}

#[test]
fn what_is_not_tried_again_has_failed_and_what_came_after_is_not_said_of_a_hook_that_is_not_for_it() {
    let mut hooks = hooks(hook(&["web"], &[], &[Occasion::Active]));
    let _ = change(&mut hooks, "web", Occasion::Active, at(0));
    let _ = finish(&mut hooks, &web(), Err("exit code 1"), at(1));
    let _ = change(&mut hooks, "web", Occasion::Backup, at(1));
    assert_stands(&hooks, (Occasion::Active, 1), ErrandOutcome::Failed, at(1), Some("exit code 1"));

    let _ = change(&mut hooks, "web", Occasion::Active, at(2));
    let _ = change(&mut hooks, "web", Occasion::Backup, at(3));
    assert_stands(&hooks, (Occasion::Active, 1), ErrandOutcome::Running, at(2), None);
    let _ = finish(&mut hooks, &web(), Err("exit code 2"), at(4));
    assert_stands(&hooks, (Occasion::Active, 1), ErrandOutcome::Failed, at(4), Some("exit code 2"));

    let _ = change(&mut hooks, "web", Occasion::Active, at(5));
    let _ = change(&mut hooks, "web", Occasion::Backup, at(6));
    let _ = finish(&mut hooks, &web(), Ok(()), at(7));
    assert_stands(&hooks, (Occasion::Active, 1), ErrandOutcome::Succeeded, at(7), None);
    let _ = change(&mut hooks, "web", Occasion::Fault, at(8));
    assert_stands(&hooks, (Occasion::Active, 1), ErrandOutcome::Succeeded, at(7), None);
}

#[test]
fn what_waits_for_its_turn_is_said_once_it_runs_in_place_of_what_failed() {
    let mut hooks = hooks(hook(&["web"], &[], USUAL));
    let _ = change(&mut hooks, "web", Occasion::Active, at(0));
    let _ = change(&mut hooks, "web", Occasion::Backup, at(1));
    assert_stands(&hooks, (Occasion::Active, 1), ErrandOutcome::Running, at(0), None);
    let _ = finish(&mut hooks, &web(), Err("exit code 1"), at(2));
    assert_stands(&hooks, (Occasion::Backup, 1), ErrandOutcome::Running, at(2), None);
    let _ = finish(&mut hooks, &web(), Err("exit code 2"), at(3));
    let _ = change(&mut hooks, "web", Occasion::Active, at(3));
    assert_stands(&hooks, (Occasion::Active, 1), ErrandOutcome::Running, at(3), None);
}

#[test]
fn what_a_hand_over_waited_for_has_failed_at_once_also_where_it_was_never_begun() {
    let mut hooks = hooks(hook(&["web"], &[], &[Occasion::BeforeRelease]));
    let prepare = |until| HooksInput::Prepare { router: router("web"), until, reason: String::new() };
    let _ = hooks.handle(prepare(at(10)), at(0));
    let _ = finish(&mut hooks, &web(), Err("exit code 1"), at(1));
    assert_stands(&hooks, (Occasion::BeforeRelease, 1), ErrandOutcome::Failed, at(1), Some("exit code 1"));
    let _ = hooks.handle(prepare(at(2)), at(2));
    let late = "what had to end before took until nobody waited any more";
    assert_stands(&hooks, (Occasion::BeforeRelease, 1), ErrandOutcome::Failed, at(2), Some(late));
}

#[test]
fn a_hook_that_is_removed_is_in_the_status_no_more_and_one_that_stays_is() {
    let mut hooks = hooks(hook(&["web", "inside"], &[], USUAL));
    let _ = change(&mut hooks, "web", Occasion::Active, at(0));
    let mut config = Config::clone(&hooks.config);
    config.hooks = [(hook_name(), Arc::new(hook(&["web"], &[], USUAL)))].into();
    let _ = hooks.handle(HooksInput::Reload(Arc::new(config.clone())), at(1));
    assert_stands(&hooks, (Occasion::Active, 1), ErrandOutcome::Running, at(0), None);
    assert_eq!(hooks.status().errands.len(), 1);
    config.hooks.clear();
    let _ = hooks.handle(HooksInput::Reload(Arc::new(config)), at(2));
    assert_eq!(hooks.status(), HooksStatus::default());
}
