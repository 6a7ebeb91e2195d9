//! Advertisements between two namespaces on the real kernel.

use std::future::poll_fn;
use std::net::IpAddr;
use std::time::Duration;

use crate::pair::{CABLE, Pair};
use host::packet_socket::{Frame, FrameSocket};
use host::vrrp_socket::{Batch, Reception, SocketError, Transmission, VrrpSocket};
use lab::Namespace;
use node::name::InterfaceName;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use vrrp::{Family, multicast_group};

/// How long an arrival may take; over a cable of one machine it takes microseconds.
const LIMIT: Duration = Duration::from_secs(10);

fn cable() -> InterfaceName {
    InterfaceName::new(CABLE).unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn open(runtime: &Runtime, end: &Namespace, family: Family, reception: Reception) -> VrrpSocket {
    end.enter(|| {
        let _guard = runtime.enter();
        VrrpSocket::open(&cable(), family, reception).unwrap()
    })
    .unwrap()
}

/// What one packet was.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    source: IpAddr,
    destination: IpAddr,
    hop_limit: u8,
    payload: Vec<u8>,
}

async fn receive(socket: &VrrpSocket, count: usize) -> Vec<Seen> {
    let mut batch = Batch::new();
    let mut seen = Vec::new();
    while seen.len() < count {
        timeout(LIMIT, poll_fn(|context| socket.poll_readable(context))).await.expect("nothing more came");
        while socket.receive_batch(&mut batch).unwrap() > 0 {
            seen.extend(batch.datagrams().map(|datagram| Seen {
                source: datagram.source,
                destination: datagram.destination,
                hop_limit: datagram.hop_limit,
                payload: datagram.payload.to_vec(),
            }));
        }
    }
    seen
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ends(family: Family) -> (IpAddr, IpAddr) {
    match family {
        Family::V4 => (address("10.9.0.1"), address("10.9.0.2")),
        Family::V6 => (address("fe80::1"), address("fe80::2")),
    }
}

#[test]
fn an_advertisement_arrives_by_multicast_and_by_unicast_as_it_was_sent() {
    let pair = Pair::new();
    let runtime = runtime();
    for family in [Family::V4, Family::V6] {
        let left = open(&runtime, &pair.left, family, Reception::Group);
        let right = open(&runtime, &pair.right, family, Reception::Group);
        let (source, peer) = ends(family);
        for destination in [multicast_group(family), peer] {
            // No checksum in it is right: that is for the parser to find, not for the kernel to hide.
            let payload = [0x31, 51, 100, 0, 0, 100, 0xBA, 0xAD];
            let failures = left.send_batch(&[Transmission { source, destination, payload: &payload }]);
            assert!(failures.is_empty(), "{failures:?}");
            let expected = Seen { source, destination, hop_limit: 255, payload: payload.to_vec() };
            assert_eq!(runtime.block_on(receive(&right, 1)), [expected]);
        }
        let mut batch = Batch::new();
        assert_eq!(left.receive_batch(&mut batch).unwrap(), 0, "its own advertisements come back to it");
    }
}

#[test]
fn the_source_is_the_address_that_was_named_not_the_one_the_route_would_choose() {
    let pair = Pair::new();
    let runtime = runtime();
    for command in [["10.9.0.77/24", "cable"], ["fd99::77/64", "cable"], ["10.8.0.77/32", "lo"]] {
        let [address, interface] = command;
        let words = ["ip", "address", "add", address, "dev", interface];
        let words: Vec<_> = words.into_iter().chain(address.contains(':').then_some("nodad")).collect();
        pair.left.run(&words).unwrap();
    }
    for (family, source) in [(Family::V4, "10.9.0.77"), (Family::V4, "10.8.0.77"), (Family::V6, "fd99::77")] {
        let left = open(&runtime, &pair.left, family, Reception::Group);
        let right = open(&runtime, &pair.right, family, Reception::Group);
        let (_, peer) = ends(family);
        let to = |destination| Transmission { source: address(source), destination, payload: &[1] };
        assert!(left.send_batch(&[to(multicast_group(family)), to(peer)]).is_empty());
        let seen = runtime.block_on(receive(&right, 2));
        assert!(seen.iter().all(|seen| seen.source == address(source)), "{seen:?}");
    }
}

#[test]
fn one_message_that_cannot_be_sent_keeps_no_other_back() {
    let pair = Pair::new();
    let runtime = runtime();
    let left = open(&runtime, &pair.left, Family::V4, Reception::Group);
    let right = open(&runtime, &pair.right, Family::V4, Reception::Group);
    let (source, _) = ends(Family::V4);
    let from = |source, payload| Transmission { source, destination: multicast_group(Family::V4), payload };
    let nobody = address("192.0.2.1");
    let failures = left.send_batch(&[
        from(nobody, &[0]),
        from(source, &[1]),
        from(nobody, &[2]),
        from(nobody, &[3]),
        from(source, &[4]),
    ]);
    assert_eq!(failures.iter().map(|failure| failure.index).collect::<Vec<_>>(), [0, 2, 3]);
    let payloads: Vec<_> =
        runtime.block_on(receive(&right, 2)).into_iter().flat_map(|seen| seen.payload).collect();
    assert_eq!(payloads, [1, 4]);
}

#[test]
fn a_burst_of_a_thousand_is_held_until_it_is_read() {
    let pair = Pair::new();
    let runtime = runtime();
    for family in [Family::V4, Family::V6] {
        let left = open(&runtime, &pair.left, family, Reception::Group);
        let right = open(&runtime, &pair.right, family, Reception::Group);
        let (source, _) = ends(family);
        // As many as the kernel passes on between two namespaces at once (`net.core.netdev_max_backlog`).
        let payloads: Vec<_> = (0..1_000_u16).map(u16::to_be_bytes).collect();
        let burst: Vec<_> = payloads
            .iter()
            .map(|payload| Transmission { source, destination: multicast_group(family), payload })
            .collect();
        for part in burst.chunks(255) {
            assert!(left.send_batch(part).is_empty());
        }
        let seen = runtime.block_on(receive(&right, burst.len()));
        assert!(seen.iter().map(|seen| &seen.payload[..]).eq(payloads.iter().map(|payload| &payload[..])));
    }
}

#[test]
fn a_socket_for_unicast_hears_its_own_addresses_only() {
    let pair = Pair::new();
    let runtime = runtime();
    for family in [Family::V4, Family::V6] {
        let left = open(&runtime, &pair.left, family, Reception::UnicastOnly);
        // Another program's membership must make no difference to it.
        let _group = open(&runtime, &pair.right, family, Reception::Group);
        let right = open(&runtime, &pair.right, family, Reception::UnicastOnly);
        let (source, peer) = ends(family);
        let to = |destination, payload| Transmission { source, destination, payload };
        assert!(left.send_batch(&[to(multicast_group(family), &[1]), to(peer, &[2])]).is_empty());
        let seen = runtime.block_on(receive(&right, 1));
        assert_eq!(seen.into_iter().map(|seen| seen.payload).collect::<Vec<_>>(), [[2]]);
    }
}

#[test]
fn a_received_packet_is_seen_before_the_reactor_has_its_turn() {
    let pair = Pair::new();
    let runtime = runtime();
    let left = open(&runtime, &pair.left, Family::V4, Reception::Group);
    let right = open(&runtime, &pair.right, Family::V4, Reception::Group);
    let (source, destination) = ends(Family::V4);
    assert!(left.send_batch(&[Transmission { source, destination, payload: &[1] }]).is_empty());
    let mut batch = Batch::new();
    lab::wait_until("the packet to arrive", LIMIT, || Ok(right.receive_batch(&mut batch).unwrap() == 1))
        .unwrap();
    assert_eq!(right.receive_batch(&mut batch).unwrap(), 0);
}

#[test]
fn a_missing_interface_and_a_missing_right_are_named() {
    let pair = Pair::new();
    let runtime = runtime();
    let missing = pair.left.enter(|| {
        let _guard = runtime.enter();
        VrrpSocket::open(&InterfaceName::new("eth7").unwrap(), Family::V4, Reception::Group)
    });
    let error = missing.unwrap().unwrap_err();
    assert!(
        matches!(&error, SocketError::NoInterface { interface } if interface.as_str() == "eth7"),
        "{error}"
    );

    let powerless = pair.left.enter(|| {
        rustix::thread::set_capabilities(
            None,
            rustix::thread::CapabilitySets {
                effective: rustix::thread::CapabilitySet::empty(),
                permitted: rustix::thread::CapabilitySet::empty(),
                inheritable: rustix::thread::CapabilitySet::empty(),
            },
        )
        .unwrap();
        let _guard = runtime.enter();
        let vrrp = VrrpSocket::open(&cable(), Family::V4, Reception::Group).map(drop);
        (vrrp.unwrap_err().to_string(), FrameSocket::open().unwrap_err().to_string())
    });
    let (vrrp, packet) = powerless.unwrap();
    let advice = "needs CAP_NET_RAW: run as root or under the systemd unit";
    assert_eq!(vrrp, format!("Opening a VRRP socket on cable {advice}"));
    assert!(packet.ends_with(advice), "{packet}");
}

#[test]
fn a_gratuitous_arp_teaches_the_neighbour() {
    let pair = Pair::new();
    let own = pair.left.link_address(CABLE).unwrap();
    let moved = address("10.9.0.50");
    // The neighbour knows the address at another place, as after a take-over.
    let before = "02:00:00:00:00:99";
    let words = ["ip", "neighbour", "add", "10.9.0.50", "lladdr", before, "nud", "stale", "dev", CABLE];
    pair.right.run(&words).unwrap();

    let mac: Vec<_> = own.split(':').map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect();
    let frame = vrrp::announcement::frame(moved, vrrp::MacAddress(mac.try_into().unwrap()));
    let link = pair.left.run(&["ip", "-o", "link", "show", CABLE]).unwrap();
    let index = link.split(':').next().unwrap().parse().unwrap();
    let failures = pair.left.enter(|| {
        let socket = FrameSocket::open().unwrap();
        let frames = [
            Frame { interface_index: 9_999, octets: &frame },
            Frame { interface_index: index, octets: &frame },
        ];
        socket.send_batch(&frames)
    });
    assert_eq!(failures.unwrap().iter().map(|failure| failure.index).collect::<Vec<_>>(), [0]);
    lab::wait_until("the neighbour to learn the address", LIMIT, || {
        Ok(pair.right.neighbour(moved)?.is_some_and(|mac| mac == own))
    })
    .unwrap();
}
