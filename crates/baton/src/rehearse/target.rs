//! What the client asks for: one address of the file, and what is behind it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use node::config::{Config, Follow, VirtualServerConfig};
use node::name::{RouterName, ServerName};
use virtual_server::health::{Check, CheckKind};
use virtual_server::service::{Protocol, ServiceKey};

use super::subnet::is_link_local;

/// What the client asks for.
#[derive(Clone, Debug)]
pub struct Target {
    /// The virtual router whose address it is.
    pub router: RouterName,
    /// How it is asked.
    pub question: Question,
}

/// How the client asks.
#[derive(Clone, Debug)]
pub enum Question {
    /// With an HTTP request to a virtual server.
    Web {
        /// Its address and port.
        address: SocketAddr,
        /// Its name.
        server: ServerName,
        /// The virtual server.
        config: Arc<VirtualServerConfig>,
    },
    /// With an ICMP echo request to an address, where the file has no virtual server that speaks TCP.
    Echo {
        /// The address.
        address: IpAddr,
    },
}

/// Why a client has nothing to ask for.
#[derive(Debug, thiserror::Error)]
pub enum NoTarget {
    /// No virtual router has an address that a client can be told.
    #[error(
        "A client can ask for none of the virtual addresses: all are link-local; add one of another kind to \
         `virtual_addresses`"
    )]
    LinkLocal,
    /// The lab's servers would never be fit.
    #[error(
        "The check of virtual server {server} can never be good in a rehearsal: its real servers answer with status \
         200 and their name, and it wants {wanted}; rehearse a copy of the file with `type = \"tcp\"` there"
    )]
    Check {
        /// The virtual server.
        server: ServerName,
        /// What it wants, as in "a body with \"ok\"".
        wanted: String,
    },
}

impl Target {
    /// Chooses what the client asks for: the first virtual server of TCP whose address moves with a virtual router, else
    /// the first advertised address; IPv4 before IPv6.
    ///
    /// # Errors
    /// [`NoTarget`] says what is in the way.
    pub fn choose(config: &Config) -> Result<Self, NoTarget> {
        let mut web: Vec<_> = config
            .virtual_servers
            .iter()
            .flat_map(|(server, of)| of.services.iter().map(move |service| (server, of, service)))
            .filter_map(|(server, of, (key, follow))| {
                let (address, router) = (web_address(key)?, holder(config, key)?);
                let alive = !of.real_servers.is_empty() && *follow != Follow::Always;
                let question = Question::Web { address, server: server.clone(), config: Arc::clone(of) };
                alive.then_some(Self { router, question })
            })
            .collect();
        // The sort is stable: what comes first in the file's order stays first.
        web.sort_by_key(|target| target.address().is_ipv6());
        if let Some(target) = web.into_iter().next() {
            return target.with_answerable_check();
        }
        let mut addresses: Vec<_> = config
            .virtual_routers
            .iter()
            .flat_map(|(name, router)| router.addresses.iter().map(move |address| (name, address.address)))
            .filter(|(_, address)| !is_link_local(*address))
            .collect();
        addresses.sort_by_key(|(_, address)| address.is_ipv6());
        let (router, address) = addresses.into_iter().next().ok_or(NoTarget::LinkLocal)?;
        Ok(Self { router: router.clone(), question: Question::Echo { address } })
    }

    /// Returns the address that is asked.
    pub fn address(&self) -> IpAddr {
        match &self.question {
            Question::Web { address, .. } => address.ip(),
            Question::Echo { address } => *address,
        }
    }

