//! Runs the hooks that a hand-over waits for.

use std::time::Duration;

use monotonic::Instant;
use node::Input;

use super::{Event, World};
use crate::fault::Hooks;
use crate::invariants::{self, Broken};
use crate::machine::Daemon;
use crate::site::{NodeIndex, RouterIndex, router_name};
use crate::trace::Detail;

impl World {
    /// Begins with the hooks of a node that is about to hand over; some take longer than they may.
    pub(super) fn prepare(&mut self, node: NodeIndex, router: RouterIndex, until: Instant) {
        let Self { now, machines, dice, .. } = self;
        let machine = &machines[node.0];
        let (until, life) = (machine.world(until), machine.life);
        self.trace
            .note(Detail::Story, node, *now, || format!("prepares to hand {} over", router_name(router)));
        self.referee.scene.preparations.begin(node, router, until);
        match machine.hooks {
            Hooks::Ending => {
                let at = *now + dice.between(Duration::ZERO, (until - *now) * 5 / 4);
                self.queue.put(at, Event::Prepared { node, life, router });
            }
            Hooks::Hanging => {}
        }
    }

    /// Tells a node that its hooks have run.
    pub(super) fn prepared(&mut self, node: NodeIndex, life: u32, router: RouterIndex) -> Result<(), Broken> {
        let machine = &mut self.machines[node.0];
        if machine.life != life {
            return Ok(());
        }
        match &mut machine.daemon {
            Daemon::Running(_) => {}
            Daemon::Paused(_, backlog) => {
                backlog.push(Event::Prepared { node, life, router });
                return Ok(());
            }
            Daemon::Absent | Daemon::Beginning | Daemon::Leaving => return Ok(()),
        }
        self.referee.scene.preparations.finish(node, router);
        self.feed(node, Input::Prepared { router: router_name(router) })?;
        invariants::whoever_is_prepared_hands_over(node, router, &self.referee.scene)
    }
}
