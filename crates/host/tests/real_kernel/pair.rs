//! Two namespaces and a cable between them.

use lab::Namespace;

/// The interface's name at both ends.
pub(crate) const CABLE: &str = "cable";

/// The two ends: the left one has `10.9.0.1/24` and `fe80::1`, the right one `10.9.0.2/24` and
/// `fe80::2`.
pub(crate) struct Pair {
    pub(crate) left: Namespace,
    pub(crate) right: Namespace,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let left = Namespace::new("left").expect("these tests need root and iproute2");
        let right = Namespace::new("right").unwrap();
        left.run(&["ip", "link", "add", CABLE, "type", "veth", "peer", "name", CABLE, "netns", right.name()])
            .unwrap();
        for (end, number) in [(&left, "1"), (&right, "2")] {
            end.run(&["ip", "link", "set", CABLE, "addrgenmode", "none"]).unwrap();
            end.run(&["ip", "link", "set", CABLE, "up"]).unwrap();
            end.run(&["ip", "address", "add", &format!("10.9.0.{number}/24"), "dev", CABLE]).unwrap();
            end.run(&["ip", "address", "add", &format!("fe80::{number}/64"), "dev", CABLE, "nodad"]).unwrap();
        }
        Self { left, right }
    }
}
