//! Debian's stock kernel in QEMU, without hardware virtualisation.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

use super::guest::Boot;
use crate::{Error, Result, command};

/// What it needs.
pub(super) const PACKAGES: &[&str] = &["busybox-static", "cpio", "kmod", "qemu-system-x86", "util-linux"];
/// The package that depends on the newest stock kernel.
const PACKAGE: &str = "linux-image-amd64";
const BUSYBOX: &str = "/bin/busybox";
/// Large messages, and files that programs may map into their memory.
const MOUNT_OPTIONS: &str = "trans=virtio,version=9p2000.L,msize=524288,cache=mmap";
const WRITES: &str = "a string takes what is written to it";
const ADVICE: &str = "install the Debian packages qemu-system-x86, busybox-static and cpio";

/// The command that boots, and the folder below which `lib/modules` has the kernel's modules.
pub(super) fn prepare(boot: &Boot<'_>) -> Result<(Command, PathBuf)> {
    if !Path::new(BUSYBOX).exists() {
        return Err(Error::Missing { path: BUSYBOX.into(), advice: ADVICE.to_owned() });
    }
    let kernel = Unpacked::in_cache(&cache()?)?;
    let initramfs = boot.results.join("initramfs");
    kernel.make_initramfs(&boot.results.join("initramfs.d"), &initramfs, boot.init)?;
    // The guest goes when this process does, whatever happens to it.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max"]);
    command.args(["-smp", "2", "-display", "none", "-no-reboot", "-nodefaults", "-serial", "stdio"]);
    command.args(["-m", &boot.memory_mib.to_string()]);
    command.arg("-kernel").arg(kernel.image()).arg("-initrd").arg(initramfs);
    command.args(["-append", "console=ttyS0 panic=-1 quiet loglevel=3 mitigations=off"]);
    command.args(["-fsdev", "local,id=host,path=/,security_model=passthrough,multidevs=remap"]);
    command.args(["-device", "virtio-9p-pci,fsdev=host,mount_tag=host"]);
    Ok((command, kernel.folder))
}

/// Where the unpacked kernel is kept from one run to the next. Source: XDG Base Directory Specification.
fn cache() -> Result<PathBuf> {
    let folder = |name, below: &str| {
        let home = std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())?;
        Some(home.join(below))
    };
    folder("XDG_CACHE_HOME", "baton").or_else(|| folder("HOME", ".cache/baton")).ok_or(Error::NoCache)
}

/// A kernel package, unpacked.
struct Unpacked {
    folder: PathBuf,
    version: String,
}

impl Unpacked {
    /// The newest stock kernel, downloaded if the cache does not have it yet.
    fn in_cache(cache: &Path) -> Result<Self> {
        let failed = |path: &Path| Error::system(format!("write {}", path.display()));
        fs::create_dir_all(cache).map_err(failed(cache))?;
        let lock = File::create(cache.join("lock")).map_err(failed(cache))?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(cache)(error.into()))?;

        let package = newest_package()?;
        let version = package.trim_start_matches("linux-image-").to_owned();
        let kernel = Self { folder: cache.join(&package), version };
        if !kernel.folder.exists() {
            // Unpacked beside and renamed at the end, so that the cache never holds half a kernel.
            let partial = cache.join(format!("{package}.partial"));
            let _ = fs::remove_dir_all(&partial);
            fs::create_dir_all(&partial).map_err(failed(&partial))?;
            command::run(Command::new("apt-get").args(["download", &package]).current_dir(&partial))?;
            let archive = only_file(&partial)?;
            let unpacked = partial.join("unpacked");
            command::run(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(&unpacked))?;
            command::run(Command::new("depmod").arg("--basedir").arg(&unpacked).arg(&kernel.version))?;
            fs::rename(&unpacked, &kernel.folder).map_err(failed(&kernel.folder))?;
            fs::remove_dir_all(&partial).map_err(failed(&partial))?;
        }
        Ok(kernel)
    }

    fn image(&self) -> PathBuf {
        self.folder.join("boot").join(format!("vmlinuz-{}", self.version))
    }

    /// Packs the little file system the kernel starts from: it mounts the host's root and goes on there.
    fn make_initramfs(&self, staging: &Path, archive: &Path, init: &Path) -> Result<()> {
        let failed = |path: &Path| Error::system(format!("write {}", path.display()));
        // What an earlier run left would be packed too.
        let _ = fs::remove_dir_all(staging);
        for folder in ["bin", "proc", "host"].map(|name| staging.join(name)) {
            fs::create_dir_all(&folder).map_err(failed(&folder))?;
        }
        let busybox = staging.join("bin/busybox");
        fs::copy(BUSYBOX, &busybox).map_err(failed(&busybox))?;
        let mut script = "#!/bin/busybox sh\n".to_owned();
        for (number, module) in self.modules_for(&["virtio_pci", "9pnet_virtio", "9p"])?.iter().enumerate() {
            let copy = format!("{number}.ko");
            fs::copy(module, staging.join(&copy)).map_err(failed(module))?;
            writeln!(script, "/bin/busybox insmod /{copy}").expect(WRITES);
        }
        writeln!(script, "/bin/busybox mount -t 9p -o {MOUNT_OPTIONS} host /host").expect(WRITES);
        writeln!(script, "exec /bin/busybox switch_root /host '{}'", init.display()).expect(WRITES);
        let first = staging.join("init");
        fs::write(&first, script)
            .and_then(|()| fs::set_permissions(&first, fs::Permissions::from_mode(0o755)))
            .map_err(failed(&first))?;
        let pack = "find . | cpio --quiet --create --format=newc --file=\"$1\"";
        let mut cpio = Command::new("sh");
        cpio.args(["-c", pack, "sh"]).arg(archive).current_dir(staging);
        command::run(&mut cpio).map(drop)
    }

    /// The files of modules and of all they depend on, in the order of loading.
    fn modules_for(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let mut modprobe = Command::new("modprobe");
        modprobe.arg("--dirname").arg(&self.folder).args(["--set-version", &self.version]);
        let text = command::run(modprobe.args(["--show-depends", "--all"]).args(names))?;
        let mut files: Vec<PathBuf> = Vec::new();
        for line in text.lines() {
            let Some(file) = line.trim().strip_prefix("insmod ").map(PathBuf::from) else { continue };
            if !files.contains(&file) {
                files.push(file);
            }
        }
        Ok(files)
    }
}

fn newest_package() -> Result<String> {
    let mut ask = Command::new("apt-cache");
    let text = command::run(ask.args(["depends", PACKAGE]))?;
    let mut dependencies = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let newest = dependencies.find(|package| package.starts_with("linux-image-"));
    newest.map(str::to_owned).ok_or_else(|| Error::Answer {
        command: command::line(&ask),
        reason: "it names no kernel; run `apt-get update`".to_owned(),
    })
}

fn only_file(folder: &Path) -> Result<PathBuf> {
    let mut entries = fs::read_dir(folder).map_err(Error::system(format!("read {}", folder.display())))?;
    let missing =
        || Error::Missing { path: folder.join("*.deb"), advice: "see what apt-get downloaded".to_owned() };
    entries.find_map(|entry| entry.ok().map(|entry| entry.path())).ok_or_else(missing)
}
