//! Who a virtual router is: its number, its priority, its version and family, its hardware address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU8;

use thiserror::Error;

/// The version of VRRP that a virtual router speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// [RFC 3768](https://www.rfc-editor.org/rfc/rfc3768), IPv4 only, intervals in whole seconds.
    V2,
    /// [RFC 9568](https://www.rfc-editor.org/rfc/rfc9568), IPv4 and IPv6, intervals in centiseconds.
    V3,
}

impl Version {
    /// Returns the number in the first four bits of an advertisement.
    pub const fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}

/// The family of a virtual router's addresses; IPv4 and IPv6 are separate elections.
/// [RFC 9568, section 2](https://www.rfc-editor.org/rfc/rfc9568#section-2)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Returns the family that an address belongs to.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// A number that has no place in the range of the thing it should become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{what} must be between 1 and 255, not {value}")]
pub struct OutOfRange {
    what: &'static str,
    value: u32,
}

/// A Virtual Router Identifier, 1 to 255.
/// [RFC 9568, section 5.2.3](https://www.rfc-editor.org/rfc/rfc9568#section-5.2.3)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vrid(NonZeroU8);

impl Vrid {
    /// Returns the identifier of this number.
    ///
    /// # Errors
    /// [`OutOfRange`] for 0 and for more than 255.
    pub fn new(value: u32) -> Result<Self, OutOfRange> {
        u8::try_from(value)
            .ok()
            .and_then(NonZeroU8::new)
            .map(Self)
            .ok_or(OutOfRange { what: "a virtual router identifier", value })
    }

    /// Returns the number.
    pub const fn get(self) -> u8 {
        self.0.get()
    }

    /// Returns the virtual router's own hardware address.
    /// [RFC 9568, section 7.3](https://www.rfc-editor.org/rfc/rfc9568#section-7.3)
    pub const fn virtual_mac(self, family: Family) -> MacAddress {
        let family_octet = match family {
            Family::V4 => 0x01,
            Family::V6 => 0x02,
        };
        MacAddress([0x00, 0x00, 0x5E, 0x00, family_octet, self.get()])
    }

    /// Returns the link-local address that every node derives alike from the virtual IPv6 MAC address, for a virtual
    /// router whose configuration names none.
    ///
    /// The first address of an IPv6 advertisement must be link-local
    /// ([RFC 9568, section 5.2.9](https://www.rfc-editor.org/rfc/rfc9568#section-5.2.9)); the interface identifier is the
    /// modified EUI-64 of [RFC 4291, appendix A](https://www.rfc-editor.org/rfc/rfc4291#appendix-A).
    pub fn link_local_address(self) -> Ipv6Addr {
        Ipv6Addr::new(0xFE80, 0, 0, 0, 0x0200, 0x5EFF, 0xFE00, 0x0200 | u16::from(self.get()))
    }
}

impl fmt::Display for Vrid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A virtual router's priority, 1 to 255, or the 0 with which an Active says that it leaves.
/// [RFC 9568, section 5.2.4](https://www.rfc-editor.org/rfc/rfc9568#section-5.2.4)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// Said by an Active that stops; never configured.
    pub const RELEASE: Self = Self(0);
    /// The lowest that can be configured.
    pub const LOWEST: Self = Self(1);
    /// The default of a Backup.
    pub const DEFAULT: Self = Self(100);
    /// The owner of the addresses.
    pub const OWNER: Self = Self(255);

    /// Returns the priority that a node may be configured with.
    ///
    /// # Errors
    /// [`OutOfRange`] for 0 and for more than 255.
    pub fn new(value: u32) -> Result<Self, OutOfRange> {
        match u8::try_from(value) {
            Ok(number) if number > 0 => Ok(Self(number)),
            Ok(_) | Err(_) => Err(OutOfRange { what: "a priority", value }),
        }
    }

    /// Returns the priority that stands in a received advertisement, 0 included.
    pub const fn from_wire(octet: u8) -> Self {
        Self(octet)
    }

    /// Returns the number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// An Ethernet hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0;
        write!(formatter, "{first:02x}")?;
        rest.iter().try_for_each(|octet| write!(formatter, ":{octet:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_256_are_neither_identifier_nor_priority() {
        for value in [0, 256] {
            assert!(Vrid::new(value).is_err());
            assert!(Priority::new(value).is_err());
        }
        assert_eq!(
            Vrid::new(0).unwrap_err().to_string(),
            "a virtual router identifier must be between 1 and 255, not 0"
        );
    }

    #[test]
    fn virtual_mac_and_link_local_address_end_with_the_identifier() {
        let vrid = Vrid::new(51).unwrap();
        assert_eq!(vrid.virtual_mac(Family::V4).to_string(), "00:00:5e:00:01:33");
        assert_eq!(vrid.virtual_mac(Family::V6).to_string(), "00:00:5e:00:02:33");
        assert_eq!(vrid.link_local_address().to_string(), "fe80::200:5eff:fe00:233");
    }
}
