//! A world, a schedule of faults and a quiet time after it, all out of one seed.

use std::fmt;
use std::num::NonZeroU8;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use monotonic::Instant;
use node::track::{Delays, Effect, Requirement, Sense, TrackWeight};
use virtual_server::service::Weight;
use vrrp::{Centiseconds, Family, Preemption, Priority, Restraint, Version};

use crate::dice::{Dice, PerMille};
use crate::fault::{Clock, Fault, Hooks, Reload};
use crate::invariants::Broken;
use crate::kernel::{Pace, Temper};
use crate::network::{Order, Quality, Road};
use crate::scene::NodeSet;
use crate::site::{
    Carrier, Cast, Grouping, Hardware, NODE_LIMIT, NodeIndex, Proof, Routing, Seat, SegmentIndex,
    ServerIndex, Sight, Site, SiteFollow, SiteNode, SiteRouter, SiteService, SiteTrack, SiteTrackKind, Sorry,
    TRACK_LIMIT, TrackIndex,
};
use crate::trace::Detail;
use crate::world::{Setting, World};

/// How many faults a schedule has at most, each with its undoing.
const FAULT_LIMIT: u64 = 8;

/// The most changes from one state of a kernel to another: two virtual routers with four addresses each, what is dropped
/// for them, a device, two routes and a rule, and a service with its three real servers and the sorry server.
const CHANGE_LIMIT: usize = 2 * (2 * 4 + 4) * 2 + 2 * 4;

/// A virtual router whose address was refused stays out of its election for half a minute; a quiet time after refusals
/// is that much longer, and only worlds whose nodes advertise rarely have refusals, so that it is not dear.
const PENALTY: Duration = Duration::from_secs(32);

/// The shortest interval of worlds that have refusals.
const RARE: Centiseconds = Centiseconds::new(100);

/// What came of one run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// How many inputs the nodes handled.
    pub inputs: u64,
    /// A number that differs, all but surely, where anything else happened.
    pub fingerprint: u64,
    /// What happened, when it was asked for.
    pub trace: String,
    /// What went wrong, if anything.
    pub failure: Option<Failure>,
}

/// A run that went wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When.
    pub at: Instant,
    /// How.
    pub kind: FailureKind,
}

/// How a run went wrong.
#[derive(Clone, Debug)]
pub enum FailureKind {
    /// An invariant does not hold.
    Broken(Broken),
    /// Something panicked.
    Panicked,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FailureKind::Broken(broken) => write!(formatter, "at {:?}, {broken}", self.at),
            FailureKind::Panicked => write!(formatter, "at {:?}, panicked", self.at),
        }
    }
}

/// Runs the scenario of a seed.
pub fn run(seed: u64, detail: Detail) -> Outcome {
    let mut dice = Dice::new(seed);
    let setting = setting(&mut dice, detail);
    let mut world = World::new(setting.clone(), dice.below(u64::MAX));
    let result = catch_unwind(AssertUnwindSafe(|| play(&mut world, &setting, &mut dice)));
    let kind = match result {
        Ok(Ok(())) => None,
        Ok(Err(broken)) => Some(FailureKind::Broken(broken)),
        Err(_) => Some(FailureKind::Panicked),
    };
    Outcome {
        seed,
        inputs: world.inputs(),
        fingerprint: world.fingerprint(),
        trace: world.trace().to_owned(),
        failure: kind.map(|kind| Failure { at: world.now(), kind }),
    }
}

