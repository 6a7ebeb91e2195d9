//! What a hand-over waits for, and for how long.

use super::*;
use crate::config::{HookAction, HookConfig, Occasion, WebhookUrl};
use crate::name::HookName;
use crate::status::{HandOver, HandOverOutcome};

const BOUND: Duration = Duration::from_millis(800);

pub(super) fn with_hook(config: &Arc<Config>, name: &str) -> Routers {
    let hook = HookConfig {
        routers: [router(name)].into(),
        groups: BTreeSet::new(),
        occasions: [Occasion::BeforeRelease].into(),
        action: HookAction::Post(WebhookUrl::new("http://10.0.0.9/").unwrap()),
        timeout: BOUND,
        retry_after: Duration::from_secs(1),
    };
    let hooks = [(HookName::new("drain").unwrap(), Arc::new(hook))].into();
    started(Arc::new(Config { hooks, ..Config::clone(config) }))
}

fn alone() -> Routers {
    let mut routers = with_hook(&one().config, "web");
    let _ = run_until(&mut routers, at(3_700));
    routers
}

fn asked(outputs: &[RoutersOutput]) -> Vec<(&str, Instant)> {
    let asked = |output| match output {
        &RoutersOutput::Prepare { ref router, until, .. } => Some((router.as_str(), until)),
        RoutersOutput::Send(_)
        | RoutersOutput::Announce(_)
        | RoutersOutput::Introduce(_)
        | RoutersOutput::Solicit(_)
        | RoutersOutput::RolesChanged
        | RoutersOutput::Report(_)
        | RoutersOutput::Exit => None,
    };
    outputs.iter().filter_map(asked).collect()
}

fn prepared(name: &str) -> RoutersInput<'static> {
    RoutersInput::Prepared { router: router(name) }
}

#[test]
fn a_role_is_released_when_its_hooks_have_run() {
    let mut routers = alone();
    let outputs = routers.handle(RoutersInput::Shutdown, at(3_750));
    assert_eq!(asked(&outputs), [("web", at(3_750) + BOUND)]);
    assert_eq!((sent(&outputs), state(&routers, "web")), (vec![], RouterState::Active));
    let outputs = routers.handle(prepared("web"), at(3_900));
    assert_eq!(sent(&outputs), [Priority::DEFAULT, Priority::RELEASE]);
    assert_eq!(state(&routers, "web"), RouterState::Leaving);
    let outputs = run_until(&mut routers, at(6_000));
    assert!(outputs.contains(&RoutersOutput::Exit));
}

#[test]
fn a_role_is_released_after_its_time_whatever_its_hooks_do() {
    let mut routers = alone();
    let _ = routers.handle(RoutersInput::Pass { routers: [router("web")].into(), until: None }, at(3_750));
    let before = run_until(&mut routers, at(3_750 + 799));
    assert!(!sent(&before).contains(&Priority::RELEASE));
    assert_eq!(state(&routers, "web"), RouterState::Active);
    let outputs = run_until(&mut routers, at(3_750) + BOUND);
    assert!(sent(&outputs).contains(&Priority::RELEASE), "{outputs:?}");
    assert!(routers.handle(prepared("web"), at(5_000)).is_empty(), "it comes too late to matter");
}

#[test]
fn a_pass_that_is_called_off_while_its_hooks_run_hands_nothing_over_and_a_stop_is_not_called_off() {
    let routers = BTreeSet::from([router("web")]);
    let pass = || RoutersInput::Pass { routers: routers.clone(), until: None };
    let release = || RoutersInput::Return { routers: routers.clone() };
    let mut passed = alone();
    assert_eq!(asked(&passed.handle(pass(), at(3_750))).len(), 1);
    let called_off = passed.handle(release(), at(3_800));
    assert!(reports(&called_off).contains(&&Report::HandOverCalledOff { router: router("web") }));
    let status = &passed.status().virtual_routers["web"];
    let outcome = HandOverOutcome::CalledOff;
    assert_eq!(status.hand_over, Some(HandOver { since: at(3_800), outcome }));
    assert_eq!(status.reason, alone().status().virtual_routers["web"].reason);
    assert_eq!(sent(&passed.handle(prepared("web"), at(3_900))), []);
    let outputs = run_until(&mut passed, at(6_000));
    assert!(!sent(&outputs).contains(&Priority::RELEASE), "{outputs:?}");
    assert_eq!(state(&passed, "web"), RouterState::Active);

    for [first, second] in [[pass(), RoutersInput::Shutdown], [RoutersInput::Shutdown, pass()]] {
        let mut stopped = alone();
        let _ = stopped.handle(first, at(3_750));
        let _ = stopped.handle(second, at(3_760));
        let _ = stopped.handle(release(), at(3_800));
        let _ = stopped.handle(prepared("web"), at(3_900));
        assert_eq!(state(&stopped, "web"), RouterState::Leaving);
        assert!(run_until(&mut stopped, at(6_000)).contains(&RoutersOutput::Exit));
    }
}

