//! Virtual addresses and links on the real kernel.

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use crate::kernel::{Kernel, LIMIT, virtual_address};
use crate::pair::{CABLE, Pair};
use host::reconciler::KernelEvent;
use lab::Namespace;
use node::config::{InterfaceAddress, Scope};
use node::link::{LinkEvent, LinkState};
use node::name::AddressLabel;
use node::plan::{Change, Step};
use node::reconciliation::{RefusalKind, Said};

/// Half of what the kernel is waited for at most.
const PATIENCE: Duration = Duration::from_millis(125);

/// Less than it takes until everything is looked at anew, which would hide what was missed.
const AUDITED_AFTER: Duration = Duration::from_secs(8);

/// The IPv4 and IPv6 addresses of the cable's end that are not link-local, as `ip` shows them.
fn shown(end: &Namespace) -> Vec<String> {
    let text = end.run(&["ip", "-oneline", "address", "show", "dev", CABLE]).unwrap();
    let address = |line: &str| line.split_whitespace().nth(3).unwrap().to_owned();
    text.lines().map(address).filter(|address| !address.starts_with("fe80")).collect()
}

#[test]
fn neighbours_hear_of_an_address_from_the_reconciler_where_that_is_wanted() {
    let pair = Pair::new();
    let mut kernel = Kernel::new(&pair.left);
    let [told, untold] = ["10.9.0.50/24", "10.9.0.51/24"].map(|address| virtual_address(address, CABLE));
    let elsewhere = virtual_address("192.0.2.50/32", "lo");
    // The neighbour knows both at another place, as after a take-over.
    let before = "02:00:00:00:00:99";
    for address in [&told, &untold] {
        let number = address.address.to_string();
        let words = ["ip", "neighbour", "add", &number, "lladdr", before, "nud", "stale", "dev", CABLE];
        pair.right.run(&words).unwrap();
    }
    kernel.want_announced(&[&untold, &told, &elsewhere], &[&told, &elsewhere]);
    let outcome = kernel.settle();
    let expected = [(&untold, Said::Nothing), (&told, Said::Once), (&elsewhere, Said::Nothing)];
    let expected = expected.map(|(address, said)| (address.clone(), said));
    assert_eq!(outcome.taken, expected.into());
    // Neighbours of the loopback interface there are none.
    let own = pair.left.link_address(CABLE).unwrap();
    lab::wait_until("the neighbour to learn the address", LIMIT, || {
        Ok(pair.right.neighbour(told.address)?.is_some_and(|mac| mac == own))
    })
    .unwrap();
    assert_eq!(pair.right.neighbour(untold.address).unwrap().unwrap(), before);
    kernel.want_announced(&[&untold, &told], &[&told, &untold]);
    assert_eq!(kernel.settle().taken, [].into());
}

#[test]
fn an_address_that_its_tag_tells_apart_does_not_wait_for_the_record() {
    let pair = Pair::new();
    let mut kernel = Kernel::new(&pair.left);
    kernel.block_the_record();
    kernel.want(&[&virtual_address("10.9.0.50/24", CABLE)], &[]);
    let outcome = kernel.settle();
    assert_eq!((outcome.taken.len(), outcome.refused), (1, vec![]));
}

#[test]
fn addresses_are_taken_and_left_and_the_interfaces_own_stay() {
    let pair = Pair::new();
    let mut kernel = Kernel::new(&pair.left);
    let (v4, v6) = (virtual_address("10.9.0.50/24", CABLE), virtual_address("fd99::50/64", CABLE));
    let elsewhere = virtual_address("192.0.2.50/32", "lo");
    kernel.want(&[&v4, &v6, &elsewhere], &[]);
    let outcome = kernel.settle();
    assert_eq!(outcome.taken.len(), 3);
    assert_eq!(outcome.refused, []);
    assert_eq!(shown(&pair.left), ["10.9.0.1/24", "10.9.0.50/24", "fd99::50/64"]);
    let text = pair.left.run(&["ip", "address", "show", "dev", CABLE]).unwrap();
    assert!(text.contains("inet 10.9.0.50/24 brd 10.9.0.255"), "{text}");
    // At once usable, and never chosen as a source.
    assert!(text.contains("inet6 fd99::50/64 scope global nodad deprecated"), "{text}");
    pair.right.run(&["ping", "-c1", "-W5", "10.9.0.50"]).unwrap();

    kernel.want(&[&v4], &[]);
    assert_eq!(kernel.settle().left.len(), 2);
    assert_eq!(shown(&pair.left), ["10.9.0.1/24", "10.9.0.50/24"]);
    kernel.want(&[], &[]);
    assert_eq!(kernel.settle().left, [v4]);
    assert_eq!(shown(&pair.left), ["10.9.0.1/24"]);
}

