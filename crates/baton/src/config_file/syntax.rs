//! What is no TOML.

use std::collections::BTreeSet;

use super::problem::{Certainty, Problem, Span};

/// What the blocks of a keepalived.conf begin with.
const KEEPALIVED_BLOCKS: [&str; 9] = [
    "global_defs",
    "static_ipaddress",
    "static_routes",
    "virtual_server",
    "virtual_server_group",
    "vrrp_instance",
    "vrrp_script",
    "vrrp_sync_group",
    "vrrp_track_process",
];

/// Returns the syntax errors as problems, together with those of the others that are no consequence of one.
///
/// The parser reads on after an error, so one slip can be followed by more on its line, and by keys that seem to be
/// missing.
pub(super) fn with_syntax_errors(
    text: &str,
    errors: &[toml::de::Error],
    others: Vec<Problem>,
) -> Vec<Problem> {
    if errors.is_empty() {
        return others;
    }
    if let Some(block) = keepalived_block(text) {
        return vec![
            Problem::at(block, "This is Keepalived's format, and Baton reads TOML")
                .label("a block of a keepalived.conf")
                .help(
                    "write a file like config/pair.toml; the README says under \"Coming from Keepalived\" what its keys are \
                     called here",
                ),
        ];
    }
    let mut lines = BTreeSet::new();
    let mut problems: Vec<_> = errors
        .iter()
        .map(|error| (error.span().map_or(Span { start: 0, end: 0 }, Span::from), error.message()))
        .filter(|(span, _)| lines.insert(line_start(text, *span)))
        .map(|(span, message)| syntax_problem(span, message))
        .collect();
    let independent = |problem: &Problem| match (problem.certainty, problem.span) {
        (Certainty::Missing, _) => false,
        (Certainty::Certain, Some(span)) => !lines.contains(&line_start(text, span)),
        (Certainty::Certain, None) => true,
    };
    problems.extend(others.into_iter().filter(independent));
    problems.sort();
    problems
}

/// Returns where the first block of Keepalived's format begins, if there is one.
fn keepalived_block(text: &str) -> Option<Span> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let block = line.trim();
        let is_named =
            block.split([' ', '\t', '{']).next().is_some_and(|word| KEEPALIVED_BLOCKS.contains(&word));
        if is_named && block.ends_with('{') && !block.contains('=') {
            let start = start + line.len() - line.trim_start().len();
            return Some(Span { start, end: start + block.len() });
        }
        start += line.len();
    }
    None
}

fn line_start(text: &str, span: Span) -> usize {
    text.as_bytes()[..span.start].iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1)
}

fn syntax_problem(span: Span, message: &str) -> Problem {
    let (cause, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let problem = Problem::at(span, format!("This is no TOML: {cause}"));
    let problem = if matches!(expected, "" | "nothing") {
        problem
    } else {
        problem.label(format!("expected {expected}"))
    };
    match cause {
        "string values must be quoted" | "invalid float" | "invalid integer" | "invalid datetime" => problem
            .label("text without quotes?")
            .help("put times, addresses and names in quotes: they are text"),
        "duplicate key" => {
            problem.label("stands in the same table already").help("remove or rename one of the two")
        }
        _ => problem,
    }
}
