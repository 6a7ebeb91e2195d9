//! What must hold at every moment; each rule is one function, named as it is broken.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use monotonic::Instant;
use node::Output;
use node::config::InterfaceAddress;
use node::host_state::{HostState, Wanted};
use node::plan::{Change, plan};
use node::report::Report;
use node::status::{RouterState, RoutersStatus};
use virtual_server::service::{Destination, ServiceKey};
use vrrp::{Preemption, Priority};

use crate::health_book::HealthBook;
use crate::kernel::Kernel;
use crate::network::Network;
use crate::scene::{NodeSet, Presence, Scene, Standing};
use crate::site::{
    Carrier, NodeIndex, ROUTER_LIMIT, RouterIndex, SiteFollow, node_name, router_name, router_named,
    router_of_vrid,
};

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its name, that of its function.
    pub invariant: &'static str,
    /// What was found instead.
    pub found: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.invariant, self.found)
    }
}

macro_rules! ensure {
    ($invariant:ident, $holds:expr, $($found:tt)*) => {
        if !$holds {
            return Err(Broken { invariant: stringify!($invariant), found: format!($($found)*) });
        }
    };
}

/// Where the identifier and the priority stand in an advertisement of either version.
const VRID_OFFSET: usize = 1;
const PRIORITY_OFFSET: usize = 2;

/// Of two Actives the lower one hears the higher within the higher one's interval and the way of a packet, and yields:
/// counted from the moment at which both are Active and the higher is heard without loss.
///
/// # Errors
/// [`Broken`] with both.
pub fn one_active(router: RouterIndex, scene: &Scene, network: &Network, now: Instant) -> Result<(), Broken> {
    let segment = scene.segment(router);
    let is_hearing = |node: &NodeIndex| {
        scene.presence(*node) == Presence::Running && scene.carrier(*node, segment) == Carrier::Up
    };
    for low in scene.actives(router).filter(is_hearing) {
        for high in scene.actives(router).filter(is_hearing) {
            if scene.rank(high, router) <= scene.rank(low, router) || !network.is_open(segment, high, low) {
                continue;
            }
            let since = [
                scene.since(low, router),
                scene.since(high, router),
                scene.disturbed(low),
                scene.disturbed(high),
                network.disturbed(segment, high, low),
            ];
            let since = since.into_iter().max().expect("five moments have a last one");
            let patience = scene.seat(high, router).interval.duration() + network.longest_delay();
            ensure!(
                one_active,
                now <= since + patience,
                "{} and {} are both Active in {} since {since:?}, more than {patience:?}",
                node_name(low),
                node_name(high),
                router_name(router)
            );
        }
    }
    Ok(())
}

/// Whatever was left of a quiet time after which the election must be over: each group of nodes that hear each other
/// has exactly one Active, no Backup in it would preempt that one, and the members of a sync group have the same one.
///
/// # Errors
/// [`Broken`] with the group.
pub fn quiet_means_one_best_active(
    router: RouterIndex,
    clique: NodeSet,
    scene: &Scene,
) -> Result<(), Broken> {
    let actives: Vec<_> = scene.actives(router).filter(|node| clique.contains(*node)).collect();
    let nodes: Vec<_> = clique.iter().map(|node| scene.rank(node, router)).collect();
    let [active] = actives[..] else {
        return Err(Broken {
            invariant: "quiet_means_one_best_active",
            found: format!("{} has the Actives {actives:?} among {nodes:?}", router_name(router)),
        });
    };
    let priority = scene.seat(active, router).priority;
    let better = clique.iter().find(|node| {
        let seat = scene.seat(*node, router);
        seat.priority > priority && seat.preemption == Preemption::Allowed
    });
    ensure!(
        quiet_means_one_best_active,
        better.is_none(),
        "{better:?} would preempt {active:?} in {} but is a Backup among {nodes:?}",
        router_name(router)
    );
    let elsewhere =
        scene.together_with(router).find(|other| scene.standing(active, *other) != Standing::Active);
    ensure!(
        quiet_means_one_best_active,
        elsewhere.is_none(),
        "{} is Active in {} but not in its whole sync group",
        node_name(active),
        router_name(router)
    );
    Ok(())
}

