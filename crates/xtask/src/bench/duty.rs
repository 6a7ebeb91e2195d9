//! What both programs are given to do, in neither's words.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// The node that is Active while it is there.
pub(crate) const FIRST: Node = Node { name: "lb1", priority: 200, address: Ipv4Addr::new(10, 77, 0, 11) };
/// The node that takes over.
pub(crate) const SECOND: Node = Node { name: "lb2", priority: 100, address: Ipv4Addr::new(10, 77, 0, 12) };
/// The node that takes over from both, so near to the second that their order is not self-evident.
pub(crate) const THIRD: Node = Node { name: "lb3", priority: 95, address: Ipv4Addr::new(10, 77, 0, 13) };
/// Active and Backup.
pub(crate) const PAIR: &[Node] = &[FIRST, SECOND];
/// An Active and two Backups.
pub(crate) const TRIO: &[Node] = &[FIRST, SECOND, THIRD];

/// The port of all services and real servers.
const PORT: u16 = 80;
/// The weight of every real server but where another one is asked for; both programs' default.
pub(crate) const WEIGHT: u32 = 1;

/// One of a group, as the standard topology names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    /// The machine.
    pub(crate) name: &'static str,
    /// Its priority in all virtual routers.
    pub(crate) priority: u8,
    /// Its own address on `eth0`.
    pub(crate) address: Ipv4Addr,
}

/// What a program is given to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Duty {
    /// To be one of a group.
    Routers(Routers),
    /// To program the kernel's load balancer.
    Balancer(Balancer),
}

/// Virtual routers on `eth0`, one address each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Routers {
    /// Who the others are.
    pub(crate) nodes: &'static [Node],
    /// How many, numbered from one.
    pub(crate) count: u8,
    /// How often the Active advertises.
    pub(crate) interval: Duration,
    /// What the nodes speak with each other.
    pub(crate) dialect: Dialect,
    /// What has to be well besides.
    pub(crate) track: Track,
}

/// What the nodes of a group speak with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Version 3 to the group.
    Version3,
    /// Version 3 to the other nodes' own addresses.
    Version3Unicast,
    /// Version 2 to the group, with [`PASSWORD`].
    Version2,
}

/// The password of [`Dialect::Version2`], with as many octets as it has place for.
pub(crate) const PASSWORD: &str = "s3cret77";

/// What has to be well for a node to be Active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Track {
    /// Nothing but the interface of the virtual routers.
    Nothing,
    /// The inner interface: without its carrier a node cannot take part.
    Inside,
}

/// The interface that [`Track::Inside`] is about.
pub(crate) const INSIDE: &str = "eth1";

impl Routers {
    /// One virtual router, without anything that has to be well besides.
    pub(crate) const fn one(nodes: &'static [Node], interval: Duration) -> Self {
        Self { nodes, count: 1, interval, dialect: Dialect::Version3, track: Track::Nothing }
    }

    /// The time from the Active's last advertisement to the election of the second node.
    ///
    /// Three intervals and the skew time: [RFC 9568, section 6.1](https://www.rfc-editor.org/rfc/rfc9568#section-6.1).
    pub(crate) fn floor(&self) -> Duration {
        3 * self.interval + self.interval * (256 - u32::from(SECOND.priority)) / 256
    }

    /// The numbers of the virtual routers with the address of each.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (u8, Ipv4Addr)> {
        (1..=self.count).map(|number| (number, Ipv4Addr::new(10, 77, 1, number)))
    }
}

/// Services with real servers that are always fit, wlc, NAT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Balancer {
    /// The weight of one real server in the middle; all others have [`WEIGHT`].
    pub(crate) one_weight: u32,
}

impl Balancer {
    /// How many services there are.
    pub(crate) const SERVICES: u8 = 100;
    /// How many real servers each of them has.
    pub(crate) const REAL_SERVERS: u8 = 100;
    /// The numbers of the service and real server whose weight is chosen.
    const CHOSEN: (u8, u8) = (Self::SERVICES / 2, Self::REAL_SERVERS / 2);

    /// Every service's number and address, in ascending order.
    pub(crate) fn services() -> impl DoubleEndedIterator<Item = (u8, SocketAddrV4)> {
        (1..=Self::SERVICES).map(|service| (service, service_address(service)))
    }

    /// Every real server of a service and its weight, in ascending order.
    pub(crate) fn real_servers(self, service: u8) -> impl Iterator<Item = (SocketAddrV4, u32)> {
        (1..=Self::REAL_SERVERS).map(move |number| {
            let weight = if (service, number) == Self::CHOSEN { self.one_weight } else { WEIGHT };
            (real_server_address(service, number), weight)
        })
    }

    /// The service and the real server whose weight is chosen.
    pub(crate) fn chosen() -> (SocketAddrV4, SocketAddrV4) {
        let (service, number) = Self::CHOSEN;
        (service_address(service), real_server_address(service, number))
    }
}

fn service_address(service: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 77, 2, service), PORT)
}

fn real_server_address(service: u8, number: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 78, service, number), PORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_three_intervals_and_the_skew() {
        let floor = Routers::one(PAIR, Duration::from_secs(1)).floor();
        assert_eq!(floor, Duration::from_micros(3_609_375));
    }

    #[test]
    fn one_real_server_of_ten_thousand_has_a_weight_of_its_own() {
        let balancer = Balancer { one_weight: 7 };
        let all: Vec<_> =
            Balancer::services().flat_map(|(service, _)| balancer.real_servers(service)).collect();
        assert_eq!(all.len(), 10_000);
        assert_eq!(all.iter().filter(|(_, weight)| *weight == 7).count(), 1);
    }
}
