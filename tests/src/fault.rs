//! What can be done to a world.

use std::fmt;
use std::time::Duration;

use virtual_server::service::Weight;
use vrrp::{Centiseconds, Priority};

use crate::dice::PerMille;
use crate::kernel::{Pace, Temper};
use crate::network::{Quality, Road};
use crate::scene::NodeSet;
use crate::site::{
    Carrier, NodeIndex, SegmentIndex, ServerIndex, Sight, TrackIndex, interface_name, node_name, track_name,
};

/// Something that is done to a world. What does not apply, such as the crash of a node that does not run, does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A daemon starts.
    Start(NodeIndex),
    /// A daemon is told to stop.
    Stop(NodeIndex),
    /// A daemon vanishes together with its guard; its kernel keeps the addresses until their leases end.
    Crash(NodeIndex),
    /// A daemon dies, and its guard does not.
    Death(NodeIndex),
    /// A daemon does nothing any more, and its guard does not know why; what comes for it waits.
    Hang(NodeIndex),
    /// A daemon that its guard starts takes so long to begin from now on.
    Startup(NodeIndex, Duration),
    /// A daemon and its guard do nothing any more; what comes for them waits.
    Pause(NodeIndex),
    /// A daemon that does nothing goes on.
    Resume(NodeIndex),
    /// An interface loses or regains its carrier.
    Carrier(NodeIndex, SegmentIndex, Carrier),
    /// The road from the first node to the second closes or opens, one way.
    Road(SegmentIndex, NodeIndex, NodeIndex, Road),
    /// Every road between a node of this set and one outside it closes or opens, both ways.
    Island(SegmentIndex, NodeSet, Road),
    /// The segments carry like this from now on.
    Quality(Quality),
    /// Probes fail this often for a reason of the node's own.
    Shortage(PerMille),
    /// A real server does not answer any more.
    ServerDies(ServerIndex),
    /// A real server answers again.
    ServerReturns(ServerIndex),
    /// Somebody else removes an address, a route, a rule or an interface that is Baton's, the one of this number.
    Theft(NodeIndex, usize),
    /// A kernel refuses virtual addresses or no longer.
    Temper(NodeIndex, Temper),
    /// A kernel works at this pace from now on.
    Pace(NodeIndex, Pace),
    /// A daemon is told to reload.
    Reload(NodeIndex, Reload),
    /// A daemon is told to pass every virtual router on and to stay away, for so long if for a time.
    Pass(NodeIndex, Option<Duration>),
    /// A daemon is told to come back.
    Return(NodeIndex),
    /// The thing that a track of a node looks at is like this from now on.
    Track(NodeIndex, TrackIndex, Sight),
    /// The hooks of a node that begin from now on come to an end, or do not.
    Hooks(NodeIndex, Hooks),
    /// A machine's wall clock is set.
    Clock(NodeIndex, Clock),
}

/// Whether the hooks of a node come to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hooks {
    /// They do, after a while.
    Ending,
    /// They hang.
    Hanging,
}

/// What a wall clock shows, next to the right time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The right time.
    Right,
    /// Later.
    Ahead(Duration),
    /// Earlier.
    Behind(Duration),
}

