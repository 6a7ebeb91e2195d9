//! Any bytes as the payload of a packet: nothing panics, and what is read is what would be written.

#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use vrrp::{Advertisement, Family, Version, multicast_group};

// The first octet chooses the family, the rest came from the wire.
fuzz_target!(|input: (u8, &[u8])| {
    let (choice, payload) = input;
    let (family, source) = match choice % 2 {
        0 => (Family::V4, IpAddr::from([10, 77, 0, 11])),
        _ => (Family::V6, IpAddr::from([0xFE80, 0, 0, 0, 0, 0, 0, 0x11])),
    };
    let destination = multicast_group(family);
    let Ok(received) = Advertisement::parse(payload, source, destination) else { return };
    let said = received.advertisement;
    let written = said.emit(source, destination, received.checksum);
    assert_eq!(
        Advertisement::parse(&written, source, destination).map(|read| read.advertisement),
        Ok(said.clone())
    );
    assert_eq!(written.len(), payload.len());
    let meaningless = match said.version {
        // The reserved bits beside the interval, and with them the checksum.
        Version::V3 => payload[4] & 0xF0 != 0,
        // What stands in the place of the password of somebody who has none.
        Version::V2 => payload[payload.len() - 8..] != [0; 8],
    };
    // A checksum of 0 may be written as 0xFFFF, which is the same in ones' complement.
    let same = written[..6] == payload[..6] && written[8..] == payload[8..];
    assert!(same || meaningless, "{payload:02x?} was read, {written:02x?} is written");
});
