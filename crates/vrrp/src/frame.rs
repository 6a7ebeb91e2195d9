//! Advertisements to everybody on a segment, as whole Ethernet frames.

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

/// What every link takes whole that IPv6 can use:
/// [RFC 8200, section 5](https://www.rfc-editor.org/rfc/rfc8200#section-5).
const LEAST_MTU: usize = 1280;

/// Tells whether an advertisement is small enough for one packet on any link; only IP can divide a larger one.
pub const fn holds(advertisement: &[u8]) -> bool {
    IPV6_OCTETS + advertisement.len() <= LEAST_MTU
}

/// Appends the frame that carries an advertisement from this hardware and IP address to everybody on the segment.
///
/// The hardware address is that of the interface, or the virtual router's own:
/// [RFC 9568, section 7.3](https://www.rfc-editor.org/rfc/rfc9568#section-7.3).
///
/// # Panics
/// When the advertisement has more octets than an IP packet holds, which none has.
pub fn append(frames: &mut Vec<u8>, mac: MacAddress, source: IpAddr, advertisement: &[u8]) {
    let begin = frames.len();
    let headers = ETHERNET_OCTETS
        + match source {
            IpAddr::V4(_) => IPV4_OCTETS,
            IpAddr::V6(_) => IPV6_OCTETS,
        };
    frames.resize(begin + headers, 0);
    let (ethernet, ip) = frames[begin..].split_at_mut(ETHERNET_OCTETS);
    match source {
        IpAddr::V4(source) => v4(ethernet, ip, mac, source, advertisement.len()),
        IpAddr::V6(source) => v6(ethernet, ip, mac, source, advertisement.len()),
    }
    frames.extend_from_slice(advertisement);
}

fn v4(ethernet: &mut [u8], ip: &mut [u8], mac: MacAddress, source: Ipv4Addr, octets: usize) {
    let [_, second, third, fourth] = MULTICAST_V4.octets();
    let group = MacAddr::new(0x01, 0x00, 0x5E, second & 0x7F, third, fourth);
    let mut ethernet = MutableEthernetPacket::new(ethernet).expect(MADE_FOR_IT);
    ethernet.set_destination(group);
    ethernet.set_source(MacAddr::from(mac.0));
    ethernet.set_ethertype(EtherTypes::Ipv4);
    let mut ip = MutableIpv4Packet::new(ip).expect(MADE_FOR_IT);
    ip.set_version(4);
    ip.set_header_length(IPV4_WORDS);
    ip.set_dscp(PRECEDENCE);
    ip.set_total_length(length(IPV4_OCTETS + octets));
    ip.set_flags(Ipv4Flags::DontFragment);
    ip.set_ttl(HOP_LIMIT);
    ip.set_next_level_protocol(IpNextHeaderProtocol(PROTOCOL));
    ip.set_source(source);
    ip.set_destination(MULTICAST_V4);
    let checksum = ipv4::checksum(&ip.to_immutable());
    ip.set_checksum(checksum);
}

fn v6(ethernet: &mut [u8], ip: &mut [u8], mac: MacAddress, source: Ipv6Addr, octets: usize) {
    let [.., third_last, second_last, before_last, last] = MULTICAST_V6.octets();
    let group = MacAddr::new(0x33, 0x33, third_last, second_last, before_last, last);
    let mut ethernet = MutableEthernetPacket::new(ethernet).expect(MADE_FOR_IT);
    ethernet.set_destination(group);
    ethernet.set_source(MacAddr::from(mac.0));
    ethernet.set_ethertype(EtherTypes::Ipv6);
    let mut ip = MutableIpv6Packet::new(ip).expect(MADE_FOR_IT);
    ip.set_version(6);
    ip.set_traffic_class(PRECEDENCE << 2);
    ip.set_payload_length(length(octets));
    ip.set_next_header(IpNextHeaderProtocol(PROTOCOL));
    ip.set_hop_limit(HOP_LIMIT);
    ip.set_source(source);
    ip.set_destination(MULTICAST_V6);
}

const MADE_FOR_IT: &str = "the headers' octets were made for it";

fn length(octets: usize) -> u16 {
    u16::try_from(octets).expect("an advertisement fits into a packet")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Family, Vrid};

    fn frame(mac: MacAddress, source: IpAddr, advertisement: &[u8]) -> Vec<u8> {
        let mut frames = b"before".to_vec();
        append(&mut frames, mac, source, advertisement);
        assert_eq!(&frames[..6], b"before");
        frames.split_off(6)
    }

    #[test]
    fn an_advertisement_of_255_ipv4_addresses_needs_no_division_and_one_of_78_ipv6_addresses_does() {
        assert!(holds(&[0; 8 + 255 * 4 + 20]));
        assert!(holds(&[0; 8 + 77 * 16]) && !holds(&[0; 8 + 78 * 16]));
    }

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
