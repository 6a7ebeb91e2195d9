//! The virtual routers of a node, as an operator sees them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use node::config::AcceptMode;
use node::status::{Delay, HandOver, HandOverOutcome, Rival, RouterState, RouterStatus};
use serde::{Deserialize, Serialize};
use vrrp::HeardActive;

use super::{Calendar, Table, short};
use crate::engine::Asked;

/// One virtual router.
#[derive(Debug, Serialize, Deserialize)]
pub struct RouterView {
    /// initialize, backup, active or fault.
    pub state: String,
    pub priority: u8,
    /// How the priority comes about: that of the configuration, and what tracks add to it.
    pub priority_sum: String,
    pub base_priority: u8,
    pub weights: BTreeMap<String, i32>,
    pub since: Timestamp,
    pub reason: String,
    pub interface: String,
    pub virtual_router_id: u8,
    pub sync_group: Option<String>,
    pub addresses: Vec<String>,
    /// Whether packets to the addresses are accepted.
    pub accept: bool,
    pub routes: Vec<String>,
    pub rules: Vec<String>,
    pub advertisements_sent: u64,
    pub advertisements_received: u64,
    /// Of these, how many carried no proof and were accepted because the mode is not to enforce one.
    pub unauthenticated: u64,
    /// Refused packets by reason.
    pub refused: BTreeMap<String, u64>,
    pub became_active: u64,
    pub addresses_restored: u64,
    /// Times that somebody on this machine began to remove an address again and again.
    pub address_fights: u64,
    /// Times that another Active was heard while it was Active.
    pub dual_active: u64,
    /// Advertisements of another virtual router with its number.
    pub vrid_conflicts: u64,
    pub routing_restored: u64,
    /// Times that packets to an address had been let through by somebody else and were dropped again.
    pub drops_restored: u64,
    /// Set while it prefers other nodes after it was passed on.
    pub away: Option<AwayView>,
    /// The last planned hand-over.
    pub hand_over: Option<HandOverView>,
    /// The Active that it has heard last, while it is a Backup.
    pub active: Option<ActiveView>,
    /// What it waits for although it could take part, or claim.
    pub delay: Option<DelayView>,
    /// Another Active, while it is heard.
    pub rival: Option<RivalView>,
    /// Whom it asks whether it can hear, while it waits for proof of that.
    pub asks: Option<Vec<IpAddr>>,
}

/// The Active of a virtual router that is a Backup here.
#[derive(Debug, Serialize, Deserialize)]
pub struct ActiveView {
    pub peer: IpAddr,
    pub priority: u8,
}

/// A delay that runs.
#[derive(Debug, Serialize, Deserialize)]
pub struct DelayView {
    /// `start_delay` or `preempt_delay`.
    pub kind: String,
    pub until: Timestamp,
}

/// Another Active of a virtual router.
#[derive(Debug, Serialize, Deserialize)]
pub struct RivalView {
    pub peer: IpAddr,
    pub priority: u8,
    pub since: Timestamp,
}

/// How long a virtual router prefers other nodes.
#[derive(Debug, Serialize, Deserialize)]
pub struct AwayView {
    /// Until it is released if left out.
    pub until: Option<Timestamp>,
}

/// One planned hand-over.
#[derive(Debug, Serialize, Deserialize)]
pub struct HandOverView {
    pub since: Timestamp,
    #[serde(flatten)]
    pub outcome: HandOverOutcomeView,
}

/// What came of a planned hand-over.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum HandOverOutcomeView {
    /// Nobody serves yet but this node.
    Underway,
    /// Another node serves.
    HandedOver {
        /// Its address.
        to: IpAddr,
        /// How long that took.
        milliseconds: f64,
    },
    /// Nobody claimed the role.
    NobodyTookOver,
    /// It was called off before the role was released.
    CalledOff,
}

impl HandOverView {
    /// Puts a hand-over into the view's terms.
    pub fn new(hand_over: HandOver, calendar: Calendar) -> Self {
        let outcome = match hand_over.outcome {
            HandOverOutcome::Underway => HandOverOutcomeView::Underway,
            HandOverOutcome::To { peer, took } => {
                HandOverOutcomeView::HandedOver { to: peer, milliseconds: took.as_secs_f64() * 1e3 }
            }
            HandOverOutcome::Nobody => HandOverOutcomeView::NobodyTookOver,
            HandOverOutcome::CalledOff => HandOverOutcomeView::CalledOff,
        };
        Self { since: calendar.time(hand_over.since), outcome }
    }
}

