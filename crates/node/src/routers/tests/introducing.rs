//! What the neighbours are told when an interface has another hardware address.

use super::*;

const OTHER_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 99]);

fn unicast() -> Transport {
    Transport::Unicast { source: OWN.into(), peers: BTreeSet::from([PEER.into()]), min_hop_limit: 255 }
}

fn introductions(outputs: &[RoutersOutput]) -> Vec<(IpAddr, Vec<u8>)> {
    let introduced = |output: &RoutersOutput| match output {
        RoutersOutput::Introduce(introduced) => Some((introduced.address.address, introduced.frame.clone())),
        RoutersOutput::Send(_)
        | RoutersOutput::Announce(_)
        | RoutersOutput::Solicit(_)
        | RoutersOutput::RolesChanged
        | RoutersOutput::Report(_)
        | RoutersOutput::Prepare { .. }
        | RoutersOutput::Exit => None,
    };
    outputs.iter().filter_map(introduced).collect()
}

fn with_mac(mac: MacAddress) -> RoutersInput<'static> {
    link_event(Some(LinkState { mac: Some(mac), ..link(&[OWN]) }))
}

#[test]
fn unicast_peers_are_told_where_this_node_is_when_it_takes_part_and_when_that_changes() {
    let router = |vrid, last| VirtualRouterConfig { transport: unicast(), ..virtual_router(vrid, last) };
    let config = config(&[("inside", router(52, 1)), ("web", router(51, 50))], &[]);
    let mut routers = Routers::new(config, at(0));
    let _ = routers.handle(with_mac(MacAddress([2, 0, 0, 0, 0, 11])), at(0));
    let told = introductions(&routers.handle(RoutersInput::Start, at(0)));
    assert_eq!(told.len(), 1, "once for both: {told:?}");

    let told = introductions(&routers.handle(with_mac(OTHER_MAC), at(10)));
    assert_eq!(told, [(OWN.into(), vrrp::announcement::frame(OWN.into(), OTHER_MAC))]);

    let _ = routers.handle(link_event(None), at(20));
    let told = introductions(&routers.handle(with_mac(OTHER_MAC), at(30)));
    assert_eq!(told.len(), 1, "it was gone and takes part again");
    assert_eq!(introductions(&routers.handle(with_mac(OTHER_MAC), at(40))), []);
}

#[test]
fn a_multicast_router_has_no_peers_to_introduce_itself_to() {
    let mut routers = one();
    assert_eq!(introductions(&routers.handle(with_mac(OTHER_MAC), at(10))), []);
}

#[test]
fn an_active_announces_its_addresses_anew_with_another_hardware_address() {
    let mut routers = one();
    let _ = run_until(&mut routers, at(3_700));
    let _ = routers.handle(taken(&[virtual_address(50)]), at(3_700));
    let outputs = routers.handle(with_mac(OTHER_MAC), at(3_800));
    let frames: Vec<_> = outputs
        .iter()
        .filter_map(|output| match output {
            RoutersOutput::Announce(Announcement { frame, count, .. }) => Some((frame.clone(), *count)),
            RoutersOutput::Send(_)
            | RoutersOutput::Introduce(_)
            | RoutersOutput::Solicit(_)
            | RoutersOutput::RolesChanged
            | RoutersOutput::Report(_)
            | RoutersOutput::Prepare { .. }
            | RoutersOutput::Exit => None,
        })
        .collect();
    let frame = vrrp::announcement::frame(virtual_address(50).address, OTHER_MAC);
    assert_eq!(frames, [(frame, 5)]);
}
