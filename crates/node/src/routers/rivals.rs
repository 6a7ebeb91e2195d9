//! Whoever else claims a virtual router: another Active of the same one, and a foreign pair that uses its number.

use std::net::IpAddr;

use monotonic::Instant;
use vrrp::{Advertisement, Priority};

use super::{Routers, RoutersOutput, Segment, Timer};
use crate::config::{InterfaceAddress, VirtualRouterConfig};
use crate::name::RouterName;
use crate::report::Report;
use crate::status::Rival;

/// What an advertisement's list of addresses says about who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kinship {
    /// It lists what this node would.
    Same,
    /// It is of this virtual router, configured otherwise: some addresses are the same, or a node of ours sent it.
    Related,
    /// It is of another virtual router with the same number: a stranger sent it, and no address is the same.
    Foreign,
}

impl Routers {
    /// Tells of an advertisement that lists other addresses than this node would; it is accepted all the same, so that
    /// addresses can be changed on one node after the other.
    pub(super) fn compare_addresses(
        &mut self,
        name: &RouterName,
        heard: &Advertisement,
        from: IpAddr,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        let is_node = self.config.peers.values().any(|addresses| addresses.contains(&from));
        let member = self.members.get_mut(name).expect("only members are heard for");
        let kinship = kinship(&member.config, &heard.addresses, is_node);
        let (kind, router) = (kinship.kind(), name.clone());
        let report = match kinship {
            Kinship::Same => return,
            Kinship::Related => Report::AddressListDiffers { router, from },
            Kinship::Foreign => {
                member.counters.vrid_conflicts += 1;
                Report::VridConflict { router, from, addresses: heard.addresses.clone() }
            }
        };
        if self.told.lets_through((Some(name.clone()), member.segment(), kind), now) {
            outputs.push(RoutersOutput::Report(report));
        }
    }

    /// Takes note of another Active that has to yield to this one.
    pub(super) fn be_contested(
        &mut self,
        name: &RouterName,
        by: IpAddr,
        priority: Priority,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        let Some(member) = self.members.get_mut(name) else { return };
        let interval = member.config.interval;
        // Whoever was just taken over from may still say so once, and whoever leaves has said that it does.
        let is_lasting = member.rival.is_some() || now - member.since > interval.duration();
        if is_lasting && priority != Priority::RELEASE {
            member.counters.dual_active += u64::from(member.rival.is_none());
            let since = member.rival.map_or(now, |rival| rival.since);
            member.rival = Some(Rival { peer: by, priority, since, last_heard: now });
            let theirs = member.heard_interval.unwrap_or(interval).max(interval);
            let silent_at = now + theirs.active_down(member.config.version, member.config.priority);
            self.timers.set(Timer::Rival(name.clone()), Some(silent_at));
            let key: (_, Segment, _) = (Some(name.clone()), member.segment(), "dual_active");
            if self.told.lets_through(key, now) {
                let router = name.clone();
                outputs.push(RoutersOutput::Report(Report::DualActive { router, by, priority }));
            }
        }
        self.draw_traffic_back(name, now, outputs);
    }

    /// Announces again what another Active has announced too: without this, neighbours stay with it until the next
    /// refresh. It was Active in the whole sync group, even where its words on another link were not heard or believed.
    fn draw_traffic_back(&mut self, name: &RouterName, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        for name in self.groups.together_with(name) {
            let config = &self.members[&name].config;
            // An interval is how often it is heard when all is well.
            let gap = config.interval.duration();
            let again = self.announcing.repeat(config.all_addresses(), gap, &self.links, now);
            outputs.extend(again.into_iter().map(RoutersOutput::Announce));
        }
    }

    /// Takes it that there are two Actives no longer: the other one is silent, or this node is none any more.
    pub(super) fn end_contest(&mut self, name: &RouterName, end: End, outputs: &mut Vec<RoutersOutput>) {
        let Some(member) = self.members.get_mut(name) else { return };
        let Some(Rival { peer, since, last_heard, .. }) = member.rival.take() else { return };
        self.timers.set(Timer::Rival(name.clone()), None);
        let lasted = match end {
            End::Silence => last_heard - since,
            End::Yielded { at } => at - since,
        };
        let router = name.clone();
        outputs.push(RoutersOutput::Report(Report::DualActiveOver { router, by: peer, lasted }));
    }
}

/// How a time with two Actives ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The other one was not heard any more.
    Silence,
    /// This node gave the role up.
    Yielded {
        /// When.
        at: Instant,
    },
}

impl Kinship {
    const fn kind(self) -> &'static str {
        match self {
            Self::Same => "",
            Self::Related => "address_list_differs",
            Self::Foreign => "vrid_conflict",
        }
    }
}

fn kinship(config: &VirtualRouterConfig, theirs: &[IpAddr], is_node: bool) -> Kinship {
    let ours = &config.addresses;
    let is_ours = |theirs: &IpAddr| ours.iter().any(|ours| ours.address == *theirs);
    if lists_same(ours, theirs) {
        Kinship::Same
    } else if is_node || theirs.iter().any(is_ours) {
        Kinship::Related
    } else {
        Kinship::Foreign
    }
}

fn lists_same(ours: &[InterfaceAddress], theirs: &[IpAddr]) -> bool {
    ours.len() == theirs.len()
        && (ours.iter().zip(theirs).all(|(ours, theirs)| ours.address == *theirs)
            || ours.iter().all(|ours| theirs.contains(&ours.address)))
}
