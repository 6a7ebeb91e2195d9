//! What is Keepalived's own; what it has in common with others is in `peers.rs`.

use netns_tests::Pair;
use netns_tests::dialect::{Dialect, Preferred, Transport, Version};
use netns_tests::keepalived::Keepalived;

#[test]
fn baton_understands_a_checksum_with_pseudo_header_without_being_told() {
    let dialect = Dialect { version: Version::V3, transport: Transport::Multicast };
    let config = dialect.baton(Preferred::Peer).replace("checksum = \"pseudo-header\"\n", "");
    let mut pair = Pair::idle(&config);
    let mut keepalived = Keepalived::start(pair.machine("lb2"), dialect, Preferred::Peer);
    keepalived.wait_for("Entering MASTER STATE");
    pair.start("lb1");
    pair.wait_to_hear("lb1", 8);
    let router = pair.daemon("lb1").router("web");
    assert_eq!((router.state.as_str(), router.became_active), ("backup", 0));
    assert!(router.refused.is_empty(), "{router:?}");
}