/// A node that runs takes part in every election unless an interface is down or the kernel refuses an address.
///
/// # Errors
/// [`Broken`] with the node.
pub fn whoever_can_takes_part(node: NodeIndex, router: RouterIndex, scene: &Scene) -> Result<(), Broken> {
    let standing = scene.standing(node, router);
    let may_be_out = scene.has_refused(node)
        || scene
            .together_with(router)
            .any(|other| scene.carrier(node, scene.segment(other)) == Carrier::Down);
    let takes_part = matches!(standing, Standing::Backup | Standing::Active);
    ensure!(
        whoever_can_takes_part,
        takes_part || may_be_out,
        "{} is {standing:?} in {} without a cause",
        node_name(node),
        router_name(router)
    );
    Ok(())
}

/// Once a quiet time has decided an election, nothing moves in it until something is done to it.
///
/// # Errors
/// [`Broken`], always: it is called when something moved.
pub fn nothing_moves_in_the_quiet(node: NodeIndex, report: &Report) -> Result<(), Broken> {
    let found = format!("{} reported {report:?} though the election was over", node_name(node));
    Err(Broken { invariant: "nothing_moves_in_the_quiet", found })
}

/// What one input makes a node say is in order: only an Active advertises, priority 0 is the last word of one that
/// leaves the role, and only an Active announces addresses, those that its kernel was said to hold.
///
/// The scene is that of before the input.
///
/// # Errors
/// [`Broken`] with what it said.
pub fn only_an_active_speaks(
    node: NodeIndex,
    outputs: &[Output],
    scene: &Scene,
    held: &BTreeSet<InterfaceAddress>,
) -> Result<(), Broken> {
    let before = scene.standings_of(node);
    let mut standings = before;
    let mut claims = [false; ROUTER_LIMIT];
    let mut releases = [false; ROUTER_LIMIT];
    for output in outputs {
        match output {
            Output::Send(transmission) => {
                let Some((RouterIndex(router), priority)) = said(&transmission.payload) else {
                    let found = format!("{} sent {transmission:?}", node_name(node));
                    return Err(Broken { invariant: "only_an_active_speaks", found });
                };
                let was_active = before[router] == Standing::Active;
                let is_active = standings[router] == Standing::Active;
                if priority == 0 {
                    ensure!(
                        only_an_active_speaks,
                        was_active || is_active,
                        "{} released what it did not have: {outputs:?}",
                        node_name(node)
                    );
                    releases[router] = true;
                } else {
                    claims[router] |= !is_active;
                }
            }
            Output::Report(report) => {
                if let Some((RouterIndex(router), standing)) = standing_told(report) {
                    // The advertisement with which it becomes Active comes just before the report.
                    claims[router] &= standing != Standing::Active;
                    standings[router] = standing;
                }
            }
            Output::Announce(announcement) => {
                let router = router_holding(node, &announcement.address, scene);
                let is_active = router.is_some_and(|router| standings[router.0] == Standing::Active);
                let is_owner =
                    router.is_some_and(|router| scene.seat(node, router).priority == Priority::OWNER);
                ensure!(
                    only_an_active_speaks,
                    is_active && (is_owner || held.contains(&announcement.address)),
                    "{} announced {} as {:?}, its kernel holds {held:?}",
                    node_name(node),
                    announcement.address,
                    router.map(|router| standings[router.0])
                );
            }
            Output::Reconcile | Output::Probe(_) | Output::Exit => {}
        }
    }
    let out_of_turn = scene.site.router_indices().find(|RouterIndex(router)| {
        claims[*router] || (releases[*router] && standings[*router] == Standing::Active)
    });
    ensure!(
        only_an_active_speaks,
        out_of_turn.is_none(),
        "{} advertised for {out_of_turn:?} out of turn: {outputs:?}",
        node_name(node)
    );
    Ok(())
}

/// The members of a sync group are all Active on a node or none is, after every input.
///
/// # Errors
/// [`Broken`] with where they stand.
pub fn a_group_moves_together(node: NodeIndex, scene: &Scene) -> Result<(), Broken> {
    let first = scene.standing(node, RouterIndex(0)) == Standing::Active;
    let apart = scene
        .together_with(RouterIndex(0))
        .find(|router| (scene.standing(node, *router) == Standing::Active) != first);
    ensure!(
        a_group_moves_together,
        apart.is_none(),
        "{} is Active in a part of its sync group only",
        node_name(node)
    );
    Ok(())
}

/// The status says what the reports said: every change of state is reported.
///
/// # Errors
/// [`Broken`] with both.
pub fn reports_tell_every_change(
    node: NodeIndex,
    status: &RoutersStatus,
    scene: &Scene,
) -> Result<(), Broken> {
    for (name, status) in &status.virtual_routers {
        let state = match status.state {
            RouterState::Initialize => Standing::Out,
            RouterState::Backup => Standing::Backup,
            RouterState::Active => Standing::Active,
            RouterState::Fault => Standing::Fault,
        };
        let told = scene.standing(node, router_named(name));
        ensure!(
            reports_tell_every_change,
            state == told,
            "{} is {state:?} in {name} but reported {told:?}",
            node_name(node)
        );
    }
    Ok(())
}

