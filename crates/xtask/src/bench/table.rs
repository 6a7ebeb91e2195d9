//! The one table that a benchmark ends with.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::owners::Crossing;

/// How many nanoseconds, bytes or whatever it is: enough digits for every figure here.
type Magnitude = f64;

/// Something that was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Quantity {
    /// How long something took.
    Time(Duration),
    /// For how long something was waited for that did not happen.
    NotWithin(Duration),
    /// How an address came from one owner to the next.
    Crossing(Crossing),
    /// Time on a processor in each ten seconds.
    ProcessorTime(Duration),
    /// Memory, in bytes.
    Memory(u64),
    /// How many things were done.
    Count(u32),
    /// How many things were done in a second.
    PerSecond(u32),
}

impl Quantity {
    fn magnitude(self) -> Magnitude {
        match self {
            Self::Time(time) | Self::ProcessorTime(time) => time.as_secs_f64(),
            Self::NotWithin(_) => Magnitude::INFINITY,
            Self::Crossing(crossing) => crossing.duration().as_secs_f64(),
            Self::Memory(bytes) => kibibytes(bytes),
            Self::Count(count) | Self::PerSecond(count) => count.into(),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Time(time) if time < Duration::from_millis(1) => {
                write!(formatter, "{:.3} ms", time.as_secs_f64() * 1e3)
            }
            Self::Time(time) => write!(formatter, "{:.1} ms", time.as_secs_f64() * 1e3),
            Self::NotWithin(time) => write!(formatter, "not within {} s", time.as_secs()),
            Self::Crossing(crossing) => crossing.fmt(formatter),
            Self::ProcessorTime(time) => write!(formatter, "{:.3} s", time.as_secs_f64()),
            Self::Memory(bytes) => write!(formatter, "{:.1} MiB", kibibytes(bytes) / 1024.0),
            Self::Count(count) => write!(formatter, "{count}"),
            Self::PerSecond(count) => write!(formatter, "{count} /s"),
        }
    }
}

/// What Baton should reach.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Goal {
    /// At most this many times what Keepalived does.
    Ratio(f64),
    /// At most this, and where that comes from.
    AtMost(Quantity, String),
    /// At least this.
    AtLeast(Quantity),
}

impl fmt::Display for Goal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ratio(ratio) => write!(formatter, "at most {ratio:.2} × Keepalived"),
            Self::AtMost(limit, origin) if origin.is_empty() => write!(formatter, "at most {limit}"),
            Self::AtMost(limit, origin) => write!(formatter, "at most {limit} ({origin})"),
            Self::AtLeast(limit) => write!(formatter, "at least {limit}"),
        }
    }
}

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// What was measured, and how often.
    pub(crate) figure: String,
    /// What Keepalived did, where it does such a thing.
    pub(crate) keepalived: Option<Quantity>,
    /// What Baton did.
    pub(crate) baton: Quantity,
    /// What Baton should do.
    pub(crate) goal: Goal,
}

/// Whether a goal was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Met,
    Missed,
}

impl Row {
    /// Baton's part of what Keepalived needs; a gap is no part of an overlap, and nothing is a part of never.
    fn ratio(&self) -> Option<f64> {
        let keepalived = match self.keepalived? {
            Quantity::Crossing(_) | Quantity::NotWithin(_) => return None,
            other @ (Quantity::Time(_)
            | Quantity::ProcessorTime(_)
            | Quantity::Memory(_)
            | Quantity::Count(_)
            | Quantity::PerSecond(_)) => other.magnitude(),
        };
        (keepalived > 0.0).then(|| self.baton.magnitude() / keepalived)
    }

    fn verdict(&self) -> Verdict {
        let is_met = match &self.goal {
            Goal::Ratio(limit) => self.ratio().is_some_and(|ratio| ratio <= *limit),
            Goal::AtMost(limit, _) => self.baton.magnitude() <= limit.magnitude(),
            Goal::AtLeast(limit) => self.baton.magnitude() >= limit.magnitude(),
        };
        if is_met { Verdict::Met } else { Verdict::Missed }
    }

