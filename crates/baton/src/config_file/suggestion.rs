//! Did you mean ...?

/// Returns the candidate that is most likely meant by a word that is none of them.
pub(super) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may be wrong, more would be another word.
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn a_slip_of_the_finger_is_understood_and_another_word_is_not() {
        let words = ["interface", "priority", "preempt"];
        assert_eq!(closest("interfaec", words), Some("interface"));
        assert_eq!(closest("prioritty", words), Some("priority"));
        assert_eq!(closest("weight", words), None);
    }
}
