//! The kernel's table, as `ipvsadm` reads it.

use std::fmt::Write as _;
use std::time::Instant;

use libtest_mimic::Trial;
use netns_tests::{LIMIT, VIRTUAL, WEB, WEB_V6, pair};

use crate::site::{BOTH, CHECK, FIRST, GATEWAY, SECOND, SERVICE, Site};
use crate::turn::trials;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        the_table_is_exactly_what_the_file_says,
        every_scheduler_of_the_kernel_can_be_used,
        a_reload_changes_the_table_to_the_new_file,
        a_service_that_is_somebody_else_s_is_never_touched,
        a_table_that_somebody_clears_is_put_back,
        a_real_server_that_somebody_removes_or_changes_is_put_right,
        a_table_may_be_wanted_on_every_node,
        what_a_killed_daemon_left_in_the_table_is_removed;
        alone: a_killed_daemon_s_table_stands_and_serves_while_the_next_one_takes_it_up,
    ]
}

fn the_table_is_exactly_what_the_file_says() {
    let servers = r#"
[virtual_server.nat]
address = "10.77.0.50:80"
real_servers = ["10.78.0.21:80", { address = "10.78.0.22:8080", weight = 2 }, { address = "10.78.0.23:80", weight = 0 }]

[virtual_server.dns]
address = "10.77.0.50:53"
protocol = "udp"
scheduler = "wrr"
one_packet = true
forward = "direct"
real_servers = [{ address = "10.78.0.21:53", weight = 65535 }]

[virtual_server.signalling]
address = "10.77.0.50:2905"
protocol = "sctp"
scheduler = "rr"
forward = "tunnel"
persistence = "300s"
real_servers = ["10.78.0.21:2905"]

[virtual_server.v6]
address = "[fd77::50]:443"
scheduler = "sh"
scheduler_flags = ["fallback", "port"]
forward = "direct"
persistence = "60s"
persistence_prefix = 64
real_servers = [{ address = "[fd78::21]:443", weight = 5 }]

[virtual_server.mark]
fwmark = 7
follow = "web"
scheduler = "lc"
real_servers = ["10.78.0.21:80"]

[virtual_server.mark6]
fwmark = 8
follow = "web6"
scheduler = "mh"
real_servers = ["[fd78::21]:80"]

[virtual_server.several]
addresses = ["10.77.0.50:8081", "10.77.0.50:8082"]
scheduler = "sed"
real_servers = ["10.78.0.21:80"]

[virtual_server.mixed]
address = "10.77.0.50:8083"
scheduler = "nq"
real_servers = ["10.78.0.21:80", { address = "10.78.0.22:8083", forward = "direct" }]
"#;
    let mut site = Site::elected(&[WEB_V6, servers]);
    let table = [
        "-A -t 10.77.0.50:80 -s wlc",
        "-a -t 10.77.0.50:80 -r 10.78.0.21:80 -m -w 1",
        "-a -t 10.77.0.50:80 -r 10.78.0.22:8080 -m -w 2",
        "-a -t 10.77.0.50:80 -r 10.78.0.23:80 -m -w 0",
        "-A -u 10.77.0.50:53 -s wrr -o",
        "-a -u 10.77.0.50:53 -r 10.78.0.21:53 -g -w 65535",
        "-A --sctp-service 10.77.0.50:2905 -s rr -p 300",
        "-a --sctp-service 10.77.0.50:2905 -r 10.78.0.21:2905 -i -w 1 --tun-type ipip",
        "-A -t [fd77::50]:443 -s sh -p 60 -M 64 -b sh-fallback,sh-port",
        "-a -t [fd77::50]:443 -r [fd78::21]:443 -g -w 5",
        "-A -f 7 -s lc",
        "-a -f 7 -r 10.78.0.21:80 -m -w 1",
        "-A -f 8 -6 -s mh",
        "-a -f 8 -6 -r [fd78::21]:80 -m -w 1",
        "-A -t 10.77.0.50:8081 -s sed",
        "-a -t 10.77.0.50:8081 -r 10.78.0.21:80 -m -w 1",
        "-A -t 10.77.0.50:8082 -s sed",
        "-a -t 10.77.0.50:8082 -r 10.78.0.21:80 -m -w 1",
        "-A -t 10.77.0.50:8083 -s nq",
        "-a -t 10.77.0.50:8083 -r 10.78.0.21:80 -m -w 1",
        "-a -t 10.77.0.50:8083 -r 10.78.0.22:8083 -g -w 1",
    ];
    site.wait_for_table("lb1", &table);

    // The table goes where the addresses go, and nothing of it stays behind.
    site.pair.daemon("lb1").stop(LIMIT);
    site.wait_for_table("lb2", &table);
    site.wait_for_table("lb1", &[]);
}

