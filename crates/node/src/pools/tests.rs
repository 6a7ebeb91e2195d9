use proptest::prelude::*;
use virtual_server::health::CheckKind;
use virtual_server::service::{Destination, Forwarding, Protocol, Scheduler, Weight};

use super::*;
use crate::config::{EngineConfig, Follow};
use crate::name::NodeName;
use crate::status::{RealServerState, ServerState};

const NOW: Instant = Instant::START;

fn after(milliseconds: u64) -> Instant {
    NOW + Duration::from_millis(milliseconds)
}

fn server(name: &str) -> ServerName {
    ServerName::new(name).unwrap()
}

fn real_server(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    SocketAddr::from(([10, 78, high, low], 80))
}

fn key(port: u16) -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, address: SocketAddr::from(([10, 77, 0, 50], port)) }
}

fn at_weight(number: u16, weight: u16) -> (SocketAddr, Destination) {
    (real_server(number), Destination { weight: Weight::new(weight), forwarding: Forwarding::Nat })
}

fn check(interval: u64) -> Arc<Check> {
    Arc::new(Check {
        kind: CheckKind::Tcp,
        interval: Duration::from_secs(interval),
        timeout: Duration::from_secs(1),
        rise: 1.try_into().unwrap(),
        fall: 2.try_into().unwrap(),
    })
}

fn virtual_server(port: u16, numbers: impl IntoIterator<Item = u16>) -> VirtualServerConfig {
    VirtualServerConfig {
        services: vec![(key(port), Follow::Always)],
        scheduler: Scheduler::Wlc,
        flags: BTreeSet::new(),
        persistence: None,
        quorum: 1,
        sorry_server: None,
        real_servers: numbers.into_iter().map(|n| at_weight(n, 1)).collect(),
        check: Some(check(2)),
    }
}

fn config<const N: usize>(servers: [(&str, Arc<VirtualServerConfig>); N]) -> Arc<Config> {
    Arc::new(Config {
        node: NodeName::new("lb1").unwrap(),
        peers: BTreeMap::new(),
        engine: EngineConfig::default(),
        hooks: BTreeMap::new(),
        virtual_routers: BTreeMap::new(),
        sync_groups: BTreeMap::new(),
        tracks: BTreeMap::new(),
        virtual_servers: servers.into_iter().map(|(name, config)| (server(name), config)).collect(),
    })
}

fn start(config: &Arc<Config>) -> (Pools, Vec<PoolsOutput>) {
    let mut pools = Pools::new(config.clone());
    let outputs = pools.handle(PoolsInput::Start, NOW);
    (pools, outputs)
}

/// Lets every probe start that is due and returns them by target.
fn due(pools: &mut Pools, now: Instant) -> BTreeMap<SocketAddr, ProbeId> {
    pools
        .handle(PoolsInput::Deadline, now)
        .into_iter()
        .map(|output| match output {
            PoolsOutput::Probe(ProbeRequest { id, target, check: _ }) => (target, id),
            PoolsOutput::TablesChanged | PoolsOutput::Report(_) => panic!("a deadline brings {output:?}"),
        })
        .collect()
}

fn answer(pools: &mut Pools, probe: ProbeId, outcome: Outcome, now: Instant) -> Vec<PoolsOutput> {
    pools.handle(PoolsInput::Probed { probe, outcome }, now)
}

fn bad() -> Outcome {
    Outcome::Bad("connection refused".into())
}

fn up(name: &str, number: u16) -> PoolsOutput {
    PoolsOutput::Report(Report::RealServerUp { server: server(name), real_server: real_server(number) })
}

fn down(name: &str, number: u16) -> PoolsOutput {
    PoolsOutput::Report(Report::RealServerDown {
        server: server(name),
        real_server: real_server(number),
        reason: "connection refused".into(),
    })
}

fn served(pools: &mut Pools, port: u16) -> Vec<SocketAddr> {
    pools.tables().0[&key(port)].service.destinations.keys().copied().collect()
}

