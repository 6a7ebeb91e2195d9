//! Virtual addresses: taken and left with Baton's tag on them, and never anybody else's.

// What the kernel says is a foreign enum that keeps growing; what has no name here is of no interest.
#![allow(clippy::wildcard_enum_match_arm)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope, CacheInfo,
};
use netlink_packet_route::link::{AfSpecInet, AfSpecUnspec, LinkAttribute, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use node::config::{InterfaceAddress, Scope};
use node::name::InterfaceName;
use rtnetlink::AddressMessageBuilder;
use rtnetlink::packet_core::{DefaultNla, NLA_F_NESTED, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use thiserror::Error;

use crate::record::{OWNERSHIP_TAG, Record};
use crate::route_netlink::{RequestError, RouteNetlink};

/// `IFLA_INET_CONF` of `linux/if_link.h`.
const IFLA_INET_CONF: u16 = 1;

/// `IPV4_DEVCONF_PROMOTE_SECONDARIES` of `linux/ip.h`.
const PROMOTE_SECONDARIES: u16 = 20;

/// A lifetime without an end, in the kernel's terms.
const FOREVER: u32 = u32::MAX;

/// Why an address was neither taken nor left.
#[derive(Debug, Error)]
pub(crate) enum AddressError {
    /// It is there and not Baton's.
    #[error("{0} is there already and was not put there by Baton: remove it, and Baton takes it")]
    Foreign(InterfaceAddress),
    /// There is no such interface, now.
    #[error("There is no interface for {0}: the address is taken when the interface appears")]
    NoInterface(InterfaceAddress),
    /// Packets to it could not be dropped.
    #[error("Packets to {address} would be accepted, against `accept = false`: {reason}")]
    Accepted {
        /// The address.
        address: InterfaceAddress,
        /// Why they are not dropped.
        reason: String,
    },
    /// The process may not.
    #[error("Changing addresses needs CAP_NET_ADMIN: run as root or under the systemd unit")]
    NotPermitted,
    /// The interface has no IPv6.
    #[error("IPv6 is disabled on {0}: set net.ipv6.conf.{0}.disable_ipv6 to 0")]
    Ipv6Disabled(InterfaceName),
    /// Its scope is not that of its subnet.
    #[error(
        "The kernel refused {0}: it may have no other scope than the addresses of its subnet that are there; write it \
         as /32, or give all of them the same scope"
    )]
    Scope(InterfaceAddress),
    /// The kernel said no, or nothing.
    #[error("The kernel refused to change {address}: {source}")]
    Kernel {
        /// The address.
        address: InterfaceAddress,
        /// Its error.
        source: RequestError,
    },
}

/// Puts an address on its interface; that it is there already as Baton's own is as good.
pub(crate) async fn take(
    netlink: &mut RouteNetlink,
    record: &Record,
    wanted: &InterfaceAddress,
    lease: Lease,
) -> Result<(), AddressError> {
    let Some((index, interface)) = netlink.interfaces().find(&wanted.interface) else {
        return Err(AddressError::NoInterface(wanted.clone()));
    };
    if let Some(there) = interface.address(wanted.address)
        && !record.owns_address(&wanted.interface, there)
    {
        return Err(AddressError::Foreign(wanted.clone()));
    }
    if interface.own(wanted, record).is_some() {
        return Ok(());
    }
    // Without NLM_F_EXCL the kernel would put our tag on an address that somebody else adds at this moment.
    let add = RouteNetlinkMessage::NewAddress(lent(message(index, wanted), lease));
    // Of an IPv6 address the kernel tells a little later. Known only after its answer, an address would be taken to be
    // there that somebody has removed meanwhile, which may have been told before.
    netlink.interfaces_mut().apply(&add);
    let done = netlink.change(add, NLM_F_CREATE | NLM_F_EXCL).await;
    if done.is_err() {
        forget(netlink, record, wanted);
    }
    match done {
        Ok(()) => Ok(()),
        Err(RequestError::Refused(error)) if error.raw_os_error() == Some(libc::EEXIST) => {
            Err(AddressError::Foreign(wanted.clone()))
        }
        Err(error) => Err(AddressError::new(wanted, error)),
    }
}

/// Takes one of Baton's own addresses, which the kernel does not hold, for gone.
fn forget(netlink: &mut RouteNetlink, record: &Record, own: &InterfaceAddress) {
    let found = netlink.interfaces().find(&own.interface);
    // Under its number there may be somebody else's by now.
    let index = found.filter(|(_, interface)| interface.own(own, record).is_some()).map(|(index, _)| index);
    if let Some(index) = index {
        let removed = RouteNetlinkMessage::DelAddress(message(index, own));
        netlink.interfaces_mut().apply(&removed);
    }
}

/// Has the kernel keep Baton's own addresses for another lease; one that is gone stays so.
pub(crate) async fn renew(
    netlink: &mut RouteNetlink,
    record: &Record,
    own: &[InterfaceAddress],
    lease: Lease,
) {
    let renewals = own.iter().filter_map(|own| {
        let (index, interface) = netlink.interfaces().find(&own.interface)?;
        // To an address of somebody else's this would give a lease and our tag.
        interface.own(own, record)?;
        Some(RouteNetlinkMessage::NewAddress(lent(message(index, own), lease)))
    });
    let renewals = renewals.collect();
    // What fails now is tried again long before the lease ends.
    let _ = netlink.change_each(renewals, NLM_F_REPLACE).await;
}

