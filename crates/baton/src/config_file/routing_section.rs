//! Routes and rules that move with a virtual router, `virtual_routes` and `virtual_rules`.

use std::net::IpAddr;

use node::config::Scope;
use node::name::InterfaceName;
use node::routing::{
    Network, NetworkError, RouteTable, RouteTarget, RuleAction, RuleMark, VirtualRoute, VirtualRule,
};
use vrrp::Family;

use super::field::Field;
use super::problem::{At, Problem, Span};
use super::router_section::interface;
use super::section::Section;

/// Every key of a virtual route.
pub(super) const ROUTE_KEYS: &[&str] =
    &["destination", "interface", "metric", "scope", "source", "table", "type", "via"];

/// Every key of a virtual rule.
pub(super) const RULE_KEYS: &[&str] =
    &["action", "family", "from", "iif", "mark", "mark_mask", "oif", "priority", "table", "to"];

/// The numbers that the tables have names for, in `/etc/iproute2/rt_tables`.
const TABLES: &[(&str, RouteTable)] = &[
    ("main", RouteTable::MAIN),
    ("default", RouteTable::new(253).expect("253 is a table")),
    ("local", RouteTable::new(255).expect("255 is a table")),
];

/// A route whose family may still be that of its virtual router.
#[derive(Clone, Debug)]
pub(super) struct RouteEntry {
    destination: Destination,
    target: RouteTarget,
    metric: Option<u32>,
    table: RouteTable,
    source: Option<IpAddr>,
    scope: Option<Scope>,
}

/// Which packets a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Destination {
    /// All of the family that the rest of the route is of.
    All,
    /// Those to a network.
    Network(Network),
}

/// A rule whose family may still be that of its virtual router.
#[derive(Clone, Debug)]
pub(super) struct RuleEntry {
    priority: u32,
    family: Option<Family>,
    from: Option<Network>,
    to: Option<Network>,
    input: Option<InterfaceName>,
    output: Option<InterfaceName>,
    mark: Option<RuleMark>,
    action: RuleAction,
}

/// What a route does with packets, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RouteKind {
    Unicast,
    Blackhole,
    Unreachable,
    Prohibit,
}

/// What a rule does with packets, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ActionKind {
    Lookup,
    Blackhole,
    Unreachable,
    Prohibit,
}

impl RouteEntry {
    /// Returns the route in a virtual router of this family.
    pub(super) fn within(&self, family: Family) -> VirtualRoute {
        let via = match self.target {
            RouteTarget::Gateway { via, .. } => Some(via),
            RouteTarget::Link(_)
            | RouteTarget::Blackhole
            | RouteTarget::Unreachable
            | RouteTarget::Prohibit => None,
        };
        let family = via.or(self.source).map_or(family, Family::of);
        let destination = match self.destination {
            Destination::All => Network::all(family),
            Destination::Network(network) => network,
        };
        let plain = VirtualRoute::new(destination, self.target.clone());
        VirtualRoute {
            metric: self.metric.unwrap_or(plain.metric),
            table: self.table,
            source: self.source,
            scope: self.scope.unwrap_or(plain.scope),
            ..plain
        }
    }
}

impl RuleEntry {
    /// Returns the rule in a virtual router of this family.
    pub(super) fn within(&self, family: Family) -> VirtualRule {
        let Self { priority, family: own, from, to, input, output, mark, action } = self.clone();
        VirtualRule { priority, family: own.unwrap_or(family), from, to, input, output, mark, action }
    }
}