/// What is different in a configuration that is reloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// Nothing.
    Same,
    /// The node's priority in every virtual router.
    Priority(Priority),
    /// The node's interval in every virtual router of version 3.
    Interval(Centiseconds),
    /// The number of addresses of each virtual router.
    Addresses(u8),
    /// The weight of the first real server.
    Weight(Weight),
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(node) => write!(formatter, "{} starts", node_name(*node)),
            Self::Stop(node) => write!(formatter, "{} is told to stop", node_name(*node)),
            Self::Crash(node) => write!(formatter, "{} crashes", node_name(*node)),
            Self::Death(node) => write!(formatter, "the daemon of {} dies", node_name(*node)),
            Self::Hang(node) => write!(formatter, "the daemon of {} hangs", node_name(*node)),
            Self::Startup(node, time) => {
                write!(formatter, "a daemon of {} takes {time:?} to begin", node_name(*node))
            }
            Self::Pause(node) => write!(formatter, "{} is paused", node_name(*node)),
            Self::Resume(node) => write!(formatter, "{} goes on", node_name(*node)),
            Self::Carrier(node, segment, carrier) => {
                let (node, interface) = (node_name(*node), interface_name(*segment));
                match carrier {
                    Carrier::Up => write!(formatter, "{node} has a carrier on {interface}"),
                    Carrier::Down => write!(formatter, "{node} loses the carrier on {interface}"),
                }
            }
            Self::Road(segment, from, to, road) => {
                let (from, to) = (node_name(*from), node_name(*to));
                let does = does_hear(*road);
                write!(formatter, "{to} {does} {from} on {}", interface_name(*segment))
            }
            Self::Island(segment, island, road) => {
                let names: Vec<_> = island.iter().map(|node| node_name(node).to_string()).collect();
                let does = match road {
                    Road::Open => "joins the rest",
                    Road::Closed => "is cut off",
                };
                write!(formatter, "{{{}}} {does} on {}", names.join(", "), interface_name(*segment))
            }
            Self::Quality(quality) => write!(
                formatter,
                "the network delays by {:?} to {:?}, loses {} and doubles {} in a thousand",
                quality.shortest_delay, quality.longest_delay, quality.loss.0, quality.duplication.0
            ),
            Self::Shortage(often) => {
                write!(formatter, "{} in a thousand probes cannot be carried out", often.0)
            }
            Self::ServerDies(server) => write!(formatter, "real server {} dies", server.0 + 1),
            Self::ServerReturns(server) => write!(formatter, "real server {} returns", server.0 + 1),
            Self::Theft(node, _) => write!(formatter, "somebody removes something of {}", node_name(*node)),
            Self::Temper(node, Temper::Refusing) => {
                write!(formatter, "the kernel of {} refuses addresses", node_name(*node))
            }
            Self::Temper(node, Temper::Obliging) => {
                write!(formatter, "the kernel of {} refuses nothing", node_name(*node))
            }
            Self::Pace(node, Pace { chunk_time, chunk }) => {
                let node = node_name(*node);
                write!(formatter, "the kernel of {node} makes {chunk} changes in {chunk_time:?}")
            }
            Self::Pass(node, None) => write!(formatter, "{} is told to pass everything on", node_name(*node)),
            Self::Pass(node, Some(time)) => {
                write!(formatter, "{} is told to pass everything on for {time:?}", node_name(*node))
            }
            Self::Return(node) => write!(formatter, "{} is told to come back", node_name(*node)),
            Self::Track(node, track, sight) => {
                let (node, track) = (node_name(*node), track_name(*track));
                match sight {
                    Sight::Well => write!(formatter, "track {track} of {node} sees that all is well"),
                    Sight::Ill(number) => write!(formatter, "track {track} of {node} sees {number}"),
                    Sight::Unclear => write!(formatter, "track {track} of {node} sees nothing clear"),
                }
            }
            Self::Hooks(node, Hooks::Ending) => write!(formatter, "the hooks of {} end", node_name(*node)),
            Self::Hooks(node, Hooks::Hanging) => write!(formatter, "the hooks of {} hang", node_name(*node)),
            Self::Clock(node, Clock::Right) => {
                write!(formatter, "the wall clock of {} is put right", node_name(*node))
            }
            Self::Clock(node, Clock::Ahead(time)) => {
                write!(formatter, "the wall clock of {} is set {time:?} ahead", node_name(*node))
            }
            Self::Clock(node, Clock::Behind(time)) => {
                write!(formatter, "the wall clock of {} is set {time:?} behind", node_name(*node))
            }
            Self::Reload(node, reload) => {
                write!(formatter, "{} reloads, ", node_name(*node))?;
                match reload {
                    Reload::Same => formatter.write_str("with nothing changed"),
                    Reload::Priority(priority) => write!(formatter, "with priority {}", priority.get()),
                    Reload::Interval(interval) => write!(formatter, "with the interval {interval}"),
                    Reload::Addresses(addresses) => write!(formatter, "with {addresses} addresses"),
                    Reload::Weight(weight) => write!(formatter, "with weight {}", weight.get()),
                }
            }
        }
    }
}

fn does_hear(road: Road) -> &'static str {
    match road {
        Road::Open => "hears",
        Road::Closed => "does not hear",
    }
}
