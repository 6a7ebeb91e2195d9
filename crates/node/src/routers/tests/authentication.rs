use vrrp::{Hmac, HmacMode, Key, KeyId, KeyRing, Measure, Password, Sequences};

use super::*;
use crate::wall_clock::WallClock;

const HOUR: Duration = Duration::from_hours(1);
/// What the wall clocks show at the start of a test.
const TODAY: Duration = Duration::from_hours(500_000);

fn hmac(numbers: &[u8], active: u8, mode: HmacMode) -> Authentication {
    let key = |number: &u8| (KeyId::new(*number).unwrap(), Key::read(&[*number; 32]).unwrap());
    let keys = KeyRing::new(numbers.iter().map(key).collect(), KeyId::new(active).unwrap()).unwrap();
    Authentication::Hmac(Hmac {
        keys,
        mode,
        clock_tolerance: Duration::from_secs(5),
        measure: Measure::Growth,
    })
}

fn enforcing() -> Authentication {
    hmac(&[1], 1, HmacMode::Enforce)
}

fn with(authentication: Authentication) -> Arc<Config> {
    config(&[("web", VirtualRouterConfig { authentication, ..virtual_router(51, 50) })], &[])
}

fn node(authentication: Authentication) -> Routers {
    let mut routers = started(with(authentication));
    set_clock(&mut routers, TODAY, at(0));
    routers
}

fn set_clock(routers: &mut Routers, unix: Duration, now: Instant) {
    assert_eq!(routers.handle(RoutersInput::WallClock(WallClock::new(now, unix)), now), []);
}

/// What the other node of the pair says with its own proof.
struct Peer {
    authentication: Authentication,
    sequences: Sequences,
}

impl Peer {
    fn new(authentication: Authentication) -> Self {
        Self { authentication, sequences: Sequences::default() }
    }

    fn say(&mut self, priority: u8, unix: Duration) -> Vec<u8> {
        let credentials = self.authentication.credentials(&mut self.sequences, unix);
        let said = advertisement(51, priority);
        said.emit_with(&credentials, PEER.into(), GROUP_ADDRESS, ChecksumStyle::MessageOnly)
    }
}

fn refusals(routers: &Routers) -> Vec<(&'static str, u64)> {
    routers.status().virtual_routers["web"].refusals.iter().map(|(reason, count)| (*reason, *count)).collect()
}

