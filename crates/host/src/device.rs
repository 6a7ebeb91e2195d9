//! Interfaces with a virtual router's own hardware address: macvlans on the interface that it advertises on.

// What the kernel says is a foreign enum that keeps growing; what has no name here is of no interest.
#![allow(clippy::wildcard_enum_match_arm)]

use std::fs;
use std::path::Path;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage, MacVlanMode,
};
use node::device::VirtualDevice;
use node::name::InterfaceName;
use rtnetlink::packet_core::{DefaultNla, NLA_F_NESTED, NLM_F_CREATE, NLM_F_EXCL};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::record::{OWNERSHIP_TAG, Record, RecordError};
use crate::route_netlink::{RequestError, RouteNetlink};

/// The group of interfaces (`IFLA_GROUP`) that are Baton's own. It is given as they come into being, so that none is ever
/// there without it.
pub(crate) const OWN_GROUP: u32 = OWNERSHIP_TAG as u32;

/// `IFLA_INET_CONF` and the numbers of `linux/ip.h`.
const IFLA_INET_CONF: u16 = 1;
const RP_FILTER: u16 = 8;
const ARP_ANNOUNCE: u16 = 18;
const ARP_IGNORE: u16 = 19;

/// `IFLA_INET6_ADDR_GEN_MODE` of `linux/if_link.h` and its value for no link-local address.
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const ADDR_GEN_MODE_NONE: u8 = 1;

/// Answer only for addresses of the interface that was asked.
const OWN_ADDRESSES_ALONE: u32 = 1;
/// Ask only in the name of an address of the interface that asks.
const BEST_ADDRESS_ALONE: u32 = 2;
/// Accept what comes from where packets could be sent to by any interface: answers leave through the parent.
const LOOSE: u32 = 2;

/// Two settings of an interface that has devices on top.
///
/// Without them it would answer for their addresses too, and ask its neighbours in their names, each time with its own
/// hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ParentSettings {
    pub(crate) arp_ignore: u32,
    pub(crate) arp_announce: u32,
}

/// Why a device was neither made nor removed.
#[derive(Debug, Error)]
pub(crate) enum DeviceError {
    /// Its name is taken.
    #[error("There is an interface {0} already that is not Baton's: rename or remove it")]
    Foreign(InterfaceName),
    /// There is no such interface, now.
    #[error(
        "There is no interface {0} to put a virtual MAC address on: it is done when the interface appears"
    )]
    NoParent(InterfaceName),
    /// The process may not.
    #[error("Making interfaces needs CAP_NET_ADMIN: run as root or under the systemd unit")]
    NotPermitted,
    /// This kernel has no macvlan.
    #[error(
        "This kernel has no macvlan, which a virtual MAC address needs: load its module, or leave `virtual_mac` out"
    )]
    NoMacvlan,
    /// What was there before could not be written down.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The kernel said no, or nothing.
    #[error("The kernel refused to change {device}: {source}")]
    Kernel {
        /// The device.
        device: InterfaceName,
        /// Its error.
        source: RequestError,
    },
}

/// Makes a device; that it is there already as Baton's own is as good.
pub(crate) async fn take(
    netlink: &mut RouteNetlink,
    record: &mut Record,
    wanted: &VirtualDevice,
) -> Result<(), DeviceError> {
    let failed = |error| DeviceError::new(wanted, error);
    let Some((parent, _)) = netlink.interfaces().find(&wanted.parent) else {
        return Err(DeviceError::NoParent(wanted.parent.clone()));
    };
    let before = settings(netlink, parent).await.map_err(failed)?;
    if let Some(before) = before {
        record.note_parent(&wanted.parent, before)?;
        let needed = ParentSettings {
            arp_ignore: before.arp_ignore.max(OWN_ADDRESSES_ALONE),
            arp_announce: before.arp_announce.max(BEST_ADDRESS_ALONE),
        };
        apply(netlink, parent, needed).await.map_err(failed)?;
    }
    let mut link = LinkMessage::default();
    // In any other mode the parent would not hear another node that sends from the same hardware address.
    let mode = InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Bridge)]);
    link.attributes = vec![
        LinkAttribute::IfName(wanted.name.to_string()),
        LinkAttribute::Link(parent),
        LinkAttribute::Address(wanted.mac.0.to_vec()),
        LinkAttribute::Group(OWN_GROUP),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::MacVlan), LinkInfo::Data(mode)]),
    ];
    netlink.change(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL).await.map_err(failed)?;
    let Some((index, _)) = netlink.interfaces().find(&wanted.name) else {
        return Err(failed(RequestError::NoAnswer));
    };
    let mut link = LinkMessage::default();
    link.header.index = index;
    let v4 = inet_configuration(&[(ARP_IGNORE, OWN_ADDRESSES_ALONE), (RP_FILTER, LOOSE)]);
    let no_link_local = DefaultNla::new(IFLA_INET6_ADDR_GEN_MODE, vec![ADDR_GEN_MODE_NONE]);
    let v6 = AfSpecUnspec::Inet6(vec![AfSpecInet6::Other(no_link_local)]);
    link.attributes.push(LinkAttribute::AfSpecUnspec(vec![v4, v6]));
    // A kernel without IPv6 refuses both.
    if netlink.change(RouteNetlinkMessage::SetLink(link.clone()), 0).await.is_err() {
        let v4 = inet_configuration(&[(ARP_IGNORE, OWN_ADDRESSES_ALONE), (RP_FILTER, LOOSE)]);
        link.attributes = vec![LinkAttribute::AfSpecUnspec(vec![v4])];
        netlink.change(RouteNetlinkMessage::SetLink(link), 0).await.map_err(failed)?;
    }
    // It has no way by netlink. Where it cannot be written, router advertisements may give the device addresses too.
    let _ = fs::write(Path::new("/proc/sys/net/ipv6/conf").join(wanted.name.as_str()).join("accept_ra"), "0");
    let mut link = LinkMessage::default();
    link.header.index = index;
    (link.header.flags, link.header.change_mask) = (LinkFlags::Up, LinkFlags::Up);
    netlink.change(RouteNetlinkMessage::SetLink(link), 0).await.map_err(failed)
}

