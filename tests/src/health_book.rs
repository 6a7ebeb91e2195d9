//! What the answers of the real servers add up to, counted apart from the node, so that its verdicts can be held to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use virtual_server::health::Outcome;
use virtual_server::service::{Destination, Weight};

use crate::site::{NodeIndex, ServerIndex, Site, SiteService, Sorry, real_server_address, sorry_server};

/// What one node has heard from each real server since it started.
#[derive(Clone, Debug, Default)]
pub struct HealthBook {
    entries: BTreeMap<ServerIndex, Entry>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    is_fit: bool,
    good_in_a_row: u8,
    bad_in_a_row: u8,
}

impl HealthBook {
    /// Notes one answer.
    pub fn note(&mut self, service: &SiteService, server: ServerIndex, outcome: &Outcome) {
        let entry = self.entries.entry(server).or_default();
        match outcome {
            Outcome::Good => {
                entry.bad_in_a_row = 0;
                entry.good_in_a_row = entry.good_in_a_row.saturating_add(1);
                entry.is_fit |= entry.good_in_a_row >= service.rise.get();
            }
            Outcome::Bad(_) => {
                entry.good_in_a_row = 0;
                entry.bad_in_a_row = entry.bad_in_a_row.saturating_add(1);
                entry.is_fit &= entry.bad_in_a_row < service.fall.get();
            }
            Outcome::Inconclusive(_) => {}
        }
    }

    /// Keeps what is known and counts anew, as a daemon does that goes on where another died.
    pub fn count_anew(&mut self) {
        for entry in self.entries.values_mut() {
            (entry.good_in_a_row, entry.bad_in_a_row) = (0, 0);
        }
    }

    /// Tells whether a real server may serve.
    pub fn is_fit(&self, server: ServerIndex) -> bool {
        self.entries.get(&server).is_some_and(|entry| entry.is_fit)
    }

    /// Returns who should serve by what was heard.
    pub fn destinations(&self, site: &Site, node: NodeIndex) -> BTreeMap<SocketAddr, Destination> {
        let Some(service) = &site.service else { return BTreeMap::new() };
        let family = site.routers[0].family;
        let (sorry_address, sorry) = sorry_server(family);
        let destination = |weight| Destination { weight, forwarding: sorry.forwarding };
        let fit: BTreeMap<_, _> = (0..service.real_servers)
            .map(ServerIndex)
            .filter(|server| self.is_fit(*server))
            .map(|server| {
                let weight = if server.0 == 0 { site.nodes[node.0].first_weight } else { Weight::DEFAULT };
                (real_server_address(server, family), destination(weight))
            })
            .collect();
        let weight: u32 = fit.values().map(|fit| u32::from(fit.weight.get())).sum();
        match service.sorry {
            Sorry::Present if weight < service.quorum => BTreeMap::from([(sorry_address, sorry)]),
            Sorry::Present | Sorry::Missing => fit,
        }
    }
}
