use super::*;
use crate::advertisement::{Advertisement, CHECKSUM_OFFSET, ChecksumStyle, ParseError};
use crate::identity::{Priority, Version, Vrid};
use crate::timing::Centiseconds;

const TOLERANCE: Duration = Duration::from_secs(5);
/// The moment of the draft's examples, 0x68000000 seconds and a half.
const MOMENT: Duration = Duration::from_millis(0x6800_0000 * 1_000 + 500);

fn at(address: &str) -> IpAddr {
    address.parse().unwrap()
}

fn key(first: u8) -> Key {
    Key::read(&(first..first + 32).collect::<Vec<_>>()).unwrap()
}

fn keys(numbers: &[(u8, Key)], active: u8) -> KeyRing {
    let keys = numbers.iter().map(|(number, key)| (KeyId::new(*number).unwrap(), key.clone()));
    KeyRing::new(keys.collect(), KeyId::new(active).unwrap()).unwrap()
}

fn hmac(mode: HmacMode) -> Authentication {
    let measure = Measure::Growth;
    Authentication::Hmac(Hmac { keys: keys(&[(1, key(0))], 1), mode, clock_tolerance: TOLERANCE, measure })
}

fn advertisement(version: Version, address: &str) -> Advertisement {
    Advertisement {
        version,
        vrid: Vrid::new(51).unwrap(),
        priority: Priority::from_wire(200),
        interval: Centiseconds::DEFAULT,
        addresses: vec![at(address)],
    }
}

/// Bytes that are written as hexadecimal digits.
fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().as_chunks::<2>().0;
    pairs.iter().map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The examples of draft-cassen-vrrp-auth-hmac: the key 00 to 1f, sequence 0x6800000080000000.
const V4: (&str, &str, &str, &str) = (
    "198.51.100.10",
    "224.0.0.18",
    "192.0.2.100",
    "3133c80100644402c0000264\
     010100006800000080000000\
     1b84bc4e8e43892dc6d98448f8ee2265",
);
const V6: (&str, &str, &str, &str) = (
    "fe80::10",
    "fe80::20",
    "fe80::100",
    "3133c8010064a2e9\
     fe800000000000000000000000000100\
     010100006800000080000000\
     c8c56146ebfd66ee10ec4d8186461b78",
);

#[test]
fn what_is_sent_and_what_is_believed_are_the_examples_of_the_draft() {
    for (source, destination, address, wire) in [V4, V6] {
        let (source, destination) = (at(source), at(destination));
        let sender = hmac(HmacMode::Enforce);
        let credentials = sender.credentials(&mut Sequences::default(), MOMENT);
        let said = advertisement(Version::V3, address);
        let sent = said.emit_with(&credentials, source, destination, ChecksumStyle::MessageOnly);
        assert_eq!(sent, bytes(wire));
        let message = Message::read(&sent, source, destination).unwrap();
        let proof = hmac(HmacMode::Enforce).verify(&message, &mut Sequences::default(), MOMENT);
        assert_eq!(proof, Ok(Proof::Given));
        assert_eq!(message.advertisement().unwrap().advertisement, said);
    }
}

fn verify_v6(wire: &[u8], source: &str) -> Result<Proof, AuthenticationError> {
    let message = Message::read(wire, at(source), at(V6.1)).unwrap();
    hmac(HmacMode::Enforce).verify(&message, &mut Sequences::default(), MOMENT)
}

#[test]
fn whatever_is_altered_but_the_checksum_is_not_believed() {
    let wire = bytes(V6.3);
    let octets = wire.len() - TRAILER_OCTETS;
    for place in 0..wire.len() {
        let mut altered = wire.clone();
        altered[place] ^= 1;
        let expected = match (place, place.checked_sub(octets)) {
            // The version and the count decide where the trailer is.
            (0 | 3, _) => continue,
            (CHECKSUM_OFFSET | CHECKSUM_END, _) => Ok(Proof::Given),
            (_, Some(0 | 2 | 3)) => Err(AuthenticationError::Malformed),
            (_, Some(1)) => Err(AuthenticationError::UnknownKey { id: 0 }),
            _ => Err(AuthenticationError::Hmac),
        };
        assert_eq!(verify_v6(&altered, V6.0), expected, "octet {place}");
    }
    assert_eq!(verify_v6(&wire, "fe80::11"), Err(AuthenticationError::Hmac), "another sender");
}

const CHECKSUM_END: usize = CHECKSUM_OFFSET + 1;

