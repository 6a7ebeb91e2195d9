//! The router that leads from an interface to the rest of the world.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use neli::consts::socket::{Msg, NlFamily};
use neli::socket::NlSocket;
use neli::utils::Groups;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use vrrp::Family;

/// Addresses that are in no smaller network than the world; those of two root name servers.
const FAR_AWAY_V4: Ipv4Addr = Ipv4Addr::new(198, 41, 0, 4);
const FAR_AWAY_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0x0503, 0xBA3E, 0, 0, 0, 2, 0x30);

/// A route in the kernel's answer is far smaller.
const ANSWER_OCTETS: usize = 4_096;

/// Returns the gateway to which the kernel would send through this interface what goes to the world; nothing where there is none.
///
/// The kernel looks its own routes up within the call (`RTM_GETROUTE`, `rtnetlink(7)`); nothing is sent.
///
/// # Errors
/// The kernel's, when it opens no socket or does not answer.
pub fn towards_the_world(interface_index: u32, family: Family) -> io::Result<Option<IpAddr>> {
    let socket = NlSocket::connect(NlFamily::Route, None, Groups::empty())?;
    socket.nonblock()?;
    socket.send(question(interface_index, family), Msg::empty())?;
    let mut answer = vec![0; ANSWER_OCTETS];
    let (length, _) = socket.recv(&mut answer, Msg::empty())?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer[..length]);
    if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) =
        answer.map_err(io::Error::other)?.payload
    {
        return Ok(gateway(&route));
    }
    // That there is no route is an error to the kernel.
    Ok(None)
}

fn question(interface_index: u32, family: Family) -> Vec<u8> {
    let mut route = RouteMessage::default();
    let (address_family, prefix_length, destination) = match family {
        Family::V4 => (AddressFamily::Inet, 32, RouteAddress::Inet(FAR_AWAY_V4)),
        Family::V6 => (AddressFamily::Inet6, 128, RouteAddress::Inet6(FAR_AWAY_V6)),
    };
    route.header.address_family = address_family;
    route.header.destination_prefix_length = prefix_length;
    route.attributes = vec![RouteAttribute::Destination(destination), RouteAttribute::Oif(interface_index)];
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetRoute(route));
    message.header.flags = NLM_F_REQUEST;
    message.finalize();
    let mut octets = vec![0; message.buffer_len()];
    message.serialize(&mut octets);
    octets
}

fn gateway(route: &RouteMessage) -> Option<IpAddr> {
    route.attributes.iter().find_map(|attribute| {
        if let RouteAttribute::Gateway(RouteAddress::Inet(address)) = attribute {
            Some(IpAddr::V4(*address))
        } else if let RouteAttribute::Gateway(RouteAddress::Inet6(address)) = attribute {
            Some(IpAddr::V6(*address))
        } else {
            None
        }
    })
}
