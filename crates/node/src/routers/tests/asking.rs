//! What a node that must not preempt asks its neighbours before it takes silence for the absence of an Active.

use super::*;

const GATEWAY: [u8; 4] = [10, 77, 0, 1];

/// Two virtual routers on one interface, of which neither may preempt.
fn unheard() -> Routers {
    let restraint = Restraint { unheard: Duration::from_secs(30), ..Restraint::default() };
    let router = |vrid, last| VirtualRouterConfig {
        preemption: Preemption::Refused,
        restraint,
        ..virtual_router(vrid, last)
    };
    let mut config = Config::clone(&config(&[("inside", router(52, 1)), ("web", router(51, 50))], &[]));
    let v6 = IpAddr::from([0xFD77, 0, 0, 0, 0, 0, 0, 0x12]);
    config.peers = BTreeMap::from([(NodeName::new("lb2").unwrap(), BTreeSet::from([PEER.into(), v6]))]);
    let mut routers = Routers::new(Arc::new(config), at(0));
    let _ = routers.handle(link_event(Some(link(&[OWN]))), at(0));
    let _ = routers.handle(RoutersInput::Start, at(0));
    routers
}

fn asked(outputs: &[RoutersOutput]) -> Vec<Solicitation> {
    let asked = |output: &RoutersOutput| match output {
        RoutersOutput::Solicit(solicitation) => Some(solicitation.clone()),
        RoutersOutput::Send(_)
        | RoutersOutput::Announce(_)
        | RoutersOutput::Introduce(_)
        | RoutersOutput::RolesChanged
        | RoutersOutput::Report(_)
        | RoutersOutput::Prepare { .. }
        | RoutersOutput::Exit => None,
    };
    outputs.iter().filter_map(asked).collect()
}

fn answers(interface_name: &str, family: Family) -> RoutersInput<'static> {
    let segment = Segment { interface: interface(interface_name), family };
    RoutersInput::NeighbourAnswered { segment, address: GATEWAY.into() }
}

#[test]
fn the_other_nodes_are_asked_once_a_second_until_somebody_answers() {
    let mut routers = unheard();
    let first = asked(&routers.handle(RoutersInput::Deadline, at(0)));
    let [Solicitation { interface, source, whom, .. }] = &first[..] else {
        panic!("once for both: {first:?}")
    };
    assert_eq!((interface.as_str(), *source), ("eth0", OWN.into()));
    assert_eq!(*whom, Whom::Neighbours(BTreeSet::from([PEER.into()])), "those of the family");
    assert_eq!(routers.neighbour_segments().len(), 1);
    assert_eq!(routers.next_deadline(), Some(at(1_000)));
    assert_eq!(asked(&routers.handle(RoutersInput::Deadline, at(1_000))).len(), 1);
    let reason = &routers.status().virtual_routers["web"].reason;
    assert!(reason.contains("heard nobody yet"), "{reason}");

    let told = routers.handle(answers("eth0", Family::V4), at(1_500));
    let told = reports(&told);
    assert!(
        matches!(told[..], [Report::NeighbourAnswered { .. }, Report::NeighbourAnswered { .. }]),
        "{told:?}"
    );
    assert!(routers.neighbour_segments().is_empty());
    assert_eq!(asked(&routers.handle(RoutersInput::Deadline, at(2_000))), []);
    let reason = &routers.status().virtual_routers["web"].reason;
    assert!(!reason.contains("heard nobody yet"), "{reason}");
}

#[test]
fn after_an_answer_an_active_would_still_be_heard_before_the_role_is_claimed() {
    let mut routers = unheard();
    let _ = routers.handle(RoutersInput::Deadline, at(0));
    let _ = routers.handle(answers("eth0", Family::V4), at(500));
    let outputs = run_until(&mut routers, at(500 + 3_600));
    assert!(reports(&outputs).is_empty(), "{outputs:?}");
    let outputs = run_until(&mut routers, at(500 + 3_700));
    assert!(
        reports(&outputs).iter().any(|report| matches!(report, Report::BecameActive { .. })),
        "{outputs:?}"
    );
}

#[test]
fn an_answer_on_another_interface_or_of_the_other_family_proves_nothing() {
    for (interface, family) in [("eth1", Family::V4), ("eth0", Family::V6)] {
        let mut routers = unheard();
        let _ = routers.handle(RoutersInput::Deadline, at(0));
        let _ = routers.handle(answers(interface, family), at(500));
        let outputs = run_until(&mut routers, at(29_900));
        assert!(
            reports(&outputs).iter().all(|report| !matches!(report, Report::BecameActive { .. })),
            "{outputs:?}"
        );
    }
}

#[test]
fn whoever_may_preempt_asks_nobody() {
    let mut routers = one();
    assert_eq!(asked(&run_until(&mut routers, at(3_000))), []);
    assert!(routers.neighbour_segments().is_empty());
}