fn play(world: &mut World, setting: &Setting, dice: &mut Dice) -> Result<(), Broken> {
    let Setting { site, quality, pace, .. } = setting;
    let interval = longest_interval(site).duration();
    for node in site.node_indices() {
        let delay = if dice.chance(PerMille(700)) { Duration::ZERO } else { interval * 4 };
        let at = world.now() + dice.between(Duration::ZERO, Duration::from_millis(2) + delay);
        world.schedule(at, Fault::Start(node));
    }
    if dice.chance(PerMille(300)) {
        world.inflict(Fault::Shortage(PerMille(30)))?;
    }
    let chaos = interval * (4 + u32::try_from(dice.below(9)).expect("below 9"));
    let from = world.now();
    let mut refused = false;
    for _ in 0..dice.below(FAULT_LIMIT + 1) {
        let at = from + dice.between(Duration::ZERO, chaos);
        let until = (at + dice.between(Duration::ZERO, interval * 7)).min(from + chaos);
        let (fault, undoing) = fault(site, dice);
        refused |= matches!(fault, Fault::Temper(_, Temper::Refusing));
        let wide = dice.chance(PerMille(500));
        for fault in spread(fault, site, wide) {
            world.schedule(at, fault);
        }
        for undoing in undoing.into_iter().flat_map(|undoing| spread(undoing, site, wide)) {
            world.schedule(until, undoing);
        }
    }
    world.run_for(chaos + interval)?;
    heal(world, site, *quality, dice)?;
    // Until every track has been seen often enough to count.
    let looks =
        site.tracks.iter().map(|track| track.interval + track.longest_delay()).max().unwrap_or_default();
    world.run_for(looks)?;
    world.outlive_the_dead()?;
    world.run_for(world.hand_overs())?;
    let penalty = if refused { PENALTY } else { Duration::ZERO };
    // The last contest was before the calm; its second burst comes when `Site` says.
    let work = pace.chunk_time * chunks_at_most(*pace) + site.repeat_after();
    world.run_for(world.calm() + interval + work + penalty)?;
    world.settle()
}

/// Returns the fault on every segment when it is a wide partition, and otherwise as it is.
fn spread(fault: Fault, site: &Site, wide: bool) -> Vec<Fault> {
    if let Fault::Island(_, island, road) = fault
        && wide
    {
        return site.segments().into_iter().map(|segment| Fault::Island(segment, island, road)).collect();
    }
    vec![fault]
}

/// Returns how many chunks a kernel needs to do away with one state and to build another, one under way included.
fn chunks_at_most(pace: Pace) -> u32 {
    let chunks = CHANGE_LIMIT.div_ceil(pace.chunk) + 2;
    u32::try_from(chunks).expect("a few dozen")
}

/// Ends every fault; some nodes stay gone.
fn heal(world: &mut World, site: &Site, quality: Quality, dice: &mut Dice) -> Result<(), Broken> {
    world.inflict(Fault::Quality(Quality { loss: PerMille(0), ..quality }))?;
    world.inflict(Fault::Shortage(PerMille(0)))?;
    for from in site.node_indices() {
        for to in site.node_indices().filter(|to| *to != from) {
            for segment in site.segments() {
                world.inflict(Fault::Road(segment, from, to, Road::Open))?;
            }
        }
        world.inflict(Fault::Resume(from))?;
        world.inflict(Fault::Startup(from, Duration::ZERO))?;
        world.inflict(Fault::Return(from))?;
        world.inflict(Fault::Clock(from, Clock::Right))?;
        world.inflict(Fault::Temper(from, Temper::Obliging))?;
        for track in site.track_indices().filter(|_| dice.chance(PerMille(700))) {
            world.inflict(Fault::Track(from, track, Sight::Well))?;
        }
        if dice.chance(PerMille(900)) {
            for segment in site.segments() {
                world.inflict(Fault::Carrier(from, segment, Carrier::Up))?;
            }
            world.inflict(Fault::Start(from))?;
        }
    }
    Ok(())
}

fn setting(dice: &mut Dice, detail: Detail) -> Setting {
    let site = site(dice);
    let shortest = site
        .router_indices()
        .flat_map(|router| site.node_indices().map(move |node| (node, router)))
        .map(|(node, router)| site.seat(node, router).interval)
        .min()
        .expect("a site has nodes and virtual routers")
        .duration();
    let shortest_delay = Duration::from_micros(20);
    let longest_delay = match dice.below(3) {
        0 => Duration::from_micros(60),
        1 => Duration::from_micros(500),
        _ => shortest / 3,
    };
    let loss = match dice.below(4) {
        0 | 1 => PerMille(0),
        2 => PerMille(100),
        _ => PerMille(300),
    };
    let duplication = if dice.chance(PerMille(200)) { PerMille(50) } else { PerMille(0) };
    let order = dice.pick(&[Order::Kept, Order::Kept, Order::Kept, Order::Lost]);
    let quality = Quality { shortest_delay, longest_delay, order, loss, duplication };
    let pace = match dice.below(5) {
        0 | 1 => Pace { chunk_time: Duration::from_micros(200), chunk: 100 },
        2 => Pace { chunk_time: Duration::from_millis(2), chunk: 2 },
        3 => Pace { chunk_time: shortest / 2, chunk: 1 },
        _ => Pace { chunk_time: shortest * 3, chunk: 100 },
    };
    let (mut site, mut quality) = (site, quality);
    if dice.chance(PerMille(250)) {
        site.proof = Proof::Given;
        // One that was overtaken cannot be told from a recording.
        quality.order = Order::Kept;
    }
    Setting { site, quality, pace, detail }
}

