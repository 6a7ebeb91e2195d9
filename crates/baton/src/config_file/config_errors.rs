//! Everything that is wrong with a configuration file, as an operator reads it.

use std::error::Error;
use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::problem::{Problem, Span};

/// The most errors that are printed; the rest is counted, because nobody mends more in one go.
const PRINTED_LIMIT: usize = 100;

/// The most errors that a log record names; whoever wants more has `baton check`.
const LOGGED_LIMIT: usize = 5;

/// The longest stretch of text that one excerpt folds together, in bytes; places further apart get excerpts of
/// their own, so that the cost of a report does not grow with the file.
const EXCERPT_LIMIT: usize = 4096;

/// Whether a rendering has terminal colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// Plain text.
    Never,
    /// ANSI escape sequences.
    Always,
}

/// Everything that is wrong with a configuration file, in the order of the file; never empty.
///
/// Its `Display` is plain text: per error the cause, `file:line:column`, the line with a caret, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigErrors {
    pub(super) file: String,
    pub(super) text: String,
    pub(super) problems: Vec<Problem>,
}

impl ConfigErrors {
    /// Returns how many errors there are.
    pub(crate) fn count(&self) -> usize {
        self.problems.len()
    }

    /// Returns the text for a terminal, or for anything else.
    pub(crate) fn render(&self, colour: Colour) -> String {
        let renderer = match colour {
            Colour::Never => Renderer::plain(),
            Colour::Always => Renderer::styled(),
        };
        let mut text = String::new();
        for problem in self.problems.iter().take(PRINTED_LIMIT) {
            text += renderer.render(&[self.group(problem)]).trim_end();
            text += "\n\n";
        }
        text += &self.summary(PRINTED_LIMIT);
        text
    }

    /// Returns the first errors in one line, as a log has them.
    pub(crate) fn in_one_line(&self) -> String {
        let told: Vec<_> = self
            .problems
            .iter()
            .take(LOGGED_LIMIT)
            .map(|problem| self.problem_in_one_line(problem))
            .collect();
        format!("{}: {}", self.summary(LOGGED_LIMIT), told.join("; "))
    }

    fn problem_in_one_line(&self, Problem { span, title, label, .. }: &Problem) -> String {
        let place = span.map(|span| format!("line {}: ", self.line(span.start))).unwrap_or_default();
        let why = if label.is_empty() { String::new() } else { format!(" ({label})") };
        format!("{place}{title}{why}").replace('\n', " ")
    }

    fn summary(&self, limit: usize) -> String {
        let count = match self.count() {
            1 => "1 error".to_owned(),
            count => format!("{count} errors"),
        };
        match self.count().saturating_sub(limit) {
            0 => format!("{count} in {}", self.file),
            hidden => format!("{count} in {}, the last {hidden} not shown", self.file),
        }
    }

    fn group<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        let group = Group::with_title(Level::ERROR.primary_title(problem.title.as_str()));
        let primary = problem.span.map(|span| (AnnotationKind::Primary, span, problem.label.as_str()));
        let related =
            problem.related.iter().map(|(span, label)| (AnnotationKind::Context, *span, label.as_str()));
        let places: Vec<_> = primary.into_iter().chain(related).collect();
        let start = places.iter().map(|place| place.1.start).min().unwrap_or_default();
        let end = places.iter().map(|place| place.1.end).max().unwrap_or_default();
        let excerpts =
            if end - start <= EXCERPT_LIMIT { places.chunks(places.len().max(1)) } else { places.chunks(1) };
        let group = group.elements(excerpts.map(|places| self.excerpt(places)));
        match &problem.help {
            Some(help) => group.element(Level::HELP.message(help.as_str())),
            None => group,
        }
    }

    fn excerpt<'a>(
        &'a self,
        places: &[(AnnotationKind, Span, &'a str)],
    ) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let start = places.iter().map(|place| place.1.start).min().unwrap_or_default();
        let end = places.iter().map(|place| place.1.end).max().unwrap_or_default();
        let first = self.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let last = self.text[end..].find('\n').map_or(self.text.len(), |newline| end + newline);
        let annotations = places.iter().map(|&(kind, span, label)| {
            let annotation = kind.span(span.start - first..span.end - first);
            if label.is_empty() { annotation } else { annotation.label(label) }
        });
        Snippet::source(&self.text[first..last])
            .line_start(self.line(first))
            .path(self.file.as_str())
            .annotations(annotations)
    }

    /// Returns the number of the line in which a byte stands.
    fn line(&self, byte: usize) -> usize {
        self.text[..byte].bytes().filter(|&byte| byte == b'\n').count() + 1
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render(Colour::Never))
    }
}

impl Error for ConfigErrors {}
