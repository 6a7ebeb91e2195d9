use proptest::prelude::*;
use virtual_server::service::{Forwarding, Protocol, Scheduler, ServiceFlag, Weight};

use std::net::IpAddr;

use super::*;
use crate::name::InterfaceName;
use crate::routing::{Network, RouteTable, RouteTarget, RuleAction};
use vrrp::{Family, Vrid};

/// Few values of each kind, so that what is wanted and what is seen meet often.
fn any_address() -> impl Strategy<Value = InterfaceAddress> {
    (0..6_u8, prop::sample::select(vec!["eth0", "eth1", "vrrp4.51"])).prop_map(|(last, interface)| {
        InterfaceAddress::new(InterfaceName::new(interface).unwrap(), [10, 77, 0, last].into(), 24)
    })
}

fn any_service() -> impl Strategy<Value = Arc<Service>> {
    let scheduler = prop::sample::select(vec![Scheduler::Rr, Scheduler::Wlc]);
    let flags = prop::collection::btree_set(prop::sample::select(ServiceFlag::ALL.to_vec()), 0..2);
    let destinations = prop::collection::btree_map(0..5_u8, 0..3_u16, 0..5);
    (0..6_u16, scheduler, flags, destinations).prop_map(|(port, scheduler, flags, destinations)| {
        let destinations = destinations.into_iter().map(|(last, weight)| {
            let destination = Destination { weight: Weight::new(weight), forwarding: Forwarding::Nat };
            (SocketAddr::from(([10, 78, 0, last], 80)), destination)
        });
        Arc::new(Service {
            key: ServiceKey::Address { protocol: Protocol::Tcp, address: ([10, 77, 0, 50], port).into() },
            scheduler,
            flags,
            persistence: None,
            destinations: destinations.collect(),
        })
    })
}

fn any_route() -> impl Strategy<Value = VirtualRoute> {
    let address = |last: u8| IpAddr::from([10, 77, 0, last]);
    let gateway = prop::option::of(200..202_u8);
    (0..3_u8, gateway, prop::option::of(0..6_u8)).prop_map(move |(third, gateway, source)| {
        let interface = InterfaceName::new("eth0").unwrap();
        let target = match gateway {
            Some(last) => RouteTarget::Gateway { via: address(last), interface: None },
            None => RouteTarget::Link(interface),
        };
        let destination = Network::new([10, 79, third, 0].into(), 24).unwrap();
        VirtualRoute { source: source.map(address), ..VirtualRoute::new(destination, target) }
    })
}

fn any_device() -> impl Strategy<Value = VirtualDevice> {
    prop::sample::select(vec!["eth0", "eth1"]).prop_map(|parent| {
        let parent = InterfaceName::new(parent).unwrap();
        VirtualDevice::new(Vrid::new(51).unwrap(), Family::V4, parent)
    })
}

fn any_rule() -> impl Strategy<Value = VirtualRule> {
    (1..4_u32).prop_map(|priority| VirtualRule {
        priority,
        family: Family::V4,
        from: None,
        to: None,
        input: None,
        output: None,
        mark: None,
        action: RuleAction::Lookup(RouteTable::new(100).unwrap()),
    })
}

/// Few of them are of addresses that are wanted or seen.
fn any_drops() -> impl Strategy<Value = BTreeSet<InputDrop>> {
    prop::collection::btree_set(any_address().prop_map(|address| InputDrop::of(&address)), 0..4)
}

fn any_state() -> impl Strategy<Value = HostState> {
    let addresses = prop::collection::btree_set(any_address(), 0..6);
    let services = prop::collection::vec(any_service(), 0..5);
    let routes = prop::collection::btree_set(any_route(), 0..5);
    let rules = prop::collection::btree_set(any_rule(), 0..3);
    let device = prop::option::of(any_device());
    let state =
        |(addresses, services, routes, rules, device, drops): (_, Vec<Arc<Service>>, _, _, Option<_>, _)| {
            HostState {
                devices: device.into_iter().collect(),
                drops,
                addresses,
                routes,
                rules,
                services: services.into_iter().map(|service| (service.key, service)).collect(),
            }
        };
    (addresses, services, routes, rules, device, any_drops()).prop_map(state)
}

