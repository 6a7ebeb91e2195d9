//! How many inputs one core handles in a second, with all invariants on: five nodes behind which real servers are
//! checked, and whose Active crashes again and again. Prints one line with the number.
#![expect(clippy::disallowed_methods, reason = "real time is what is measured")]

use std::fs;
use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use simulator::dice::PerMille;
use simulator::fault::Fault;
use simulator::invariants::Broken;
use simulator::kernel::Pace;
use simulator::network::{Order, Quality};
use simulator::site::{
    Cast, Grouping, Hardware, NodeIndex, Proof, Routing, Seat, SegmentIndex, Site, SiteFollow, SiteNode,
    SiteRouter, SiteService, Sorry,
};
use simulator::trace::Detail;
use simulator::world::{Setting, World};
use virtual_server::service::Weight;
use vrrp::{Centiseconds, Family, Preemption, Priority, Restraint, Version};

/// Long enough that one slow moment of the machine does not decide.
const TIME: Duration = Duration::from_secs(3);

fn main() -> Result<(), Broken> {
    let mut world = World::new(setting(), 1);
    for node in 0..5 {
        world.inflict(Fault::Start(NodeIndex(node)))?;
    }
    let (began, before) = (Instant::now(), processor_time());
    while began.elapsed() < TIME {
        world.run_for(Duration::from_secs(30))?;
        world.inflict(Fault::Crash(NodeIndex(0)))?;
        world.run_for(Duration::from_secs(30))?;
        world.inflict(Fault::Start(NodeIndex(0)))?;
    }
    let took = processor_time().saturating_sub(before);
    let per_second = u128::from(world.inputs()) * 1_000_000 / took.as_micros();
    println!("{per_second} inputs per second and core, all invariants on");
    Ok(())
}

/// Returns how long this process has been on a processor: what else runs on the machine does not count.
fn processor_time() -> Duration {
    let statistics = fs::read_to_string("/proc/self/schedstat").expect("Linux has it");
    let nanoseconds = statistics.split_whitespace().next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.expect("it begins with the time on the processor, in nanoseconds"))
}

fn setting() -> Setting {
    let seat = |priority| Seat {
        priority: Priority::new(priority).expect("between 1 and 254"),
        interval: Centiseconds::new(10),
        preemption: Preemption::Allowed,
        restraint: Restraint::default(),
        start_delay: Duration::ZERO,
    };
    let node =
        |priority| SiteNode { seats: vec![seat(priority)], addresses: 1, first_weight: Weight::DEFAULT };
    let router = SiteRouter {
        segment: SegmentIndex(0),
        version: Version::V3,
        family: Family::V4,
        cast: Cast::Multicast,
        gateway: None,
        hardware: Hardware::Interface,
        routing: Routing::Still,
    };
    let service = SiteService {
        follow: SiteFollow::Routers,
        real_servers: 3,
        quorum: 1,
        sorry: Sorry::Present,
        check_interval: Duration::from_secs(1),
        rise: NonZeroU8::MIN,
        fall: NonZeroU8::MIN,
    };
    Setting {
        site: Site {
            nodes: [200, 150, 120, 100, 100].map(node).to_vec(),
            routers: vec![router],
            grouping: Grouping::Apart,
            proof: Proof::Spared,
            tracks: Vec::new(),
            preparation: None,
            service: Some(service),
        },
        quality: Quality {
            shortest_delay: Duration::from_micros(50),
            longest_delay: Duration::from_micros(300),
            order: Order::Kept,
            loss: PerMille(0),
            duplication: PerMille(0),
        },
        pace: Pace { chunk_time: Duration::from_millis(1), chunk: 100 },
        detail: Detail::Nothing,
    }
}
