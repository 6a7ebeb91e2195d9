//! `RFC9568.md` tells the truth: each row has its tests, and they exist.

#![expect(clippy::unwrap_used, reason = "the tests share functions, which the lint does not take for tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The sections that have a MUST, or steps that are as binding.
const SECTIONS: [&str; 25] = [
    "5.1.1.2", "5.1.1.3", "5.1.2.2", "5.1.2.3", "5.2.2", "5.2.4", "5.2.5", "5.2.6", "5.2.8", "5.2.9", "6.1",
    "6.4.1", "6.4.2", "6.4.3", "7.1", "7.2", "7.3", "7.4", "8.1.1", "8.1.2", "8.1.3", "8.2.1", "8.2.2",
    "8.2.3", "8.4.2",
];

/// How a row without tests begins.
const REASONS: [&str; 3] = ["*not applicable*: ", "*the kernel*: ", "*not kept*: "];

/// Where tests are.
const FOLDERS: [&str; 3] = ["crates", "tests", "netns-tests"];

struct Row {
    section: String,
    requirement: String,
    kept: String,
    caught: String,
}

impl Row {
    fn read(line: &str) -> Self {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
        let [section, requirement, kept, caught] =
            cells.try_into().unwrap_or_else(|cells| panic!("{cells:?}"));
        let number = section.split(['[', ']']).nth(1).unwrap_or_else(|| panic!("{section} has no link"));
        let expected = format!("[{number}](https://www.rfc-editor.org/rfc/rfc9568#section-{number})");
        assert_eq!(section, expected);
        Self {
            section: number.to_owned(),
            requirement,
            kept,
            caught: caught.trim_end_matches('|').trim().to_owned(),
        }
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("RFC9568.md")).unwrap();
    text.lines().filter(|line| line.starts_with("| [")).map(Row::read).collect()
}

fn named(cell: &str) -> Vec<&str> {
    cell.split(", ").filter_map(|name| name.strip_prefix('`')?.strip_suffix('`')).collect()
}

/// The names of all tests of the workspace.
fn tests() -> BTreeSet<String> {
    let mut folders: Vec<_> = FOLDERS.iter().map(|folder| workspace().join(folder)).collect();
    let mut tests = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                tests.extend(tests_of(&fs::read_to_string(path).unwrap()));
            }
        }
    }
    tests
}

/// The functions below `#[test]`, or one of its kind, with other attributes in between.
fn tests_of(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        } else if let Some((_, declared)) = line.split_once("fn ").filter(|_| is_test) {
            names.extend(declared.split_once('(').map(|(name, _)| name.to_owned()));
            is_test = false;
        }
    }
    names
}

#[test]
fn each_row_has_tests_that_exist_or_a_reason() {
    let tests = tests();
    assert!(tests.len() > 300, "only {} tests were found", tests.len());
    let mut wrong = Vec::new();
    for Row { section, requirement, kept, caught } in rows() {
        if REASONS.iter().any(|reason| kept.starts_with(reason) && kept.len() > reason.len() + 10) {
            if !caught.is_empty() {
                wrong.push(format!("{section}, {requirement}: a reason and a test"));
            }
            continue;
        }
        for cell in [&kept, &caught] {
            let names = named(cell);
            if names.is_empty() || names.len() != cell.split(", ").count() {
                wrong.push(format!("{section}, {requirement}: {cell:?} names no tests and no reason"));
            }
            let missing = names.into_iter().filter(|name| !tests.contains(*name));
            wrong.extend(missing.map(|name| format!("{section}, {requirement}: there is no test {name}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_section_that_demands_something_has_a_row() {
    let there: BTreeSet<_> = rows().into_iter().map(|row| row.section).collect();
    let wanted: BTreeSet<_> = SECTIONS.map(str::to_owned).into();
    assert_eq!(there, wanted);
    assert!(rows().len() >= 66, "rows have been lost");
}