/// Reads `{ destination = "default", via = "10.77.0.1" }`.
pub(super) fn route(field: Field<'_>) -> Option<RouteEntry> {
    let section = Section::open("a virtual route", field.span(), field, ROUTE_KEYS)?;
    let destination = section.required("destination", "destination = \"default\"", destination);
    let via = section.optional("via", |field| field.address());
    let source = section.optional("source", |field| field.address());
    let interface = section.optional("interface", interface);
    let kind = section.optional("type", |field| {
        field.word(&[
            ("unicast", RouteKind::Unicast),
            ("blackhole", RouteKind::Blackhole),
            ("unreachable", RouteKind::Unreachable),
            ("prohibit", RouteKind::Prohibit),
        ])
    });
    let metric = section.optional("metric", |field| field.integer(0..=u32::MAX));
    let table = section.optional("table", |field| table(&field));
    let scope = section.optional("scope", super::virtual_address::scope);
    let destination = destination?;
    let families = [
        match destination.value {
            Destination::All => None,
            Destination::Network(network) => Some((network.family(), destination.span)),
        },
        via.map(|via| (Family::of(via.value), via.span)),
        source.map(|source| (Family::of(source.value), source.span)),
    ];
    let family = one_family(&section, "a route", families.into_iter().flatten()).ok()?;
    if let Some(scope) = scope.filter(|_| family == Some(Family::V6)) {
        section.report(
            Problem::at(scope.span, "An IPv6 route has no scope")
                .label("for IPv4 alone")
                .help("leave it out"),
        );
    }
    let kind = section.or(kind, RouteKind::Unicast);
    let leads_nowhere = |target| {
        let ways = [
            ("via", via.map(|via| via.span)),
            ("interface", interface.as_ref().map(|interface| interface.span)),
            ("source", source.map(|source| source.span)),
        ];
        for (key, span) in ways {
            let Some(span) = span else { continue };
            section.report(
                Problem::at(span, format!("`{key}` does nothing in a route that leads nowhere"))
                    .label("where to?")
                    .also(kind.span, "packets end here")
                    .help(format!("leave `{key}` out, or leave `type` out")),
            );
        }
        target
    };
    let target = match (kind.value, via, &interface) {
        (RouteKind::Blackhole, _, _) => leads_nowhere(RouteTarget::Blackhole),
        (RouteKind::Unreachable, _, _) => leads_nowhere(RouteTarget::Unreachable),
        (RouteKind::Prohibit, _, _) => leads_nowhere(RouteTarget::Prohibit),
        (RouteKind::Unicast, Some(via), interface) => RouteTarget::Gateway {
            via: via.value,
            interface: interface.as_ref().map(|interface| interface.value.clone()),
        },
        (RouteKind::Unicast, None, Some(interface)) => RouteTarget::Link(interface.value.clone()),
        (RouteKind::Unicast, None, None) => {
            section.report(
                Problem::at(destination.span, "A virtual route has neither `via` nor `interface`")
                    .label("leads where?")
                    .help(
                        "add the router (via = \"10.77.0.1\"), the interface (interface = \"eth0\"), or a type that \
                         needs neither (type = \"blackhole\")",
                    ),
            );
            return None;
        }
    };
    Some(RouteEntry {
        destination: destination.value,
        target,
        metric: metric.map(|metric| metric.value),
        table: section.or(table, RouteTable::MAIN).value,
        source: source.map(|source| source.value),
        scope: scope.map(|scope| scope.value),
    })
}

/// Reads `{ priority = 1000, from = "10.77.0.50", table = 100 }`.
pub(super) fn rule(field: Field<'_>) -> Option<RuleEntry> {
    let section = Section::open("a virtual rule", field.span(), field, RULE_KEYS)?;
    let priority = section.required("priority", "priority = 1000", |field| field.integer(1..=u32::MAX));
    let from = section.optional("from", network);
    let to = section.optional("to", network);
    let input = section.optional("iif", interface).map(|interface| interface.value);
    let output = section.optional("oif", interface).map(|interface| interface.value);
    let mark = section.optional("mark", |field| field.integer(0..=u32::MAX));
    let bits = section.optional("mark_mask", |field| field.integer(1..=u32::MAX));
    let family =
        section.optional("family", |field| field.word(&[("ipv4", Family::V4), ("ipv6", Family::V6)]));
    let action = section.optional("action", |field| {
        field.word(&[
            ("lookup", ActionKind::Lookup),
            ("blackhole", ActionKind::Blackhole),
            ("unreachable", ActionKind::Unreachable),
            ("prohibit", ActionKind::Prohibit),
        ])
    });
    let action = section.or(action, ActionKind::Lookup);
    let table = match action.value {
        ActionKind::Lookup => section.required("table", "table = 100", |field| table(&field)),
        ActionKind::Blackhole | ActionKind::Unreachable | ActionKind::Prohibit => {
            let table = section.optional("table", |field| table(&field));
            if let Some(table) = table {
                section.report(
                    Problem::at(table.span, "A rule that ends packets looks into no table")
                        .label("does nothing here")
                        .also(action.span, "packets end here")
                        .help("leave `table` out, or leave `action` out"),
                );
            }
            table
        }
    };
    if let (Some(bits), None) = (bits, mark) {
        section.report(
            Problem::at(bits.span, "`mark_mask` without a mark")
                .label("of which mark?")
                .help("add the mark: mark = 7"),
        );
    }
    let families = [
        from.map(|from| (from.value.family(), from.span)),
        to.map(|to| (to.value.family(), to.span)),
        family.map(|family| (family.value, family.span)),
    ];
    let family = one_family(&section, "a rule", families.into_iter().flatten()).ok()?;
    let action = match (action.value, table) {
        (ActionKind::Lookup, table) => RuleAction::Lookup(table?.value),
        (ActionKind::Blackhole, _) => RuleAction::Blackhole,
        (ActionKind::Unreachable, _) => RuleAction::Unreachable,
        (ActionKind::Prohibit, _) => RuleAction::Prohibit,
    };
    Some(RuleEntry {
        priority: priority?.value,
        family,
        from: from.map(|from| from.value),
        to: to.map(|to| to.value),
        input,
        output,
        mark: mark.map(|mark| RuleMark { value: mark.value, mask: bits.map_or(u32::MAX, |bits| bits.value) }),
        action,
    })
}

