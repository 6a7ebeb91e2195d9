//! How an advertisement proves that it comes from a node of the group.
//!
//! RFC 9568 knows no authentication ([section 8](https://www.rfc-editor.org/rfc/rfc9568#section-8)): the hop limit of 255
//! keeps strangers off other links, and that is all. Two things go beyond it. The simple text of version 2
//! ([RFC 2338, section 10](https://www.rfc-editor.org/rfc/rfc2338#section-10)) travels in the clear and is no security;
//! it is there for peers that ask for it. The HMAC trailer, as Keepalived speaks it from 2.4.2 on
//! ([draft-cassen-vrrp-auth-hmac](https://datatracker.ietf.org/doc/draft-cassen-vrrp-auth-hmac/)), proves who holds the
//! group's key, that nothing was altered, and that it is not an old recording.

mod secret;
mod sequence;
mod trailer;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use thiserror::Error;

pub use self::secret::{Key, KeyError, KeyId, Password, PasswordTooLong};
pub use self::sequence::{Sequence, Sequences};
pub(crate) use self::trailer::TRAILER_OCTETS;
use self::trailer::Trailer;
use crate::advertisement::Message;

/// The number for "none" in version 2's authentication type.
/// [RFC 3768, section 5.3.6](https://www.rfc-editor.org/rfc/rfc3768#section-5.3.6)
pub(crate) const TYPE_NONE: u8 = 0;
/// The number for "simple text password".
const TYPE_SIMPLE_TEXT: u8 = 1;

/// What the advertisements of a virtual router carry and have to carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Nothing, as RFC 9568 has it.
    None,
    /// A password in the clear; version 2 alone.
    SimpleText(Password),
    /// A trailer that only a holder of a key can make.
    Hmac(Hmac),
}

/// What is needed to make and to check HMAC trailers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hmac {
    /// Every key that is accepted.
    pub keys: KeyRing,
    /// What is sent, and what is accepted without a trailer.
    pub mode: HmacMode,
    /// How far a sender that is heard for the first time may be behind this node's wall clock.
    pub clock_tolerance: Duration,
    /// How the other nodes measure what this one says.
    pub measure: Measure,
}

/// By what nodes tell a new advertisement from a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// By what they heard of its sender before; by the clock only when that is nothing. So Baton does.
    Growth,
    /// By the clock, always: within [`Hmac::clock_tolerance`]. So Keepalived does unless it is told otherwise.
    Clock,
}

/// Keys by their numbers, one of which signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRing {
    keys: BTreeMap<KeyId, Key>,
    active: KeyId,
}

impl KeyRing {
    /// Returns the ring of these keys, if the active one is among them.
    pub fn new(keys: BTreeMap<KeyId, Key>, active: KeyId) -> Option<Self> {
        keys.contains_key(&active).then_some(Self { keys, active })
    }

    /// Returns the numbers of all keys.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.keys().copied()
    }

    /// Returns the number of the key that signs.
    pub fn active(&self) -> KeyId {
        self.active
    }
}

/// What is sent, and what is accepted without a trailer: the stages of a roll-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HmacMode {
    /// Advertisements are signed, and only signed ones are accepted.
    Enforce,
    /// Advertisements are signed; those without a trailer are accepted and told.
    Permissive,
    /// Advertisements are not signed; those without a trailer are accepted, those with one have to be right.
    ReceiveOnly,
}

/// What an accepted advertisement has proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// All that is asked for.
    Given,
    /// Nothing, but the mode lets it pass.
    Spared,
}

/// Why an advertisement is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum AuthenticationError {
    /// The type of version 2's own authentication is another one.
    #[error("its authentication type is {theirs}, the configured one is {ours}")]
    Type {
        /// The number in the message.
        theirs: u8,
        /// The number configured.
        ours: u8,
    },
    /// The password is another one.
    #[error("its password is not the configured one")]
    Password,
    /// It has no HMAC trailer.
    #[error("it has no HMAC trailer, and the mode is enforce")]
    Missing,
    /// It has a trailer where nobody here could check it.
    #[error("it has an HMAC trailer, and no keys are configured here")]
    Unexpected,
    /// The trailer is of a kind that does not exist.
    #[error("its HMAC trailer is of a kind that does not exist")]
    Malformed,
    /// The key is not among ours.
    #[error("its HMAC trailer is made with key {id}, which is not configured here")]
    UnknownKey {
        /// The number in the trailer.
        id: u8,
    },
    /// The HMAC is not that of a holder of the key.
    #[error("its HMAC is wrong: another key of the same number, or it was altered")]
    Hmac,
    /// A later one of the same sender has been heard.
    #[error(
        "it is older than one of the same sender that was heard already: a recording, or its clock was set back"
    )]
    Replayed,
    /// It is older than this node remembers its sender.
    #[error(
        "it is {behind:?} behind this node's clock and its sender was not heard before: a recording, or the clocks differ"
    )]
    Stale {
        /// How far behind.
        behind: Duration,
    },
}

