//! Baton's side of a comparison.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::duty::{Balancer, Dialect, Duty, FIRST, INSIDE, Node, PASSWORD, Routers, Track, WEIGHT};

const WRITES: &str = "a string takes what is written to it";

/// What it is configured with to do a duty: one file for all nodes.
pub(crate) fn configuration(duty: Duty) -> String {
    let mut text = String::new();
    let nodes = match duty {
        Duty::Routers(routers) => routers.nodes,
        Duty::Balancer(_) => &[FIRST],
    };
    for Node { name, priority, address } in nodes {
        writeln!(text, "[node.{name}]\npriority = {priority}\naddresses = [\"{address}\"]").expect(WRITES);
    }
    match duty {
        Duty::Routers(routers) => add_routers(&mut text, routers),
        Duty::Balancer(balancer) => add_balancer(&mut text, balancer),
    }
    text
}

/// The command that does a duty, in the foreground.
pub(crate) fn command(program: &Path, node: Node, configuration: &Path) -> Command {
    with_arguments(program, &["run"], node, configuration)
}

/// The command that makes a node pass its first virtual router on.
pub(crate) fn pass(program: &Path, node: Node, configuration: &Path) -> Command {
    with_arguments(program, &["pass", "r1"], node, configuration)
}

fn with_arguments(program: &Path, words: &[&str], node: Node, configuration: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(words).arg("--config").arg(configuration).args(["--node", node.name]);
    // What it owns in the kernel is recorded beside the socket, so each has a folder of its own.
    command.arg("--socket").arg(configuration.with_extension("run").join("baton.sock"));
    command
}

/// In version 3 with the checksum that Keepalived uses, so that either may be the other's peer.
fn add_routers(text: &mut String, routers: Routers) {
    let interval = routers.interval.as_millis();
    let dialect = match routers.dialect {
        Dialect::Version3 => "checksum = \"pseudo-header\"".to_owned(),
        Dialect::Version3Unicast => "checksum = \"pseudo-header\"\ntransport = \"unicast\"".to_owned(),
        Dialect::Version2 => format!("version = 2\nauthentication.simple_text = \"{PASSWORD}\""),
    };
    for (number, address) in routers.addresses() {
        writeln!(
            text,
            "[virtual_router.r{number}]\ninterface = \"eth0\"\nvirtual_router_id = {number}\n\
             advert_interval = \"{interval}ms\"\n{dialect}\nvirtual_addresses = [\"{address}/32\"]"
        )
        .expect(WRITES);
        match routers.track {
            Track::Nothing => {}
            Track::Inside => writeln!(text, "track = [\"inside\"]").expect(WRITES),
        }
    }
    match routers.track {
        Track::Nothing => {}
        Track::Inside => writeln!(text, "[track.inside]\ninterface = \"{INSIDE}\"").expect(WRITES),
    }
}

/// Programs the table at once and whoever is Active, as Keepalived always does.
fn add_balancer(text: &mut String, balancer: Balancer) {
    for (service, address) in Balancer::services() {
        writeln!(
            text,
            "[virtual_server.s{service}]\naddress = \"{address}\"\nscheduler = \"wlc\"\nforward = \"nat\"\n\
             follow = \"always\"\nreal_servers = ["
        )
        .expect(WRITES);
        for (address, weight) in balancer.real_servers(service) {
            if weight == WEIGHT {
                writeln!(text, "    \"{address}\",")
            } else {
                writeln!(text, "    {{ address = \"{address}\", weight = {weight} }},")
            }
            .expect(WRITES);
        }
        text.push_str("]\n");
    }
}