#[test]
fn what_is_not_signed_moves_nothing_while_it_is_enforced() {
    let mut routers = node(enforcing());
    let _ = run_until(&mut routers, at(3_700));
    let deadline = routers.next_deadline();
    let outputs = hear(&mut routers, &advertisement(51, 255), at(3_701));
    let [Report::AdvertisementRefused { rejection, .. }] = reports(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(rejection.to_string(), "it has no HMAC trailer, and the mode is enforce");
    let forged = Peer::new(hmac(&[2], 2, HmacMode::Enforce)).say(255, TODAY);
    let _ = hear_bytes(&mut routers, &forged, 255, at(3_702));
    assert_eq!(refusals(&routers), [("authentication", 2)]);
    assert_eq!((state(&routers, "web"), routers.next_deadline()), (RouterState::Active, deadline));
}

#[test]
fn nothing_in_a_message_is_believed_before_it_is_proven() {
    let mut routers = node(enforcing());
    let mut altered = Peer::new(enforcing()).say(200, TODAY);
    // Its type and its checksum are wrong as well.
    altered[0] = 0x32;
    let _ = hear_bytes(&mut routers, &altered, 255, at(10));
    assert_eq!(refusals(&routers), [("authentication", 1)]);
}

#[test]
fn what_came_too_far_is_not_even_looked_at() {
    let mut routers = node(enforcing());
    let signed = Peer::new(enforcing()).say(200, TODAY);
    let _ = hear_bytes(&mut routers, &signed, 254, at(10));
    let _ = hear_bytes(&mut routers, &signed, 255, at(11));
    assert_eq!(refusals(&routers), [("hop_limit", 1)]);
    assert_eq!(routers.status().virtual_routers["web"].counters.advertisements_received, 1);
}

#[test]
fn a_recording_does_not_take_the_role_away() {
    let mut routers = node(enforcing());
    let mut peer = Peer::new(enforcing());
    let recorded = peer.say(200, TODAY);
    let released = peer.say(0, TODAY + Duration::from_millis(1));
    for said in [&recorded, &released] {
        let _ = hear_bytes(&mut routers, said, 255, at(10));
    }
    let _ = run_until(&mut routers, at(5_000));
    assert_eq!(state(&routers, "web"), RouterState::Active);
    let outputs = hear_bytes(&mut routers, &recorded, 255, at(5_001));
    let [Report::AdvertisementRefused { rejection, .. }] = reports(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(rejection.reason(), "replayed");
    assert_eq!(state(&routers, "web"), RouterState::Active);
}

#[test]
fn clocks_that_are_set_by_an_hour_change_no_role() {
    for (ours, theirs) in [(HOUR, Duration::ZERO), (Duration::ZERO, HOUR)] {
        for back in [false, true] {
            let mut routers = node(enforcing());
            let mut peer = Peer::new(enforcing());
            for second in 0..20 {
                let now = at(second * 1_000);
                let stepped = |step: Duration| {
                    let shown = TODAY + Duration::from_secs(second);
                    match (second < 5, back) {
                        (true, _) => shown,
                        (false, false) => shown + step,
                        (false, true) => shown.saturating_sub(step),
                    }
                };
                set_clock(&mut routers, stepped(ours), now);
                let said = peer.say(200, stepped(theirs));
                let _ = hear_bytes(&mut routers, &said, 255, now);
                let _ = run_until(&mut routers, now + Duration::from_millis(999));
            }
            assert_eq!((state(&routers, "web"), refusals(&routers)), (RouterState::Backup, vec![]));
        }
    }
}

#[test]
fn what_is_sent_is_believed_by_a_peer_with_the_same_keys_and_grows() {
    let mut routers = node(enforcing());
    let outputs = run_until(&mut routers, at(9_000));
    let mut heard = Sequences::default();
    let mut count = 0;
    for output in &outputs {
        let RoutersOutput::Send(sent) = output else { continue };
        let Transmission { source, destination, payload, .. } = &**sent;
        let message = vrrp::Message::read(payload, *source, *destination).unwrap();
        assert_eq!(enforcing().verify(&message, &mut heard, TODAY), Ok(vrrp::Proof::Given));
        count += 1;
    }
    assert!(count > 5, "{count}");
}

#[test]
fn a_permissive_node_accepts_what_is_bare_counts_it_and_tells_it_once() {
    let mut routers = node(hmac(&[1], 1, HmacMode::Permissive));
    let outputs = hear(&mut routers, &advertisement(51, 200), at(10));
    assert!(matches!(reports(&outputs)[..], [Report::UnauthenticatedAccepted { .. }]), "{outputs:?}");
    assert!(hear(&mut routers, &advertisement(51, 200), at(20)).is_empty());
    let status = routers.status();
    let counters = status.virtual_routers["web"].counters;
    assert_eq!((counters.advertisements_received, counters.unauthenticated), (2, 2));
    assert!(refusals(&routers).is_empty());
}

#[test]
fn keys_change_by_a_reload_without_a_word_about_roles() {
    let mut routers = node(hmac(&[1], 1, HmacMode::Enforce));
    let mut peer = Peer::new(hmac(&[2], 2, HmacMode::Enforce));
    let _ = hear_bytes(&mut routers, &Peer::new(enforcing()).say(200, TODAY), 255, at(10));
    let reload = RoutersInput::Reload(with(hmac(&[1, 2], 1, HmacMode::Enforce)));
    assert_eq!(routers.handle(reload, at(20)), []);
    let _ = hear_bytes(&mut routers, &peer.say(200, TODAY + HOUR), 255, at(30));
    assert_eq!((state(&routers, "web"), refusals(&routers)), (RouterState::Backup, vec![]));
}

#[test]
fn simple_text_keeps_a_forgotten_password_out_and_nothing_else() {
    let text = |text: &str| Authentication::SimpleText(Password::new(text).unwrap());
    let version_2 = |authentication| VirtualRouterConfig {
        version: Version::V2,
        authentication,
        ..virtual_router(51, 50)
    };
    let mut routers = started(config(&[("web", version_2(text("s3cret")))], &[]));
    let said = Advertisement { version: Version::V2, ..advertisement(51, 200) };
    for (password, expected) in [("s3cret", 0), ("other", 1)] {
        let theirs = text(password);
        let credentials = theirs.credentials(&mut Sequences::default(), TODAY);
        let style = ChecksumStyle::MessageOnly;
        let _ = hear_bytes(
            &mut routers,
            &said.emit_with(&credentials, PEER.into(), GROUP_ADDRESS, style),
            255,
            at(10),
        );
        assert_eq!(refusals(&routers).iter().map(|(_, count)| count).sum::<u64>(), expected);
    }
}

/// What a peer thinks of each advertisement among what was sent.
fn verdicts<'a>(
    sent: impl IntoIterator<Item = &'a Transmission>,
    heard: &mut Sequences,
) -> Vec<Result<vrrp::Proof, vrrp::AuthenticationError>> {
    let verdict = |Transmission { source, destination, payload, .. }: &Transmission| {
        let message = vrrp::Message::read(payload, *source, *destination).unwrap();
        enforcing().verify(&message, heard, TODAY)
    };
    sent.into_iter().map(verdict).collect()
}

fn transmissions(outputs: &[RoutersOutput]) -> Vec<&Transmission> {
    let mut sent = Vec::new();
    for output in outputs {
        if let RoutersOutput::Send(transmission) = output {
            sent.push(&**transmission);
        }
    }
    sent
}

#[test]
fn a_daemon_that_is_restarted_after_its_clock_was_set_back_is_still_believed() {
    let mut before = node(enforcing());
    let mut heard = Sequences::default();
    let said = verdicts(transmissions(&run_until(&mut before, at(6_000))), &mut heard);
    assert!(said.len() > 1 && said.iter().all(Result::is_ok), "{said:?}");

    let legacy = crate::legacy::Legacy {
        virtual_routers: before.legacy(),
        silence: before.silence(),
        ..crate::legacy::Legacy::default()
    };
    // Its guard may have said its last will meanwhile, which is dated for later.
    let will = legacy.virtual_routers.values().flat_map(|left| &left.role.as_ref().unwrap().last_will);
    let mut heard_with_the_will = heard.clone();
    assert!(verdicts(will, &mut heard_with_the_will).iter().all(Result::is_ok));

    for mut heard in [heard, heard_with_the_will] {
        let mut after = Routers::new(with(enforcing()), at(6_100));
        after.inherit(&legacy);
        set_clock(&mut after, TODAY.saturating_sub(HOUR), at(6_100));
        let _ = after.handle(link_event(Some(link(&[OWN]))), at(6_100));
        let outputs = after.handle(RoutersInput::Start, at(6_100));
        assert_eq!(verdicts(transmissions(&outputs), &mut heard), [Ok(vrrp::Proof::Given)]);
    }
}
