use proptest::prelude::*;

use super::*;

const LB1: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 11));
const GROUP: IpAddr = IpAddr::V4(MULTICAST_V4);

fn plain(version: Version) -> Advertisement {
    Advertisement {
        version,
        vrid: Vrid::new(51).unwrap(),
        priority: Priority::DEFAULT,
        interval: Centiseconds::DEFAULT,
        addresses: vec![IpAddr::from([10, 77, 0, 50])],
    }
}

fn plain_bytes(version: Version) -> Vec<u8> {
    plain(version).emit(LB1, GROUP, ChecksumStyle::MessageOnly)
}

fn parse(bytes: &[u8]) -> Result<Received, ParseError> {
    Advertisement::parse(bytes, LB1, GROUP)
}

/// Changes octets of a valid message and puts its checksum right again.
fn altered(version: Version, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = plain_bytes(version);
    change(&mut bytes);
    let sum = util::checksum(&bytes, CHECKSUM_WORD);
    bytes[6..8].copy_from_slice(&sum.to_be_bytes());
    bytes
}

#[test]
fn version_3_stands_on_the_wire_as_the_rfc_draws_it() {
    assert_eq!(
        plain_bytes(Version::V3),
        [0x31, 51, 100, 1, 0x00, 100, 0x5F, 0xE8, 10, 77, 0, 50],
        "version and type, identifier, priority, count, interval, checksum, address"
    );
}

#[test]
fn version_2_stands_on_the_wire_with_its_empty_authentication_data() {
    assert_eq!(
        plain_bytes(Version::V2),
        [0x21, 51, 100, 1, 0, 1, 0x70, 0x4B, 10, 77, 0, 50, 0, 0, 0, 0, 0, 0, 0, 0]
    );
}

#[test]
fn both_checksum_styles_of_version_3_over_ipv4_are_accepted_and_told_apart() {
    for style in [ChecksumStyle::MessageOnly, ChecksumStyle::PseudoHeader] {
        let bytes = plain(Version::V3).emit(LB1, GROUP, style);
        assert_eq!(parse(&bytes), Ok(Received { advertisement: plain(Version::V3), checksum: style }));
    }
}

#[test]
fn a_pseudo_header_for_another_destination_does_not_pass() {
    let bytes = plain(Version::V3).emit(LB1, IpAddr::from([10, 77, 0, 12]), ChecksumStyle::PseudoHeader);
    assert_eq!(parse(&bytes), Err(ParseError::Checksum));
}

#[test]
fn each_wrong_octet_is_refused_for_its_own_reason() {
    let v3 = |change: fn(&mut Vec<u8>)| parse(&altered(Version::V3, change));
    assert_eq!(parse(&[0x31; 7]), Err(ParseError::TooShort { octets: 7 }));
    assert_eq!(v3(|bytes| bytes[0] = 0x41), Err(ParseError::Version { version: 4 }));
    assert_eq!(v3(|bytes| bytes[0] = 0x32), Err(ParseError::Type { kind: 2 }));
    assert_eq!(v3(|bytes| bytes[1] = 0), Err(ParseError::Vrid));
    assert_eq!(v3(|bytes| bytes[3] = 2), Err(ParseError::Length { octets: 12, expected: 16 }));
    assert_eq!(v3(|bytes| bytes.push(0)), Err(ParseError::Length { octets: 13, expected: 12 }));
    assert_eq!(v3(|bytes| bytes[5] = 0), Err(ParseError::Interval));
    let without_address = |bytes: &mut Vec<u8>| {
        bytes[3] = 0;
        bytes.truncate(8);
    };
    assert_eq!(v3(without_address), Err(ParseError::NoAddress));
    let authenticated = altered(Version::V2, |bytes| bytes[4] = 1);
    assert_eq!(parse(&authenticated), Err(AuthenticationError::Type { theirs: 1, ours: 0 }.into()));
    let mut corrupted = plain_bytes(Version::V3);
    corrupted[11] ^= 1;
    assert_eq!(parse(&corrupted), Err(ParseError::Checksum));
}

#[test]
fn version_2_does_not_exist_over_ipv6() {
    let ours = "fe80::1".parse().unwrap();
    let refused = Advertisement::parse(&plain_bytes(Version::V2), ours, IpAddr::V6(MULTICAST_V6));
    assert_eq!(refused, Err(ParseError::Version { version: 2 }));
}

#[test]
fn the_reserved_bits_of_version_3_are_ignored() {
    let bytes = altered(Version::V3, |bytes| bytes[4] |= 0xF0);
    assert_eq!(parse(&bytes).map(|received| received.advertisement), Ok(plain(Version::V3)));
}

fn endpoints(family: Family) -> (IpAddr, IpAddr) {
    match family {
        Family::V4 => (LB1, GROUP),
        Family::V6 => ("fe80::1".parse().unwrap(), IpAddr::V6(MULTICAST_V6)),
    }
}

prop_compose! {
    fn any_advertisement()(
        kind in prop::sample::select(vec![
            (Version::V2, Family::V4), (Version::V3, Family::V4), (Version::V3, Family::V6),
        ]),
        vrid in 1..=255_u32,
        priority in any::<u8>(),
        interval in 1..=255_u16,
        addresses in prop::collection::vec(any::<[u8; 16]>(), 1..=255),
    ) -> (Advertisement, Family) {
        let (version, family) = kind;
        let interval = match version {
            Version::V2 => Centiseconds::new(interval * 100),
            Version::V3 => Centiseconds::new(interval * 16),
        };
        let addresses = addresses.into_iter().map(|octets| match family {
            Family::V4 => IpAddr::from([octets[0], octets[1], octets[2], octets[3]]),
            Family::V6 => IpAddr::from(octets),
        });
        let vrid = Vrid::new(vrid).unwrap();
        let priority = Priority::from_wire(priority);
        (Advertisement { version, vrid, priority, interval, addresses: addresses.collect() }, family)
    }
}

proptest! {
    #[test]
    fn what_is_emitted_is_read_back(
        (advertisement, family) in any_advertisement(),
        style in prop::sample::select(vec![ChecksumStyle::MessageOnly, ChecksumStyle::PseudoHeader]),
    ) {
        let (source, destination) = endpoints(family);
        let bytes = advertisement.emit(source, destination, style);
        let read = Advertisement::parse(&bytes, source, destination).map(|received| received.advertisement);
        prop_assert_eq!(read, Ok(advertisement));
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), v6 in any::<bool>()) {
        let (source, destination) = endpoints(if v6 { Family::V6 } else { Family::V4 });
        let _ = Advertisement::parse(&bytes, source, destination);
    }

    #[test]
    fn one_flipped_bit_is_never_accepted_as_the_same(
        (advertisement, family) in any_advertisement(),
        position in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let (source, destination) = endpoints(family);
        let mut bytes = advertisement.emit(source, destination, ChecksumStyle::MessageOnly);
        let position = position.index(bytes.len());
        bytes[position] ^= 1_u8 << bit;
        prop_assert!(Advertisement::parse(&bytes, source, destination).is_err());
    }
}
