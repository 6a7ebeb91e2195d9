//! IPVS in generic netlink's terms (`/usr/include/linux/ip_vs.h`): commands, attributes, and Baton's types to and fro.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::io::Cursor;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;

use neli::attr::{AttrHandle, Attribute};
use neli::consts::nl::NlmF;
use neli::genl::{Genlmsghdr, GenlmsghdrBuilder, Nlattr};
use neli::types::{Buffer, GenlBuffer};
use neli::{FromBytes, FromBytesWithInput};
use node::plan::ServiceChange;
use virtual_server::service::{
    Destination, Forwarding, MarkFamily, Persistence, Protocol, Scheduler, Service, ServiceFlag, ServiceKey,
    Weight,
};

use crate::netlink::{Batch, Envelope};

/// The version of IPVS's messages and of generic netlink's own.
const FAMILY_VERSION: u8 = 1;

/// The name of the generic netlink family.
const FAMILY_NAME: &CStr = c"IPVS";

/// The commands, `IPVS_CMD_*`.
const NEW_SERVICE: u8 = 1;
const SET_SERVICE: u8 = 2;
const DEL_SERVICE: u8 = 3;
const GET_SERVICE: u8 = 4;
const NEW_DESTINATION: u8 = 5;
const SET_DESTINATION: u8 = 6;
const DEL_DESTINATION: u8 = 7;
const GET_DESTINATION: u8 = 8;

/// The attributes of a command, `IPVS_CMD_ATTR_*`.
const SERVICE: u16 = 1;
const DESTINATION: u16 = 2;

/// The attributes of a service, `IPVS_SVC_ATTR_*`.
mod service {
    pub(super) const FAMILY: u16 = 1;
    pub(super) const PROTOCOL: u16 = 2;
    pub(super) const ADDRESS: u16 = 3;
    pub(super) const PORT: u16 = 4;
    pub(super) const MARK: u16 = 5;
    pub(super) const SCHEDULER: u16 = 6;
    pub(super) const FLAGS: u16 = 7;
    pub(super) const TIMEOUT: u16 = 8;
    pub(super) const NETMASK: u16 = 9;
}

/// The attributes of a destination, `IPVS_DEST_ATTR_*`.
mod destination {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const PORT: u16 = 2;
    pub(super) const FORWARDING: u16 = 3;
    pub(super) const WEIGHT: u16 = 4;
    pub(super) const UPPER_THRESHOLD: u16 = 5;
    pub(super) const LOWER_THRESHOLD: u16 = 6;
    pub(super) const FAMILY: u16 = 11;
    pub(super) const TUNNEL_TYPE: u16 = 13;
}

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// `IP_VS_SVC_F_PERSISTENT`
const PERSISTENT: u32 = 0x01;

/// `IP_VS_CONN_F_FWD_MASK` and what is in it.
const FORWARDING_MASK: u32 = 0x07;
const MASQUERADING: u32 = 0;
const TUNNEL: u32 = 2;
const DIRECT_ROUTE: u32 = 3;

/// `IP_VS_CONN_F_TUNNEL_TYPE_IPIP`
const IP_IN_IP: u8 = 0;

/// The longest prefixes, in bits.
const IPV4_BITS: u8 = 32;
const IPV6_BITS: u8 = 128;

type Attributes<'a> = AttrHandle<'a, GenlBuffer<u16, Buffer>, Nlattr<u16, Buffer>>;

/// The header of a message of IPVS or of generic netlink itself.
fn header(command: u8) -> Genlmsghdr<u8, u16> {
    GenlmsghdrBuilder::default()
        .cmd(command)
        .version(FAMILY_VERSION)
        .build()
        .expect("command and version are all it needs")
}

