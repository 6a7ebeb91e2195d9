//! What each kind of check makes of real servers that behave, and of those that do their worst.

#![allow(clippy::unwrap_used, reason = "a test program tells by a panic what it could not set up")]

mod loopback;

use std::io::Write;
use std::net::{Shutdown, TcpListener};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use loopback::{
    AMPLE, PATIENCE, SHORT, answering, ask, check, conclusive, http, listener, on_one_thread, real_server,
    requests,
};
use node::pools::Outcome;
use probe::{BODY_LIMIT, CONCURRENT_PROBES, Prober, STALL};
use socket2::SockRef;
use virtual_server::health::CheckKind;

fn bad(reason: &str) -> Outcome {
    Outcome::Bad(reason.into())
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_port_that_listens_is_good_and_one_that_does_not_is_refused() {
    let (listener, address) = listener();
    let tcp = check(CheckKind::Tcp, AMPLE);
    assert_eq!(ask(address, &tcp), Outcome::Good);
    drop(listener);
    assert_eq!(ask(address, &tcp), bad("connection refused"));
    assert_eq!(ask(address, &http(None, AMPLE)), bad("connection refused"));
}

#[test]
fn real_servers_are_asked_over_ipv6_as_well() {
    let listener = TcpListener::bind("[::1]:0").unwrap();
    assert_eq!(ask(listener.local_addr().unwrap(), &check(CheckKind::Tcp, AMPLE)), Outcome::Good);
}

#[test]
fn a_tcp_check_closes_without_a_reset() {
    let (listener, address) = listener();
    assert_eq!(ask(address, &check(CheckKind::Tcp, AMPLE)), Outcome::Good);
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(std::io::copy(&mut stream, &mut std::io::sink()).unwrap(), 0);
}

#[test]
fn the_request_names_path_host_and_that_it_is_the_only_one() {
    let (sender, receiver) = mpsc::channel();
    let address = real_server(move |stream, request| {
        stream.write_all(ok("").as_bytes()).unwrap();
        sender.send(request).unwrap();
    });
    assert_eq!(ask(address, &http(None, AMPLE)), Outcome::Good);
    let request = receiver.recv_timeout(PATIENCE).unwrap().to_lowercase();
    assert!(request.starts_with("get /healthz?deep=1 http/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("\r\nhost: {address}\r\n")), "{request}");
    assert!(request.contains("\r\nconnection: close\r\n"), "{request}");
}

#[test]
fn another_status_is_bad_and_a_redirection_is_not_followed() {
    let unavailable = answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(ask(unavailable, &http(None, AMPLE)), bad("status 503, expected 200-299"));
    let moved = answering("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(ask(moved, &http(None, AMPLE)), bad("status 302, expected 200-299"));
}

#[test]
fn the_body_is_searched_across_the_pieces_it_comes_in() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5\r\nall i\r\n2\r\ns \r\n1\r\nw\r\n3\r\nell\r\n0\r\n\r\n";
    assert_eq!(ask(answering(chunked), &http(Some("is well"), AMPLE)), Outcome::Good);
    assert_eq!(
        ask(answering(chunked), &http(Some("is bad"), AMPLE)),
        bad("body does not contain \"is bad\"")
    );
    assert_eq!(ask(answering(ok("ok")), &http(Some("ok"), AMPLE)), Outcome::Good);
}

#[test]
fn an_answer_that_breaks_off_is_bad() {
    let early = answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok");
    let reason = bad("connection closed in the middle of the answer");
    assert_eq!(ask(early, &http(Some("ok"), AMPLE)), reason);
    let nothing = real_server(|stream, _| stream.shutdown(Shutdown::Both).unwrap());
    assert_eq!(ask(nothing, &http(None, AMPLE)), reason);
}

#[test]
fn a_reset_in_the_middle_is_bad() {
    let address = real_server(|stream, _| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n").unwrap();
        SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    assert_eq!(ask(address, &http(None, AMPLE)), bad("connection reset"));
}

#[test]
fn a_silent_real_server_costs_no_more_than_the_time_out() {
    let (_listener, address) = listener();
    assert_eq!(conclusive(|| ask(address, &http(None, SHORT))), bad("no answer within 300ms"));
}

#[test]
fn an_answer_that_drips_costs_no_more_than_the_time_out() {
    let dripping = || {
        real_server(|stream, _| {
            let drip = ok("a body").into_bytes();
            for byte in drip.iter().cycle() {
                if stream.write_all(&[*byte]).is_err() {
                    break;
                }
                thread::sleep(Duration::from_millis(50));
            }
        })
    };
    assert_eq!(conclusive(|| ask(dripping(), &http(None, SHORT))), bad("no answer within 300ms"));
}

/// Answers with this head and then these bytes again and again, until the prober has had enough.
fn endless(head: &'static str, piece: &'static [u8]) -> std::net::SocketAddr {
    real_server(move |stream, _| {
        let pieces = piece.repeat(1000);
        let mut written = stream.write_all(head.as_bytes());
        while written.is_ok() {
            written = stream.write_all(&pieces);
        }
    })
}

#[test]
fn of_an_endless_body_only_the_beginning_counts() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(ask(endless(HEAD, b"zero "), &http(None, AMPLE)), Outcome::Good);
    assert_eq!(ask(endless(HEAD, b"zero "), &http(Some("ero z"), AMPLE)), Outcome::Good);
    assert_eq!(
        ask(endless(HEAD, b"zero "), &http(Some("one"), AMPLE)),
        bad("the first 64 KiB of the body do not contain \"one\"")
    );
    assert_eq!(BODY_LIMIT, 64 * 1024);
}

#[test]
fn an_endless_head_and_garbage_are_not_proper_http() {
    let lines = endless("HTTP/1.1 200 OK\r\nX-", b"long");
    let headers = endless("HTTP/1.1 200 OK\r\n", b"X-Many: 1\r\n");
    let garbage = endless("\0\u{ff}", b"\xc3\xa9\0\r\n");
    let older = answering("ok\n");
    let newer = answering("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    for address in [lines, headers, garbage, older, newer] {
        let outcome = ask(address, &http(None, AMPLE));
        assert!(
            matches!(&outcome, Outcome::Bad(reason) if reason.starts_with("the answer is not proper HTTP: ")),
            "{outcome:?}"
        );
    }
}

#[test]
fn those_that_wait_behind_a_crowd_of_silent_real_servers_come_to_no_harm() {
    let (_silent, silent) = listener();
    let (_open, open) = listener();
    let mut crowd = requests(silent, &http(None, Duration::from_secs(1)), CONCURRENT_PROBES + 1);
    let last = crowd.last_mut().unwrap();
    (last.target, last.check) = (open, check(CheckKind::Tcp, SHORT));
    let last = last.id;

    let outcome_of_the_last = || {
        on_one_thread(async {
            let mut prober = Prober::new();
            crowd.iter().cloned().for_each(|probe| prober.start(probe));
            for _ in 0..CONCURRENT_PROBES {
                let (finished, outcome) = prober.next().await;
                if finished == last {
                    return outcome;
                }
                assert_ne!(outcome, Outcome::Good, "the crowd is silent");
            }
            prober.next().await.1
        })
    };
    assert_eq!(conclusive(outcome_of_the_last), Outcome::Good);
}

#[test]
fn what_ended_together_is_fetched_without_waiting() {
    let (_listener, address) = listener();
    let both = requests(address, &check(CheckKind::Tcp, AMPLE), 2);
    let wanted: Vec<_> = both.iter().map(|probe| probe.id).collect();
    let mut finished = on_one_thread(async {
        let mut prober = Prober::new();
        for probe in both {
            prober.start(probe);
        }
        assert_eq!(prober.try_next(), None, "neither has begun");
        let (first, _) = prober.next().await;
        let second = loop {
            match prober.try_next() {
                Some((second, _)) => break second,
                None => tokio::task::yield_now().await,
            }
        };
        assert_eq!(prober.try_next(), None);
        vec![first, second]
    });
    finished.sort();
    assert_eq!(finished, wanted);
}

#[test]
fn a_time_out_that_this_node_slept_through_is_not_held_against_the_real_server() {
    let (_listener, address) = listener();
    let request = requests(address, &http(None, SHORT), 1).remove(0);
    let outcome = on_one_thread(async {
        let mut prober = Prober::new();
        prober.start(request);
        tokio::task::yield_now().await;
        thread::sleep(SHORT + STALL * 2);
        prober.next().await.1
    });
    assert_eq!(outcome, Outcome::Inconclusive("this node stood still while it waited for the answer".into()));
}