fn site(dice: &mut Dice) -> Site {
    let nodes = dice.pick(&[2, 2, 2, 3, 3, 4, NODE_LIMIT]);
    let (grouping, mut routers) = match dice.below(10) {
        0..=5 => (Grouping::Apart, vec![router(dice, SegmentIndex(0))]),
        6 => (Grouping::Apart, vec![router(dice, SegmentIndex(0)), router(dice, SegmentIndex(0))]),
        7 => (Grouping::Apart, vec![router(dice, SegmentIndex(0)), router(dice, SegmentIndex(1))]),
        _ => (Grouping::Together, vec![router(dice, SegmentIndex(0)), router(dice, SegmentIndex(1))]),
    };
    // Whole seconds beside hundredths would make runs of thousands of inputs that show nothing new.
    let has_seconds = routers.iter().any(|router| router.version == Version::V2);
    let base = if has_seconds { dice.pick(&[50, 100]) } else { dice.pick(&[1, 1, 10, 10, 100]) };
    let seconds = dice.pick(&[100, 100, 200]);
    let equal = dice.chance(PerMille(200));
    let owner = grouping == Grouping::Apart && dice.chance(PerMille(50));
    if owner {
        // Its addresses stand on its own interface whatever it is.
        for router in &mut routers {
            (router.hardware, router.routing) = (Hardware::Interface, Routing::Still);
        }
    }
    // An owner answers nobody: where intervals differ, the others can follow each other between two of its words.
    let mix = !owner && dice.chance(PerMille(250));
    let refusal = dice.pick(&[0, 0, 200, 500, 1000]);
    let longest = Centiseconds::new(if has_seconds { seconds.max(10 * base) } else { 10 * base }).duration();
    let delays = |dice: &mut Dice, often| {
        if dice.chance(PerMille(often)) { longest * dice.pick(&[1, 1, 3]) / 2 } else { Duration::ZERO }
    };
    let patience = dice.pick(&[0, 0, 0, 500]);
    let nodes = (0..nodes)
        .map(|index| {
            let priority = match () {
                () if owner && index == 0 => Priority::OWNER,
                () if equal => Priority::DEFAULT,
                () => priority(dice),
            };
            let preemption =
                if dice.chance(PerMille(refusal)) { Preemption::Refused } else { Preemption::Allowed };
            let interval = if mix { base * dice.pick(&[1, 2, 3, 10]) } else { base };
            let restraint =
                Restraint { unheard: delays(dice, patience), before_preempting: delays(dice, patience) };
            let start_delay = delays(dice, patience);
            let seat = |router: &SiteRouter| {
                let interval = Centiseconds::new(match router.version {
                    Version::V2 => seconds,
                    Version::V3 => interval,
                });
                Seat { priority, interval, preemption, restraint, start_delay }
            };
            let seats = routers.iter().map(seat).collect();
            SiteNode { seats, addresses: 1, first_weight: Weight::DEFAULT }
        })
        .collect();
    let mut site = Site {
        nodes,
        routers,
        grouping,
        proof: Proof::Spared,
        tracks: Vec::new(),
        preparation: None,
        service: None,
    };
    if dice.chance(PerMille(200)) {
        site.preparation = Some(longest_interval(&site).duration() * dice.pick(&[1, 2, 6]) / 2);
    }
    if dice.chance(PerMille(250)) {
        let count = 1 + dice.index(TRACK_LIMIT);
        site.tracks = (0..count).map(|_| track(&site, dice)).collect();
    }
    if dice.chance(PerMille(600)) {
        site.service = Some(service(&site, dice));
    }
    site
}

