//! `[node.NAME]`: a machine of the pair.

use std::net::IpAddr;

use node::name::NodeName;
use vrrp::{Family, Priority};

use super::field::Field;
use super::problem::{At, Problem};
use super::section::Section;

/// Every key of a node.
pub(super) const KEYS: &[&str] = &["addresses", "kind", "priority"];

/// Whether a node runs Baton.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeKind {
    /// It does.
    Baton,
    /// It is another implementation of VRRP: a peer, never this machine.
    Vrrp,
}

/// A machine of the pair.
#[derive(Debug)]
pub(super) struct NodeSection {
    /// Its name.
    pub(super) name: At<NodeName>,
    /// Where the other nodes reach it, one address per family at most.
    pub(super) addresses: Vec<At<IpAddr>>,
    /// Its priority in the virtual routers that say nothing else.
    pub(super) priority: At<Priority>,
    /// Whether it runs Baton.
    pub(super) kind: NodeKind,
}

impl NodeSection {
    /// Reads the table of the node of this name.
    pub(super) fn read(name: At<&str>, field: Field<'_>) -> Option<Self> {
        let section = Section::open(format!("node {}", name.value), name.span, field, KEYS)?;
        let name = section.name(name, NodeName::new)?;
        let addresses = section.list("addresses", |field| field.address());
        for (index, address) in addresses.iter().enumerate() {
            let family = Family::of(address.value);
            if let Some(first) = addresses[..index].iter().find(|first| Family::of(first.value) == family) {
                section.report(
                    Problem::at(address.span, format!("Two {family} addresses in {}", section.title()))
                        .label("the second one")
                        .also(first.span, "the first one")
                        .help("a node is reached by one address of each family: leave one out"),
                );
            }
        }
        let priority = section.optional("priority", |field| priority(&field));
        let kind = section
            .optional("kind", |field| field.word(&[("baton", NodeKind::Baton), ("vrrp", NodeKind::Vrrp)]));
        Some(Self {
            name,
            addresses,
            priority: section.or(priority, Priority::DEFAULT),
            kind: section.or(kind, NodeKind::Baton).value,
        })
    }

    /// Returns the address of a family by which this node is reached.
    pub(super) fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().map(|address| address.value).find(|address| Family::of(*address) == family)
    }
}

/// Reads a priority.
pub(super) fn priority(field: &Field<'_>) -> Option<Priority> {
    let number = field.integer(1..=255)?;
    Some(Priority::new(number).expect("1 to 255 are priorities"))
}
