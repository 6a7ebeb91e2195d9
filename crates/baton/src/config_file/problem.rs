//! What is wrong in a configuration file and where: collected while it is read, so that all of it is told at once.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use node::name::NodeName;

/// A stretch of the file's text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    /// The first byte.
    pub(super) start: usize,
    /// The byte after the last one.
    pub(super) end: usize,
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// A value and where it stands in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<T> {
    /// The value.
    pub(super) value: T,
    /// Where it stands; for a default, where its section is named.
    pub(super) span: Span,
}

impl<T> At<T> {
    /// Returns what is made of the value, in its place.
    pub(super) fn map<'a, U>(&'a self, make: impl FnOnce(&'a T) -> U) -> At<U> {
        At { value: make(&self.value), span: self.span }
    }
}

/// Whether a problem can be the mere consequence of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Certainty {
    /// It stands for itself.
    Certain,
    /// Something seems to be missing, perhaps only because it could not be read.
    Missing,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Problem {
    /// Where, unless it is about the whole file.
    pub(super) span: Option<Span>,
    /// What is wrong, one sentence without a full stop.
    pub(super) title: String,
    /// What to see at [`Self::span`].
    pub(super) label: String,
    /// Other places that have to do with it, and what to see there.
    pub(super) related: Vec<(Span, String)>,
    /// What to do.
    pub(super) help: Option<String>,
    /// Whether it can be the consequence of another problem.
    pub(super) certainty: Certainty,
}

impl Problem {
    /// Returns a problem at a place.
    pub(super) fn at(span: Span, title: impl Into<String>) -> Self {
        Self { span: Some(span), ..Self::of_file(title) }
    }

    /// Returns a problem of the whole file.
    pub(super) fn of_file(title: impl Into<String>) -> Self {
        Self {
            span: None,
            title: title.into(),
            label: String::new(),
            related: Vec::new(),
            help: None,
            certainty: Certainty::Certain,
        }
    }

    /// Says what to see at the place.
    pub(super) fn label(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    /// Adds another place and what to see there.
    pub(super) fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }

    /// Says what to do.
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Says that something seems to be missing.
    pub(super) fn missing(self) -> Self {
        Self { certainty: Certainty::Missing, ..self }
    }
}

/// The problems found so far, in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<BTreeMap<Problem, BTreeSet<NodeName>>>);

impl Problems {
    /// Adds a problem.
    pub(super) fn report(&self, problem: Problem) {
        self.0.borrow_mut().entry(problem).or_default();
    }

    /// Adds a problem that this node has; others may have the same.
    pub(super) fn report_on(&self, node: &NodeName, problem: Problem) {
        self.0.borrow_mut().entry(problem).or_default().insert(node.clone());
    }

    /// Returns all problems, each with the nodes that have it if it is not about the file as such.
    pub(super) fn into_inner(self) -> BTreeMap<Problem, BTreeSet<NodeName>> {
        self.0.into_inner()
    }
}
