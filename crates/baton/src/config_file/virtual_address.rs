//! An address that moves, as it is written in the lists of a virtual router.

use std::net::{IpAddr, Ipv4Addr};

use node::config::Scope;
use node::name::{AddressLabel, InterfaceName};
use toml::de::DeValue;

use super::field::Field;
use super::problem::Problem;
use super::router_section::interface;
use super::section::Section;

/// Every key of a virtual address that is written as a table.
pub(super) const KEYS: &[&str] = &["address", "interface", "label", "scope"];

/// An address, on the virtual router's interface unless it names another.
#[derive(Clone, Debug)]
pub(super) struct VirtualAddress {
    /// The address.
    pub(super) address: IpAddr,
    /// The length of its prefix.
    pub(super) prefix_length: u8,
    /// Its own interface.
    pub(super) interface: Option<InterfaceName>,
    /// Its own label.
    pub(super) label: Option<AddressLabel>,
    /// How far it is valid.
    pub(super) scope: Scope,
}

/// Reads `"10.77.0.50/24"` or `{ address = "10.77.0.50/24", interface = "eth1" }`.
pub(super) fn virtual_address(field: Field<'_>) -> Option<VirtualAddress> {
    if !matches!(field.value(), DeValue::Table(_)) {
        let (address, prefix_length) = address_with_prefix(field)?;
        let scope = Scope::Global;
        return Some(VirtualAddress { address, prefix_length, interface: None, label: None, scope });
    }
    let section = Section::open("an address", field.span(), field, KEYS)?;
    let interface = section.optional("interface", interface).map(|interface| interface.value);
    let number = section.required("address", "address = \"10.77.0.50/24\"", address_with_prefix);
    let label = section.optional("label", |field| field.name(AddressLabel::new));
    let scope = section.optional("scope", scope);
    let (address, prefix_length) = number?.value;
    if address.is_ipv6() {
        let spans = [label.as_ref().map(|label| label.span), scope.map(|scope| scope.span)];
        for (key, span) in ["label", "scope"].into_iter().zip(spans) {
            let Some(span) = span else { continue };
            section.report(
                Problem::at(span, format!("An IPv6 address has no `{key}` of its own"))
                    .label("for IPv4 alone")
                    .help("leave it out"),
            );
        }
    }
    Some(VirtualAddress {
        address,
        prefix_length,
        interface,
        label: label.map(|label| label.value),
        scope: section.or(scope, Scope::Global).value,
    })
}

/// Reads how far an address or a route is valid.
pub(super) fn scope(field: Field<'_>) -> Option<Scope> {
    field.word(&[Scope::Global, Scope::Site, Scope::Link, Scope::Host].map(|scope| (scope.name(), scope)))
}

fn address_with_prefix(field: Field<'_>) -> Option<(IpAddr, u8)> {
    let text = field.text()?;
    let (host, prefix) = text.split_once('/').map_or((text, None), |(host, prefix)| (host, Some(prefix)));
    let Ok(address) = host.parse::<IpAddr>() else {
        let problem = Problem::at(field.span(), format!("{text:?} is no address for `{}`", field.key()));
        field.report(
            problem.label("not an IP address").help("write it like \"10.77.0.50/24\" or \"fd77::50/64\""),
        );
        return None;
    };
    let address = field.unicast(address)?;
    if address.is_loopback() {
        field.report(
            field
                .problem(format!("{address} cannot be a virtual address"))
                .label("a loopback address is reached by its own machine alone")
                .help("write the address that others are to reach"),
        );
        return None;
    }
    let longest = match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    let prefix_length = match prefix.map(str::parse::<u8>) {
        None => longest,
        Some(Ok(length)) if (1..=longest).contains(&length) => length,
        Some(Ok(_) | Err(_)) => {
            field.report(
                field
                    .problem(format!("{text:?} has no prefix length that fits"))
                    .label(format!("the prefix of this address has 1 to {longest} bits"))
                    .help(format!("write the length of the subnet's prefix, or leave it out for /{longest}")),
            );
            return None;
        }
    };
    if let IpAddr::V4(address) = address
        && let Some(reservation) = Reservation::of(address, prefix_length)
    {
        let (what, why) = match reservation {
            Reservation::Network => ("network", "some systems take it for a broadcast address"),
            Reservation::Broadcast => {
                ("broadcast", "neighbours send it to all machines instead of asking who has it")
            }
        };
        field.report(
            field
                .problem(format!("{text} is the {what} address of its own subnet"))
                .label(why)
                .help(format!("write another address of the subnet, or {address}/32 if it is meant")),
        );
        return None;
    }
    Some((address, prefix_length))
}

/// What an address of a subnet stands for when it is no machine's.
enum Reservation {
    /// The subnet as such.
    Network,
    /// All of its machines.
    Broadcast,
}

impl Reservation {
    /// Returns what an address stands for in the subnet of this prefix; one of two addresses has none to spare.
    /// [RFC 1122, section 3.2.1.3](https://www.rfc-editor.org/rfc/rfc1122#section-3.2.1.3),
    /// [RFC 3021](https://www.rfc-editor.org/rfc/rfc3021)
    fn of(address: Ipv4Addr, prefix_length: u8) -> Option<Self> {
        let hosts = u32::MAX.checked_shr(prefix_length.into()).filter(|_| prefix_length < 31)?;
        match address.to_bits() & hosts {
            0 => Some(Self::Network),
            host if host == hosts => Some(Self::Broadcast),
            _ => None,
        }
    }
}
