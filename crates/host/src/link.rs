//! The network interfaces and their addresses, as the kernel tells of them.

// What the kernel says is a foreign enum that keeps growing; what has no name here is of no interest.
#![allow(clippy::wildcard_enum_match_arm)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use node::config::{InterfaceAddress, Scope};
use node::device::VirtualDevice;
use node::link::{LinkEvent, LinkState};
use node::name::{AddressLabel, InterfaceName};
use vrrp::MacAddress;

use crate::device::OWN_GROUP;
use crate::record::Record;

/// One address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) ip: IpAddr,
    pub(crate) prefix_length: u8,
    /// `IFA_PROTO`; kernels before 5.18 have none.
    pub(crate) tag: Option<u8>,
    pub(crate) flags: AddressFlags,
    /// Where it is not the interface's name.
    pub(crate) label: Option<AddressLabel>,
    /// Always [`Scope::Global`] for IPv6, whose addresses say so themselves.
    pub(crate) scope: Scope,
}

/// One network interface.
#[derive(Clone, Debug)]
pub(crate) struct Interface {
    pub(crate) name: InterfaceName,
    /// The interface below it, and its hardware address, where it is a device of Baton's own.
    own_device: Option<(u32, MacAddress)>,
    is_up: bool,
    mac: Option<MacAddress>,
    /// In the kernel's order.
    addresses: Vec<Address>,
}

/// Every network interface.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interfaces {
    by_index: BTreeMap<u32, Interface>,
    /// Those that were told of since [`Interfaces::events`] was last called.
    touched: BTreeSet<u32>,
    /// What [`Interfaces::events`] has told.
    told: BTreeMap<u32, (InterfaceName, LinkState)>,
}

impl Interfaces {
    /// Takes in what the kernel tells, as an answer or by itself.
    pub(crate) fn apply(&mut self, message: &RouteNetlinkMessage) {
        match message {
            RouteNetlinkMessage::NewLink(link) => self.link(link),
            // A bridge tells so of ports that leave it; the interface stays.
            RouteNetlinkMessage::DelLink(link) if link.header.interface_family == AddressFamily::Bridge => {}
            RouteNetlinkMessage::DelLink(link) => {
                self.by_index.remove(&link.header.index);
                self.touched.insert(link.header.index);
            }
            RouteNetlinkMessage::NewAddress(message) => self.new_address(message),
            RouteNetlinkMessage::DelAddress(message) => self.removed_address(message),
            _ => {}
        }
    }

    /// Forgets everything but what it has told, before the kernel tells everything anew.
    pub(crate) fn forget(&mut self) {
        self.touched.extend(self.by_index.keys().chain(self.told.keys()));
        self.by_index.clear();
    }

