use std::fmt::Write as _;

use super::*;
use crate::config_file::ConfigFile;

const NODES: &str = r#"
    [node.lb1]
    addresses = ["10.77.0.11"]
    [node.lb2]
    addresses = ["10.77.0.12"]
"#;
const ROUTER: &str = r#"
    [virtual_router.web]
    interface = "eth0"
    virtual_router_id = 51
    virtual_addresses = ["10.77.0.50/24"]
"#;

fn server(real_server: &str, more: &str) -> String {
    format!("[virtual_server.web]\naddress = \"10.77.0.50:80\"\nreal_servers = [\"{real_server}\"]\n{more}\n")
}

fn derive(text: &str) -> Result<Layout, LayoutError> {
    let file = ConfigFile::parse("test.toml", text).unwrap();
    let nodes = Nodes::new(file.nodes().map(|node| file.resolve(node).unwrap()));
    Layout::derive(&nodes, &Target::choose(nodes.any())?)
}

fn refused(text: &str) -> String {
    derive(text).unwrap_err().to_string()
}

/// Everything that a layout says, a line for each machine.
fn told(layout: &Layout) -> String {
    let mut text = String::new();
    for (plug, addresses) in &layout.nodes {
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        let network = layout.networks.of(plug).unwrap();
        writeln!(text, "{} {} on {network}: {}", plug.node, plug.interface, addresses.join(" ")).unwrap();
    }
    writeln!(text, "client on {}: {}", layout.front, layout.client).unwrap();
    for PlacedServer { network, address, ports, gateway, held } in layout.servers.values() {
        write!(text, "server on {network}: {address} {ports:?}").unwrap();
        if let Some(gateway) = gateway {
            write!(text, " via {gateway}").unwrap();
        }
        let held: Vec<_> = held.iter().map(|held| format!(" holds {held}")).collect();
        writeln!(text, "{}", held.concat()).unwrap();
    }
    layout.remarks.iter().for_each(|remark| writeln!(text, "{remark}").unwrap());
    text
}

fn shipped(name: &str) -> String {
    let path = format!("{}/../../config/{name}", env!("CARGO_MANIFEST_DIR"));
    told(&derive(&std::fs::read_to_string(path).unwrap()).unwrap())
}

#[test]
fn the_shipped_pair_stands_as_it_is_drawn() {
    assert_eq!(
        shipped("pair.toml"),
        "lb1 eth0 on 0: 10.77.0.11/24 fd77::11/64\n\
         lb1 eth1 on 1: 10.78.0.254/24 fd78::fe/64\n\
         lb2 eth0 on 0: 10.77.0.12/24 fd77::12/64\n\
         lb2 eth1 on 1: 10.78.0.253/24 fd78::fd/64\n\
         client on 0: 10.77.0.254/24\n\
         server on 1: 10.78.0.21/24 {80} via 10.78.0.1\n\
         server on 1: 10.78.0.22/24 {80} via 10.78.0.1\n\
         server on 1: 10.78.0.99/24 {80} via 10.78.0.1\n"
    );
}

#[test]
fn real_servers_of_direct_routing_hold_the_virtual_address_themselves() {
    assert_eq!(
        shipped("direct.toml"),
        "lb1 eth0 on 0: 10.77.0.11/24\n\
         lb2 ens5 on 0: 10.77.0.12/24\n\
         client on 0: 10.77.0.254/24\n\
         server on 0: 10.77.0.21/24 {80} holds 10.77.0.50\n\
         server on 0: 10.77.0.22/24 {80} holds 10.77.0.50\n\
         server on 0: 10.77.0.23/24 {80} holds 10.77.0.50\n"
    );
}

#[test]
fn real_servers_that_no_interface_reaches_are_put_beside_the_virtual_address_and_that_is_told() {
    assert_eq!(
        shipped("unicast.toml"),
        "lb1 eth0 on 0: 10.77.0.11/24 10.77.1.254/24\n\
         lb2 eth0 on 0: 10.77.0.12/24 10.77.1.253/24\n\
         client on 0: 10.77.0.254/24\n\
         server on 0: 10.77.1.21/24 {443} via 10.77.0.50\n\
         server on 0: 10.77.1.22/24 {443} via 10.77.0.50\n\
         assumed: the file has no interface in 10.77.1.0/24, so it is on the network of 10.77.0.50\n"
    );
}