#[test]
fn version_2_carries_the_trailer_behind_its_empty_authentication_data() {
    let (source, group) = (at("10.77.0.11"), at("224.0.0.18"));
    let sender = hmac(HmacMode::Enforce);
    let credentials = sender.credentials(&mut Sequences::default(), MOMENT);
    let said = advertisement(Version::V2, "10.77.0.50");
    let sent = said.emit_with(&credentials, source, group, ChecksumStyle::MessageOnly);
    assert_eq!(sent.len(), 8 + 4 + 8 + TRAILER_OCTETS);
    assert_eq!(sent[12..20], [0; 8]);
    let message = Message::read(&sent, source, group).unwrap();
    assert_eq!(hmac(HmacMode::Enforce).verify(&message, &mut Sequences::default(), MOMENT), Ok(Proof::Given));
    assert_eq!(message.advertisement().unwrap().advertisement, said);
}

#[test]
fn the_modes_differ_in_what_they_send_and_what_they_accept_bare() {
    let (source, group) = (at("10.77.0.11"), at("224.0.0.18"));
    let said = advertisement(Version::V3, "10.77.0.50");
    let emit = |authentication: &Authentication| {
        let credentials = authentication.credentials(&mut Sequences::default(), MOMENT);
        said.emit_with(&credentials, source, group, ChecksumStyle::MessageOnly)
    };
    let verify = |authentication: &Authentication, sent: &[u8]| {
        let message = Message::read(sent, source, group).unwrap();
        authentication.verify(&message, &mut Sequences::default(), MOMENT)
    };
    let (enforce, permissive, receive_only) =
        (hmac(HmacMode::Enforce), hmac(HmacMode::Permissive), hmac(HmacMode::ReceiveOnly));
    let (signed, bare) = (emit(&enforce), emit(&Authentication::None));
    assert_eq!((&emit(&permissive), &emit(&receive_only)), (&signed, &bare));
    for accepting in [&enforce, &permissive, &receive_only] {
        assert_eq!(verify(accepting, &signed), Ok(Proof::Given));
    }
    assert_eq!(verify(&enforce, &bare), Err(AuthenticationError::Missing));
    assert_eq!(verify(&permissive, &bare), Ok(Proof::Spared));
    assert_eq!(verify(&receive_only, &bare), Ok(Proof::Spared));
    assert_eq!(verify(&Authentication::None, &signed), Err(AuthenticationError::Unexpected));
    let mut forged = signed;
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(verify(&permissive, &forged), Err(AuthenticationError::Hmac));
    assert_eq!(verify(&receive_only, &forged), Err(AuthenticationError::Hmac));
}

#[test]
fn keys_are_rolled_over_without_a_moment_at_which_a_node_is_not_believed() {
    let (old, new) = ((1, key(0)), (2, key(32)));
    let with = |numbers: &[(u8, Key)], active| {
        let keys = keys(numbers, active);
        let (mode, measure) = (HmacMode::Enforce, Measure::Growth);
        Authentication::Hmac(Hmac { keys, mode, clock_tolerance: TOLERANCE, measure })
    };
    let stages = [
        with(std::slice::from_ref(&old), 1),
        with(&[old.clone(), new.clone()], 1),
        with(&[old.clone(), new.clone()], 2),
        with(std::slice::from_ref(&new), 2),
    ];
    let (source, group) = (at("10.77.0.11"), at("224.0.0.18"));
    let verdict = |sender: &Authentication, receiver: &Authentication| {
        let credentials = sender.credentials(&mut Sequences::default(), MOMENT);
        let said = advertisement(Version::V3, "10.77.0.50");
        let sent = said.emit_with(&credentials, source, group, ChecksumStyle::MessageOnly);
        receiver.verify(&Message::read(&sent, source, group).unwrap(), &mut Sequences::default(), MOMENT)
    };
    for pair in stages.windows(2) {
        for (sender, receiver) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            assert_eq!(verdict(&pair[sender], &pair[receiver]), Ok(Proof::Given));
        }
    }
    assert_eq!(verdict(&stages[0], &stages[3]), Err(AuthenticationError::UnknownKey { id: 1 }));
    let other_key_of_the_same_number = with(&[(1, key(64))], 1);
    assert_eq!(verdict(&stages[0], &other_key_of_the_same_number), Err(AuthenticationError::Hmac));
}

