//! The role moves, and the client's requests go on.

use std::fmt::Write as _;
use std::time::Instant;

use lab::{Failure, Timeline};
use libtest_mimic::Trial;
use netns_tests::{LIMIT, VIRTUAL};

use crate::site::{BOTH, CHECK, FIRST, SECOND, SERVICE, Site};
use crate::turn::trials;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        after_a_crash_the_other_node_serves_by_nat,
        after_a_crash_the_other_node_serves_by_direct_routing,
        the_table_is_where_the_address_is,
        no_request_meets_an_address_without_its_table,
    ]
}

const TARGET: &str = "10.77.0.50:80";

/// Both real servers have answered since the role moved.
#[track_caller]
fn assert_both_serve(seen: &Timeline) {
    assert_eq!(seen.answered_by().into_keys().collect::<Vec<_>>(), ["rs1", "rs2"], "{seen}");
}

fn after_a_crash_the_other_node_serves_by_nat() {
    let mut site = Site::elected(&[BOTH, CHECK]);
    site.wait_for_table("lb1", &[SERVICE, FIRST, SECOND]);
    let client = site.fetch(TARGET);
    site.pair.lab().detach("lb1").unwrap();
    site.pair.daemon("lb2").wait_for("became_active", &[("reason", "active_down")], LIMIT);
    let taken = Instant::now();
    client.wait_for_answer(taken, LIMIT).unwrap();
    site.wait_for_table("lb2", &[SERVICE, FIRST, SECOND]);
    assert_both_serve(&client.stop().unwrap().since(taken));
}

fn after_a_crash_the_other_node_serves_by_direct_routing() {
    let direct = "[virtual_server.web]\naddress = \"10.77.0.50:80\"\nscheduler = \"rr\"\nforward = \"direct\"\n\
                  real_servers = [\"10.77.0.21:80\", \"10.77.0.22:80\"]\n";
    let mut site = Site::direct(direct);
    let client = site.fetch(TARGET);
    site.pair.lab().detach("lb1").unwrap();
    site.pair.daemon("lb2").wait_for("became_active", &[("reason", "active_down")], LIMIT);
    let taken = Instant::now();
    client.wait_for_answer(taken, LIMIT).unwrap();
    let first = "-a -t 10.77.0.50:80 -r 10.77.0.21:80 -g -w 1";
    site.wait_for_table("lb2", &[SERVICE, first, "-a -t 10.77.0.50:80 -r 10.77.0.22:80 -g -w 1"]);
    assert_both_serve(&client.stop().unwrap().since(taken));
}

fn the_table_is_where_the_address_is() {
    let mut site = Site::elected(&[BOTH]);
    site.wait_for_table("lb1", &[SERVICE, FIRST, SECOND]);
    site.wait_for_table("lb2", &[]);
    site.pair.daemon("lb1").stop(LIMIT);
    site.wait_for_table("lb2", &[SERVICE, FIRST, SECOND]);
    site.wait_for_table("lb1", &[]);
    site.pair.start("lb1");
    site.pair.wait_for_holder(VIRTUAL, "lb1");
    site.wait_for_table("lb1", &[SERVICE, FIRST, SECOND]);
    site.wait_for_table("lb2", &[]);
}

/// So large that it takes the kernel a while.
const SERVICES: u16 = 40;
const REAL_SERVERS: u8 = 100;

fn no_request_meets_an_address_without_its_table() {
    let mut servers = "real_servers = [\"10.78.0.21:80\", \"10.78.0.22:80\"".to_owned();
    for last in 1..=REAL_SERVERS {
        write!(servers, ", {{ address = \"10.78.1.{last}:80\", weight = 0 }}").unwrap();
    }
    servers.push_str("]\n");
    let mut many = String::new();
    for port in 80..80 + SERVICES {
        write!(many, "[virtual_server.w{port}]\naddress = \"10.77.0.50:{port}\"\n{servers}").unwrap();
    }
    let mut site = Site::elected(&[&many]);
    // Which of the services is written last is not known: the first, one amid and the last are asked.
    let ports = [80, 80 + SERVICES / 2, 80 + SERVICES - 1];
    let clients = ports.map(|port| site.fetch(&format!("10.77.0.50:{port}")));

    site.pair.look_from_now();
    site.pair.daemon("lb1").stop(LIMIT);
    site.pair.wait_for_holder(VIRTUAL, "lb2");
    let moved = Instant::now();
    for client in &clients {
        client.wait_for_answer(moved, LIMIT).unwrap();
    }
    site.pair.start("lb1");
    site.pair.daemon("lb1").wait_for("address_taken", &[("address", VIRTUAL)], LIMIT);
    let back = Instant::now();
    for (client, port) in clients.into_iter().zip(ports) {
        client.wait_for_answer(back, LIMIT).unwrap();
        let seen = client.stop().unwrap();
        // An address without the table is a machine where nobody listens on the port.
        assert_eq!(seen.failures().get(&Failure::Refused), None, "port {port}: {seen}");
    }
    let events = site.pair.daemon("lb1").events();
    let place = |name: &str| events.iter().rposition(|event| event.name == name);
    assert!(place("table_complete") < place("address_taken"), "{events:?}");
}