#[test]
fn nodes_get_addresses_where_the_file_tells_none_and_others_are_left_out() {
    assert_eq!(
        shipped("routers-only.toml"),
        "gw1 eth0 on 0: 192.168.10.254/24 fd10::fe/64\n\
         gw1 eth1 on 1: 192.168.20.254/24\n\
         gw2 eth0 on 0: 192.168.10.253/24 fd10::fd/64\n\
         gw2 eth1 on 1: 192.168.20.253/24\n\
         client on 0: 192.168.10.252/24\n\
         left out, because no Baton runs there: gw3\n"
    );
}

#[test]
fn an_ipv6_file_is_laid_out_with_ipv6_alone() {
    let text = r#"
        [node.lb1]
        [node.lb2]
        [virtual_router.web]
        interface = "eth0"
        virtual_router_id = 51
        virtual_addresses = ["fd77::50/64"]
        unadvertised_addresses = [{ address = "fd78::1/64", interface = "eth1" }]
        [virtual_server.web]
        address = "[fd77::50]:80"
        real_servers = ["[fd78::21]:8080"]
    "#;
    assert_eq!(
        told(&derive(text).unwrap()),
        "lb1 eth0 on 0: fd77::fe/64\n\
         lb1 eth1 on 1: fd78::fe/64\n\
         lb2 eth0 on 0: fd77::fd/64\n\
         lb2 eth1 on 1: fd78::fd/64\n\
         client on 0: fd77::fc/64\n\
         server on 1: fd78::21/64 {8080} via fd78::1\n"
    );
}

#[test]
fn answers_on_the_client_s_own_network_go_back_through_the_translation() {
    let layout = derive(&format!("{NODES}{ROUTER}{}", server("10.77.0.21:80", ""))).unwrap();
    let placed = layout.servers.values().next().unwrap();
    assert_eq!(
        placed.commands(layout.client),
        [
            "ip route add default via 10.77.0.50 dev eth0 onlink",
            "ip route add 10.77.0.254 via 10.77.0.50 dev eth0 onlink",
        ]
    );
    assert!(placed.parameters().contains(&("net/ipv4/conf/eth0/accept_redirects", "0")));
}

#[test]
fn a_node_without_an_interface_towards_the_real_servers_gets_one_and_that_is_told() {
    let router = r#"
        unadvertised_addresses = [{ address = "10.78.0.1/24", interface = "eth1" }]
        [virtual_router.web.node.lb2]
        unadvertised_addresses = []
    "#;
    let layout = derive(&format!("{NODES}{ROUTER}{router}{}", server("10.78.0.21:80", ""))).unwrap();
    assert_eq!(layout.remarks, ["assumed: lb2 has an interface eth1 towards the real servers"]);
    assert!(told(&layout).contains("lb2 eth1 on 1: 10.78.0.253/24"));
}

#[test]
fn what_cannot_be_laid_out_is_told_with_the_reason() {
    let pair = format!("{NODES}{ROUTER}");
    for (text, part) in [
        (format!("[node.lb1]\n{ROUTER}"), "at least two nodes"),
        (pair.replace("[node.lb2]", "priority = 255\n[node.lb2]"), "Node lb1 has priority 255"),
        (pair.clone() + &server("10.78.0.21:80", "forward = \"tunnel\""), "by tunnel"),
        (pair.clone() + &server("10.77.0.12:80", ""), "has an address of a node"),
        (pair.replace("/24", "/30").replace("10.77.0.50", "10.77.0.10"), "no free address"),
    ] {
        let refused = refused(&text);
        assert!(refused.contains(part), "{refused}");
    }
}

#[test]
fn direct_routing_to_another_network_is_refused_because_answers_have_no_way() {
    let router = "unadvertised_addresses = [{ address = \"10.78.0.1/24\", interface = \"eth1\" }]\n";
    let server = server("10.78.0.21:80", "forward = \"direct\"");
    let refused = refused(&format!("{NODES}{ROUTER}{router}{server}"));
    assert!(refused.contains("on another network than the clients"), "{refused}");
}
