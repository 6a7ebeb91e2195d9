//! Questions to neighbours for their hardware addresses: whoever gets an answer can hear.
//! ARP ([RFC 826](https://www.rfc-editor.org/rfc/rfc826)) and neighbour solicitations
//! ([RFC 4861, section 4.3](https://www.rfc-editor.org/rfc/rfc4861#section-4.3)).

use std::net::{IpAddr, Ipv6Addr};

use pnet::packet::arp::{ArpOperations, ArpPacket};
use pnet::packet::icmpv6::ndp::{
    MutableNeighborSolicitPacket, NdpOptionTypes, NeighborAdvertFlags, NeighborAdvertPacket, NeighborSolicit,
};
use pnet::packet::icmpv6::{Icmpv6Code, Icmpv6Types};

use crate::identity::{Family, MacAddress};
use crate::neighbour_frame::{
    NEIGHBOUR_DISCOVERY_OCTETS, arp_request, link_layer_option, neighbour_discovery,
};

/// Returns the whole Ethernet frame in which `source`, at `mac`, asks for `target`; nothing where their families differ.
pub fn frame(target: IpAddr, source: IpAddr, mac: MacAddress) -> Option<Vec<u8>> {
    match (target, source) {
        (IpAddr::V4(target), IpAddr::V4(source)) => Some(arp_request(source, mac, target)),
        (IpAddr::V6(target), IpAddr::V6(source)) => Some(neighbour_solicitation(target, source, mac)),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
    }
}

/// Returns who answers a question with this packet: ARP for IPv4, `ICMPv6` for IPv6, each from its first octet on.
///
/// What others announce unasked is no answer.
pub fn answered(family: Family, packet: &[u8]) -> Option<IpAddr> {
    match family {
        Family::V4 => {
            let packet = ArpPacket::new(packet)?;
            let is_reply = packet.get_operation() == ArpOperations::Reply;
            let sender = packet.get_sender_proto_addr();
            (is_reply && sender != packet.get_target_proto_addr()).then(|| sender.into())
        }
        Family::V6 => {
            let packet = NeighborAdvertPacket::new(packet)?;
            let is_advertisement = packet.get_icmpv6_type() == Icmpv6Types::NeighborAdvert;
            let is_solicited = packet.get_flags() & NeighborAdvertFlags::Solicited != 0;
            (is_advertisement && is_solicited).then(|| packet.get_target_addr().into())
        }
    }
}

/// To the group that only those are in whose addresses end alike.
/// [RFC 4291, section 2.7.1](https://www.rfc-editor.org/rfc/rfc4291#section-2.7.1)
fn neighbour_solicitation(target: Ipv6Addr, source: Ipv6Addr, mac: MacAddress) -> Vec<u8> {
    let [.., high, low] = target.segments();
    let group = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 1, 0xFF00 | (high & 0xFF), low);
    let solicitation = NeighborSolicit {
        icmpv6_type: Icmpv6Types::NeighborSolicit,
        icmpv6_code: Icmpv6Code::new(0),
        checksum: 0,
        reserved: 0,
        target_addr: target,
        options: vec![link_layer_option(NdpOptionTypes::SourceLLAddr, mac)],
        payload: Vec::new(),
    };
    let mut message = [0; NEIGHBOUR_DISCOVERY_OCTETS];
    MutableNeighborSolicitPacket::new(&mut message)
        .expect("the message was made for it")
        .populate(&solicitation);
    neighbour_discovery(mac, source, group, &message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::announcement;
    use pnet::packet::icmpv6::{self, Icmpv6Packet};

    const MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x0B]);
    const ETHERNET_OCTETS: usize = 14;
    const IPV6_OCTETS: usize = 40;

    #[test]
    fn an_arp_request_asks_everybody_from_the_node_s_own_address() {
        let frame = frame([10, 77, 0, 1].into(), [10, 77, 0, 11].into(), MAC).unwrap();
        assert_eq!(frame[..14], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2, 0, 0, 0, 0, 0x0B, 0x08, 0x06]);
        assert_eq!(frame[14..28], [0, 1, 0x08, 0x00, 6, 4, 0, 1, 2, 0, 0, 0, 0, 0x0B]);
        assert_eq!(frame[28..], [10, 77, 0, 11, 0, 0, 0, 0, 0, 0, 10, 77, 0, 1]);
    }

    #[test]
    fn a_neighbour_solicitation_goes_to_the_target_s_own_group_and_says_whom_to_answer() {
        let (target, source): (Ipv6Addr, Ipv6Addr) =
            ("fd77::12:3456".parse().unwrap(), "fe80::11".parse().unwrap());
        let frame = frame(target.into(), source.into(), MAC).unwrap();
        let group: Ipv6Addr = "ff02::1:ff12:3456".parse().unwrap();
        assert_eq!(frame[..6], [0x33, 0x33, 0xFF, 0x12, 0x34, 0x56]);
        assert_eq!(frame[14..22], [0x60, 0, 0, 0, 0, 32, 58, 255]);
        assert_eq!(frame[22..54], [source.octets(), group.octets()].concat());
        assert_eq!(frame[54..56], [135, 0]);
        assert_eq!(frame[62..78], target.octets());
        assert_eq!(frame[78..], [1, 1, 2, 0, 0, 0, 0, 0x0B]);
        let message = Icmpv6Packet::new(&frame[54..]).unwrap();
        assert_eq!(message.get_checksum(), icmpv6::checksum(&message, &source, &group));
    }

    #[test]
    fn nobody_is_asked_across_families() {
        assert_eq!(frame([10, 77, 0, 1].into(), Ipv6Addr::LOCALHOST.into(), MAC), None);
        assert_eq!(frame(Ipv6Addr::LOCALHOST.into(), [10, 77, 0, 1].into(), MAC), None);
    }

    #[test]
    fn an_answer_is_told_from_what_is_announced_unasked() {
        let (gateway, own) = ([10, 77, 0, 1], [10, 77, 0, 11]);
        let mut reply = frame(own.into(), gateway.into(), MAC).unwrap().split_off(ETHERNET_OCTETS);
        assert_eq!(answered(Family::V4, &reply), None, "a question");
        reply[7] = 2;
        assert_eq!(answered(Family::V4, &reply), Some(gateway.into()));
        reply[24..].copy_from_slice(&gateway);
        assert_eq!(answered(Family::V4, &reply), None, "a gratuitous reply");
        assert_eq!(answered(Family::V4, &reply[..27]), None, "cut short");

        let gateway: Ipv6Addr = "fe80::1".parse().unwrap();
        let frame = announcement::frame(gateway.into(), MAC);
        let mut advertisement = frame[ETHERNET_OCTETS + IPV6_OCTETS..].to_vec();
        assert_eq!(answered(Family::V6, &advertisement), None, "unsolicited");
        advertisement[4] |= NeighborAdvertFlags::Solicited;
        assert_eq!(answered(Family::V6, &advertisement), Some(gateway.into()));
        advertisement[0] = 135;
        assert_eq!(answered(Family::V6, &advertisement), None, "a question");
    }
}