/// What is put into one advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials<'a> {
    /// Nothing.
    None,
    /// A password.
    SimpleText(&'a Password),
    /// A trailer.
    Hmac {
        /// The key's number.
        id: KeyId,
        /// The key.
        key: &'a Key,
        /// Greater than that of every advertisement before.
        sequence: Sequence,
    },
}

impl Authentication {
    /// Tells whether an advertisement of the same words has to be made anew each time.
    pub fn is_fresh_each_time(&self) -> bool {
        match self {
            Self::Hmac(Hmac { mode: HmacMode::Enforce | HmacMode::Permissive, .. }) => true,
            Self::None | Self::SimpleText(_) | Self::Hmac(Hmac { mode: HmacMode::ReceiveOnly, .. }) => false,
        }
    }

    /// Returns what to put into the next advertisement; all its copies carry the same.
    ///
    /// `unix` is the wall clock's time since 1970.
    pub fn credentials(&self, sequences: &mut Sequences, unix: Duration) -> Credentials<'_> {
        match self {
            Self::SimpleText(password) => Credentials::SimpleText(password),
            Self::Hmac(hmac @ Hmac { keys, mode: HmacMode::Enforce | HmacMode::Permissive, .. }) => {
                if hmac.measure == Measure::Clock {
                    sequences.follow_the_clock(unix, hmac.clock_tolerance);
                }
                Credentials::Hmac {
                    id: keys.active,
                    key: &keys.keys[&keys.active],
                    sequence: sequences.next(unix),
                }
            }
            Self::None | Self::Hmac(Hmac { mode: HmacMode::ReceiveOnly, .. }) => Credentials::None,
        }
    }

    /// Checks what a message proves, before any word of it is believed, and remembers that it was heard.
    ///
    /// # Errors
    /// [`AuthenticationError`] with the first reason not to believe it.
    pub fn verify(
        &self,
        message: &Message<'_>,
        sequences: &mut Sequences,
        unix: Duration,
    ) -> Result<Proof, AuthenticationError> {
        self.verify_text(message)?;
        match (self, message.trailer()) {
            (Self::None | Self::SimpleText(_), None) => Ok(Proof::Given),
            (Self::None | Self::SimpleText(_), Some(_)) => Err(AuthenticationError::Unexpected),
            (Self::Hmac(hmac), Some(trailer)) => {
                let trailer = Trailer::read(trailer)?;
                let id = trailer.key_id();
                let key = KeyId::new(id).and_then(|id| hmac.keys.keys.get(&id));
                trailer.verify(message, key.ok_or(AuthenticationError::UnknownKey { id })?)?;
                sequences.hear(message.source(), trailer.sequence(), unix, hmac.clock_tolerance)?;
                Ok(Proof::Given)
            }
            (Self::Hmac(Hmac { mode: HmacMode::Enforce, .. }), None) => Err(AuthenticationError::Missing),
            (Self::Hmac(Hmac { mode: HmacMode::Permissive | HmacMode::ReceiveOnly, .. }), None) => {
                Ok(Proof::Spared)
            }
        }
    }

    /// Checks what stands in the message itself, which version 3 has not.
    fn verify_text(&self, message: &Message<'_>) -> Result<(), AuthenticationError> {
        let Some((theirs, data)) = message.text_authentication() else { return Ok(()) };
        let ours = self.text_type();
        if theirs != ours {
            return Err(AuthenticationError::Type { theirs, ours });
        }
        match self {
            Self::SimpleText(password) if !password.is(data) => Err(AuthenticationError::Password),
            Self::SimpleText(_) | Self::None | Self::Hmac(_) => Ok(()),
        }
    }

    fn text_type(&self) -> u8 {
        match self {
            Self::SimpleText(_) => TYPE_SIMPLE_TEXT,
            Self::None | Self::Hmac(_) => TYPE_NONE,
        }
    }
}

impl Credentials<'_> {
    /// Returns the type and the data of version 2.
    pub(crate) fn text(&self) -> (u8, [u8; Password::OCTETS]) {
        match self {
            Self::SimpleText(password) => (TYPE_SIMPLE_TEXT, password.octets()),
            Self::None | Self::Hmac { .. } => (TYPE_NONE, [0; Password::OCTETS]),
        }
    }

    /// Returns the trailer for a message that is complete but for its checksum.
    pub(crate) fn trailer(&self, message: &[u8], source: IpAddr) -> Option<[u8; TRAILER_OCTETS]> {
        match self {
            Self::None | Self::SimpleText(_) => None,
            Self::Hmac { id, key, sequence } => Some(trailer::sign(message, source, *id, key, *sequence)),
        }
    }
}

#[cfg(test)]
mod tests;
