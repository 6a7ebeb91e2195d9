//! What the kernel should hold: a function of configuration, roles and health.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use virtual_server::service::{Service, ServiceKey};

use crate::config::{Follow, InterfaceAddress};
use crate::device::VirtualDevice;
use crate::input_drop::InputDrop;
use crate::name::RouterName;
use crate::routing::{VirtualRoute, VirtualRule};

/// What the kernel holds for Baton.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HostState {
    /// The interfaces with virtual hardware addresses.
    pub devices: BTreeSet<VirtualDevice>,
    /// The packets that are dropped.
    pub drops: BTreeSet<InputDrop>,
    /// The virtual addresses.
    pub addresses: BTreeSet<InterfaceAddress>,
    /// The virtual routes.
    pub routes: BTreeSet<VirtualRoute>,
    /// The virtual rules.
    pub rules: BTreeSet<VirtualRule>,
    /// The IPVS services.
    pub services: BTreeMap<ServiceKey, Arc<Service>>,
}

/// What the virtual routers of this node ask for.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Roles {
    /// What those hold that are Active on it, or give that role up and keep what they have until others have it.
    pub held: BTreeMap<RouterName, Arc<Belongings>>,
    /// The packets that all of them have dropped, whatever their role: without its address a drop is harmless, and one
    /// that is impossible is known before the address is needed.
    pub drops: BTreeSet<InputDrop>,
}

/// What moves with a virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Belongings {
    /// What neighbours hear of its addresses.
    pub first_word: FirstWord,
    /// The interface of its own hardware address.
    pub device: Option<VirtualDevice>,
    /// Its addresses.
    pub addresses: Vec<InterfaceAddress>,
    /// Its routes.
    pub routes: Vec<VirtualRoute>,
    /// Its rules.
    pub rules: Vec<VirtualRule>,
}

/// What is said of the addresses of a virtual router on behalf of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FirstWord {
    /// As it is Active, neighbours hear of each address the moment that it is there.
    AtOnce,
    /// As it gives its role up, they hear nothing; or they hear it in its turn among many others.
    #[default]
    Withheld,
}

/// The services that this node would hold if every virtual router were Active on it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Tables(pub BTreeMap<ServiceKey, FollowingService>);

/// A service and whom it follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowingService {
    /// Where it lives.
    pub follow: Follow,
    /// What it holds, the real servers that are fit.
    pub service: Arc<Service>,
}

/// What the kernel should hold, grouped by what has to go together.
///
/// The addresses of one holding come after all of its services are complete; one holding waits for no other.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The packets that are to be dropped, before any address comes.
    pub drops: BTreeSet<InputDrop>,
    /// The groups, in no order that matters.
    pub holdings: Vec<Holding>,
    /// The addresses that neighbours hear of the moment that they are there.
    pub announced: BTreeSet<InterfaceAddress>,
}

/// Addresses, the services that gate them, and the routes and rules that come with them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Holding {
    /// The interfaces that some of the addresses are on.
    pub devices: BTreeSet<VirtualDevice>,
    /// What becomes reachable.
    pub addresses: BTreeSet<InterfaceAddress>,
    /// What has to be complete before.
    pub services: Vec<Arc<Service>>,
    /// The routes that become possible then.
    pub routes: BTreeSet<VirtualRoute>,
    /// What is sent there.
    pub rules: BTreeSet<VirtualRule>,
}

impl Wanted {
    /// Puts together what these roles and tables add up to.
    ///
    /// A service is wanted where one of the virtual routers that it follows is Active; virtual routers that share a
    /// service share a holding.
    pub fn new(roles: &Roles, tables: &Tables) -> Self {
        let mut holdings: Vec<(BTreeSet<&RouterName>, Holding)> = roles
            .held
            .iter()
            .map(|(router, belongings)| (BTreeSet::from([router]), Holding::of(belongings)))
            .collect();
        let mut followers_of_nobody = Vec::new();
        for FollowingService { follow, service } in tables.0.values() {
            match follow {
                Follow::Always => {
                    let services = vec![Arc::clone(service)];
                    followers_of_nobody.push(Holding { services, ..Holding::default() });
                }
                Follow::Routers(followed) => {
                    let follows = |(routers, _): &(BTreeSet<&RouterName>, Holding)| {
                        followed.iter().any(|name| routers.contains(name))
                    };
                    let Some(first) = holdings.iter().position(follows) else { continue };
                    for other in (first + 1..holdings.len()).rev() {
                        if follows(&holdings[other]) {
                            let (routers, holding) = holdings.swap_remove(other);
                            holdings[first].0.extend(routers);
                            holdings[first].1.absorb(holding);
                        }
                    }
                    holdings[first].1.services.push(Arc::clone(service));
                }
            }
        }
        let holdings = holdings.into_iter().map(|(_, holding)| holding).chain(followers_of_nobody).collect();
        let is_said = |belongings: &&Arc<Belongings>| belongings.first_word == FirstWord::AtOnce;
        let announced = roles.held.values().filter(is_said).flat_map(|belongings| &belongings.addresses);
        Self { drops: roles.drops.clone(), holdings, announced: announced.cloned().collect() }
    }

