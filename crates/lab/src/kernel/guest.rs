//! Running one program on another kernel.

use std::fmt;
use std::fs;
use std::io::{self, BufRead as _, BufReader, PipeReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, kill_process_group};

use super::{qemu, user_mode_linux};
use crate::child::Child;
use crate::{Error, Result};

/// Where the guest's memory ends when nobody says otherwise.
const DEFAULT_MEMORY_MIB: u32 = 2048;
/// How long a program may run when nobody says otherwise.
const DEFAULT_LIMIT: Duration = Duration::from_mins(10);
/// How long a guest may take to end when it is asked to.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// The variable that tells a program in a guest its kernel.
const RUNNING: &str = "LAB_TEST_KERNEL";

/// The guest writes it, and a line's end, when the program has ended.
const END_OF_TRANSMISSION: u8 = 0x04;

/// A kernel to run a program on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestKernel {
    /// Debian's `user-mode-linux`: boots in two seconds, one processor, system calls of 75 µs: for behaviour.
    ///
    /// That of Debian 12 cannot run on a processor with AMX, and has no family `inet` of `nf_tables`.
    UserModeLinux,
    /// Debian's stock kernel in QEMU without virtualisation: everything eight times slower, evenly: for ratios.
    ///
    /// Unpacked it takes 500 MB in the user's cache folder.
    Qemu,
}

/// What a program needs of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// IPVS.
    Ipvs,
    /// IPVS, and filters of `nf_tables` for both families (`CONFIG_NF_TABLES_INET`).
    IpvsAndFilters,
}

impl TestKernel {
    /// Every kernel, the quickest first.
    pub const ALL: [Self; 2] = [Self::UserModeLinux, Self::Qemu];

    /// The one that this program runs on; none where it was not started in a [`Guest`].
    pub fn running() -> Option<Self> {
        let name = std::env::var(RUNNING).ok()?;
        Self::ALL.into_iter().find(|kernel| kernel.to_string() == name)
    }

    /// The quickest one that has this and can run on this machine's processor.
    ///
    /// # Errors
    /// When `/proc/cpuinfo` cannot be read.
    pub fn quickest(needs: Needs) -> Result<Self> {
        let outgrown = user_mode_linux::outgrowing_feature()?;
        Ok(match needs {
            Needs::Ipvs if outgrown.is_none() => Self::UserModeLinux,
            Needs::Ipvs | Needs::IpvsAndFilters => Self::Qemu,
        })
    }

    /// The Debian packages that it needs.
    pub const fn packages(self) -> &'static [&'static str] {
        match self {
            Self::UserModeLinux => user_mode_linux::PACKAGES,
            Self::Qemu => qemu::PACKAGES,
        }
    }

    fn prepare(self, boot: &Boot<'_>) -> Result<(Command, PathBuf)> {
        match self {
            Self::UserModeLinux => user_mode_linux::prepare(boot),
            Self::Qemu => qemu::prepare(boot),
        }
    }
}

impl fmt::Display for TestKernel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::UserModeLinux => "User Mode Linux",
            Self::Qemu => "the stock kernel in QEMU",
        })
    }
}

/// How to boot a kernel for a program.
#[derive(Clone, Debug)]
pub struct Guest {
    kernel: TestKernel,
    results: PathBuf,
    memory_mib: u32,
    limit: Duration,
    variables: Vec<(String, String)>,
}

/// What a kernel needs to know to start the guest.
pub(super) struct Boot<'a> {
    pub(super) init: &'a Path,
    pub(super) results: &'a Path,
    pub(super) memory_mib: u32,
}

impl Guest {
    /// A guest that leaves its boot files in a folder of results, where the program may write too.
    ///
    /// The folder is made if it is not there.
    pub fn new(kernel: TestKernel, results: impl Into<PathBuf>) -> Self {
        let results = results.into();
        let variables = vec![(RUNNING.to_owned(), kernel.to_string())];
        Self { kernel, results, memory_mib: DEFAULT_MEMORY_MIB, limit: DEFAULT_LIMIT, variables }
    }

    /// Sets the guest's memory, in MiB (2,048 unless set).
    #[must_use]
    pub fn memory_mib(mut self, memory_mib: u32) -> Self {
        self.memory_mib = memory_mib;
        self
    }

