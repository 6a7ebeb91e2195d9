//! What the guard does in the place of a daemon that cannot.

use std::collections::BTreeMap;

use host::clock::now;
use host::reconciler;
use host::vrrp_socket::{self, Reception, VrrpSocket};
use node::guard::Measure;
use node::name::InterfaceName;
use node::report::{FenceReason, Report};
use node::routers::Transmission;
use vrrp::Family;

use super::Guard;
use super::daemon::Daemon;
use crate::log;

impl Guard {
    /// Takes all measures for this reason; one that is dead is neither killed nor waited for.
    pub(super) async fn fence(&mut self, reason: FenceReason, mut living: Option<&mut Daemon>) {
        for measure in reason.measures() {
            match measure {
                Measure::Kill => {
                    if let Some(daemon) = &mut living {
                        daemon.kill();
                    }
                }
                Measure::AwaitEnd => {
                    if let Some(daemon) = &mut living {
                        daemon.gone().await;
                    }
                }
                Measure::TellOfDeath(how) => log::write(&Report::DaemonDied { how: (*how).to_owned() }),
                Measure::SayWill => say(&self.estate.legacy.last_will(now())),
                Measure::HandOver => self.hand_over().await,
                Measure::LeaveAddresses => self.remove_addresses().await,
                Measure::Disinherit => self.disinherit(reason),
            }
        }
    }

    async fn hand_over(&self) {
        let will = self.estate.legacy.last_will(now());
        say(&will);
        if let Some(time) = self.estate.legacy.succeeded_within().filter(|_| !will.is_empty()) {
            tokio::time::sleep(time).await;
        }
    }

    fn disinherit(&mut self, reason: FenceReason) {
        for router in self.estate.legacy.active() {
            log::write(&Report::Fenced { router: router.clone(), reason });
        }
        self.estate.legacy.drop_roles();
    }

    async fn remove_addresses(&self) {
        match reconciler::leave_addresses(&self.record).await {
            Ok(left) => left.into_iter().for_each(|address| log::write(&Report::AddressLeft { address })),
            Err(error) => tracing::warn!(event = "cleaning_failed", "{error}"),
        }
    }
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
