//! What the guard does in the place of a daemon that cannot.

use std::collections::BTreeMap;

use host::clock::now;
use host::reconciler;
use host::vrrp_socket::{self, Reception, VrrpSocket};
use node::name::InterfaceName;
use node::report::{FenceReason, Report};
use node::routers::Transmission;
use vrrp::Family;

use super::Guard;
use super::daemon::Daemon;
use crate::log;

impl Guard {
    /// Hands over in the place of a daemon that is dead: what it left in the kernel serves until another node does.
    pub(super) async fn hand_over(&mut self, reason: FenceReason) {
        let will = self.estate.last_will(now());
        say(&will);
        if let Some(time) = self.estate.succeeded_within().filter(|_| !will.is_empty()) {
            // Nobody listens here for the successor's advertisements, as in a planned hand-over.
            tokio::time::sleep(time).await;
        }
        self.remove_addresses().await;
        self.disinherit(reason);
    }

    /// Cuts off a daemon that lives and says nothing: its addresses go before others may claim them, and before it can
    /// do anything more.
    pub(super) async fn cut_off(&mut self, daemon: &mut Daemon) {
        daemon.kill();
        self.remove_addresses().await;
        say(&self.estate.last_will(now()));
        daemon.gone().await;
        // What it had asked of the kernel when it was killed may have been done after the first look.
        self.remove_addresses().await;
        tell_of_death("it said nothing any more and was killed");
        self.disinherit(FenceReason::Silent);
    }

    /// Gives up a daemon that has not come so far as to advertise again.
    pub(super) async fn give_up(&mut self, daemon: &mut Daemon) {
        daemon.kill();
        daemon.gone().await;
        tell_of_death("it did not begin in time and was killed");
        self.hand_over(FenceReason::NotBack).await;
    }

    fn disinherit(&mut self, reason: FenceReason) {
        for router in self.estate.active() {
            log::write(&Report::Fenced { router: router.clone(), reason });
        }
        self.estate.drop_roles();
    }

    async fn remove_addresses(&self) {
        match reconciler::leave_addresses(&self.record).await {
            Ok(left) => left.into_iter().for_each(|address| log::write(&Report::AddressLeft { address })),
            Err(error) => tracing::warn!(event = "cleaning_failed", "{error}"),
        }
    }
}

/// Says why a daemon was killed, which had perhaps no role that could be fenced.
fn tell_of_death(how: &str) {
    log::write(&Report::DaemonDied { how: how.to_owned() });
}

/// Sends what is to be said, what goes out on one interface in its order.
fn say(words: &[Transmission]) {
    let mut by_segment: BTreeMap<(&InterfaceName, Family), Vec<vrrp_socket::Transmission<'_>>> =
        BTreeMap::new();
    // Nobody looks at the hardware address that a last word comes from.
    for Transmission { interface, source, destination, mac: _, payload } in words {
        let (source, destination) = (*source, *destination);
        by_segment.entry((interface, Family::of(destination))).or_default().push(vrrp_socket::Transmission {
            source,
            destination,
            payload,
        });
    }
    for ((interface, family), batch) in by_segment {
        let reason = match VrrpSocket::open(interface, family, Reception::UnicastOnly) {
            Ok(socket) => socket.send_batch(&batch).first().map(|failure| failure.error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(reason) = reason {
            log::write(&Report::SendingFailed { interface: interface.clone(), reason });
        }
    }
}