/// Addresses that do not belong together were found and reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TwoFamilies;

/// Returns the family that all of these are of, none where there are none; reports the first that is of another.
fn one_family(
    section: &Section<'_>,
    what: &str,
    mut families: impl Iterator<Item = (Family, Span)>,
) -> Result<Option<Family>, TwoFamilies> {
    let Some((family, first)) = families.next() else { return Ok(None) };
    let Some((other, span)) = families.find(|(other, _)| *other != family) else {
        return Ok(Some(family));
    };
    section.report(
        Problem::at(span, format!("The addresses of {what} are of two families"))
            .label(format!("this is {other}"))
            .also(first, format!("this is {family}"))
            .help("write one for each family"),
    );
    Err(TwoFamilies)
}

/// Reads the number of a table, or one of the names that every system has.
fn table(field: &Field<'_>) -> Option<RouteTable> {
    if let toml::de::DeValue::String(_) = field.value() {
        return field.word(TABLES);
    }
    RouteTable::new(field.integer(1..=u32::MAX)?)
}

/// Reads a network, or `default` for all addresses.
fn destination(field: Field<'_>) -> Option<Destination> {
    if field.text()? == "default" { Some(Destination::All) } else { network(field).map(Destination::Network) }
}

/// Reads `"10.79.0.0/16"`; without a prefix it is a single address.
fn network(field: Field<'_>) -> Option<Network> {
    let text = field.text()?;
    let (host, prefix) = text.split_once('/').map_or((text, None), |(host, prefix)| (host, Some(prefix)));
    let Ok(address) = host.parse::<IpAddr>() else {
        field.report(
            field
                .problem(format!("{text:?} is no network for `{}`", field.key()))
                .label("not an IP address")
                .help("write it like \"10.79.0.0/16\" or \"fd79::/48\""),
        );
        return None;
    };
    let longest = match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    let length = prefix.map_or(Ok(longest), str::parse::<u8>).unwrap_or(u8::MAX);
    Network::new(address, length)
        .map_err(|error| {
            let problem = field
                .problem(format!("{text:?} is no network for `{}`", field.key()))
                .label(error.to_string());
            field.report(match error {
                NetworkError::Length { .. } => problem.help("write the length of the network's prefix"),
                NetworkError::HostBits { network } => problem.help(format!("write \"{network}\"")),
            });
        })
        .ok()
}

/// Returns the routes as they stand in a virtual router of this family.
pub(super) fn routes_within(entries: &[At<RouteEntry>], family: Family) -> Vec<At<VirtualRoute>> {
    entries.iter().map(|entry| At { value: entry.value.within(family), span: entry.span }).collect()
}

/// Returns the rules as they stand in a virtual router of this family.
pub(super) fn rules_within(entries: &[At<RuleEntry>], family: Family) -> Vec<At<VirtualRule>> {
    entries.iter().map(|entry| At { value: entry.value.within(family), span: entry.span }).collect()
}