/// Adds the message that makes a change to a batch.
pub(super) fn write_change(envelope: Envelope, change: &ServiceChange, batch: &mut Batch) {
    match change {
        ServiceChange::Add(service) => {
            batch.message(envelope, header(NEW_SERVICE), |message| whole_service(message, service));
        }
        ServiceChange::Edit(service) => {
            batch.message(envelope, header(SET_SERVICE), |message| whole_service(message, service));
        }
        ServiceChange::Remove(key) => {
            batch.message(envelope, header(DEL_SERVICE), |message| service_key(message, *key));
        }
        ServiceChange::AddDestination(key, address, destination) => {
            batch.message(envelope, header(NEW_DESTINATION), |message| {
                service_key(message, *key);
                whole_destination(message, *address, *destination);
            });
        }
        ServiceChange::EditDestination(key, address, destination) => {
            batch.message(envelope, header(SET_DESTINATION), |message| {
                service_key(message, *key);
                whole_destination(message, *address, *destination);
            });
        }
        ServiceChange::RemoveDestination(key, address) => {
            batch.message(envelope, header(DEL_DESTINATION), |message| {
                service_key(message, *key);
                message.nested(DESTINATION, |inner| destination_key_attributes(inner, *address));
            });
        }
    }
}

/// Adds the message that asks for every service to a batch.
pub(super) fn write_services_query(envelope: Envelope, batch: &mut Batch) {
    batch.message(envelope, header(GET_SERVICE), |_| {});
}

/// Adds the message that asks for every destination of a service to a batch.
pub(super) fn write_destinations_query(envelope: Envelope, key: ServiceKey, batch: &mut Batch) {
    batch.message(envelope, header(GET_DESTINATION), |message| service_key(message, key));
}

/// Adds the message that asks generic netlink for the number of the family to a batch.
pub(super) fn write_family_query(sequence: u32, batch: &mut Batch) {
    let family = u16::try_from(libc::GENL_ID_CTRL).expect("generic netlink's own family has a small number");
    let envelope = Envelope { kind: family, sequence, flags: NlmF::empty() };
    let command = u8::try_from(libc::CTRL_CMD_GETFAMILY).expect("a command is a small number");
    let name = u16::try_from(libc::CTRL_ATTR_FAMILY_NAME).expect("an attribute is a small number");
    batch.message(envelope, header(command), |message| {
        message.attribute(name, FAMILY_NAME.to_bytes_with_nul());
    });
}

fn service_key(message: &mut Batch, key: ServiceKey) {
    message.nested(SERVICE, |inner| service_key_attributes(inner, key));
}

fn service_key_attributes(inner: &mut Batch, key: ServiceKey) {
    match key {
        ServiceKey::Address { protocol, address } => {
            inner.attribute(service::FAMILY, &family(address.ip()).to_ne_bytes());
            inner.attribute(service::PROTOCOL, &protocol_number(protocol).to_ne_bytes());
            inner.attribute(service::ADDRESS, &sixteen_octets(address.ip()));
            inner.attribute(service::PORT, &address.port().to_be_bytes());
        }
        ServiceKey::Mark { family, mark } => {
            let family = match family {
                MarkFamily::V4 => AF_INET,
                MarkFamily::V6 => AF_INET6,
            };
            inner.attribute(service::FAMILY, &family.to_ne_bytes());
            inner.attribute(service::MARK, &mark.get().to_ne_bytes());
        }
    }
}

fn whole_service(message: &mut Batch, service: &Service) {
    let mut flags = service.flags.iter().fold(0, |flags, flag| flags | flag.bit());
    let is_ipv4 = is_ipv4(service.key);
    let (mut timeout, mut prefix_length) = (0, if is_ipv4 { IPV4_BITS } else { IPV6_BITS });
    if let Some(persistence) = service.persistence {
        flags |= PERSISTENT;
        (timeout, prefix_length) = (persistence.timeout_seconds.get(), persistence.prefix_length);
    }
    // IPv4 wants the mask as it stands in a packet, IPv6 the number of its bits.
    let netmask = if is_ipv4 { mask(prefix_length).to_be() } else { u32::from(prefix_length) };
    // `struct ip_vs_flags`: the flags, and which of them are meant.
    let mut flags_and_mask = [0; 8];
    flags_and_mask[..4].copy_from_slice(&flags.to_ne_bytes());
    flags_and_mask[4..].copy_from_slice(&u32::MAX.to_ne_bytes());

    message.nested(SERVICE, |inner| {
        service_key_attributes(inner, service.key);
        inner.attribute(service::SCHEDULER, &terminated(service.scheduler.name()));
        inner.attribute(service::FLAGS, &flags_and_mask);
        inner.attribute(service::TIMEOUT, &timeout.to_ne_bytes());
        inner.attribute(service::NETMASK, &netmask.to_ne_bytes());
    });
}

