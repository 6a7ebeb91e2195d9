//! Advertisements as another program reads them.

use lab::wait_until;
use netns_tests::frames::{self, Checksum};
use netns_tests::{LIMIT, Pair, VIRTUAL, VIRTUAL_V6, WEB, WEB_V6, pair};

/// What `tshark` calls a checksum that is right, and one that is wrong.
const GOOD: &str = "1";
const BAD: &str = "0";

/// What every advertisement over IPv4 has in common.
const MULTICAST: [(&str, &str); 5] = [
    ("eth.dst", "01:00:5e:00:00:12"),
    ("ip.src", "10.77.0.11"),
    ("ip.dst", "224.0.0.18"),
    ("ip.ttl", "255"),
    ("ip.dsfield", "0xc0"),
];

/// Lets `lb1` be Active and leave, and returns what `tshark` reads in its advertisements, successive equals once.
#[track_caller]
fn advertisements(config: &str, checksum: Checksum, fields: &[&str]) -> Vec<Vec<String>> {
    let mut pair = Pair::idle(&pair(&[config]));
    // At the other node, because unicast goes there alone.
    let mut wire = frames::record(pair.machine("lb2"), "eth0");
    pair.start("lb1");
    let some = || Ok(wire.fields("vrrp", &["frame.number"])?.len() >= 3);
    wait_until("Three advertisements", LIMIT, some).unwrap_or_else(|error| panic!("{error}"));
    pair.daemon("lb1").stop(LIMIT);
    wire.stop().unwrap_or_else(|error| panic!("{error}"));
    let mut rows = frames::decode(&wire, checksum, "vrrp", fields);
    rows.dedup();
    rows
}

/// Version 3: the interval in hundredths of a second and the priority, as an Active says them and as it hands over.
const VERSION_3: ([&str; 2], &[[&str; 2]]) =
    (["vrrp.short_adver_int", "vrrp.prio"], &[["10", "150"], ["1", "150"], ["1", "0"]]);

/// Version 2: the interval in seconds, of which no other can be taught.
const VERSION_2: ([&str; 2], &[[&str; 2]]) = (["vrrp.adver_int", "vrrp.prio"], &[["1", "150"], ["1", "0"]]);

/// All advertisements have these values, are well-formed, and say what an Active says and then its last words.
#[track_caller]
fn assert_reads(
    config: &str,
    checksum: Checksum,
    expected: &[(&str, &str)],
    (said, words): ([&str; 2], &[[&str; 2]]),
) {
    let expected = [&[("_ws.malformed", ""), ("vrrp.checksum.status", GOOD)], expected].concat();
    let fields: Vec<_> = expected.iter().map(|&(field, _)| field).chain(said).collect();
    let row = |words: &[&str; 2]| {
        let values = expected.iter().map(|&(_, value)| value).chain(words.iter().copied());
        values.map(str::to_owned).collect::<Vec<_>>()
    };
    let rows: Vec<_> = words.iter().map(row).collect();
    assert_eq!(advertisements(config, checksum, &fields), rows, "{fields:?}");
}

#[test]
fn version_3_is_read_as_it_is_meant() {
    let message = [
        ("vrrp.version", "3"),
        ("vrrp.type", "1"),
        ("vrrp.virt_rtr_id", "51"),
        ("vrrp.ip_addr", "10.77.0.50"),
    ];
    assert_reads(WEB, Checksum::MessageOnly, &[&MULTICAST[..], &message].concat(), VERSION_3);
}

#[test]
fn version_2_is_read_as_it_is_meant() {
    let config = "[virtual_router.web]\ninterface = \"eth0\"\nvirtual_router_id = 51\nversion = 2\n\
                  virtual_addresses = [\"10.77.0.50/24\", \"10.77.0.51/24\"]\n";
    let message = [
        ("vrrp.version", "2"),
        ("vrrp.type", "1"),
        ("vrrp.virt_rtr_id", "51"),
        ("vrrp.auth_type", "0"),
        ("vrrp.ip_addr", "10.77.0.50,10.77.0.51"),
    ];
    assert_reads(config, Checksum::MessageOnly, &[&MULTICAST[..], &message].concat(), VERSION_2);
}

