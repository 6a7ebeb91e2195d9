//! A few nodes around one virtual router, as most stories begin.

use std::num::NonZeroU8;
use std::time::Duration;

use simulator::dice::PerMille;
use simulator::kernel::Pace;
use simulator::network::{Order, Quality};
use simulator::site::{
    Cast, Grouping, Hardware, NodeIndex, Proof, Routing, Seat, SegmentIndex, Site, SiteFollow, SiteNode,
    SiteRouter, SiteService, Sorry,
};
use simulator::trace::Detail;
use simulator::world::Setting;
use virtual_server::service::Weight;
use vrrp::{Centiseconds, Family, Preemption, Priority, Restraint, Version};

/// The first node.
pub(crate) const LB1: NodeIndex = NodeIndex(0);
/// The second node.
pub(crate) const LB2: NodeIndex = NodeIndex(1);
/// Where the clients are.
pub(crate) const OUTSIDE: SegmentIndex = SegmentIndex(0);
/// Where the real servers are.
pub(crate) const INSIDE: SegmentIndex = SegmentIndex(1);

/// Nodes of these priorities around one virtual router, two real servers behind it.
pub(crate) fn setting(priorities: &[u32]) -> Setting {
    let node = |priority: &u32| {
        let seat = Seat {
            priority: Priority::new(*priority).expect("between 1 and 254"),
            interval: Centiseconds::DEFAULT,
            preemption: Preemption::Allowed,
            restraint: Restraint::default(),
            start_delay: Duration::ZERO,
        };
        SiteNode { seats: vec![seat], addresses: 1, first_weight: Weight::DEFAULT }
    };
    let router = SiteRouter {
        segment: OUTSIDE,
        version: Version::V3,
        family: Family::V4,
        cast: Cast::Multicast,
        gateway: None,
        hardware: Hardware::Interface,
        routing: Routing::Still,
    };
    let service = SiteService {
        follow: SiteFollow::Routers,
        real_servers: 2,
        quorum: 1,
        sorry: Sorry::Present,
        check_interval: Duration::from_secs(1),
        rise: NonZeroU8::MIN,
        fall: NonZeroU8::MIN.saturating_add(1),
    };
    Setting {
        site: Site {
            nodes: priorities.iter().map(node).collect(),
            routers: vec![router],
            grouping: Grouping::Apart,
            proof: Proof::Spared,
            tracks: Vec::new(),
            preparation: None,
            service: Some(service),
        },
        quality: Quality {
            shortest_delay: Duration::from_micros(100),
            longest_delay: Duration::from_micros(200),
            order: Order::Kept,
            loss: PerMille(0),
            duplication: PerMille(0),
        },
        pace: Pace { chunk_time: Duration::from_millis(2), chunk: 100 },
        detail: Detail::Story,
    }
}

/// The same with a second virtual router inside, the two of them a sync group.
pub(crate) fn sync_group(priorities: &[u32]) -> Setting {
    let mut setting = setting(priorities);
    let inside = SiteRouter { segment: INSIDE, ..setting.site.routers[0] };
    setting.site.routers.push(inside);
    setting.site.grouping = Grouping::Together;
    for node in &mut setting.site.nodes {
        node.seats.push(node.seats[0]);
    }
    setting
}
