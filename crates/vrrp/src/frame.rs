//! Advertisements as whole Ethernet frames, for those that carry the virtual router's own hardware address.
//! [RFC 9568, section 7.3](https://www.rfc-editor.org/rfc/rfc9568#section-7.3)

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pnet::packet::ethernet::{EtherTypes, MutableEthernetPacket};
use pnet::packet::ip::IpNextHeaderProtocol;
use pnet::packet::ipv4::{self, Ipv4Flags, MutableIpv4Packet};
use pnet::packet::ipv6::MutableIpv6Packet;
use pnet::util::MacAddr;

use crate::advertisement::{MULTICAST_V4, MULTICAST_V6, PROTOCOL};
use crate::identity::MacAddress;

/// Every advertisement carries it, so that none comes from beyond a router.
/// [RFC 9568, section 5.1.1.3](https://www.rfc-editor.org/rfc/rfc9568#section-5.1.1.3)
const HOP_LIMIT: u8 = 255;

/// Internetwork control, CS6; without the two bits of ECN.
const PRECEDENCE: u8 = 0x30;

const ETHERNET_OCTETS: usize = 14;
const IPV4_OCTETS: usize = 20;
const IPV4_WORDS: u8 = 5;
const IPV6_OCTETS: usize = 40;

/// Returns the frame that carries an advertisement from this hardware and IP address to everybody on the segment.
///
/// # Panics
/// When the advertisement has more octets than an IP packet holds, which none has.
pub fn frame(mac: MacAddress, source: IpAddr, advertisement: &[u8]) -> Vec<u8> {
    match source {
        IpAddr::V4(source) => v4(mac, source, advertisement),
        IpAddr::V6(source) => v6(mac, source, advertisement),
    }
}

fn v4(mac: MacAddress, source: Ipv4Addr, advertisement: &[u8]) -> Vec<u8> {
    let [_, second, third, fourth] = MULTICAST_V4.octets();
    let group = MacAddr::new(0x01, 0x00, 0x5E, second & 0x7F, third, fourth);
    let mut frame = vec![0; ETHERNET_OCTETS + IPV4_OCTETS];
    let mut ethernet = MutableEthernetPacket::new(&mut frame).expect("the frame was made for it");
    ethernet.set_destination(group);
    ethernet.set_source(MacAddr::from(mac.0));
    ethernet.set_ethertype(EtherTypes::Ipv4);
    let mut ip = MutableIpv4Packet::new(&mut frame[ETHERNET_OCTETS..]).expect("the frame was made for it");
    ip.set_version(4);
    ip.set_header_length(IPV4_WORDS);
    ip.set_dscp(PRECEDENCE);
    ip.set_total_length(length(IPV4_OCTETS + advertisement.len()));
    ip.set_flags(Ipv4Flags::DontFragment);
    ip.set_ttl(HOP_LIMIT);
    ip.set_next_level_protocol(IpNextHeaderProtocol(PROTOCOL));
    ip.set_source(source);
    ip.set_destination(MULTICAST_V4);
    let checksum = ipv4::checksum(&ip.to_immutable());
    ip.set_checksum(checksum);
    frame.extend_from_slice(advertisement);
    frame
}

fn v6(mac: MacAddress, source: Ipv6Addr, advertisement: &[u8]) -> Vec<u8> {
    let [.., third_last, second_last, before_last, last] = MULTICAST_V6.octets();
    let group = MacAddr::new(0x33, 0x33, third_last, second_last, before_last, last);
    let mut frame = vec![0; ETHERNET_OCTETS + IPV6_OCTETS];
    let mut ethernet = MutableEthernetPacket::new(&mut frame).expect("the frame was made for it");
    ethernet.set_destination(group);
    ethernet.set_source(MacAddr::from(mac.0));
    ethernet.set_ethertype(EtherTypes::Ipv6);
    let mut ip = MutableIpv6Packet::new(&mut frame[ETHERNET_OCTETS..]).expect("the frame was made for it");
    ip.set_version(6);
    ip.set_traffic_class(PRECEDENCE << 2);
    ip.set_payload_length(length(advertisement.len()));
    ip.set_next_header(IpNextHeaderProtocol(PROTOCOL));
    ip.set_hop_limit(HOP_LIMIT);
    ip.set_source(source);
    ip.set_destination(MULTICAST_V6);
    frame.extend_from_slice(advertisement);
    frame
}

fn length(octets: usize) -> u16 {
    u16::try_from(octets).expect("an advertisement fits into a packet")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Family, Vrid};

    #[test]
    fn an_ipv4_advertisement_goes_to_the_group_from_the_virtual_router_s_own_hardware_address() {
        let mac = Vrid::new(51).unwrap().virtual_mac(Family::V4);
        let frame = frame(mac, [10, 77, 0, 11].into(), &[0x31, 51]);
        assert_eq!(frame[..14], [0x01, 0, 0x5E, 0, 0, 0x12, 0, 0, 0x5E, 0, 1, 51, 0x08, 0]);
        assert_eq!(frame[14..24], [0x45, 0xC0, 0, 22, 0, 0, 0x40, 0, 255, 112]);
        assert_eq!(frame[26..34], [10, 77, 0, 11, 224, 0, 0, 18]);
        let words = frame[14..34].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
        let sum: u32 = words.sum();
        assert_eq!((sum & 0xFFFF) + (sum >> 16), 0xFFFF, "the header's checksum");
        assert_eq!(frame[34..], [0x31, 51]);
    }

    #[test]
    fn an_ipv6_advertisement_does_too() {
        let mac = Vrid::new(51).unwrap().virtual_mac(Family::V6);
        let source: Ipv6Addr = "fe80::11".parse().unwrap();
        let frame = frame(mac, source.into(), &[0x31, 51]);
        assert_eq!(frame[..14], [0x33, 0x33, 0, 0, 0, 0x12, 0, 0, 0x5E, 0, 2, 51, 0x86, 0xDD]);
        assert_eq!(frame[14..22], [0x6C, 0, 0, 0, 0, 2, 112, 255]);
        assert_eq!(frame[22..38], source.octets());
        assert_eq!(frame[38..54], MULTICAST_V6.octets());
        assert_eq!(frame[54..], [0x31, 51]);
    }
}
