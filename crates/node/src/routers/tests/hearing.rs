use vrrp::{HeardActive, Restraint};

use super::*;

#[test]
fn an_identifier_counts_on_its_own_interface_and_in_its_own_family_alone() {
    let mut routers = one();
    let v4 = advertisement(51, 200).emit(PEER.into(), GROUP_ADDRESS, ChecksumStyle::MessageOnly);
    let (link_local, group) =
        (IpAddr::from([0xFE80, 0, 0, 0, 0, 0, 0, 0x12]), IpAddr::V6(vrrp::MULTICAST_V6));
    let said = Advertisement { addresses: vec![link_local], ..advertisement(51, 200) };
    let v6 = said.emit(link_local, group, ChecksumStyle::MessageOnly);
    let other = interface("eth1");
    let own = interface("eth0");
    let elsewhere = Datagram {
        interface: &other,
        source: PEER.into(),
        destination: GROUP_ADDRESS,
        hop_limit: 255,
        payload: &v4,
    };
    let other_family =
        Datagram { interface: &own, source: link_local, destination: group, hop_limit: 255, payload: &v6 };
    let deadline = routers.next_deadline();
    for (count, datagram) in [elsewhere, other_family].into_iter().enumerate() {
        let _ = routers.handle(RoutersInput::Datagram(datagram), at(10));
        assert_eq!(routers.status().unknown_vrid, u64::try_from(count).unwrap() + 1);
    }
    assert_eq!(routers.next_deadline(), deadline);
    assert_eq!(routers.status().virtual_routers["web"].counters.advertisements_received, 0);
}

#[test]
fn the_status_says_whom_a_backup_hears_and_for_how_long_it_lets_him_be() {
    let restraint = Restraint { before_preempting: Duration::from_secs(5), ..Restraint::default() };
    let patient = VirtualRouterConfig { restraint, ..virtual_router(51, 50) };
    let mut routers = started(config(&[("web", patient)], &[]));
    let seen = |routers: &Routers| {
        let status = &routers.status().virtual_routers["web"];
        (status.active, status.delay)
    };
    assert_eq!(seen(&routers), (None, None));
    let heard =
        |priority| Some(HeardActive { address: PEER.into(), priority: Priority::new(priority).unwrap() });
    let delay = Some(Delay { kind: DelayKind::Preempt, until: at(6_000) });
    for second in 1..6 {
        let _ = hear(&mut routers, &advertisement(51, 50), at(second * 1_000));
        assert_eq!(seen(&routers), (heard(50), delay));
    }
    let _ = hear(&mut routers, &advertisement(51, 50), at(6_000));
    assert_eq!(seen(&routers), (heard(50), None));
    let _ = hear(&mut routers, &advertisement(51, 200), at(7_000));
    assert_eq!(seen(&routers), (heard(200), None));
    let _ = run_until(&mut routers, at(12_000));
    assert_eq!(seen(&routers), (None, None), "it is Active itself");
}
