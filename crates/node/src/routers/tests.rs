mod asking;
mod authentication;
mod closing;
mod fighting;
mod handing_over;
mod hearing;
mod inheriting;
mod introducing;
mod lingering;
mod preparing;
mod reception;
mod reloading;
mod rivals;
mod tracking;
mod virtual_mac;

use std::time::Duration;

use vrrp::{
    Advertisement, Authentication, BecomeActiveCause, Centiseconds, ChecksumStyle, Family, MacAddress,
    Preemption, Priority, Restraint, Version, Vrid,
};

use super::*;
use crate::config::{AcceptMode, Announcements, EngineConfig, Transport, VirtualRouterConfig};
use crate::host_state::FirstWord;
use crate::name::NodeName;
use crate::plan::{Change, Step};
use crate::reconciliation::{Refusal, RefusalKind, Said};
use crate::status::{Delay, DelayKind, RouterState};

const OWN: [u8; 4] = [10, 77, 0, 11];
const PEER: [u8; 4] = [10, 77, 0, 12];
const GROUP_ADDRESS: IpAddr = IpAddr::V4(vrrp::MULTICAST_V4);

fn at(milliseconds: u64) -> Instant {
    Instant::from_start(Duration::from_millis(100_000 + milliseconds))
}

fn interface(name: &str) -> InterfaceName {
    InterfaceName::new(name).unwrap()
}

fn router(name: &str) -> RouterName {
    RouterName::new(name).unwrap()
}

fn virtual_address(last: u8) -> InterfaceAddress {
    InterfaceAddress::new(interface("eth0"), [10, 77, 0, last].into(), 24)
}

fn virtual_router(vrid: u32, last: u8) -> VirtualRouterConfig {
    VirtualRouterConfig {
        interface: interface("eth0"),
        vrid: Vrid::new(vrid).unwrap(),
        version: Version::V3,
        family: Family::V4,
        priority: Priority::DEFAULT,
        interval: Centiseconds::DEFAULT,
        preemption: Preemption::Allowed,
        restraint: Restraint::default(),
        start_delay: Duration::ZERO,
        checksum: ChecksumStyle::MessageOnly,
        transport: Transport::Multicast { source: None },
        authentication: Authentication::None,
        addresses: vec![virtual_address(last)],
        unadvertised: Vec::new(),
        accept: AcceptMode::On,
        device: None,
        routes: Vec::new(),
        rules: Vec::new(),
        announcements: Announcements {
            burst: 5,
            repeat_after: Duration::from_secs(5),
            refresh: Duration::from_mins(1),
        },
        tracks: BTreeSet::new(),
    }
}

fn config(routers: &[(&str, VirtualRouterConfig)], group: &[&str]) -> Arc<Config> {
    let members: BTreeSet<_> = group.iter().map(|name| router(name)).collect();
    let edge = (GroupName::new("edge").unwrap(), members);
    Arc::new(Config {
        node: NodeName::new("lb1").unwrap(),
        peers: BTreeMap::new(),
        engine: EngineConfig::default(),
        hooks: BTreeMap::new(),
        virtual_routers: routers
            .iter()
            .map(|(name, config)| (router(name), Arc::new(config.clone())))
            .collect(),
        sync_groups: [edge].into_iter().filter(|(_, members)| !members.is_empty()).collect(),
        tracks: BTreeMap::new(),
        virtual_servers: BTreeMap::new(),
    })
}

fn link(addresses: &[[u8; 4]]) -> LinkState {
    LinkState {
        index: 2,
        is_up: true,
        mac: Some(MacAddress([2, 0, 0, 0, 0, 11])),
        primary_v4: addresses.first().map(|octets| (*octets).into()),
        link_local: None,
        addresses: addresses.iter().map(|octets| IpAddr::from(*octets)).collect(),
    }
}

fn link_event(state: Option<LinkState>) -> RoutersInput<'static> {
    RoutersInput::Link(LinkEvent { interface: interface("eth0"), state })
}

