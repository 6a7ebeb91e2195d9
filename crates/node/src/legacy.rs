//! What one daemon leaves to the next on the same machine, so that its death is no transition.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use monotonic::Instant;
use virtual_server::health::Verdict;
use vrrp::Sequence;

use crate::name::{RouterName, ServerName};
use crate::routers::{Silence, Transmission};
use crate::status::Away;

/// Everything that is left.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Legacy {
    /// When the first of these daemons began.
    pub began: Option<Instant>,
    /// The virtual routers that leave anything.
    pub virtual_routers: BTreeMap<RouterName, RouterLegacy>,
    /// For how long nobody has to hear of the roles; whoever comes later finds none. Nothing where there is none.
    pub silence: Option<Silence>,
    /// What is known of the real servers.
    pub verdicts: BTreeMap<(ServerName, SocketAddr), Verdict>,
}

/// What is left of a virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RouterLegacy {
    /// The role, while it is Active.
    pub role: Option<RoleLegacy>,
    /// Set while it stays away after it was passed on.
    pub away: Option<Away>,
    /// The last number that it may have put into an authenticated advertisement, those of its last will included.
    pub said: Option<Sequence>,
}

/// The role of an Active virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleLegacy {
    /// When it became Active.
    pub since: Instant,
    /// Why it became Active.
    pub reason: String,
    /// How often it advertises.
    pub interval: Duration,
    /// What has to be said, one after the other, so that another node takes over at once.
    pub last_will: Vec<Transmission>,
    /// How long after the last will another node has certainly taken the addresses.
    pub succeeded_within: Duration,
}

impl Legacy {
    /// Returns what has to be said, in this order, so that other nodes take over; nothing once they may have by
    /// themselves, since the words would unsettle them.
    pub fn last_will(&self, now: Instant) -> Vec<Transmission> {
        if self.silence.is_none_or(|silence| silence.limit <= now) {
            return Vec::new();
        }
        self.roles().flat_map(|role| role.last_will.iter().cloned()).collect()
    }

    /// Returns the shortest interval of a virtual router that is Active; nothing when none is.
    pub fn shortest_interval(&self) -> Option<Duration> {
        self.roles().map(|role| role.interval).min()
    }

    /// Returns how long after the last will all addresses are taken by others; nothing when no virtual router is Active.
    pub fn succeeded_within(&self) -> Option<Duration> {
        self.roles().map(|role| role.succeeded_within).max()
    }

    /// Returns the virtual routers that are Active.
    pub fn active(&self) -> impl Iterator<Item = &RouterName> {
        let routers = self.virtual_routers.iter();
        routers.filter(|(_, legacy)| legacy.role.is_some()).map(|(name, _)| name)
    }

    /// Forgets the roles: others have them.
    pub fn drop_roles(&mut self) {
        for legacy in self.virtual_routers.values_mut() {
            legacy.role = None;
        }
        self.silence = None;
    }

    fn roles(&self) -> impl Iterator<Item = &RoleLegacy> {
        self.virtual_routers.values().filter_map(|legacy| legacy.role.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::InterfaceName;

    fn at(milliseconds: u64) -> Instant {
        Instant::from_start(Duration::from_millis(milliseconds))
    }

    fn said(text: &str) -> Transmission {
        Transmission {
            interface: InterfaceName::new("eth0").unwrap(),
            source: [10, 77, 0, 11].into(),
            destination: [224, 0, 0, 18].into(),
            mac: None,
            payload: text.as_bytes().into(),
        }
    }

    /// Two roles that may be claimed at 6,000 ms, and an absence.
    fn legacy() -> Legacy {
        let role = |interval, last_will: &[&str], succeeded_within| {
            let role = RoleLegacy {
                since: at(4),
                reason: "no Active was heard".to_owned(),
                interval: Duration::from_millis(interval),
                last_will: last_will.iter().map(|text| said(text)).collect(),
                succeeded_within: Duration::from_millis(succeeded_within),
            };
            RouterLegacy { role: Some(role), ..RouterLegacy::default() }
        };
        let away = RouterLegacy { away: Some(Away { until: None }), ..RouterLegacy::default() };
        let router = |name| RouterName::new(name).unwrap();
        Legacy {
            virtual_routers: BTreeMap::from([
                (router("a"), role(1_000, &["short", "release"], 60)),
                (router("b"), role(100, &["release"], 1_046)),
                (router("c"), away),
            ]),
            silence: Some(Silence { limit: at(6_000), speak_by: at(5_750) }),
            ..Legacy::default()
        }
    }

    #[test]
    fn a_last_will_stands_until_others_may_have_claimed_by_themselves() {
        assert_eq!(legacy().last_will(at(5_999)), ["short", "release", "release"].map(said));
        assert_eq!(legacy().last_will(at(6_000)), []);
        assert_eq!(legacy().shortest_interval(), Some(Duration::from_millis(100)));
    }

    #[test]
    fn addresses_are_kept_until_the_slowest_successor_of_any_role_has_them() {
        assert_eq!(legacy().succeeded_within(), Some(Duration::from_millis(1_046)));
    }

    #[test]
    fn roles_that_were_given_up_are_not_left_but_all_else_is() {
        let mut legacy = legacy();
        legacy.drop_roles();
        assert_eq!((legacy.active().count(), legacy.last_will(at(0)).len()), (0, 0));
        assert_eq!(
            (legacy.silence, legacy.shortest_interval(), legacy.succeeded_within()),
            (None, None, None)
        );
        assert!(legacy.virtual_routers.values().any(|legacy| legacy.away.is_some()));
    }
}
