//! What becomes of scripts that behave, and of those that do their worst.

#![allow(clippy::unwrap_used, reason = "a test program tells by a panic what it could not set up")]

use std::future::Future;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use node::name::UserName;
use node::script::Script;
use probe::script::{Failure, LAST_WORDS_LIMIT, Run, Unfit, run};
use rustix::process::geteuid;
use tokio::time::timeout;

/// Long enough for anything that ends.
const AMPLE: Duration = Duration::from_secs(30);
/// Short enough for what never ends.
const SHORT: Duration = Duration::from_millis(300);

fn on_one_thread<T>(task: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(task)
}

fn words(words: &[&str]) -> Script {
    Script::new(words.iter().map(|word| (*word).to_owned()).collect(), None).unwrap()
}

fn shell(text: &str) -> Script {
    words(&["/bin/sh", "-c", text])
}

fn verdict(script: &Script, limit: Duration) -> Result<String, Failure> {
    on_one_thread(async { run(script, &[], limit).await.verdict })
}

/// Runs a script that says which processes it consists of before it goes on for ever.
async fn endless(text: &str) -> (Run, Vec<u32>) {
    let run = run(&shell(text), &[], SHORT).await;
    let Err(Failure::TimedOut { said, .. }) = &run.verdict else { panic!("{:?}", run.verdict) };
    let processes: Vec<_> = said.split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert!(processes.iter().all(|process| runs(*process)), "{said}");
    (run, processes)
}

fn runs(process: u32) -> bool {
    // A zombie has ended.
    let status = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat"));
    status.is_ok_and(|status| !status.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

fn wait_until_gone(processes: &[u32]) {
    let started = Instant::now();
    while processes.iter().any(|process| runs(*process)) {
        assert!(started.elapsed() < AMPLE, "{processes:?} still run");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_script_that_ends_well_is_good_and_its_words_reach_it_as_they_are() {
    let script = words(&["/bin/echo", "a  b", "$HOME", "*; false"]);
    assert_eq!(verdict(&script, AMPLE).unwrap(), "a  b $HOME *; false");
}

#[test]
fn a_script_that_fails_says_by_its_code_and_its_last_line_why() {
    let failure = verdict(&shell("echo first; echo 'disk full' >&2; echo; exit 3"), AMPLE).unwrap_err();
    assert_eq!(failure.to_string(), "exit code 3: disk full");
    assert_eq!(verdict(&shell("exit 1"), AMPLE).unwrap_err().to_string(), "exit code 1");
    assert_eq!(verdict(&shell("kill -9 $$"), AMPLE).unwrap_err().to_string(), "ended by signal 9");
}

#[test]
fn a_script_has_few_variables_a_group_of_its_own_and_no_input() {
    let said = on_one_thread(async {
        let variables = [("VIRTUAL_ROUTER".to_owned(), "web".to_owned())];
        run(&shell("cat; pwd; env; test $(ps -o pgid= -p $$) = $$ && echo its own"), &variables, AMPLE).await
    });
    let said = said.verdict.unwrap();
    let names: Vec<_> = said.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    let foreign: Vec<_> = names
        .iter()
        .filter(|name| {
            !["PATH", "HOME", "USER", "LOGNAME", "PWD", "OLDPWD", "_", "VIRTUAL_ROUTER"].contains(name)
        })
        .collect();
    assert!(foreign.is_empty(), "{said}");
    assert!(
        said.starts_with("/\n") && said.contains("VIRTUAL_ROUTER=web") && said.ends_with("its own"),
        "{said}"
    );
}

#[test]
fn a_script_of_root_s_daemon_runs_as_nobody_unless_told_otherwise() {
    assert!(geteuid().is_root(), "This test runs scripts as other users: run it as root");
    assert_eq!(verdict(&words(&["/usr/bin/id", "-nu"]), AMPLE).unwrap(), "nobody");
    assert_eq!(verdict(&words(&["/usr/bin/id", "-G"]), AMPLE).unwrap(), "65534");
    let user = |name| Some(UserName::new(name).unwrap());
    let as_daemon = Script::new(vec!["/usr/bin/id".to_owned(), "-nu".to_owned()], user("daemon")).unwrap();
    assert_eq!(verdict(&as_daemon, AMPLE).unwrap(), "daemon");
    let as_stranger = Script::new(vec!["/bin/true".to_owned()], user("no-such-user")).unwrap();
    let failure = verdict(&as_stranger, AMPLE).unwrap_err();
    assert!(matches!(failure, Failure::Unfit(Unfit::User(_))), "{failure}");
}

#[test]
fn a_script_that_is_not_executable_is_not_run_and_says_so() {
    let failure = verdict(&words(&["/etc/passwd"]), AMPLE).unwrap_err();
    assert!(matches!(failure, Failure::Unfit(Unfit::Program(_))), "{failure}");
    assert!(failure.to_string().starts_with("/etc/passwd is not executable for user "), "{failure}");
}

#[test]
fn a_script_that_hangs_is_killed_with_its_children() {
    on_one_thread(async {
        // The child does not listen, and neither does the script itself.
        let text =
            "trap '' TERM; (trap '' TERM; while :; do sleep 1; done) & echo $$ $!; while :; do sleep 1; done";
        let (mut run, processes) = endless(text).await;
        assert_eq!(processes.len(), 2);
        assert!(run.verdict.as_ref().unwrap_err().to_string().starts_with("did not end within 300ms"));
        // Whoever asks again and again how far that is holds it up as little.
        while timeout(SHORT, run.end()).await.is_err() {
            assert_eq!(run.stuck(), None, "it was not killed yet, or only just");
        }
        wait_until_gone(&processes);
    });
}

#[test]
fn a_script_that_is_told_to_end_may_tidy_up() {
    on_one_thread(async {
        let folder = std::env::temp_dir().join(format!("baton-tidy-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
        std::fs::set_permissions(&folder, permissions).unwrap();
        let tidied = folder.join("tidied");
        let text =
            format!("trap 'touch {}; exit' TERM; echo $$; while :; do sleep 0.01; done", tidied.display());
        let (mut run, processes) = endless(&text).await;
        run.end().await;
        wait_until_gone(&processes);
        let was_tidied = tidied.exists();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(was_tidied);
    });
}

#[test]
fn a_run_that_is_dropped_leaves_nothing() {
    on_one_thread(async {
        let (run, processes) = endless("(while :; do sleep 1; done) & echo $$ $!; wait").await;
        drop(run);
        wait_until_gone(&processes);
    });
}

#[test]
fn a_script_that_writes_for_ever_costs_little_and_ends() {
    let failure = verdict(&words(&["/usr/bin/yes"]), AMPLE).unwrap_err();
    let (Failure::ExitCode { said, .. } | Failure::Signal { said, .. }) = failure else {
        panic!("{failure}")
    };
    assert!(said.len() <= LAST_WORDS_LIMIT && said.starts_with('y'), "{said}");
}

#[test]
fn what_a_script_leaves_in_the_background_holds_nobody_up() {
    on_one_thread(async {
        let mut run = run(&shell("sleep 5 & echo started"), &[], Duration::from_secs(4)).await;
        assert_eq!(run.verdict.as_ref().unwrap(), "started");
        run.end().await;
    });
}
