//! Virtual rules: taken and left with Baton's tag on them, and never anybody else's.

// What the kernel says is a foreign enum that keeps growing; what has no name here is of no interest.
#![allow(clippy::wildcard_enum_match_arm)]

use netlink_packet_route::route::{RouteHeader, RouteProtocol};
use netlink_packet_route::rule::{RuleAction as KernelAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use node::name::InterfaceName;
use node::routing::{Network, RouteTable, RuleAction, RuleMark, VirtualRule};
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use vrrp::Family;

use crate::record::OWNERSHIP_TAG;
use crate::route::family;
use crate::route_netlink::{RequestError, RouteNetlink};
use crate::routing::RoutingError;

/// Adds a rule; that it is there already as Baton's own is as good.
pub(crate) async fn take(netlink: &mut RouteNetlink, wanted: &VirtualRule) -> Result<(), RoutingError> {
    let what = || format!("the rule {wanted}");
    match netlink.change(RouteNetlinkMessage::NewRule(message(wanted)), NLM_F_CREATE | NLM_F_EXCL).await {
        Ok(()) => {
            netlink.routing_mut().rules.insert(wanted.clone());
            Ok(())
        }
        Err(RequestError::Refused(error)) if error.raw_os_error() == Some(libc::EEXIST) => {
            netlink.observe_routing().await.map_err(|error| RoutingError::new(what(), error))?;
            if netlink.routing().rules.contains(wanted) {
                return Ok(());
            }
            Err(RoutingError::Foreign { what: what() })
        }
        Err(error) => Err(RoutingError::new(what(), error)),
    }
}

/// Removes one of Baton's own rules; that it is gone already is as good.
pub(crate) async fn leave(netlink: &mut RouteNetlink, own: &VirtualRule) -> Result<(), RoutingError> {
    match netlink.change(RouteNetlinkMessage::DelRule(message(own)), 0).await {
        Ok(()) => {}
        Err(RequestError::Refused(error)) if error.raw_os_error() == Some(libc::ENOENT) => {}
        Err(error) => return Err(RoutingError::new(format!("the rule {own}"), error)),
    }
    netlink.routing_mut().rules.remove(own);
    Ok(())
}

/// Returns the question for all rules of a family.
pub(crate) fn question(family: AddressFamily) -> RouteNetlinkMessage {
    let mut message = RuleMessage::default();
    message.header.family = family;
    RouteNetlinkMessage::GetRule(message)
}

fn message(rule: &VirtualRule) -> RuleMessage {
    let VirtualRule { priority, family: packets, from, to, input, output, mark, action } = rule;
    let mut message = RuleMessage::default();
    message.header.family = family(*packets);
    let attributes = &mut message.attributes;
    attributes.push(RuleAttribute::Priority(*priority));
    attributes.push(RuleAttribute::Protocol(RouteProtocol::from(OWNERSHIP_TAG)));
    if let Some(network) = from {
        message.header.src_len = network.prefix_length();
        attributes.push(RuleAttribute::Source(network.address()));
    }
    if let Some(network) = to {
        message.header.dst_len = network.prefix_length();
        attributes.push(RuleAttribute::Destination(network.address()));
    }
    attributes.extend(input.as_ref().map(|interface| RuleAttribute::Iifname(interface.to_string())));
    attributes.extend(output.as_ref().map(|interface| RuleAttribute::Oifname(interface.to_string())));
    if let Some(RuleMark { value, mask }) = mark {
        attributes.extend([RuleAttribute::FwMark(*value), RuleAttribute::FwMask(*mask)]);
    }
    message.header.action = match action {
        RuleAction::Lookup(table) => {
            message.header.table = u8::try_from(table.get()).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
            attributes.push(RuleAttribute::Table(table.get()));
            KernelAction::ToTable
        }
        RuleAction::Blackhole => KernelAction::Blackhole,
        RuleAction::Unreachable => KernelAction::Unreachable,
        RuleAction::Prohibit => KernelAction::Prohibit,
    };
    message
}

/// Returns the rule of a message, where it is Baton's own.
pub(crate) fn read(message: &RuleMessage) -> Option<VirtualRule> {
    let header = &message.header;
    let mut tag = None;
    let (mut from, mut to, mut input, mut output) = (None, None, None, None);
    let (mut mark, mut bits, mut table, mut priority) = (0, 0, u32::from(header.table), 0);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Protocol(protocol) => tag = Some(u8::from(*protocol)),
            RuleAttribute::Source(address) => from = Network::new(*address, header.src_len).ok(),
            RuleAttribute::Destination(address) => to = Network::new(*address, header.dst_len).ok(),
            RuleAttribute::Iifname(name) => input = InterfaceName::new(name).ok(),
            RuleAttribute::Oifname(name) => output = InterfaceName::new(name).ok(),
            RuleAttribute::FwMark(value) => mark = *value,
            RuleAttribute::FwMask(value) => bits = *value,
            RuleAttribute::Table(number) => table = *number,
            RuleAttribute::Priority(number) => priority = *number,
            _ => {}
        }
    }
    if tag != Some(OWNERSHIP_TAG) {
        return None;
    }
    let family = match header.family {
        AddressFamily::Inet => Family::V4,
        AddressFamily::Inet6 => Family::V6,
        _ => return None,
    };
    let action = match header.action {
        KernelAction::ToTable => RuleAction::Lookup(RouteTable::new(table)?),
        KernelAction::Unreachable => RuleAction::Unreachable,
        KernelAction::Prohibit => RuleAction::Prohibit,
        _ => RuleAction::Blackhole,
    };
    let mark = (mark != 0 || bits != 0).then_some(RuleMark { value: mark, mask: bits });
    Some(VirtualRule { priority, family, from, to, input, output, mark, action })
}
