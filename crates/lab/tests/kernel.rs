//! Boots the test kernels for real: User Mode Linux and Debian's stock kernel in QEMU.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::Error;
use lab::kernel::{Guest, Needs, TestKernel};

/// Far more than a boot takes, even of QEMU on a busy machine.
const LIMIT: Duration = Duration::from_mins(3);

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Balances a service in a fresh kernel, writes the table down and ends with a status of its own choice.
fn balances_and_passes_its_status_on(kernel: TestKernel, name: &str) {
    let results = folder(name);
    let table = results.join("table");
    let script = r#"set -e
        test "$(id -u)" = 0
        ipvsadm -A -t 1.2.3.4:80 -s mh
        ip netns add inside
        ip -n inside link add one type veth peer name other
        ip netns delete inside
        ipvsadm -Sn >"$1"
        echo "$GREETING" >>"$1"
        exit 42"#;
    let guest = Guest::new(kernel, &results).limit(LIMIT).variable("GREETING", "it's me");
    let status = guest.run(Path::new("/bin/sh"), &["-c", script, "sh", table.to_str().unwrap()]);
    assert_eq!(status.unwrap(), 42);
    assert_eq!(fs::read_to_string(table).unwrap(), "-A -t 1.2.3.4:80 -s mh\nit's me\n");
}

#[test]
fn the_quickest_kernel_has_ipvs_and_passes_the_status_on() {
    balances_and_passes_its_status_on(TestKernel::quickest(Needs::Ipvs).unwrap(), "quickest");
}

#[test]
fn user_mode_linux_is_refused_where_it_would_panic() {
    let results = folder("refused");
    let outcome =
        Guest::new(TestKernel::UserModeLinux, &results).limit(LIMIT).run(Path::new("/bin/true"), &[]);
    match TestKernel::quickest(Needs::Ipvs).unwrap() {
        TestKernel::UserModeLinux => assert_eq!(outcome.unwrap(), 0),
        TestKernel::Qemu => assert!(matches!(outcome, Err(Error::Processor { .. })), "{outcome:?}"),
    }
}

#[test]
fn the_stock_kernel_has_ipvs_and_passes_the_status_on() {
    balances_and_passes_its_status_on(TestKernel::Qemu, "qemu");
}

#[test]
fn a_program_that_does_not_end_is_ended_with_its_kernel() {
    let results = folder("endless");
    let started = results.join("started");
    let _ = fs::remove_file(&started);
    let guest =
        Guest::new(TestKernel::quickest(Needs::Ipvs).unwrap(), &results).limit(Duration::from_secs(40));
    let script = "echo yes >\"$1\"; sleep 1000";
    let error =
        guest.run(Path::new("/bin/sh"), &["-c", script, "sh", started.to_str().unwrap()]).unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    assert!(started.exists(), "the program ran");
    assert_eq!(running(&results), Vec::<String>::new());
}

/// The command lines of this machine that mention a folder.
fn running(folder: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| fs::read_to_string(process.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(folder.to_str().unwrap())).collect()
}
