//! Frames that tell the neighbours where a virtual address is now: gratuitous ARP and unsolicited neighbour
//! advertisements.
//! [RFC 9568, section 6.4.1](https://www.rfc-editor.org/rfc/rfc9568#section-6.4.1)

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pnet::packet::arp::ArpPacket;
use pnet::packet::icmpv6::ndp::{
    MutableNeighborAdvertPacket, NdpOptionTypes, NeighborAdvert, NeighborAdvertFlags, NeighborAdvertPacket,
};
use pnet::packet::icmpv6::{Icmpv6Code, Icmpv6Types};

use crate::identity::{Family, MacAddress};
use crate::neighbour_frame::{
    NEIGHBOUR_DISCOVERY_OCTETS, arp_request, link_layer_option, neighbour_discovery,
};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 1);

/// Returns the whole Ethernet frame that tells every neighbour that `address` is at `mac`.
pub fn frame(address: IpAddr, mac: MacAddress) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => gratuitous_arp(address, mac),
        IpAddr::V6(address) => unsolicited_neighbour_advertisement(address, mac),
    }
}

/// Returns the address of which a packet says that its sender has it: ARP for IPv4, `ICMPv6` for IPv6, each from its first
/// octet on.
pub fn announced(family: Family, packet: &[u8]) -> Option<IpAddr> {
    match family {
        Family::V4 => Some(ArpPacket::new(packet)?.get_sender_proto_addr().into()),
        Family::V6 => {
            let packet = NeighborAdvertPacket::new(packet)?;
            let is_advertisement = packet.get_icmpv6_type() == Icmpv6Types::NeighborAdvert;
            is_advertisement.then(|| packet.get_target_addr().into())
        }
    }
}

/// An ARP request of the address for itself, broadcast; switches and hosts relearn from requests and replies alike, and
/// some ignore replies that nobody asked for. [RFC 5227, section 3](https://www.rfc-editor.org/rfc/rfc5227#section-3)
fn gratuitous_arp(address: Ipv4Addr, mac: MacAddress) -> Vec<u8> {
    arp_request(address, mac, address)
}

/// Override set, so that neighbours replace what they know; Router set, since a virtual router is one.
/// [RFC 4861, section 7.2.6](https://www.rfc-editor.org/rfc/rfc4861#section-7.2.6)
fn unsolicited_neighbour_advertisement(address: Ipv6Addr, mac: MacAddress) -> Vec<u8> {
    let advertisement = NeighborAdvert {
        icmpv6_type: Icmpv6Types::NeighborAdvert,
        icmpv6_code: Icmpv6Code::new(0),
        checksum: 0,
        flags: NeighborAdvertFlags::Override | NeighborAdvertFlags::Router,
        reserved: 0,
        target_addr: address,
        options: vec![link_layer_option(NdpOptionTypes::TargetLLAddr, mac)],
        payload: Vec::new(),
    };
    let mut message = [0; NEIGHBOUR_DISCOVERY_OCTETS];
    MutableNeighborAdvertPacket::new(&mut message)
        .expect("the message was made for it")
        .populate(&advertisement);
    neighbour_discovery(mac, address, ALL_NODES, &message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pnet::packet::icmpv6::{self, Icmpv6Packet};

    const ETHERNET_OCTETS: usize = 14;
    const IPV6_OCTETS: usize = 40;
    const MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x0B]);

    #[test]
    fn a_gratuitous_arp_asks_everybody_for_the_address_it_names() {
        let mut expected = vec![0xFF; 6];
        expected.extend([0x02, 0, 0, 0, 0, 0x0B, 0x08, 0x06]);
        expected.extend([0, 1, 0x08, 0x00, 6, 4, 0, 1]);
        expected.extend([0x02, 0, 0, 0, 0, 0x0B, 10, 77, 0, 50]);
        expected.extend([0, 0, 0, 0, 0, 0, 10, 77, 0, 50]);
        assert_eq!(frame("10.77.0.50".parse().unwrap(), MAC), expected);
    }

    #[test]
    fn a_neighbour_advertisement_overrides_and_names_the_target_and_its_hardware_address() {
        let address: Ipv6Addr = "fd77::50".parse().unwrap();
        let frame = frame(address.into(), MAC);
        assert_eq!(frame.len(), 14 + 40 + 32);
        assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 1]);
        assert_eq!(frame[12..14], [0x86, 0xDD]);
        assert_eq!(frame[14..22], [0x60, 0, 0, 0, 0, 32, 58, 255]);
        assert_eq!(frame[22..38], address.octets());
        assert_eq!(frame[38..54], ALL_NODES.octets());
        assert_eq!(frame[54..56], [136, 0]);
        assert_eq!(frame[58], 0xA0, "Router and Override, not Solicited");
        assert_eq!(frame[62..78], address.octets());
        assert_eq!(frame[78..], [2, 1, 0x02, 0, 0, 0, 0, 0x0B]);
        let message = Icmpv6Packet::new(&frame[54..]).unwrap();
        assert_eq!(message.get_checksum(), icmpv6::checksum(&message, &address, &ALL_NODES));
    }

    #[test]
    fn what_is_announced_is_understood() {
        let mac = MacAddress([2, 0, 0, 0, 0, 11]);
        let v4 = IpAddr::from([10, 77, 0, 50]);
        assert_eq!(announced(Family::V4, &frame(v4, mac)[ETHERNET_OCTETS..]), Some(v4));
        let v6 = IpAddr::from([0xFD77, 0, 0, 0, 0, 0, 0, 0x50]);
        assert_eq!(announced(Family::V6, &frame(v6, mac)[ETHERNET_OCTETS + IPV6_OCTETS..]), Some(v6));
    }

    #[test]
    fn what_is_cut_short_or_says_something_else_announces_nothing() {
        assert_eq!(announced(Family::V4, &[0; 27]), None);
        let solicitation = [135; 24];
        assert_eq!(announced(Family::V6, &solicitation), None);
        assert_eq!(announced(Family::V6, &[136; 8]), None);
    }
}
