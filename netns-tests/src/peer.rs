//! The other product of a mixed pair, whichever it is.

use std::fmt;

use lab::{Namespace, wait_until};

use crate::dialect::{Dialect, Preferred, Seats};
use crate::frr::Frr;
use crate::keepalived::Keepalived;
use crate::{LIMIT, Pair};

/// What Keepalived says when it likes something less than an honest advertisement.
const COMPLAINTS: [&str; 5] = ["hecksum", "bogus", "mismatch", "Invalid", "invalid"];

/// A product that speaks VRRP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// Keepalived.
    Keepalived,
    /// FRR's vrrpd.
    Frr,
}

impl fmt::Display for Product {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Keepalived => "keepalived",
            Self::Frr => "frr",
        })
    }
}

#[derive(Debug)]
enum Peer {
    Keepalived(Keepalived),
    Frr(Frr),
}

/// Baton on one machine, another product on the other, and a client.
#[derive(Debug)]
pub struct MixedPair {
    // Before the pair: programs end before their namespaces do.
    peer: Peer,
    pair: Pair,
    dialect: Dialect,
    seats: Seats,
    preferred: Preferred,
}

impl MixedPair {
    /// Starts both.
    ///
    /// # Panics
    /// When one cannot be started.
    #[track_caller]
    pub fn start(product: Product, dialect: Dialect, seats: Seats, preferred: Preferred) -> Self {
        let mut pair = Pair::idle(&dialect.baton_at(seats, preferred));
        let namespace = pair.machine(seats.peer());
        let peer = match product {
            Product::Keepalived => {
                Peer::Keepalived(Keepalived::start_at(namespace, dialect, seats, preferred))
            }
            Product::Frr => Peer::Frr(Frr::start(namespace, dialect, preferred)),
        };
        pair.start(seats.baton());
        Self { peer, pair, dialect, seats, preferred }
    }

    /// Baton's machine, the client and the lab.
    pub fn pair(&mut self) -> &mut Pair {
        &mut self.pair
    }

    /// Waits until Baton is Active, the other product is not, and the client is served by Baton.
    ///
    /// # Panics
    /// When that does not come to be.
    #[track_caller]
    pub fn wait_for_baton(&self) {
        self.wait_for("Baton is Active alone", || self.is_baton_active() && !self.is_peer_active());
        let machine = self.pair.machine(self.seats.baton());
        let link_address = machine.link_address("eth0").unwrap_or_else(|error| panic!("{error}"));
        self.wait_for_client(&link_address);
    }

    /// Waits until the other product is Active, Baton is not, and the client is served by the other product.
    ///
    /// # Panics
    /// When that does not come to be.
    #[track_caller]
    pub fn wait_for_peer(&self) {
        self.wait_for("The peer is Active alone", || self.is_peer_active() && !self.is_baton_active());
        let link_address = match &self.peer {
            Peer::Keepalived(_) => {
                let machine = self.pair.machine(self.seats.peer());
                machine.link_address("eth0").unwrap_or_else(|error| panic!("{error}"))
            }
            Peer::Frr(_) => Frr::link_address(self.dialect).to_owned(),
        };
        self.wait_for_client(&link_address);
    }

    /// Waits until both are Active, each for itself.
    ///
    /// # Panics
    /// When that does not come to be.
    #[track_caller]
    pub fn wait_for_both(&self) {
        self.wait_for("Both are Active", || self.is_peer_active() && self.is_baton_active());
    }

    /// Waits until one of them, whichever, is Active alone, and the client is served by it.
    ///
    /// # Panics
    /// When that does not come to be.
    #[track_caller]
    pub fn wait_for_one(&self) {
        self.wait_for("One is Active alone", || self.is_peer_active() != self.is_baton_active());
        drop(self.pair.ping(self.dialect.address()));
    }

    /// Stops the other product as its operator would.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn stop_peer(&mut self) {
        match &mut self.peer {
            Peer::Keepalived(keepalived) => keepalived.stop(),
            Peer::Frr(frr) => frr.stop(),
        }
    }

    /// Starts the other product again.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn restart_peer(&mut self) {
        let Self { peer, pair, dialect, seats, preferred } = self;
        let namespace: &Namespace = pair.machine(seats.peer());
        match peer {
            Peer::Keepalived(keepalived) => {
                *keepalived = Keepalived::start_at(namespace, *dialect, *seats, *preferred);
            }
            Peer::Frr(frr) => frr.restart(namespace),
        }
    }

    /// Neither may have found fault with the other's advertisements.
    ///
    /// # Panics
    /// When one has.
    #[track_caller]
    pub fn assert_content(&mut self) {
        let router = self.pair.daemon(self.seats.baton()).router("web");
        assert!(router.refused.is_empty(), "{router:?}");
        let log = match &self.peer {
            Peer::Keepalived(keepalived) => keepalived.log(),
            Peer::Frr(frr) => frr.log(),
        };
        let complaint = log.lines().find(|line| COMPLAINTS.iter().any(|complaint| line.contains(complaint)));
        assert_eq!(complaint, None, "{log}");
    }

    #[track_caller]
    fn is_baton_active(&self) -> bool {
        let address = crate::at(self.dialect.address());
        self.pair.machine(self.seats.baton()).holds(address).unwrap_or_else(|error| panic!("{error}"))
    }

    /// FRR's macvlan has the addresses all the time.
    #[track_caller]
    fn is_peer_active(&self) -> bool {
        let machine = self.pair.machine(self.seats.peer());
        match &self.peer {
            Peer::Keepalived(_) => {
                let address = crate::at(self.dialect.address());
                machine.holds(address).unwrap_or_else(|error| panic!("{error}"))
            }
            Peer::Frr(_) => Frr::is_active(machine),
        }
    }

    #[track_caller]
    fn wait_for(&self, what: &str, is_so: impl Fn() -> bool) {
        let waited = wait_until(what, LIMIT, || Ok(is_so()));
        waited.unwrap_or_else(|error| {
            panic!("{error}; Baton: {}, the peer: {}", self.is_baton_active(), self.is_peer_active())
        });
    }

    #[track_caller]
    fn wait_for_client(&self, link_address: &str) {
        // It goes on asking, so that its entry is looked up again when it has aged.
        let _prober = self.pair.ping(self.dialect.address());
        let client = self.pair.machine("client");
        let address = crate::at(self.dialect.address());
        let what = format!("The client's entry for {address} at {link_address}");
        let waited =
            wait_until(&what, LIMIT, || Ok(client.neighbour(address)?.as_deref() == Some(link_address)));
        waited.unwrap_or_else(|error| panic!("{error}; its entries are {:?}", client.neighbours()));
    }
}