fn destination_key_attributes(inner: &mut Batch, address: SocketAddr) {
    inner.attribute(destination::FAMILY, &family(address.ip()).to_ne_bytes());
    inner.attribute(destination::ADDRESS, &sixteen_octets(address.ip()));
    inner.attribute(destination::PORT, &address.port().to_be_bytes());
}

fn whole_destination(message: &mut Batch, address: SocketAddr, destination: Destination) {
    let forwarding = match destination.forwarding {
        Forwarding::Nat => MASQUERADING,
        Forwarding::Direct => DIRECT_ROUTE,
        Forwarding::Tunnel => TUNNEL,
    };
    message.nested(DESTINATION, |inner| {
        destination_key_attributes(inner, address);
        inner.attribute(destination::FORWARDING, &forwarding.to_ne_bytes());
        inner.attribute(destination::WEIGHT, &u32::from(destination.weight.get()).to_ne_bytes());
        // No limits on the number of connections.
        inner.attribute(destination::UPPER_THRESHOLD, &0_u32.to_ne_bytes());
        inner.attribute(destination::LOWER_THRESHOLD, &0_u32.to_ne_bytes());
        inner.attribute(destination::TUNNEL_TYPE, &IP_IN_IP.to_ne_bytes());
    });
}

/// Text ends with a zero.
fn terminated(text: &str) -> Vec<u8> {
    text.bytes().chain([0]).collect()
}

fn family(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(_) => AF_INET,
        IpAddr::V6(_) => AF_INET6,
    }
}

/// `union nf_inet_addr` is as long as an IPv6 address, whatever is in it.
fn sixteen_octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&address.octets());
            octets
        }
        IpAddr::V6(address) => address.octets(),
    }
}

fn protocol_number(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    }
}

fn is_ipv4(key: ServiceKey) -> bool {
    match key {
        ServiceKey::Address { address, .. } => address.is_ipv4(),
        ServiceKey::Mark { family, .. } => match family {
            MarkFamily::V4 => true,
            MarkFamily::V6 => false,
        },
    }
}

fn mask(prefix_length: u8) -> u32 {
    u32::MAX.checked_shl(u32::from(IPV4_BITS.saturating_sub(prefix_length))).unwrap_or(0)
}

/// Reads the number of the family from generic netlink's answer.
pub(super) fn read_family(payload: &[u8]) -> Option<u16> {
    let kind = u16::try_from(libc::CTRL_ATTR_FAMILY_ID).expect("an attribute is a small number");
    read(&message(payload)?.get_attr_handle(), kind)
}

