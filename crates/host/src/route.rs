//! Virtual routes: taken and left with Baton's tag on them, and never anybody else's.

// What the kernel says is a foreign enum that keeps growing; what has no name here is of no interest.
#![allow(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use node::config::Scope;
use node::name::InterfaceName;
use node::routing::{Network, RouteTable, RouteTarget, VirtualRoute};
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use vrrp::Family;

use crate::record::OWNERSHIP_TAG;
use crate::route_netlink::{RequestError, RouteNetlink};
use crate::routing::RoutingError;

/// Puts a route into its table; that it is there already as Baton's own is as good.
pub(crate) async fn take(netlink: &mut RouteNetlink, wanted: &VirtualRoute) -> Result<(), RoutingError> {
    let what = || format!("the route {wanted}");
    let add = RouteNetlinkMessage::NewRoute(message(netlink, wanted)?);
    match netlink.change(add, NLM_F_CREATE | NLM_F_EXCL).await {
        Ok(()) => {
            netlink.routing_mut().routes.insert(wanted.clone());
            Ok(())
        }
        Err(RequestError::Refused(error)) if error.raw_os_error() == Some(libc::EEXIST) => {
            netlink.observe_routing().await.map_err(|error| RoutingError::new(what(), error))?;
            let wanted = BTreeSet::from([wanted.clone()]);
            if netlink.routing().routes_among(&wanted).is_superset(&wanted) {
                return Ok(());
            }
            Err(RoutingError::Foreign { what: what() })
        }
        Err(error) => Err(RoutingError::new(what(), error)),
    }
}

/// Takes one of Baton's own routes out of its table; that it is gone already is as good.
pub(crate) async fn leave(netlink: &mut RouteNetlink, own: &VirtualRoute) -> Result<(), RoutingError> {
    // An interface that is gone has taken its routes along.
    let Ok(message) = message(netlink, own) else {
        netlink.routing_mut().forget_route(own);
        return Ok(());
    };
    match netlink.change(RouteNetlinkMessage::DelRoute(message), 0).await {
        Ok(()) => {}
        Err(RequestError::Refused(error)) if error.raw_os_error() == Some(libc::ESRCH) => {}
        Err(error) => return Err(RoutingError::new(format!("the route {own}"), error)),
    }
    netlink.routing_mut().forget_route(own);
    Ok(())
}

/// Returns the question for all routes of a family that are Baton's own; a kernel before 4.20 answers with all routes.
pub(crate) fn question(family: AddressFamily) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    message.header.protocol = RouteProtocol::from(OWNERSHIP_TAG);
    RouteNetlinkMessage::GetRoute(message)
}

/// Tells whether the kernel takes packets to an address of this interface for its own.
///
/// It looks its routes up within the call, as for a packet; nothing is sent.
pub(crate) async fn is_local(netlink: &mut RouteNetlink, interface_index: u32, address: Ipv6Addr) -> bool {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet6;
    message.header.destination_prefix_length = 128;
    let destination = RouteAttribute::Destination(RouteAddress::Inet6(address));
    message.attributes = vec![destination, RouteAttribute::Oif(interface_index)];
    let answers = netlink.request(RouteNetlinkMessage::GetRoute(message), 0).await;
    // That there is no route at all is an error to the kernel.
    answers.unwrap_or_default().iter().any(|answer| match answer {
        RouteNetlinkMessage::NewRoute(route) => route.header.kind == RouteType::Local,
        _ => false,
    })
}

