//! What becomes of a probe when this process has no file descriptor left; alone in its program, because it takes them
//! all.

#![allow(clippy::unwrap_used, reason = "a test program tells by a panic what it could not set up")]

use std::fs::File;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use monotonic::Instant;
use node::pools::{Outcome, ProbeRequest};
use probe::Prober;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use virtual_server::health::{Check, CheckKind, Roster, Verdict};

#[tokio::test]
async fn a_lack_of_file_descriptors_is_not_held_against_the_real_server() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let one = 1.try_into().unwrap();
    let (interval, timeout) = (Duration::from_secs(1), Duration::from_secs(10));
    let check = Arc::new(Check { kind: CheckKind::Tcp, interval, timeout, rise: one, fall: one });
    let id = Roster::default().enrol(check.clone(), Verdict::UNKNOWN, Instant::START).id();
    let request = ProbeRequest { id, target: listener.local_addr().unwrap(), check };
    let mut prober = Prober::new();

    let taken = take_every_descriptor();
    prober.start(request.clone());
    let without = prober.next().await;
    drop(taken);
    assert_eq!(
        without,
        (id, Outcome::Inconclusive("this node cannot connect: Too many open files (os error 24)".into()))
    );
    prober.start(request);
    assert_eq!(prober.next().await, (id, Outcome::Good));
}

fn take_every_descriptor() -> Vec<File> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}
