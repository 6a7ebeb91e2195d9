//! A place for one test's files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of its own below the one for temporary files; it is deleted when this is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes one.
    ///
    /// # Panics
    /// When the file system refuses.
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "a folder comes into being, it has no default")]
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("baton-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("Cannot make {}: {error}", path.display()));
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file as careful operators do, so that nobody ever sees half of it; returns where it is.
    ///
    /// # Panics
    /// When the file system refuses.
    #[track_caller]
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let (path, new) = (self.path.join(name), self.path.join(format!("{name}.new")));
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
        written.unwrap_or_else(|error| panic!("Cannot write {}: {error}", path.display()));
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be deleted is only litter among temporary files.
        let _ = fs::remove_dir_all(&self.path);
    }
}