#[test]
fn a_virtual_server_goes_up_and_down_with_its_real_servers() {
    let web = VirtualServerConfig { sorry_server: Some(at_weight(99, 1)), ..virtual_server(80, [1, 2]) };
    let (mut pools, outputs) = start(&config([("web", Arc::new(web))]));
    assert_eq!(outputs, [PoolsOutput::TablesChanged]);
    assert_eq!(served(&mut pools, 80), [real_server(99)]);

    let probes = due(&mut pools, after(1));
    assert_eq!(probes.keys().copied().collect::<Vec<_>>(), [real_server(1), real_server(2)]);
    assert_eq!(pools.next_deadline(), None, "both are under way");

    let reached = Report::QuorumReached { server: server("web"), weight: 1, quorum: 1 };
    assert_eq!(
        answer(&mut pools, probes[&real_server(1)], Outcome::Good, after(3)),
        [up("web", 1), PoolsOutput::Report(reached), PoolsOutput::TablesChanged]
    );
    assert_eq!(served(&mut pools, 80), [real_server(1)]);
    assert_eq!(answer(&mut pools, probes[&real_server(2)], bad(), after(4)), []);
    assert_eq!(pools.next_deadline(), Some(after(2000)));

    assert_eq!(due(&mut pools, after(2001)), probes, "a check keeps its id");
    assert_eq!(answer(&mut pools, probes[&real_server(1)], bad(), after(2002)), []);
    assert_eq!(
        answer(&mut pools, probes[&real_server(2)], bad(), after(2003)),
        [down("web", 2)],
        "it was not served to anyway"
    );
    assert_eq!(due(&mut pools, after(4001)), probes);
    let lost = Report::QuorumLost {
        server: server("web"),
        weight: 0,
        quorum: 1,
        sorry_server: Some(real_server(99)),
    };
    assert_eq!(
        answer(&mut pools, probes[&real_server(1)], bad(), after(4002)),
        [down("web", 1), PoolsOutput::Report(lost), PoolsOutput::TablesChanged]
    );
    assert_eq!(served(&mut pools, 80), [real_server(99)]);

    let status = &pools.status().virtual_servers[&server("web")];
    assert_eq!((status.state, status.since, status.sorry), (ServerState::Down, after(4002), true));
    let first = &status.real_servers[&real_server(1)];
    assert_eq!(
        (first.state, first.since, first.reason.as_str()),
        (RealServerState::Down, after(4002), "connection refused")
    );
}

#[test]
fn what_the_daemon_before_found_out_is_known_from_the_start_and_checked_on() {
    let config = config([("web", Arc::new(virtual_server(80, [1, 2, 3])))]);
    let (mut before, _) = start(&config);
    let probes = due(&mut before, after(2));
    let _ = answer(&mut before, probes[&real_server(1)], Outcome::Good, after(3));
    for moment in [4, 2_004, 4_004] {
        let probe = due(&mut before, after(moment)).get(&real_server(2)).copied();
        let _ = answer(&mut before, probe.unwrap_or(probes[&real_server(2)]), bad(), after(moment));
    }
    let verdicts = before.verdicts();
    let verdict = |number| verdicts.get(&(server("web"), real_server(number)));
    assert_eq!(verdict(1), Some(&Verdict::Up { bad: 0 }));
    assert_eq!((verdict(2), verdict(3)), (Some(&Verdict::Down { good: 0 }), None));

    let mut next = Pools::new(config);
    next.inherit(&Legacy { verdicts, ..Legacy::default() });
    let _ = next.handle(PoolsInput::Start, after(5_000));
    assert_eq!(served(&mut next, 80), [real_server(1)]);
    assert_eq!(due(&mut next, after(5_002)).len(), 3);
}

#[test]
fn a_virtual_server_without_a_check_is_up_from_the_start() {
    let web = VirtualServerConfig { check: None, ..virtual_server(80, [1, 2]) };
    let (mut pools, outputs) = start(&config([("web", Arc::new(web))]));
    let reached = Report::QuorumReached { server: server("web"), weight: 2, quorum: 1 };
    assert_eq!(outputs, [PoolsOutput::Report(reached), PoolsOutput::TablesChanged]);
    assert_eq!(served(&mut pools, 80), [real_server(1), real_server(2)]);
    assert_eq!(pools.next_deadline(), None);
}

