//! What becomes of a packet that came in.

use monotonic::Instant;
use vrrp::{Family, Priority, Proof, RouterEvent};

use super::member::Standing;
use super::{Datagram, Routers, RoutersOutput, Segment};
use crate::name::RouterName;
use crate::reception::{Receiver, Rejection, receive};
use crate::report::Report;

impl Routers {
    pub(super) fn hear(&mut self, datagram: &Datagram<'_>, now: Instant, outputs: &mut Vec<RoutersOutput>) {
        let segment = Segment { interface: datagram.interface.clone(), family: Family::of(datagram.source) };
        let vrid = datagram.vrid().unwrap_or(0);
        let Some((key, name)) = self.by_vrid.get_key_value(&(segment.clone(), vrid)) else {
            self.unknown_vrid += 1;
            let rejection = Rejection::UnknownVrid { vrid };
            return self.tell_refusal(None, segment, datagram, rejection, now, outputs);
        };
        let (segment, name) = (key.0.clone(), name.clone());
        let member = self.members.get_mut(&name).expect("every indexed virtual router is a member");
        let Standing::Running(machine) = &member.standing else { return };
        let source = machine.parameters().source;
        let receiver = Receiver {
            config: &member.config,
            own_source: source,
            sequences: &mut member.sequences,
            unix: self.wall_clock.at(now),
        };
        match receive(datagram, receiver) {
            Ok((advertisement, proof)) => {
                member.counters.advertisements_received += 1;
                let from = datagram.source;
                if proof == Proof::Spared {
                    member.counters.unauthenticated += 1;
                    let told = (Some(name.clone()), segment.clone(), "unauthenticated");
                    if self.told.lets_through(told, now) {
                        let router = name.clone();
                        outputs.push(RoutersOutput::Report(Report::UnauthenticatedAccepted { router, from }));
                    }
                }
                // One that hands over names a shorter interval, once.
                let before = member.heard_interval.replace(advertisement.interval);
                let is_meant =
                    advertisement.interval > member.config.interval || before == Some(advertisement.interval);
                if advertisement.interval != member.config.interval
                    && is_meant
                    && advertisement.priority != Priority::RELEASE
                    && self.told.lets_through((Some(name.clone()), segment, "interval_differs"), now)
                {
                    let theirs = advertisement.interval.duration();
                    outputs.push(RoutersOutput::Report(Report::IntervalDiffers {
                        router: name.clone(),
                        from,
                        theirs,
                    }));
                }
                let is_freed = advertisement.priority == Priority::RELEASE && machine.is_freed_by(from);
                self.compare_addresses(&name, &advertisement, from, now, outputs);
                self.step(&name, RouterEvent::Heard { advertisement: &advertisement, from }, now, outputs);
                if is_freed {
                    let interval = advertisement.interval;
                    for other in self.groups.together_with(&name).into_iter().filter(|other| *other != name) {
                        self.step(&other, RouterEvent::GroupReleased { interval }, now, outputs);
                    }
                }
            }
            Err(rejection) => {
                *member.refusals.entry(rejection.reason()).or_default() += 1;
                self.tell_refusal(Some(name), segment, datagram, rejection, now, outputs);
            }
        }
    }

    fn tell_refusal(
        &mut self,
        router: Option<RouterName>,
        segment: Segment,
        datagram: &Datagram<'_>,
        rejection: Rejection,
        now: Instant,
        outputs: &mut Vec<RoutersOutput>,
    ) {
        let interface = segment.interface.clone();
        if self.told.lets_through((router.clone(), segment, rejection.reason()), now) {
            let from = datagram.source;
            outputs.push(RoutersOutput::Report(Report::AdvertisementRefused {
                interface,
                router,
                from,
                rejection,
            }));
        }
    }
}
