//! Received packets, as far as the advertisement inside.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use vrrp::{Family, multicast_group};

use super::Reception;
use crate::messages::{Incoming, ReceivedMessage};

/// The shortest IPv4 header, in octets. [RFC 791, section 3.1](https://www.rfc-editor.org/rfc/rfc791#section-3.1)
const IPV4_HEADER_OCTETS: usize = 20;

/// Room for one batch of received packets, used again and again.
pub struct Batch {
    pub(super) incoming: Incoming,
    pub(super) family: Family,
    pub(super) reception: Reception,
}

/// One received packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The address it claims to come from.
    pub source: IpAddr,
    /// The address it was sent to.
    pub destination: IpAddr,
    /// What is left of its TTL or hop limit.
    pub hop_limit: u8,
    /// What follows the IP header, without Ethernet's padding.
    pub payload: &'a [u8],
}

impl Batch {
    /// Returns an empty batch.
    pub fn new() -> Self {
        Self { incoming: Incoming::new(), family: Family::V4, reception: Reception::UnicastOnly }
    }

    /// Iterates over what was received last, in the order in which it came.
    pub fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        let datagrams = self.incoming.iter().filter_map(|message| match self.family {
            Family::V4 => ipv4(message.octets),
            Family::V6 => ipv6(&message),
        });
        // An unbound raw IPv6 socket hears every group that anybody on this machine has joined.
        let group = match self.reception {
            Reception::Group => Some(multicast_group(self.family)),
            Reception::UnicastOnly => None,
        };
        datagrams.filter(move |datagram| {
            !datagram.destination.is_multicast() || Some(datagram.destination) == group
        })
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.datagrams()).finish()
    }
}

impl fmt::Debug for Datagram<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, destination, hop_limit, payload } = self;
        write!(formatter, "{source} to {destination}, {hop_limit} hops left: {payload:02x?}")
    }
}

/// A raw IPv4 socket gives the whole packet; the kernel has checked the header before.
///
/// ```text
///  0: version, header length in words   2: total length   8: TTL   12: source   16: destination
/// ```
fn ipv4(packet: &[u8]) -> Option<Datagram<'_>> {
    let header = packet.first_chunk::<IPV4_HEADER_OCTETS>()?;
    let header_length = usize::from(header[0] & 0x0F) * 4;
    let total_length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    // A packet that is longer than the room for it lacks its end here, and the parser then refuses its length.
    let payload = packet.get(header_length..total_length.min(packet.len()))?;
    Some(Datagram {
        source: Ipv4Addr::new(header[12], header[13], header[14], header[15]).into(),
        destination: Ipv4Addr::new(header[16], header[17], header[18], header[19]).into(),
        hop_limit: header[8],
        payload,
    })
}

/// A raw IPv6 socket gives what follows the headers; the rest was asked for as control messages.
fn ipv6<'a>(message: &ReceivedMessage<'a>) -> Option<Datagram<'a>> {
    Some(Datagram {
        source: message.source.into(),
        destination: message.destination()?.into(),
        hop_limit: message.hop_limit()?,
        payload: message.octets,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(options: &[u8], payload: &[u8], padding: &[u8]) -> Vec<u8> {
        let words = 5 + u8::try_from(options.len() / 4).unwrap();
        let total = u16::try_from(20 + options.len() + payload.len()).unwrap();
        let mut packet = vec![0x40 | words, 0xC0];
        packet.extend(total.to_be_bytes());
        packet.extend([0, 1, 0, 0, 255, 112, 0, 0, 10, 0, 0, 1, 224, 0, 0, 18]);
        packet.extend(options);
        packet.extend(payload);
        packet.extend(padding);
        packet
    }

    #[test]
    fn options_and_padding_are_no_part_of_an_advertisement() {
        let packet = packet(&[0x94, 0x04, 0, 0], &[0x31, 51, 100, 1], &[0; 18]);
        let datagram = ipv4(&packet).unwrap();
        assert_eq!(datagram.payload, [0x31, 51, 100, 1]);
        assert_eq!(datagram.source, IpAddr::from([10, 0, 0, 1]));
        assert_eq!(datagram.destination, IpAddr::from([224, 0, 0, 18]));
        assert_eq!(datagram.hop_limit, 255);
    }

    #[test]
    fn a_packet_that_is_cut_off_gives_what_there_is_or_nothing() {
        let packet = packet(&[], &[1, 2, 3, 4], &[]);
        assert_eq!(ipv4(&packet[..22]).unwrap().payload, [1, 2]);
        for length in 0..20 {
            assert_eq!(ipv4(&packet[..length]), None);
        }
        assert!(ipv4(&[0; 20]).unwrap().payload.is_empty());
    }

    #[test]
    fn a_header_longer_than_its_packet_is_no_packet() {
        let mut packet = packet(&[], &[1, 2, 3, 4], &[]);
        packet[0] = 0x4F;
        assert_eq!(ipv4(&packet), None);
    }
}
