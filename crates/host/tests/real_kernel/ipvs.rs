//! The IPVS table on a real kernel: the running one, or a test kernel where that has no IPVS. Needs `ipvsadm` as a second
//! opinion.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use crate::kernel::{Kernel, virtual_address};
use host::reconciler::KernelEvent;
use lab::Namespace;
use lab::kernel::{Guest, Needs, TestKernel, has_ipvs};
use node::plan::{Change, ServiceChange};
use node::reconciliation::{Agreement, IpvsAvailability};
use virtual_server::service::{
    Destination, Forwarding, MarkFamily, Persistence, Protocol, Scheduler, Service, ServiceFlag, ServiceKey,
    Weight,
};

/// Runs a test where there is IPVS.
fn where_there_is_ipvs(name: &str, test: impl FnOnce(&Namespace)) {
    if has_ipvs() {
        test(&Namespace::new("balancer").expect("these tests need root and iproute2"));
    } else {
        in_a_guest(name);
    }
}

/// Runs a test of this program again, on a test kernel.
fn in_a_guest(name: &str) {
    assert_eq!(TestKernel::running(), None, "the guest has no IPVS");
    let results = std::env::temp_dir().join(format!("baton-host-{}-{name}", std::process::id()));
    let guest = Guest::new(TestKernel::quickest(Needs::Ipvs).unwrap(), &results);
    let status =
        guest.run(&std::env::current_exe().unwrap(), &["--exact", &format!("ipvs::{name}"), "--nocapture"]);
    let _ = std::fs::remove_dir_all(&results);
    assert_eq!(status.unwrap(), 0, "it failed in the guest, see above");
}

fn tcp(address: &str) -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, address: address.parse().unwrap() }
}

fn service(key: ServiceKey, destinations: &[(&str, u16, Forwarding)]) -> Service {
    let destination = |&(address, weight, forwarding): &(&str, u16, Forwarding)| {
        let address: SocketAddr = address.parse().unwrap();
        (address, Destination { weight: Weight::new(weight), forwarding })
    };
    Service {
        key,
        scheduler: Scheduler::Wlc,
        flags: BTreeSet::new(),
        persistence: None,
        destinations: destinations.iter().map(destination).collect(),
    }
}

fn web() -> Service {
    let real_servers = [
        ("10.78.0.21:80", 1, Forwarding::Nat),
        ("10.78.0.22:8080", 2, Forwarding::Nat),
        ("10.78.0.23:80", 0, Forwarding::Nat),
    ];
    service(tcp("10.77.0.50:80"), &real_servers)
}

fn saved(namespace: &Namespace) -> String {
    namespace.run(&["ipvsadm", "-Sn"]).unwrap()
}

/// One of everything, and what `ipvsadm -Sn` writes of it.
fn one_of_everything() -> (Vec<Arc<Service>>, Vec<&'static str>) {
    let with = |service: Service, scheduler, flags: &[ServiceFlag], persistence: Option<(u32, u8)>| {
        let persistence = persistence.map(|(seconds, prefix_length)| Persistence {
            timeout_seconds: NonZeroU32::new(seconds).unwrap(),
            prefix_length,
        });
        Arc::new(Service { scheduler, flags: flags.iter().copied().collect(), persistence, ..service })
    };
    let dns = ServiceKey::Address { protocol: Protocol::Udp, address: "10.77.0.50:53".parse().unwrap() };
    let sigtran =
        ServiceKey::Address { protocol: Protocol::Sctp, address: "10.77.0.50:2905".parse().unwrap() };
    let mark = |family, mark| ServiceKey::Mark { family, mark: NonZeroU32::new(mark).unwrap() };
    let services = vec![
        with(web(), Scheduler::Wlc, &[], None),
        with(
            service(dns, &[("10.78.0.21:53", 65_535, Forwarding::Direct)]),
            Scheduler::Wrr,
            &[ServiceFlag::OnePacket],
            None,
        ),
        with(
            service(sigtran, &[("10.78.0.21:2905", 1, Forwarding::Tunnel)]),
            Scheduler::Rr,
            &[],
            Some((300, 24)),
        ),
        with(
            service(tcp("[fd77::50]:443"), &[("[fd78::21]:443", 5, Forwarding::Direct)]),
            Scheduler::Sh,
            &[ServiceFlag::Scheduler1, ServiceFlag::Scheduler2],
            Some((60, 64)),
        ),
        with(
            service(mark(MarkFamily::V4, 7), &[("10.78.0.21:80", 1, Forwarding::Nat)]),
            Scheduler::Lc,
            &[],
            None,
        ),
        with(
            service(mark(MarkFamily::V6, 8), &[("[fd78::21]:80", 1, Forwarding::Nat)]),
            Scheduler::Mh,
            &[],
            None,
        ),
    ];
    let lines = vec![
        "-A -t 10.77.0.50:80 -s wlc",
        "-a -t 10.77.0.50:80 -r 10.78.0.21:80 -m -w 1",
        "-a -t 10.77.0.50:80 -r 10.78.0.22:8080 -m -w 2",
        "-a -t 10.77.0.50:80 -r 10.78.0.23:80 -m -w 0",
        "-A -u 10.77.0.50:53 -s wrr -o",
        "-a -u 10.77.0.50:53 -r 10.78.0.21:53 -g -w 65535",
        "-A --sctp-service 10.77.0.50:2905 -s rr -p 300 -M 255.255.255.0",
        "-a --sctp-service 10.77.0.50:2905 -r 10.78.0.21:2905 -i -w 1 --tun-type ipip",
        "-A -t [fd77::50]:443 -s sh -p 60 -M 64 -b sh-fallback,sh-port",
        "-a -t [fd77::50]:443 -r [fd78::21]:443 -g -w 5",
        "-A -f 7 -s lc",
        "-a -f 7 -r 10.78.0.21:80 -m -w 1",
        "-A -f 8 -6 -s mh",
        "-a -f 8 -6 -r [fd78::21]:80 -m -w 1",
    ];
    (services, lines)
}

