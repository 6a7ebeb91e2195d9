//! What Baton and another product speak with each other, and Baton's side of it.

use std::fmt::{self, Write as _};

/// What a pair of one Baton and one other product speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// The version and the family.
    pub version: Version,
    /// How advertisements travel.
    pub transport: Transport,
}

/// A version of VRRP and what it is spoken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Version 2, which is over IPv4.
    V2,
    /// Version 3 over IPv4, with the pseudo-header in the checksum: Keepalived before 2.3.3 and FRR before 8.5 know no
    /// other.
    V3,
    /// Version 3 over IPv6.
    V3OverIpv6,
}

/// How advertisements travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// To the group.
    Multicast,
    /// To the peer's address.
    Unicast,
}

/// Who is to be Active while both are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preferred {
    /// Baton.
    Baton,
    /// The other product.
    Peer,
    /// Nobody: the priorities are equal.
    Neither,
}

/// Which of the two machines Baton runs on; the addresses of `lb2` are greater than those of `lb1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seats {
    /// Baton on `lb1`, the other product on `lb2`.
    BatonFirst,
    /// The other product on `lb1`, Baton on `lb2`.
    PeerFirst,
}

impl fmt::Display for Dialect {
    /// As a part of a test's name: `in_version_3_by_multicast`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = match self.version {
            Version::V2 => "in_version_2",
            Version::V3 => "in_version_3",
            Version::V3OverIpv6 => "over_ipv6",
        };
        let transport = match self.transport {
            Transport::Multicast => "by_multicast",
            Transport::Unicast => "by_unicast",
        };
        write!(formatter, "{version}_{transport}")
    }
}

impl Dialect {
    /// The virtual address of the clients.
    pub fn address(self) -> &'static str {
        match self.version {
            Version::V2 | Version::V3 => crate::VIRTUAL,
            Version::V3OverIpv6 => crate::VIRTUAL_V6,
        }
    }

    /// The configuration of a pair with Baton on `lb1`.
    pub fn baton(self, preferred: Preferred) -> String {
        self.baton_at(Seats::BatonFirst, preferred)
    }

    /// The configuration of a pair with Baton on one of the two.
    pub fn baton_at(self, seats: Seats, preferred: Preferred) -> String {
        let (ours, theirs) = (preferred.baton_priority(), preferred.peer_priority());
        let mut text = format!(
            "[node.{}]\naddresses = [{}]\npriority = {ours}\n\n\
             [node.{}]\nkind = \"vrrp\"\naddresses = [{}]\npriority = {theirs}\n\n\
             [virtual_router.web]\ninterface = \"eth0\"\nvirtual_router_id = 51\n",
            seats.baton(),
            quoted(&[self.node(seats.baton())]),
            seats.peer(),
            quoted(&[self.node(seats.peer())]),
        );
        let keys = match self.version {
            Version::V2 => "version = 2\nadvert_interval = \"1s\"\n",
            Version::V3 => "advert_interval = \"100ms\"\nchecksum = \"pseudo-header\"\n",
            Version::V3OverIpv6 => "advert_interval = \"100ms\"\n",
        };
        text.push_str(keys);
        match (self.transport, self.version) {
            (Transport::Multicast, Version::V2 | Version::V3 | Version::V3OverIpv6) => {}
            (Transport::Unicast, Version::V2 | Version::V3) => text.push_str("transport = \"unicast\"\n"),
            // Over IPv6 Keepalived sends unicast with the kernel's own hop limit.
            (Transport::Unicast, Version::V3OverIpv6) => {
                text.push_str("transport = \"unicast\"\nmin_hop_limit = 64\n");
            }
        }
        writeln!(text, "virtual_addresses = [{}]", quoted(self.addresses())).expect("a string takes text");
        text
    }

    /// The same list on both sides: Keepalived before 2.3.3 drops advertisements with another one.
    pub(crate) fn addresses(self) -> &'static [&'static str] {
        match self.version {
            Version::V2 | Version::V3 => &["10.77.0.50/24"],
            Version::V3OverIpv6 => &["fe80::50/64", "fd77::50/64"],
        }
    }

    /// The address of a machine, `lb1` or `lb2`.
    pub(crate) fn node(self, machine: &str) -> String {
        let number = machine.trim_start_matches("lb");
        match self.version {
            Version::V2 | Version::V3 => format!("10.77.0.1{number}"),
            Version::V3OverIpv6 => format!("fd77::1{number}"),
        }
    }
}

impl Preferred {
    fn baton_priority(self) -> u8 {
        match self {
            Self::Baton => 150,
            Self::Peer | Self::Neither => 100,
        }
    }

    pub(crate) fn peer_priority(self) -> u8 {
        match self {
            Self::Peer => 150,
            Self::Baton | Self::Neither => 100,
        }
    }
}

impl Seats {
    /// The machine that Baton runs on.
    pub fn baton(self) -> &'static str {
        match self {
            Self::BatonFirst => "lb1",
            Self::PeerFirst => "lb2",
        }
    }

    /// The machine that the other product runs on.
    pub fn peer(self) -> &'static str {
        match self {
            Self::BatonFirst => "lb2",
            Self::PeerFirst => "lb1",
        }
    }
}

fn quoted<T: fmt::Display>(texts: &[T]) -> String {
    texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ")
}