#[test]
fn ipv6_is_read_as_it_is_meant() {
    let expected = [
        ("eth.dst", "33:33:00:00:00:12"),
        ("ipv6.dst", "ff02::12"),
        ("ipv6.hlim", "255"),
        ("ipv6.tclass", "0x000000c0"),
        ("vrrp.version", "3"),
        ("vrrp.type", "1"),
        ("vrrp.virt_rtr_id", "51"),
        ("vrrp.ipv6_addr", "fe80::50,fd77::50"),
    ];
    assert_reads(WEB_V6, Checksum::PseudoHeader, &expected, VERSION_3);
}

#[test]
fn ipv6_comes_from_the_link_local_address() {
    let seen = advertisements(WEB_V6, Checksum::PseudoHeader, &["ipv6.src"]);
    assert!(seen.iter().all(|row| row[0].starts_with("fe80::") && row[0] != "fe80::50"), "{seen:?}");
}

#[test]
fn the_checksum_is_of_the_style_that_is_configured() {
    let pseudo_header = format!("{WEB}checksum = \"pseudo-header\"\n");
    let both = [Checksum::MessageOnly, Checksum::PseudoHeader];
    for (config, style) in [(WEB, Checksum::MessageOnly), (&pseudo_header, Checksum::PseudoHeader)] {
        for read in both {
            let status = if read == style { GOOD } else { BAD };
            let seen = advertisements(config, read, &["vrrp.checksum.status"]);
            assert_eq!(seen, [[status]], "{style:?} read as {read:?}");
        }
    }
}

#[test]
fn unicast_goes_to_the_peer_alone() {
    let config = format!("{WEB}transport = \"unicast\"\n");
    let expected = [("ip.src", "10.77.0.11"), ("ip.dst", "10.77.0.12"), ("ip.ttl", "255")];
    assert_reads(&config, Checksum::MessageOnly, &expected, VERSION_3);
}

#[test]
fn multicast_comes_from_the_address_that_is_configured() {
    let config = format!("{WEB}[virtual_router.web.node.lb1]\nsource = \"10.77.0.13\"\n");
    let mut pair = Pair::idle(&pair(&[&config]));
    let mut wire = frames::record(pair.machine("lb2"), "eth0");
    pair.start("lb1");
    pair.daemon("lb1").wait_for("router_faulted", &[("reason", "no_source")], LIMIT);

    pair.machine("lb1").run(&["ip", "address", "add", "10.77.0.13/24", "dev", "eth0"]).unwrap();
    pair.wait_for_holder(VIRTUAL, "lb1");
    let some = || Ok(wire.fields("vrrp", &["frame.number"])?.len() >= 3);
    wait_until("Three advertisements", LIMIT, some).unwrap_or_else(|error| panic!("{error}"));
    wire.stop().unwrap_or_else(|error| panic!("{error}"));
    let mut sources = frames::decode(&wire, Checksum::MessageOnly, "vrrp", &["ip.src"]);
    sources.dedup();
    assert_eq!(sources, [["10.77.0.13"]]);
}

#[test]
fn an_advertisement_that_only_ip_can_divide_arrives_whole() {
    let many: Vec<_> = (1..=85).map(|number| format!("\"fd77::50:{number:x}/64\"")).collect();
    let config = WEB_V6.replace("\"fd77::50/64\"", &format!("\"fd77::50/64\", {}", many.join(", ")));
    let mut pair = Pair::idle(&pair(&[&config]));
    for node in ["lb1", "lb2"] {
        let narrow = pair.machine(node).run(&["ip", "link", "set", "eth0", "mtu", "1400"]);
        narrow.unwrap_or_else(|error| panic!("{error}"));
    }
    pair.elect(VIRTUAL_V6);
    pair.wait_to_hear("lb2", 5);
    assert_eq!(pair.holders("fd77::50:55"), ["lb1"]);
}

#[test]
fn a_firewall_that_lets_nothing_out_makes_no_second_active() {
    let mut pair = Pair::elected(&pair(&[WEB]), VIRTUAL);
    let firewall = "add table inet closed; \
                    add chain inet closed output { type filter hook output priority 0; policy drop; }";
    pair.machine("lb1").run(&["nft", firewall]).unwrap_or_else(|error| panic!("{error}"));
    pair.wait_to_hear("lb2", 10);
    assert_eq!(pair.holders(VIRTUAL), ["lb1"]);
}