#[test]
fn a_shortage_on_this_node_takes_nobody_out_and_is_told_once_a_minute() {
    let (mut pools, _) = start(&config([("web", Arc::new(virtual_server(80, [1])))]));
    let probe = due(&mut pools, after(0))[&real_server(1)];
    assert!(!answer(&mut pools, probe, Outcome::Good, after(0)).is_empty());

    let short = || Outcome::Inconclusive("too many open files".into());
    let told = PoolsOutput::Report(Report::ProbeInconclusive {
        server: server("web"),
        real_server: real_server(1),
        reason: "too many open files".into(),
    });
    for (second, expected) in [(2, vec![told.clone()]), (3, vec![]), (61, vec![]), (62, vec![told])] {
        let now = after(second * 1000);
        assert_eq!(due(&mut pools, now).len(), 1);
        assert_eq!(answer(&mut pools, probe, short(), now), expected, "at {second} s");
    }
    assert_eq!(served(&mut pools, 80), [real_server(1)]);
}

#[test]
fn the_same_configuration_again_changes_nothing() {
    let web = Arc::new(virtual_server(80, [1, 2]));
    let (mut pools, _) = start(&config([("web", web.clone())]));
    let probes = due(&mut pools, after(0));
    assert!(!answer(&mut pools, probes[&real_server(1)], Outcome::Good, after(1)).is_empty());
    let (tables, deadline, status) = (pools.tables(), pools.next_deadline(), pools.status());

    let copied = VirtualServerConfig::clone(&web);
    for again in [config([("web", web)]), config([("web", Arc::new(copied))])] {
        assert_eq!(pools.handle(PoolsInput::Reload(again), after(2)), []);
        assert!(Arc::ptr_eq(&pools.tables(), &tables));
        assert_eq!((pools.next_deadline(), pools.status()), (deadline, status.clone()));
    }
}

#[test]
fn a_reload_keeps_the_verdict_and_the_probe_under_way_of_what_stays() {
    let (mut pools, _) = start(&config([("web", Arc::new(virtual_server(80, [1, 2])))]));
    let probes = due(&mut pools, after(1));
    assert!(!answer(&mut pools, probes[&real_server(1)], Outcome::Good, after(1)).is_empty());

    let mut wanted = virtual_server(80, [1, 2, 3]);
    wanted.real_servers.extend([at_weight(1, 5)]);
    let weight_changed = Report::WeightChanged {
        server: server("web"),
        real_server: real_server(1),
        from: Weight::new(1),
        to: Weight::new(5),
    };
    assert_eq!(
        pools.handle(PoolsInput::Reload(config([("web", Arc::new(wanted))])), after(1000)),
        [PoolsOutput::Report(weight_changed), PoolsOutput::TablesChanged]
    );
    assert_eq!(served(&mut pools, 80), [real_server(1)]);
    assert_eq!(
        answer(&mut pools, probes[&real_server(2)], Outcome::Good, after(1001)),
        [up("web", 2), PoolsOutput::TablesChanged],
        "the probe was under way during the reload"
    );
    assert_eq!(due(&mut pools, after(1001)).keys().copied().collect::<Vec<_>>(), [real_server(3)]);
    assert_eq!(pools.next_deadline(), Some(after(2000)), "the timer of the first is as it was");
}

#[test]
fn outcomes_of_checks_that_are_gone_are_ignored() {
    let (mut pools, _) = start(&config([("web", Arc::new(virtual_server(80, [1, 2])))]));
    let probes = due(&mut pools, after(1));
    let wanted = VirtualServerConfig { check: Some(check(5)), ..virtual_server(80, [1]) };
    assert_eq!(pools.handle(PoolsInput::Reload(config([("web", Arc::new(wanted))])), after(2)), []);
    assert_eq!(answer(&mut pools, probes[&real_server(1)], Outcome::Good, after(3)), []);
    assert_eq!(answer(&mut pools, probes[&real_server(2)], Outcome::Good, after(3)), []);
    assert_eq!(served(&mut pools, 80), []);
    assert_eq!(due(&mut pools, after(3)).len(), 1);
}