#[test]
fn whoever_says_stop_twice_does_not_wait_for_hooks_either() {
    let mut routers = alone();
    let _ = routers.handle(RoutersInput::Shutdown, at(3_750));
    let outputs = routers.handle(RoutersInput::Shutdown, at(3_751));
    assert!(outputs.contains(&RoutersOutput::Exit), "{outputs:?}");
    assert_eq!(routers.next_deadline(), None);
}

#[test]
fn a_node_that_stops_and_is_outranked_while_its_hooks_run_ends() {
    let mut routers = alone();
    let _ = routers.handle(RoutersInput::Shutdown, at(3_750));
    let outputs = hear(&mut routers, &advertisement(51, 200), at(3_800));
    assert!(outputs.contains(&RoutersOutput::Exit), "{outputs:?}");
    assert!(routers.roles().held.is_empty());
}

#[test]
fn a_group_is_released_together_when_the_hooks_of_all_have_run() {
    let mut routers = with_hook(&pair().config, "web");
    let _ = run_until(&mut routers, at(3_700));
    let outputs = routers.handle(RoutersInput::Shutdown, at(3_750));
    assert_eq!(asked(&outputs).len(), 2);
    assert_eq!(sent(&routers.handle(prepared("inside"), at(3_800))), []);
    assert_eq!(state(&routers, "inside"), RouterState::Active);
    let outputs = routers.handle(prepared("web"), at(3_900));
    assert_eq!(sent(&outputs).iter().filter(|priority| **priority == Priority::RELEASE).count(), 2);
}

/// Whoever takes over what cannot be heard any more is held back by what still advertises.
#[test]
fn a_group_of_which_a_part_cannot_be_heard_waits_for_no_hooks() {
    let inside = VirtualRouterConfig { interface: interface("eth1"), ..virtual_router(52, 1) };
    let config = config(&[("inside", inside), ("web", virtual_router(51, 50))], &["inside", "web"]);
    let pass = RoutersInput::Pass { routers: [router("web")].into(), until: None };
    for before in [None, Some(pass), Some(RoutersInput::Shutdown)] {
        let mut routers = with_hook(&config, "inside");
        let state_of = |state| RoutersInput::Link(LinkEvent { interface: interface("eth1"), state });
        let _ = routers.handle(state_of(Some(link(&[OWN]))), at(0));
        let _ = run_until(&mut routers, at(3_700));
        if let Some(before) = before {
            assert_eq!(asked(&routers.handle(before, at(3_740))).len(), 2);
        }
        let outputs = routers.handle(link_event(None), at(3_750));
        assert_eq!(asked(&outputs), []);
        assert_eq!(state(&routers, "inside"), RouterState::Leaving);
    }
}

/// That its kernel refuses addresses, which is for hooks to hear of, does not hide that it has no voice any more.
#[test]
fn a_role_that_goes_for_a_refused_address_waits_for_no_hooks_once_its_interface_is_gone() {
    let mut routers = alone();
    let _ = routers.handle(refused(50), at(3_700));
    let outputs = run_until(&mut routers, at(4_700));
    assert_eq!(asked(&outputs), [("web", at(4_700) + BOUND)]);
    let _ = routers.handle(link_event(None), at(4_800));
    assert_eq!(state(&routers, "web"), RouterState::Fault);
    assert!(routers.roles().held.is_empty());
}
