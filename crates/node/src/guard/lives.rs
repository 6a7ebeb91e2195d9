//! How soon a daemon is started again.

use std::time::Duration;

use monotonic::Instant;

/// How long a daemon has to live for its death to be an accident.
const ACCIDENT: Duration = Duration::from_mins(1);

/// The first pause after a death that was none, and the longest; each further one is twice as long.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The ends of the daemons so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lives {
    last_end: Option<Instant>,
    last_pause: Duration,
}

/// What follows an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another daemon, at once: it goes on where this one was.
    AtOnce,
    /// Nothing for so long: it died again within a minute, so another one would die too.
    After(Duration),
}

impl Lives {
    /// Takes note of an end, and returns what follows.
    pub fn end(&mut self, now: Instant) -> Next {
        let is_accident = self.last_end.replace(now).is_none_or(|last| now - last >= ACCIDENT);
        let (first, longest) = PAUSES;
        self.last_pause =
            if is_accident { Duration::ZERO } else { (self.last_pause * 2).clamp(first, longest) };
        if is_accident { Next::AtOnce } else { Next::After(self.last_pause) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn one_death_a_minute_is_an_accident_and_more_are_waited_out_longer_and_longer() {
        let mut lives = Lives::default();
        assert_eq!([100, 160, 220].map(|end| lives.end(at(end))), [Next::AtOnce; 3]);
        let pauses = [230, 235, 240, 245, 250, 255, 260].map(|end| lives.end(at(end)));
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30].map(|pause| Next::After(Duration::from_secs(pause))));
        assert_eq!(lives.end(at(320)), Next::AtOnce);
        assert_eq!(lives.end(at(321)), Next::After(Duration::from_secs(1)));
    }
}
