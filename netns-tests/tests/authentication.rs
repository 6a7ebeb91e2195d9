//! Advertisements that have to prove where they come from.

#![expect(clippy::unwrap_used, reason = "the tests share functions, which the lint does not take for tests")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use lab::{Eavesdropper, Packet, Stranger, wait_until};
use netns_tests::dialect::{Dialect, Preferred, Transport, Version};
use netns_tests::keepalived::Keepalived;
use netns_tests::{LIMIT, Pair, VIRTUAL, VIRTUAL_V6, WEB, WEB_V6, at, pair};

const OLD_KEY: &str = "hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
const NEW_KEY: &str = "another key of a group, as text of more than 32 bytes\n";

fn write_key(pair: &Pair, name: &str, contents: &str, mode: u32) {
    let path = pair.folder().write(name, contents);
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A pair with both keys beside its configuration, on which nothing runs yet.
fn idle(config: &str) -> Pair {
    let pair = Pair::idle(config);
    write_key(&pair, "old.key", OLD_KEY, 0o600);
    write_key(&pair, "new.key", NEW_KEY, 0o600);
    pair
}

/// The configuration of a pair with a part about authentication at the end of its only virtual router.
fn authenticated(router: &str, keys: &str) -> String {
    pair(&[router, keys])
}

const WITH_OLD_KEY: &str = "authentication.keys = { 1 = \"old.key\" }\n";

/// The pair elects, hands over on a stop and takes back; nobody finds fault with the other.
#[track_caller]
fn assert_that_a_signing_pair_works(config: &str, router: &str, address: &str) {
    let mut pair = idle(config);
    pair.elect(address);
    let client = pair.ping(address);
    pair.daemon("lb1").stop(LIMIT);
    pair.wait_for_holder(address, "lb2");
    pair.start("lb1").wait_for("became_active", &[("reason", "preempting")], LIMIT);
    pair.wait_for_holder(address, "lb1");
    pair.wait_to_hear("lb2", 3);
    for node in ["lb1", "lb2"] {
        let router = pair.daemon(node).router(router);
        assert!(router.refused.is_empty(), "{node}: {router:?}");
        assert!(router.advertisements_received > 0, "{node}: {router:?}");
    }
    assert_eq!(client.stop().unwrap().lost(), 0);
}

#[test]
fn a_pair_that_signs_works_over_ipv4_by_multicast() {
    assert_that_a_signing_pair_works(&authenticated(WEB, WITH_OLD_KEY), "web", VIRTUAL);
}

#[test]
fn a_pair_that_signs_works_over_ipv6_by_unicast() {
    let unicast = format!("transport = \"unicast\"\n{WITH_OLD_KEY}");
    assert_that_a_signing_pair_works(&authenticated(WEB_V6, &unicast), "web6", VIRTUAL_V6);
}

#[test]
fn a_pair_that_signs_works_in_version_2() {
    let router = WEB.replace("advert_interval = \"100ms\"", "version = 2");
    assert_that_a_signing_pair_works(&authenticated(&router, WITH_OLD_KEY), "web", VIRTUAL);
}

#[test]
fn strangers_and_recordings_do_not_move_a_pair_that_signs() {
    let mut pair = idle(&authenticated(WEB, WITH_OLD_KEY));
    let mut wire = Eavesdropper::at(pair.machine("client")).unwrap();
    pair.elect(VIRTUAL);
    let recorded = wire.hear_from(at("10.77.0.11"), LIMIT).unwrap();
    let client = pair.ping(VIRTUAL);
    pair.look_from_now();
    let stranger = Stranger::at(pair.machine("client")).unwrap();
    for priority in [255, 0] {
        stranger.send(&Packet::version_3(priority)).unwrap();
        // Somebody who takes the Active's name, and whoever has heard it.
        stranger.send(&Packet { source: at("10.77.0.11"), ..Packet::version_3(priority) }).unwrap();
        stranger.send(&recorded).unwrap();
    }
    let counted = wait_until("The count of refused packets", LIMIT, || {
        let refused = pair.daemon("lb2").router("web").refused;
        Ok(refused.get("authentication") == Some(&4) && refused.get("replayed") == Some(&2))
    });
    counted.unwrap_or_else(|error| panic!("{error}: {:?}", pair.daemon("lb2").router("web")));
    pair.daemon("lb2").wait_for("advertisement_refused", &[("reason", "replayed")], LIMIT);
    pair.wait_to_hear("lb2", 5);
    for node in ["lb1", "lb2"] {
        assert_eq!(pair.daemon(node).transitions(), [""; 0], "{node}");
    }
    assert_eq!(client.stop().unwrap().lost(), 0);
}

/// The guard says the last words, which the daemon has proven before: they have to be newer than all that it said.
#[test]
fn the_last_will_of_a_daemon_that_stands_still_is_believed() {
    let mut pair = idle(&authenticated(&WEB.replace("100ms", "1s"), WITH_OLD_KEY));
    pair.elect(VIRTUAL);
    pair.wait_to_hear("lb2", 5);
    pair.look_from_now();
    pair.daemon("lb1").signal_engine(lab::Signal::STOP);
    pair.daemon("lb2").wait_for("became_active", &[("reason", "active_released")], LIMIT);
    pair.daemon("lb1").wait_for("fenced", &[("reason", "silent")], LIMIT);
}

#[test]
fn keys_are_rolled_over_by_reloads_without_a_transition() {
    let stage = |keys: &str| authenticated(WEB, &format!("[virtual_router.web.authentication]\n{keys}\n"));
    let stages = [
        stage("keys = { 1 = \"old.key\" }"),
        stage("keys = { 1 = \"old.key\", 2 = \"new.key\" }\nactive_key = 1"),
        stage("keys = { 1 = \"old.key\", 2 = \"new.key\" }\nactive_key = 2"),
        stage("keys = { 2 = \"new.key\" }"),
    ];
    let mut pair = idle(&stages[0]);
    pair.elect(VIRTUAL);
    pair.look_from_now();
    for config in &stages[1..] {
        pair.configure(config);
        for node in ["lb2", "lb1"] {
            let answer = pair.daemon(node).ask(&["reload"]);
            assert_eq!(answer.code, 0, "{}", answer.complaint);
            assert_eq!(answer.output, "virtual_router web: authentication changed\n");
            pair.wait_to_hear("lb2", 5);
        }
    }
    for node in ["lb1", "lb2"] {
        assert_eq!(pair.daemon(node).transitions(), [""; 0], "{node}");
        assert!(pair.daemon(node).router("web").refused.is_empty());
        let log = pair.daemon(node).process().log();
        assert!(!log.contains("000102") && !log.contains("another key"), "{log}");
    }
}

#[test]
fn a_key_that_others_can_read_is_refused_by_name_and_with_the_remedy() {
    let pair = idle(&authenticated(WEB, WITH_OLD_KEY));
    write_key(&pair, "old.key", OLD_KEY, 0o644);
    for words in [&["check"][..], &["run"][..]] {
        let answer = pair.place("lb1").ask_in(pair.machine("lb1"), words);
        assert_eq!(answer.code, 1, "{answer:?}");
        for part in ["old.key", "0644", "chmod 600"] {
            assert!(answer.complaint.contains(part), "no {part} in {}", answer.complaint);
        }
    }
}

/// What Keepalived's advertisements carry.
const PASSWORD: &str = "authentication {\nauth_type PASS\nauth_pass s3cret\n}\n";

const VERSION_2: Dialect = Dialect { version: Version::V2, transport: Transport::Multicast };

#[test]
fn keepalived_and_baton_believe_each_other_by_the_same_simple_text() {
    let text = |text: &str| format!("authentication.simple_text = \"{text}\"\n");
    let config = VERSION_2.baton(Preferred::Peer);
    let mut pair = Pair::idle(&(config.clone() + &text("s3cret")));
    let start =
        |pair: &Pair| Keepalived::start_with(pair.machine("lb2"), VERSION_2, Preferred::Peer, PASSWORD);
    let mut keepalived = start(&pair);
    keepalived.wait_for("Entering MASTER STATE");
    pair.start("lb1");
    pair.wait_to_hear("lb1", 4);
    assert_eq!(pair.daemon("lb1").router("web").became_active, 0);

    // Baton's are believed as well: Keepalived comes back, and preempts only after it has heard of a lower priority.
    keepalived.stop();
    pair.daemon("lb1").wait_for("became_active", &[("reason", "active_released")], LIMIT);
    let mut keepalived = start(&pair);
    keepalived.wait_for("received lower priority");
    pair.daemon("lb1").wait_for("became_backup", &[("reason", "outranked")], LIMIT);
    assert!(pair.daemon("lb1").router("web").refused.is_empty());

    pair.configure(&(config + &text("other")));
    assert_eq!(pair.daemon("lb1").ask(&["reload"]).code, 0);
    let refused = [("reason", "authentication"), ("peer", "10.77.0.12")];
    pair.daemon("lb1").wait_for("advertisement_refused", &refused, LIMIT);
}

#[test]
fn a_permissive_node_hears_a_keepalived_that_does_not_sign_and_says_so() {
    let dialect = Dialect { version: Version::V3, transport: Transport::Unicast };
    let config = |mode: &str| {
        let keys =
            format!("[virtual_router.web.authentication]\nmode = \"{mode}\"\nkeys = {{ 1 = \"old.key\" }}\n");
        dialect.baton(Preferred::Peer) + &keys
    };
    let mut pair = idle(&config("permissive"));
    let mut keepalived = Keepalived::start(pair.machine("lb2"), dialect, Preferred::Peer);
    keepalived.wait_for("Entering MASTER STATE");
    pair.start("lb1");
    pair.daemon("lb1").wait_for("unauthenticated_accepted", &[("peer", "10.77.0.12")], LIMIT);
    pair.wait_to_hear("lb1", 5);
    let router = pair.daemon("lb1").router("web");
    assert_eq!((router.state.as_str(), router.became_active), ("backup", 0));
    assert!(router.unauthenticated >= 5 && router.refused.is_empty(), "{router:?}");

    // One that only receives is heard by a Keepalived that knows no trailer.
    pair.configure(&config("receive-only"));
    assert_eq!(pair.daemon("lb1").ask(&["reload"]).code, 0);
    keepalived.stop();
    pair.wait_for_holder(VIRTUAL, "lb1");
    let mut keepalived = Keepalived::start(pair.machine("lb2"), dialect, Preferred::Peer);
    keepalived.wait_for("received lower priority");
    pair.wait_for_holder(VIRTUAL, "lb2");
}
