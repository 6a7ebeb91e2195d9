//! An address with its prefix length.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::Error;

/// An interface's address and the length of its network's prefix in bits, as in `10.77.0.11/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Joins an address and a prefix length.
    ///
    /// # Errors
    /// When the prefix is longer than the address (32 or 128 bits).
    pub fn new(address: impl Into<IpAddr>, prefix: u8) -> Result<Self, Error> {
        let address = address.into();
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if prefix > longest {
            return Err(Error::Cidr { text: format!("{address}/{prefix}") });
        }
        Ok(Self { address, prefix })
    }

    /// The address alone.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// The prefix length in bits.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether an address lies in this network.
    pub fn contains(self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let differing = u32::from(ours) ^ u32::from(theirs);
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let differing = u128::from(ours) ^ u128::from(theirs);
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Cidr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let malformed = || Error::Cidr { text: text.to_owned() };
        let (address, prefix) = text.split_once('/').ok_or_else(malformed)?;
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        let prefix = prefix.parse().map_err(|_| malformed())?;
        Self::new(address, prefix).map_err(|_| malformed())
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_no_address_with_prefix_is_refused() {
        for text in ["10.77.0.11", "10.77.0.11/33", "fd77::/129", "lb1/24", "10.77.0.11/", ""] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_network_contains_its_own_addresses_and_no_others() {
        let network: Cidr = "10.77.0.11/24".parse().unwrap();
        assert!(network.contains("10.77.0.254".parse().unwrap()));
        assert!(!network.contains("10.77.1.1".parse().unwrap()));
        assert!(!network.contains("fd77::1".parse().unwrap()));
        let network: Cidr = "fd77::/64".parse().unwrap();
        assert!(network.contains("fd77::ffff".parse().unwrap()));
        assert!(!network.contains("fd78::1".parse().unwrap()));
    }
}
