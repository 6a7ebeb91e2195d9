//! A received message whose parts are known and not yet believed.

use std::net::IpAddr;

use super::{
    AUTHENTICATION_DATA_OCTETS, Advertisement, FIXED_OCTETS, INTERVAL_MASK, ParseError, Received,
    TYPE_ADVERTISEMENT, addresses, checksum_style, octets,
};
use crate::authentication::TRAILER_OCTETS;
use crate::identity::{Family, Priority, Version, Vrid};
use crate::timing::Centiseconds;

/// A message whose version, address count and length agree: an advertisement, and perhaps a trailer behind it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    fixed: [u8; FIXED_OCTETS],
    version: Version,
    octets: &'a [u8],
    trailer: Option<&'a [u8; TRAILER_OCTETS]>,
    whole: &'a [u8],
    source: IpAddr,
    destination: IpAddr,
}

impl<'a> Message<'a> {
    /// Finds the parts of the payload of an IP packet from `source` to `destination`.
    ///
    /// # Errors
    /// [`ParseError::TooShort`], [`ParseError::Version`] or [`ParseError::Length`].
    pub fn read(whole: &'a [u8], source: IpAddr, destination: IpAddr) -> Result<Self, ParseError> {
        let Some(&fixed) = whole.first_chunk::<FIXED_OCTETS>() else {
            return Err(ParseError::TooShort { octets: whole.len() });
        };
        let [version_and_type, _, _, count, ..] = fixed;
        let family = Family::of(source);
        let version = match (version_and_type >> 4, family) {
            (2, Family::V4) => Version::V2,
            (3, Family::V4 | Family::V6) => Version::V3,
            (version, Family::V4 | Family::V6) => return Err(ParseError::Version { version }),
        };
        let expected = octets(version, family, count.into());
        let wrong_length = ParseError::Length { octets: whole.len(), expected };
        let (octets, rest) = whole.split_at_checked(expected).ok_or(wrong_length)?;
        let trailer = match rest {
            [] => None,
            rest => Some(rest.try_into().map_err(|_| wrong_length)?),
        };
        Ok(Self { fixed, version, octets, trailer, whole, source, destination })
    }

    /// Returns the version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns who claims to have sent it.
    pub fn source(&self) -> IpAddr {
        self.source
    }

    /// Returns the message without a trailer.
    pub(crate) fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// Returns what follows the message.
    pub(crate) fn trailer(&self) -> Option<&'a [u8; TRAILER_OCTETS]> {
        self.trailer
    }

    /// Returns the type and the data of version 2's own authentication.
    pub(crate) fn text_authentication(&self) -> Option<(u8, &'a [u8; AUTHENTICATION_DATA_OCTETS])> {
        match self.version {
            Version::V2 => {
                let data = self.octets.last_chunk().expect("version 2 ends with its authentication data");
                Some((self.fixed[4], data))
            }
            Version::V3 => None,
        }
    }

    /// Reads what it says, which [`Authentication::verify`](crate::Authentication::verify) decides whether to believe.
    ///
    /// # Errors
    /// [`ParseError`] with the first reason why it is no advertisement.
    pub fn advertisement(&self) -> Result<Received, ParseError> {
        let [version_and_type, vrid, priority, count, first, second, _, _] = self.fixed;
        if version_and_type & 0x0F != TYPE_ADVERTISEMENT {
            return Err(ParseError::Type { kind: version_and_type & 0x0F });
        }
        // The checksum of IPv6 is that of the whole payload, as the kernel computes it.
        let covered = match Family::of(self.source) {
            Family::V4 => self.octets,
            Family::V6 => self.whole,
        };
        let checksum = checksum_style(covered, self.version, self.source, self.destination)
            .ok_or(ParseError::Checksum)?;
        let interval = match self.version {
            Version::V2 => Centiseconds::new(u16::from(second) * 100),
            Version::V3 => Centiseconds::new(u16::from_be_bytes([first, second]) & INTERVAL_MASK),
        };
        let vrid = Vrid::new(vrid.into()).map_err(|_| ParseError::Vrid)?;
        if count == 0 {
            return Err(ParseError::NoAddress);
        }
        if interval.get() == 0 {
            return Err(ParseError::Interval);
        }
        let addresses = addresses(&self.octets[FIXED_OCTETS..], Family::of(self.source));
        let addresses = addresses.take(count.into()).collect();
        let priority = Priority::from_wire(priority);
        let version = self.version;
        Ok(Received {
            advertisement: Advertisement { version, vrid, priority, interval, addresses },
            checksum,
        })
    }
}