fn started(config: Arc<Config>) -> Routers {
    let mut routers = Routers::new(config, at(0));
    let _ = routers.handle(link_event(Some(link(&[OWN]))), at(0));
    let _ = routers.handle(RoutersInput::Start, at(0));
    routers
}

fn one() -> Routers {
    started(config(&[("web", virtual_router(51, 50))], &[]))
}

fn pair() -> Routers {
    started(config(&[("web", virtual_router(51, 50)), ("inside", virtual_router(52, 1))], &["inside", "web"]))
}

/// Lets all deadlines pass and returns everything that comes of it.
fn run_until(routers: &mut Routers, end: Instant) -> Vec<RoutersOutput> {
    let mut outputs = Vec::new();
    while let Some(deadline) = routers.next_deadline().filter(|deadline| *deadline <= end) {
        outputs.extend(routers.handle(RoutersInput::Deadline, deadline));
    }
    outputs
}

fn advertisement(vrid: u32, priority: u8) -> Advertisement {
    Advertisement {
        version: Version::V3,
        vrid: Vrid::new(vrid).unwrap(),
        priority: Priority::from_wire(priority),
        interval: Centiseconds::DEFAULT,
        addresses: vec![virtual_address(if vrid == 51 { 50 } else { 1 }).address],
    }
}

fn hear(routers: &mut Routers, said: &Advertisement, now: Instant) -> Vec<RoutersOutput> {
    let payload = said.emit(PEER.into(), GROUP_ADDRESS, ChecksumStyle::MessageOnly);
    hear_bytes(routers, &payload, 255, now)
}

fn hear_bytes(routers: &mut Routers, payload: &[u8], hop_limit: u8, now: Instant) -> Vec<RoutersOutput> {
    hear_bytes_from(routers, PEER, payload, hop_limit, now)
}

fn hear_bytes_from(
    routers: &mut Routers,
    source: [u8; 4],
    payload: &[u8],
    hop_limit: u8,
    now: Instant,
) -> Vec<RoutersOutput> {
    let (interface, source) = (&interface("eth0"), source.into());
    let datagram = Datagram { interface, source, destination: GROUP_ADDRESS, hop_limit, payload };
    routers.handle(RoutersInput::Datagram(datagram), now)
}

fn taken(addresses: &[InterfaceAddress]) -> RoutersInput<'static> {
    let taken = addresses.iter().map(|address| (address.clone(), Said::Nothing)).collect();
    RoutersInput::Reconciled(Reconciliation { taken, ..Reconciliation::default() })
}

fn refused(last: u8) -> RoutersInput<'static> {
    let refusal = Refusal {
        change: Change::Address(Step::Take, virtual_address(last)),
        kind: RefusalKind::Kernel,
        reason: "out of memory".to_owned(),
    };
    RoutersInput::Reconciled(Reconciliation { refused: vec![refusal], ..Reconciliation::default() })
}

fn state(routers: &Routers, name: &str) -> RouterState {
    routers.status().virtual_routers[name].state
}

fn reports(outputs: &[RoutersOutput]) -> Vec<&Report> {
    outputs
        .iter()
        .filter_map(|output| match output {
            RoutersOutput::Report(report) => Some(report),
            RoutersOutput::Send(_)
            | RoutersOutput::Announce(_)
            | RoutersOutput::Introduce(_)
            | RoutersOutput::Solicit(_)
            | RoutersOutput::RolesChanged
            | RoutersOutput::Prepare { .. }
            | RoutersOutput::Exit => None,
        })
        .collect()
}

fn sent(outputs: &[RoutersOutput]) -> Vec<Priority> {
    outputs
        .iter()
        .filter_map(|output| match output {
            RoutersOutput::Send(sent) => {
                let Transmission { source, destination, payload, .. } = &**sent;
                Some(Advertisement::parse(payload, *source, *destination).unwrap().advertisement.priority)
            }
            RoutersOutput::Report(_)
            | RoutersOutput::Announce(_)
            | RoutersOutput::Introduce(_)
            | RoutersOutput::Solicit(_)
            | RoutersOutput::RolesChanged
            | RoutersOutput::Prepare { .. }
            | RoutersOutput::Exit => None,
        })
        .collect()
}

