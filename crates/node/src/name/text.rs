//! The text of a name, in a form that is compared quickly.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Serialize, Serializer};

const HEAD_BYTES: usize = size_of::<u64>();

/// A text without NUL characters, ordered as texts are.
///
/// Maps are searched by names with each packet. Most names differ within their first eight bytes or have no more, and then
/// nothing but two numbers beside each other in the map is looked at.
#[derive(Clone)]
pub(super) struct Text {
    /// The first bytes, filled up with zeros, the first one the most significant.
    head: u64,
    whole: Arc<str>,
}

impl Text {
    pub(super) fn new(text: &str) -> Self {
        let mut head = [0; HEAD_BYTES];
        let length = text.len().min(HEAD_BYTES);
        head[..length].copy_from_slice(&text.as_bytes()[..length]);
        Self { head: u64::from_be_bytes(head), whole: text.into() }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.whole
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.head.cmp(&other.head).then_with(|| {
            let is_whole = self.whole.len() <= HEAD_BYTES && other.whole.len() <= HEAD_BYTES;
            if is_whole || Arc::ptr_eq(&self.whole, &other.whole) {
                return Ordering::Equal;
            }
            self.whole.cmp(&other.whole)
        })
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Text {}

/// As the whole text does, by which a name can be looked up.
impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.whole.hash(state);
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.whole.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_ordered_as_they_are_without_their_heads(one in "[a-c\u{e9}]{0,20}", other in "[a-c\u{e9}]{0,20}") {
            prop_assert_eq!(Text::new(&one).cmp(&Text::new(&other)), one.cmp(&other));
            prop_assert_eq!(Text::new(&one) == Text::new(&other), one == other);
        }

        #[test]
        fn texts_that_begin_alike_are_told_apart(one in "[a-c]{0,3}", other in "[a-c]{0,3}") {
            let [one, other] = [one, other].map(|end| format!("letters{end}"));
            prop_assert_eq!(Text::new(&one).cmp(&Text::new(&other)), one.cmp(&other));
        }
    }
}
