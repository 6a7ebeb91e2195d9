//! Checks to ask with, and real servers on the loopback interface that answer as a test wants.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use monotonic::Instant;
use node::pools::{Outcome, ProbeRequest};
use probe::Prober;
use virtual_server::health::{Check, CheckKind, HttpCheck, Roster, Verdict};

/// How long a test waits for what has to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A time-out that an answering real server never needs.
pub(crate) const AMPLE: Duration = Duration::from_secs(10);

/// A time-out for real servers that never finish their answer.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

pub(crate) fn check(kind: CheckKind, timeout: Duration) -> Arc<Check> {
    let one = 1.try_into().unwrap();
    Arc::new(Check { kind, interval: Duration::from_secs(1), timeout, rise: one, fall: one })
}

pub(crate) fn http(body: Option<&str>, timeout: Duration) -> Arc<Check> {
    let kind = CheckKind::Http(HttpCheck {
        path: "/healthz?deep=1".into(),
        host: None,
        status: vec![(200, 299)],
        body: body.map(str::to_owned),
    });
    check(kind, timeout)
}

pub(crate) fn requests(target: SocketAddr, check: &Arc<Check>, count: usize) -> Vec<ProbeRequest> {
    let mut roster = Roster::default();
    let mut request = || {
        let id = roster.enrol(check.clone(), Verdict::UNKNOWN, Instant::START).id();
        ProbeRequest { id, target, check: check.clone() }
    };
    (0..count).map(|_| request()).collect()
}

pub(crate) fn ask(target: SocketAddr, check: &Arc<Check>) -> Outcome {
    let request = requests(target, check, 1).remove(0);
    on_one_thread(async {
        let mut prober = Prober::new();
        let id = request.id;
        prober.start(request);
        let (finished, outcome) = prober.next().await;
        assert_eq!(finished, id);
        outcome
    })
}

/// Repeats what a busy machine can make inconclusive.
pub(crate) fn conclusive(mut attempt: impl FnMut() -> Outcome) -> Outcome {
    let started = std::time::Instant::now();
    loop {
        match attempt() {
            Outcome::Inconclusive(reason) if started.elapsed() > PATIENCE => {
                panic!("this machine is too busy for this test: {reason}")
            }
            Outcome::Inconclusive(_) => {}
            outcome @ (Outcome::Good | Outcome::Bad(_)) => return outcome,
        }
    }
}

pub(crate) fn on_one_thread<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await.expect("the probes go on for ever") })
}

/// Returns a bound listener that accepts nothing by itself: the kernel opens connections for it all the same.
pub(crate) fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Returns the address of a real server that reads one request and hands the connection over; what it has written may
/// break off at any point.
pub(crate) fn real_server(answer: impl FnOnce(&mut TcpStream, String) + Send + 'static) -> SocketAddr {
    let (listener, address) = listener();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let request = read_request(&mut stream);
        answer(&mut stream, request);
    });
    address
}

/// Returns the address of a real server that answers with these bytes and closes.
pub(crate) fn answering(bytes: impl Into<Vec<u8>>) -> SocketAddr {
    let bytes = bytes.into();
    real_server(move |stream, _| stream.write_all(&bytes).unwrap())
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }
    String::from_utf8(request).unwrap()
}