fn announced(outputs: &[RoutersOutput]) -> usize {
    announcement_counts(outputs).len()
}

fn announcement_counts(outputs: &[RoutersOutput]) -> Vec<u8> {
    let count = |output: &RoutersOutput| {
        if let RoutersOutput::Announce(announcement) = output { Some(announcement.count) } else { None }
    };
    outputs.iter().filter_map(count).collect()
}

#[test]
fn a_lone_node_becomes_active_and_wants_its_addresses() {
    let mut routers = one();
    assert_eq!(state(&routers, "web"), RouterState::Backup);
    let outputs = run_until(&mut routers, at(3_700));
    let report = Report::BecameActive { router: router("web"), cause: BecomeActiveCause::ActiveDown };
    assert_eq!(reports(&outputs), [&report]);
    assert_eq!(sent(&outputs), [Priority::DEFAULT]);
    assert!(outputs.contains(&RoutersOutput::RolesChanged));
    assert_eq!(routers.roles().held[&router("web")].addresses, [virtual_address(50)]);
}

#[test]
fn an_address_is_announced_when_the_kernel_has_it_and_again_on_schedule_while_active() {
    let mut routers = one();
    let _ = run_until(&mut routers, at(3_700));
    let counts = announcement_counts;
    assert_eq!(counts(&routers.handle(taken(&[virtual_address(50)]), at(3_700))), [5]);
    assert_eq!(counts(&run_until(&mut routers, at(8_699))), []);
    assert_eq!(counts(&run_until(&mut routers, at(8_700))), [5]);
    assert_eq!(counts(&run_until(&mut routers, at(68_700))), [1]);
    let left = Reconciliation { left: vec![virtual_address(50)], ..Reconciliation::default() };
    let _ = routers.handle(RoutersInput::Reconciled(left), at(68_701));
    assert_eq!(counts(&run_until(&mut routers, at(200_000))), []);
}

#[test]
fn what_was_said_when_an_address_was_taken_is_the_first_of_its_burst() {
    let mut routers = one();
    let _ = run_until(&mut routers, at(3_700));
    assert_eq!(routers.roles().held[&router("web")].first_word, FirstWord::AtOnce);
    let taken_and_announced = [(virtual_address(50), Said::Once)].into();
    let outcome = Reconciliation { taken: taken_and_announced, ..Reconciliation::default() };
    assert_eq!(announcement_counts(&routers.handle(RoutersInput::Reconciled(outcome), at(3_700))), [4]);
    assert_eq!(announcement_counts(&run_until(&mut routers, at(8_700))), [5]);
    assert_eq!(announcement_counts(&routers.handle(taken(&[virtual_address(50)]), at(8_800))), [5]);
}

#[test]
fn nothing_is_said_of_what_a_leaving_node_takes() {
    let mut routers = one();
    let _ = run_until(&mut routers, at(3_700));
    let _ = routers.handle(RoutersInput::Shutdown, at(3_800));
    assert_eq!(state(&routers, "web"), RouterState::Leaving);
    assert_eq!(routers.roles().held[&router("web")].first_word, FirstWord::Withheld);
}

#[test]
fn a_backup_whose_kernel_is_slow_announces_nothing_and_an_active_again_at_once() {
    let mut routers = one();
    let _ = run_until(&mut routers, at(3_700));
    let _ = routers.handle(taken(&[virtual_address(50)]), at(3_700));
    assert_eq!(announced(&hear(&mut routers, &advertisement(51, 200), at(3_800))), 0);
    let outputs = run_until(&mut routers, at(30_000));
    assert_eq!(state(&routers, "web"), RouterState::Active);
    // At 7.4 s, with the role; the second burst 5 s later; nothing at 8.7 s, when it would have been due before.
    assert_eq!(announced(&outputs), 2);
}