/// A node finds nothing wrong with what the others send.
///
/// # Errors
/// [`Broken`], always: it is called when something was refused.
pub fn nodes_understand_each_other(node: NodeIndex, report: &Report) -> Result<(), Broken> {
    let found = format!("{} reported {report:?}", node_name(node));
    Err(Broken { invariant: "nodes_understand_each_other", found })
}

/// After a deadline was handled the next one lies ahead: time goes on.
///
/// # Errors
/// [`Broken`] with the deadline.
pub fn a_deadline_passes_once(
    node: NodeIndex,
    deadline: Option<Instant>,
    now: Instant,
) -> Result<(), Broken> {
    ensure!(
        a_deadline_passes_once,
        deadline.is_none_or(|deadline| deadline > now),
        "{} wants its deadline of {deadline:?} again at {now:?}",
        node_name(node)
    );
    Ok(())
}

/// Somebody takes over within the time that the protocol gives: the skew time after a planned stop, three intervals and
/// the skew time after a crash.
///
/// # Errors
/// [`Broken`], always: it is called when nobody did.
pub fn somebody_takes_over_in_time(
    router: RouterIndex,
    since: Instant,
    within: Duration,
) -> Result<(), Broken> {
    let found = format!("nobody took {} over within {within:?} after {since:?}", router_name(router));
    Err(Broken { invariant: "somebody_takes_over_in_time", found })
}

/// Reloading the configuration that holds already says nothing and moves no timer; while the kernel is at work a node may
/// say once more that something else is wanted.
///
/// # Errors
/// [`Broken`] with what it did.
pub fn the_same_file_changes_nothing(
    node: NodeIndex,
    outputs: &[Output],
    deadlines: (Option<Instant>, Option<Instant>),
    kernel: &Kernel,
) -> Result<(), Broken> {
    let is_said_before = |output: &Output| *output == Output::Reconcile && !kernel.is_done();
    ensure!(
        the_same_file_changes_nothing,
        outputs.iter().all(is_said_before) && deadlines.0 == deadlines.1,
        "{} answered {outputs:?}, its deadline went from {:?} to {:?}",
        node_name(node),
        deadlines.0,
        deadlines.1
    );
    Ok(())
}

/// An address comes only when every table of its holding is complete, and a table is dismantled only when its address
/// is gone, after each single change.
///
/// # Errors
/// [`Broken`] with the change.
pub fn table_before_address(change: &Change, held: &HostState, wanted: &Wanted) -> Result<(), Broken> {
    match change {
        Change::TakeAddress(address) => {
            let holdings = wanted.holdings.iter().filter(|holding| holding.addresses.contains(address));
            for service in holdings.flat_map(|holding| &holding.services) {
                ensure!(
                    table_before_address,
                    held.services.get(&service.key).is_some_and(|held| held == service),
                    "{change} before the table of {} is complete",
                    service.key
                );
            }
        }
        Change::RemoveService(key) => {
            let address = match key {
                ServiceKey::Address { address, .. } => Some(address.ip()),
                ServiceKey::Mark { .. } => None,
            };
            let is_here = held.addresses.iter().any(|held| Some(held.address) == address);
            ensure!(table_before_address, !is_here, "{change} while its address is here");
        }
        Change::LeaveAddress(_)
        | Change::AddService(_)
        | Change::EditService(_)
        | Change::AddDestination(..)
        | Change::EditDestination(..)
        | Change::RemoveDestination(..) => {}
    }
    Ok(())
}

/// A plan that was carried out leaves exactly what is wanted, and nothing is left to plan.
///
/// # Errors
/// [`Broken`] with the difference.
pub fn plan_reaches_what_is_wanted(
    wanted: &Wanted,
    state: &HostState,
    held: &HostState,
) -> Result<(), Broken> {
    ensure!(plan_reaches_what_is_wanted, state == held, "wanted {state:?}, held {held:?}");
    let left = plan(wanted, state);
    ensure!(plan_reaches_what_is_wanted, left.is_empty(), "wanted is there, planned {left:?}");
    Ok(())
}

/// What a node wants changes only with the word that it does.
///
/// # Errors
/// [`Broken`] with the change.
pub fn nothing_else_is_wanted_unsaid(known: &Wanted, newest: &Wanted) -> Result<(), Broken> {
    ensure!(nothing_else_is_wanted_unsaid, known == newest, "wanted {known:?}, wants {newest:?} unsaid");
    Ok(())
}