fn router(dice: &mut Dice, segment: SegmentIndex) -> SiteRouter {
    let (version, family) = dice.pick(&[
        (Version::V3, Family::V4),
        (Version::V3, Family::V4),
        (Version::V3, Family::V6),
        (Version::V2, Family::V4),
    ]);
    let cast = dice.pick(&[Cast::Multicast, Cast::Multicast, Cast::Unicast]);
    let gateway = dice.chance(PerMille(200)).then_some(SegmentIndex(1));
    let hardware = if dice.chance(PerMille(200)) { Hardware::Virtual } else { Hardware::Interface };
    let routing = if dice.chance(PerMille(200)) { Routing::Moving } else { Routing::Still };
    SiteRouter { segment, version, family, cast, gateway, hardware, routing }
}

fn track(site: &Site, dice: &mut Dice) -> SiteTrack {
    let two = NonZeroU8::MIN.saturating_add(1);
    let interval = longest_interval(site).duration();
    let delay = |dice: &mut Dice| interval * dice.pick(&[0, 0, 1, 3]) / 2;
    let kind = match dice.below(6) {
        0 | 1 => SiteTrackKind::File,
        2 => SiteTrackKind::Process { delays: Delays { up: delay(dice), down: delay(dice) } },
        3 => SiteTrackKind::Interface {
            requirement: dice.pick(&[Requirement::Carrier, Requirement::Address]),
            delays: Delays { up: delay(dice), down: delay(dice) },
        },
        _ => SiteTrackKind::Script {
            rise: dice.pick(&[NonZeroU8::MIN, two]),
            fall: dice.pick(&[NonZeroU8::MIN, two]),
        },
    };
    let effect = if dice.below(3) == 0 {
        Effect::Fault
    } else {
        let weight = dice.pick(&[-253, -60, -1, 1, 20]);
        Effect::Weight(TrackWeight::new(weight).expect("it is not 0 and not too far from it"))
    };
    // The configuration allows no other; a file's number has no sense of its own.
    let sense = match (kind, effect) {
        (SiteTrackKind::File, Effect::Weight(_)) => Sense::Straight,
        (SiteTrackKind::File, Effect::Fault)
        | (
            SiteTrackKind::Interface { .. } | SiteTrackKind::Script { .. } | SiteTrackKind::Process { .. },
            Effect::Weight(_) | Effect::Fault,
        ) => dice.pick(&[Sense::Straight, Sense::Straight, Sense::Reversed]),
    };
    SiteTrack { kind, sense, effect, interval }
}

fn service(site: &Site, dice: &mut Dice) -> SiteService {
    let real_servers = 1 + dice.index(3);
    SiteService {
        follow: if dice.chance(PerMille(100)) { SiteFollow::Always } else { SiteFollow::Routers },
        real_servers,
        quorum: dice.pick(&[1, 1, 2]),
        sorry: dice.pick(&[Sorry::Present, Sorry::Missing]),
        check_interval: longest_interval(site).duration(),
        rise: dice.pick(&[NonZeroU8::MIN, NonZeroU8::MIN.saturating_add(1)]),
        fall: dice.pick(&[NonZeroU8::MIN, NonZeroU8::MIN.saturating_add(1)]),
    }
}

fn priority(dice: &mut Dice) -> Priority {
    let value = 1 + u32::try_from(dice.below(254)).expect("below 254");
    Priority::new(value).expect("between 1 and 254")
}