impl RouterView {
    /// Puts a virtual router into the view's terms.
    pub fn new(router: &RouterStatus, asked: &Asked, calendar: Calendar) -> Self {
        Self {
            state: router.state.name().to_owned(),
            priority: router.priority.effective().get(),
            priority_sum: router.priority.to_string(),
            base_priority: router.priority.base.get(),
            weights: (router.priority.weights.iter())
                .map(|(track, weight)| (track.to_string(), *weight))
                .collect(),
            since: calendar.time(router.since),
            reason: router.reason.clone(),
            interface: router.interface.to_string(),
            virtual_router_id: router.vrid.get(),
            sync_group: router.sync_group.as_ref().map(ToString::to_string),
            addresses: router.addresses.iter().map(ToString::to_string).collect(),
            accept: router.accept == AcceptMode::On,
            routes: router.routes.iter().map(ToString::to_string).collect(),
            rules: router.rules.iter().map(ToString::to_string).collect(),
            advertisements_sent: router.counters.advertisements_sent,
            advertisements_received: router.counters.advertisements_received,
            unauthenticated: router.counters.unauthenticated,
            refused: router.refusals.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect(),
            became_active: router.counters.became_active,
            addresses_restored: router.counters.addresses_restored,
            address_fights: router.counters.address_fights,
            dual_active: router.counters.dual_active,
            vrid_conflicts: router.counters.vrid_conflicts,
            routing_restored: router.counters.routing_restored,
            drops_restored: router.counters.drops_restored,
            away: router.away.map(|away| AwayView { until: away.until.map(|until| calendar.time(until)) }),
            hand_over: router.hand_over.map(|hand_over| HandOverView::new(hand_over, calendar)),
            active: router.active.map(|HeardActive { address, priority }| ActiveView {
                peer: address,
                priority: priority.get(),
            }),
            delay: router.delay.map(|Delay { kind, until }| DelayView {
                kind: kind.name().to_owned(),
                until: calendar.time(until),
            }),
            rival: router.rival.map(|Rival { peer, priority, since, last_heard: _ }| RivalView {
                peer,
                priority: priority.get(),
                since: calendar.time(since),
            }),
            // Who has no hardware address asks nobody.
            asks: (router.asks.as_ref().and_then(|segment| asked.get(segment)))
                .map(|whom| whom.iter().copied().collect()),
        }
    }

    /// Returns why it stands where it does, with all that a person wants to know of it.
    fn full_reason(&self) -> String {
        let asks = match self.asks.as_deref() {
            None => String::new(),
            Some([]) => ", but knows neither another node's address nor a gateway".to_owned(),
            Some(whom) => {
                let whom: Vec<_> = whom.iter().map(ToString::to_string).collect();
                format!(" {}", whom.join(", "))
            }
        };
        let away = match &self.away {
            None => String::new(),
            Some(AwayView { until: None }) => "; stays away until released".to_owned(),
            Some(AwayView { until: Some(until) }) => format!("; stays away until {}", short(*until)),
        };
        let delay = match &self.delay {
            None => String::new(),
            Some(DelayView { kind, until }) => format!("; {kind} until {}", short(*until)),
        };
        let refused: Vec<_> =
            self.refused.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let refused =
            if refused.is_empty() { String::new() } else { format!("; refused: {}", refused.join(", ")) };
        format!("{}{asks}{away}{delay}{refused}", self.reason)
    }

    /// Returns who serves, in one cell.
    fn server(&self) -> String {
        match &self.active {
            Some(ActiveView { peer, priority }) => format!("{peer} ({priority})"),
            None if self.state == RouterState::Active.name() => "this node".to_owned(),
            None => String::new(),
        }
    }
}

/// Returns where each virtual router stands.
pub fn standings(routers: &BTreeMap<String, RouterView>) -> Table<5> {
    let mut table = Table::new(["virtual router", "state", "priority", "since", "reason"]);
    for (name, router) in routers {
        let priority =
            if router.weights.is_empty() { router.priority.to_string() } else { router.priority_sum.clone() };
        table.row([name, &router.state, &priority, &short(router.since), &router.full_reason()]);
    }
    table
}

/// Returns where each virtual router is to be found, and with whom.
pub fn places(routers: &BTreeMap<String, RouterView>) -> Table<5> {
    let mut table = Table::new(["virtual router", "id", "interface", "active", "addresses"]);
    for (name, router) in routers {
        let id = router.virtual_router_id.to_string();
        table.row([name, &id, &router.interface, &router.server(), &router.addresses.join(", ")]);
    }
    table
}