/// Removes one of Baton's own devices; that it is gone already is as good.
pub(crate) async fn leave(netlink: &mut RouteNetlink, own: &VirtualDevice) -> Result<(), DeviceError> {
    let Some((index, _)) = netlink.interfaces().find(&own.name) else { return Ok(()) };
    let mut link = LinkMessage::default();
    link.header.index = index;
    match netlink.change(RouteNetlinkMessage::DelLink(link), 0).await {
        Ok(()) => Ok(()),
        Err(RequestError::Refused(error)) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        Err(error) => Err(DeviceError::new(own, error)),
    }
}

/// Puts the settings of an interface back that has no more devices on top, unless somebody has changed them since.
pub(crate) async fn restore(
    netlink: &mut RouteNetlink,
    parent: &InterfaceName,
    before: ParentSettings,
) -> Result<(), RequestError> {
    let Some((index, _)) = netlink.interfaces().find(parent) else { return Ok(()) };
    let Some(now) = settings(netlink, index).await? else { return Ok(()) };
    let put_back = |now: u32, before: u32, needed: u32| if now == before.max(needed) { before } else { now };
    let settings = ParentSettings {
        arp_ignore: put_back(now.arp_ignore, before.arp_ignore, OWN_ADDRESSES_ALONE),
        arp_announce: put_back(now.arp_announce, before.arp_announce, BEST_ADDRESS_ALONE),
    };
    apply(netlink, index, settings).await
}

/// Returns nothing where the kernel has no IPv4 on the interface.
async fn settings(netlink: &mut RouteNetlink, index: u32) -> Result<Option<ParentSettings>, RequestError> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    let answers = netlink.request(RouteNetlinkMessage::GetLink(link), 0).await?;
    let attributes = answers.iter().find_map(|answer| match answer {
        RouteNetlinkMessage::NewLink(link) => Some(&link.attributes),
        _ => None,
    });
    let families = attributes.into_iter().flatten().find_map(|attribute| match attribute {
        LinkAttribute::AfSpecUnspec(families) => Some(families),
        _ => None,
    });
    let v4 = families.into_iter().flatten().find_map(|family| match family {
        AfSpecUnspec::Inet(settings) => Some(settings),
        _ => None,
    });
    Ok(v4.into_iter().flatten().find_map(|setting| match setting {
        AfSpecInet::DevConf(values) => Some(ParentSettings {
            arp_ignore: u32::try_from(values.arp_ignore).unwrap_or(0),
            arp_announce: u32::try_from(values.arp_announce).unwrap_or(0),
        }),
        _ => None,
    }))
}

async fn apply(netlink: &mut RouteNetlink, index: u32, wanted: ParentSettings) -> Result<(), RequestError> {
    let ParentSettings { arp_ignore, arp_announce } = wanted;
    let mut link = LinkMessage::default();
    link.header.index = index;
    let v4 = inet_configuration(&[(ARP_IGNORE, arp_ignore), (ARP_ANNOUNCE, arp_announce)]);
    link.attributes.push(LinkAttribute::AfSpecUnspec(vec![v4]));
    netlink.change(RouteNetlinkMessage::SetLink(link), 0).await
}

/// By netlink and not under `/proc/sys`, which a hardened service cannot write to.
fn inet_configuration(values: &[(u16, u32)]) -> AfSpecUnspec {
    let mut settings = Vec::new();
    for (kind, value) in values {
        // `struct nlattr`: its length, its kind, the value.
        settings.extend(8_u16.to_ne_bytes());
        settings.extend(kind.to_ne_bytes());
        settings.extend(value.to_ne_bytes());
    }
    let settings = AfSpecInet::Other(DefaultNla::new(IFLA_INET_CONF | NLA_F_NESTED, settings));
    AfSpecUnspec::Inet(vec![settings])
}

impl DeviceError {
    fn new(device: &VirtualDevice, source: RequestError) -> Self {
        let code = match &source {
            RequestError::Refused(error) => error.raw_os_error(),
            RequestError::NoAnswer | RequestError::Closed => None,
        };
        match code {
            Some(libc::EPERM) => Self::NotPermitted,
            Some(libc::EEXIST) => Self::Foreign(device.name.clone()),
            Some(libc::EOPNOTSUPP) => Self::NoMacvlan,
            Some(_) | None => Self::Kernel { device: device.name.clone(), source },
        }
    }
}
