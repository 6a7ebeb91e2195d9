//! Real servers that fail and return, as the client and the operator see it.

use lab::Behaviour;
use libtest_mimic::Trial;
use netns_tests::LIMIT;

use crate::site::{BOTH, CHECK, FIRST, SECOND, SERVICE, Site, shares};
use crate::turn::trials;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_real_server_that_is_unwell_leaves_and_returns,
        a_real_server_that_is_dead_leaves_and_returns,
        a_real_server_that_hangs_leaves_and_returns,
        the_sorry_server_serves_while_all_are_dead,
        the_sorry_server_serves_below_the_quorum,
        a_real_server_is_not_served_to_before_it_was_found_fit,
        a_check_of_the_port_alone_sees_a_dead_real_server,
    ]
}

const TARGET: &str = "10.77.0.50:80";
const SORRY: &str = "-a -t 10.77.0.50:80 -r 10.78.0.99:80 -m -w 1";
const WITH_SORRY: &str = "sorry_server = \"10.78.0.99:80\"\n";

#[track_caller]
fn leaves_and_returns(behaviour: Behaviour) {
    let mut site = Site::elected(&[BOTH, CHECK]);
    site.wait_for_table("lb1", &[SERVICE, FIRST, SECOND]);
    assert_eq!(site.shares(TARGET, 4), shares([("rs1", 2), ("rs2", 2)]));

    let server = [("virtual_server", "web"), ("real_server", "10.78.0.21:80")];
    site.pair.look_from_now();
    site.behave("rs1", behaviour);
    let down = site.pair.daemon("lb1").wait_for("real_server_down", &server, LIMIT);
    assert!(!down.field("reason").is_empty(), "{down}");
    site.wait_for_table("lb1", &[SERVICE, SECOND]);
    assert_eq!(site.shares(TARGET, 4), shares([("rs2", 4)]));
    let status = site.pair.daemon("lb1").status();
    let real_server = &status.virtual_servers["web"].real_servers["10.78.0.21:80"];
    assert_eq!((real_server.state.as_str(), real_server.weight), ("down", 0));
    assert_eq!(real_server.reason, down.field("reason"));
    // The Backup knows as much, so that it can take over at any time.
    site.pair.daemon("lb2").wait_for("real_server_down", &server, LIMIT);

    site.behave("rs1", Behaviour::Serving);
    site.pair.daemon("lb1").wait_for("real_server_up", &server, LIMIT);
    site.wait_for_table("lb1", &[SERVICE, FIRST, SECOND]);
    assert_eq!(site.shares(TARGET, 4), shares([("rs1", 2), ("rs2", 2)]));
}

fn a_real_server_that_is_unwell_leaves_and_returns() {
    leaves_and_returns(Behaviour::Unhealthy);
}

fn a_real_server_that_is_dead_leaves_and_returns() {
    leaves_and_returns(Behaviour::Down);
}

fn a_real_server_that_hangs_leaves_and_returns() {
    leaves_and_returns(Behaviour::Hanging);
}

fn the_sorry_server_serves_while_all_are_dead() {
    let mut site = Site::elected(&[BOTH, WITH_SORRY, CHECK]);
    site.wait_for_table("lb1", &[SERVICE, FIRST, SECOND]);
    site.pair.look_from_now();
    site.behave("rs1", Behaviour::Down);
    site.behave("rs2", Behaviour::Down);
    let sorry = [("virtual_server", "web"), ("sorry_server", "10.78.0.99:80")];
    site.pair.daemon("lb1").wait_for("quorum_lost", &sorry, LIMIT);
    site.wait_for_table("lb1", &[SERVICE, SORRY]);
    assert_eq!(site.shares(TARGET, 3), shares([("sorry", 3)]));
    assert_eq!(site.pair.daemon("lb1").status().virtual_servers["web"].state, "down");

    site.behave("rs2", Behaviour::Serving);
    site.pair.daemon("lb1").wait_for("quorum_reached", &[("virtual_server", "web")], LIMIT);
    site.wait_for_table("lb1", &[SERVICE, SECOND]);
    assert_eq!(site.shares(TARGET, 3), shares([("rs2", 3)]));
}

fn the_sorry_server_serves_below_the_quorum() {
    let site = Site::elected(&[BOTH, WITH_SORRY, "quorum = 2\n", CHECK]);
    site.wait_for_table("lb1", &[SERVICE, FIRST, SECOND]);
    site.behave("rs1", Behaviour::Unhealthy);
    site.wait_for_table("lb1", &[SERVICE, SORRY]);
    site.behave("rs1", Behaviour::Serving);
    site.wait_for_table("lb1", &[SERVICE, FIRST, SECOND]);
}

fn a_real_server_is_not_served_to_before_it_was_found_fit() {
    let mut site = Site::idle(&[BOTH, CHECK]);
    site.behave("rs1", Behaviour::Unhealthy);
    site.pair.start("lb1");
    site.wait_for_table("lb1", &[SERVICE, SECOND]);
    let down = [("real_server", "10.78.0.21:80")];
    site.pair.daemon("lb1").wait_for("real_server_down", &down, LIMIT);
    let events = site.pair.daemon("lb1").events();
    assert!(!events.iter().any(|event| event.is("real_server_up", &down)), "{events:?}");
}

fn a_check_of_the_port_alone_sees_a_dead_real_server() {
    let check = "[virtual_server.web.check]\ntype = \"tcp\"\ninterval = \"900ms\"\nrise = 1\nfall = 2\n";
    let site = Site::elected(&[BOTH, check]);
    site.wait_for_table("lb1", &[SERVICE, FIRST, SECOND]);
    site.behave("rs2", Behaviour::Down);
    site.wait_for_table("lb1", &[SERVICE, FIRST]);
    site.behave("rs2", Behaviour::Serving);
    site.wait_for_table("lb1", &[SERVICE, FIRST, SECOND]);
}
