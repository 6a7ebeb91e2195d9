//! Times with a unit, like "10ms", read exactly.

use std::time::Duration;

use thiserror::Error;

/// Why a text is no time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DurationError {
    /// There is no number in front.
    #[error("there is no number in front")]
    NoNumber,
    /// The number has no unit.
    #[error("the unit is missing: ms, s, m or h")]
    NoUnit,
    /// The unit is none that exists.
    #[error("{0:?} is no unit: there are ms, s, m and h")]
    Unit(String),
    /// It is not a whole number of milliseconds.
    #[error("this is no whole number of milliseconds")]
    Precision,
    /// It is too long to count in milliseconds.
    #[error("this is longer than can be counted")]
    Length,
}

/// Reads a time like "10ms", "1.5s", "5m" or "1h"; whole milliseconds, without rounding.
///
/// # Errors
/// [`DurationError`] when it is no such text.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let unit_start = text.find(|character: char| !character.is_ascii_digit() && character != '.');
    let (number, unit) = text.split_at(unit_start.unwrap_or(text.len()));
    let unit = unit.trim_start();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || number.ends_with('.') {
        return Err(DurationError::NoNumber);
    }
    let milliseconds_per_unit: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" => return Err(DurationError::NoUnit),
        _ => return Err(DurationError::Unit(unit.to_owned())),
    };
    let whole = whole.parse().ok().and_then(|whole: u64| whole.checked_mul(milliseconds_per_unit));
    let part = part(fraction, milliseconds_per_unit).ok_or(DurationError::Precision)?;
    let sum = whole.and_then(|whole| whole.checked_add(part));
    sum.map(Duration::from_millis).ok_or(DurationError::Length)
}

/// Returns what the digits behind the point are in whole milliseconds.
fn part(fraction: &str, milliseconds_per_unit: u64) -> Option<u64> {
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        return Some(0);
    }
    let parts = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let scaled = fraction.parse::<u64>().ok()?.checked_mul(milliseconds_per_unit)?;
    (scaled % parts == 0).then_some(scaled / parts)
}

/// Returns a time in the largest unit of which it is a whole number.
pub(super) fn show(time: Duration) -> String {
    let milliseconds = time.as_millis();
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match units.into_iter().find(|(size, _)| milliseconds >= *size && milliseconds.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{}{unit}", milliseconds / size),
        None if milliseconds >= 1_000 => format!("{time:?}"),
        None => format!("{milliseconds}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_exactly() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("10ms", 10),
            ("1s", 1_000),
            ("1 s", 1_000),
            ("1.5s", 1_500),
            ("1.50000000000000000000000000s", 1_500),
            ("40.95s", 40_950),
            ("0.1m", 6_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn a_time_is_shown_in_its_largest_whole_unit() {
        for text in ["0ms", "10ms", "1s", "40.95s", "255s", "90s", "5m", "24h"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
    }

    #[test]
    fn what_is_no_time_says_why() {
        for (text, error) in [
            ("", DurationError::NoNumber),
            ("fast", DurationError::NoNumber),
            (".5s", DurationError::NoNumber),
            ("1.s", DurationError::NoNumber),
            ("1.2.3s", DurationError::NoNumber),
            ("-1s", DurationError::NoNumber),
            ("10", DurationError::NoUnit),
            ("1d", DurationError::Unit("d".to_owned())),
            ("0.5ms", DurationError::Precision),
            ("0.0000000000000000000000001s", DurationError::Precision),
            ("99999999999999999999s", DurationError::Length),
            ("18446744073709551615h", DurationError::Length),
            ("18446744073709551.616s", DurationError::Length),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }
}