    fn with_answerable_check(self) -> Result<Self, NoTarget> {
        let Question::Web { server, config, .. } = &self.question else { return Ok(self) };
        match config.check.as_deref().and_then(unanswerable) {
            Some(wanted) => Err(NoTarget::Check { server: server.clone(), wanted }),
            None => Ok(self),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.question {
            Question::Web { address, .. } => {
                write!(formatter, "fetches http://{address}/ on a new connection")
            }
            Question::Echo { address } => write!(formatter, "sends an ICMP echo request to {address}"),
        }
    }
}

/// The address of a service that a web client can ask.
fn web_address(key: &ServiceKey) -> Option<SocketAddr> {
    match key {
        ServiceKey::Address { protocol: Protocol::Tcp, address } if address.port() != 0 => Some(*address),
        ServiceKey::Address { protocol: Protocol::Tcp | Protocol::Udp | Protocol::Sctp, .. }
        | ServiceKey::Mark { .. } => None,
    }
}

/// The virtual router that a service's address moves with.
fn holder(config: &Config, key: &ServiceKey) -> Option<RouterName> {
    let address = web_address(key)?.ip();
    let mut routers = config.virtual_routers.iter();
    let found = routers.find(|(_, router)| router.all_addresses().any(|held| held.address == address));
    found.map(|(name, _)| name.clone())
}

/// What a check wants that the servers of a rehearsal do not answer.
fn unanswerable(check: &Check) -> Option<String> {
    match &check.kind {
        CheckKind::Tcp => None,
        CheckKind::Http(http) => match &http.body {
            Some(body) => Some(format!("a body with {body:?}")),
            None if http.status.iter().any(|&(first, last)| (first..=last).contains(&200)) => None,
            None => Some("another status".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use crate::config_file::ConfigFile;

    use super::*;

    fn choose(text: &str) -> Result<Target, NoTarget> {
        let file = ConfigFile::parse("test.toml", text).unwrap();
        let node = file.nodes().next().unwrap();
        Target::choose(&file.resolve(node).unwrap())
    }

    const NODES: &str = "[node.lb1]\n[node.lb2]\n";
    const ROUTERS: &str = r#"
        [virtual_router.a6]
        interface = "eth0"
        virtual_router_id = 51
        virtual_addresses = ["fe80::1/64", "fd77::50/64"]
        [virtual_router.b4]
        interface = "eth0"
        virtual_router_id = 52
        virtual_addresses = ["10.77.0.50/24"]
    "#;

    fn told(servers: &str) -> String {
        let target = choose(&format!("{NODES}{ROUTERS}{servers}")).unwrap();
        format!("{target}, of {}", target.router)
    }

    #[test]
    fn without_a_virtual_server_the_first_advertised_ipv4_address_is_asked() {
        assert_eq!(told(""), "sends an ICMP echo request to 10.77.0.50, of b4");
    }

    #[test]
    fn a_virtual_server_of_tcp_comes_before_an_address_and_ipv4_before_ipv6() {
        let server = |name: &str, address: &str, real_server: &str, more: &str| {
            format!(
                "[virtual_server.{name}]\naddress = \"{address}\"\nreal_servers = [\"{real_server}\"]\n{more}\n"
            )
        };
        let v6 = server("a", "[fd77::50]:80", "[fd78::21]:80", "");
        let v4 = server("b", "10.77.0.50:80", "10.78.0.21:80", "");
        let udp = server("c", "10.77.0.50:53", "10.78.0.21:53", "protocol = \"udp\"");
        assert_eq!(told(&udp), "sends an ICMP echo request to 10.77.0.50, of b4");
        assert_eq!(told(&v6), "fetches http://[fd77::50]:80/ on a new connection, of a6");
        let all = [v6, v4, udp].concat();
        assert_eq!(told(&all), "fetches http://10.77.0.50:80/ on a new connection, of b4");
    }

    #[test]
    fn a_check_that_wants_what_the_servers_do_not_answer_is_told() {
        let server = r#"
            [virtual_server.web]
            address = "10.77.0.50:80"
            real_servers = ["10.78.0.21:80"]
            [virtual_server.web.check]
            type = "http"
            body = "ok"
        "#;
        let error = choose(&format!("{NODES}{ROUTERS}{server}")).unwrap_err().to_string();
        assert!(error.contains("virtual server web") && error.contains("a body with \"ok\""), "{error}");
    }

    #[test]
    fn link_local_addresses_alone_cannot_be_asked_for() {
        let router = r#"
            [virtual_router.a]
            interface = "eth0"
            virtual_router_id = 51
            virtual_addresses = ["fe80::1/64"]
        "#;
        assert!(matches!(choose(&format!("{NODES}{router}")), Err(NoTarget::LinkLocal)));
    }
}
