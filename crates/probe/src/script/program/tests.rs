use std::os::unix::fs::{PermissionsExt, chown};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::geteuid;

use super::*;
use crate::script::user::Change;

/// A folder of the test's own with a program in it.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("baton-program-{}-{number}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let place = Self(folder);
        fs::write(place.program(), "#!/bin/sh\n").unwrap();
        set_mode(&place.program(), 0o755);
        set_mode(&place.0, 0o755);
        place
    }

    fn program(&self) -> PathBuf {
        self.0.join("check")
    }

    fn complaint(&self, user: &User) -> String {
        let error = examine(&self.program(), user).unwrap_err().to_string();
        error.replace(self.0.to_str().unwrap(), "FOLDER")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn user(name: &str, uid: u32) -> User {
    User { name: name.to_owned(), uid, gid: uid, home: "/".into(), change: Change::Needed }
}

fn nobody() -> User {
    user("nobody", 65_534)
}

#[test]
fn a_program_that_all_may_start_and_only_its_owner_may_change_is_fit() {
    let place = Place::new();
    examine(&place.program(), &nobody()).unwrap();
    let link = place.0.join("link");
    std::os::unix::fs::symlink(place.program(), &link).unwrap();
    examine(&link, &nobody()).unwrap();
}

#[test]
fn a_program_that_is_not_there_or_no_file_is_named() {
    let place = Place::new();
    let error = examine(&place.0.join("absent"), &nobody()).unwrap_err().to_string();
    assert!(error.starts_with("cannot look at ") && error.contains("absent: No such file"), "{error}");
    let error = examine(&place.0, &nobody()).unwrap_err().to_string();
    assert!(error.ends_with(" is no file"), "{error}");
}

#[test]
fn a_program_that_is_not_executable_for_its_user_is_refused() {
    let place = Place::new();
    set_mode(&place.program(), 0o644);
    let refused = "FOLDER/check is not executable for user nobody: chmod a+x FOLDER/check";
    assert_eq!(place.complaint(&nobody()), refused);
    set_mode(&place.program(), 0o744);
    assert_eq!(place.complaint(&nobody()), refused);
}

#[test]
fn a_program_that_everybody_may_change_is_refused() {
    let place = Place::new();
    set_mode(&place.program(), 0o757);
    assert_eq!(
        place.complaint(&nobody()),
        "FOLDER/check can be written by everybody: chmod o-w FOLDER/check"
    );
    set_mode(&place.program(), 0o755);
    set_mode(&place.0, 0o777);
    assert_eq!(place.complaint(&nobody()), "FOLDER can be written by everybody: chmod o-w FOLDER");
}

#[test]
fn a_folder_that_the_user_may_not_enter_is_named() {
    let place = Place::new();
    set_mode(&place.0, 0o750);
    assert!(place.complaint(&nobody()).starts_with("user nobody may not enter FOLDER: "));
}

#[test]
fn what_is_run_as_root_is_root_s_own() {
    let place = Place::new();
    if geteuid().is_root() {
        examine(&place.program(), &user("root", 0)).unwrap();
        chown(place.program(), Some(1_000), None).unwrap();
    }
    assert!(place.complaint(&user("root", 0)).starts_with("FOLDER/check can be written by others than root"));
}