#[test]
fn deleting_the_first_address_of_a_subnet_leaves_its_neighbours_and_the_setting() {
    let pair = Pair::new();
    let mut kernel = Kernel::new(&pair.left);
    let virtual_addresses = ["172.20.0.1/24", "172.20.0.2/24", "172.20.0.3/24"];
    let [first, second, third] = virtual_addresses.map(|address| virtual_address(address, CABLE));
    kernel.want(&[&first], &[]);
    kernel.settle();
    kernel.want(&[&first, &second, &third], &[]);
    kernel.settle();
    let setting = "net/ipv4/conf/cable/promote_secondaries";
    let before = pair.left.sysctl(setting).unwrap();
    for value in ["0", "1"] {
        pair.left.set_sysctl(setting, value).unwrap();
        kernel.want(&[&second, &third], &[]);
        let outcome = kernel.settle();
        assert_eq!((&outcome.left[..], &outcome.repaired[..]), (&[first.clone()][..], &[][..]));
        assert_eq!(shown(&pair.left), ["10.9.0.1/24", "172.20.0.2/24", "172.20.0.3/24"]);
        assert_eq!(pair.left.sysctl(setting).unwrap(), value, "somebody else's setting has changed");
        // Back to where the first one is the primary address.
        kernel.want(&[&first], &[]);
        kernel.settle();
        kernel.want(&[&first, &second, &third], &[]);
        kernel.settle();
    }
    pair.left.set_sysctl(setting, &before).unwrap();
}

#[test]
fn an_address_that_somebody_removes_is_put_back_and_told() {
    let pair = Pair::new();
    let mut kernel = Kernel::new(&pair.left);
    let (v4, v6) = (virtual_address("10.9.0.50/24", CABLE), virtual_address("fd99::50/64", CABLE));
    kernel.want(&[&v4, &v6], &[]);
    kernel.settle();
    for (text, address) in [("10.9.0.50/24", &v4), ("fd99::50/64", &v6)] {
        pair.left.run(&["ip", "address", "delete", text, "dev", CABLE]).unwrap();
        let outcome = kernel.outcome("the repair", |outcome| !outcome.repaired.is_empty());
        assert_eq!(outcome.repaired, [Change::Address(Step::Take, address.clone())]);
        assert!(outcome.taken.keys().eq([address]), "neighbours have to be told again");
        assert!(shown(&pair.left).iter().any(|shown| shown == text));
    }
}

/// Removes an address as soon as it is there, once.
fn remove_at_once(end: &Namespace, address: &str) {
    let delete = format!("until ip address delete {address} dev {CABLE}; do :; done 2>/dev/null");
    end.run(&["sh", "-c", &delete]).unwrap();
}

#[test]
fn an_address_that_somebody_removes_as_it_is_taken_is_put_back() {
    let pair = Pair::new();
    let kernel = Kernel::new(&pair.left);
    for last in 50..80 {
        let (v4, v6) = (format!("10.9.0.{last}/24"), format!("fd99::{last}/64"));
        let wanted = [&v4, &v6].map(|address| virtual_address(address, CABLE));
        thread::scope(|scope| {
            for address in [&v4, &v6] {
                scope.spawn(|| remove_at_once(&pair.left, address));
            }
            kernel.want(&[&wanted[0], &wanted[1]], &[]);
        });
        lab::wait_until("both addresses to be back", AUDITED_AFTER, || {
            let shown = shown(&pair.left);
            Ok([&v4, &v6].into_iter().all(|address| shown.contains(address)))
        })
        .unwrap();
    }
}

