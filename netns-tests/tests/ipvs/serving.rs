//! What a client of a virtual server gets.

use libtest_mimic::Trial;
use netns_tests::{LIMIT, WEB, WEB_V6, pair};

use crate::site::{BOTH, FIRST, GATEWAY, SECOND, SERVICE, Site, shares};
use crate::turn::trials;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        nat_gives_each_real_server_its_share,
        direct_routing_gives_each_real_server_its_share,
        nat_over_ipv6_gives_each_real_server_its_share,
        a_client_stays_with_its_real_server_where_that_is_wanted,
        an_established_connection_survives_a_reload;
        alone: no_request_is_lost_over_many_reloads,
    ]
}

pub(crate) const TARGET: &str = "10.77.0.50:80";

fn nat_gives_each_real_server_its_share() {
    let weighted = BOTH
        .replace("\"rr\"", "\"wrr\"")
        .replace("\"10.78.0.22:80\"", "{ address = \"10.78.0.22:80\", weight = 2 }");
    let site = Site::elected(&[&weighted]);
    assert_eq!(site.shares(TARGET, 15), shares([("rs1", 5), ("rs2", 10)]));
}

fn direct_routing_gives_each_real_server_its_share() {
    let direct = "[virtual_server.web]\naddress = \"10.77.0.50:80\"\nscheduler = \"rr\"\nforward = \"direct\"\n\
                  real_servers = [\"10.77.0.21:80\", \"10.77.0.22:80\"]\n";
    let site = Site::direct(direct);
    assert_eq!(site.shares(TARGET, 10), shares([("rs1", 5), ("rs2", 5)]));
}

fn nat_over_ipv6_gives_each_real_server_its_share() {
    let gateway = "unadvertised_addresses = [{ address = \"fd78::1/64\", interface = \"eth1\" }]\n";
    let server = "[virtual_server.web6]\naddress = \"[fd77::50]:80\"\nscheduler = \"rr\"\n\
                  real_servers = [\"[fd78::21]:80\", \"[fd78::22]:80\"]\n";
    let mut site = Site::idle(&[]);
    site.pair.configure(&pair(&[WEB_V6, gateway, server]));
    site.pair.elect("fd77::50");
    assert_eq!(site.shares("[fd77::50]:80", 10), shares([("rs1", 5), ("rs2", 5)]));
}

fn a_client_stays_with_its_real_server_where_that_is_wanted() {
    let site = Site::elected(&[BOTH, "persistence = \"60s\"\n"]);
    let seen = site.shares(TARGET, 8);
    assert_eq!(seen.values().collect::<Vec<_>>(), [&8], "{seen:?}");
}

fn an_established_connection_survives_a_reload() {
    let one = BOTH.replace(", \"10.78.0.22:80\"", "");
    let mut site = Site::elected(&[&one]);
    let mut connection = site.connect(TARGET);
    assert_eq!(connection.get("/").unwrap().body, "rs1");

    // Another real server comes, and the first gets no new connections.
    let drained = BOTH.replace("\"10.78.0.21:80\"", "{ address = \"10.78.0.21:80\", weight = 0 }");
    site.pair.configure(&pair(&[WEB, GATEWAY, &drained]));
    let answer = site.pair.daemon("lb1").ask(&["reload"]);
    assert_eq!(answer.code, 0, "{}", answer.complaint);
    site.wait_for_table("lb1", &[SERVICE, &FIRST.replace("-w 1", "-w 0"), SECOND]);

    let change = [("real_server", "10.78.0.21:80"), ("from", "1"), ("to", "0")];
    site.pair.daemon("lb1").wait_for("weight_changed", &change, LIMIT);
    assert_eq!(connection.get("/").unwrap().body, "rs1");
    assert_eq!(site.shares(TARGET, 4), shares([("rs2", 4)]));
    assert_eq!(site.pair.daemon("lb1").transitions(), ["became_backup", "became_active"]);
}

fn no_request_is_lost_over_many_reloads() {
    let mut site = Site::elected(&[BOTH]);
    let heavier = BOTH.replace("\"10.78.0.22:80\"", "{ address = \"10.78.0.22:80\", weight = 5 }");
    // A real server that is removed takes the requests under way with it, and a new scheduler those of a moment: both
    // are the kernel's way. Everything else can be changed under load.
    let drained = heavier.replace("weight = 5", "weight = 0");
    let other = "[virtual_server.other]\naddress = \"10.77.0.50:81\"\nreal_servers = [\"10.78.0.22:80\"]\n";
    let two = format!("{BOTH}{other}");
    let client = site.fetch(TARGET);
    for config in [&heavier, &two, &drained, BOTH].into_iter().cycle().take(12) {
        site.pair.configure(&pair(&[WEB, GATEWAY, config]));
        let answer = site.pair.daemon("lb1").ask(&["reload"]);
        assert_eq!(answer.code, 0, "{}", answer.complaint);
    }
    site.wait_for_table("lb1", &[SERVICE, FIRST, SECOND]);
    let seen = client.stop().unwrap();
    assert_eq!(seen.lost(), 0, "{seen}");
}
