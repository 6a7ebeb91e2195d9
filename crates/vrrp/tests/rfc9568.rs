//! `RFC9568.md` tells the truth: each row has its tests, and they exist.

use std::collections::BTreeSet;

use documents::{TestNames, only_names};

/// The sections that have a MUST, or steps that are as binding.
const SECTIONS: [&str; 25] = [
    "5.1.1.2", "5.1.1.3", "5.1.2.2", "5.1.2.3", "5.2.2", "5.2.4", "5.2.5", "5.2.6", "5.2.8", "5.2.9", "6.1",
    "6.4.1", "6.4.2", "6.4.3", "7.1", "7.2", "7.3", "7.4", "8.1.1", "8.1.2", "8.1.3", "8.2.1", "8.2.2",
    "8.2.3", "8.4.2",
];

/// How a row without tests begins.
const REASONS: [&str; 3] = ["*not applicable*: ", "*the kernel*: ", "*not kept*: "];

struct Row {
    section: String,
    requirement: String,
    kept: String,
    caught: String,
}

fn rows() -> Vec<Row> {
    let document = documents::read("crates/vrrp/RFC9568.md");
    let rows = documents::rows(&document, ["section", "requirement, in short", "kept", "breach caught"]);
    rows.into_iter()
        .map(|[link, requirement, kept, caught]| {
            let section = link.split(['[', ']']).nth(1).unwrap_or_else(|| panic!("{link} is no link"));
            let expected = format!("[{section}](https://www.rfc-editor.org/rfc/rfc9568#section-{section})");
            assert_eq!(link, expected);
            Row { section: section.to_owned(), requirement, kept, caught }
        })
        .collect()
}

/// What is wrong with a row, if anything.
fn faults(Row { kept, caught, .. }: &Row, tests: &TestNames) -> Vec<String> {
    if REASONS.iter().any(|reason| kept.starts_with(reason) && kept.len() > reason.len() + 10) {
        let is_alone = caught.is_empty();
        return if is_alone { Vec::new() } else { vec!["a reason and a test".to_owned()] };
    }
    let (Some(keepers), Some(catchers)) = (only_names(kept), only_names(caught)) else {
        return vec![format!("{kept:?} and {caught:?} name no tests and no reason")];
    };
    let all = keepers.iter().chain(&catchers);
    let missing = all.filter(|name| !tests.contains(name)).map(|name| format!("there is no test {name}"));
    let twice = keepers.iter().filter(|name| catchers.contains(name));
    missing.chain(twice.map(|name| format!("{name} stands on both sides"))).collect()
}

#[test]
fn each_row_has_tests_that_exist_another_for_the_breach_or_a_reason() {
    let tests = TestNames::below(&["crates", "tests", "netns-tests"]);
    let wrong = rows().into_iter().flat_map(|row| {
        let faults = faults(&row, &tests).into_iter();
        faults.map(move |fault| format!("{}, {}: {fault}", row.section, row.requirement))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_section_that_demands_something_has_a_row() {
    let there: BTreeSet<_> = rows().into_iter().map(|row| row.section).collect();
    let wanted: BTreeSet<_> = SECTIONS.map(str::to_owned).into();
    assert_eq!(there, wanted);
    assert!(rows().len() >= 66, "rows have been lost");
}
