//! When a new IPv6 address begins to answer.
//!
//! Linux puts the address on its interface and acknowledges it, and a worker of the kernel's own then tells everybody of it
//! and adds the local route (`addrconf_dad_work`). Until that stands the kernel takes packets to the address for those of
//! another machine in the subnet: they are dropped, or sent out again. IPv4 has the route at the acknowledgement.

use std::net::IpAddr;
use std::time::Duration;

use node::config::InterfaceAddress;
use tokio::time::{Instant, timeout};

use crate::record::Record;
use crate::route;
use crate::route_netlink::RouteNetlink;

/// How long addresses are waited for that were taken together. The kernel's worker is there within a tenth of a millisecond
/// where a processor is free for it; one that has not come by then may as well be much later.
pub(super) const LIMIT: Duration = Duration::from_millis(250);

/// How long to wait for news of the kernel before it is asked again.
const PAUSE: Duration = Duration::from_millis(1);

/// What came of waiting for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It answers, or its time is up.
    Arrived,
    /// Somebody has removed it.
    Gone,
}

/// Waits until the kernel takes packets to an address that it has acknowledged.
pub(super) async fn arrival(
    netlink: &mut RouteNetlink,
    record: &Record,
    address: &InterfaceAddress,
    deadline: Instant,
) -> Arrival {
    let IpAddr::V6(number) = address.address else { return Arrival::Arrived };
    loop {
        let Some((index, interface)) = netlink.interfaces().find(&address.interface) else {
            return Arrival::Gone;
        };
        if interface.own(address, record).is_none() {
            return Arrival::Gone;
        }
        let answers = route::is_local(netlink, index, number).await;
        if answers || Instant::now() >= deadline {
            return Arrival::Arrived;
        }
        // It tells of the address just before it adds the route.
        let told = timeout(PAUSE, netlink.told()).await;
        if let Ok(Err(_)) = told {
            // What fails here fails again where it is dealt with.
            return Arrival::Arrived;
        }
    }
}
