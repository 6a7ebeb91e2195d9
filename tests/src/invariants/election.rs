//! Who is Active, and when that has to be settled.

use std::time::Duration;

use monotonic::Instant;
use node::report::Report;

use super::{Broken, ensure};
use crate::network::Network;
use crate::scene::{NodeSet, Presence, Scene, Standing};
use crate::site::{Carrier, NodeIndex, Proof, RouterIndex, node_name, router_name};

/// Of two Actives the lower one hears the higher within the higher one's interval and the way of a packet, and yields:
/// counted from the moment at which both are Active and the higher is heard without loss. Where advertisements are signed
/// and the higher one's clock is behind, it is believed after it has heard the lower one, which takes the way there too.
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
            let is_heard = network.is_open(segment, high, low);
            let is_believed = scene.site.proof == Proof::Spared || network.is_open(segment, low, high);
            if scene.rank(high, router) <= scene.rank(low, router) || !is_heard || !is_believed {
                continue;
            }
            let since = [
                scene.since(low, router),
                scene.since(high, router),
                scene.disturbed(low),
                scene.disturbed(high),
                network.disturbed(segment, high, low),
                match scene.site.proof {
                    Proof::Spared => Instant::START,
                    Proof::Given => network.disturbed(segment, low, high),
                },
            ];
            let since = since.into_iter().max().expect("six moments have a last one");
            let word = |node| scene.seat(node, router).interval.duration() + network.longest_delay();
            let patience = match scene.site.proof {
                Proof::Spared => word(high),
                Proof::Given => word(low) + word(high),
            };
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
    let better = clique
        .iter()
        .find(|node| scene.seat(*node, router).priority > priority && scene.preempts(*node, router));
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

/// A node that runs takes part in every election unless an interface or a track is down, nothing is known of a track yet, or
/// the kernel refuses an address.
///
/// # Errors
/// [`Broken`] with the node.
pub fn whoever_can_takes_part(node: NodeIndex, router: RouterIndex, scene: &Scene) -> Result<(), Broken> {
    let standing = scene.standing(node, router);
    let may_be_out = scene.has_refused(node)
        || scene.book(node).is_faulted(&scene.site)
        || scene.book(node).is_blank(&scene.site)
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

/// A node of which an interface or a track is down takes part in no election.
///
/// # Errors
/// [`Broken`] with the node.
pub fn whoever_cannot_takes_no_part(
    node: NodeIndex,
    router: RouterIndex,
    scene: &Scene,
) -> Result<(), Broken> {
    let standing = scene.standing(node, router);
    let has_cause = scene.book(node).is_faulted(&scene.site)
        || scene
            .together_with(router)
            .any(|other| scene.carrier(node, scene.segment(other)) == Carrier::Down);
    ensure!(
        whoever_cannot_takes_no_part,
        !has_cause || standing == Standing::Fault,
        "{} is {standing:?} in {} in spite of a fault",
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

/// Whoever hands over is succeeded, or finds that nobody wants the role.
///
/// # Errors
/// [`Broken`] with how long it has been at it.
pub fn a_hand_over_comes_to_an_end(
    node: NodeIndex,
    router: RouterIndex,
    age: Duration,
    limit: Duration,
) -> Result<(), Broken> {
    ensure!(
        a_hand_over_comes_to_an_end,
        age <= limit,
        "{} hands {} over for {age:?}, more than {limit:?}",
        node_name(node),
        router_name(router)
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
