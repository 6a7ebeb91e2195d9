//! The sets of what is dropped, and their elements.

use std::ffi::CStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use node::input_drop::InputDrop;
use node::name::InterfaceName;

/// The octets of an interface's name, `IFNAMSIZ`.
const NAME_OCTETS: usize = 16;

/// A set of what is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    Ipv4,
    Ipv6,
    LinkLocal,
}

impl Set {
    pub(super) const ALL: [Self; 3] = [Self::Ipv4, Self::Ipv6, Self::LinkLocal];

    pub(super) fn of(drop: &InputDrop) -> Self {
        match (drop.address, &drop.interface) {
            (IpAddr::V4(_), _) => Self::Ipv4,
            (IpAddr::V6(_), None) => Self::Ipv6,
            (IpAddr::V6(_), Some(_)) => Self::LinkLocal,
        }
    }

    pub(super) const fn name(self) -> &'static CStr {
        match self {
            Self::Ipv4 => c"accept_off_ipv4",
            Self::Ipv6 => c"accept_off_ipv6",
            Self::LinkLocal => c"accept_off_link_local",
        }
    }

    /// The number of the type that `nft` shows the elements by, those of a concatenation 6 bits apart.
    pub(super) const fn key_type(self) -> u32 {
        const IPV4_ADDRESS: u32 = 7;
        const IPV6_ADDRESS: u32 = 8;
        const INTERFACE_NAME: u32 = 41;
        match self {
            Self::Ipv4 => IPV4_ADDRESS,
            Self::Ipv6 => IPV6_ADDRESS,
            Self::LinkLocal => INTERFACE_NAME << 6 | IPV6_ADDRESS,
        }
    }

    pub(super) const fn key_octets(self) -> u32 {
        match self {
            Self::Ipv4 => 4,
            Self::Ipv6 => 16,
            Self::LinkLocal => 32,
        }
    }

    /// Tells the sets of one transaction apart.
    pub(super) const fn id(self) -> u32 {
        match self {
            Self::Ipv4 => 1,
            Self::Ipv6 => 2,
            Self::LinkLocal => 3,
        }
    }

    /// Returns what an element of the set stands for; nothing where it is none of Baton's.
    pub(super) fn drop_of(self, key: &[u8]) -> Option<InputDrop> {
        let (address, interface): (IpAddr, _) = match self {
            Self::Ipv4 => (Ipv4Addr::from(<[u8; 4]>::try_from(key).ok()?).into(), None),
            Self::Ipv6 => (Ipv6Addr::from(<[u8; 16]>::try_from(key).ok()?).into(), None),
            Self::LinkLocal => {
                let (name, address) = key.split_at_checked(NAME_OCTETS)?;
                let name = CStr::from_bytes_until_nul(name).ok()?.to_str().ok()?;
                let address = Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?);
                (address.into(), Some(InterfaceName::new(name).ok()?))
            }
        };
        Some(InputDrop { address, interface })
    }

    /// Returns the element of its set that stands for a drop.
    pub(super) fn key_of(drop: &InputDrop) -> Vec<u8> {
        let mut key = Vec::new();
        if let Some(interface) = &drop.interface {
            key.extend(interface.as_str().as_bytes());
            key.resize(NAME_OCTETS, 0);
        }
        match drop.address {
            IpAddr::V4(address) => key.extend(address.octets()),
            IpAddr::V6(address) => key.extend(address.octets()),
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_read_back_as_the_drop_that_it_was_written_for() {
        let eth0 = InterfaceName::new("eth0").unwrap();
        let drops = [
            (InputDrop { address: "10.77.0.50".parse().unwrap(), interface: None }, Set::Ipv4),
            (InputDrop { address: "fd77::50".parse().unwrap(), interface: None }, Set::Ipv6),
            (InputDrop { address: "fe80::50".parse().unwrap(), interface: Some(eth0) }, Set::LinkLocal),
        ];
        for (drop, set) in drops {
            assert_eq!(Set::of(&drop), set);
            let key = Set::key_of(&drop);
            assert_eq!(key.len(), usize::try_from(set.key_octets()).unwrap());
            assert_eq!(set.drop_of(&key), Some(drop));
        }
    }

    #[test]
    fn an_element_of_another_length_or_without_a_name_stands_for_nothing() {
        for set in Set::ALL {
            for length in 0..40 {
                assert_eq!(
                    set.drop_of(&vec![0xFF; length]).is_some(),
                    [4, 16].contains(&length) && set.key_octets() as usize == length
                );
            }
        }
    }
}