#[test]
fn the_simple_text_of_version_2_stands_where_the_rfc_has_it_and_is_compared_whole() {
    let (source, group) = (at("10.77.0.11"), at("224.0.0.18"));
    let text = |text: &str| Authentication::SimpleText(Password::new(text).unwrap());
    let said = advertisement(Version::V2, "10.77.0.50");
    let sender = text("s3cret");
    let credentials = sender.credentials(&mut Sequences::default(), MOMENT);
    let sent = said.emit_with(&credentials, source, group, ChecksumStyle::MessageOnly);
    assert_eq!(sent[4], 1);
    assert_eq!(&sent[12..], b"s3cret\0\0");
    let message = Message::read(&sent, source, group).unwrap();
    let verify = |receiver: Authentication| receiver.verify(&message, &mut Sequences::default(), MOMENT);
    assert_eq!(verify(text("s3cret")), Ok(Proof::Given));
    assert_eq!(verify(text("s3cret2")), Err(AuthenticationError::Password));
    assert_eq!(verify(Authentication::None), Err(AuthenticationError::Type { theirs: 1, ours: 0 }));
    let bare = said.emit(source, group, ChecksumStyle::MessageOnly);
    let bare = Message::read(&bare, source, group).unwrap();
    let refused = text("s3cret").verify(&bare, &mut Sequences::default(), MOMENT);
    assert_eq!(refused, Err(AuthenticationError::Type { theirs: 0, ours: 1 }));
    assert_eq!(message.advertisement().unwrap().advertisement, said);
}

#[test]
fn a_secret_is_never_printed() {
    let secrets = format!("{:?} {:?}", hmac(HmacMode::Enforce), Password::new("s3cret").unwrap());
    assert!(secrets.contains("Key(secret)") && secrets.contains("Password(secret)"), "{secrets}");
    assert!(!secrets.contains("s3cret") && !secrets.contains("[0, 1"), "{secrets}");
}

#[test]
fn a_key_is_32_to_64_bytes_or_their_digits() {
    let digits = "hex:000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F\n";
    assert_eq!(Key::read(digits.as_bytes()), Ok(key(0)));
    assert_eq!(Key::read(&[b'a'; 31]), Err(KeyError::Length { octets: 31 }));
    assert!(Key::read(&[b'a'; 32]).is_ok() && Key::read(&[b'a'; 64]).is_ok());
    assert_eq!(Key::read(&[b'a'; 65]), Err(KeyError::Length { octets: 65 }));
    assert_eq!(Key::read(b"hex:00010"), Err(KeyError::Hexadecimal));
    assert_eq!(Key::read(b"hex:0x"), Err(KeyError::Hexadecimal));
    assert_eq!(Key::read(b"hex:00"), Err(KeyError::Length { octets: 1 }));
}

const PEER: &str = "10.77.0.12";
const HOUR: Duration = Duration::from_hours(1);

/// What one node says and another hears, each by its own clock.
#[derive(Default)]
struct Node(Sequences);

impl Node {
    fn say(&mut self, unix: Duration) -> Sequence {
        self.0.next(unix)
    }

    fn hear(&mut self, from: &str, said: Sequence, unix: Duration) -> Result<(), AuthenticationError> {
        self.0.hear(at(from), said, unix, TOLERANCE)
    }
}

#[test]
fn each_advertisement_counts_once_and_none_after_a_later_one() {
    let (mut sender, mut receiver) = (Node::default(), Node::default());
    let said: Vec<_> = (0..3).map(|_| sender.say(MOMENT)).collect();
    assert_eq!(receiver.hear(PEER, said[1], MOMENT), Ok(()));
    for recorded in [said[0], said[1]] {
        assert_eq!(receiver.hear(PEER, recorded, MOMENT), Err(AuthenticationError::Replayed));
    }
    assert_eq!(receiver.hear(PEER, said[2], MOMENT), Ok(()));
}

#[test]
fn a_recording_is_not_believed_by_a_node_that_was_started_later() {
    let recorded = Node::default().say(MOMENT);
    let mut restarted = Node::default();
    let later = MOMENT + TOLERANCE + Duration::from_secs(1);
    let behind = Duration::from_secs(6);
    assert_eq!(restarted.hear(PEER, recorded, later), Err(AuthenticationError::Stale { behind }));
    assert_eq!(restarted.hear(PEER, recorded, MOMENT + TOLERANCE), Ok(()));
}