#[test]
fn what_leaves_the_configuration_leaves_the_tables_and_the_timers() {
    let web = Arc::new(virtual_server(80, [1]));
    let (mut pools, _) = start(&config([("web", web.clone()), ("shop", Arc::new(virtual_server(81, [2])))]));
    assert_eq!(pools.tables().0.len(), 2);
    let outputs = pools.handle(PoolsInput::Reload(config([("web", web)])), after(1));
    assert_eq!(outputs, [PoolsOutput::TablesChanged]);
    assert_eq!(pools.tables().0.keys().copied().collect::<Vec<_>>(), [key(80)]);
    assert_eq!(due(&mut pools, after(1)).keys().copied().collect::<Vec<_>>(), [real_server(1)]);
}

#[test]
fn a_virtual_server_may_leave_before_its_last_change_was_fetched() {
    let (mut pools, _) = start(&config([("web", Arc::new(virtual_server(80, [1])))]));
    let probe = due(&mut pools, after(0))[&real_server(1)];
    assert!(answer(&mut pools, probe, Outcome::Good, after(1)).contains(&PoolsOutput::TablesChanged));
    assert_eq!(pools.handle(PoolsInput::Reload(config([])), after(2)), [PoolsOutput::TablesChanged]);
    assert_eq!(*pools.tables(), Tables::default());
    assert_eq!(pools.next_deadline(), None);
}

#[test]
fn a_service_may_move_from_one_virtual_server_to_another_in_one_reload() {
    let unchecked =
        |port, number| Arc::new(VirtualServerConfig { check: None, ..virtual_server(port, [number]) });
    let (mut pools, _) = start(&config([("one", unchecked(80, 1)), ("two", unchecked(81, 2))]));
    let swapped = config([("one", unchecked(81, 1)), ("two", unchecked(80, 2))]);
    assert_eq!(pools.handle(PoolsInput::Reload(swapped), after(1)), [PoolsOutput::TablesChanged]);
    assert_eq!(served(&mut pools, 80), [real_server(2)]);
    assert_eq!(served(&mut pools, 81), [real_server(1)]);
}

#[test]
fn one_of_ten_thousand_real_servers_touches_one_service_only() {
    let servers = (0..100).map(|n| {
        let config = virtual_server(1000 + n, n * 100..(n + 1) * 100);
        (ServerName::new(&format!("web{n}")).unwrap(), Arc::new(config))
    });
    let mut whole = Config::clone(&config([]));
    whole.virtual_servers = servers.collect();
    let (mut pools, _) = start(&Arc::new(whole));

    let probes = due(&mut pools, after(2000));
    assert_eq!(probes.len(), 10_000);
    for &probe in probes.values() {
        assert!(!answer(&mut pools, probe, Outcome::Good, after(2000)).is_empty());
    }
    let before = pools.tables();
    assert!(before.0.values().all(|following| following.service.destinations.len() == 100));
    assert!(Arc::ptr_eq(&before, &pools.tables()));

    for (milliseconds, changes) in [(4000, false), (6000, true)] {
        due(&mut pools, after(milliseconds));
        let outputs = answer(&mut pools, probes[&real_server(4242)], bad(), after(milliseconds));
        assert_eq!(outputs.contains(&PoolsOutput::TablesChanged), changes);
    }
    let now = pools.tables();
    let touched: Vec<_> = before
        .0
        .iter()
        .filter(|(key, following)| !Arc::ptr_eq(&following.service, &now.0[key].service))
        .map(|(&key, _)| key)
        .collect();
    assert_eq!(touched, [key(1042)]);
    assert_eq!(now.0[&key(1042)].service.destinations.len(), 99);
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Answer(prop::sample::Index, Outcome),
    Reload(Arc<Config>),
    Fetch,
}