    fn link(&mut self, message: &LinkMessage) {
        if message.header.interface_family == AddressFamily::Bridge {
            return;
        }
        let name = message.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => InterfaceName::new(name).ok(),
            _ => None,
        });
        // A name that no configuration can have is of no interest.
        let Some(name) = name else { return };
        let flags = message.header.flags;
        let mac = message.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Address(octets) => octets.as_slice().try_into().ok().map(MacAddress),
            _ => None,
        });
        let has_neighbours =
            message.header.link_layer_type == LinkLayerType::Ether && !flags.contains(LinkFlags::Noarp);
        let addresses =
            self.by_index.remove(&message.header.index).map_or_else(Vec::new, |before| before.addresses);
        let interface = Interface {
            name,
            own_device: mac.and_then(|mac| Some((own_parent(message)?, mac))),
            is_up: flags.contains(LinkFlags::Up | LinkFlags::Running),
            mac: mac.filter(|_| has_neighbours),
            addresses,
        };
        self.by_index.insert(message.header.index, interface);
        self.touched.insert(message.header.index);
    }

    fn new_address(&mut self, message: &AddressMessage) {
        let Some(interface) = self.by_index.get_mut(&message.header.index) else { return };
        let Some(address) = Address::read(message, &interface.name) else { return };
        let known = interface.addresses.iter_mut().find(|known| known.is_same(&address));
        match known {
            Some(known) => *known = address,
            None => interface.addresses.push(address),
        }
        self.touched.insert(message.header.index);
    }

    fn removed_address(&mut self, message: &AddressMessage) {
        let Some(interface) = self.by_index.get_mut(&message.header.index) else { return };
        let Some(address) = Address::read(message, &interface.name) else { return };
        interface.addresses.retain(|known| !known.is_same(&address));
        self.touched.insert(message.header.index);
    }

    /// Returns the interface of this name and its index.
    pub(crate) fn find(&self, name: &InterfaceName) -> Option<(u32, &Interface)> {
        let (index, interface) = self.by_index.iter().find(|(_, interface)| interface.name == *name)?;
        Some((*index, interface))
    }

    /// Returns the name of the interface of this index.
    pub(crate) fn name(&self, index: u32) -> Option<InterfaceName> {
        self.by_index.get(&index).map(|interface| interface.name.clone())
    }

    /// Returns every device that is Baton's own.
    pub(crate) fn own_devices(&self) -> BTreeSet<VirtualDevice> {
        let own = |interface: &Interface| {
            let (parent, mac) = interface.own_device?;
            Some(VirtualDevice { name: interface.name.clone(), parent: self.name(parent)?, mac })
        };
        self.by_index.values().filter_map(own).collect()
    }

    /// Returns every address that is Baton's own.
    pub(crate) fn own_addresses(&self, record: &Record) -> BTreeSet<InterfaceAddress> {
        let mut own = BTreeSet::new();
        for Interface { name, addresses, .. } in self.by_index.values() {
            let owned = addresses.iter().filter(|address| record.owns_address(name, address));
            own.extend(owned.map(|address| address.on(name)));
        }
        own
    }

    /// Returns how the interfaces are that changed since the last call.
    pub(crate) fn events(&mut self, record: &Record) -> Vec<LinkEvent> {
        let (mut gone, mut changed) = (Vec::new(), Vec::new());
        for index in std::mem::take(&mut self.touched) {
            let now = self
                .by_index
                .get(&index)
                .map(|interface| (interface.name.clone(), interface.state(index, record)));
            let before = match &now {
                Some(now) => self.told.insert(index, now.clone()),
                None => self.told.remove(&index),
            };
            if before == now {
                continue;
            }
            if let Some((name, _)) = before
                && now.as_ref().is_none_or(|(now, _)| *now != name)
            {
                gone.push(LinkEvent { interface: name, state: None });
            }
            changed.extend(now.map(|(interface, state)| LinkEvent { interface, state: Some(state) }));
        }
        // What is gone comes first: another interface may have its name by now.
        gone.append(&mut changed);
        gone
    }
}

impl Interface {
    /// Returns its hardware address, where neighbours ask for one.
    pub(crate) fn mac(&self) -> Option<MacAddress> {
        self.mac
    }

    /// Returns the address of this number, whatever its prefix.
    pub(crate) fn address(&self, address: IpAddr) -> Option<&Address> {
        self.addresses.iter().find(|known| known.ip == address)
    }

    /// Returns this address, where it is there as Baton's own.
    pub(crate) fn own(&self, own: &InterfaceAddress, record: &Record) -> Option<&Address> {
        let is_it = |there: &&Address| {
            there.ip == own.address && there.on(&self.name) == *own && record.owns_address(&self.name, there)
        };
        self.addresses.iter().find(is_it)
    }

    /// Tells whether the kernel may delete others along with this address: those that came after it into its subnet.
    pub(crate) fn may_have_followers(&self, address: &Address) -> bool {
        let Some(subnet) = address.subnet_v4() else { return false };
        let is_first = !address.flags.contains(AddressFlags::Secondary);
        let mut others = self.addresses.iter().filter(|other| other.ip != address.ip);
        is_first && others.any(|other| other.subnet_v4() == Some(subnet))
    }