/// Reads one service, without its destinations; nothing when it has what Baton has no word for.
pub(super) fn read_service(payload: &[u8]) -> Option<Service> {
    let attributes = message(payload)?;
    let attributes = attributes.get_attr_handle();
    let outer = find(&attributes, SERVICE)?;
    let attributes: Attributes<'_> = outer.get_attr_handle().ok()?;
    let key = read_service_key(&attributes)?;
    let scheduler = find(&attributes, service::SCHEDULER)?.get_payload_as_with_len::<String>().ok()?;
    let flags: [u8; 8] = read(&attributes, service::FLAGS)?;
    let [a, b, c, d, ..] = flags;
    let flags = u32::from_ne_bytes([a, b, c, d]);
    let timeout = read::<u32>(&attributes, service::TIMEOUT).and_then(NonZeroU32::new);
    let netmask: u32 = read(&attributes, service::NETMASK)?;
    let prefix_length =
        if is_ipv4(key) { u32::from_be(netmask).leading_ones() } else { netmask.min(u32::from(IPV6_BITS)) };
    let prefix_length = u8::try_from(prefix_length).ok()?;
    let persistence = timeout
        .filter(|_| flags & PERSISTENT != 0)
        .map(|timeout_seconds| Persistence { timeout_seconds, prefix_length });
    Some(Service {
        key,
        scheduler: scheduler.parse::<Scheduler>().ok()?,
        // The kernel sets others by itself: that the service is in its table, that it is persistent.
        flags: ServiceFlag::ALL.into_iter().filter(|flag| flags & flag.bit() != 0).collect::<BTreeSet<_>>(),
        persistence,
        destinations: BTreeMap::new(),
    })
}

fn read_service_key(attributes: &Attributes<'_>) -> Option<ServiceKey> {
    let family: u16 = read(attributes, service::FAMILY)?;
    if let Some(mark) = read::<u32>(attributes, service::MARK).and_then(NonZeroU32::new) {
        let family = if family == AF_INET { MarkFamily::V4 } else { MarkFamily::V6 };
        return Some(ServiceKey::Mark { family, mark });
    }
    let number: u16 = read(attributes, service::PROTOCOL)?;
    let protocol = Protocol::ALL.into_iter().find(|protocol| protocol_number(*protocol) == number)?;
    let address = read_address(attributes, family, service::ADDRESS, service::PORT)?;
    Some(ServiceKey::Address { protocol, address })
}

/// Reads one destination of a service of this family; nothing when it has what Baton has no word for.
pub(super) fn read_destination(payload: &[u8], key: ServiceKey) -> Option<(SocketAddr, Destination)> {
    let attributes = message(payload)?;
    let attributes = attributes.get_attr_handle();
    let outer = find(&attributes, DESTINATION)?;
    let attributes: Attributes<'_> = outer.get_attr_handle().ok()?;
    let family =
        read(&attributes, destination::FAMILY).unwrap_or(if is_ipv4(key) { AF_INET } else { AF_INET6 });
    let address = read_address(&attributes, family, destination::ADDRESS, destination::PORT)?;
    let forwarding = match read::<u32>(&attributes, destination::FORWARDING)? & FORWARDING_MASK {
        MASQUERADING => Forwarding::Nat,
        TUNNEL => Forwarding::Tunnel,
        DIRECT_ROUTE => Forwarding::Direct,
        _ => return None,
    };
    let weight = Weight::new(u16::try_from(read::<u32>(&attributes, destination::WEIGHT)?).ok()?);
    Some((address, Destination { weight, forwarding }))
}

fn read_address(attributes: &Attributes<'_>, family: u16, address: u16, port: u16) -> Option<SocketAddr> {
    let octets: [u8; 16] = read(attributes, address)?;
    let port = u16::from_be_bytes(read(attributes, port)?);
    let ip = match family {
        AF_INET => Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]).into(),
        AF_INET6 => Ipv6Addr::from(octets).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn message(payload: &[u8]) -> Option<GenlBuffer<u16, Buffer>> {
    let message: Genlmsghdr<u8, u16> =
        Genlmsghdr::from_bytes_with_input(&mut Cursor::new(payload), payload.len()).ok()?;
    Some(message.attrs().clone())
}

fn find<'a>(attributes: &'a Attributes<'_>, kind: u16) -> Option<&'a Nlattr<u16, Buffer>> {
    attributes.iter().find(|attribute| *attribute.nla_type().nla_type() == kind)
}

fn read<T: FromBytes>(attributes: &Attributes<'_>, kind: u16) -> Option<T> {
    find(attributes, kind)?.get_payload_as().ok()
}