#[test]
fn every_kind_of_service_stands_in_the_kernel_as_it_was_wanted() {
    where_there_is_ipvs("every_kind_of_service_stands_in_the_kernel_as_it_was_wanted", |namespace| {
        let (services, lines) = one_of_everything();
        let mut kernel = Kernel::new(namespace);
        kernel.want(&[], &services);
        let outcome = kernel.settle();
        assert_eq!(outcome.refused, []);
        assert_eq!(outcome.completed.len(), services.len());
        let saved = saved(namespace);
        let found: BTreeSet<_> = saved.lines().map(str::trim_end).collect();
        assert_eq!(found, lines.into_iter().collect(), "as ipvsadm saves it:\n{saved}");

        // The next process finds the same and has nothing to do: the first thing it says is that all is well.
        let mut kernel = Kernel::on(namespace, kernel.end());
        kernel.want(&[], &services);
        let outcome = kernel.outcome("its first word", |_| true);
        assert_eq!(outcome.agreement, Agreement::Settled);
        assert_eq!(outcome.completed.len(), services.len());

        kernel.want(&[], &[]);
        kernel.settle();
        assert_eq!(namespace.run(&["ipvsadm", "-Sn"]).unwrap(), "");
    });
}

#[test]
fn every_scheduler_that_the_kernel_has_is_accepted_and_a_missing_one_is_named() {
    where_there_is_ipvs(
        "every_scheduler_that_the_kernel_has_is_accepted_and_a_missing_one_is_named",
        |namespace| {
            let mut kernel = Kernel::new(namespace);
            for scheduler in Scheduler::ALL {
                kernel.want(&[], &[Arc::new(Service { scheduler, ..web() })]);
                let outcome = kernel.outcome("the table or a refusal", |outcome| {
                    !outcome.refused.is_empty() || outcome.agreement == Agreement::Settled
                });
                if let Some(refusal) = outcome.refused.first() {
                    let name = scheduler.name();
                    let expected = format!(
                        "This kernel has no IPVS scheduler {name}: load it with `modprobe ip_vs_{name}`"
                    );
                    assert_eq!(refusal.reason, expected);
                    let has_it = namespace.run(&["modprobe", "--dry-run", &format!("ip_vs_{name}")]).is_ok();
                    assert!(!has_it, "{refusal:?}");
                    assert_eq!(
                        outcome.refused.len(),
                        1,
                        "what depends on it is no news: {:?}",
                        outcome.refused
                    );
                } else {
                    assert!(saved(namespace).contains(&format!("-s {}", scheduler.name())));
                }
            }
        },
    );
}