#[test]
fn who_wins_a_contest_draws_the_traffic_back_but_not_more_often_than_it_advertises() {
    let mut routers = one();
    let _ = run_until(&mut routers, at(3_700));
    let _ = routers.handle(taken(&[virtual_address(50)]), at(3_700));
    let _ = run_until(&mut routers, at(5_999));
    let mut lower = |at| announced(&hear(&mut routers, &advertisement(51, 50), at));
    assert_eq!([lower(at(6_000)), lower(at(6_001)), lower(at(6_999))], [1, 0, 0]);
    // Those that came too early are answered together.
    assert_eq!(announced(&run_until(&mut routers, at(7_000))), 1);
}

#[test]
fn who_hears_another_active_leave_draws_the_traffic_back_and_tells_of_no_second_active() {
    let mut routers = one();
    let _ = run_until(&mut routers, at(3_700));
    let _ = routers.handle(taken(&[virtual_address(50)]), at(3_700));
    let outputs = hear(&mut routers, &advertisement(51, 0), at(6_000));
    assert_eq!(announced(&outputs), 1);
    assert_eq!(reports(&outputs), <[&Report; 0]>::default());
}

#[test]
fn a_sync_group_claims_when_the_last_of_its_members_may() {
    let mut routers = pair();
    let _ = hear(&mut routers, &advertisement(52, 200), at(1_000));
    let before = run_until(&mut routers, at(4_600));
    assert_eq!((reports(&before), state(&routers, "web")), (vec![], RouterState::Backup));
    let outputs = run_until(&mut routers, at(4_610));
    assert_eq!(sent(&outputs), [Priority::DEFAULT; 2]);
    assert_eq!(
        (state(&routers, "web"), state(&routers, "inside")),
        (RouterState::Active, RouterState::Active)
    );
}

#[test]
fn one_member_that_is_outranked_takes_its_sync_group_along() {
    let mut routers = pair();
    let _ = run_until(&mut routers, at(3_700));
    let outputs = hear(&mut routers, &advertisement(51, 200), at(3_800));
    assert_eq!(
        sent(&outputs),
        [Priority::DEFAULT, Priority::RELEASE],
        "its last word, and the other member leaves"
    );
    assert_eq!(
        (state(&routers, "web"), state(&routers, "inside")),
        (RouterState::Backup, RouterState::Backup)
    );
    assert_eq!(routers.roles().held.len(), 2, "the winner advertises before it has the addresses");
    let _ = run_until(&mut routers, at(3_850));
    assert!(routers.roles().held.is_empty());
}

#[test]
fn a_link_that_goes_down_ends_the_role_and_comes_back_as_a_backup() {
    let mut routers = pair();
    let _ = run_until(&mut routers, at(3_700));
    let down = LinkState { is_up: false, ..link(&[OWN]) };
    let outputs = routers.handle(link_event(Some(down)), at(3_750));
    assert_eq!(sent(&outputs), [Priority::RELEASE; 2]);
    assert_eq!((state(&routers, "web"), routers.roles().held.len()), (RouterState::Fault, 0));
    let outputs = routers.handle(link_event(Some(link(&[OWN]))), at(4_000));
    let recovered: Vec<_> = reports(&outputs)
        .into_iter()
        .filter(|report| matches!(report, Report::RouterRecovered { .. }))
        .collect();
    assert_eq!((recovered.len(), state(&routers, "web")), (2, RouterState::Backup));
}

#[test]
fn each_reason_not_to_take_part_is_named_and_goes_away_by_itself() {
    let cases = [
        (None, "interface_missing"),
        (Some(LinkState { is_up: false, ..link(&[OWN]) }), "interface_down"),
        (Some(link(&[])), "no_source"),
        (Some(link(&[OWN, [10, 77, 0, 50]])), "address_foreign"),
    ];
    for (state_of_link, reason) in cases {
        let mut routers = one();
        let outputs = routers.handle(link_event(state_of_link), at(10));
        let [Report::RouterFaulted { fault, .. }] = reports(&outputs)[..] else { panic!("{outputs:?}") };
        assert_eq!((fault.reason(), state(&routers, "web")), (reason, RouterState::Fault));
        let _ = routers.handle(link_event(Some(link(&[OWN]))), at(20));
        assert_eq!(state(&routers, "web"), RouterState::Backup);
    }
}

