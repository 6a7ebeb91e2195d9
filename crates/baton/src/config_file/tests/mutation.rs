//! No text makes the parser panic.

use super::*;

/// Cuts, doubles and swaps pieces of the examples; the pieces come from one another, so that they are nearly right.
#[test]
fn a_damaged_file_is_refused_and_never_a_panic() {
    let examples: Vec<String> = examples().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let lines: Vec<&str> = examples.iter().flat_map(|text| text.lines()).collect();
    let mut random = Random(0x5EED);
    let mut refused = 0;
    for _ in 0..3_000 {
        let mut text = examples[random.below(examples.len())].clone();
        for _ in 0..=random.below(4) {
            let at = random.boundary(&text);
            match random.below(4) {
                0 => text.truncate(at),
                1 => text.insert_str(at, lines[random.below(lines.len())]),
                2 => text.insert(
                    at,
                    ['"', '[', ']', '{', '}', '=', '.', '\n', 'é', '\0', '9', '-'][random.below(12)],
                ),
                _ => {
                    let other = random.boundary(&text);
                    text.replace_range(at.min(other)..at.max(other), "");
                }
            }
        }
        if let Err(errors) = ConfigFile::parse("damaged.toml", &text) {
            assert!(!errors.render(Colour::Never).is_empty());
            refused += 1;
        }
    }
    assert!(refused > 1_000, "{refused} of 3,000 damaged files were refused");
}

struct Random(u64);

impl Random {
    /// `SplitMix64`.
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }

    fn boundary(&mut self, text: &str) -> usize {
        let wanted = self.below(text.len() + 1);
        (0..=wanted).rev().find(|&at| text.is_char_boundary(at)).unwrap()
    }
}
