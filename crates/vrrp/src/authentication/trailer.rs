//! The HMAC trailer behind an advertisement.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |   Type = 1    |    Key ID     |         Reserved = 0          |  0
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            Seconds                            |  4  the sequence, 64 bits
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |       1/65536 seconds         |            Counter            |  8
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                       HMAC (16 octets)                        | 12  HMAC-SHA256, its first half
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//! The HMAC is that of a header of 20 octets that is not sent (family 4 or 6, version, virtual router identifier, 0, the
//! source in 16 octets), the message with a checksum of zero, the first 12 octets of the trailer, and 16 zeros. Neither
//! the IP header nor the destination is part of it: one HMAC serves every copy of an advertisement.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{AuthenticationError, Key, KeyId, Sequence};
use crate::advertisement::{CHECKSUM_OFFSET, Message, VRID_OFFSET};

/// The length of the trailer, which the advertisement's address count does not tell.
pub(crate) const TRAILER_OCTETS: usize = 28;

/// HMAC-SHA256; other types do not exist.
const TYPE_HMAC_SHA256: u8 = 0x01;
/// What stands before the HMAC.
const PREFIX_OCTETS: usize = 12;
/// The length of the HMAC that is sent.
const HMAC_OCTETS: usize = TRAILER_OCTETS - PREFIX_OCTETS;
/// Where the sequence stands.
const SEQUENCE_OFFSET: usize = 4;

/// A trailer whose fixed fields are as they should be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trailer<'a> {
    prefix: &'a [u8; PREFIX_OCTETS],
    hmac: &'a [u8],
}

impl<'a> Trailer<'a> {
    /// Reads the octets behind a message.
    pub(super) fn read(octets: &'a [u8; TRAILER_OCTETS]) -> Result<Self, AuthenticationError> {
        let (prefix, hmac) =
            octets.split_first_chunk::<PREFIX_OCTETS>().expect("a trailer is longer than its prefix");
        match *prefix {
            [TYPE_HMAC_SHA256, _, 0, 0, ..] => Ok(Self { prefix, hmac }),
            _ => Err(AuthenticationError::Malformed),
        }
    }

    /// Returns the number of the key that it names.
    pub(super) fn key_id(&self) -> u8 {
        self.prefix[1]
    }

    /// Returns its place among the advertisements of its sender.
    pub(super) fn sequence(&self) -> Sequence {
        let octets = self.prefix.last_chunk::<{ PREFIX_OCTETS - SEQUENCE_OFFSET }>();
        Sequence::new(u64::from_be_bytes(*octets.expect("the prefix ends with the sequence")))
    }

    /// Checks that a holder of the key has made it for this message.
    pub(super) fn verify(&self, message: &Message<'_>, key: &Key) -> Result<(), AuthenticationError> {
        let ours = digest(message.octets(), message.source(), self.prefix, key);
        if ours.ct_eq(self.hmac).into() { Ok(()) } else { Err(AuthenticationError::Hmac) }
    }
}

/// Makes the trailer for a message, whatever stands in the place of its checksum.
pub(super) fn sign(
    message: &[u8],
    source: IpAddr,
    id: KeyId,
    key: &Key,
    sequence: Sequence,
) -> [u8; TRAILER_OCTETS] {
    let mut trailer = [0; TRAILER_OCTETS];
    let (prefix, hmac) =
        trailer.split_first_chunk_mut::<PREFIX_OCTETS>().expect("a trailer is longer than its prefix");
    prefix[..2].copy_from_slice(&[TYPE_HMAC_SHA256, id.get()]);
    prefix[SEQUENCE_OFFSET..].copy_from_slice(&sequence.get().to_be_bytes());
    hmac.copy_from_slice(&digest(message, source, prefix, key));
    trailer
}

fn digest(message: &[u8], source: IpAddr, prefix: &[u8; PREFIX_OCTETS], key: &Key) -> [u8; HMAC_OCTETS] {
    let (before, rest) = message.split_at(CHECKSUM_OFFSET);
    let (_checksum, after) = rest.split_at(2);
    let mut header = [0; 20];
    let family = match source {
        IpAddr::V4(address) => {
            header[4..8].copy_from_slice(&address.octets());
            4
        }
        IpAddr::V6(address) => {
            header[4..].copy_from_slice(&address.octets());
            6
        }
    };
    header[..3].copy_from_slice(&[family, message[0] >> 4, message[VRID_OFFSET]]);
    let mut hmac = Hmac::<Sha256>::new_from_slice(key.octets()).expect("HMAC takes keys of any length");
    for part in [&header[..], before, &[0; 2], after, prefix, &[0; HMAC_OCTETS]] {
        hmac.update(part);
    }
    let whole = hmac.finalize().into_bytes();
    *whole.first_chunk().expect("SHA-256 has 32 octets")
}
