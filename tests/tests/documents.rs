//! What `FAULTS.md` and the README say of tests is so.

use documents::{TestNames, code, only_names, read, rows};

/// How many faults and how many rules there are.
const ROWS: [(char, usize); 2] = [('C', 26), ('V', 12)];

/// The tests that a cell names, which may be none.
fn named(cell: &str) -> Vec<&str> {
    if cell.is_empty() {
        Vec::new()
    } else {
        only_names(cell).unwrap_or_else(|| panic!("{cell} is more than names"))
    }
}

#[test]
fn each_fault_and_each_rule_has_tests_that_exist_where_it_is_said() {
    let (simulated, real) =
        (TestNames::below(&["tests/tests"]), TestNames::below(&["netns-tests", "crates"]));
    let rows = rows(
        &read("tests/FAULTS.md"),
        ["no.", "fault or rule", "what holds, and the figure", "simulator", "kernel"],
    );
    let numbers =
        ROWS.into_iter().flat_map(|(kind, count)| (1..=count).map(move |number| format!("{kind}{number}")));
    assert!(
        rows.iter().map(|[number, ..]| number.clone()).eq(numbers),
        "a row is missing, twice or out of its order"
    );
    let mut wrong = Vec::new();
    for [number, _, figure, simulator, kernel] in &rows {
        let columns = [(named(simulator), &simulated), (named(kernel), &real)];
        if figure.is_empty() || columns.iter().all(|(names, _)| names.is_empty()) {
            wrong.push(format!("{number} has no figure or no test"));
        }
        for (names, tests) in columns {
            let missing = names.into_iter().filter(|name| !tests.contains(name));
            wrong.extend(missing.map(|name| format!("{number}: there is no test {name} there")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A name with so many words is that of a test: none of a key or an event is.
const WORDS: usize = 5;

#[test]
fn each_promise_of_the_readme_names_tests_that_exist() {
    let tests = TestNames::below(&["tests/tests", "netns-tests", "crates"]);
    let promises = rows(&read("README.md"), ["promise", "shown by", "measured"]);
    let is_name = |word: &&str| {
        word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let names = promises.iter().flat_map(|[_, shown_by, _]| code(shown_by));
    let names = names.filter(is_name).filter(|name| name.split('_').count() >= WORDS);
    let (found, missing): (Vec<_>, Vec<_>) = names.partition(|name| tests.contains(name));
    assert!(missing.is_empty(), "there is no test {missing:?}");
    assert!(found.len() >= 20, "only {found:?} were found");
}