/// Deals a state out over a few holdings.
fn any_wanted() -> impl Strategy<Value = Wanted> {
    (any_state(), prop::collection::vec(0..3_usize, 20)).prop_map(|(state, deal)| {
        let mut holdings = vec![Holding::default(); 3];
        let mut deal = deal.into_iter();
        for device in state.devices {
            holdings[deal.next().unwrap()].devices.insert(device);
        }
        for address in state.addresses {
            holdings[deal.next().unwrap()].addresses.insert(address);
        }
        for service in state.services.into_values() {
            holdings[deal.next().unwrap()].services.push(service);
        }
        for route in state.routes {
            holdings[deal.next().unwrap()].routes.insert(route);
        }
        for rule in state.rules {
            holdings[deal.next().unwrap()].rules.insert(rule);
        }
        Wanted { drops: state.drops, holdings, ..Wanted::default() }
    })
}

proptest! {
    #[test]
    fn applying_a_plan_reaches_what_is_wanted(wanted in any_wanted(), seen in any_state()) {
        let mut state = seen;
        for change in plan(&wanted, &state) {
            state.apply(&change);
        }
        prop_assert_eq!(state, wanted.state());
    }

    #[test]
    fn nothing_is_planned_where_all_is_as_wanted(wanted in any_wanted()) {
        prop_assert_eq!(plan(&wanted, &wanted.state()), []);
    }

    #[test]
    fn at_each_step_an_address_taken_has_its_complete_services(wanted in any_wanted(), seen in any_state()) {
        let mut state = seen.clone();
        for change in plan(&wanted, &seen) {
            state.apply(&change);
            if let Change::Address(Step::Take, address) = &change {
                let holding = wanted.holdings.iter().find(|holding| holding.addresses.contains(address)).unwrap();
                for service in &holding.services {
                    prop_assert_eq!(state.services.get(&service.key), Some(service));
                }
            }
        }
    }

    #[test]
    fn at_each_step_a_route_taken_has_the_addresses_it_needs_and_a_rule_the_routes_of_its_holding(
        wanted in any_wanted(), seen in any_state()
    ) {
        let mut state = seen.clone();
        let target = wanted.state();
        for change in plan(&wanted, &seen) {
            state.apply(&change);
            if let Change::Route(Step::Take, route) = &change {
                let mut needed = target.addresses.iter().filter(|address| route.needs(address));
                prop_assert!(needed.all(|address| state.addresses.contains(address)), "{change}");
            }
            if let Change::Rule(Step::Take, rule) = &change {
                let holding = wanted.holdings.iter().find(|holding| holding.rules.contains(rule)).unwrap();
                prop_assert!(holding.routes.is_subset(&state.routes), "{change}");
            }
        }
    }

    #[test]
    fn when_an_address_leaves_no_unwanted_rule_and_no_route_that_needs_it_for_its_source_is_left(
        wanted in any_wanted(), seen in any_state()
    ) {
        let mut state = seen.clone();
        let target = wanted.state();
        for change in plan(&wanted, &seen) {
            if let Change::Address(Step::Leave, address) = &change {
                prop_assert!(state.rules.is_subset(&target.rules));
                prop_assert!(state.routes.is_subset(&target.routes));
                prop_assert!(state.routes.iter().all(|route| route.source != Some(address.address)));
            }
            state.apply(&change);
        }
    }

    #[test]
    fn an_interface_comes_before_its_addresses_and_goes_after_them(wanted in any_wanted(), seen in any_state()) {
        let mut state = seen.clone();
        for change in plan(&wanted, &seen) {
            state.apply(&change);
            if let Change::Device(Step::Leave, device) = &change {
                prop_assert!(state.addresses.iter().all(|address| address.interface != device.name));
            }
            if let Change::Address(Step::Take, address) = &change {
                let mut holdings = wanted.holdings.iter();
                let holding = holdings.find(|holding| holding.addresses.contains(address)).unwrap();
                prop_assert!(holding.devices.is_subset(&state.devices), "{change}");
            }
        }
    }

    #[test]
    fn an_address_comes_after_its_packets_are_dropped_and_goes_before_they_are_not(
        wanted in any_wanted(), seen in any_state()
    ) {
        let mut state = seen.clone();
        let target = wanted.state();
        for change in plan(&wanted, &seen) {
            state.apply(&change);
            if let Change::Address(Step::Take, address) = &change {
                let drop = InputDrop::of(address);
                prop_assert!(!target.drops.contains(&drop) || state.drops.contains(&drop), "{change}");
            }
            if let Change::Drop(Step::Leave, drop) = &change {
                let mut unwanted = state.addresses.difference(&target.addresses);
                prop_assert!(unwanted.all(|address| InputDrop::of(address) != *drop), "{change}");
            }
        }
    }

    #[test]
    fn no_service_is_dismantled_while_an_unwanted_address_is_still_there(wanted in any_wanted(), seen in any_state()) {
        let mut state = seen.clone();
        let target = wanted.state();
        for change in plan(&wanted, &seen) {
            if let Change::Service(ServiceChange::Remove(_)) = change {
                prop_assert!(state.addresses.is_subset(&target.addresses));
            }
            state.apply(&change);
        }
    }

    #[test]
    fn a_plan_touches_only_what_differs(wanted in any_wanted(), seen in any_state()) {
        let target = wanted.state();
        let is_moved = |address: &InterfaceAddress| {
            let mut closing = seen.devices.difference(&target.devices);
            closing.any(|device| device.name == address.interface)
        };
        let is_shaken = |route: &VirtualRoute| {
            let stays = |address: &&InterfaceAddress| target.addresses.contains(*address) && !is_moved(address);
            let mut leaving = seen.addresses.iter().filter(|address| !stays(address));
            leaving.any(|address| Some(address.address) == route.source)
        };
        for change in plan(&wanted, &seen) {
            let untouched = match &change {
                Change::Drop(Step::Leave, drop) => target.drops.contains(drop),
                Change::Drop(Step::Take, drop) => seen.drops.contains(drop),
                Change::Device(Step::Leave, device) => target.devices.contains(device),
                Change::Device(Step::Take, device) => seen.devices.contains(device),
                Change::Rule(Step::Leave, rule) => target.rules.contains(rule),
                Change::Rule(Step::Take, rule) => seen.rules.contains(rule),
                // A route may have to make room for the address that it names.
                Change::Route(Step::Leave, route) => target.routes.contains(route) && !is_shaken(route),
                Change::Route(Step::Take, route) => seen.routes.contains(route) && !is_shaken(route),
                // What is on an interface goes and comes with it.
                Change::Address(Step::Leave, address) => target.addresses.contains(address) && !is_moved(address),
                Change::Address(Step::Take, address) => seen.addresses.contains(address) && !is_moved(address),
                Change::Service(ServiceChange::Add(service) | ServiceChange::Edit(service)) => {
                    seen.services.get(&service.key) == Some(service)
                }
                Change::Service(
                    ServiceChange::AddDestination(key, ..)
                    | ServiceChange::EditDestination(key, ..)
                    | ServiceChange::RemoveDestination(key, _),
                ) => seen.services.get(key) == target.services.get(key),
                Change::Service(ServiceChange::Remove(key)) => target.services.contains_key(key),
            };
            prop_assert!(!untouched, "{change}");
        }
    }
}

