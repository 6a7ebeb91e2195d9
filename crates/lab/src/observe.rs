//! Seeing what holds, without disturbing it.

use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Cidr, Error, Namespace, Result};

/// How long to rest between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// Looks again and again until a condition holds, and returns how long that took.
///
/// The description starts the sentence "... did not happen within ...".
///
/// # Errors
/// When the condition does not hold within the limit, or cannot be looked at.
pub fn wait_until(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<Duration> {
    let start = Instant::now();
    while !condition()? {
        if start.elapsed() >= limit {
            return Err(Error::TimedOut { what: what.to_owned(), limit });
        }
        thread::sleep(PAUSE);
    }
    Ok(start.elapsed())
}

/// One entry of a machine's neighbour table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Neighbour {
    /// The neighbour's address.
    #[serde(rename = "dst")]
    pub address: IpAddr,
    /// The interface it is reached through.
    #[serde(rename = "dev")]
    pub interface: String,
    /// Its link-layer address, as in `02:ba:70:00:00:01`; absent while it is being asked for.
    #[serde(rename = "lladdr")]
    pub link_address: Option<String>,
}

impl Namespace {
    /// Whether an address stands here and is usable, on whichever interface.
    ///
    /// It tries to bind a socket, which is quick enough to ask every millisecond.
    ///
    /// # Errors
    /// When the namespace cannot be entered or the answer is neither yes nor no.
    pub fn holds(&self, address: IpAddr) -> Result<bool> {
        match self.enter(|| UdpSocket::bind((address, 0)))? {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => Ok(false),
            Err(source) => Err(Error::system(format!("bind {address} in {}", self.name()))(source)),
        }
    }

    /// The addresses of an interface, IPv6 link-local ones included.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn addresses(&self, interface: &str) -> Result<Vec<Cidr>> {
        #[derive(Deserialize)]
        struct Link {
            addr_info: Vec<Address>,
        }
        #[derive(Deserialize)]
        struct Address {
            local: IpAddr,
            prefixlen: u8,
        }
        let links: Vec<Link> = self.json(&["ip", "-json", "address", "show", "dev", interface])?;
        let addresses = links.into_iter().flat_map(|link| link.addr_info);
        addresses.map(|address| Cidr::new(address.local, address.prefixlen)).collect()
    }

    /// The link-layer address of an interface, as in `02:ba:70:00:00:01`.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn link_address(&self, interface: &str) -> Result<String> {
        #[derive(Deserialize)]
        struct Link {
            address: String,
        }
        let words = ["ip", "-json", "link", "show", "dev", interface];
        let links: Vec<Link> = self.json(&words)?;
        let link = links.into_iter().next();
        link.map(|link| link.address).ok_or_else(|| unreadable(&words, "no link in it"))
    }

    /// Whom this machine has as neighbours.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn neighbours(&self) -> Result<Vec<Neighbour>> {
        self.json(&["ip", "-json", "neighbour", "show"])
    }

    /// The link-layer address at which this machine believes an address to be.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn neighbour(&self, address: IpAddr) -> Result<Option<String>> {
        let found = self.neighbours()?.into_iter().find(|neighbour| neighbour.address == address);
        Ok(found.and_then(|neighbour| neighbour.link_address))
    }

    /// The kernel's IPVS table as `ipvsadm --save --numeric` prints it; empty without services.
    ///
    /// # Errors
    /// When `ipvsadm` is missing or the kernel has no IPVS.
    pub fn ipvs_table(&self) -> Result<String> {
        self.run(&["ipvsadm", "--save", "--numeric"])
    }

    fn json<T: DeserializeOwned>(&self, words: &[&str]) -> Result<T> {
        let text = self.run(words)?;
        serde_json::from_str(&text).map_err(|error| unreadable(words, &error.to_string()))
    }
}

fn unreadable(words: &[&str], reason: &str) -> Error {
    Error::Answer { command: words.join(" "), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Topology;

    #[test]
    fn an_address_is_held_from_when_it_is_added_until_it_is_removed() {
        let namespace = Namespace::new("holds").unwrap();
        for (address, cidr) in [("192.0.2.7", "192.0.2.7/24"), ("2001:db8::7", "2001:db8::7/64")] {
            let address = address.parse().unwrap();
            assert!(!namespace.holds(address).unwrap());
            namespace.run(&["ip", "address", "add", cidr, "dev", "lo", "nodad"]).unwrap();
            assert!(namespace.holds(address).unwrap());
            assert!(namespace.addresses("lo").unwrap().contains(&cidr.parse().unwrap()));
            namespace.run(&["ip", "address", "del", cidr, "dev", "lo"]).unwrap();
            assert!(!namespace.holds(address).unwrap());
        }
    }

    #[test]
    fn a_neighbour_s_link_address_is_its_interface_s() {
        let lab = Topology::standard(1, 0).build().unwrap();
        let (client, node) = (lab.namespace("client"), lab.namespace("lb1"));
        let address = "10.77.0.11".parse().unwrap();
        assert_eq!(client.neighbour(address).unwrap(), None);
        client.run(&["ping", "-c1", "-w20", "10.77.0.11"]).unwrap();
        assert_eq!(client.neighbour(address).unwrap(), Some(node.link_address("eth0").unwrap()));
    }

    #[test]
    fn waiting_in_vain_names_what_was_waited_for() {
        let error = wait_until("The election", Duration::from_millis(20), || Ok(false)).unwrap_err();
        assert_eq!(error.to_string(), "The election did not happen within 20ms");
    }
}
