//! Other products as the other node: each of them in each role, in every version, family and transport that it has.

#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    reason = "these are tests, which the lint knows by an attribute that they lack"
)]

use std::process::ExitCode;
use std::time::Instant;

use libtest_mimic::{Arguments, Trial};
use netns_tests::LIMIT;
use netns_tests::dialect::{Dialect, Preferred, Seats, Transport, Version};
use netns_tests::peer::{MixedPair, Product};

/// How many tests run at a time: they wait far more than they work.
const THREADS: usize = 6;

/// What can happen between an Active and its heir.
#[derive(Clone, Copy, Debug)]
enum Drill {
    /// The Active vanishes.
    TakeOver,
    /// The Active comes back after a stop.
    HandBack,
    /// The Active is stopped.
    HandOver,
    /// Both are Active with equal priority: the greater address stays.
    Tie,
    /// The same, where it is not certain who stays.
    Draw,
}

/// The one who is to be Active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Active {
    Baton,
    Peer,
}

/// One cell of the matrix.
#[derive(Clone, Copy, Debug)]
struct Cell {
    product: Product,
    dialect: Dialect,
    active: Active,
    drill: Drill,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(THREADS));
    let trials = cells().map(|cell| {
        Trial::test(cell.name(), move || {
            cell.run();
            Ok(())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn cells() -> impl Iterator<Item = Cell> {
    use Version::{V2, V3, V3OverIpv6};
    let dialects = [V2, V3, V3OverIpv6].into_iter().flat_map(|version| {
        [Transport::Multicast, Transport::Unicast].map(|transport| Dialect { version, transport })
    });
    dialects.flat_map(products).flat_map(|(product, dialect)| {
        [Active::Baton, Active::Peer].into_iter().flat_map(move |active| {
            let tie = match (product, dialect.version) {
                (Product::Keepalived, V2 | V3 | V3OverIpv6) | (Product::Frr, V2 | V3) => Drill::Tie,
                // vrrpd 8.4 may compare before it knows its own address, which goes when the macvlan's carrier does.
                (Product::Frr, V3OverIpv6) => Drill::Draw,
            };
            let drills = [Drill::TakeOver, Drill::HandBack, Drill::HandOver, tie];
            drills.map(|drill| Cell { product, dialect, active, drill })
        })
    })
}

/// Those that speak a dialect: FRR's vrrpd has no unicast.
fn products(dialect: Dialect) -> impl Iterator<Item = (Product, Dialect)> {
    let products: &[Product] = match dialect.transport {
        Transport::Multicast => &[Product::Keepalived, Product::Frr],
        Transport::Unicast => &[Product::Keepalived],
    };
    products.iter().map(move |&product| (product, dialect))
}

impl Cell {
    fn name(self) -> String {
        let Self { product, dialect, active, drill } = self;
        let product = product.to_string();
        let (active, heir) = match active {
            Active::Baton => ("baton", product.as_str()),
            Active::Peer => (product.as_str(), "baton"),
        };
        match drill {
            Drill::TakeOver => format!("{heir}_takes_over_from_{active}_after_a_crash_{dialect}"),
            Drill::HandBack => format!("{active}_comes_back_and_preempts_{heir}_{dialect}"),
            Drill::HandOver => format!("{active}_hands_over_to_{heir}_when_it_is_stopped_{dialect}"),
            Drill::Draw => format!("{active}_or_{heir}_is_active_at_equal_priority_{dialect}"),
            Drill::Tie => format!("{active}_beats_{heir}_by_the_greater_address_{dialect}"),
        }
    }

    fn run(self) {
        match self.drill {
            Drill::TakeOver => self.take_over(),
            Drill::HandBack => self.hand_back(),
            Drill::HandOver => self.hand_over(),
            Drill::Tie => self.wait_for_active(&self.tied()),
            Drill::Draw => self.tied().wait_for_one(),
        }
    }

    /// Both are there, and the one of higher priority is Active.
    fn elected(self) -> MixedPair {
        let preferred = match self.active {
            Active::Baton => Preferred::Baton,
            Active::Peer => Preferred::Peer,
        };
        let mut mixed = MixedPair::start(self.product, self.dialect, Seats::BatonFirst, preferred);
        self.wait_for_active(&mixed);
        if self.active == Active::Peer {
            mixed.pair().wait_to_hear("lb1", 2);
        }
        mixed.pair().look_from_now();
        mixed
    }

    fn wait_for_active(self, mixed: &MixedPair) {
        match self.active {
            Active::Baton => mixed.wait_for_baton(),
            Active::Peer => mixed.wait_for_peer(),
        }
    }

    fn wait_for_heir(self, mixed: &MixedPair) {
        match self.active {
            Active::Baton => mixed.wait_for_peer(),
            Active::Peer => mixed.wait_for_baton(),
        }
    }

    fn stop_active(self, mixed: &mut MixedPair) {
        match self.active {
            Active::Baton => mixed.pair().daemon("lb1").stop(LIMIT),
            Active::Peer => mixed.stop_peer(),
        }
    }

    fn take_over(self) {
        let mut mixed = self.elected();
        let client = mixed.pair().ping(self.dialect.address());
        let lost = match self.active {
            Active::Baton => Seats::BatonFirst.baton(),
            Active::Peer => Seats::BatonFirst.peer(),
        };
        mixed.pair().lab().detach(lost).unwrap();
        let crash = Instant::now();
        client.wait_for_answer(crash, LIMIT).unwrap();
        if self.active == Active::Peer {
            mixed.pair().daemon("lb1").wait_for("became_active", &[("reason", "active_down")], LIMIT);
        }
        // Whoever was cut off learns of it when the cable is mended, and is to be Active again.
        mixed.pair().lab().attach(lost).unwrap();
        self.wait_for_active(&mixed);
        mixed.assert_content();
    }

    fn hand_back(self) {
        let mut mixed = self.elected();
        self.stop_active(&mut mixed);
        self.wait_for_heir(&mixed);
        mixed.pair().look_from_now();
        match self.active {
            Active::Baton => {
                let baton = mixed.pair().start("lb1");
                baton.wait_for("became_active", &[("reason", "preempting")], LIMIT);
            }
            Active::Peer => {
                mixed.restart_peer();
                let baton = mixed.pair().daemon("lb1");
                baton.wait_for("became_backup", &[("reason", "outranked")], LIMIT);
            }
        }
        self.wait_for_active(&mixed);
        mixed.assert_content();
    }

    /// Nothing is lost while it is Baton that leaves.
    fn hand_over(self) {
        let mut mixed = self.elected();
        let client = mixed.pair().ping(self.dialect.address());
        let stop = Instant::now();
        self.stop_active(&mut mixed);
        match self.active {
            Active::Baton => {
                mixed.pair().daemon("lb1").wait_for("handed_over", &[], LIMIT);
                client.wait_for_answer(Instant::now(), LIMIT).unwrap();
                let seen = client.stop().unwrap().since(stop);
                match self.dialect.version {
                    Version::V2 | Version::V3 => assert_eq!(seen.lost(), 0, "{seen}"),
                    // Both announce an IPv6 address that their kernel may need a while to make usable.
                    Version::V3OverIpv6 => {}
                }
            }
            Active::Peer => {
                let released = [("reason", "active_released")];
                mixed.pair().daemon("lb1").wait_for("became_active", &released, LIMIT);
            }
        }
        self.wait_for_heir(&mixed);
    }

    /// Each becomes Active for itself, then they hear each other; the greater address is that of the one named first.
    fn tied(self) -> MixedPair {
        let seats = match self.active {
            Active::Baton => Seats::PeerFirst,
            Active::Peer => Seats::BatonFirst,
        };
        let mut mixed = MixedPair::start(self.product, self.dialect, seats, Preferred::Neither);
        mixed.pair().lab().detach("lb2").unwrap();
        mixed.wait_for_both();
        mixed.pair().lab().attach("lb2").unwrap();
        mixed
    }
}
