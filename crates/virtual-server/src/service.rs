//! What the kernel's IPVS table holds: services and their destinations
//! (`/usr/include/linux/ip_vs.h`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::str::FromStr;

use thiserror::Error;

/// A transport protocol that IPVS balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// `IPPROTO_TCP`
    Tcp,
    /// `IPPROTO_UDP`
    Udp,
    /// `IPPROTO_SCTP`
    Sctp,
}

impl Protocol {
    /// Every protocol, in the order of this enum.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// Returns the name used in configurations and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The family of a service that is named by a firewall mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MarkFamily {
    /// `AF_INET`
    V4,
    /// `AF_INET6`
    V6,
}

/// What tells one IPVS service from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceKey {
    /// Packets of a protocol to an address and port (port 0: every port, with persistence).
    Address {
        /// The protocol.
        protocol: Protocol,
        /// The virtual address and port.
        address: SocketAddr,
    },
    /// Packets that the firewall marked.
    Mark {
        /// Whose packets.
        family: MarkFamily,
        /// The mark, `fwmark`.
        mark: NonZeroU32,
    },
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { protocol, address } => write!(formatter, "{protocol} {address}"),
            Self::Mark { mark, family: MarkFamily::V4 } => write!(formatter, "fwmark {mark}"),
            Self::Mark { mark, family: MarkFamily::V6 } => write!(formatter, "fwmark {mark} ipv6"),
        }
    }
}

/// One of the kernel's schedulers, by the name of its module `ip_vs_NAME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheduler {
    /// Round robin.
    Rr,
    /// Weighted round robin.
    Wrr,
    /// Least connections.
    Lc,
    /// Weighted least connections.
    Wlc,
    /// Locality-based least connections.
    Lblc,
    /// Locality-based least connections with replication.
    Lblcr,
    /// Destination hashing.
    Dh,
    /// Source hashing.
    Sh,
    /// Maglev hashing.
    Mh,
    /// Shortest expected delay.
    Sed,
    /// Never queue.
    Nq,
    /// Weighted fail over.
    Fo,
    /// Weighted overflow.
    Ovf,
    /// The better of two random choices.
    Twos,
}

impl Scheduler {
    /// Every scheduler, in the order of this enum.
    pub const ALL: [Self; 14] = [
        Self::Rr,
        Self::Wrr,
        Self::Lc,
        Self::Wlc,
        Self::Lblc,
        Self::Lblcr,
        Self::Dh,
        Self::Sh,
        Self::Mh,
        Self::Sed,
        Self::Nq,
        Self::Fo,
        Self::Ovf,
        Self::Twos,
    ];

    /// Returns the kernel's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
            Self::Lblc => "lblc",
            Self::Lblcr => "lblcr",
            Self::Dh => "dh",
            Self::Sh => "sh",
            Self::Mh => "mh",
            Self::Sed => "sed",
            Self::Nq => "nq",
            Self::Fo => "fo",
            Self::Ovf => "ovf",
            Self::Twos => "twos",
        }
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A word that names none of the things it could name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{word:?} is no {what}")]
pub struct UnknownName {
    what: &'static str,
    word: String,
}

impl FromStr for Scheduler {
    type Err = UnknownName;

    fn from_str(word: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|scheduler| scheduler.name() == word)
            .ok_or_else(|| UnknownName { what: "scheduler", word: word.to_owned() })
    }
}

/// How IPVS sends a packet on to a real server (`IP_VS_CONN_F_MASQ`, `_DROUTE`, `_TUNNEL`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Forwarding {
    /// Rewrite the addresses; replies come back through this node.
    Nat,
    /// Rewrite the hardware address only; the real server holds the virtual address and replies itself.
    Direct,
    /// Wrap the packet in another (IP in IP).
    Tunnel,
}

impl Forwarding {
    /// Returns the name used in configurations and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nat => "nat",
            Self::Direct => "direct",
            Self::Tunnel => "tunnel",
        }
    }
}

/// A behaviour of a service that is off unless asked for.
///
/// The three scheduler flags mean different things to different schedulers: for `sh` and `mh` the first is `fallback`
/// and the second `port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceFlag {
    /// Each datagram is scheduled on its own.
    OnePacket,
    /// The scheduler's first flag.
    Scheduler1,
    /// The scheduler's second flag.
    Scheduler2,
    /// The scheduler's third flag.
    Scheduler3,
}

impl ServiceFlag {
    /// Every flag, in the order of this enum.
    pub const ALL: [Self; 4] = [Self::OnePacket, Self::Scheduler1, Self::Scheduler2, Self::Scheduler3];

    /// Returns the kernel's bit, `IP_VS_SVC_F_*`.
    pub const fn bit(self) -> u32 {
        match self {
            Self::OnePacket => 0x04,
            Self::Scheduler1 => 0x08,
            Self::Scheduler2 => 0x10,
            Self::Scheduler3 => 0x20,
        }
    }
}

/// How long, and for clients how alike, connections go to the real server of the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Persistence {
    /// After the last connection, in seconds.
    pub timeout_seconds: NonZeroU32,
    /// How many leading bits of the client's address have to be alike: 1 to 32 for IPv4, 1 to 128 for IPv6.
    pub prefix_length: u8,
}

/// A weight, 0 (no new connections) to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u16);

impl Weight {
    /// What a real server gets whose configuration names none.
    pub const DEFAULT: Self = Self(1);

    /// Returns this weight.
    pub const fn new(weight: u16) -> Self {
        Self(weight)
    }

    /// Returns the number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// One real server in a service's table, but for its address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Its share.
    pub weight: Weight,
    /// How packets reach it.
    pub forwarding: Forwarding,
}

/// One IPVS service with its destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// What packets it takes.
    pub key: ServiceKey,
    /// How it chooses among its destinations.
    pub scheduler: Scheduler,
    /// Behaviours that are off unless asked for.
    pub flags: BTreeSet<ServiceFlag>,
    /// Whether clients stay with their real server.
    pub persistence: Option<Persistence>,
    /// Its real servers, by address and port.
    pub destinations: BTreeMap<SocketAddr, Destination>,
}

impl Service {
    /// Tells whether everything but the destinations is alike: what the kernel edits as one.
    pub fn has_settings_of(&self, other: &Self) -> bool {
        let Self { key, scheduler, flags, persistence, destinations: _ } = self;
        (key, scheduler, flags, persistence)
            == (&other.key, &other.scheduler, &other.flags, &other.persistence)
    }
}

/// Returns the family that a mark service needs to reach this real server.
pub fn mark_family(real_server: IpAddr) -> MarkFamily {
    match real_server {
        IpAddr::V4(_) => MarkFamily::V4,
        IpAddr::V6(_) => MarkFamily::V6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheduler_is_read_back_from_its_own_name() {
        for scheduler in Scheduler::ALL {
            assert_eq!(scheduler.name().parse(), Ok(scheduler));
        }
        assert_eq!("lwc".parse::<Scheduler>().unwrap_err().to_string(), "\"lwc\" is no scheduler");
    }
}