#[test]
fn an_address_with_another_label_or_scope_is_replaced_and_nobody_else_s_is() {
    let pair = Pair::new();
    let label = |label: &str, address| InterfaceAddress { label: AddressLabel::new(label).ok(), ..address };
    let addresses = |pair: &Pair| {
        let text = pair.left.run(&["ip", "-4", "-oneline", "address", "show", "dev", CABLE]).unwrap();
        // After the number and the interface and before the lifetimes.
        let middle = |line: &str| {
            let words: Vec<_> = line.split('\\').next().unwrap().split_whitespace().skip(3).collect();
            words.join(" ")
        };
        text.lines().map(middle).collect::<Vec<_>>()
    };
    pair.left.run(&["ip", "address", "add", "10.9.0.60/24", "label", "cable:x", "dev", CABLE]).unwrap();
    let mut kernel = Kernel::new(&pair.left);
    let plain = virtual_address("10.9.0.50/32", CABLE);
    kernel.want(&[&plain], &[]);
    kernel.settle();

    let labelled = InterfaceAddress { scope: Scope::Link, ..label("cable:web", plain.clone()) };
    kernel.want(&[&labelled], &[]);
    let outcome = kernel.settle();
    assert_eq!(outcome.left, [plain]);
    assert!(outcome.taken.keys().eq([&labelled]));
    assert_eq!(outcome.repaired, []);
    assert_eq!(
        addresses(&pair),
        [
            "10.9.0.50/32 scope link cable:web",
            "10.9.0.1/24 scope global cable",
            "10.9.0.60/24 scope global secondary cable:x",
        ]
    );

    let elsewhere = InterfaceAddress { scope: Scope::Link, ..virtual_address("10.9.0.51/24", CABLE) };
    kernel.want(&[&labelled, &elsewhere], &[]);
    let outcome = kernel.outcome("the refusal", |outcome| !outcome.refused.is_empty());
    assert!(outcome.refused[0].reason.contains("write it as /32"), "{:?}", outcome.refused);

    // The next process finds what it wants, and has nothing to do.
    let mut kernel = Kernel::on(&pair.left, kernel.end());
    kernel.want(&[&labelled], &[]);
    assert_eq!(kernel.settle().left, []);
    kernel.want(&[], &[]);
    assert_eq!(kernel.settle().left, [labelled]);
    assert_eq!(shown(&pair.left), ["10.9.0.1/24", "10.9.0.60/24"]);
}

#[test]
fn a_foreign_address_is_never_touched_and_taken_only_after_its_owner_removed_it() {
    let pair = Pair::new();
    for address in ["10.9.0.50/24", "fd99::50/64"] {
        pair.left.run(&["ip", "address", "add", address, "dev", CABLE]).unwrap();
    }
    let mut kernel = Kernel::new(&pair.left);
    // Also under another prefix, with which the kernel would add it.
    let (v4, v6) = (virtual_address("10.9.0.50/32", CABLE), virtual_address("fd99::50/64", CABLE));
    kernel.want(&[&v4, &v6], &[]);
    let mut refused = Vec::new();
    while refused.len() < 2 {
        refused.extend(kernel.outcome("the refusals", |outcome| !outcome.refused.is_empty()).refused);
    }
    assert!(refused.iter().all(|refusal| refusal.kind == RefusalKind::Foreign), "{refused:?}");
    assert!(refused[0].reason.ends_with("remove it, and Baton takes it"), "{}", refused[0].reason);
    kernel.want(&[], &[]);
    kernel.settle();
    assert_eq!(shown(&pair.left), ["10.9.0.1/24", "10.9.0.50/24", "fd99::50/64"]);

    kernel.want(&[&v4, &v6], &[]);
    kernel.outcome("the refusals", |outcome| !outcome.refused.is_empty());
    for address in ["10.9.0.50/24", "fd99::50/64"] {
        pair.left.run(&["ip", "address", "delete", address, "dev", CABLE]).unwrap();
    }
    kernel.settle();
    assert_eq!(shown(&pair.left), ["10.9.0.1/24", "10.9.0.50/32", "fd99::50/64"]);
}

