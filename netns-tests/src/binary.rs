//! The program under test.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::{env, fs};

use lab::kernel::TestKernel;

/// The folder of `target` that the released program is built into, seen from a test program in `PROFILE/deps`.
const RELEASED: &str = "release/baton";

/// Where a test kernel has the program in its memory.
static COPY: OnceLock<PathBuf> = OnceLock::new();

/// Returns the built `baton`: the one that the variable `BATON` names, or the released one beside this test program.
///
/// # Panics
/// When it is not there.
#[track_caller]
pub fn baton() -> PathBuf {
    match TestKernel::running() {
        // It reads this machine's files slowly and forgets them with the process that they belong to: a daemon that is
        // restarted would have to be read again.
        Some(_) => COPY.get_or_init(copied).clone(),
        None => built(),
    }
}

fn copied() -> PathBuf {
    let copy = env::temp_dir().join("baton");
    fs::copy(built(), &copy)
        .unwrap_or_else(|error| panic!("Cannot copy baton to {}: {error}", copy.display()));
    copy
}

fn built() -> PathBuf {
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
