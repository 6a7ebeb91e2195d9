//! What tells a new advertisement from a recording of an old one.
//!
//! A sender's sequence grows with each advertisement, and starts from its wall clock, so that it goes on growing after a
//! restart. A receiver that has heard a sender takes what is greater than the last, whatever its own clock says: clocks
//! may be set while a pair runs. Only a sender that is heard for the first time is measured by the clock.
//!
//! So that clocks that differ do not keep a pair apart either, a group's sequence only moves forward: a node says nothing
//! less than the greatest it has heard and believed. A node whose clock is behind, or was set back while it was down,
//! is level with the others as soon as it hears one of them; a daemon that is started again on a machine that runs on goes
//! on after what the one before it has said. Only where others measure by the clock alone, as Keepalived
//! does, a clock that is set back is followed, as Keepalived follows its own.

use std::net::IpAddr;
use std::time::Duration;

use super::AuthenticationError;

/// How many senders a node remembers; far more than any virtual router has, and only holders of a key get in.
const SENDER_LIMIT: usize = 16;

/// Parts of a second in the middle 16 bits.
const PARTS: u128 = 1 << 16;
/// Steps of a sequence in a second: 2^16 parts of 2^16 numbers each.
const STEPS: u128 = PARTS << 16;

/// The number of an advertisement among its sender's: seconds since 1970 in 32 bits, 1/65536 seconds in 16, a counter in
/// 16. It wraps around, and is compared as [RFC 1982](https://www.rfc-editor.org/rfc/rfc1982) compares serial numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence(u64);

impl Sequence {
    /// Returns the number that stands on the wire.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the first number of a moment, told as the time since 1970.
    fn at(unix: Duration) -> Self {
        let seconds = unix.as_secs() & u64::from(u32::MAX);
        let parts = u64::from(unix.subsec_nanos()) * (1 << 16) / 1_000_000_000;
        Self(seconds << 32 | parts << 16)
    }

    fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Tells whether this comes after another, by less than half of all numbers: 68 years.
    fn is_after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() > 0
    }

    /// Returns how long this is after another.
    fn since(self, other: Self) -> Duration {
        let steps = u128::from(self.0.wrapping_sub(other.0));
        Duration::from_nanos(u64::try_from(steps * 1_000_000_000 / STEPS).unwrap_or(u64::MAX))
    }

    fn plus(self, time: Duration) -> Self {
        Self(self.0.wrapping_add(Self::at(time).0))
    }

    fn minus(self, time: Duration) -> Self {
        Self(self.0.wrapping_sub(Self::at(time).0))
    }
}

/// The last number that a node has said or heard in a virtual router, and the last one of each sender.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Sequences {
    last: Option<Sequence>,
    said: Option<Sequence>,
    /// Who was heard last stands last.
    heard: Vec<(IpAddr, Sequence)>,
}

impl Sequences {
    /// Returns the last number that this node has said; nothing where it has said none.
    pub const fn said(&self) -> Option<Sequence> {
        self.said
    }

    /// Goes on after a number that this node has said before it was started again, whatever its clock says by now.
    pub fn go_on_after(&mut self, said: Sequence) {
        self.said = Some(said);
        if self.last.is_none_or(|last| said.is_after(last)) {
            self.last = Some(said);
        }
    }

    /// Returns the number of the next advertisement; `unix` is the wall clock's time since 1970.
    pub(super) fn next(&mut self, unix: Duration) -> Sequence {
        let clock = Sequence::at(unix);
        let next = match self.last {
            Some(last) if !clock.is_after(last) => last.next(),
            Some(_) | None => clock,
        };
        self.last = Some(next);
        self.said = Some(next);
        next
    }

    /// Forgets the last number if it is further ahead of the clock than peers that measure by theirs would believe: the
    /// clock was set back.
    pub(super) fn follow_the_clock(&mut self, unix: Duration, tolerance: Duration) {
        let latest = Sequence::at(unix).plus(tolerance);
        self.last = self.last.filter(|last| !last.is_after(latest));
    }

    /// Takes a number that a sender has proven to be its own, unless it may be a recording.
    pub(super) fn hear(
        &mut self,
        sender: IpAddr,
        said: Sequence,
        unix: Duration,
        tolerance: Duration,
    ) -> Result<(), AuthenticationError> {
        let clock = Sequence::at(unix);
        let place = self.heard.iter().position(|(known, _)| *known == sender);
        match place.map(|place| self.heard[place].1) {
            Some(last) if said.is_after(last) => {}
            // Its clock ran ahead when it was last heard, and is right now that it was started again.
            Some(last)
                if last.is_after(clock.plus(tolerance))
                    && clock.plus(tolerance).is_after(said)
                    && said.is_after(clock.minus(tolerance)) => {}
            Some(_) => return Err(AuthenticationError::Replayed),
            None if clock.minus(tolerance).is_after(said) => {
                return Err(AuthenticationError::Stale { behind: clock.since(said) });
            }
            None => {}
        }
        if let Some(place) = place {
            self.heard.remove(place);
        } else if self.heard.len() == SENDER_LIMIT {
            self.heard.remove(0);
        }
        self.heard.push((sender, said));
        if self.last.is_none_or(|last| said.is_after(last)) {
            self.last = Some(said);
        }
        Ok(())
    }
}