#[test]
fn what_a_killed_process_left_behind_is_kept_where_it_is_wanted_and_removed_where_not() {
    let pair = Pair::new();
    let mut kernel = Kernel::new(&pair.left);
    let (kept, stale) = (virtual_address("10.9.0.50/24", CABLE), virtual_address("10.9.0.51/24", CABLE));
    kernel.want(&[&kept, &stale], &[]);
    kernel.settle();

    let mut kernel = Kernel::on(&pair.left, kernel.end());
    assert_eq!(shown(&pair.left).len(), 3, "nothing may be touched before something is wanted");
    kernel.want(&[&kept], &[]);
    let outcome = kernel.settle();
    assert!(outcome.taken.keys().eq([&kept]));
    assert_eq!(outcome.left, [stale]);
    assert_eq!(outcome.repaired, []);
    assert_eq!(shown(&pair.left), ["10.9.0.1/24", "10.9.0.50/24"]);

    let cleaned = kernel.end().clean(&pair.left);
    assert_eq!(cleaned.addresses, [kept]);
    assert_eq!(cleaned.refused, []);
    assert_eq!(shown(&pair.left), ["10.9.0.1/24"]);
}

#[test]
fn an_interface_that_appears_later_gets_its_addresses_then() {
    let pair = Pair::new();
    let mut kernel = Kernel::new(&pair.left);
    let address = virtual_address("10.8.0.50/24", "late0");
    kernel.want(&[&address], &[]);
    let outcome = kernel.outcome("the refusal", |outcome| !outcome.refused.is_empty());
    assert_eq!(outcome.refused[0].kind, RefusalKind::NoInterface);
    pair.left.run(&["ip", "link", "add", "late0", "type", "bridge"]).unwrap();
    assert!(kernel.settle().taken.keys().eq([&address]));
}

#[test]
fn an_interface_without_ipv6_is_named_with_what_to_set() {
    let pair = Pair::new();
    pair.left.set_sysctl("net/ipv6/conf/cable/disable_ipv6", "1").unwrap();
    let mut kernel = Kernel::new(&pair.left);
    kernel.want(&[&virtual_address("fd99::50/64", CABLE)], &[]);
    let outcome = kernel.outcome("the refusal", |outcome| !outcome.refused.is_empty());
    let expected = "IPv6 is disabled on cable: set net.ipv6.conf.cable.disable_ipv6 to 0";
    assert_eq!(outcome.refused[0].reason, expected);
}

#[test]
fn two_hundred_and_fifty_five_addresses_are_taken_at_once() {
    let pair = Pair::new();
    let mut kernel = Kernel::new(&pair.left);
    let all: Vec<_> = (0..255).map(|last| virtual_address(&format!("172.20.0.{last}/32"), CABLE)).collect();
    let all: Vec<_> = all.iter().collect();
    kernel.want(&all, &[]);
    assert_eq!(kernel.settle().taken.len(), 255);
    assert_eq!(shown(&pair.left).len(), 256);
    kernel.want(&[], &[]);
    assert_eq!(kernel.settle().left.len(), 255);
}

fn link(kernel: &mut Kernel, what: &str, holds: impl Fn(&LinkState) -> bool) -> LinkState {
    kernel.wait(what, |event| match event {
        KernelEvent::Link(LinkEvent { interface, state: Some(state) })
            if interface.as_str() == CABLE && holds(state) =>
        {
            Some(state.clone())
        }
        KernelEvent::Link(_) | KernelEvent::Reconciled(_) | KernelEvent::Resynced => None,
    })
}

