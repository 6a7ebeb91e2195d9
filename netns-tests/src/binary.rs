//! The program under test.

use std::env;
use std::path::PathBuf;

/// The folder of `target` that the released program is built into, seen from a test program in `PROFILE/deps`.
const RELEASED: &str = "release/baton";

/// Returns the built `baton`: the one that the variable `BATON` names, or the released one beside this test program.
///
/// # Panics
/// When it is not there.
#[track_caller]
pub fn baton() -> PathBuf {
    let named = env::var_os("BATON").map(PathBuf::from);
    let path = named.unwrap_or_else(|| {
        let test = env::current_exe().expect("a running program has a path");
        let target = test.ancestors().nth(3).expect("Cargo puts test programs into target/PROFILE/deps");
        target.join(RELEASED)
    });
    assert!(
        path.is_file(),
        "There is no {}: run `cargo build --release -p baton`, or name the program in BATON",
        path.display()
    );
    path
}