fn message(netlink: &RouteNetlink, route: &VirtualRoute) -> Result<RouteMessage, RoutingError> {
    let VirtualRoute { target, destination, metric, table, source, scope } = route;
    let index = |interface: &InterfaceName| {
        let found = netlink.interfaces().find(interface).map(|(index, _)| index);
        let what = || format!("the route {route}");
        found.ok_or_else(|| RoutingError::NoInterface { what: what(), interface: interface.clone() })
    };
    let mut message = RouteMessage::default();
    message.header.address_family = family(destination.family());
    message.header.destination_prefix_length = destination.prefix_length();
    message.header.table = u8::try_from(table.get()).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
    message.header.protocol = RouteProtocol::from(OWNERSHIP_TAG);
    message.header.scope = match scope {
        Scope::Global => RouteScope::Universe,
        Scope::Site => RouteScope::Site,
        Scope::Link => RouteScope::Link,
        Scope::Host => RouteScope::Host,
    };
    message.header.kind = match target {
        RouteTarget::Link(_) | RouteTarget::Gateway { .. } => RouteType::Unicast,
        RouteTarget::Blackhole => RouteType::BlackHole,
        RouteTarget::Unreachable => RouteType::Unreachable,
        RouteTarget::Prohibit => RouteType::Prohibit,
    };
    let attributes = &mut message.attributes;
    if destination.prefix_length() > 0 {
        attributes.push(RouteAttribute::Destination(destination.address().into()));
    }
    match target {
        RouteTarget::Link(interface) => attributes.push(RouteAttribute::Oif(index(interface)?)),
        RouteTarget::Gateway { via, interface } => {
            attributes.push(RouteAttribute::Gateway((*via).into()));
            if let Some(interface) = interface {
                attributes.push(RouteAttribute::Oif(index(interface)?));
            }
        }
        RouteTarget::Blackhole | RouteTarget::Unreachable | RouteTarget::Prohibit => {}
    }
    attributes.push(RouteAttribute::Priority(*metric));
    attributes.push(RouteAttribute::Table(table.get()));
    attributes.extend(source.map(|source| RouteAttribute::PrefSource(source.into())));
    Ok(message)
}

/// Returns the route of a message, where it is Baton's own; `name` tells the interfaces.
pub(crate) fn read(
    message: &RouteMessage,
    name: impl Fn(u32) -> Option<InterfaceName>,
) -> Option<VirtualRoute> {
    let header = &message.header;
    if u8::from(header.protocol) != OWNERSHIP_TAG {
        return None;
    }
    let (mut destination, mut via, mut interface, mut source) = (None, None, None, None);
    let (mut metric, mut table) = (0, u32::from(header.table));
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => destination = ip(address),
            RouteAttribute::Gateway(address) => via = ip(address),
            RouteAttribute::Oif(index) => interface = name(*index),
            RouteAttribute::PrefSource(address) => source = ip(address),
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::Table(number) => table = *number,
            _ => {}
        }
    }
    let family = match header.address_family {
        AddressFamily::Inet => Family::V4,
        AddressFamily::Inet6 => Family::V6,
        _ => return None,
    };
    let address = destination.unwrap_or(Network::all(family).address());
    let target = match (header.kind, via, interface) {
        (RouteType::BlackHole, _, _) => RouteTarget::Blackhole,
        (RouteType::Unreachable, _, _) => RouteTarget::Unreachable,
        (RouteType::Prohibit, _, _) => RouteTarget::Prohibit,
        (_, Some(via), interface) => RouteTarget::Gateway { via, interface },
        (_, None, interface) => RouteTarget::Link(interface?),
    };
    let scope = match header.scope {
        RouteScope::Site => Scope::Site,
        RouteScope::Link => Scope::Link,
        RouteScope::Host => Scope::Host,
        _ => Scope::Global,
    };
    let destination = Network::new(address, header.destination_prefix_length).ok()?;
    Some(VirtualRoute { target, destination, metric, table: RouteTable::new(table)?, source, scope })
}

/// Tells whether a message is of one of these routes, or of another one in the same place.
pub(crate) fn is_about(message: &RouteMessage, own: &BTreeSet<VirtualRoute>) -> bool {
    if u8::from(message.header.protocol) == OWNERSHIP_TAG {
        return true;
    }
    let (mut destination, mut metric, mut table) = (None, 0, u32::from(message.header.table));
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => destination = ip(address),
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::Table(number) => table = *number,
            _ => {}
        }
    }
    own.iter().any(|route| {
        let network = route.destination;
        family(network.family()) == message.header.address_family
            && network.prefix_length() == message.header.destination_prefix_length
            && destination.is_none_or(|address| address == network.address())
            && (route.metric, route.table.get()) == (metric, table)
    })
}

pub(crate) fn family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}
