//! How fast the simulator is with all of its invariants on.

use super::error::BenchError;
use super::table::{Goal, Quantity, Row, median};
use crate::step::{self, cargo};

/// How often it is run.
const RUNS: usize = 5;
/// Inputs in a second on one core.
const GOAL: u32 = 1_000_000;

/// Lets the simulator's own example count.
pub(crate) fn measure() -> Result<Vec<Row>, BenchError> {
    let mut rates = Vec::new();
    for round in 1..=RUNS {
        let example = ["run", "--quiet", "--release", "--package", "simulator", "--example", "throughput"];
        let text = step::output(&mut cargo(example))?;
        let rate = rate_in(&text).ok_or_else(|| {
            BenchError::Unexpected(format!("the simulator does not say how fast it was:\n{text}"))
        })?;
        println!("simulator {round}: {rate} inputs per second");
        rates.push(rate);
    }
    Ok(vec![Row {
        figure: format!("simulator: inputs per second and core, all invariants on (n={RUNS})"),
        keepalived: None,
        baton: Quantity::PerSecond(median(&rates)),
        goal: Goal::AtLeast(Quantity::PerSecond(GOAL)),
    }])
}

/// The number before the words "inputs per second".
fn rate_in(text: &str) -> Option<u32> {
    let (before, _) = text.split_once(" inputs per second")?;
    let number = before.rsplit(char::is_whitespace).next()?;
    number.replace([',', '_'], "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_stands_before_its_unit() {
        assert_eq!(rate_in("100 runs\n1,234,567 inputs per second and core\n"), Some(1_234_567));
        assert_eq!(rate_in("no such thing"), None);
    }
}
