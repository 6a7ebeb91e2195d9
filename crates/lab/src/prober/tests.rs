use super::*;
use crate::timeline::Failure;
use crate::{Behaviour, Lab, Topology, WebServer};

const LIMIT: Duration = Duration::from_secs(10);
const MS: Duration = Duration::from_millis(1);

/// Lets the prober run until so many more probes have been sent.
fn let_pass(prober: &Prober, count: usize) {
    let goal = prober.timeline().sent() + count;
    wait_until("The next probes", LIMIT, || Ok(prober.timeline().sent() >= goal)).unwrap();
}

/// Cuts a machine off for so many probes and returns when it was cut and when it was back.
fn cut_off(lab: &Lab, machine: &str, prober: &Prober, count: usize) -> (Instant, Instant) {
    lab.detach(machine).unwrap();
    let cut = Instant::now();
    let_pass(prober, count);
    let back = Instant::now();
    lab.attach(machine).unwrap();
    (cut, back)
}

#[test]
fn echo_measures_an_outage_between_the_cut_and_the_mending() {
    let lab = Topology::standard(1, 0).build().unwrap();
    for target in ["10.77.0.11", "fd77::11"] {
        let prober = Prober::echo(lab.namespace("client"), target.parse().unwrap(), MS).unwrap();
        prober.wait_for_answer(Instant::now(), LIMIT).unwrap();
        let before = Instant::now();
        let (cut, back) = cut_off(&lab, "lb1", &prober, 100);
        prober.wait_for_answer(back, LIMIT).unwrap();
        let seen = prober.stop().unwrap();
        let gap = seen.since(before).longest_gap();
        assert!(gap.from <= cut + MS && gap.to >= back, "{target}: {seen}");
        assert!(gap.duration() >= back - cut, "{target}: {seen}");
    }
}

#[test]
fn echo_sees_no_outage_where_there_is_none() {
    let lab = Topology::standard(1, 0).build().unwrap();
    let prober = Prober::echo(lab.namespace("client"), "10.77.0.11".parse().unwrap(), MS * 2).unwrap();
    let_pass(&prober, 200);
    let seen = prober.stop().unwrap();
    assert_eq!((seen.lost(), seen.failures().len()), (0, 0), "{seen}");
    let answered = seen.probes().iter().filter(|probe| answered_at(&probe.fate).is_some()).count();
    assert_eq!(answered, seen.sent(), "{seen}");
}

#[test]
fn what_was_asked_last_is_lost_too_when_no_answer_comes() {
    let lab = Topology::standard(1, 0).build().unwrap();
    let prober = Prober::echo(lab.namespace("client"), "10.77.0.11".parse().unwrap(), MS).unwrap();
    prober.wait_for_answer(Instant::now(), LIMIT).unwrap();
    let before = Instant::now();
    let (_, back) = cut_off(&lab, "lb1", &prober, 20);
    prober.wait_for_answer(back, LIMIT).unwrap();
    let seen = prober.stop().unwrap().since(before);
    assert!(seen.lost() >= 18, "{seen}");
}

#[test]
fn echo_to_nowhere_is_lost_and_starts_to_be_answered_when_the_address_comes() {
    let lab = Topology::standard(1, 0).build().unwrap();
    let prober = Prober::echo(lab.namespace("client"), "10.77.0.50".parse().unwrap(), MS).unwrap();
    let_pass(&prober, 50);
    assert!(prober.timeline().longest_gap().duration() >= MS * 40);
    lab.namespace("lb1").run(&["ip", "address", "add", "10.77.0.50/24", "dev", "eth0"]).unwrap();
    prober.wait_for_answer(Instant::now(), LIMIT).unwrap();
}

#[test]
fn web_says_who_answered_and_why_nobody_did() {
    let lab = Topology::standard(1, 0).build().unwrap();
    let server = WebServer::start(lab.namespace("lb1"), "one", 80).unwrap();
    let prober = Prober::web(lab.namespace("client"), "10.77.0.11:80".parse().unwrap(), MS * 5).unwrap();
    prober.wait_for_answer(Instant::now(), LIMIT).unwrap();

    let down = Instant::now();
    server.behave(Behaviour::Down).unwrap();
    let_pass(&prober, 20);
    let up = Instant::now();
    server.behave(Behaviour::Serving).unwrap();
    prober.wait_for_answer(up, LIMIT).unwrap();

    let seen = prober.timeline();
    assert_eq!(seen.answered_by().into_keys().collect::<Vec<_>>(), ["one"]);
    assert!(seen.failures()[&Failure::Refused] >= 10, "{seen}");
    assert!(seen.since(down).longest_gap().duration() >= up - down, "{seen}");
}

#[test]
fn web_does_not_wait_for_the_slow_before_it_asks_again() {
    let lab = Topology::standard(1, 0).build().unwrap();
    let _server = WebServer::start(lab.namespace("lb1"), "one", 80).unwrap();
    let prober = Prober::web(lab.namespace("client"), "10.77.0.11:80".parse().unwrap(), MS * 5).unwrap();
    prober.wait_for_answer(Instant::now(), LIMIT).unwrap();
    let (cut, back) = cut_off(&lab, "lb1", &prober, 50);
    prober.wait_for_answer(back, LIMIT).unwrap();
    // A single connection would be tried again by the kernel only a second after the cut.
    let seen = prober.stop().unwrap().since(cut);
    let gap = seen.gaps_over(MS * 100).next().unwrap();
    assert!(gap.duration() >= back - cut, "{seen}");
    let sent_meanwhile = seen.probes().iter().filter(|probe| probe.sent > cut && probe.sent < back);
    assert!(sent_meanwhile.count() >= 40, "{seen}");
}
