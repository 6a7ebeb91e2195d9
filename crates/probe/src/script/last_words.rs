//! The end of what a script writes.

use std::collections::VecDeque;

/// How much of what a script writes is kept, in bytes: what it says last is what it fails by.
pub const LAST_WORDS_LIMIT: usize = 1024;

/// The end of what a script has written.
#[derive(Debug, Default)]
pub(super) struct LastWords(VecDeque<u8>);

impl LastWords {
    /// Adds what was written after what was there.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(LAST_WORDS_LIMIT)..];
        let excess = (self.0.len() + bytes.len()).saturating_sub(LAST_WORDS_LIMIT);
        self.0.drain(..excess);
        self.0.extend(bytes);
    }

    /// Returns them as text that no terminal takes for a command.
    pub(super) fn text(&self) -> String {
        let bytes: Vec<u8> = self.0.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let harmless =
            |character: char| if character.is_control() && character != '\n' { ' ' } else { character };
        let text: String = text.chars().map(harmless).collect();
        text.trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_is_kept() {
        let mut words = LastWords::default();
        for _ in 0..1_000 {
            words.add(&[b'a'; 100]);
        }
        words.add(b"\nthe end\n");
        assert!(words.0.len() <= LAST_WORDS_LIMIT);
        assert!(words.text().ends_with("aa\nthe end"));
        words.add(&[b'z'; 5_000]);
        assert_eq!(words.text(), "z".repeat(LAST_WORDS_LIMIT));
    }

    #[test]
    fn nothing_in_it_moves_a_terminal() {
        let mut words = LastWords::default();
        words.add(b"\x1b[2J\xff bell\x07\nline\ttwo");
        assert_eq!(words.text(), "[2J\u{fffd} bell \nline two");
    }
}
