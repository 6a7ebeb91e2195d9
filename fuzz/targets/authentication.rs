//! Any bytes behind an advertisement, and any clocks: nothing panics, nothing is believed that a holder of the key has not
//! made, and nothing twice.

#![no_main]

use std::net::IpAddr;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use vrrp::{
    Advertisement, Authentication, AuthenticationError, Centiseconds, ChecksumStyle, Family, Hmac, HmacMode,
    Key, KeyId, KeyRing, Measure, Message, Priority, Proof, Sequences, Version, Vrid, multicast_group,
};

/// How many octets tell of one advertisement of a peer that has the key.
///
/// ```text
/// 0: the peer   1: the bit that is turned on its way, 0xFFFF for none
/// 3: what its clock shows, in seconds and 1/65536 seconds   9: what ours shows
/// ```
const HEARD_OCTETS: usize = 15;

/// The bits of a message's checksum.
const CHECKSUM_BITS: std::ops::Range<usize> = 48..64;

fn authentication() -> Authentication {
    let id = KeyId::new(1).expect("1 is a key's number");
    let key = Key::read(b"the key of a group that a stranger does not have").expect("it is long enough");
    Authentication::Hmac(Hmac {
        keys: KeyRing::new([(id, key)].into(), id).expect("the key is there"),
        mode: HmacMode::Enforce,
        clock_tolerance: Duration::from_secs(5),
        measure: Measure::Growth,
    })
}

fn unix([a, b, c, d, parts @ ..]: [u8; 6]) -> Duration {
    let nanoseconds = u64::from(u16::from_be_bytes(parts)) * 1_000_000_000 / 65_536;
    Duration::from_secs(u32::from_be_bytes([a, b, c, d]).into()) + Duration::from_nanos(nanoseconds)
}

// The first octet chooses the family, the second is the length of what a stranger sends, which follows; the rest is what
// is heard of peers.
fuzz_target!(|input: (u8, u8, &[u8])| {
    let (choice, length, rest) = input;
    let authentication = authentication();
    let family = if choice % 2 == 0 { Family::V4 } else { Family::V6 };
    let group = multicast_group(family);
    let source = |host: u8| match family {
        Family::V4 => IpAddr::from([10, 77, 0, host]),
        Family::V6 => IpAddr::from([0xFE80, 0, 0, 0, 0, 0, 0, host.into()]),
    };

    let (forged, heard) = rest.split_at(rest.len().min(length.into()));
    if let Ok(message) = Message::read(forged, source(11), group) {
        let mut sequences = Sequences::default();
        let verdict = authentication.verify(&message, &mut sequences, Duration::ZERO);
        assert!(verdict.is_err(), "believed {forged:02x?}");
        assert_eq!(sequences, Sequences::default(), "a forgery leaves no trace");
    }

    let mut peers: Vec<Sequences> = vec![Sequences::default(); 256];
    let mut ours = Sequences::default();
    for record in heard.as_chunks::<HEARD_OCTETS>().0 {
        let [host, turned @ .., _, _, _, _, _, _, _, _, _, _, _, _] = *record;
        let turned = u16::from_be_bytes(turned);
        let theirs = unix(*record[3..].first_chunk().expect("a record has two clocks"));
        let clock = unix(*record.last_chunk().expect("a record has two clocks"));
        let said = Advertisement {
            version: Version::V3,
            vrid: Vrid::new(51).expect("51 is an identifier"),
            priority: Priority::DEFAULT,
            interval: Centiseconds::DEFAULT,
            addresses: vec![source(50)],
        };
        let credentials = authentication.credentials(&mut peers[usize::from(host)], theirs);
        let mut payload = said.emit_with(&credentials, source(host), group, ChecksumStyle::MessageOnly);
        let place = (turned != u16::MAX).then(|| usize::from(turned) % (payload.len() * 8));
        if let Some(place) = place {
            payload[place / 8] ^= 1 << (place % 8);
        }
        let Ok(message) = Message::read(&payload, source(host), group) else { continue };
        let first = authentication.verify(&message, &mut ours, clock);
        match place {
            Some(place) if !CHECKSUM_BITS.contains(&place) => {
                assert!(first.is_err(), "believed with bit {place} turned");
            }
            // The checksum is not authenticated, but checked.
            Some(_) => assert!(message.advertisement().is_err()),
            None => assert_eq!(message.advertisement().map(|read| read.advertisement), Ok(said)),
        }
        if first == Ok(Proof::Given) {
            let second = authentication.verify(&message, &mut ours, clock);
            assert_eq!(second, Err(AuthenticationError::Replayed));
        }
    }
});
