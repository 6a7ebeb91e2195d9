use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use node::config::{AcceptMode, EngineConfig, Follow, RealtimePriority, Transport};
use virtual_server::service::{Forwarding, MarkFamily, ServiceFlag, ServiceKey};
use vrrp::{Centiseconds, Priority};

use super::*;

mod authentication;
mod golden;
mod mutation;
mod speed;

fn parse(text: &str) -> ConfigFile {
    ConfigFile::parse("test.toml", text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn resolve(file: &ConfigFile, node: &str) -> Config {
    file.resolve(&NodeName::new(node).unwrap()).unwrap_or_else(|errors| panic!("{errors}"))
}

fn lb1(text: &str) -> Config {
    resolve(&parse(text), "lb1")
}

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    paths
}

fn example(name: &str) -> String {
    let path = examples().into_iter().find(|path| path.ends_with(name)).expect("the example exists");
    fs::read_to_string(path).unwrap()
}

#[test]
fn every_example_is_valid_for_each_of_its_nodes() {
    let examples = examples();
    assert!(examples.len() >= 5, "{examples:?}");
    for path in examples {
        let file = ConfigFile::read(&path).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(file.nodes().count() >= 2, "{}", path.display());
        for node in file.nodes() {
            assert_eq!(file.resolve(node).unwrap().node, *node);
        }
    }
}

#[test]
fn the_reference_equals_the_defaults() {
    let minimal = r#"
        [node.lb1]
        [node.lb2]

        [virtual_router.web]
        interface = "eth0"
        virtual_router_id = 51
        virtual_addresses = ["10.77.0.50/24", "10.77.0.51/24"]
        sync_group = "edge"
        track = ["uplink", "health", "named", "manual"]

        [track.uplink]
        interface = "eth1"
        [track.health]
        script = ["/usr/local/bin/check-uplink", "--fast"]
        user = "nobody"
        [track.named]
        process = "named"
        [track.manual]
        file = "/etc/baton/manual"

        [hook.move-address]
        virtual_routers = ["web"]
        command = ["/usr/local/sbin/move-address"]

        [virtual_server.web]
        address = "10.77.0.50:80"
        real_servers = ["10.78.0.21:80", "10.78.0.22:80"]

        [virtual_server.web.check]
        type = "http"
    "#;
    let (reference, minimal) = (parse(&example("reference.toml")), parse(minimal));
    for node in minimal.nodes() {
        assert_eq!(reference.resolve(node).unwrap(), minimal.resolve(node).unwrap());
    }
}

#[test]
fn every_key_stands_in_the_reference() {
    let reference = example("reference.toml");
    let sections = [
        ("[engine]", engine_section::KEYS),
        ("[engine.node.lb2]", engine_section::NODE_KEYS),
        ("[hook.", hook_section::KEYS),
        ("[node.", node_section::KEYS),
        ("[virtual_router.web]", router_section::KEYS),
        ("[virtual_router.web.announcements]", router_section::ANNOUNCEMENT_KEYS),
        ("[virtual_router.web.authentication]", authentication_section::KEYS),
        ("[virtual_router.web.node.lb2]", router_section::NODE_KEYS),
        ("[virtual_router.web]", virtual_address::KEYS),
        ("[virtual_router.web]", routing_section::ROUTE_KEYS),
        ("[virtual_router.web]", routing_section::RULE_KEYS),
        ("[virtual_server.web]", server_section::KEYS),
        ("[virtual_server.web]", server_section::REAL_SERVER_KEYS),
        ("[virtual_server.web]", server_section::SORRY_SERVER_KEYS),
        ("[virtual_server.web.check]", check_section::KEYS),
        ("[sync_group.edge]", group_section::KEYS),
        ("[track.uplink]", track_section::KEYS),
        ("[track.uplink.node.lb2]", track_section::NODE_KEYS),
        ("", document::KEYS),
    ];
    for (header, keys) in sections {
        let start = reference.find(header).expect("the section stands in the reference");
        let name = header.trim_end_matches(']');
        for key in keys {
            let stands = reference[start..].lines().any(|line| {
                let line = line.trim_start_matches(['#', ' ']);
                line.starts_with(&format!("{key} ="))
                    || line.contains(&format!("{{ {key} ="))
                    || line.contains(&format!(", {key} ="))
                    || line.starts_with(&format!("{name}.{key}"))
                    || line.starts_with(&format!("[{key}."))
            });
            assert!(stands, "{header} has no {key} in config/reference.toml");
        }
    }
}

const TWO_NODES: &str = r#"
[node.lb1]
addresses = ["10.77.0.11", "fd77::11"]
priority = 150
[node.lb2]
addresses = ["10.77.0.12", "fd77::12"]
"#;

#[test]
fn the_engine_may_be_another_on_a_node() {
    let file = parse(&format!(
        "{TWO_NODES}[engine]\nrealtime_priority = 50\nprocessors = [3]\n\
         [engine.node.lb2]\nrealtime_priority = 0\nprocessors = []\n{}",
        router("virtual_addresses = [\"10.77.0.50/24\"]").strip_prefix(TWO_NODES).unwrap()
    ));
    let engine = |node| resolve(&file, node).engine;
    let usual = EngineConfig::default();
    let priority = RealtimePriority::new(50);
    assert_eq!(
        engine("lb1"),
        EngineConfig { realtime_priority: priority, processors: [3].into(), ..usual.clone() }
    );
    assert_eq!(engine("lb2"), EngineConfig { realtime_priority: None, ..usual });
}

#[test]
fn a_lease_lasts_longer_than_a_backup_waits_unless_it_is_written_down() {
    let lease = |interval: &str, engine: &str| {
        let router =
            router(&format!("advert_interval = \"{interval}\"\nvirtual_addresses = [\"10.77.0.50/24\"]"));
        resolve(&parse(&format!("{router}{engine}")), "lb1").engine.address_lease
    };
    assert_eq!(lease("1s", ""), Duration::from_secs(10));
    // 3 × 5 s, 4.98 s of skew time and 2 s, in whole seconds.
    assert_eq!(lease("5s", ""), Duration::from_secs(22));
    assert_eq!(lease("1s", "[engine]\naddress_lease = \"6s\""), Duration::from_secs(6));
}

fn router(keys: &str) -> String {
    format!("{TWO_NODES}\n[virtual_router.web]\ninterface = \"eth0\"\nvirtual_router_id = 51\n{keys}\n")
}

#[test]
fn the_pair_is_read_as_it_is_meant() {
    let file = parse(&example("pair.toml"));
    let lb1 = resolve(&file, "lb1");
    let lb2 = resolve(&file, "lb2");
    let (first, second) = (&lb1.virtual_routers["web"], &lb2.virtual_routers["web"]);
    assert_eq!((first.priority.get(), second.priority.get()), (150, 100));
    assert_eq!(first.interval, Centiseconds::DEFAULT);
    assert_eq!(format!("{:?}", first.addresses), "[10.77.0.50/24 on eth0]");
    assert_eq!(format!("{:?}", first.unadvertised), "[10.78.0.1/24 on eth1]");
    assert_eq!(lb1.peers.keys().map(NodeName::as_str).collect::<Vec<_>>(), ["lb2"]);
    assert_eq!(format!("{:?}", lb1.sync_groups), r#"{"edge": {"web", "web6"}}"#);
    let server = &lb1.virtual_servers["web"];
    assert_eq!(server.services[0].1, Follow::Routers([RouterName::new("web").unwrap()].into()));
    assert_eq!(server.real_servers.len(), 2);
    assert_eq!(server.sorry_server.unwrap().0, "10.78.0.99:80".parse().unwrap());
    assert_eq!(server.check.as_ref().unwrap().interval, Duration::from_millis(500));
    assert_eq!(lb1.virtual_servers, lb2.virtual_servers);
}

#[test]
fn what_differs_on_a_node_replaces_what_all_have() {
    let file = parse(&router(
        r#"
        priority = 120
        virtual_addresses = ["10.77.0.50/24"]
        unadvertised_addresses = [{ address = "10.78.0.1/24", interface = "eth1" }]
        [virtual_router.web.node.lb2]
        interface = "ens5"
        priority = 90
        preempt = false
        unadvertised_addresses = [{ address = "10.78.0.1/24", interface = "ens6" }]
        "#,
    ));
    let (lb1, lb2) = (resolve(&file, "lb1"), resolve(&file, "lb2"));
    let (first, second) = (&lb1.virtual_routers["web"], &lb2.virtual_routers["web"]);
    assert_eq!((first.priority.get(), second.priority.get()), (120, 90));
    assert_eq!(format!("{:?}", first.addresses), "[10.77.0.50/24 on eth0]");
    assert_eq!(format!("{:?}", second.addresses), "[10.77.0.50/24 on ens5]");
    assert_eq!(format!("{:?}", second.unadvertised), "[10.78.0.1/24 on ens6]");
    assert_ne!(first.preemption, second.preemption);
}

#[test]
fn a_node_may_wait_for_another_time_than_the_others() {
    let file = parse(&router(
        r#"
        virtual_addresses = ["10.77.0.50/24"]
        preempt_delay = "10s"
        start_delay = "1s"
        [virtual_router.web.node.lb2]
        preempt = false
        hearing_wait = "5s"
        start_delay = "2s"
        "#,
    ));
    let waits = |node| {
        let config = resolve(&file, node);
        let router = &config.virtual_routers["web"];
        let waits = [router.restraint.before_preempting, router.restraint.unheard, router.start_delay];
        waits.map(|wait| wait.as_secs())
    };
    assert_eq!((waits("lb1"), waits("lb2")), ([10, 30, 1], [10, 5, 2]));
    let file = parse(&router(
        "virtual_addresses = [\"10.77.0.50/24\"]\n[virtual_router.web.node.lb2]\npreempt_delay = \"7s\"",
    ));
    let delay = |node| resolve(&file, node).virtual_routers["web"].restraint.before_preempting.as_secs();
    assert_eq!((delay("lb1"), delay("lb2")), (0, 7));
}

#[test]
fn unicast_goes_from_the_own_address_to_those_of_the_other_nodes() {
    let text = router("transport = \"unicast\"\nmin_hop_limit = 254\nvirtual_addresses = [\"fd77::50/64\"]");
    assert_eq!(
        lb1(&text).virtual_routers["web"].transport,
        Transport::Unicast {
            source: "fd77::11".parse().unwrap(),
            peers: ["fd77::12".parse().unwrap()].into(),
            min_hop_limit: 254
        }
    );
}

#[test]
fn an_ipv6_virtual_router_advertises_a_link_local_address_first() {
    let addresses = |list: &str| {
        let config = lb1(&router(&format!("virtual_addresses = {list}")));
        format!("{:?}", config.virtual_routers["web"].addresses)
    };
    assert_eq!(addresses(r#"["fd77::50/64"]"#), "[fe80::200:5eff:fe00:233/64 on eth0, fd77::50/64 on eth0]");
    assert_eq!(
        addresses(r#"["fd77::50", "fd77::51", "fe80::1/64", "fd77::52"]"#),
        "[fe80::1/64 on eth0, fd77::50/128 on eth0, fd77::51/128 on eth0, fd77::52/128 on eth0]"
    );
}

#[test]
fn an_address_that_is_no_machines_in_its_subnet_stands_alone_or_in_a_subnet_of_two() {
    let text = router(
        r#"virtual_addresses = [
            "10.77.0.0/32", "10.77.0.255", "10.78.0.0/31", "10.78.0.1/31", "10.79.0.0/15", "10.79.0.255/16"
        ]"#,
    );
    let router = &lb1(&text).virtual_routers["web"];
    assert_eq!(router.addresses.len(), 6);
}

#[test]
fn an_address_has_the_label_and_the_scope_that_it_is_given() {
    let text = router(
        r#"
        virtual_addresses = ["10.77.0.50/24", { address = "10.77.0.51/24", label = "eth0:web", scope = "link" }]
        unadvertised_addresses = ["fd77::50/64", { address = "10.78.0.1/24", interface = "eth1", label = "eth1" }]
        "#,
    );
    let router = &lb1(&text).virtual_routers["web"];
    assert_eq!(
        format!("{:?}", router.addresses),
        "[10.77.0.50/24 on eth0, 10.77.0.51/24 on eth0 label eth0:web scope link]"
    );
    // An interface's own name is what an address is called anyway.
    assert_eq!(format!("{:?}", router.unadvertised), "[fd77::50/64 on eth0, 10.78.0.1/24 on eth1]");
}

#[test]
fn routes_and_rules_are_read_as_they_are_meant() {
    let file = parse(&router(
        r#"
        virtual_addresses = ["10.77.0.50/24"]
        virtual_routes = [
            { destination = "default", via = "10.77.0.1" },
            { destination = "default", via = "fd77::1", interface = "eth0", source = "fd77::50", table = 100 },
            { destination = "10.79.0.0/16", interface = "eth1", metric = 10, scope = "global" },
            { destination = "10.80.0.0/16", type = "blackhole" },
        ]
        virtual_rules = [
            { priority = 1000, from = "10.77.0.50", table = 100 },
            { priority = 1001, to = "fd79::/48", iif = "eth1", mark = 0x7, mark_mask = 0xf, action = "prohibit" },
            { priority = 1002, oif = "eth0", table = "main" },
        ]
        [virtual_router.web.node.lb2]
        virtual_routes = []
        virtual_rules = [{ priority = 5, table = "local", family = "ipv6" }]
        "#,
    ));
    let router = &resolve(&file, "lb1").virtual_routers["web"];
    assert_eq!(
        router.routes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "0.0.0.0/0 via 10.77.0.1",
            "::/0 via fd77::1 on eth0 source fd77::50 table 100",
            "10.79.0.0/16 on eth1 metric 10 scope global",
            "blackhole 10.80.0.0/16",
        ]
    );
    assert_eq!(
        router.rules.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "1000: from 10.77.0.50/32 table 100",
            "1001: from all IPv6 to fd79::/48 iif eth1 mark 0x7/0xf prohibit",
            "1002: from all IPv4 oif eth0 table 254",
        ]
    );
    let router = &resolve(&file, "lb2").virtual_routers["web"];
    assert_eq!(
        (router.routes.len(), format!("{:?}", router.rules)),
        (0, "[5: from all IPv6 table 255]".to_owned())
    );
}

#[test]
fn an_advertisement_has_room_for_255_ipv4_and_89_ipv6_addresses_beside_the_link_local_one() {
    let v4 =
        |count: u32| (1..=count).map(|host| format!("\"10.78.{}.{}\"", host / 256, host % 256)).collect();
    let v6 = |count: u32| (1..=count).map(|host| format!("\"fd78::{host:x}\"")).collect();
    let read = |addresses: Vec<String>| {
        ConfigFile::parse("test.toml", &router(&format!("virtual_addresses = [{}]", addresses.join(", "))))
    };
    for (fitting, too_many) in [(v4(255), v4(256)), (v6(89), v6(90))] {
        assert!(read(fitting).is_ok());
        let errors = read(too_many).unwrap_err();
        assert_eq!(errors.count(), 1);
        assert!(errors.to_string().contains("more addresses than an advertisement carries"), "{errors}");
    }
}

#[test]
fn more_of_anything_than_a_file_may_have_is_refused() {
    let nodes: String = (0..65).fold(String::new(), |text, node| text + &format!("[node.n{node}]\n"));
    let errors = ConfigFile::parse("test.toml", &nodes).unwrap_err();
    assert!(errors.to_string().starts_with("error: The file has more than 64 nodes\n"), "{errors}");
}

#[test]
fn a_virtual_server_of_several_addresses_follows_the_holder_of_each() {
    let text = router("virtual_addresses = [\"10.77.0.50/24\"]\nsync_group = \"edge\"")
        + r#"
        [virtual_router.dmz]
        interface = "eth0"
        virtual_router_id = 52
        virtual_addresses = ["10.77.0.60"]
        sync_group = "edge"
        [virtual_server.both]
        addresses = ["10.77.0.50:80", "10.77.0.60:80"]
        real_servers = ["10.78.0.21"]
        [virtual_server.marked]
        fwmark = 7
        follow = "edge"
        real_servers = ["10.78.0.21"]
        [virtual_server.everywhere]
        address = "10.77.0.99:53"
        protocol = "udp"
        one_packet = true
        scheduler = "sh"
        scheduler_flags = ["port"]
        follow = "always"
        forward = "tunnel"
        real_servers = ["[fd78::21]", { address = "10.78.0.21:53", forward = "nat", weight = 0 }]
        "#;
    let config = lb1(&text);
    let follows = |server: &str| {
        let services = &config.virtual_servers[server].services;
        services.iter().map(|(key, follow)| format!("{key}: {follow:?}")).collect::<Vec<_>>()
    };
    assert_eq!(
        follows("both"),
        [r#"tcp 10.77.0.50:80: Routers({"web"})"#, r#"tcp 10.77.0.60:80: Routers({"dmz"})"#]
    );
    assert_eq!(follows("marked"), [r#"fwmark 7: Routers({"dmz", "web"})"#]);
    assert_eq!(follows("everywhere"), ["udp 10.77.0.99:53: Always"]);
    assert!(matches!(
        config.virtual_servers["marked"].services[0].0,
        ServiceKey::Mark { family: MarkFamily::V4, .. }
    ));
    let everywhere = &config.virtual_servers["everywhere"];
    assert_eq!(everywhere.flags, [ServiceFlag::OnePacket, ServiceFlag::Scheduler2].into());
    let real_servers: Vec<_> = everywhere
        .real_servers
        .iter()
        .map(|(address, server)| (address.to_string(), server.weight.get(), server.forwarding))
        .collect();
    assert_eq!(
        real_servers,
        [
            ("10.78.0.21:53".to_owned(), 0, Forwarding::Nat),
            ("[fd78::21]:53".to_owned(), 1, Forwarding::Tunnel)
        ]
    );
}

#[test]
fn the_owner_of_an_address_has_priority_255() {
    let keys = "virtual_addresses = [\"10.77.0.11/24\"]\n[virtual_router.web.node.lb1]\npriority = 255";
    let file = parse(&router(keys));
    assert_eq!(resolve(&file, "lb1").virtual_routers["web"].priority, Priority::OWNER);
    assert_eq!(resolve(&file, "lb2").virtual_routers["web"].priority, Priority::DEFAULT);
}

#[test]
fn the_owner_of_an_address_accepts_whatever_the_file_says() {
    let keys = "virtual_addresses = [\"10.77.0.11/24\"]\naccept = false\nnode.lb1.priority = 255";
    let file = parse(&router(keys));
    assert_eq!(resolve(&file, "lb1").virtual_routers["web"].accept, AcceptMode::On);
    assert_eq!(resolve(&file, "lb2").virtual_routers["web"].accept, AcceptMode::Off);
}

#[test]
fn a_node_that_is_not_there_or_no_baton_is_told_from_those_that_are() {
    let file = parse(&example("routers-only.toml"));
    assert_eq!(file.nodes().map(NodeName::as_str).collect::<Vec<_>>(), ["gw1", "gw2"]);
    let error = |node: &str| file.resolve(&NodeName::new(node).unwrap()).unwrap_err().to_string();
    assert_eq!(
        error("gw7"),
        "error: The file has no node gw7\n |\n = help: add a section [node.gw7] for this machine, or choose one of the nodes with --node: gw1, gw2\n\n1 error in test.toml"
    );
    assert!(error("gw3").contains("Node gw3 does not run Baton"), "{}", error("gw3"));
}

#[test]
fn a_file_that_cannot_be_read_says_what_to_do() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let absent = ConfigFile::read(&folder.join("absent.toml")).unwrap_err().to_string();
    assert!(absent.contains("No such file or directory"), "{absent}");
    assert!(absent.contains("--config FILE"), "{absent}");
    let a_folder = ConfigFile::read(&folder).unwrap_err().to_string();
    assert!(a_folder.contains("Is a directory"), "{a_folder}");
    let endless = ConfigFile::read(Path::new("/dev/zero")).unwrap_err().to_string();
    assert!(endless.contains("has more than 16 MiB"), "{endless}");
    // One of /proc has more in it than its size says, as a file that grows while it is read.
    let unfinished = ConfigFile::read(Path::new("/proc/version")).unwrap_err().to_string();
    assert!(unfinished.contains("Cannot read /proc/version: it is being written"), "{unfinished}");
    assert!(unfinished.contains("save it first"), "{unfinished}");
}