#[test]
fn a_link_is_told_as_it_is_found_and_as_it_changes() {
    let pair = Pair::new();
    let mac = pair.left.link_address(CABLE).unwrap();
    let mut kernel = Kernel::new(&pair.left);
    let found = kernel.link(CABLE).unwrap().clone();
    assert!(found.is_up);
    assert_eq!(found.mac.unwrap().to_string(), mac);
    assert_eq!(found.primary_v4, Some([10, 9, 0, 1].into()));
    assert_eq!(found.link_local, Some("fe80::1".parse().unwrap()));
    assert_eq!(kernel.link("lo").unwrap().mac, None);

    // Baton's own addresses are no sources and no news.
    let own = [virtual_address("10.9.0.50/24", CABLE), virtual_address("fe80::50/64", CABLE)];
    kernel.want(&[&own[0], &own[1]], &[]);
    kernel.settle();
    pair.left.run(&["ip", "address", "add", "10.9.0.7/24", "dev", CABLE]).unwrap();
    let state = link(&mut kernel, "the address", |_| true);
    assert_eq!(state.addresses.len(), 3, "{state:?}");
    assert_eq!((state.primary_v4, state.link_local), (found.primary_v4, found.link_local));

    pair.right.run(&["ip", "link", "set", CABLE, "down"]).unwrap();
    link(&mut kernel, "the carrier to go", |state| !state.is_up);
    pair.right.run(&["ip", "link", "set", CABLE, "up"]).unwrap();
    link(&mut kernel, "the carrier to come", |state| state.is_up);

    // A port that leaves a bridge is told of as deleted, to the bridge only.
    pair.left.run(&["ip", "link", "add", "bridge0", "type", "bridge"]).unwrap();
    pair.left.run(&["ip", "link", "set", CABLE, "master", "bridge0"]).unwrap();
    pair.left.run(&["ip", "link", "set", CABLE, "nomaster"]).unwrap();
    pair.left.run(&["ip", "address", "add", "10.9.0.8/24", "dev", CABLE]).unwrap();
    link(&mut kernel, "the address after the bridge", |state| state.addresses.len() == 4);

    pair.left.run(&["ip", "link", "delete", CABLE]).unwrap();
    kernel.wait("the link to go", |event| match event {
        KernelEvent::Link(event) => {
            (event.interface.as_str() == CABLE && event.state.is_none()).then_some(())
        }
        KernelEvent::Reconciled(_) | KernelEvent::Resynced => None,
    });
}

#[test]
fn a_renamed_interface_is_gone_under_its_old_name() {
    let pair = Pair::new();
    let mut kernel = Kernel::new(&pair.left);
    pair.left.run(&["ip", "link", "set", CABLE, "down"]).unwrap();
    pair.left.run(&["ip", "link", "set", CABLE, "name", "other"]).unwrap();
    kernel.wait("the old name to go", |event| match event {
        KernelEvent::Link(event) => {
            (event.interface.as_str() == CABLE && event.state.is_none()).then_some(())
        }
        KernelEvent::Reconciled(_) | KernelEvent::Resynced => None,
    });
    kernel.wait("the new name", |event| match event {
        KernelEvent::Link(event) => {
            (event.interface.as_str() == "other" && event.state.is_some()).then_some(())
        }
        KernelEvent::Reconciled(_) | KernelEvent::Resynced => None,
    });
}

/// The kernel puts an IPv6 address on its interface first, and takes packets to it when a worker of its own comes to it.
#[test]
fn an_address_that_is_told_as_taken_answers() {
    const ADDRESSES: u16 = 100;
    let pair = Pair::new();
    let mut kernel = Kernel::new(&pair.left);
    let [sender, listener] =
        [(), ()].map(|()| pair.left.enter(|| UdpSocket::bind("[::]:0")).unwrap().unwrap());
    listener.set_read_timeout(Some(LIMIT)).unwrap();
    let port = listener.local_addr().unwrap().port();
    for number in 0..ADDRESSES {
        let address = virtual_address(&format!("fd99::1:{number:x}/64"), CABLE);
        let begin = Instant::now();
        kernel.want(&[&address], &[]);
        kernel.outcome("the address", |outcome| outcome.taken.contains_key(&address));
        let took = begin.elapsed();
        // A kernel that takes its time is not waited for without an end.
        if took < PATIENCE {
            sender.send_to(&number.to_be_bytes(), (address.address, port)).unwrap();
            let mut octets = [0; 2];
            let heard = listener.recv(&mut octets);
            assert!(heard.is_ok(), "{address}, told after {took:?}: {heard:?}");
            assert_eq!(u16::from_be_bytes(octets), number);
        }
    }
}