/// Once the kernel is settled it holds the addresses of the virtual routers that are Active on this node and no others,
/// and the tables that follow them say of each real server what its checks said.
///
/// # Errors
/// [`Broken`] with the difference.
pub fn the_host_holds_what_is_active_and_fit(
    node: NodeIndex,
    scene: &Scene,
    book: &HealthBook,
    held: &HostState,
) -> Result<(), Broken> {
    let is_active = |router: RouterIndex| scene.standing(node, router) == Standing::Active;
    let addresses: BTreeSet<_> = scene
        .site
        .router_indices()
        .filter(|router| is_active(*router) && scene.seat(node, *router).priority != Priority::OWNER)
        .flat_map(|router| scene.site.virtual_addresses(node, router))
        .collect();
    ensure!(
        the_host_holds_what_is_active_and_fit,
        addresses == held.addresses,
        "{} holds {:?} where it should hold {addresses:?}",
        node_name(node),
        held.addresses
    );
    let Some(service) = &scene.site.service else { return Ok(()) };
    let is_here = match service.follow {
        SiteFollow::Always => true,
        SiteFollow::Routers => is_active(RouterIndex(0)),
    };
    let tables: Vec<&BTreeMap<SocketAddr, Destination>> =
        held.services.values().map(|service| &service.destinations).collect();
    let expected = book.destinations(&scene.site, node);
    let is_right = match (is_here, &tables[..]) {
        (true, [table]) => **table == expected,
        (false, []) => true,
        (true | false, _) => false,
    };
    ensure!(
        the_host_holds_what_is_active_and_fit,
        is_right,
        "{} has the tables {tables:?} where the checks say {expected:?}",
        node_name(node)
    );
    Ok(())
}

/// The neighbours' traffic goes to the Active: it has announced each address since it became Active, and again since it
/// last heard another Active, who has announced them too.
///
/// # Errors
/// [`Broken`] with when it did.
pub fn traffic_goes_to_the_active(
    router: RouterIndex,
    active: NodeIndex,
    address: &InterfaceAddress,
    announced: Option<Instant>,
    contested: Instant,
    scene: &Scene,
) -> Result<(), Broken> {
    let due = scene.since(active, router).max(contested);
    ensure!(
        traffic_goes_to_the_active,
        announced.is_some_and(|announced| announced >= due),
        "{} is Active in {} and was to announce {address} since {due:?}, but did at {announced:?}",
        node_name(active),
        router_name(router)
    );
    Ok(())
}

/// A kernel that refuses nothing has done all that was wanted of it before the quiet time is over.
///
/// # Errors
/// [`Broken`] with what it holds.
pub fn kernels_come_to_rest(node: NodeIndex, kernel: &Kernel) -> Result<(), Broken> {
    ensure!(
        kernels_come_to_rest,
        kernel.is_done(),
        "{} is still at work on {:?}",
        node_name(node),
        kernel.held()
    );
    Ok(())
}

/// A daemon that was told to stop leaves nothing in the kernel.
///
/// # Errors
/// [`Broken`] with what it left.
pub fn a_stop_leaves_nothing(node: NodeIndex, held: &HostState) -> Result<(), Broken> {
    ensure!(a_stop_leaves_nothing, *held == HostState::default(), "{} left {held:?}", node_name(node));
    Ok(())
}

/// Returns which virtual router a report is about and where it stands by it, when that is what it tells.
pub fn standing_told(report: &Report) -> Option<(RouterIndex, Standing)> {
    let (router, standing) = if let Report::BecameActive { router, .. } = report {
        (router, Standing::Active)
    } else if let Report::BecameBackup { router, .. } = report {
        (router, Standing::Backup)
    } else if let Report::RouterStopped { router } = report {
        (router, Standing::Out)
    } else if let Report::RouterFaulted { router, .. } = report {
        (router, Standing::Fault)
    } else {
        return None;
    };
    Some((router_named(router), standing))
}

/// Returns which virtual router an advertisement is about and the priority in it.
pub fn said(payload: &[u8]) -> Option<(RouterIndex, u8)> {
    Some((router_of_vrid(*payload.get(VRID_OFFSET)?)?, *payload.get(PRIORITY_OFFSET)?))
}

fn router_holding(node: NodeIndex, address: &InterfaceAddress, scene: &Scene) -> Option<RouterIndex> {
    scene.site.router_indices().find(|router| scene.site.virtual_addresses(node, *router).contains(address))
}