#[test]
fn the_addresses_of_a_small_table_do_not_wait_for_a_large_one() {
    let service = |port: u16, servers: u8| {
        let destination = Destination { weight: Weight::DEFAULT, forwarding: Forwarding::Nat };
        let destinations = (0..servers).map(|last| (SocketAddr::from(([10, 78, 0, last], 80)), destination));
        Arc::new(Service {
            key: ServiceKey::Address { protocol: Protocol::Tcp, address: ([10, 77, 0, 50], port).into() },
            scheduler: Scheduler::Wlc,
            flags: BTreeSet::new(),
            persistence: None,
            destinations: destinations.collect(),
        })
    };
    let address =
        |last: u8| InterfaceAddress::new(InterfaceName::new("eth0").unwrap(), [10, 77, 0, last].into(), 24);
    let holding = |last: u8, port: u16, servers: u8| Holding {
        addresses: BTreeSet::from([address(last)]),
        services: vec![service(port, servers)],
        ..Holding::default()
    };
    let holdings = vec![holding(1, 80, 200), holding(2, 81, 1)];
    let wanted = Wanted { holdings, ..Wanted::default() };
    let taken: Vec<_> = plan(&wanted, &HostState::default())
        .into_iter()
        .enumerate()
        .filter(|(_, change)| matches!(change, Change::Address(Step::Take, _)))
        .collect();
    assert_eq!(
        taken,
        [(2, Change::Address(Step::Take, address(2))), (204, Change::Address(Step::Take, address(1)))]
    );
}
