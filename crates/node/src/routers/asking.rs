//! Asking the neighbours: whether this node can hear, since one that must not preempt takes silence for the absence of an
//! Active only then; and who has virtual addresses that a winner should have announced by now.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use monotonic::Instant;
use vrrp::{Family, MacAddress, RouterEvent};

use super::member::{Member, Standing};
use super::{Routers, RoutersOutput, Segment, Timer};
use crate::name::{InterfaceName, RouterName};
use crate::report::Report;

/// How often a node asks that was not answered yet.
const QUESTION_INTERVAL: Duration = Duration::from_secs(1);

/// Neighbours to ask for their hardware addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solicitation {
    /// Where.
    pub interface: InterfaceName,
    /// The number of that interface.
    pub link: u32,
    /// Who asks.
    pub source: IpAddr,
    /// The hardware address of who asks.
    pub mac: MacAddress,
    /// Whom to ask, all of the family of who asks.
    pub whom: Whom,
}

/// Who should answer a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The other nodes at their own addresses, and the gateway, which whoever asks knows.
    Neighbours(BTreeSet<IpAddr>),
    /// Whoever has these virtual addresses.
    Holders(BTreeSet<IpAddr>),
}

impl Routers {
    /// Asks for every virtual router that has heard nobody yet, and again later.
    pub(super) fn ask_neighbours(&mut self, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        let mut is_awaited = false;
        for member in self.members.values().filter(|member| member.awaits_proof_of_hearing()) {
            is_awaited = true;
            let solicitation = self.solicitation(member).map(RoutersOutput::Solicit);
            // One is enough for all virtual routers that advertise from there.
            outputs.extend(solicitation.filter(|solicitation| !outputs.contains(solicitation)));
        }
        self.timers.set(Timer::Question, is_awaited.then_some(now + QUESTION_INTERVAL));
    }

    fn solicitation(&self, member: &Member) -> Option<Solicitation> {
        let Standing::Running(machine) = &member.standing else { return None };
        let source = machine.parameters().source;
        let peers = self.config.peers.values().flatten().copied();
        let peers = peers.filter(|peer| Family::of(*peer) == Family::of(source)).collect();
        self.question(&member.config.interface, source, Whom::Neighbours(peers))
    }

    fn question(&self, interface: &InterfaceName, source: IpAddr, whom: Whom) -> Option<Solicitation> {
        let link = self.links.get(interface)?;
        Some(Solicitation { interface: interface.clone(), link: link.index, source, mac: link.mac?, whom })
    }

    /// Asks who has the addresses of a virtual router that nobody has announced yet.
    pub(super) fn ask_holders(&self, name: &RouterName, outputs: &mut Vec<RoutersOutput>) {
        let mut by_segment: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (interface, address) in &self.members[name].unannounced {
            by_segment.entry((interface, Family::of(*address))).or_default().insert(*address);
        }
        let questions = by_segment.into_iter().filter_map(|((interface, family), addresses)| {
            let source = self.links.get(interface)?.source(family)?;
            self.question(interface, source, Whom::Holders(addresses))
        });
        outputs.extend(questions.map(RoutersOutput::Solicit));
    }

    /// Takes it that this node hears what is sent on a segment.
    pub(super) fn neighbour_answered(
        &mut self,
        segment: &Segment,
        address: IpAddr,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        let members = self.members.iter();
        let waiting =
            members.filter(|(_, member)| member.awaits_proof_of_hearing() && member.segment() == *segment);
        let waiting: Vec<_> = waiting.map(|(name, _)| name.clone()).collect();
        for router in waiting {
            self.step(&router, RouterEvent::NeighbourAnswered, now, outputs);
            outputs.push(RoutersOutput::Report(Report::NeighbourAnswered { router, address }));
        }
    }
}