#[test]
fn a_clock_that_is_set_while_a_pair_runs_keeps_nobody_from_being_believed() {
    for steps in [[HOUR; 2], [Duration::ZERO, HOUR], [HOUR, Duration::ZERO]] {
        for (before, after) in [(MOMENT, MOMENT + HOUR), (MOMENT + HOUR, MOMENT)] {
            let (mut sender, mut receiver) = (Node::default(), Node::default());
            let clock = |step: Duration, round: u32| {
                let moment = if step.is_zero() || round < 3 { before } else { after };
                moment + Duration::from_millis(100) * round
            };
            for round in 0..100 {
                let said = sender.say(clock(steps[0], round));
                assert_eq!(receiver.hear(PEER, said, clock(steps[1], round)), Ok(()), "round {round}");
            }
        }
    }
}

#[test]
fn a_node_whose_clock_is_behind_is_believed_once_it_has_heard_the_group() {
    let (mut active, mut booted) = (Node::default(), Node::default());
    let unset = Duration::from_secs(30);
    let refused = active.hear(PEER, Node::default().say(unset), MOMENT);
    assert!(matches!(refused, Err(AuthenticationError::Stale { .. })));
    assert_eq!(booted.hear("10.77.0.11", active.say(MOMENT), unset), Ok(()));
    assert_eq!(active.hear(PEER, booted.say(unset), MOMENT), Ok(()));
}

#[test]
fn a_node_that_was_started_again_after_its_clock_was_put_right_is_believed() {
    let mut receiver = Node::default();
    assert_eq!(receiver.hear(PEER, Node::default().say(MOMENT + HOUR), MOMENT), Ok(()));
    let (later, now) = (MOMENT + Duration::from_secs(1), MOMENT + Duration::from_secs(2));
    assert_eq!(receiver.hear(PEER, Node::default().say(later), now), Ok(()));
    let recorded = Node::default().say(MOMENT);
    assert_eq!(receiver.hear(PEER, recorded, now), Err(AuthenticationError::Replayed));
}

#[test]
fn a_clock_that_is_set_back_is_followed_only_where_others_measure_by_theirs() {
    let sender = |measure| {
        let keys = keys(&[(1, key(0))], 1);
        Authentication::Hmac(Hmac { keys, mode: HmacMode::Enforce, clock_tolerance: TOLERANCE, measure })
    };
    let said = |measure, before, after| {
        let (sender, mut sequences) = (sender(measure), Sequences::default());
        let _ = sender.credentials(&mut sequences, before);
        let Credentials::Hmac { sequence, .. } = sender.credentials(&mut sequences, after) else { panic!() };
        sequence
    };
    let (now, slightly, far) = (Sequence::new(0x6800_0000_8000_0000), MOMENT + TOLERANCE, MOMENT + HOUR);
    assert_eq!(said(Measure::Clock, far, MOMENT), now);
    assert_eq!(said(Measure::Growth, far, MOMENT).get() >> 32, far.as_secs());
    // What everybody believes still, goes on growing.
    assert_eq!(said(Measure::Clock, slightly, MOMENT).get(), now.get() + (5 << 32) + 1);
}

#[test]
fn sequences_grow_past_the_end_of_their_numbers() {
    // 2106-02-07, when the seconds need a 33rd bit.
    let (before, after) = (Duration::from_secs((1 << 32) - 1), Duration::from_secs(1 << 32));
    let (mut sender, mut receiver) = (Node::default(), Node::default());
    assert_eq!(receiver.hear(PEER, sender.say(before), before), Ok(()));
    let said = sender.say(after);
    assert_eq!(said.get(), 0);
    assert_eq!(receiver.hear(PEER, said, after), Ok(()));
}

#[test]
fn only_so_many_senders_are_remembered_and_the_one_longest_silent_is_forgotten() {
    let mut receiver = Node::default();
    let said = Node::default().say(MOMENT);
    for host in 0..100 {
        assert_eq!(receiver.hear(&format!("10.77.1.{host}"), said, MOMENT), Ok(()));
    }
    assert_eq!(receiver.hear("10.77.1.84", said, MOMENT), Err(AuthenticationError::Replayed));
    assert_eq!(receiver.hear("10.77.1.83", said, MOMENT), Ok(()));
}

#[test]
fn bytes_behind_an_advertisement_that_are_no_trailer_are_a_wrong_length() {
    for length in [1, TRAILER_OCTETS - 1, TRAILER_OCTETS + 1] {
        let mut sent = bytes(&V4.3[..24]);
        sent.resize(12 + length, 1);
        let refused = Message::read(&sent, at(V4.0), at(V4.1)).unwrap_err();
        assert_eq!(refused, ParseError::Length { octets: 12 + length, expected: 12 });
    }
}
