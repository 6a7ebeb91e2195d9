use std::cell::{Cell, RefCell};
use std::fs::Permissions;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Instant;

use super::*;

/// How long the writers here pause between two blocks.
const PAUSE: Duration = Duration::from_millis(5);

/// A file of the test's own that is gone afterwards.
pub(in crate::config_file) struct Scratch(pub(in crate::config_file) PathBuf);

impl Scratch {
    pub(in crate::config_file) fn new(contents: &str, mode: u32) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("baton-{}-{number}", std::process::id()));
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The longest that a file stood half written, since a busy machine may stop the writer in its middle. No reader can tell
/// that from the end.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::config_file) struct LongestPause(Duration);

impl LongestPause {
    fn count(&mut self, begin: Instant) {
        self.0 = self.0.max(begin.elapsed());
    }

    /// Tells whether the file was never left alone for so long that it may have been taken for a whole one.
    pub(in crate::config_file) fn is_short(self) -> bool {
        self.0 < REST
    }
}

/// Writes a file in place, in two blocks after each of which it pauses, and then begins anew, for four times as long as a
/// file has to rest. Returns once the first block stands there.
pub(in crate::config_file) fn write_in_blocks(path: &Path, text: &str) -> JoinHandle<LongestPause> {
    let (path, text) = (path.to_owned(), text.to_owned());
    let (wrote, written) = mpsc::channel();
    let writer = thread::spawn(move || {
        let mut pause = LongestPause::default();
        let begin = Instant::now();
        while begin.elapsed() < 4 * REST {
            let (first, second) = text.as_bytes().split_at(text.len() / 2);
            let mut at = Instant::now();
            let mut file = File::create(&path).unwrap();
            for block in [first, second] {
                file.write_all(block).unwrap();
                // Only the first of them is waited for.
                let _ = wrote.send(());
                thread::sleep(PAUSE);
                pause.count(at);
                at = Instant::now();
            }
        }
        pause
    });
    written.recv().unwrap();
    writer
}

fn open(path: &Path) -> Result<File, ReadError> {
    Ok(File::open(path)?)
}

fn read_file(path: &Path) -> Result<String, ReadError> {
    let contents = read(path, open, 1 << 20)?;
    Ok(String::from_utf8(contents).unwrap())
}

#[test]
fn a_file_that_is_rewritten_in_place_thousands_of_times_is_read_whole() {
    let texts = ["short\n".repeat(100), "something longer\n".repeat(2_000)];
    let file = Scratch::new(&texts[0], 0o600);
    let writer = thread::spawn({
        let (path, texts) = (file.0.clone(), texts.clone());
        move || {
            let mut pause = LongestPause::default();
            for _burst in 0..10 {
                for text in texts.iter().cycle().take(200) {
                    let begin = Instant::now();
                    fs::write(&path, text).unwrap();
                    pause.count(begin);
                }
                thread::sleep(3 * REST);
            }
            pause
        }
    });
    let mut torn = BTreeSet::new();
    while !writer.is_finished() {
        let text = read_file(&file.0).unwrap();
        if !texts.contains(&text) {
            torn.insert(text.len());
        }
    }
    let pause = writer.join().unwrap();
    assert!(torn.is_empty() || !pause.is_short(), "{torn:?} bytes were taken for the file; {pause:?}");
}

#[test]
fn a_writer_that_pauses_between_two_blocks_is_waited_for() {
    let text = "whole\n".repeat(1_000);
    let file = Scratch::new("", 0o600);
    let writer = write_in_blocks(&file.0, &text);
    let read = read_file(&file.0).unwrap();
    let pause = writer.join().unwrap();
    assert!(read == text || !pause.is_short(), "{} of {} bytes; {pause:?}", read.len(), text.len());
}