fn every_scheduler_of_the_kernel_can_be_used() {
    // Whatever this kernel has: each is a module of its own.
    let all = ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "fo", "ovf", "twos"];
    let mut site = Site::idle(&[]);
    let probe = |scheduler: &&str| {
        let add = ["ipvsadm", "-A", "-t", "192.0.2.1:80", "-s", scheduler];
        site.pair.machine("client").run(&add).is_ok()
            && site.pair.machine("client").run(&["ipvsadm", "-C"]).is_ok()
    };
    let schedulers: Vec<_> = all.into_iter().filter(probe).collect();
    assert!(schedulers.len() >= 10, "this kernel has {schedulers:?} only");

    let mut servers = String::new();
    let mut table = Vec::new();
    for (scheduler, port) in schedulers.iter().zip(8000..) {
        write!(
            servers,
            "[virtual_server.{scheduler}]\naddress = \"10.77.0.50:{port}\"\nscheduler = \"{scheduler}\"\n\
             real_servers = [\"10.78.0.21:80\"]\n"
        )
        .unwrap();
        table.push(format!("-A -t 10.77.0.50:{port} -s {scheduler}"));
        table.push(format!("-a -t 10.77.0.50:{port} -r 10.78.0.21:80 -m -w 1"));
    }
    site.pair.configure(&pair(&[WEB, GATEWAY, &servers]));
    site.pair.start("lb1");
    site.wait_for_table("lb1", &table.iter().map(String::as_str).collect::<Vec<_>>());
}

fn a_reload_changes_the_table_to_the_new_file() {
    let mut site = Site::elected(&[BOTH]);
    site.wait_for_table("lb1", &[SERVICE, FIRST, SECOND]);
    let heavier = BOTH.replace("\"10.78.0.22:80\"", "{ address = \"10.78.0.22:80\", weight = 5 }");
    let other = "[virtual_server.other]\naddress = \"10.77.0.50:81\"\nreal_servers = [\"10.78.0.22:80\"]\n";
    site.pair.configure(&pair(&[WEB, GATEWAY, &heavier, other]));
    site.pair.daemon("lb1").hang_up(LIMIT);
    let new = ["-A -t 10.77.0.50:81 -s wlc", "-a -t 10.77.0.50:81 -r 10.78.0.22:80 -m -w 1"];
    site.wait_for_table("lb1", &[SERVICE, FIRST, &SECOND.replace("-w 1", "-w 5"), new[0], new[1]]);

    site.pair.configure(&pair(&[WEB, GATEWAY, &BOTH.replace("\"rr\"", "\"wlc\"")]));
    site.pair.daemon("lb1").hang_up(LIMIT);
    site.wait_for_table("lb1", &["-A -t 10.77.0.50:80 -s wlc", FIRST, SECOND]);

    site.pair.configure(&pair(&[WEB, GATEWAY]));
    site.pair.daemon("lb1").hang_up(LIMIT);
    site.wait_for_table("lb1", &[]);
    assert_eq!(site.pair.holders(VIRTUAL), ["lb1"]);
}

fn a_service_that_is_somebody_else_s_is_never_touched() {
    let mut site = Site::idle(&[BOTH]);
    let foreign = ["-A -t 192.0.2.1:80 -s wlc", "-a -t 192.0.2.1:80 -r 192.0.2.2:80 -g -w 3"];
    for line in foreign {
        let words: Vec<_> = std::iter::once("ipvsadm").chain(line.split(' ')).collect();
        site.pair.machine("lb1").run(&words).unwrap();
    }
    site.pair.elect(VIRTUAL);
    site.wait_for_table("lb1", &[foreign[0], foreign[1], SERVICE, FIRST, SECOND]);
    assert_eq!(site.pair.daemon("lb1").ask(&["reload"]).code, 0);
    site.pair.daemon("lb1").process().kill().unwrap();
    site.pair.start("lb1");
    site.wait_for_table("lb1", &[foreign[0], foreign[1], SERVICE, FIRST, SECOND]);
    site.pair.daemon("lb1").stop(LIMIT);
    site.wait_for_table("lb1", &foreign);
    let answer = site.pair.place("lb1").ask_in(site.pair.machine("lb1"), &["clean"]);
    assert_eq!(answer.code, 0, "{}", answer.complaint);
    site.wait_for_table("lb1", &foreign);
}