/// Returns a fault and what ends it, if anything has to.
fn fault(site: &Site, dice: &mut Dice) -> (Fault, Vec<Fault>) {
    let node = NodeIndex(dice.index(site.nodes.len()));
    let segment = dice.pick(&site.segments().into_iter().collect::<Vec<_>>());
    if !site.tracks.is_empty() && dice.chance(PerMille(300)) {
        let track = TrackIndex(dice.index(site.tracks.len()));
        let sight = dice.pick(&[Sight::Well, Sight::Ill(1), Sight::Ill(-1), Sight::Ill(100), Sight::Unclear]);
        return (Fault::Track(node, track, sight), vec![Fault::Track(node, track, Sight::Well)]);
    }
    if site.preparation.is_some() && dice.chance(PerMille(200)) {
        return (Fault::Hooks(node, Hooks::Hanging), vec![Fault::Hooks(node, Hooks::Ending)]);
    }
    match dice.below(23) {
        0 | 1 => (Fault::Crash(node), vec![Fault::Start(node)]),
        2 => (Fault::Crash(node), Vec::new()),
        3 | 4 => (Fault::Stop(node), vec![Fault::Start(node)]),
        5 => (Fault::Stop(node), Vec::new()),
        6 | 7 => (Fault::Pause(node), vec![Fault::Resume(node)]),
        8 | 9 => {
            let down = Fault::Carrier(node, segment, Carrier::Down);
            (down, vec![Fault::Carrier(node, segment, Carrier::Up)])
        }
        10 => one_way(site, segment, node, dice),
        11 => {
            let island = dice.below(1 << site.nodes.len());
            let island = NodeSet::of(site.node_indices().filter(|node| island >> node.0 & 1 == 1));
            (Fault::Island(segment, island, Road::Closed), vec![Fault::Island(segment, island, Road::Open)])
        }
        12 => (Fault::Theft(node, dice.index(10)), Vec::new()),
        13 if longest_interval(site) >= RARE && dice.chance(PerMille(100)) => {
            (Fault::Temper(node, Temper::Refusing), vec![Fault::Temper(node, Temper::Obliging)])
        }
        13 => {
            let server = ServerIndex(dice.index(3));
            (Fault::ServerDies(server), vec![Fault::ServerReturns(server)])
        }
        14 => (Fault::ServerDies(ServerIndex(dice.index(3))), Vec::new()),
        18 => (Fault::Death(node), vec![Fault::Death(node)]),
        19 => (Fault::Death(node), Vec::new()),
        20 => (Fault::Hang(node), vec![Fault::Resume(node)]),
        21 => {
            let time = longest_interval(site).duration() * dice.pick(&[1, 2, 4]) / 2;
            (Fault::Startup(node, time), vec![Fault::Death(node)])
        }
        15 => (Fault::Pass(node, None), vec![Fault::Return(node)]),
        16 => {
            let time = longest_interval(site).duration() * dice.pick(&[1, 5]);
            (Fault::Pass(node, Some(time)), Vec::new())
        }
        17 => {
            let time =
                dice.pick(&[Duration::from_secs(1), Duration::from_hours(1), Duration::from_hours(24 * 365)]);
            let clock = dice.pick(&[Clock::Ahead(time), Clock::Behind(time)]);
            (Fault::Clock(node, clock), vec![Fault::Clock(node, Clock::Right)])
        }
        _ => (Fault::Reload(node, reload(site, node, dice)), Vec::new()),
    }
}

fn one_way(site: &Site, segment: SegmentIndex, from: NodeIndex, dice: &mut Dice) -> (Fault, Vec<Fault>) {
    let to = NodeIndex((from.0 + 1 + dice.index(site.nodes.len() - 1)) % site.nodes.len());
    let road = |road| Fault::Road(segment, from, to, road);
    (road(Road::Closed), vec![road(Road::Open)])
}

fn reload(site: &Site, node: NodeIndex, dice: &mut Dice) -> Reload {
    let is_owner = site.nodes[node.0].seats[0].priority == Priority::OWNER;
    match dice.below(6) {
        0 | 1 => Reload::Same,
        2 if !is_owner => Reload::Priority(priority(dice)),
        3 if !is_owner => Reload::Interval(longest_interval(site)),
        4 if site.service.is_some() => Reload::Weight(Weight::new(dice.pick(&[1, 2, 5]))),
        5 if !is_owner => Reload::Addresses(dice.pick(&[1, 2, 3])),
        _ => Reload::Same,
    }
}

fn longest_interval(site: &Site) -> Centiseconds {
    site.router_indices()
        .map(|router| site.longest_interval(router))
        .max()
        .expect("a site has virtual routers")
}
