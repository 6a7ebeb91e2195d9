//! Other Actives of the same virtual router, and foreign ones of the same number.

use super::*;
use crate::status::Rival;

/// An Active since 3.7 s.
fn active() -> Routers {
    let mut routers = one();
    let _ = run_until(&mut routers, at(3_700));
    let _ = routers.handle(taken(&[virtual_address(50)]), at(3_700));
    routers
}

/// An Active since 3.7 s that has advertised at 5 s.
fn awake() -> Routers {
    let mut routers = active();
    let _ = run_until(&mut routers, at(5_999));
    routers
}

fn times_dual(routers: &Routers) -> u64 {
    routers.status().virtual_routers["web"].counters.dual_active
}

fn rival(routers: &Routers) -> Option<Rival> {
    routers.status().virtual_routers["web"].rival
}

fn foreign(priority: u8) -> Advertisement {
    Advertisement { addresses: vec![[10, 77, 0, 99].into()], ..advertisement(51, priority) }
}

fn conflicts(outputs: &[RoutersOutput]) -> usize {
    let is_conflict = |report: &&&Report| matches!(report, Report::VridConflict { .. });
    reports(outputs).iter().filter(is_conflict).count()
}

#[test]
fn a_second_active_is_told_once_and_again_when_it_is_over() {
    let mut routers = awake();
    let outputs = hear(&mut routers, &advertisement(51, 50), at(6_000));
    assert!(matches!(reports(&outputs)[..], [Report::DualActive { .. }]), "{outputs:?}");
    for second in 7..=9 {
        let _ = run_until(&mut routers, at(second * 1_000 - 1));
        let outputs = hear(&mut routers, &advertisement(51, 50), at(second * 1_000));
        assert_eq!(reports(&outputs), <[&Report; 0]>::default());
    }
    assert_eq!((times_dual(&routers), rival(&routers).unwrap().since), (1, at(6_000)));

    // The other one has to be silent for as long as a Backup would wait.
    assert_eq!(reports(&run_until(&mut routers, at(12_600))), <[&Report; 0]>::default());
    let outputs = run_until(&mut routers, at(12_700));
    let by = PEER.into();
    let over = Report::DualActiveOver { router: router("web"), by, lasted: Duration::from_secs(3) };
    assert_eq!(reports(&outputs), [&over]);
    assert_eq!((times_dual(&routers), rival(&routers)), (1, None));

    // Within a minute of the last one it is counted and not told.
    let outputs = hear(&mut routers, &advertisement(51, 50), at(13_000));
    assert_eq!((reports(&outputs), times_dual(&routers)), (Vec::new(), 2));
}

#[test]
fn whoever_yields_to_the_second_active_tells_that_it_is_over() {
    let mut routers = awake();
    let _ = hear(&mut routers, &advertisement(51, 50), at(6_000));
    let outputs = hear(&mut routers, &advertisement(51, 200), at(6_500));
    let told = reports(&outputs);
    let lasted = Duration::from_millis(500);
    assert!(
        matches!(told[..], [Report::BecameBackup { .. }, Report::DualActiveOver { lasted: told, .. }] if *told == lasted),
        "{told:?}"
    );
    assert_eq!(reports(&run_until(&mut routers, at(9_000))), <[&Report; 0]>::default());
}

#[test]
fn the_last_word_of_whoever_was_taken_over_from_is_no_second_active() {
    let mut routers = active();
    let outputs = hear(&mut routers, &advertisement(51, 50), at(3_701));
    assert_eq!((reports(&outputs), times_dual(&routers)), (Vec::new(), 0));
}

#[test]
fn another_address_list_of_a_node_of_ours_is_accepted_and_told() {
    let peers = BTreeMap::from([(NodeName::new("lb2").unwrap(), BTreeSet::from([PEER.into()]))]);
    let config = Config::clone(&config(&[("web", virtual_router(51, 50))], &[]));
    let mut routers = started(Arc::new(Config { peers, ..config }));
    let outputs = hear(&mut routers, &foreign(200), at(10));
    assert!(matches!(reports(&outputs)[..], [Report::AddressListDiffers { .. }]));
    assert_eq!(routers.next_deadline(), Some(at(10) + Duration::from_micros(3_609_375)));
}

#[test]
fn a_list_with_some_of_the_addresses_is_of_the_same_virtual_router() {
    let mut routers = one();
    let addresses = vec![virtual_address(50).address, [10, 77, 0, 99].into()];
    let said = Advertisement { addresses, ..advertisement(51, 200) };
    assert!(matches!(reports(&hear(&mut routers, &said, at(10)))[..], [Report::AddressListDiffers { .. }]));
}

#[test]
fn a_stranger_that_uses_the_number_for_other_addresses_is_named_once_a_minute() {
    let mut routers = awake();
    let outputs = hear(&mut routers, &foreign(50), at(6_000));
    let addresses = vec![[10, 77, 0, 99].into()];
    let conflict = Report::VridConflict { router: router("web"), from: PEER.into(), addresses };
    assert!(reports(&outputs).contains(&&conflict), "{outputs:?}");
    let told: usize = (7..60).map(|s| conflicts(&hear(&mut routers, &foreign(50), at(s * 1_000)))).sum();
    assert_eq!(told, 0);
    let _ = run_until(&mut routers, at(66_000));
    assert_eq!(conflicts(&hear(&mut routers, &foreign(50), at(66_001))), 1);
    assert_eq!(routers.status().virtual_routers["web"].counters.vrid_conflicts, 55);
    assert_eq!(state(&routers, "web"), RouterState::Active);
}

#[test]
fn a_stranger_of_a_higher_priority_wins_as_anybody_would() {
    let mut routers = active();
    let outputs = hear(&mut routers, &foreign(200), at(6_000));
    assert_eq!(conflicts(&outputs), 1);
    assert_eq!(state(&routers, "web"), RouterState::Backup);
}
