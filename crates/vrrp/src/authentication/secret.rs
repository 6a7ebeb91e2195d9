//! What only the nodes of a group know: never printed, compared in constant time, wiped when it is no longer needed.

use std::fmt;
use std::num::NonZeroU8;
use std::ops::RangeInclusive;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

/// The simple text of version 2, filled up with zeros.
/// [RFC 2338, section 5.3.10](https://www.rfc-editor.org/rfc/rfc2338#section-5.3.10)
#[derive(Clone)]
pub struct Password(Zeroizing<[u8; Self::OCTETS]>);

/// A password that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("version 2 carries up to {} bytes of simple text, not {octets}", Password::OCTETS)]
pub struct PasswordTooLong {
    /// How many octets it has.
    pub octets: usize,
}

impl Password {
    /// How many octets there are for it.
    pub const OCTETS: usize = 8;

    /// Returns the password of this text.
    ///
    /// # Errors
    /// [`PasswordTooLong`] for more than 8 bytes: cut off, it would not be what was meant.
    pub fn new(text: &str) -> Result<Self, PasswordTooLong> {
        let mut octets = [0; Self::OCTETS];
        let room = octets.get_mut(..text.len()).ok_or(PasswordTooLong { octets: text.len() })?;
        room.copy_from_slice(text.as_bytes());
        Ok(Self(Zeroizing::new(octets)))
    }

    pub(super) fn octets(&self) -> [u8; Self::OCTETS] {
        *self.0
    }

    pub(super) fn is(&self, octets: &[u8]) -> bool {
        self.0.as_slice().ct_eq(octets).into()
    }
}

/// The number that a trailer names its key by, 1 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(NonZeroU8);

impl KeyId {
    /// Returns the key number, if it is not 0.
    pub fn new(number: u8) -> Option<Self> {
        NonZeroU8::new(number).map(Self)
    }

    /// Returns the number.
    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A key of HMAC-SHA256 that the nodes of a group share.
#[derive(Clone)]
pub struct Key(Arc<Zeroizing<Vec<u8>>>);

/// Why the contents of a key file are no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// It is too short to be safe, or longer than the hash takes in at once.
    #[error("a key has {} to {} bytes, not {octets}", Key::OCTETS.start(), Key::OCTETS.end())]
    Length {
        /// How many octets it has.
        octets: usize,
    },
    /// It says that it is hexadecimal, and is not.
    #[error("what follows \"hex:\" is not pairs of hexadecimal digits")]
    Hexadecimal,
}

impl Key {
    /// How many octets a key may have: as many as leave 128 bits against a quantum search, up to a block of SHA-256.
    pub const OCTETS: RangeInclusive<usize> = 32..=64;

    /// Returns the key that a file's contents are: `hex:` and pairs of digits, or the bytes themselves; the end of the line
    /// does not count. Keepalived reads its key files in the same way.
    ///
    /// # Errors
    /// [`KeyError`] for what is no key.
    pub fn read(contents: &[u8]) -> Result<Self, KeyError> {
        let end = contents.iter().rposition(|octet| !b"\r\n".contains(octet)).map_or(0, |last| last + 1);
        let line = &contents[..end];
        let octets = match line.strip_prefix(b"hex:") {
            Some(digits) => hexadecimal(digits).ok_or(KeyError::Hexadecimal)?,
            None => Zeroizing::new(line.to_vec()),
        };
        if !Self::OCTETS.contains(&octets.len()) {
            return Err(KeyError::Length { octets: octets.len() });
        }
        Ok(Self(Arc::new(octets)))
    }

    pub(super) fn octets(&self) -> &[u8] {
        &self.0
    }
}

fn hexadecimal(digits: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    // Collected into its whole room at once: what grows leaves copies behind.
    let mut octets = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for &[high, low] in pairs {
        octets.push(digit(high)? << 4 | digit(low)?);
    }
    Some(octets)
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.0.as_slice())
    }
}

impl Eq for Password {}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.octets().ct_eq(other.octets()).into()
    }
}

impl Eq for Key {}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(secret)")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key(secret)")
    }
}
