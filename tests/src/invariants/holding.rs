//! What a machine's kernel holds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use monotonic::Instant;
use node::config::InterfaceAddress;
use node::host_state::{HostState, Wanted};
use node::input_drop::InputDrop;
use node::plan::{Change, ServiceChange, Step, plan};
use virtual_server::service::{Destination, ServiceKey};

use super::{Broken, ensure};
use crate::health_book::HealthBook;
use crate::kernel::Kernel;
use crate::scene::{Scene, Standing};
use crate::site::{
    NodeIndex, RouterIndex, ServerIndex, SiteFollow, is_kept, is_there, node_name, router_name,
};

/// How long the addresses of an Active that has to yield may stay.
const LINGERING: Duration = Duration::from_millis(50);

/// An address comes only when every table of its holding is complete, and a table is dismantled only when its address
/// is gone, after each single change.
///
/// # Errors
/// [`Broken`] with the change.
pub fn table_before_address(change: &Change, held: &HostState, wanted: &Wanted) -> Result<(), Broken> {
    match change {
        Change::Address(Step::Take, address) => {
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
        Change::Service(ServiceChange::Remove(key)) => {
            let address = match key {
                ServiceKey::Address { address, .. } => Some(address.ip()),
                ServiceKey::Mark { .. } => None,
            };
            let is_here = held.addresses.iter().any(|held| Some(held.address) == address);
            ensure!(table_before_address, !is_here, "{change} while its address is here");
        }
        Change::Address(Step::Leave, _)
        | Change::Drop(..)
        | Change::Rule(..)
        | Change::Route(..)
        | Change::Device(..)
        | Change::Service(
            ServiceChange::Add(_)
            | ServiceChange::Edit(_)
            | ServiceChange::AddDestination(..)
            | ServiceChange::EditDestination(..)
            | ServiceChange::RemoveDestination(..),
        ) => {}
    }
    Ok(())
}

/// No address of a virtual router that does not accept stands while packets to it are not dropped, after each single
/// change.
///
/// # Errors
/// [`Broken`] with the address.
pub fn what_is_not_accepted_is_dropped(
    change: &Change,
    held: &HostState,
    wanted: &Wanted,
) -> Result<(), Broken> {
    if let Change::Drop(Step::Leave, drop) = change {
        let is_wanted = |address: &InterfaceAddress| {
            wanted.holdings.iter().any(|holding| holding.addresses.contains(address))
        };
        let mut exposed = held.addresses.iter().filter(|address| InputDrop::of(address) == *drop);
        ensure!(
            what_is_not_accepted_is_dropped,
            exposed.all(is_wanted),
            "{change} while its address is still here"
        );
    }
    for drop in &wanted.drops {
        let mut exposed = held.addresses.iter().filter(|address| InputDrop::of(address) == *drop);
        ensure!(
            what_is_not_accepted_is_dropped,
            held.drops.contains(drop) || exposed.next().is_none(),
            "{drop} is here and packets to it are accepted"
        );
    }
    Ok(())
}

/// What is taken has what it needs, and what leaves takes nothing of Baton's along, after each single change: an address
/// its interface, and a route its interface and the address that it comes from.
///
/// # Errors
/// [`Broken`] with the change.
pub fn nothing_hangs_in_the_air(change: &Change, held: &HostState) -> Result<(), Broken> {
    match change {
        Change::Address(Step::Take, address) => {
            let has_ground = is_there(&address.interface, &held.devices);
            ensure!(nothing_hangs_in_the_air, has_ground, "{change} without its interface");
        }
        Change::Route(Step::Take, route) => {
            let has_ground = is_kept(route, &held.addresses, &held.devices);
            ensure!(nothing_hangs_in_the_air, has_ground, "{change} while only {held:?} is here");
        }
        Change::Address(Step::Leave, address) => {
            let mut bereft = held.routes.iter().filter(|route| route.source == Some(address.address));
            ensure!(nothing_hangs_in_the_air, bereft.next().is_none(), "{change} before its routes");
        }
        Change::Device(Step::Leave, device) => {
            let mut bereft = held.addresses.iter().filter(|address| address.interface == device.name);
            ensure!(nothing_hangs_in_the_air, bereft.next().is_none(), "{change} before its addresses");
        }
        Change::Device(Step::Take, _)
        | Change::Route(Step::Leave, _)
        | Change::Rule(..)
        | Change::Drop(..)
        | Change::Service(_) => {}
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

/// Once the kernel is settled it holds the addresses of the virtual routers that are Active on this node or hand over,
/// and no others but for a moment those that were Active, and the tables that follow them say of each real server what its
/// checks said.
///
/// # Errors
/// [`Broken`] with the difference.
pub fn the_host_holds_what_is_active_and_fit(
    node: NodeIndex,
    scene: &Scene,
    book: &HealthBook,
    held: &HostState,
    now: Instant,
) -> Result<(), Broken> {
    // A node that stood still leaves them when it goes on.
    let since = |router| scene.since(node, router).max(scene.disturbed(node));
    let may_linger = |router: &RouterIndex| {
        scene.standing(node, *router) == Standing::Backup && now - since(*router) <= LINGERING
    };
    let is_active = |router: RouterIndex| match scene.standing(node, router) {
        Standing::Active | Standing::Leaving => true,
        Standing::Out | Standing::Backup | Standing::Fault => false,
    };
    let least = belongings(node, scene, |router| is_active(*router));
    let most = belongings(node, scene, |router| is_active(*router) || may_linger(router));
    ensure!(
        the_host_holds_what_is_active_and_fit,
        is_between(&least, held, &most),
        "{} holds {held:?} where it should hold {least:?}",
        node_name(node)
    );
    let Some(service) = &scene.site.service else { return Ok(()) };
    let is_here = match service.follow {
        SiteFollow::Always => true,
        SiteFollow::Routers => scene.together_with(RouterIndex(0)).any(is_active),
    };
    let tables: Vec<&BTreeMap<SocketAddr, Destination>> =
        held.services.values().map(|service| &service.destinations).collect();
    let expected = book.destinations(&scene.site, node);
    let is_right = match (is_here, &tables[..]) {
        (true, [table]) => **table == expected,
        (false, [table]) if scene.site.router_indices().any(|router| may_linger(&router)) => {
            **table == expected
        }
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

/// What a node holds, its table left aside, for those of the virtual routers.
fn belongings(node: NodeIndex, scene: &Scene, are_here: impl Fn(&RouterIndex) -> bool) -> HostState {
    let site = &scene.site;
    let here = || site.router_indices().filter(&are_here);
    HostState {
        devices: here().filter_map(|router| site.device(router)).collect(),
        addresses: here().flat_map(|router| site.taken_addresses(node, router)).collect(),
        routes: here().flat_map(|router| site.routes(node, router)).collect(),
        rules: here().flat_map(|router| site.rules(router)).collect(),
        ..HostState::default()
    }
}

fn is_between(least: &HostState, held: &HostState, most: &HostState) -> bool {
    fn between<T: Ord>(least: &BTreeSet<T>, held: &BTreeSet<T>, most: &BTreeSet<T>) -> bool {
        least.is_subset(held) && held.is_subset(most)
    }
    between(&least.devices, &held.devices, &most.devices)
        && between(&least.addresses, &held.addresses, &most.addresses)
        && between(&least.routes, &held.routes, &most.routes)
        && between(&least.rules, &held.rules, &most.rules)
}

/// A real server that has been dead, or alive, for long enough is known to be.
///
/// # Errors
/// [`Broken`] with the real server.
pub fn checks_find_the_truth(node: NodeIndex, book: &HealthBook, alive: &[bool]) -> Result<(), Broken> {
    for (index, is_alive) in alive.iter().enumerate() {
        let is_fit = book.is_fit(ServerIndex(index));
        ensure!(
            checks_find_the_truth,
            is_fit == *is_alive,
            "real server {} is alive: {is_alive}, fit by the checks of {}: {is_fit}",
            index + 1,
            node_name(node)
        );
    }
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

/// A daemon whose last will is said because it hangs holds no address any more, so that never two own one; and a guard
/// that has fenced a daemon has left none.
///
/// # Errors
/// [`Broken`] with what it holds.
pub fn the_fenced_hold_nothing(node: NodeIndex, held: &HostState) -> Result<(), Broken> {
    let addresses = &held.addresses;
    ensure!(the_fenced_hold_nothing, addresses.is_empty(), "{} holds {addresses:?}", node_name(node));
    Ok(())
}

/// The addresses of an Active that hangs in a settled world are gone when another node claims because it hears nothing.
///
/// # Errors
/// [`Broken`] with what it holds.
pub fn the_hanging_are_fenced_in_time(
    node: NodeIndex,
    addresses: &[InterfaceAddress],
    held: &HostState,
) -> Result<(), Broken> {
    let kept = addresses.iter().find(|address| held.addresses.contains(address));
    ensure!(the_hanging_are_fenced_in_time, kept.is_none(), "{} hangs and holds {kept:?}", node_name(node));
    Ok(())
}

/// What a dead daemon left serves until the node is Active that heeds its last will.
///
/// # Errors
/// [`Broken`], always: it is called when the addresses were removed before.
pub fn the_dead_serve_until_they_are_succeeded(node: NodeIndex, router: RouterIndex) -> Result<(), Broken> {
    let found = format!("{} left the addresses of {} to nobody", node_name(node), router_name(router));
    Err(Broken { invariant: "the_dead_serve_until_they_are_succeeded", found })
}

/// A daemon that goes on with a role leaves the addresses as they are.
///
/// # Errors
/// [`Broken`] with what it removes.
pub fn an_adoption_removes_nothing(node: NodeIndex, planned: &[Change], scene: &Scene) -> Result<(), Broken> {
    let roles =
        scene.site.router_indices().filter(|router| scene.standing(node, *router) == Standing::Active);
    let kept: Vec<_> = roles.flat_map(|router| scene.site.taken_addresses(node, router)).collect();
    let takes_away =
        |change: &&Change| matches!(change, Change::Address(Step::Leave, address) if kept.contains(address));
    let removed = planned.iter().find(takes_away);
    ensure!(an_adoption_removes_nothing, removed.is_none(), "{} is to {removed:?}", node_name(node));
    Ok(())
}

/// A machine without a guard holds no address for longer than its lease.
///
/// # Errors
/// [`Broken`] with what it holds.
pub fn nobody_holds_what_is_not_renewed(node: NodeIndex, held: &HostState) -> Result<(), Broken> {
    let addresses = &held.addresses;
    ensure!(
        nobody_holds_what_is_not_renewed,
        addresses.is_empty(),
        "{} holds {addresses:?}",
        node_name(node)
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
