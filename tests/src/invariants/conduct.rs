//! What a node says and does in answer to its inputs.

use std::collections::BTreeSet;

use monotonic::Instant;
use node::Output;
use node::config::InterfaceAddress;
use node::report::Report;
use node::status::{RouterState, RoutersStatus};
use node::track::PrioritySum;
use vrrp::Priority;

use super::{Broken, ensure};
use crate::kernel::Kernel;
use crate::scene::{Absence, Scene, Standing};
use crate::site::{
    NodeIndex, ROUTER_LIMIT, RouterIndex, TrackIndex, node_name, router_name, router_named, router_of_vrid,
    track_name, track_named,
};

/// Where the identifier and the priority stand in an advertisement of either version.
const VRID_OFFSET: usize = 1;
const PRIORITY_OFFSET: usize = 2;

/// Only an Active announces an address, and only what its kernel was said to hold.
///
/// # Errors
/// [`Broken`] with what it announced.
pub fn only_an_active_announces(
    node: NodeIndex,
    address: &InterfaceAddress,
    standings: &[Standing; ROUTER_LIMIT],
    scene: &Scene,
    held: &BTreeSet<InterfaceAddress>,
) -> Result<(), Broken> {
    let router = router_holding(node, address, scene);
    let is_active = router.is_some_and(|router| standings[router.0] == Standing::Active);
    let is_owner = router.is_some_and(|router| scene.seat(node, router).priority == Priority::OWNER);
    ensure!(
        only_an_active_announces,
        is_active && (is_owner || held.contains(address)),
        "{} announced {address} as {:?}, its kernel holds {held:?}",
        node_name(node),
        router.map(|router| standings[router.0])
    );
    Ok(())
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
    now: Instant,
) -> Result<(), Broken> {
    let before = scene.standings_of(node);
    let mut standings = before;
    let mut book = *scene.book(node);
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
                    let base = scene.site.seat(node, RouterIndex(router)).priority;
                    let sum = book.priority(&scene.site, base);
                    // One that is about to hand over goes on as it was.
                    let hands_over = scene.preparations.of(node, RouterIndex(router)).is_some();
                    ensure!(
                        only_an_active_speaks,
                        hands_over || priority == sum.get(),
                        "{} advertises priority {priority} where its tracks make it {sum}",
                        node_name(node)
                    );
                    claims[router] |= !is_active;
                }
            }
            Output::Report(report) => {
                if let Some((RouterIndex(router), standing)) = standing_told(report) {
                    // The advertisement with which it becomes Active comes just before the report.
                    claims[router] &= standing != Standing::Active;
                    standings[router] = standing;
                }
                if let Some(track) = track_told(report) {
                    book.end_wait(track, now);
                }
            }
            Output::Announce(announcement) => {
                only_an_active_announces(node, &announcement.address, &standings, scene, held)?;
            }
            Output::Introduce(_)
            | Output::Solicit(_)
            | Output::Reconcile
            | Output::Probe(_)
            | Output::Prepare { .. }
            | Output::Exit => {}
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

/// Where no word between the nodes is lost, the Active has announced each address after everybody else.
///
/// # Errors
/// [`Broken`] with who did.
pub fn the_active_announces_last(
    router: RouterIndex,
    active: NodeIndex,
    address: &InterfaceAddress,
    last_by: Option<NodeIndex>,
) -> Result<(), Broken> {
    ensure!(
        the_active_announces_last,
        last_by == Some(active),
        "{} is Active in {} but {:?} was the last to announce {address}",
        node_name(active),
        router_name(router),
        last_by.map(node_name)
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
            RouterState::Leaving => Standing::Leaving,
            RouterState::Fault => Standing::Fault,
        };
        let told = scene.standing(node, router_named(name));
        ensure!(
            reports_tell_every_change,
            state == told,
            "{} is {state:?} in {name} but reported {told:?}",
            node_name(node)
        );
        a_priority_is_the_sum_of_what_was_seen(node, router_named(name), &status.priority, scene)?;
    }
    Ok(())
}

/// The priority is the configured one and what each track adds to it, between 1 and 254, and is told as that.
///
/// # Errors
/// [`Broken`] with both.
fn a_priority_is_the_sum_of_what_was_seen(
    node: NodeIndex,
    router: RouterIndex,
    told: &PrioritySum,
    scene: &Scene,
) -> Result<(), Broken> {
    let points = |index: TrackIndex| scene.book(node).points(&scene.site.tracks[index.0], index);
    let all = scene.site.track_indices().map(|index| (track_name(index), points(index)));
    let expected = PrioritySum {
        base: scene.site.seat(node, router).priority,
        weights: all.filter(|(_, points)| *points != 0).collect(),
    };
    ensure!(
        a_priority_is_the_sum_of_what_was_seen,
        *told == expected && told.effective() == scene.seat(node, router).priority,
        "{} says of {} {told}, and its tracks say {expected}",
        node_name(node),
        router_name(router)
    );
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

/// Returns which virtual router a report is about and where it stands by it, when that is what it tells.
pub fn standing_told(report: &Report) -> Option<(RouterIndex, Standing)> {
    let (router, standing) = if let Report::BecameActive { router, .. } = report {
        (router, Standing::Active)
    } else if let Report::RoleAdopted { router } = report {
        (router, Standing::Active)
    } else if let Report::BecameBackup { router, .. } = report {
        (router, Standing::Backup)
    } else if let Report::HandingOver { router, .. } = report {
        (router, Standing::Leaving)
    } else if let Report::RouterStopped { router } = report {
        (router, Standing::Out)
    } else if let Report::RouterFaulted { router, .. } = report {
        (router, Standing::Fault)
    } else if let Report::RouterRecovered { router } = report {
        // It may have to wait before it takes part.
        (router, Standing::Out)
    } else {
        return None;
    };
    Some((router_named(router), standing))
}

/// Returns which track a report says to be up or down.
pub fn track_told(report: &Report) -> Option<TrackIndex> {
    if let Report::TrackUp { track, .. } | Report::TrackDown { track, .. } = report {
        Some(track_named(track))
    } else {
        None
    }
}

/// Returns which virtual router a report is about and whether it prefers others from now on, when that is what it tells.
pub fn absence_told(report: &Report) -> Option<(RouterIndex, Absence)> {
    if let Report::StaysAway { router } = report {
        Some((router_named(router), Absence::Begins))
    } else if let Report::ComesBack { router } = report {
        Some((router_named(router), Absence::Ends))
    } else {
        None
    }
}

/// Returns which virtual router an advertisement is about and the priority in it.
pub fn said(payload: &[u8]) -> Option<(RouterIndex, u8)> {
    Some((router_of_vrid(*payload.get(VRID_OFFSET)?)?, *payload.get(PRIORITY_OFFSET)?))
}

/// Tells whether an advertisement is the last word of an Active.
pub fn is_release(payload: &[u8]) -> bool {
    said(payload).is_some_and(|(_, priority)| priority == 0)
}

fn router_holding(node: NodeIndex, address: &InterfaceAddress, scene: &Scene) -> Option<RouterIndex> {
    scene.site.router_indices().find(|router| scene.site.moving_addresses(node, *router).contains(address))
}
