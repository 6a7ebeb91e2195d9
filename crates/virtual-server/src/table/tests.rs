use super::*;
use crate::service::{Forwarding, Protocol, Weight};

fn key(port: u16) -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, address: SocketAddr::from(([10, 77, 0, 50], port)) }
}

fn settings(scheduler: Scheduler) -> ServiceSettings {
    ServiceSettings { scheduler, flags: BTreeSet::new(), persistence: None }
}

fn destinations(weight: u16) -> BTreeMap<SocketAddr, Destination> {
    let destination = Destination { weight: Weight::new(weight), forwarding: Forwarding::Nat };
    BTreeMap::from([(SocketAddr::from(([10, 78, 0, 21], 80)), destination)])
}

#[test]
fn what_is_as_wanted_stays_the_same_allocation_and_what_is_not_is_made_anew() {
    let mut table = Table::default();
    table.refresh([key(80)], &settings(Scheduler::Wlc), &destinations(1));
    let first = table.services()[&key(80)].clone();

    table.refresh([key(80), key(443)], &settings(Scheduler::Wlc), &destinations(1));
    assert!(Arc::ptr_eq(&table.services()[&key(80)], &first));
    assert_eq!(table.services()[&key(443)].destinations, destinations(1));

    table.refresh([key(80)], &settings(Scheduler::Wlc), &destinations(2));
    assert_eq!(table.services().len(), 1);
    assert_eq!(table.services()[&key(80)].destinations, destinations(2));

    table.refresh([key(80)], &settings(Scheduler::Mh), &destinations(2));
    assert_eq!(table.services()[&key(80)].scheduler, Scheduler::Mh);
}