#[test]
fn a_change_reaches_only_what_differs() {
    where_there_is_ipvs("a_change_reaches_only_what_differs", |namespace| {
        let mut kernel = Kernel::new(namespace);
        let mut web = web();
        kernel.want(&[], &[Arc::new(web.clone())]);
        kernel.settle();
        web.destinations.insert(
            "10.78.0.21:80".parse().unwrap(),
            Destination { weight: Weight::new(9), forwarding: Forwarding::Nat },
        );
        web.destinations.remove(&"10.78.0.22:8080".parse().unwrap());
        web.scheduler = Scheduler::Rr;
        kernel.want(&[], &[Arc::new(web.clone())]);
        let outcome = kernel.settle();
        assert_eq!(outcome.completed, [(web.key, 2)]);
        let expected = [
            "-A -t 10.77.0.50:80 -s rr",
            "-a -t 10.77.0.50:80 -r 10.78.0.21:80 -m -w 9",
            "-a -t 10.77.0.50:80 -r 10.78.0.23:80 -m -w 0",
        ];
        let saved = saved(namespace);
        assert_eq!(saved.lines().map(str::trim_end).collect::<BTreeSet<_>>(), expected.into_iter().collect());
    });
}

#[test]
fn foreign_services_are_never_touched_and_ours_are_repaired_and_cleaned() {
    where_there_is_ipvs(
        "foreign_services_are_never_touched_and_ours_are_repaired_and_cleaned",
        |namespace| {
            let foreign = ["ipvsadm", "-A", "-t", "192.0.2.1:80", "-s", "rr"];
            namespace.run(&foreign).unwrap();
            let mut kernel = Kernel::new(namespace);
            let web = Arc::new(web());
            kernel.want(&[], std::slice::from_ref(&web));
            kernel.settle();
            let whole = saved(namespace);

            // The kernel tells nobody of this; the next audit finds it.
            let first = "10.78.0.21:80";
            namespace.run(&["ipvsadm", "-d", "-t", "10.77.0.50:80", "-r", first]).unwrap();
            let outcome = kernel.outcome("the repair", |outcome| !outcome.repaired.is_empty());
            let destination = web.destinations[&first.parse().unwrap()];
            assert_eq!(
                outcome.repaired,
                [Change::Service(ServiceChange::AddDestination(
                    web.key,
                    first.parse().unwrap(),
                    destination
                ))]
            );
            let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
            assert_eq!(sorted(&saved(namespace)), sorted(&whole));

            namespace.run(&["ipvsadm", "-C"]).unwrap();
            namespace.run(&foreign).unwrap();
            let outcome = kernel.outcome("the repair", |outcome| !outcome.repaired.is_empty());
            assert_eq!(outcome.repaired, [Change::Service(ServiceChange::Add(Arc::clone(&web)))]);
            assert_eq!(sorted(&saved(namespace)), sorted(&whole));

            let cleaned = kernel.end().clean(namespace);
            assert_eq!(cleaned.services, [web.key]);
            assert_eq!(saved(namespace).trim_end(), "-A -t 192.0.2.1:80 -s rr");
        },
    );
}

#[test]
fn a_table_is_complete_before_its_address_comes_and_stands_until_it_has_left() {
    where_there_is_ipvs(
        "a_table_is_complete_before_its_address_comes_and_stands_until_it_has_left",
        |namespace| {
            let mut kernel = Kernel::new(namespace);
            let address = virtual_address("10.77.0.50/32", "lo");
            let web = Arc::new(web());
            kernel.want(&[&address], std::slice::from_ref(&web));
            let mut order = Vec::new();
            kernel.wait("both", |event| {
                if let KernelEvent::Reconciled(outcome) = event {
                    order.extend(outcome.completed.iter().map(|_| "table"));
                    order.extend(outcome.taken.iter().map(|_| "address"));
                }
                (order.len() == 2).then_some(())
            });
            assert_eq!(order, ["table", "address"]);
            kernel.settle();
            kernel.want(&[], &[]);
            let outcome = kernel.outcome("the address to leave", |outcome| !outcome.left.is_empty());
            assert_eq!(outcome.left, [address]);
            kernel.settle();
            assert_eq!(saved(namespace), "");
        },
    );
}