/// Takes one of Baton's own addresses from its interface; that it is gone already is as good.
pub(crate) async fn leave(
    netlink: &mut RouteNetlink,
    record: &Record,
    own: &InterfaceAddress,
) -> Result<(), AddressError> {
    let Some((index, interface)) = netlink.interfaces().find(&own.interface) else { return Ok(()) };
    let Some(there) = interface.own(own, record) else { return Ok(()) };

    // Only where there is need: somebody may wait for the address to go, and an answer takes longer than that.
    let promotes =
        if interface.may_have_followers(there) { promotes_secondaries(netlink, index).await } else { None };
    // Else the kernel would delete the subnet's other addresses along with their first one. The setting is the
    // operator's and put back afterwards.
    if promotes == Some(false) {
        set_promotion(netlink, index, 1).await.map_err(|error| AddressError::new(own, error))?;
    }
    let remove = RouteNetlinkMessage::DelAddress(message(index, own));
    let outcome = netlink.change(remove, 0).await;
    if promotes == Some(false) {
        set_promotion(netlink, index, 0).await.map_err(|error| AddressError::new(own, error))?;
    }
    match outcome {
        Ok(()) => Ok(()),
        Err(RequestError::Refused(error))
            if matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::ENODEV)) =>
        {
            // What is still taken to be there would be left again and again.
            forget(netlink, record, own);
            Ok(())
        }
        Err(error) => Err(AddressError::new(own, error)),
    }
}

fn message(index: u32, address: &InterfaceAddress) -> AddressMessage {
    let prefix_length = address.prefix_length;
    let mut message = match address.address {
        IpAddr::V4(number) => {
            let mut message =
                AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(number, prefix_length).build();
            message.header.scope = match address.scope {
                Scope::Global => AddressScope::Universe,
                Scope::Site => AddressScope::Site,
                Scope::Link => AddressScope::Link,
                Scope::Host => AddressScope::Host,
            };
            let label = address.label.as_ref().map(|label| AddressAttribute::Label(label.to_string()));
            message.attributes.extend(label);
            message
        }
        IpAddr::V6(address) => {
            let mut message =
                AddressMessageBuilder::<Ipv6Addr>::new().index(index).address(address, prefix_length).build();
            // No wait for duplicate address detection: the former Active may hold the address a little longer.
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
            message
        }
    };
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::from(OWNERSHIP_TAG)));
    message
}

/// How long the kernel keeps an address by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Lease {
    /// For as long as nobody removes it.
    #[default]
    Endless,
    /// For so long after it was taken or renewed last; whole seconds count.
    Ending(Duration),
}

/// Limits the time of an address.
fn lent(mut message: AddressMessage, lease: Lease) -> AddressMessage {
    let valid = match lease {
        Lease::Endless => FOREVER,
        Lease::Ending(time) => u32::try_from(time.as_secs()).unwrap_or(FOREVER),
    };
    let mut lifetimes = CacheInfo::default();
    // IPv6: never preferred, so that connections of this node do not come from an address that may leave.
    let preferred = if message.header.family == AddressFamily::Inet6 { 0 } else { valid };
    (lifetimes.ifa_preferred, lifetimes.ifa_valid) = (preferred, valid);
    message.attributes.push(AddressAttribute::CacheInfo(lifetimes));
    message
}

/// Returns nothing where the kernel does not tell, which is where it has no IPv4 on the interface.
async fn promotes_secondaries(netlink: &mut RouteNetlink, index: u32) -> Option<bool> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    let answers = netlink.request(RouteNetlinkMessage::GetLink(link), 0).await.ok()?;
    let attributes = answers.iter().find_map(|answer| match answer {
        RouteNetlinkMessage::NewLink(link) => Some(&link.attributes),
        _ => None,
    })?;
    let families = attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::AfSpecUnspec(families) => Some(families),
        _ => None,
    })?;
    let settings = families.iter().find_map(|family| match family {
        AfSpecUnspec::Inet(settings) => Some(settings),
        _ => None,
    })?;
    settings.iter().find_map(|setting| match setting {
        AfSpecInet::DevConf(values) => Some(values.promote_secondaries != 0),
        _ => None,
    })
}

/// By netlink and not under `/proc/sys`, which a hardened service cannot write to.
async fn set_promotion(netlink: &mut RouteNetlink, index: u32, value: u32) -> Result<(), RequestError> {
    // `struct nlattr`: its length, its kind, the value.
    let mut setting = Vec::from(8_u16.to_ne_bytes());
    setting.extend(PROMOTE_SECONDARIES.to_ne_bytes());
    setting.extend(value.to_ne_bytes());
    let settings = AfSpecInet::Other(DefaultNla::new(IFLA_INET_CONF | NLA_F_NESTED, setting));
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet(vec![settings])]));
    netlink.change(RouteNetlinkMessage::SetLink(link), 0).await
}

impl AddressError {
    fn new(address: &InterfaceAddress, source: RequestError) -> Self {
        let code = match &source {
            RequestError::Refused(error) => error.raw_os_error(),
            RequestError::NoAnswer | RequestError::Closed => None,
        };
        match code {
            Some(libc::EPERM) => Self::NotPermitted,
            Some(libc::ENODEV) => Self::NoInterface(address.clone()),
            Some(libc::EACCES) if address.address.is_ipv6() => Self::Ipv6Disabled(address.interface.clone()),
            Some(libc::EINVAL) if address.scope != Scope::Global => Self::Scope(address.clone()),
            Some(_) | None => Self::Kernel { address: address.clone(), source },
        }
    }
}
