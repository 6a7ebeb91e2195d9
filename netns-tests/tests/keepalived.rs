//! Keepalived as the other node, in both roles, in each version, family and transport.

#![expect(clippy::unwrap_used, reason = "the tests share functions, which the lint does not take for tests")]

use std::time::Instant;

use netns_tests::keepalived::{Dialect, Keepalived, Preferred, Transport, Version};
use netns_tests::{LIMIT, Pair};

/// What Keepalived says when it likes something less than an honest advertisement.
const COMPLAINTS: [&str; 5] = ["hecksum", "bogus", "mismatch", "Invalid", "invalid"];

/// `lb1` is Baton, `lb2` is Keepalived.
struct MixedPair {
    pair: Pair,
    keepalived: Keepalived,
    dialect: Dialect,
}

impl MixedPair {
    #[track_caller]
    fn start(dialect: Dialect, preferred: Preferred) -> Self {
        let mut pair = Pair::idle(&dialect.baton(preferred));
        let keepalived = Keepalived::start(pair.machine("lb2"), dialect, preferred);
        pair.start("lb1");
        Self { pair, keepalived, dialect }
    }

    /// Waits until one node serves the client and the other does not.
    #[track_caller]
    fn wait_for_active(&self, node: &str) {
        self.pair.wait_for_holder(self.dialect.address(), node);
        self.wait_for_client(node);
    }

    /// Waits until the client is served by a node.
    #[track_caller]
    fn wait_for_client(&self, node: &str) {
        drop(self.pair.ping(self.dialect.address()));
        self.pair.wait_for_neighbour(self.dialect.address(), node);
    }

    /// Nobody may have found fault with the other's advertisements.
    #[track_caller]
    fn assert_content(&mut self) {
        let router = self.pair.daemon("lb1").router("web");
        assert!(router.refused.is_empty(), "{router:?}");
        let log = self.keepalived.log();
        let complaint = log.lines().find(|line| COMPLAINTS.iter().any(|complaint| line.contains(complaint)));
        assert_eq!(complaint, None, "{log}");
    }
}

/// Baton is Active; it crashes, comes back, is stopped, is started again.
#[track_caller]
fn keepalived_covers_for_baton(version: Version, transport: Transport) {
    let dialect = Dialect { version, transport };
    let mut mixed = MixedPair::start(dialect, Preferred::Baton);
    mixed.wait_for_active("lb1");
    mixed.keepalived.wait_for("Entering BACKUP STATE");
    let client = mixed.pair.ping(dialect.address());

    mixed.pair.lab().detach("lb1").unwrap();
    mixed.keepalived.wait_for("Entering MASTER STATE");
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    mixed.wait_for_client("lb2");
    mixed.pair.lab().attach("lb1").unwrap();
    mixed.wait_for_active("lb1");

    mixed.pair.daemon("lb1").stop(LIMIT);
    mixed.keepalived.wait_for("Backup received priority 0 advertisement");
    mixed.wait_for_active("lb2");

    mixed.pair.start("lb1").wait_for("became_active", &[("reason", "preempting")], LIMIT);
    mixed.wait_for_active("lb1");
    mixed.assert_content();
}

/// Keepalived is Active; it is stopped, started again, crashes and comes back.
#[track_caller]
fn baton_covers_for_keepalived(version: Version, transport: Transport) {
    let dialect = Dialect { version, transport };
    let mut mixed = MixedPair::start(dialect, Preferred::Keepalived);
    mixed.wait_for_active("lb2");
    mixed.pair.wait_to_hear("lb1", 2);
    mixed.pair.look_from_now();

    mixed.keepalived.stop();
    mixed.pair.daemon("lb1").wait_for("became_active", &[("reason", "active_released")], LIMIT);
    mixed.wait_for_active("lb1");

    mixed.keepalived = Keepalived::start(mixed.pair.machine("lb2"), dialect, Preferred::Keepalived);
    mixed.pair.daemon("lb1").wait_for("became_backup", &[("reason", "outranked")], LIMIT);
    mixed.wait_for_active("lb2");
    mixed.pair.look_from_now();

    let client = mixed.pair.ping(dialect.address());
    mixed.pair.lab().detach("lb2").unwrap();
    mixed.pair.daemon("lb1").wait_for("became_active", &[("reason", "active_down")], LIMIT);
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    mixed.wait_for_client("lb1");
    mixed.pair.lab().attach("lb2").unwrap();
    mixed.wait_for_active("lb2");
    mixed.assert_content();
}

#[test]
fn baton_understands_a_checksum_with_pseudo_header_without_being_told() {
    let dialect = Dialect { version: Version::V3, transport: Transport::Multicast };
    let config = dialect.baton(Preferred::Keepalived).replace("checksum = \"pseudo-header\"\n", "");
    let mut pair = Pair::idle(&config);
    let mut keepalived = Keepalived::start(pair.machine("lb2"), dialect, Preferred::Keepalived);
    keepalived.wait_for("Entering MASTER STATE");
    pair.start("lb1");
    pair.wait_to_hear("lb1", 8);
    let router = pair.daemon("lb1").router("web");
    assert_eq!((router.state.as_str(), router.became_active), ("backup", 0));
    assert!(router.refused.is_empty(), "{router:?}");
}

#[test]
fn keepalived_covers_for_baton_in_version_2_by_multicast() {
    keepalived_covers_for_baton(Version::V2, Transport::Multicast);
}

#[test]
fn keepalived_covers_for_baton_in_version_2_by_unicast() {
    keepalived_covers_for_baton(Version::V2, Transport::Unicast);
}

#[test]
fn keepalived_covers_for_baton_in_version_3_by_multicast() {
    keepalived_covers_for_baton(Version::V3, Transport::Multicast);
}

#[test]
fn keepalived_covers_for_baton_in_version_3_by_unicast() {
    keepalived_covers_for_baton(Version::V3, Transport::Unicast);
}

#[test]
fn keepalived_covers_for_baton_over_ipv6_by_multicast() {
    keepalived_covers_for_baton(Version::V3OverIpv6, Transport::Multicast);
}

#[test]
fn keepalived_covers_for_baton_over_ipv6_by_unicast() {
    keepalived_covers_for_baton(Version::V3OverIpv6, Transport::Unicast);
}

#[test]
fn baton_covers_for_keepalived_in_version_2_by_multicast() {
    baton_covers_for_keepalived(Version::V2, Transport::Multicast);
}

#[test]
fn baton_covers_for_keepalived_in_version_2_by_unicast() {
    baton_covers_for_keepalived(Version::V2, Transport::Unicast);
}

#[test]
fn baton_covers_for_keepalived_in_version_3_by_multicast() {
    baton_covers_for_keepalived(Version::V3, Transport::Multicast);
}

#[test]
fn baton_covers_for_keepalived_in_version_3_by_unicast() {
    baton_covers_for_keepalived(Version::V3, Transport::Unicast);
}

#[test]
fn baton_covers_for_keepalived_over_ipv6_by_multicast() {
    baton_covers_for_keepalived(Version::V3OverIpv6, Transport::Multicast);
}

#[test]
fn baton_covers_for_keepalived_over_ipv6_by_unicast() {
    baton_covers_for_keepalived(Version::V3OverIpv6, Transport::Unicast);
}