    /// Sets how long booting and running may take together (ten minutes unless set).
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Sets an environment variable of the program; nothing but `PATH`, `HOME` and `TMPDIR` is there otherwise.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Boots, runs the program in the current folder as root with IPVS and all its schedulers loaded, shows what
    /// it writes on our standard output as it comes, and returns its exit status.
    ///
    /// # Errors
    /// When the kernel or one of its tools is missing, the limit is exceeded, or the guest ends without the
    /// program's exit status, as it does when its kernel panics.
    pub fn run(&self, program: &Path, arguments: &[&str]) -> Result<i32> {
        fs::create_dir_all(&self.results)
            .map_err(Error::system(format!("create {}", self.results.display())))?;
        let results = absolute(&self.results)?;
        let (init, status) = (results.join("init.sh"), results.join("status"));
        // A status of an earlier run would be taken for this one's.
        let _ = fs::remove_file(&status);
        let boot = Boot { init: &init, results: &results, memory_mib: self.memory_mib };
        let (mut command, modules) = self.kernel.prepare(&boot)?;
        let script = self.script(&absolute(program)?, arguments, &modules, &status)?;
        fs::write(&init, script)
            .and_then(|()| fs::set_permissions(&init, fs::Permissions::from_mode(0o755)))
            .map_err(Error::system(format!("write {}", init.display())))?;
        watch(&mut command, self.limit)?;
        let text = fs::read_to_string(&status).map_err(|_| no_status(self.kernel))?;
        text.trim().parse().map_err(|_| no_status(self.kernel))
    }

    /// The script that is the guest's first process.
    fn script(&self, program: &Path, arguments: &[&str], modules: &Path, status: &Path) -> Result<String> {
        let folder = std::env::current_dir().map_err(Error::system("find the current folder"))?;
        let variables = self.variables.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
        let words =
            std::iter::once(program.to_string_lossy()).chain(arguments.iter().map(|&word| word.into()));
        let run = words.map(|word| quoted(&word)).collect::<Vec<_>>().join(" ");
        Ok(include_str!("init.sh")
            .replace("@modules@", &quoted(&modules.to_string_lossy()))
            .replace("@status@", &quoted(&status.to_string_lossy()))
            .replace("@folder@", &quoted(&folder.to_string_lossy()))
            .replace("@run@", &format!("env {} {run}", variables.collect::<Vec<_>>().join(" "))))
    }
}

/// Runs a guest to its end, showing its console.
fn watch(command: &mut Command, limit: Duration) -> Result<()> {
    let (console, write) = io::pipe().map_err(Error::system("make a pipe"))?;
    let other = write.try_clone().map_err(Error::system("duplicate a pipe"))?;
    // A group of its own, because User Mode Linux has one process for each of its programs.
    let mut child = Child::spawn(
        "the test kernel".to_owned(),
        command.stdin(Stdio::null()).stdout(write).stderr(other).process_group(0),
    )?;
    // The command holds the pipe's other end, and as long as it does the console does not end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let show = thread::spawn(move || show(console));
    let group = child.id();
    let ended = child.wait(limit);
    if ended.is_err() {
        child.signal(Signal::TERM)?;
        // If it does not end in time it is killed with its group, so how it ends does not matter.
        let _ = child.wait(SHUTDOWN_LIMIT);
    }
    // The group is empty after an orderly end.
    let _ = kill_process_group(group, Signal::KILL);
    show.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    ended.map(drop)
}

fn show(console: PipeReader) {
    let mut ended = false;
    let mut lines = BufReader::new(console).split(b'\n');
    // The pipe is emptied to its end, because a guest that cannot write stands still.
    while let Some(Ok(line)) = lines.next() {
        let line = line.trim_ascii_end();
        let text = line.strip_suffix(&[END_OF_TRANSMISSION]).unwrap_or(line);
        if !ended && (text.len() == line.len() || !text.is_empty()) {
            // `println!` and not the raw output, so that a test's output is kept with the test.
            println!("{}", String::from_utf8_lossy(text));
            // Nobody listening any more is no reason to stop the guest.
            let _ = io::stdout().flush();
        }
        ended = ended || text.len() < line.len();
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(Error::system(format!("find {}", path.display())))
}

fn no_status(kernel: TestKernel) -> Error {
    let reason = "it ended without the program's exit status; its console says why".to_owned();
    Error::Answer { command: kernel.to_string(), reason }
}

/// A word as a shell reads it back unchanged.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_comes_back_from_the_shell_unchanged() {
        for word in ["plain", "two words", "it's", "$HOME `id` \\ \" *", "", "'"] {
            let script = format!("printf %s {}", quoted(word));
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
    }
}
