//! The program under test.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;

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
        Some(_) => COPY.get_or_init(|| copied(&built(), env::temp_dir().join("baton"))).clone(),
        None => built(),
    }
}

/// Copies the program to where others than root may look, and returns the copy.
///
/// # Panics
/// When it cannot be copied.
#[track_caller]
pub fn copy_of_baton(to: PathBuf) -> PathBuf {
    copied(&baton(), to)
}

/// Has another process write the copy: a child that a test beside this one starts meanwhile would inherit a file that
/// this process writes, and nobody can start a program that somebody has open for writing (ETXTBSY).
#[track_caller]
fn copied(program: &Path, to: PathBuf) -> PathBuf {
    let copying = Command::new("cp").arg(program).arg(&to).status();
    let copied = copying.as_ref().is_ok_and(ExitStatus::success);
    assert!(copied, "Cannot copy {} to {}: {copying:?}", program.display(), to.display());
    to
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
