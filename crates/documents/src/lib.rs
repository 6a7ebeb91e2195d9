//! What the Markdown of this repository says, for the tests that hold it to that: the rows of a table, and whether the
//! tests that they name exist.
//!
//! For tests alone: whatever is not as it should be panics and says where.

#![forbid(unsafe_code)]

mod table;
mod test_names;

use std::path::PathBuf;
use std::{env, fs};

pub use self::table::{code, rows};
pub use self::test_names::{TestNames, only_names};

/// The folder that everything of this repository is in: cargo runs a test in the folder of its package.
///
/// # Panics
/// When that lies in no such folder.
pub fn root() -> PathBuf {
    let package = env::current_dir().expect("a test has a folder");
    let root = package.ancestors().find(|folder| folder.join("Cargo.lock").exists());
    root.unwrap_or_else(|| panic!("{} is in no workspace", package.display())).to_owned()
}

/// Reads a file of this repository.
///
/// # Panics
/// When it cannot be read.
#[track_caller]
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the text of every Rust file in a folder of this repository, and in the folders below it.
///
/// # Panics
/// When one cannot be read.
#[track_caller]
pub fn sources(folder: &str) -> Vec<String> {
    let (mut folders, mut sources) = (vec![root().join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path);
                sources.push(text.unwrap_or_else(|error| panic!("{}: {error}", path.display())));
            }
        }
    }
    sources
}
