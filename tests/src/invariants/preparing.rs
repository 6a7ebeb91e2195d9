//! For how long a hand-over waits for hooks.

use monotonic::Instant;

use super::{Broken, ensure};
use crate::preparations::{Preparation, Progress};
use crate::scene::{Presence, Scene};
use crate::site::{Carrier, NodeIndex, RouterIndex, node_name, router_name};

/// A role is released when the hooks have run of all that moves together, or have had their time, and not before; but at
/// once where a part of what moves together cannot be heard any more.
///
/// The scene is that of before the release.
///
/// # Errors
/// [`Broken`] with what is still to be waited for.
pub fn hooks_have_their_time(
    node: NodeIndex,
    router: RouterIndex,
    scene: &Scene,
    now: Instant,
) -> Result<(), Broken> {
    if scene.site.preparation.is_none() || is_torn(node, router, scene) {
        return Ok(());
    }
    let own = scene.preparations.of(node, router);
    let is_over = own.is_some_and(|own| own.until <= now) || is_prepared(node, router, scene);
    ensure!(
        hooks_have_their_time,
        is_over,
        "{} releases {} at {now:?} while its hooks are at {own:?}",
        node_name(node),
        router_name(router)
    );
    Ok(())
}

/// What moves together is handed over as soon as the hooks of all of it have run.
///
/// # Errors
/// [`Broken`] with the virtual router whose hooks were the last to.
pub fn whoever_is_prepared_hands_over(
    node: NodeIndex,
    router: RouterIndex,
    scene: &Scene,
) -> Result<(), Broken> {
    ensure!(
        whoever_is_prepared_hands_over,
        !is_prepared(node, router, scene),
        "the hooks of {} have run for {}, and it is not handed over",
        node_name(node),
        router_name(router)
    );
    Ok(())
}

/// No hand-over waits for hooks beyond their time, nor at all where a part of what moves together cannot be heard any more;
/// a node that stood still hands over when it goes on.
///
/// # Errors
/// [`Broken`] with the node.
pub fn no_hook_holds_up_a_release(
    node: NodeIndex,
    router: RouterIndex,
    until: Instant,
    scene: &Scene,
    now: Instant,
) -> Result<(), Broken> {
    let until = if is_torn(node, router, scene) { scene.disturbed(node) } else { until };
    let is_late = now > until.max(scene.disturbed(node)) && scene.presence(node) == Presence::Running;
    ensure!(
        no_hook_holds_up_a_release,
        !is_late,
        "{} was to hand over by {until:?} at the latest and waits at {now:?}",
        node_name(node)
    );
    Ok(())
}

fn is_torn(node: NodeIndex, router: RouterIndex, scene: &Scene) -> bool {
    scene.together_with(router).any(|other| scene.carrier(node, scene.segment(other)) == Carrier::Down)
}

fn is_prepared(node: NodeIndex, router: RouterIndex, scene: &Scene) -> bool {
    let is_done = |preparation: Preparation| preparation.progress == Progress::Done;
    let mut together =
        scene.together_with(router).filter_map(|router| scene.preparations.of(node, router)).peekable();
    together.peek().is_some() && together.all(is_done)
}
