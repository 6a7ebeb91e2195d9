//! A bug that chance does not find, behind eight octets that have to be right one after the other: where the fuzzer does not
//! find it within seconds, it is not guided by coverage, and that the other targets find nothing means nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;

const LOCK: [u8; 8] = [0x31, 0x33, 0xC8, 0x01, 0x5E, 0xA1, 0xED, 0x0F];

fuzz_target!(|input: &[u8]| {
    let right = LOCK.iter().zip(input).take_while(|(wanted, found)| wanted == found).count();
    assert!(right < LOCK.len(), "the planted bug");
});
