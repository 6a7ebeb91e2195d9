//! Records as lines of text.

use std::io::{self, Read};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use node::config::InterfaceAddress;
use node::name::{InterfaceName, RouterName};
use node::plan::{Change, Step};
use node::report::Report;

/// Returns what stands behind the time and the level.
fn text(report: &Report) -> String {
    let (mut reader, writer) = io::pipe().unwrap();
    let log = tracing_subscriber::fmt().without_time().with_level(false).with_target(false).with_ansi(false);
    tracing::subscriber::with_default(log.with_writer(Arc::new(writer)).finish(), || {
        super::super::write(report);
    });
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text.trim_start().to_owned()
}

fn address() -> InterfaceAddress {
    InterfaceAddress::new(InterfaceName::new("eth0").unwrap(), "10.77.0.50".parse().unwrap(), 24)
}

#[test]
fn a_reload_says_what_changed_also_where_nothing_did() {
    let reloaded = |changes: &[&str]| {
        text(&Report::Reloaded { changes: changes.iter().map(ToString::to_string).collect() })
    };
    assert_eq!(reloaded(&[]), "reloaded: nothing changed event=\"reloaded\" changes=0\n");
    assert_eq!(reloaded(&["one", "two"]), "reloaded: one; two event=\"reloaded\" changes=2\n");
}

#[test]
fn a_value_with_spaces_is_in_quotes() {
    let repaired = text(&Report::Repaired { change: Change::Address(Step::Take, address()) });
    assert!(
        repaired.ends_with(" event=\"repaired\" change=\"add address 10.77.0.50/24 on eth0\"\n"),
        "{repaired}"
    );
}

#[test]
fn times_are_told_to_the_microsecond() {
    let to: IpAddr = "10.77.0.12".parse().unwrap();
    let router = RouterName::new("web").unwrap();
    let took = Duration::from_nanos(9_668_926);
    let handed_over = text(&Report::HandedOver { router, to, took });
    assert!(handed_over.ends_with(" milliseconds=9.669\n"), "{handed_over}");
    let lasting = Duration::from_nanos(3_401_234);
    let fight = text(&Report::AddressFight { address: address(), removals: 4, lasting });
    assert!(fight.contains("4 times within 3.4ms;"), "{fight}");
    assert!(fight.ends_with(" seconds=0.003401\n"), "{fight}");
}