    /// Returns the same without its grouping.
    pub fn state(&self) -> HostState {
        let services = self.holdings.iter().flat_map(|holding| &holding.services);
        HostState {
            devices: self.holdings.iter().flat_map(|holding| holding.devices.iter().cloned()).collect(),
            drops: self.drops.clone(),
            addresses: self.holdings.iter().flat_map(|holding| holding.addresses.iter().cloned()).collect(),
            routes: self.holdings.iter().flat_map(|holding| holding.routes.iter().cloned()).collect(),
            rules: self.holdings.iter().flat_map(|holding| holding.rules.iter().cloned()).collect(),
            services: services.map(|service| (service.key, Arc::clone(service))).collect(),
        }
    }
}

impl Holding {
    fn of(belongings: &Belongings) -> Self {
        let Belongings { first_word: _, device, addresses, routes, rules } = belongings;
        Self {
            devices: device.iter().cloned().collect(),
            addresses: addresses.iter().cloned().collect(),
            services: Vec::new(),
            routes: routes.iter().cloned().collect(),
            rules: rules.iter().cloned().collect(),
        }
    }

    fn absorb(&mut self, other: Self) {
        let Self { devices, addresses, services, routes, rules } = other;
        self.devices.extend(devices);
        self.addresses.extend(addresses);
        self.services.extend(services);
        self.routes.extend(routes);
        self.rules.extend(rules);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::InterfaceName;
    use virtual_server::service::{Protocol, Scheduler};

    fn router(name: &str) -> RouterName {
        RouterName::new(name).unwrap()
    }

    fn address(last: u8) -> InterfaceAddress {
        let interface = InterfaceName::new("eth0").unwrap();
        InterfaceAddress::new(interface, [10, 77, 0, last].into(), 24)
    }

    fn service(last: u8) -> Arc<Service> {
        Arc::new(Service {
            key: ServiceKey::Address { protocol: Protocol::Tcp, address: ([10, 77, 0, last], 80).into() },
            scheduler: Scheduler::Wlc,
            flags: BTreeSet::new(),
            persistence: None,
            destinations: BTreeMap::new(),
        })
    }

    fn tables(services: &[(u8, Follow)]) -> Tables {
        let following = |(last, follow): &(u8, Follow)| FollowingService {
            follow: follow.clone(),
            service: service(*last),
        };
        Tables(services.iter().map(following).map(|entry| (entry.service.key, entry)).collect())
    }

    fn active(routers: &[(&str, u8)]) -> Roles {
        let belongings =
            |last: u8| Arc::new(Belongings { addresses: vec![address(last)], ..Belongings::default() });
        let held = routers.iter().map(|(name, last)| (router(name), belongings(*last))).collect();
        Roles { held, ..Roles::default() }
    }

    fn following(names: &[&str]) -> Follow {
        Follow::Routers(names.iter().map(|name| router(name)).collect())
    }

    #[test]
    fn a_service_is_wanted_only_where_a_router_that_it_follows_is_active() {
        let tables = tables(&[(50, following(&["web"])), (51, following(&["mail"])), (52, Follow::Always)]);
        let wanted = Wanted::new(&active(&[("web", 50)]), &tables);
        let services: Vec<_> = wanted.state().services.into_keys().collect();
        assert_eq!(services, [service(50).key, service(52).key]);
    }

    #[test]
    fn routers_that_share_a_service_share_a_holding_and_others_do_not() {
        let tables =
            tables(&[(50, following(&["a", "b"])), (51, following(&["b", "c"])), (52, following(&["d"]))]);
        let wanted = Wanted::new(&active(&[("a", 1), ("b", 2), ("c", 3), ("d", 4)]), &tables);
        let mut sizes: Vec<_> =
            wanted.holdings.iter().map(|holding| (holding.addresses.len(), holding.services.len())).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [(1, 1), (3, 2)]);
    }
}
