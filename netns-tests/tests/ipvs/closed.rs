//! Virtual servers at addresses that accept nothing else, which takes `nf_tables` besides IPVS.

use std::time::Duration;

use lab::{WebClient, WebServer};
use libtest_mimic::Trial;
use netns_tests::{LIMIT, VIRTUAL, WEB, pair};

use crate::serving::TARGET;
use crate::site::{BOTH, GATEWAY, SERVICE, Site, shares};
use crate::turn::trials;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        an_address_that_does_not_accept_serves_for_its_virtual_servers_alone,
        a_node_that_is_its_own_real_server_and_does_not_accept_serves_by_nat_and_not_directly,
    ]
}

fn an_address_that_does_not_accept_serves_for_its_virtual_servers_alone() {
    let site = Site::elected(&["accept = false\n", BOTH]);
    assert_eq!(site.shares(TARGET, 10), shares([("rs1", 5), ("rs2", 5)]));
    let (client, lb1) = (site.pair.machine("client"), site.pair.machine("lb1"));
    let _server = WebServer::start(lb1, "lb1", 8080).unwrap();
    client.run(&["ping", "-c", "1", "-W", "1", VIRTUAL]).unwrap_err();
    let closed = WebClient::connect(client, "10.77.0.50:8080".parse().unwrap(), Duration::from_secs(1));
    assert!(closed.is_err());
    let own = WebClient::connect(client, "10.77.0.11:8080".parse().unwrap(), LIMIT);
    assert_eq!(own.unwrap().get("/").unwrap().body, "lb1");
    assert_eq!(site.shares(TARGET, 10), shares([("rs1", 5), ("rs2", 5)]));
}

/// Directly, a request for the node itself keeps the virtual address, and IPVS has done with it.
fn a_node_that_is_its_own_real_server_and_does_not_accept_serves_by_nat_and_not_directly() {
    let itself = "[virtual_server.web]\naddress = \"10.77.0.50:80\"\nscheduler = \"rr\"\n\
                  real_servers = [\"10.77.0.11:80\"]\n";
    let mut site = Site::elected(&["accept = false\n", itself]);
    let _server = WebServer::start(site.pair.machine("lb1"), "lb1", 80).unwrap();
    assert_eq!(site.shares(TARGET, 4), shares([("lb1", 4)]));

    let directly = itself.replace("\"rr\"", "\"rr\"\nforward = \"direct\"");
    site.pair.configure(&pair(&[WEB, GATEWAY, "accept = false\n", &directly]));
    let answer = site.pair.daemon("lb1").ask(&["reload"]);
    assert_eq!(answer.code, 0, "{}", answer.complaint);
    site.wait_for_table("lb1", &[SERVICE, "-a -t 10.77.0.50:80 -r 10.77.0.11:80 -g -w 1"]);
    let client = site.pair.machine("client");
    assert!(WebClient::connect(client, TARGET.parse().unwrap(), Duration::from_secs(1)).is_err());
}
