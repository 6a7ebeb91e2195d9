//! Virtual servers where the kernel has no IPVS.

use std::time::Instant;

use lab::Behaviour;
use libtest_mimic::Trial;
use netns_tests::{LIMIT, VIRTUAL};

use crate::site::{BOTH, CHECK, Site};
use crate::turn::trials;

pub(crate) fn trials() -> Vec<Trial> {
    trials![without_ipvs_virtual_servers_are_unavailable_and_all_else_runs,]
}

fn without_ipvs_virtual_servers_are_unavailable_and_all_else_runs() {
    let mut site = Site::elected(&[BOTH, CHECK]);
    let lb1 = site.pair.daemon("lb1");
    lb1.wait_for("ipvs_unavailable", &[], LIMIT);
    lb1.wait_for("real_server_up", &[("real_server", "10.78.0.21:80")], LIMIT);
    let status = lb1.status();
    assert_eq!(status.virtual_routers["web"].state, "active");
    let server = &status.virtual_servers["web"];
    assert_eq!(server.state, "unavailable");
    assert!(server.reason.contains("ip_vs"), "{}", server.reason);
    assert_eq!(server.real_servers["10.78.0.21:80"].state, "up");

    site.behave("rs1", Behaviour::Down);
    site.pair.daemon("lb1").wait_for("real_server_down", &[("real_server", "10.78.0.21:80")], LIMIT);

    let client = site.pair.ping(VIRTUAL);
    site.pair.lab().detach("lb1").unwrap();
    site.pair.wait_for_holders(VIRTUAL, &["lb1", "lb2"]);
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
}
