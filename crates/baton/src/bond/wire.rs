//! What is left to the next daemon, as it crosses the socket pair.

use std::net::IpAddr;
use std::time::Duration;

use monotonic::Instant;
use node::legacy::{RoleLegacy, RouterLegacy};
use node::name::{InterfaceName, NameError};
use node::routers::Transmission;
use node::status::Away;
use serde::{Deserialize, Serialize};
use virtual_server::health::Verdict;
use vrrp::{MacAddress, Sequence};

/// What a virtual router leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireRouter {
    role: Option<WireRole>,
    away: Option<WireAway>,
    said: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct WireRole {
    since: u64,
    reason: String,
    interval: u64,
    last_will: Vec<WireTransmission>,
    succeeded_within: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct WireAway {
    until: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct WireTransmission {
    interface: String,
    source: IpAddr,
    destination: IpAddr,
    mac: Option<[u8; 6]>,
    payload: Vec<u8>,
}

/// What is known of a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireVerdict {
    Up,
    Down,
}

/// Returns a moment as the nanoseconds since the clock's start.
pub(super) fn nanoseconds(moment: Instant) -> u64 {
    u64::try_from(moment.since_start().as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the moment of [`nanoseconds`].
pub(super) fn moment(nanoseconds: u64) -> Instant {
    Instant::from_start(Duration::from_nanos(nanoseconds))
}

impl WireVerdict {
    /// Returns nothing for a verdict that is none yet.
    pub(super) fn of(verdict: Verdict) -> Option<Self> {
        match verdict {
            Verdict::Checking { .. } => None,
            Verdict::Up { .. } => Some(Self::Up),
            Verdict::Down { .. } => Some(Self::Down),
        }
    }

    pub(super) fn verdict(self) -> Verdict {
        match self {
            Self::Up => Verdict::Up { bad: 0 },
            Self::Down => Verdict::Down { good: 0 },
        }
    }
}

impl From<&RouterLegacy> for WireRouter {
    fn from(legacy: &RouterLegacy) -> Self {
        let transmission = |sent: &Transmission| WireTransmission {
            interface: sent.interface.to_string(),
            source: sent.source,
            destination: sent.destination,
            mac: sent.mac.map(|mac| mac.0),
            payload: sent.payload.to_vec(),
        };
        let length = |length: Duration| u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        let role = |role: &RoleLegacy| WireRole {
            since: nanoseconds(role.since),
            reason: role.reason.clone(),
            interval: length(role.interval),
            last_will: role.last_will.iter().map(transmission).collect(),
            succeeded_within: length(role.succeeded_within),
        };
        Self {
            role: legacy.role.as_ref().map(role),
            away: legacy.away.map(|away| WireAway { until: away.until.map(nanoseconds) }),
            said: legacy.said.map(Sequence::get),
        }
    }
}

impl TryFrom<WireRouter> for RouterLegacy {
    type Error = NameError;

    fn try_from(WireRouter { role, away, said }: WireRouter) -> Result<Self, NameError> {
        let transmission = |sent: WireTransmission| {
            let WireTransmission { interface, source, destination, mac, payload } = sent;
            let interface = InterfaceName::new(&interface)?;
            let mac = mac.map(MacAddress);
            Ok(Transmission { interface, source, destination, mac, payload: payload.into() })
        };
        let read = |role: WireRole| {
            Ok::<_, NameError>(RoleLegacy {
                since: moment(role.since),
                reason: role.reason,
                interval: Duration::from_nanos(role.interval),
                last_will: role.last_will.into_iter().map(transmission).collect::<Result<_, NameError>>()?,
                succeeded_within: Duration::from_nanos(role.succeeded_within),
            })
        };
        Ok(Self {
            role: role.map(read).transpose()?,
            away: away.map(|away| Away { until: away.until.map(moment) }),
            said: said.map(Sequence::new),
        })
    }
}
