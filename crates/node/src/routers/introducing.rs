//! Telling the neighbours anew where addresses are when this node's interface has changed.

use std::net::IpAddr;
use std::time::Duration;

use monotonic::Instant;
use vrrp::announcement;

use super::member::Standing;
use super::{Announcement, Routers, RoutersOutput};
use crate::config::{InterfaceAddress, Transport};
use crate::name::{InterfaceName, RouterName};

impl Routers {
    /// Tells the peers of a unicast virtual router where this node is: their packets go to the hardware address that they
    /// last knew, and while this node took no part it may have got another.
    pub(super) fn introduce(&self, name: &RouterName, outputs: &mut Vec<RoutersOutput>) {
        let Some(member) = self.members.get(name) else { return };
        let (Standing::Running(machine), Transport::Unicast { .. }) =
            (&member.standing, &member.config.transport)
        else {
            return;
        };
        let interface = &member.config.interface;
        let Some((link, mac)) = self.links.get(interface).and_then(|link| Some((link.index, link.mac?)))
        else {
            return;
        };
        let source = machine.parameters().source;
        let frame = announcement::frame(source, mac);
        let address = InterfaceAddress::new(interface.clone(), source, host_prefix(source));
        let introduction = RoutersOutput::Introduce(Announcement { address, link, frame, count: 1 });
        // One is enough for all virtual routers that advertise from there.
        if !outputs.contains(&introduction) {
            outputs.push(introduction);
        }
    }

    /// Announces everything on an interface anew, which has another hardware address now.
    pub(super) fn follow_hardware_address(
        &mut self,
        interface: &InterfaceName,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        let names: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| member.config.interface == *interface)
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            self.introduce(&name, outputs);
        }
        let Self { announcing, members, links, .. } = self;
        let addresses = members.values().flat_map(|member| member.config.all_addresses());
        let here = addresses.filter(|address| address.interface == *interface);
        let announcements = announcing.repeat(here, Duration::ZERO, links, now);
        outputs.extend(announcements.into_iter().map(RoutersOutput::Announce));
    }
}

fn host_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}