    fn state(&self, index: u32, record: &Record) -> LinkState {
        let foreign: Vec<_> =
            self.addresses.iter().filter(|address| !record.owns_address(&self.name, address)).collect();
        // Where there is nothing but secondaries of a virtual address, the first of them is as good a source.
        let primary_v4 = foreign
            .iter()
            .filter_map(|address| Some((address.v4()?, address.flags.contains(AddressFlags::Secondary))))
            .min_by_key(|&(_, is_secondary)| is_secondary);
        let unusable = AddressFlags::Tentative | AddressFlags::Dadfailed;
        let link_local = foreign
            .iter()
            .filter(|address| !address.flags.intersects(unusable))
            .filter_map(|address| address.v6())
            .find(Ipv6Addr::is_unicast_link_local);
        LinkState {
            index,
            is_up: self.is_up,
            mac: self.mac,
            primary_v4: primary_v4.map(|(address, _)| address),
            link_local,
            addresses: foreign.iter().map(|address| address.ip).collect(),
        }
    }
}

/// Returns the interface below a device that is Baton's own.
fn own_parent(message: &LinkMessage) -> Option<u32> {
    let (mut parent, mut is_macvlan, mut is_own) = (None, false, false);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Link(index) => parent = Some(*index),
            LinkAttribute::Group(group) => is_own = *group == OWN_GROUP,
            LinkAttribute::LinkInfo(infos) => is_macvlan = infos.contains(&LinkInfo::Kind(InfoKind::MacVlan)),
            _ => {}
        }
    }
    parent.filter(|_| is_macvlan && is_own)
}

impl Address {
    fn read(message: &AddressMessage, interface: &InterfaceName) -> Option<Self> {
        let (mut local, mut peer, mut tag, mut label) = (None, None, None, None);
        let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Local(address) => local = Some(*address),
                AddressAttribute::Address(address) => peer = Some(*address),
                AddressAttribute::Flags(all) => flags = *all,
                AddressAttribute::Protocol(protocol) => tag = Some((*protocol).into()),
                AddressAttribute::Label(text) if text != interface.as_str() => {
                    label = AddressLabel::new(text).ok();
                }
                _ => {}
            }
        }
        // On a point-to-point interface `IFA_ADDRESS` is the other end; IPv6 leaves `IFA_LOCAL` out elsewhere.
        let ip = local.or(peer)?;
        let scope = match (ip, message.header.scope) {
            (IpAddr::V4(_), AddressScope::Site) => Scope::Site,
            (IpAddr::V4(_), AddressScope::Link) => Scope::Link,
            (IpAddr::V4(_), AddressScope::Host) => Scope::Host,
            (IpAddr::V4(_) | IpAddr::V6(_), _) => Scope::Global,
        };
        Some(Self { ip, prefix_length: message.header.prefix_len, tag, flags, label, scope })
    }

    fn on(&self, interface: &InterfaceName) -> InterfaceAddress {
        let Self { ip, prefix_length, scope, ref label, tag: _, flags: _ } = *self;
        InterfaceAddress {
            interface: interface.clone(),
            address: ip,
            prefix_length,
            label: label.clone(),
            scope,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        (self.ip, self.prefix_length) == (other.ip, other.prefix_length)
    }

    fn v4(&self) -> Option<Ipv4Addr> {
        match self.ip {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }

    /// The prefix and its length.
    fn subnet_v4(&self) -> Option<(u32, u8)> {
        let (address, length) = (self.v4()?, self.prefix_length);
        let rest = u32::MAX.checked_shr(length.into()).unwrap_or(0);
        Some((address.to_bits() & !rest, length))
    }

    fn v6(&self) -> Option<Ipv6Addr> {
        match self.ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(address),
        }
    }
}
