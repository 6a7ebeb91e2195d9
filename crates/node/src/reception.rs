//! The checks that a received packet has to pass before a virtual router hears of it.

use vrrp::ParseError;

/// Why a received packet was refused.
/// [RFC 9568, section 7.1](https://www.rfc-editor.org/rfc/rfc9568#section-7.1)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// TTL or hop limit.
    HopLimit(u8),
    /// The bytes.
    Malformed(ParseError),
}
