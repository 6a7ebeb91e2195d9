//! What the next daemon makes of what the one before it left.

use super::*;
use crate::config::AcceptMode;
use crate::legacy::Legacy;

/// What a daemon leaves that dies now.
fn left_by(routers: &Routers) -> Legacy {
    Legacy {
        began: routers.began(),
        virtual_routers: routers.legacy(),
        silence: routers.silence(),
        verdicts: BTreeMap::new(),
    }
}

/// The next daemon of the same configuration, and what its start brings about.
fn next(config: Arc<Config>, legacy: &Legacy, now: Instant) -> (Routers, Vec<RoutersOutput>) {
    let mut routers = Routers::new(config, now);
    routers.inherit(legacy);
    let _ = routers.handle(link_event(Some(link(&[OWN]))), now);
    let outputs = routers.handle(RoutersInput::Start, now);
    (routers, outputs)
}

fn one_config() -> Arc<Config> {
    config(&[("web", virtual_router(51, 50))], &[])
}

#[test]
fn an_active_advertises_on_at_once_with_its_addresses_and_its_past() {
    let mut before = one();
    let _ = run_until(&mut before, at(5_000));
    let (mut after, outputs) = next(one_config(), &left_by(&before), at(5_300));
    assert_eq!(sent(&outputs), [Priority::DEFAULT]);
    assert_eq!(reports(&outputs), [&Report::RoleAdopted { router: router("web") }]);
    assert_eq!(after.roles(), before.roles());
    let [then, now] = [&before, &after].map(|routers| routers.status().virtual_routers["web"].clone());
    assert_eq!((then.state, then.since, then.reason), (now.state, now.since, now.reason));
    assert_eq!(sent(&run_until(&mut after, at(6_000))), [Priority::DEFAULT]);
}

#[test]
fn whoever_comes_when_others_may_have_claimed_begins_as_a_backup() {
    let mut before = one();
    let _ = run_until(&mut before, at(5_000));
    let legacy = left_by(&before);
    let limit = legacy.silence.unwrap().limit;
    assert!(limit > at(7_000) && limit <= at(8_000), "{limit:?}");
    let (after, outputs) = next(one_config(), &legacy, limit);
    assert_eq!(sent(&outputs), []);
    assert_eq!(state(&after, "web"), RouterState::Backup);
}

#[test]
fn a_backup_leaves_nothing_but_when_it_began() {
    let legacy = left_by(&one());
    assert_eq!(legacy, Legacy { began: Some(at(0)), ..Legacy::default() });
    let (after, _) = next(one_config(), &legacy, at(100));
    assert_eq!(state(&after, "web"), RouterState::Backup);
}

#[test]
fn what_was_passed_on_stays_away_in_the_next_daemon_too() {
    let mut before = one();
    let until = Some(at(60_000));
    let passed = RoutersInput::Pass { routers: BTreeSet::from([router("web")]), until };
    let _ = before.handle(passed, at(100));
    let (mut after, _) = next(one_config(), &left_by(&before), at(200));
    assert_eq!(after.status().virtual_routers["web"].away.map(|away| away.until), Some(until));
    for moment in (1_000..59_000).step_by(1_000) {
        let _ = hear(&mut after, &advertisement(51, 1), at(moment));
    }
    assert_eq!(state(&after, "web"), RouterState::Backup);
    let outputs = after.handle(RoutersInput::Deadline, at(60_000));
    assert!(reports(&outputs).contains(&&Report::ComesBack { router: router("web") }), "{outputs:?}");
}

/// What drops packets stands whatever the roles are: it was wanted before, and the addresses with it no more.
#[test]
fn nothing_is_wanted_before_the_start_as_it_is_not_known_which_roles_are_taken_up() {
    let closed = VirtualRouterConfig { accept: AcceptMode::Off, ..virtual_router(51, 50) };
    let mut routers = Routers::new(config(&[("web", closed)], &[]), at(0));
    assert_eq!(routers.handle(link_event(Some(link(&[OWN]))), at(0)), []);
    let outputs = routers.handle(RoutersInput::Start, at(0));
    assert!(outputs.contains(&RoutersOutput::RolesChanged), "{outputs:?}");
}

#[test]
fn the_members_of_a_sync_group_go_on_together() {
    let mut before = pair();
    let _ = run_until(&mut before, at(5_000));
    let config =
        config(&[("web", virtual_router(51, 50)), ("inside", virtual_router(52, 1))], &["inside", "web"]);
    let (after, _) = next(config, &left_by(&before), at(5_100));
    assert_eq!([state(&after, "web"), state(&after, "inside")], [RouterState::Active; 2]);
}

#[test]
fn the_last_will_is_what_a_hand_over_would_say() {
    let mut routers = one();
    let _ = run_until(&mut routers, at(5_000));
    let will = routers.legacy().remove("web").unwrap().role.unwrap().last_will;
    let handed_over = routers.handle(RoutersInput::Shutdown, at(5_000));
    let said: Vec<_> = will.into_iter().map(|word| RoutersOutput::Send(Arc::new(word))).collect();
    assert_eq!(said.len(), 2);
    assert!(handed_over.starts_with(&said), "{handed_over:?}");
}

#[test]
fn it_is_left_how_long_the_heirs_that_there_are_may_take() {
    let within = |peers: &[&str]| {
        let peers = peers.iter().map(|name| (NodeName::new(name).unwrap(), BTreeSet::new())).collect();
        let mut routers = started(Arc::new(Config { peers, ..(*one_config()).clone() }));
        let _ = run_until(&mut routers, at(5_000));
        let role = routers.legacy().remove("web").unwrap().role.unwrap();
        role.succeeded_within.as_millis()
    };
    assert_eq!((within(&["lb2"]), within(&["lb2", "lb3"])), (59, 149));
}

#[test]
fn a_node_has_to_speak_a_quarter_of_an_interval_before_others_may_claim() {
    let mut routers = one();
    assert_eq!(routers.silence(), None);
    let _ = run_until(&mut routers, at(5_000));
    let Silence { limit, speak_by } = routers.silence().unwrap();
    let margin = limit - speak_by;
    assert_eq!(margin, Duration::from_millis(250));
}
