//! What is believed of what is heard, and what is refused.

use super::*;

#[test]
fn a_refused_packet_moves_nothing_and_is_told_once_a_minute() {
    let good = advertisement(51, 200).emit(PEER.into(), GROUP_ADDRESS, ChecksumStyle::MessageOnly);
    let altered = |position: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[position] = value;
        bytes
    };
    let cases = [
        ("hop_limit", good.clone(), 254),
        ("checksum", altered(2, 255), 255),
        ("version", altered(0, 0x41), 255),
        ("type", altered(0, 0x32), 255),
        ("length", good[..11].to_vec(), 255),
        ("vrid", altered(1, 99), 255),
    ];
    for (reason, bytes, hop_limit) in cases {
        let mut routers = one();
        let _ = run_until(&mut routers, at(3_700));
        let deadline = routers.next_deadline();
        let told = |outputs: Vec<RoutersOutput>| -> Vec<&'static str> {
            let reason = |report: &Report| {
                let Report::AdvertisementRefused { rejection, .. } = report else { panic!("{report:?}") };
                rejection.reason()
            };
            reports(&outputs).into_iter().map(reason).collect()
        };
        assert_eq!(told(hear_bytes(&mut routers, &bytes, hop_limit, at(3_701))), [reason]);
        for repetition in 0..1_000 {
            assert!(
                hear_bytes(&mut routers, &bytes, hop_limit, at(3_702 + repetition)).is_empty(),
                "{reason}"
            );
        }
        assert_eq!((state(&routers, "web"), routers.next_deadline()), (RouterState::Active, deadline));
        assert_eq!(told(hear_bytes(&mut routers, &bytes, hop_limit, at(63_701))), [reason]);
        let status = routers.status();
        let counted = status.virtual_routers["web"].refusals.get(reason).copied().unwrap_or(0);
        assert_eq!(counted + status.unknown_vrid, 1_002, "{reason}");
    }
}

#[test]
fn a_unicast_router_hears_its_peers_only_and_a_multicast_router_no_unicast() {
    let unicast = |peer: [u8; 4]| VirtualRouterConfig {
        transport: Transport::Unicast {
            source: OWN.into(),
            peers: BTreeSet::from([peer.into()]),
            min_hop_limit: 255,
        },
        ..virtual_router(51, 50)
    };
    let multicast = virtual_router(51, 50);
    for (config_of_router, refused) in [
        (unicast(PEER), None),
        (unicast([10, 77, 0, 13]), Some("unknown_source")),
        (multicast, Some("destination")),
    ] {
        let mut routers = started(config(&[("web", config_of_router)], &[]));
        let payload = advertisement(51, 200).emit(PEER.into(), OWN.into(), ChecksumStyle::MessageOnly);
        let interface = &interface("eth0");
        let datagram = Datagram {
            interface,
            source: PEER.into(),
            destination: OWN.into(),
            hop_limit: 255,
            payload: &payload,
        };
        let _ = routers.handle(RoutersInput::Datagram(datagram), at(1));
        let refusals: Vec<_> = routers.status().virtual_routers["web"].refusals.keys().copied().collect();
        assert_eq!(refusals.first().copied(), refused);
    }
}

#[test]
fn a_version_2_interval_that_differs_is_refused_and_a_version_3_one_is_learnt_and_told() {
    for (version, is_refused) in [(Version::V2, true), (Version::V3, false)] {
        let mut routers =
            started(config(&[("web", VirtualRouterConfig { version, ..virtual_router(51, 50) })], &[]));
        let said = Advertisement { version, interval: Centiseconds::new(200), ..advertisement(51, 200) };
        let outputs = hear(&mut routers, &said, at(10));
        let learnt = matches!(reports(&outputs)[..], [Report::IntervalDiffers { .. }]);
        assert_eq!(
            (routers.status().virtual_routers["web"].refusals.contains_key("interval"), learnt),
            (is_refused, !is_refused)
        );
    }
}

#[test]
fn a_shorter_interval_that_is_named_once_is_the_last_word_of_one_that_hands_over() {
    let mut routers = one();
    let said = Advertisement { interval: Centiseconds::new(1), ..advertisement(51, 200) };
    for (milliseconds, is_told) in [(10, false), (20, true)] {
        let outputs = hear(&mut routers, &said, at(milliseconds));
        let told = matches!(reports(&outputs)[..], [Report::IntervalDiffers { .. }]);
        assert_eq!(told, is_told, "after {milliseconds} ms");
    }
}
