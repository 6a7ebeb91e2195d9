//! A pair with real servers behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

use lab::{Behaviour, Cidr, Lab, Machine, Prober, Role, Topology, WebClient, WebServer, wait_until};
use netns_tests::{LIMIT, Pair, VIRTUAL, WEB, pair};

/// How often the client fetches; a fetch takes User Mode Linux a few milliseconds.
const PACE: std::time::Duration = std::time::Duration::from_millis(25);

/// What a NAT pair's first virtual router has besides [`WEB`]: the gateway of the real servers.
pub(crate) const GATEWAY: &str =
    "unadvertised_addresses = [{ address = \"10.78.0.1/24\", interface = \"eth1\" }]\n";

/// A check that gives a slow machine time to answer, and takes two seconds to see a change.
pub(crate) const CHECK: &str = "[virtual_server.web.check]\ntype = \"http\"\npath = \"/healthz\"\n\
                                interval = \"900ms\"\ntimeout = \"850ms\"\nrise = 1\nfall = 2\n";

/// A virtual server by NAT with both real servers, without a check; more of its keys may follow.
pub(crate) const BOTH: &str = "[virtual_server.web]\naddress = \"10.77.0.50:80\"\nscheduler = \"rr\"\n\
                               real_servers = [\"10.78.0.21:80\", \"10.78.0.22:80\"]\n";

/// The service of [`BOTH`] in the table, with neither real server and with each of them.
pub(crate) const SERVICE: &str = "-A -t 10.77.0.50:80 -s rr";
pub(crate) const FIRST: &str = "-a -t 10.77.0.50:80 -r 10.78.0.21:80 -m -w 1";
pub(crate) const SECOND: &str = "-a -t 10.77.0.50:80 -r 10.78.0.22:80 -m -w 1";

/// A pair, the real servers `rs1` and `rs2`, and `sorry`; all of them serve.
pub(crate) struct Site {
    // Before the pair: they live in its namespaces.
    servers: BTreeMap<&'static str, WebServer>,
    pub(crate) pair: Pair,
}

impl Site {
    /// A site by NAT on which no daemon runs yet; the configuration begins with the pair and its virtual router.
    #[track_caller]
    pub(crate) fn idle(parts: &[&str]) -> Self {
        let config = pair(&[&[WEB, GATEWAY], parts].concat());
        Self::in_lab(Topology::standard(2, 2).build().unwrap(), &config)
    }

    /// The same at an interval of three seconds, which gives a slow machine time to start a program.
    #[track_caller]
    pub(crate) fn unhurried(parts: &[&str]) -> Self {
        let web = WEB.replace("100ms", "3s");
        let config = pair(&[&[&web, GATEWAY], parts].concat());
        Self::in_lab(Topology::standard(2, 2).build().unwrap(), &config)
    }

    /// A site by NAT with `lb1` as its Active.
    #[track_caller]
    pub(crate) fn elected(parts: &[&str]) -> Self {
        let mut site = Self::idle(parts);
        site.pair.elect(VIRTUAL);
        site
    }

    /// A site for direct routing with `lb1` as its Active: all are on one network, and the real servers hold the
    /// virtual address without telling anybody.
    #[track_caller]
    pub(crate) fn direct(virtual_server: &str) -> Self {
        let on_front = |name: &str, role: Role, last: u8| {
            let address: Cidr = format!("10.77.0.{last}/24").parse().unwrap();
            Machine::new(name, role).interface("eth0", "front", &[address])
        };
        let topology = Topology::new()
            .machine(on_front("client", Role::Host, 100))
            .machine(on_front("lb1", Role::Router, 11))
            .machine(on_front("lb2", Role::Router, 12))
            .machine(on_front("rs1", Role::Host, 21))
            .machine(on_front("rs2", Role::Host, 22))
            .machine(on_front("sorry", Role::Host, 99));
        let lab = topology.build().unwrap();
        for server in ["rs1", "rs2", "sorry"] {
            let machine = lab.namespace(server);
            machine.set_sysctl("net/ipv4/conf/all/arp_ignore", "1").unwrap();
            machine.set_sysctl("net/ipv4/conf/all/arp_announce", "2").unwrap();
            machine.run(&["ip", "address", "add", "10.77.0.50/32", "dev", "lo"]).unwrap();
        }
        let mut site = Self::in_lab(lab, &pair(&[WEB, virtual_server]));
        site.pair.start("lb1");
        site.pair.start("lb2");
        site.pair.wait_for_holders(VIRTUAL, &["lb1", "rs1", "rs2", "sorry"]);
        site
    }

    fn in_lab(lab: Lab, config: &str) -> Self {
        let start = |name: &'static str| (name, WebServer::start(lab.namespace(name), name, 80).unwrap());
        let servers = ["rs1", "rs2", "sorry"].map(start).into();
        Self { servers, pair: Pair::in_lab(lab, config) }
    }

    /// Changes how a server treats its clients.
    #[track_caller]
    pub(crate) fn behave(&self, server: &str, behaviour: Behaviour) {
        self.servers[server].behave(behaviour).unwrap();
    }

    /// Waits until a node's table is exactly this, in whatever order.
    #[track_caller]
    pub(crate) fn wait_for_table(&self, node: &str, lines: &[&str]) {
        let wanted: BTreeSet<&str> = lines.iter().copied().collect();
        let mut seen = String::new();
        let outcome = wait_until(&format!("The table {lines:?} on {node}"), LIMIT, || {
            seen = self.pair.machine(node).ipvs_table()?;
            Ok(seen.lines().map(str::trim_end).collect::<BTreeSet<_>>() == wanted)
        });
        outcome.unwrap_or_else(|error| panic!("{error}; it is\n{seen}"));
    }

    /// The client's new connection to the virtual server.
    #[track_caller]
    pub(crate) fn connect(&self, target: &str) -> WebClient {
        let target: SocketAddr = target.parse().unwrap();
        WebClient::connect(self.pair.machine("client"), target, LIMIT).unwrap()
    }

    /// Who answers how many of the client's requests, each on a connection of its own.
    #[track_caller]
    pub(crate) fn shares(&self, target: &str, requests: usize) -> BTreeMap<String, usize> {
        let mut shares = BTreeMap::new();
        for _ in 0..requests {
            let answer = self.connect(target).get("/").unwrap();
            assert_eq!(answer.status, 200);
            *shares.entry(answer.body).or_default() += 1;
        }
        shares
    }

    /// Lets the client fetch again and again, and returns when it is answered.
    #[track_caller]
    pub(crate) fn fetch(&self, target: &str) -> Prober {
        let prober = Prober::web(self.pair.machine("client"), target.parse().unwrap(), PACE).unwrap();
        prober.wait_for_answer(Instant::now(), LIMIT).unwrap();
        prober
    }
}

/// Shares as they are written down.
pub(crate) fn shares<const COUNT: usize>(shares: [(&str, usize); COUNT]) -> BTreeMap<String, usize> {
    shares.into_iter().map(|(server, count)| (server.to_owned(), count)).collect()
}