fn any_config() -> impl Strategy<Value = Arc<Config>> {
    let real_servers = prop::collection::btree_map(1_u16..5, 0_u16..3, 0..4);
    let one = (real_servers, 0_u32..4, any::<bool>(), prop::option::weighted(0.8, 1_u64..3), 80_u16..82);
    prop::collection::vec(prop::option::weighted(0.7, one), 2).prop_map(|servers| {
        let mut whole = Config::clone(&config([]));
        for ((name, apart), one) in [("one", 0), ("two", 10)].into_iter().zip(servers) {
            let Some((weights, quorum, with_sorry, interval, port)) = one else { continue };
            let wanted = VirtualServerConfig {
                quorum,
                sorry_server: with_sorry.then(|| at_weight(99, 1)),
                real_servers: weights.into_iter().map(|(n, w)| at_weight(n, w)).collect(),
                check: interval.map(check),
                ..virtual_server(port + apart, [])
            };
            whole.virtual_servers.insert(server(name), Arc::new(wanted));
        }
        Arc::new(whole)
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..1500).prop_map(Step::Wait),
        8 => (any::<prop::sample::Index>(), prop_oneof![
            2 => Just(Outcome::Good),
            2 => Just(bad()),
            1 => Just(Outcome::Inconclusive("too many open files".into())),
        ]).prop_map(|(probe, outcome)| Step::Answer(probe, outcome)),
        1 => any_config().prop_map(Step::Reload),
        2 => Just(Step::Fetch),
    ]
}

/// What the tables have to be by the status that an operator sees.
fn expected_tables(config: &Config, status: &PoolsStatus) -> BTreeMap<ServiceKey, BTreeSet<SocketAddr>> {
    let expected = |(name, wanted): (&ServerName, &Arc<VirtualServerConfig>)| {
        let status = &status.virtual_servers[name];
        let up = |&(_, real_server): &(_, &crate::status::RealServerStatus)| {
            real_server.state == RealServerState::Up
        };
        let destinations = match wanted.sorry_server {
            Some((sorry_server, _)) if status.state == ServerState::Down => BTreeSet::from([sorry_server]),
            Some(_) | None => status.real_servers.iter().filter(up).map(|(&address, _)| address).collect(),
        };
        (wanted.services[0].0, destinations)
    };
    config.virtual_servers.iter().map(expected).collect()
}

proptest! {
    #[test]
    fn whatever_happens_tables_agree_with_the_status_and_no_check_is_forgotten(
        first in any_config(),
        steps in prop::collection::vec(any_step(), 0..80),
    ) {
        let mut pools = Pools::new(first.clone());
        let (mut fetched, mut announced) = (pools.tables(), false);
        let mut outputs = pools.handle(PoolsInput::Start, NOW);
        let (mut config, mut now, mut requests) = (first, NOW, Vec::new());
        for step in steps {
            for output in outputs {
                match output {
                    PoolsOutput::Probe(request) => requests.push(request.id),
                    PoolsOutput::TablesChanged => announced = true,
                    PoolsOutput::Report(_) => {}
                }
            }
            outputs = match step {
                Step::Wait(milliseconds) => {
                    now = now + Duration::from_millis(milliseconds);
                    pools.handle(PoolsInput::Deadline, now)
                }
                Step::Answer(_, _) if requests.is_empty() => vec![],
                Step::Answer(probe, outcome) => answer(&mut pools, *probe.get(&requests), outcome, now),
                Step::Reload(wanted) => {
                    config = wanted.clone();
                    pools.handle(PoolsInput::Reload(wanted), now)
                }
                Step::Fetch => {
                    let tables = pools.tables();
                    prop_assert!(announced || Arc::ptr_eq(&tables, &fetched), "a change was not told");
                    let served: BTreeMap<_, BTreeSet<_>> = tables
                        .0
                        .iter()
                        .map(|(&key, following)| (key, following.service.destinations.keys().copied().collect()))
                        .collect();
                    prop_assert_eq!(served, expected_tables(&config, &pools.status()));
                    (fetched, announced) = (tables, false);
                    vec![]
                }
            };
        }

        let under_way = outputs.into_iter().filter_map(|output| match output {
            PoolsOutput::Probe(request) => Some(request.id),
            PoolsOutput::TablesChanged | PoolsOutput::Report(_) => None,
        });
        for probe in requests.into_iter().chain(under_way) {
            let _ = answer(&mut pools, probe, Outcome::Good, now);
        }
        let checked = config.virtual_servers.values().filter(|server| server.check.is_some());
        let checks: usize = checked.map(|server| server.real_servers.len()).sum();
        let asked = pools.handle(PoolsInput::Deadline, now + Duration::from_secs(2));
        prop_assert_eq!(asked.len(), checks);
    }
}