    fn cells(&self) -> [String; 5] {
        let verdict = match self.verdict() {
            Verdict::Met => ", met",
            Verdict::Missed => ", MISSED",
        };
        [
            self.figure.clone(),
            self.keepalived.map_or_else(|| "-".to_owned(), |quantity| quantity.to_string()),
            self.baton.to_string(),
            self.ratio().map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
            format!("{}{verdict}", self.goal),
        ]
    }
}

/// Sets the rows as a table; a Markdown reader takes it for one too.
pub(crate) fn render(rows: &[Row]) -> String {
    let head = ["figure", "Keepalived", "Baton", "ratio", "goal"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let [figure, keepalived, baton, ratio, goal] = row;
        let [w0, w1, w2, w3, w4] = widths;
        writeln!(text, "| {figure:w0$} | {keepalived:>w1$} | {baton:>w2$} | {ratio:>w3$} | {goal:w4$} |")
            .expect("a string takes what is written to it");
        if number == 0 {
            let [l0, l1, l2, l3, l4] = widths.map(|width| "-".repeat(width));
            writeln!(text, "|-{l0}-|-{l1}:|-{l2}:|-{l3}:|-{l4}-|")
                .expect("a string takes what is written to it");
        }
    }
    text
}

/// The one in the middle; of an even number the later one of the two.
///
/// # Panics
/// When there is none: nothing was measured.
pub(crate) fn median<T: Ord + Copy>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    *sorted.get(sorted.len() / 2).expect("a figure is measured at least once")
}

fn kibibytes(bytes: u64) -> f64 {
    u32::try_from(bytes / 1024).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(keepalived: u64, baton: u64, goal: Goal) -> Row {
        let time = |millis| Quantity::Time(Duration::from_millis(millis));
        Row { figure: "x".to_owned(), keepalived: Some(time(keepalived)), baton: time(baton), goal }
    }

    #[test]
    fn a_goal_that_is_missed_is_shown_as_missed() {
        let [_, keepalived, baton, ratio, goal] = row(100, 61, Goal::Ratio(0.6)).cells();
        assert_eq!([keepalived, baton, ratio], ["100.0 ms", "61.0 ms", "0.61"]);
        assert_eq!(goal, "at most 0.60 × Keepalived, MISSED");
        assert_eq!(row(100, 60, Goal::Ratio(0.6)).verdict(), Verdict::Met);
    }

    #[test]
    fn a_limit_itself_is_within_the_limit() {
        let limit = Quantity::Time(Duration::from_millis(5));
        assert_eq!(row(1, 5, Goal::AtMost(limit, String::new())).verdict(), Verdict::Met);
        assert_eq!(row(1, 6, Goal::AtMost(limit, String::new())).verdict(), Verdict::Missed);
        assert_eq!(row(1, 5, Goal::AtLeast(limit)).verdict(), Verdict::Met);
        assert_eq!(row(1, 4, Goal::AtLeast(limit)).verdict(), Verdict::Missed);
    }

    #[test]
    fn what_keepalived_does_not_do_has_no_ratio() {
        let row = Row {
            figure: "inputs".to_owned(),
            keepalived: None,
            baton: Quantity::PerSecond(7),
            goal: Goal::AtLeast(Quantity::PerSecond(6)),
        };
        assert_eq!(row.cells(), ["inputs", "-", "7 /s", "-", "at least 6 /s, met"]);
    }

    #[test]
    fn what_did_not_happen_misses_every_limit() {
        let limit = Quantity::Time(Duration::from_secs(30));
        let never = Quantity::NotWithin(Duration::from_secs(30));
        let goal = Goal::AtMost(limit, String::new());
        let row = Row { figure: "x".to_owned(), keepalived: Some(never), baton: never, goal };
        assert_eq!(row.verdict(), Verdict::Missed);
        assert_eq!([&row.cells()[1], &row.cells()[3]], ["not within 30 s", "-"]);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let text = render(&[row(100_000, 1, Goal::Ratio(0.5)), row(1, 1, Goal::Ratio(0.5))]);
        let widths: Vec<_> = text.lines().map(|line| line.chars().count()).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
    }

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(median(&[3, 1, 2]), 2);
        assert_eq!(median(&[4, 1, 2, 3]), 3);
    }
}