#[test]
fn ipvs_that_is_missing_is_told_once_and_used_when_it_comes() {
    // Unloading a module is no thing to do to somebody's own kernel.
    if TestKernel::running().is_none() {
        return in_a_guest("ipvs_that_is_missing_is_told_once_and_used_when_it_comes");
    }
    let namespace = Namespace::new("balancer").unwrap();
    let modules = std::fs::read_to_string("/proc/modules").unwrap();
    let names: Vec<_> = modules.lines().filter_map(|line| line.split(' ').next()).collect();
    for name in names.iter().filter(|name| name.starts_with("ip_vs_")).chain(&["ip_vs"]) {
        namespace.run(&["rmmod", name]).unwrap();
    }
    std::fs::write("/proc/sys/kernel/modprobe", "/bin/false").unwrap();

    let mut kernel = Kernel::new(&namespace);
    let address = virtual_address("10.77.0.50/32", "lo");
    let web = Arc::new(web());
    kernel.want(&[&address], std::slice::from_ref(&web));
    let outcome = kernel.outcome("the address", |outcome| !outcome.taken.is_empty());
    let Some(IpvsAvailability::Unavailable { reason }) = outcome.ipvs else { panic!("{outcome:?}") };
    assert!(reason.starts_with("ip_vs is not in this kernel: load it with `modprobe ip_vs`"), "{reason}");
    assert_eq!(outcome.refused, []);

    namespace.run(&["modprobe", "ip_vs_wlc"]).unwrap();
    let mut told = Vec::new();
    kernel.wait("the table", |event| {
        let KernelEvent::Reconciled(outcome) = event else { return None };
        told.extend(outcome.ipvs.clone());
        (!outcome.completed.is_empty()).then_some(())
    });
    assert_eq!(told, [IpvsAvailability::Available]);
    assert!(saved(&namespace).contains("-a -t 10.77.0.50:80 -r 10.78.0.21:80 -m -w 1"));
}

/// A hundred services of a hundred destinations each.
fn large_table() -> Vec<Arc<Service>> {
    let large = (0..100_u8).map(|number| {
        let key = ServiceKey::Address { protocol: Protocol::Tcp, address: ([10, 77, 1, number], 80).into() };
        let destination = Destination { weight: Weight::DEFAULT, forwarding: Forwarding::Nat };
        let destinations = (0..100_u8).map(|last| (([10, 78, number, last], 80).into(), destination));
        Arc::new(Service { destinations: destinations.collect::<BTreeMap<_, _>>(), ..service(key, &[]) })
    });
    large.collect()
}

#[test]
fn ten_thousand_destinations_stand_and_one_changed_weight_is_one_change() {
    where_there_is_ipvs(
        "ten_thousand_destinations_stand_and_one_changed_weight_is_one_change",
        |namespace| {
            let mut services = large_table();
            let mut kernel = Kernel::new(namespace);
            let start = Instant::now();
            kernel.want(&[], &services);
            let outcome = kernel.settle();
            println!("10,000 destinations: {} ms", start.elapsed().as_millis());
            assert_eq!(outcome.completed.len(), 100);
            assert_eq!(saved(namespace).lines().count(), 100 + 10_000);

            let changed = Arc::make_mut(&mut services[42]);
            let destination = Destination { weight: Weight::new(7), forwarding: Forwarding::Nat };
            changed.destinations.insert("10.78.42.17:80".parse().unwrap(), destination);
            let start = Instant::now();
            kernel.want(&[], &services);
            let outcome = kernel.settle();
            println!("one weight among them: {} µs", start.elapsed().as_micros());
            assert_eq!(outcome.completed, [(services[42].key, 100)]);
            assert!(saved(namespace).contains("-a -t 10.77.1.42:80 -r 10.78.42.17:80 -m -w 7"));

            let start = Instant::now();
            kernel.want(&[], &[]);
            kernel.settle();
            println!("gone again: {} ms", start.elapsed().as_millis());
            assert_eq!(saved(namespace), "");
        },
    );
}

#[test]
fn a_newer_wish_is_seen_in_the_middle_of_a_large_table() {
    where_there_is_ipvs("a_newer_wish_is_seen_in_the_middle_of_a_large_table", |namespace| {
        let mut kernel = Kernel::new(namespace);
        let services = large_table();
        kernel.want(&[], &services);
        kernel.outcome("the first service", |outcome| !outcome.completed.is_empty());
        kernel.want(&[], &services[..1]);
        let outcome = kernel.settle();
        assert!(outcome.completed.len() < 99, "the older wish was worked off first");
        assert_eq!(saved(namespace).lines().count(), 101);
    });
}
