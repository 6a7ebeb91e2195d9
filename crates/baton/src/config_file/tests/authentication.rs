use std::time::Instant;

use vrrp::{Authentication, HmacMode, KeyId, Measure};

use super::super::settled_file::tests::Scratch;
use super::golden::set_key_permissions;
use super::*;

fn authentication(config: &Config) -> Authentication {
    config.virtual_routers["web"].authentication.clone()
}

fn signed(keys: &str) -> String {
    set_key_permissions();
    router(&format!("{keys}\nauthentication.keys = {{ 7 = \"src/config_file/errors/keys/good.key\" }}"))
}

#[test]
fn the_only_key_signs_and_unsigned_advertisements_are_refused_unless_told_otherwise() {
    let Authentication::Hmac(hmac) = authentication(&lb1(&signed("virtual_addresses = [\"10.77.0.50\"]")))
    else {
        panic!("keys mean a trailer")
    };
    assert_eq!((hmac.keys.active().get(), hmac.mode), (7, HmacMode::Enforce));
    assert_eq!(hmac.keys.ids().collect::<Vec<_>>(), [KeyId::new(7).unwrap()]);
    assert_eq!((hmac.clock_tolerance, hmac.measure), (Duration::from_secs(5), Measure::Growth));
}

#[test]
fn a_peer_that_is_no_baton_measures_by_its_clock() {
    let text = signed("virtual_addresses = [\"10.77.0.50\"]") + "\n[node.gw]\nkind = \"vrrp\"\n";
    assert!(matches!(
        authentication(&lb1(&text)),
        Authentication::Hmac(vrrp::Hmac { measure: Measure::Clock, .. })
    ));
}

#[test]
fn a_trailer_takes_the_room_of_an_ipv6_address_or_two() {
    let read = |count: u32| {
        let addresses: Vec<_> = (1..=count).map(|host| format!("\"fd78::{host:x}\"")).collect();
        ConfigFile::parse("test.toml", &signed(&format!("virtual_addresses = [{}]", addresses.join(", "))))
    };
    assert!(read(88).is_ok());
    assert!(read(89).unwrap_err().to_string().contains("more addresses than an advertisement carries"));
}

#[test]
fn keys_that_were_just_saved_are_waited_for_together() {
    let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config_file/errors/keys/good.key");
    let good = fs::read_to_string(good).unwrap();
    let keys: Vec<_> = (0..200).map(|_| Scratch::new(&good, 0o600)).collect();
    let router = |(number, key): (u8, &Scratch)| {
        format!(
            "[virtual_router.r{number}]\ninterface = \"eth0\"\nvirtual_router_id = {number}\n\
             virtual_addresses = [\"10.77.1.{number}\"]\nauthentication.keys = {{ 1 = \"{}\" }}\n",
            key.0.display()
        )
    };
    let routers: String = (1..).zip(&keys).map(router).collect();
    let begin = Instant::now();
    let config = lb1(&format!("{TWO_NODES}\n{routers}"));
    let took = begin.elapsed();
    assert_eq!(config.virtual_routers.len(), keys.len());
    // One after the other they would take ten seconds.
    assert!(took < Duration::from_secs(5), "{took:?}");
}
