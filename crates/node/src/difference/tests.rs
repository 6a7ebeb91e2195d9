use std::num::{NonZeroU8, NonZeroU32};

use virtual_server::health::HttpCheck;
use virtual_server::service::{Forwarding, Protocol, Scheduler, Weight};
use vrrp::{Authentication, Centiseconds, Family, Priority, Restraint, Version, Vrid};

use super::*;
use crate::config::{AcceptMode, AnnouncementRate, Announcements, EngineConfig, InterfaceAddress, Memory};
use crate::name::{InterfaceName, NodeName, RouterName, ServerName};

fn address(address: &str, interface: &str) -> InterfaceAddress {
    InterfaceAddress::new(InterfaceName::new(interface).unwrap(), address.parse().unwrap(), 24)
}

fn real_server(address: &str) -> (std::net::SocketAddr, Destination) {
    let destination = Destination { weight: Weight::DEFAULT, forwarding: Forwarding::Nat };
    (address.parse().unwrap(), destination)
}

fn config() -> Config {
    let web = RouterName::new("web").unwrap();
    let router = VirtualRouterConfig {
        interface: InterfaceName::new("eth0").unwrap(),
        vrid: Vrid::new(51).unwrap(),
        version: Version::V3,
        family: Family::V4,
        priority: Priority::new(150).unwrap(),
        interval: Centiseconds::DEFAULT,
        preemption: Preemption::Allowed,
        restraint: Restraint::default(),
        start_delay: Duration::ZERO,
        checksum: ChecksumStyle::MessageOnly,
        transport: Transport::Multicast { source: None },
        authentication: Authentication::None,
        addresses: vec![address("10.77.0.50", "eth0")],
        unadvertised: vec![],
        accept: AcceptMode::On,
        device: None,
        routes: Vec::new(),
        rules: Vec::new(),
        announcements: Announcements {
            burst: 5,
            repeat_after: Duration::from_secs(5),
            refresh: Duration::ZERO,
        },
        tracks: BTreeSet::new(),
    };
    let check = Check {
        kind: CheckKind::Http(HttpCheck {
            path: "/".to_owned(),
            host: None,
            status: vec![(200, 299)],
            body: None,
        }),
        interval: Duration::from_secs(2),
        timeout: Duration::from_secs(1),
        rise: NonZeroU8::new(2).unwrap(),
        fall: NonZeroU8::new(3).unwrap(),
    };
    let key = ServiceKey::Address { protocol: Protocol::Tcp, address: "10.77.0.50:80".parse().unwrap() };
    let server = VirtualServerConfig {
        services: vec![(key, Follow::Routers([web.clone()].into()))],
        scheduler: Scheduler::Wlc,
        flags: BTreeSet::new(),
        persistence: None,
        quorum: 1,
        sorry_server: None,
        real_servers: [real_server("10.78.0.21:80"), real_server("10.78.0.22:80")].into(),
        check: Some(Arc::new(check)),
    };
    Config {
        node: NodeName::new("lb1").unwrap(),
        peers: [(NodeName::new("lb2").unwrap(), ["10.77.0.12".parse().unwrap()].into())].into(),
        engine: EngineConfig::default(),
        hooks: BTreeMap::new(),
        virtual_routers: [(web, Arc::new(router))].into(),
        sync_groups: BTreeMap::new(),
        tracks: BTreeMap::new(),
        virtual_servers: [(ServerName::new("web").unwrap(), Arc::new(server))].into(),
    }
}

fn router_of(config: &mut Config) -> &mut VirtualRouterConfig {
    Arc::make_mut(config.virtual_routers.get_mut("web").unwrap())
}

fn server_of(config: &mut Config) -> &mut VirtualServerConfig {
    Arc::make_mut(config.virtual_servers.get_mut("web").unwrap())
}

#[test]
fn equal_configurations_differ_in_nothing() {
    assert_eq!(differences(&config(), &config()), Vec::<String>::new());
}

#[test]
fn each_change_is_told_by_its_key() {
    let mut new = config();
    let router = router_of(&mut new);
    router.priority = Priority::new(120).unwrap();
    router.interval = Centiseconds::new(10);
    router.preemption = Preemption::Refused;
    router.unadvertised.push(address("10.78.0.1", "eth1"));
    router.accept = AcceptMode::Off;
    router.announcements.refresh = Duration::from_mins(1);
    let server = server_of(&mut new);
    server.quorum = 2;
    server.flags.insert(ServiceFlag::OnePacket);
    server.persistence =
        Some(Persistence { timeout_seconds: NonZeroU32::new(300).unwrap(), prefix_length: 32 });
    server.real_servers.remove(&"10.78.0.21:80".parse().unwrap());
    server.real_servers.extend([real_server("10.78.0.23:80")]);
    server.real_servers.get_mut(&"10.78.0.22:80".parse().unwrap()).unwrap().weight = Weight::new(3);
    Arc::make_mut(server.check.as_mut().unwrap()).interval = Duration::from_secs(5);
    new.peers.insert(NodeName::new("lb3").unwrap(), BTreeSet::new());
    new.engine = EngineConfig {
        realtime_priority: None,
        memory: Memory::Swappable,
        processors: [2, 3].into(),
        announcement_rate: AnnouncementRate::new(500).unwrap(),
        address_lease: Duration::from_secs(20),
    };
    assert_eq!(
        differences(&config(), &new),
        [
            "engine: realtime_priority 10 -> none",
            "engine: lock_memory true -> false",
            "engine: processors all -> 2, 3",
            "engine: announcement_rate 10000 -> 500",
            "engine: address_lease 10s -> 20s",
            "node lb3 added",
            "virtual_router web: priority 150 -> 120",
            "virtual_router web: advert_interval 1s -> 100ms",
            "virtual_router web: preempt true -> false",
            "virtual_router web: unadvertised_addresses none -> 10.78.0.1/24 on eth1",
            "virtual_router web: accept true -> false",
            "virtual_router web: announcements.refresh 0s -> 60s",
            "virtual_server web: flags none -> one_packet",
            "virtual_server web: persistence none -> 300s for /32",
            "virtual_server web: quorum 1 -> 2",
            "virtual_server web: real server 10.78.0.21:80 removed",
            "virtual_server web: real server 10.78.0.22:80: weight 1 -> 3",
            "virtual_server web: real server 10.78.0.23:80 added",
            "virtual_server web: check.interval 2s -> 5s",
        ]
    );
}

#[test]
fn what_is_unchanged_is_the_same_in_memory_afterwards() {
    let old = config();
    let mut new = config();
    server_of(&mut new).quorum = 2;
    let expected = new.clone();
    let adopted = new.adopt_unchanged(&old);
    assert_eq!(adopted, expected);
    assert!(Arc::ptr_eq(&adopted.virtual_routers["web"], &old.virtual_routers["web"]));
    let (server, known) = (&adopted.virtual_servers["web"], &old.virtual_servers["web"]);
    assert!(!Arc::ptr_eq(server, known));
    assert!(Arc::ptr_eq(server.check.as_ref().unwrap(), known.check.as_ref().unwrap()));
}
