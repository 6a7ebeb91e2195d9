//! Ethernet frames between neighbours: ARP and neighbour discovery.

use std::net::{Ipv4Addr, Ipv6Addr};

use pnet::packet::arp::{ArpHardwareTypes, ArpOperations, MutableArpPacket};
use pnet::packet::ethernet::{EtherTypes, MutableEthernetPacket};
use pnet::packet::icmpv6::ndp::{NdpOption, NdpOptionType};
use pnet::packet::icmpv6::{self, MutableIcmpv6Packet};
use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv6::MutableIpv6Packet;
use pnet::util::MacAddr;

use crate::identity::MacAddress;

/// [RFC 4861, section 7.1](https://www.rfc-editor.org/rfc/rfc4861#section-7.1): what comes from beyond a router is refused.
const HOP_LIMIT: u8 = 255;
/// The option counts its length in units of 8 octets.
const LINK_LAYER_OPTION_UNITS: u8 = 1;

/// A neighbour solicitation or advertisement with the option that says where its sender is.
pub(crate) const NEIGHBOUR_DISCOVERY_OCTETS: usize = 24 + 8;

const ETHERNET_OCTETS: usize = 14;
const ARP_OCTETS: usize = 28;
const IPV6_OCTETS: usize = 40;

/// Returns the frame in which whoever has `sender`, at `mac`, asks everybody who has `target`.
/// [RFC 826](https://www.rfc-editor.org/rfc/rfc826)
pub(crate) fn arp_request(sender: Ipv4Addr, mac: MacAddress, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(MacAddr::broadcast(), mac, ARP_OCTETS);
    frame_header(&mut frame).set_ethertype(EtherTypes::Arp);
    let mut arp = MutableArpPacket::new(&mut frame[ETHERNET_OCTETS..]).expect("the frame was made for it");
    arp.set_hardware_type(ArpHardwareTypes::Ethernet);
    arp.set_protocol_type(EtherTypes::Ipv4);
    arp.set_hw_addr_len(6);
    arp.set_proto_addr_len(4);
    arp.set_operation(ArpOperations::Request);
    arp.set_sender_hw_addr(MacAddr::from(mac.0));
    arp.set_sender_proto_addr(sender);
    arp.set_target_hw_addr(MacAddr::zero());
    arp.set_target_proto_addr(target);
    frame
}

/// Returns the frame that carries an `ICMPv6` message, whose checksum it fills in, to a multicast group.
pub(crate) fn neighbour_discovery(
    mac: MacAddress,
    source: Ipv6Addr,
    group: Ipv6Addr,
    message: &[u8; NEIGHBOUR_DISCOVERY_OCTETS],
) -> Vec<u8> {
    let [.., a, b, c, d] = group.octets();
    let mut frame = ethernet(MacAddr::new(0x33, 0x33, a, b, c, d), mac, IPV6_OCTETS + message.len());
    frame_header(&mut frame).set_ethertype(EtherTypes::Ipv6);
    let (header, payload) = frame[ETHERNET_OCTETS..].split_at_mut(IPV6_OCTETS);
    let mut ip = MutableIpv6Packet::new(header).expect("the frame was made for it");
    ip.set_version(6);
    ip.set_payload_length(u16::try_from(message.len()).expect("neighbour discovery has some tens of octets"));
    ip.set_next_header(IpNextHeaderProtocols::Icmpv6);
    ip.set_hop_limit(HOP_LIMIT);
    ip.set_source(source);
    ip.set_destination(group);

    payload.copy_from_slice(message);
    let mut icmp = MutableIcmpv6Packet::new(payload).expect("the frame was made for it");
    let checksum = icmpv6::checksum(&icmp.to_immutable(), &source, &group);
    icmp.set_checksum(checksum);
    frame
}

/// Returns the option that says where somebody is.
pub(crate) fn link_layer_option(kind: NdpOptionType, mac: MacAddress) -> NdpOption {
    NdpOption { option_type: kind, length: LINK_LAYER_OPTION_UNITS, data: mac.0.to_vec() }
}

fn ethernet(destination: MacAddr, source: MacAddress, payload_octets: usize) -> Vec<u8> {
    let mut frame = vec![0; ETHERNET_OCTETS + payload_octets];
    let mut header = frame_header(&mut frame);
    header.set_destination(destination);
    header.set_source(MacAddr::from(source.0));
    frame
}

fn frame_header(frame: &mut [u8]) -> MutableEthernetPacket<'_> {
    MutableEthernetPacket::new(frame).expect("every frame here has a header")
}
