//! Keepalived's side of a comparison.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::duty::{Balancer, Dialect, Duty, INSIDE, Node, PASSWORD, Routers, Track, WEIGHT};
use super::error::BenchError;

const WRITES: &str = "a string takes what is written to it";

/// What it is configured with to do a duty.
pub(crate) fn configuration(duty: Duty, node: Node) -> String {
    match duty {
        Duty::Routers(routers) => routers_of(routers, node),
        Duty::Balancer(balancer) => balancer_of(balancer),
    }
}

/// The command that does a duty: only the part of Keepalived that the duty needs, in the foreground.
pub(crate) fn command(program: &Path, duty: Duty, configuration: &Path) -> Command {
    let part = match duty {
        Duty::Routers(_) => "--vrrp",
        Duty::Balancer(_) => "--check",
    };
    let mut command = Command::new(program);
    command.args([part, "--dont-fork", "--log-console", "--no-syslog", "--use-file"]).arg(configuration);
    for (option, name) in [("--pid", "parent"), ("--vrrp_pid", "vrrp"), ("--checkers_pid", "checkers")] {
        command.arg(option).arg(configuration.with_extension(name));
    }
    command
}

/// How it calls itself, such as `Keepalived v2.2.7 (01/16,2022)`.
pub(crate) fn version(program: &Path) -> Result<String, BenchError> {
    let output = Command::new(program)
        .arg("--version")
        .output()
        .map_err(BenchError::system(format!("start {}", program.display())))?;
    // It says so on its standard error.
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().find(|line| line.contains("Keepalived")).map(str::to_owned).ok_or_else(|| {
        BenchError::Unexpected(format!("{} --version does not name Keepalived", program.display()))
    })
}

fn routers_of(routers: Routers, node: Node) -> String {
    let version = match routers.dialect {
        Dialect::Version3 | Dialect::Version3Unicast => 3,
        Dialect::Version2 => 2,
    };
    let mut text = format!("global_defs {{\n    vrrp_version {version}\n}}\n");
    let Node { priority, .. } = node;
    let dialect = match routers.dialect {
        Dialect::Version3 => String::new(),
        Dialect::Version3Unicast => unicast(routers.nodes, node),
        Dialect::Version2 => {
            format!("    authentication {{\n        auth_type PASS\n        auth_pass {PASSWORD}\n    }}\n")
        }
    };
    let seconds = routers.interval.as_secs_f64();
    let track = match routers.track {
        Track::Nothing => String::new(),
        Track::Inside => format!("    track_interface {{\n        {INSIDE}\n    }}\n"),
    };
    for (number, address) in routers.addresses() {
        write!(
            text,
            "vrrp_instance r{number} {{\n    \
                 state BACKUP\n    interface eth0\n    virtual_router_id {number}\n    \
                 priority {priority}\n    advert_int {seconds}\n    virtual_ipaddress {{\n        \
                     {address}/32\n    }}\n{dialect}{track}}}\n"
        )
        .expect(WRITES);
    }
    text
}

fn unicast(nodes: &[Node], own: Node) -> String {
    let peers = nodes.iter().filter(|node| node.name != own.name);
    let peers: Vec<_> = peers.map(|node| node.address.to_string()).collect();
    format!("    unicast_src_ip {}\n    unicast_peer {{\n        {}\n    }}\n", own.address, peers.join("\n"))
}

fn balancer_of(balancer: Balancer) -> String {
    let mut text = String::new();
    for (service, address) in Balancer::services() {
        writeln!(
            text,
            "virtual_server {} {} {{\n    lvs_sched wlc\n    lvs_method NAT\n    protocol TCP",
            address.ip(),
            address.port()
        )
        .expect(WRITES);
        for (address, weight) in balancer.real_servers(service) {
            let (ip, port) = (address.ip(), address.port());
            // What is the default is left out here as in Baton's.
            let weight = if weight == WEIGHT { String::new() } else { format!("        weight {weight}\n") };
            writeln!(text, "    real_server {ip} {port} {{\n{weight}    }}").expect(WRITES);
        }
        text.push_str("}\n");
    }
    text
}
