//! The tests that there are, by their names.

use std::collections::BTreeSet;

use crate::sources;

/// The names of all tests in some folders.
#[derive(Clone, Debug)]
pub struct TestNames(BTreeSet<String>);

impl TestNames {
    /// Finds the tests in these folders of the repository, and in the folders below them.
    ///
    /// # Panics
    /// When a file cannot be read.
    #[track_caller]
    pub fn below(folders: &[&str]) -> Self {
        let sources = folders.iter().flat_map(|folder| sources(folder));
        Self(sources.flat_map(|source| [functions(&source), trials(&source)].concat()).collect())
    }

    /// Tells whether there is a test of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// Returns the names in a cell that is nothing but names in backticks, with commas between them.
pub fn only_names(cell: &str) -> Option<Vec<&str>> {
    cell.split(", ").map(|name| name.strip_prefix('`')?.strip_suffix('`')).collect()
}

/// The functions below `#[test]`, or one of its kind, with other attributes in between. One that is ignored shows nothing.
fn functions(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut attributes = Vec::new();
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[") {
            attributes.push(line);
        } else if let Some((_, declared)) = line.split_once("fn ") {
            if is_run(&attributes) {
                names.extend(declared.split_once('(').map(|(name, _)| name.to_owned()));
            }
            attributes.clear();
        }
    }
    names
}

fn is_run(attributes: &[&str]) -> bool {
    let has = |start: &str| attributes.iter().any(|attribute| attribute.starts_with(start));
    (has("#[test]") || has("#[tokio::test")) && !has("#[ignore")
}

/// The functions in `trials![…]`, with which a test that has a harness of its own lists them.
fn trials(source: &str) -> Vec<String> {
    let lists = source.split("trials![").skip(1).filter_map(|rest| rest.split_once(']'));
    let items = lists.flat_map(|(list, _)| list.split([',', ';']));
    let names = items.map(|item| item.trim().trim_start_matches("alone:").trim());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_and_trials_are_tests_and_nothing_else_is() {
        let source = "#[test]\n#[track_caller]\nfn a_test() {\n}\nfn no_test() {}\n#[test]\n#[ignore]\nfn ignored() {}\n";
        assert_eq!(functions(source), ["a_test"]);
        assert_eq!(
            trials("trials![\n    first,\n    second;\n    alone: third\n]"),
            ["first", "second", "third"]
        );
    }

    #[test]
    fn a_cell_with_anything_beside_names_is_refused() {
        assert_eq!(only_names("`a_test`, `another`"), Some(vec!["a_test", "another"]));
        assert_eq!(only_names("`a_test` and another"), None);
        assert_eq!(only_names(""), None);
    }
}
