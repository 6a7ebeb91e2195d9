//! What an Active says, and its bytes.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |Version| Type  | Virtual Rtr ID|   Priority    | Address Count |  0
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |  0    | Max Advertise Interval|          Checksum             |  4  version 3: 12 bits of centiseconds
//! |  Auth Type    |   Adver Int   |          Checksum             |     version 2: 8 bits of seconds
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                       IPvX Address(es)                        |  8
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                 Authentication Data (8 octets)                |     version 2 only
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//! [RFC 9568, section 5.2](https://www.rfc-editor.org/rfc/rfc9568#section-5.2) and
//! [RFC 3768, section 5.3](https://www.rfc-editor.org/rfc/rfc3768#section-5.3)

mod message;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use pnet::packet::ip::IpNextHeaderProtocols::Vrrp;
use pnet::util;
use thiserror::Error;

pub use self::message::Message;
use crate::authentication::{
    Authentication, AuthenticationError, Credentials, Password, Sequences, TRAILER_OCTETS,
};
use crate::identity::{Family, Priority, Version, Vrid};
use crate::timing::Centiseconds;

/// VRRP's number among the protocols of IP.
/// [RFC 9568, section 5.1.1.4](https://www.rfc-editor.org/rfc/rfc9568#section-5.1.1.4)
pub const PROTOCOL: u8 = 112;

/// Where multicast advertisements of IPv4 virtual routers go.
/// [RFC 9568, section 5.1.1.2](https://www.rfc-editor.org/rfc/rfc9568#section-5.1.1.2)
pub const MULTICAST_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// Where multicast advertisements of IPv6 virtual routers go.
/// [RFC 9568, section 5.1.2.2](https://www.rfc-editor.org/rfc/rfc9568#section-5.1.2.2)
pub const MULTICAST_V6: Ipv6Addr = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 0x12);

const TYPE_ADVERTISEMENT: u8 = 0x1;
const FIXED_OCTETS: usize = 8;
const AUTHENTICATION_DATA_OCTETS: usize = Password::OCTETS;
/// Where the virtual router identifier stands.
pub(crate) const VRID_OFFSET: usize = 1;
/// Where the checksum stands.
pub(crate) const CHECKSUM_OFFSET: usize = 6;
/// The checksum's place in 16-bit words, as [`pnet::util`] counts.
const CHECKSUM_WORD: usize = CHECKSUM_OFFSET / 2;
const INTERVAL_MASK: u16 = 0x0FFF;

/// Returns the group that a family's multicast advertisements go to.
pub const fn multicast_group(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(MULTICAST_V4),
        Family::V6 => IpAddr::V6(MULTICAST_V6),
    }
}

/// How the checksum of version 3 over IPv4 is computed; version 2 and IPv6 leave no choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChecksumStyle {
    /// Over the message alone.
    /// [RFC 9568, section 5.2.8](https://www.rfc-editor.org/rfc/rfc9568#section-5.2.8)
    MessageOnly,
    /// Over a pseudo-header and the message, as Keepalived and others read RFC 5798.
    PseudoHeader,
}

/// What an Active says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// The version it is said in.
    pub version: Version,
    /// The virtual router it is about.
    pub vrid: Vrid,
    /// The sender's priority, [`Priority::RELEASE`] when it leaves.
    pub priority: Priority,
    /// The sender's interval.
    pub interval: Centiseconds,
    /// The virtual addresses, 1 to 255.
    pub addresses: Vec<IpAddr>,
}

/// An advertisement as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// What was said.
    pub advertisement: Advertisement,
    /// How its checksum was computed.
    pub checksum: ChecksumStyle,
}

/// Why bytes are no advertisement.
/// [RFC 9568, section 7.1](https://www.rfc-editor.org/rfc/rfc9568#section-7.1)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum ParseError {
    /// The message has fewer octets than any advertisement.
    #[error("the message has {octets} octets, fewer than the {FIXED_OCTETS} of its fixed part")]
    TooShort {
        /// How many it has.
        octets: usize,
    },
    /// The version is none that exists, or none that exists for the family.
    #[error("version {version} is not 2 or 3, or not for this address family")]
    Version {
        /// The number in the message.
        version: u8,
    },
    /// The type is not ADVERTISEMENT.
    #[error("type {kind} is not 1, ADVERTISEMENT")]
    Type {
        /// The number in the message.
        kind: u8,
    },
    /// The length does not fit the number of addresses.
    #[error("the message has {octets} octets where its address count asks for {expected}")]
    Length {
        /// How many it has.
        octets: usize,
        /// How many it should have.
        expected: usize,
    },
    /// The checksum is wrong in both styles.
    #[error("the checksum is wrong")]
    Checksum,
    /// The virtual router identifier is 0.
    #[error("the virtual router identifier is 0")]
    Vrid,
    /// There is no address.
    /// [Erratum 8299](https://www.rfc-editor.org/errata/eid8299)
    #[error("the address count is 0")]
    NoAddress,
    /// The interval is 0, with which a Backup would never wait.
    #[error("the advertisement interval is 0")]
    Interval,
    /// The message does not prove what it has to.
    #[error("{0}")]
    Authentication(#[from] AuthenticationError),
}