#[test]
fn a_changed_source_address_is_used_without_leaving_the_role() {
    let mut routers = one();
    let _ = run_until(&mut routers, at(3_700));
    assert_eq!(routers.handle(link_event(Some(link(&[[10, 77, 0, 21]]))), at(3_750)), []);
    let outputs = run_until(&mut routers, at(4_700));
    let is_from_there = |output: &RoutersOutput| matches!(output, RoutersOutput::Send(transmission) if transmission.source == IpAddr::from([10, 77, 0, 21]));
    assert!(!outputs.is_empty() && outputs.iter().all(is_from_there), "{outputs:?}");
}

#[test]
fn an_active_whose_address_the_kernel_keeps_refusing_gives_the_role_up_and_tries_again_later() {
    let mut routers = one();
    let _ = run_until(&mut routers, at(3_700));
    let _ = routers.handle(refused(50), at(3_700));
    let _ = routers.handle(taken(&[virtual_address(50)]), at(4_000));
    let _ = run_until(&mut routers, at(6_000));
    assert_eq!(state(&routers, "web"), RouterState::Active, "it was given in time");

    let _ = routers.handle(refused(50), at(6_000));
    let outputs = run_until(&mut routers, at(7_000));
    assert_eq!(sent(&outputs).last(), Some(&Priority::RELEASE));
    assert_eq!(state(&routers, "web"), RouterState::Leaving, "somebody else may want it");
    let _ = run_until(&mut routers, at(8_100));
    assert_eq!(state(&routers, "web"), RouterState::Fault);
    let _ = run_until(&mut routers, at(36_999));
    assert_eq!(state(&routers, "web"), RouterState::Fault);
    let _ = run_until(&mut routers, at(37_000));
    assert_eq!(state(&routers, "web"), RouterState::Backup);
}

#[test]
fn an_address_that_is_given_at_last_takes_no_other_refusal_back() {
    let two = VirtualRouterConfig {
        addresses: vec![virtual_address(50), virtual_address(51)],
        ..virtual_router(51, 100)
    };
    let mut routers = started(config(&[("web", two)], &[]));
    let _ = run_until(&mut routers, at(3_700));
    let _ = routers.handle(refused(50), at(3_700));
    let _ = routers.handle(refused(51), at(3_700));
    let _ = routers.handle(taken(&[virtual_address(50)]), at(3_800));
    let _ = run_until(&mut routers, at(4_700));
    assert_eq!(state(&routers, "web"), RouterState::Leaving);
}

#[test]
fn the_owner_is_active_at_once_and_does_not_add_the_addresses_that_are_its_own() {
    let owner = VirtualRouterConfig { priority: Priority::OWNER, ..virtual_router(51, 11) };
    let mut routers = Routers::new(config(&[("web", owner)], &[]), at(0));
    let _ = routers.handle(link_event(Some(link(&[OWN]))), at(0));
    let outputs = routers.handle(RoutersInput::Start, at(0));
    assert_eq!(state(&routers, "web"), RouterState::Active);
    assert!(routers.roles().held[&router("web")].addresses.is_empty());
    assert_eq!(announced(&outputs), 1, "whoever had the addresses meanwhile has announced them");
}

#[test]
fn an_address_that_somebody_removed_is_counted_and_announced_again() {
    let mut routers = one();
    let _ = run_until(&mut routers, at(3_700));
    let change = Change::Address(Step::Take, virtual_address(50));
    let repaired = Reconciliation {
        taken: [(virtual_address(50), Said::Nothing)].into(),
        repaired: vec![change.clone()],
        ..Reconciliation::default()
    };
    let outputs = routers.handle(RoutersInput::Reconciled(repaired), at(3_900));
    assert_eq!(reports(&outputs)[0], &Report::Repaired { change });
    assert!(outputs.iter().any(|output| matches!(output, RoutersOutput::Announce(_))));
    assert_eq!(routers.status().virtual_routers["web"].counters.addresses_restored, 1);
}
