//! How long a large file takes.

use std::fmt::Write as _;
use std::time::Instant;

use super::*;

fn large() -> String {
    let mut text = String::from("[node.lb1]\n[node.lb2]\n");
    for service in 0..100 {
        write!(
            text,
            "[virtual_router.r{service}]\ninterface = \"eth0\"\nvirtual_router_id = {id}\nvirtual_addresses = [\"10.77.0.{id}/24\"]\n\
             [virtual_server.s{service}]\naddress = \"10.77.0.{id}:80\"\nreal_servers = [\n",
            id = service + 1
        )
        .unwrap();
        for server in 0..100 {
            writeln!(text, "    {{ address = \"10.{service}.0.{server}:80\", weight = 2 }},").unwrap();
        }
        write!(text, "]\n[virtual_server.s{service}.check]\ntype = \"http\"\npath = \"/healthz\"\n").unwrap();
    }
    text
}

#[test]
fn ten_thousand_real_servers_are_read_and_the_time_is_told() {
    let text = large();
    let started = Instant::now();
    let file = parse(&text);
    let read = started.elapsed();
    let config = resolve(&file, "lb1");
    let resolved = started.elapsed();
    let servers: usize = config.virtual_servers.values().map(|server| server.real_servers.len()).sum();
    assert_eq!(servers, 10_000);
    println!("{} KiB: read in {read:?}, with resolve {resolved:?}", text.len() / 1024);
}