impl Advertisement {
    /// Reads the payload of an IP packet from `source` to `destination` that carries no authentication.
    ///
    /// # Errors
    /// [`ParseError`] with the first reason why it is no advertisement.
    pub fn parse(bytes: &[u8], source: IpAddr, destination: IpAddr) -> Result<Received, ParseError> {
        let message = Message::read(bytes, source, destination)?;
        Authentication::None.verify(&message, &mut Sequences::default(), Duration::ZERO)?;
        message.advertisement()
    }

    /// Writes the payload of an IP packet from `source` to `destination`.
    ///
    /// The style of the checksum only matters to version 3 over IPv4.
    pub fn emit(&self, source: IpAddr, destination: IpAddr, style: ChecksumStyle) -> Vec<u8> {
        self.emit_with(&Credentials::None, source, destination, style)
    }

    /// Writes the payload of an IP packet that proves where it comes from.
    pub fn emit_with(
        &self,
        credentials: &Credentials<'_>,
        source: IpAddr,
        destination: IpAddr,
        style: ChecksumStyle,
    ) -> Vec<u8> {
        let family = Family::of(source);
        let count =
            u8::try_from(self.addresses.len()).expect("a configuration has at most 255 advertised addresses");
        let octets = octets(self.version, family, count.into());
        let (text_type, text) = credentials.text();
        let mut bytes = Vec::with_capacity(octets + TRAILER_OCTETS);
        bytes.extend([
            self.version.number() << 4 | TYPE_ADVERTISEMENT,
            self.vrid.get(),
            self.priority.get(),
            count,
        ]);
        match self.version {
            Version::V2 => {
                let seconds =
                    u8::try_from(self.interval.get() / 100).expect("version 2 carries at most 255 seconds");
                bytes.extend([text_type, seconds]);
            }
            Version::V3 => bytes.extend((self.interval.get() & INTERVAL_MASK).to_be_bytes()),
        }
        bytes.extend([0, 0]);
        for address in &self.addresses {
            match address {
                IpAddr::V4(address) => bytes.extend(address.octets()),
                IpAddr::V6(address) => bytes.extend(address.octets()),
            }
        }
        match self.version {
            Version::V2 => bytes.extend(text),
            Version::V3 => {}
        }
        let trailer = credentials.trailer(&bytes, source);
        bytes.extend(trailer.iter().flatten());
        let covered = match family {
            Family::V4 => &bytes[..octets],
            Family::V6 => &bytes,
        };
        let checksum = checksum(covered, self.version, style, source, destination);
        bytes[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }
}

fn octets(version: Version, family: Family, addresses: usize) -> usize {
    let each = match family {
        Family::V4 => 4,
        Family::V6 => 16,
    };
    let trailer = match version {
        Version::V2 => AUTHENTICATION_DATA_OCTETS,
        Version::V3 => 0,
    };
    FIXED_OCTETS + addresses * each + trailer
}

fn addresses(bytes: &[u8], family: Family) -> Box<dyn Iterator<Item = IpAddr> + '_> {
    match family {
        Family::V4 => Box::new(bytes.as_chunks::<4>().0.iter().map(|&octets| IpAddr::from(octets))),
        Family::V6 => Box::new(bytes.as_chunks::<16>().0.iter().map(|&octets| IpAddr::from(octets))),
    }
}

/// Returns the style in which the checksum in `bytes` is right; the RFC's own when both are.
fn checksum_style(
    bytes: &[u8],
    version: Version,
    source: IpAddr,
    destination: IpAddr,
) -> Option<ChecksumStyle> {
    let found = u16::from_be_bytes([bytes[CHECKSUM_OFFSET], bytes[CHECKSUM_OFFSET + 1]]);
    [ChecksumStyle::MessageOnly, ChecksumStyle::PseudoHeader]
        .into_iter()
        .find(|&style| checksum(bytes, version, style, source, destination) == found)
}

fn checksum(
    bytes: &[u8],
    version: Version,
    style: ChecksumStyle,
    source: IpAddr,
    destination: IpAddr,
) -> u16 {
    match (source, destination, version, style) {
        (IpAddr::V6(source), IpAddr::V6(destination), Version::V2 | Version::V3, _) => {
            util::ipv6_checksum(bytes, CHECKSUM_WORD, &[], &source, &destination, Vrrp)
        }
        (IpAddr::V4(source), IpAddr::V4(destination), Version::V3, ChecksumStyle::PseudoHeader) => {
            util::ipv4_checksum(bytes, CHECKSUM_WORD, &[], &source, &destination, Vrrp)
        }
        (IpAddr::V4(_) | IpAddr::V6(_), IpAddr::V4(_) | IpAddr::V6(_), Version::V2 | Version::V3, _) => {
            util::checksum(bytes, CHECKSUM_WORD)
        }
    }
}

#[cfg(test)]
mod tests;