#[test]
fn a_file_that_never_rests_is_an_error_that_says_so() {
    let file = Scratch::new("", 0o600);
    let is_read = AtomicBool::new(false);
    let (read, pause) = thread::scope(|scope| {
        let write = || {
            let mut pause = LongestPause::default();
            let mut at = Instant::now();
            while !is_read.load(Ordering::Relaxed) {
                fs::write(&file.0, "never the same\n").unwrap();
                pause.count(at);
                at = Instant::now();
                thread::sleep(PAUSE);
            }
            pause
        };
        let writer = scope.spawn(write);
        let read = read_file(&file.0);
        is_read.store(true, Ordering::Relaxed);
        (read, writer.join().unwrap())
    });
    match read {
        Err(error) => {
            let told = "it is being written: it changed whenever it was read, for 2 s";
            assert_eq!(error.to_string(), told);
        }
        Ok(text) => assert!(!pause.is_short(), "{text:?} was taken for the file; {pause:?}"),
    }
}

#[test]
fn a_file_from_the_future_is_read() {
    let file = Scratch::new("text\n", 0o600);
    let future = SystemTime::now() + Duration::from_hours(1);
    File::options().write(true).open(&file.0).unwrap().set_modified(future).unwrap();
    assert_eq!(read_file(&file.0).unwrap(), "text\n");
}

#[test]
fn a_file_that_was_written_long_ago_is_read_once_and_at_the_limit() {
    let file = Scratch::new("text\n", 0o600);
    File::options().write(true).open(&file.0).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    for (limit, expected) in [(3, "tex"), (5, "text\n"), (6, "text\n")] {
        let openings = Cell::new(0);
        let open = |path: &Path| {
            openings.set(openings.get() + 1);
            open(path)
        };
        let contents = read(&file.0, open, limit).unwrap();
        assert_eq!((contents.as_slice(), openings.get()), (expected.as_bytes(), 1), "{limit}");
    }
}

#[test]
fn what_is_found_torn_is_opened_anew_since_another_file_may_stand_there_by_then() {
    let file = Scratch::new("whole\n", 0o600);
    let openings = Cell::new(0);
    let open = |path: &Path| {
        openings.set(openings.get() + 1);
        // One of /proc has more in it than its size says, as a file that grows while it is read.
        open(if openings.get() == 1 { Path::new("/proc/version") } else { path })
    };
    let contents = read(&file.0, open, 1 << 20).unwrap();
    assert_eq!((String::from_utf8(contents).unwrap().as_str(), openings.get()), ("whole\n", 2));
}

#[test]
fn of_two_files_that_were_just_written_only_the_torn_one_is_read_again() {
    let files = [Scratch::new("whole\n", 0o600), Scratch::new("torn\n", 0o600)];
    let openings = RefCell::new(BTreeMap::<_, u32>::new());
    let open = |path: &Path| {
        let mut openings = openings.borrow_mut();
        let times = openings.entry(path.to_owned()).or_default();
        *times += 1;
        if path == files[1].0 && *times == 1 {
            fs::write(path, "whole by now\n").unwrap();
        }
        open(path)
    };
    let paths = BTreeSet::from(files.each_ref().map(|file| file.0.clone()));
    let read = read_all(paths, open, 1 << 20, Vec::new);
    let read =
        files.each_ref().map(|file| String::from_utf8(read[&file.0].as_ref().unwrap().clone()).unwrap());
    assert_eq!(read, ["whole\n", "whole by now\n"]);
    assert_eq!(files.each_ref().map(|file| openings.borrow()[&file.0]), [1, 2]);
}

#[test]
fn a_pipe_is_read_to_its_end() {
    let (reader, mut writer) = io::pipe().unwrap();
    let writing = thread::spawn(move || {
        for block in ["one\n", "two\n"] {
            writer.write_all(block.as_bytes()).unwrap();
            thread::sleep(PAUSE);
        }
    });
    let path = PathBuf::from(format!("/dev/fd/{}", reader.as_raw_fd()));
    assert_eq!(read_file(&path).unwrap(), "one\ntwo\n");
    writing.join().unwrap();
}
