//! Subnets, and the addresses in them that nobody has.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lab::Cidr;

/// How many addresses of a subnet are looked at for a free one; a rehearsal has fewer machines.
const CANDIDATES: u8 = 254;

/// The prefix of a subnet that no key of the file tells, in bits: what most networks have.
const USUAL_V4: u8 = 24;
const USUAL_V6: u8 = 64;

/// Returns the subnet that an address with a prefix of this length lies in.
pub fn subnet(address: IpAddr, prefix: u8) -> Cidr {
    let network: IpAddr = match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & mask_v4(prefix)).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & mask_v6(prefix)).into(),
    };
    Cidr::new(network, prefix).expect("a prefix length fits the address it came with")
}

/// Returns the subnet of the usual size that an address lies in.
pub fn usual_subnet(address: IpAddr) -> Cidr {
    subnet(address, usual_prefix(address))
}

/// Returns the smallest subnet of a usual size or larger that holds all of these addresses, if they are of one family.
pub fn assumed(addresses: &BTreeSet<IpAddr>) -> Option<Cidr> {
    let first = *addresses.first()?;
    let candidates = (0..=usual_prefix(first)).rev().map(|prefix| subnet(first, prefix));
    let mut fitting = candidates.filter(|subnet| addresses.iter().all(|&address| subnet.contains(address)));
    fitting.next()
}

/// Returns whether a subnet is no larger than usual.
pub fn is_usual(subnet: Cidr) -> bool {
    subnet.prefix() >= usual_prefix(subnet.address())
}

/// Returns whether an address is only valid together with an interface.
pub fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Returns the length of a whole address in bits.
pub fn whole(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Takes a free address of a subnet, the last ones first, because people begin with the first.
pub fn take_free(subnet: Cidr, taken: &mut BTreeSet<IpAddr>) -> Option<Cidr> {
    let last = match whole(subnet.address()) - subnet.prefix() {
        0 => 0,
        bits @ 1..8 => (1 << bits) - 2,
        8.. => CANDIDATES,
    };
    let free =
        (1..=last).rev().map(|number| nth(subnet.address(), number)).find(|&free| taken.insert(free))?;
    Some(Cidr::new(free, subnet.prefix()).expect("the prefix is the subnet's own"))
}

fn usual_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { USUAL_V4 } else { USUAL_V6 }
}

fn nth(network: IpAddr, number: u8) -> IpAddr {
    match network {
        IpAddr::V4(network) => Ipv4Addr::from_bits(network.to_bits() | u32::from(number)).into(),
        IpAddr::V6(network) => Ipv6Addr::from_bits(network.to_bits() | u128::from(number)).into(),
    }
}

fn mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn mask_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> BTreeSet<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn an_assumed_subnet_is_of_usual_size_unless_the_addresses_are_farther_apart() {
        for (these, expected) in [
            (&["10.77.0.11", "10.77.0.12"][..], "10.77.0.0/24"),
            (&["10.77.0.11", "10.77.1.12"], "10.77.0.0/23"),
            (&["fd77::11", "fd77::12"], "fd77::/64"),
            (&["0.0.0.1", "128.0.0.1"], "0.0.0.0/0"),
        ] {
            assert_eq!(assumed(&addresses(these)).unwrap().to_string(), expected);
        }
        assert_eq!(assumed(&addresses(&["10.77.0.11", "fd77::11"])), None);
        assert_eq!(assumed(&BTreeSet::new()), None);
    }

    #[test]
    fn free_addresses_are_taken_from_the_end_and_never_twice() {
        let mut taken = addresses(&["10.77.0.254", "fd77::fd"]);
        let mut take =
            |text: &str| take_free(text.parse().unwrap(), &mut taken).map(|address| address.to_string());
        assert_eq!(take("10.77.0.0/24").unwrap(), "10.77.0.253/24");
        assert_eq!(take("10.77.0.0/24").unwrap(), "10.77.0.252/24");
        assert_eq!(take("fd77::/64").unwrap(), "fd77::fe/64");
        assert_eq!(take("fd77::/64").unwrap(), "fd77::fc/64");
        let small: Vec<_> = (0..3).map(|_| take("192.0.2.4/30")).collect();
        assert_eq!(small, [Some("192.0.2.6/30".to_owned()), Some("192.0.2.5/30".to_owned()), None]);
        assert_eq!(take("192.0.2.9/32"), None);
    }
}