fn a_table_that_somebody_clears_is_put_back() {
    let mut site = Site::elected(&[BOTH]);
    site.wait_for_table("lb1", &[SERVICE, FIRST, SECOND]);
    site.pair.look_from_now();
    site.pair.machine("lb1").run(&["ipvsadm", "-C"]).unwrap();
    site.wait_for_table("lb1", &[SERVICE, FIRST, SECOND]);
    site.pair.daemon("lb1").wait_for("repaired", &[], LIMIT);
    assert_eq!(site.pair.daemon("lb1").transitions(), [""; 0]);
}

fn a_real_server_that_somebody_removes_or_changes_is_put_right() {
    let mut site = Site::elected(&[BOTH]);
    site.wait_for_table("lb1", &[SERVICE, FIRST, SECOND]);
    site.pair.look_from_now();
    let lb1 = site.pair.machine("lb1");
    lb1.run(&["ipvsadm", "-d", "-t", "10.77.0.50:80", "-r", "10.78.0.21:80"]).unwrap();
    lb1.run(&["ipvsadm", "-e", "-t", "10.77.0.50:80", "-r", "10.78.0.22:80", "-m", "-w", "9"]).unwrap();
    lb1.run(&["ipvsadm", "-a", "-t", "10.77.0.50:80", "-r", "10.78.0.77:80", "-m"]).unwrap();
    site.wait_for_table("lb1", &[SERVICE, FIRST, SECOND]);
    site.pair.daemon("lb1").wait_for("repaired", &[], LIMIT);
}

fn a_table_may_be_wanted_on_every_node() {
    let mut site = Site::elected(&[BOTH, "follow = \"always\"\n"]);
    for node in ["lb1", "lb2"] {
        site.wait_for_table(node, &[SERVICE, FIRST, SECOND]);
    }
    assert_eq!(site.pair.holders(VIRTUAL), ["lb1"]);
    site.pair.daemon("lb2").stop(LIMIT);
    site.wait_for_table("lb2", &[]);
}

/// The kernel counts the connections of a service for as long as it stands: one that is made anew begins at nothing.
fn a_killed_daemon_s_table_stands_and_serves_while_the_next_one_takes_it_up() {
    let mut site = Site::unhurried(&[BOTH, CHECK]);
    site.pair.elect(VIRTUAL);
    site.wait_for_table("lb1", &[SERVICE, FIRST, SECOND]);
    let client = site.fetch("10.77.0.50:80");
    let death = Instant::now();
    let counted = more_connections(&site, "lb1", 0);
    site.pair.look_from_now();
    site.pair.daemon("lb1").signal_engine(lab::Signal::KILL);
    site.pair.daemon("lb1").wait_for("role_adopted", &[], LIMIT);
    site.pair.daemon("lb1").wait_for_socket(LIMIT).unwrap();
    let status = site.pair.daemon("lb1").status();
    let verdicts: Vec<_> =
        status.virtual_servers["web"].real_servers.values().map(|server| server.state.as_str()).collect();
    assert_eq!(verdicts, ["up", "up"]);
    site.pair.wait_to_hear("lb2", 5);
    site.wait_for_table("lb1", &[SERVICE, FIRST, SECOND]);
    more_connections(&site, "lb1", counted);
    let seen = client.stop().unwrap().since(death);
    assert_eq!(seen.lost(), 0, "{seen}");
}

/// Waits until the kernel has counted more connections than so many, and returns how many; never may it have counted less.
#[track_caller]
fn more_connections(site: &Site, node: &str, before: u64) -> u64 {
    let mut counted = before;
    // The kernel adds up every two seconds.
    let waited = lab::wait_until("More connections", LIMIT, || {
        counted = connections(site, node);
        assert!(counted >= before, "{before} connections, and then {counted}: the service was made anew");
        Ok(counted > before)
    });
    waited.unwrap_or_else(|error| panic!("{error}"));
    counted
}

/// How many connections the kernel has counted since the service was made.
#[track_caller]
fn connections(site: &Site, node: &str) -> u64 {
    let table = site.pair.machine(node).run(&["ipvsadm", "-Ln", "--stats", "--exact"]).unwrap();
    let service = table.lines().find(|line| line.starts_with("TCP")).unwrap_or_else(|| panic!("{table}"));
    service.split_whitespace().nth(2).unwrap().parse().unwrap()
}

fn what_a_killed_daemon_left_in_the_table_is_removed() {
    let mut site = Site::elected(&[BOTH]);
    site.wait_for_table("lb1", &[SERVICE, FIRST, SECOND]);
    site.pair.daemon("lb1").process().kill().unwrap();
    site.wait_for_table("lb2", &[SERVICE, FIRST, SECOND]);
    // It comes back with a file that has no virtual server any more.
    site.pair.configure(&pair(&[WEB, GATEWAY]));
    site.pair.start("lb1");
    site.wait_for_table("lb1", &[]);
}
