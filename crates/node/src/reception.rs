//! The checks that a received packet has to pass before a virtual router hears of it.
//! [RFC 9568, section 7.1](https://www.rfc-editor.org/rfc/rfc9568#section-7.1)

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use thiserror::Error;
use vrrp::{
    Advertisement, AuthenticationError, Centiseconds, Family, Message, ParseError, Proof, Sequences, Version,
    multicast_group,
};

use crate::config::{Transport, VirtualRouterConfig};
use crate::name::InterfaceName;

/// The TTL and hop limit of an advertisement that no router has forwarded.
/// [RFC 9568, section 5.1.1.3](https://www.rfc-editor.org/rfc/rfc9568#section-5.1.1.3)
const ON_LINK_HOP_LIMIT: u8 = 255;

/// Where the virtual router identifier stands in a message of either version.
const VRID_OFFSET: usize = 1;

/// A packet of protocol 112 as it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Where it came in.
    pub interface: &'a InterfaceName,
    /// Who claims to have sent it.
    pub source: IpAddr,
    /// Whom it was sent to.
    pub destination: IpAddr,
    /// Its TTL or hop limit.
    pub hop_limit: u8,
    /// What follows the IP header.
    pub payload: &'a [u8],
}

impl Datagram<'_> {
    /// Returns the number in the place of the virtual router identifier, if the payload reaches that far.
    pub(crate) fn vrid(&self) -> Option<u8> {
        self.payload.get(VRID_OFFSET).copied()
    }
}

/// Why a received packet was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum Rejection {
    /// A router may have forwarded it.
    #[error("its TTL or hop limit is {found}, below {minimum}")]
    HopLimit {
        /// What it is.
        found: u8,
        /// What it should be at least.
        minimum: u8,
    },
    /// Its bytes are no advertisement.
    #[error("{0}")]
    Malformed(#[from] ParseError),
    /// It does not prove where it comes from.
    #[error("{0}")]
    Authentication(AuthenticationError),
    /// No virtual router here has its number on this interface and in this family.
    #[error("no virtual router has the identifier {vrid} here")]
    UnknownVrid {
        /// The number.
        vrid: u8,
    },
    /// It speaks the other version.
    #[error("it is of version {theirs}, the virtual router of version {ours}")]
    Version {
        /// The number in the message.
        theirs: u8,
        /// The number configured.
        ours: u8,
    },
    /// It came by multicast to a unicast virtual router, or the other way round.
    #[error("it was sent to {destination}, which is not how this virtual router hears its peers")]
    Destination {
        /// Whom it was sent to.
        destination: IpAddr,
    },
    /// Its source is this node's own address: a loop, or the address is used twice.
    #[error("its source is this node's own address: a loop on the segment, or the address is used twice")]
    OwnSource,
    /// A unicast virtual router was sent it by somebody who is no configured node.
    #[error("its source is not the address of a configured node")]
    UnknownSource,
    /// Version 2 does not learn intervals.
    #[error("its interval is {theirs}, the configured one is {ours}; version 2 needs them equal")]
    Interval {
        /// The interval in the message.
        theirs: Centiseconds,
        /// The interval configured.
        ours: Centiseconds,
    },
}

impl Rejection {
    /// Returns the stable word for the reason, by which refused packets are counted and logged.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::HopLimit { .. } => "hop_limit",
            Self::Malformed(ParseError::TooShort { .. } | ParseError::Length { .. }) => "length",
            Self::Malformed(ParseError::Version { .. }) | Self::Version { .. } => "version",
            Self::Malformed(ParseError::Type { .. }) => "type",
            Self::Malformed(ParseError::Checksum) => "checksum",
            Self::Malformed(ParseError::Vrid) | Self::UnknownVrid { .. } => "vrid",
            Self::Malformed(ParseError::NoAddress) => "address_count",
            Self::Malformed(ParseError::Interval) | Self::Interval { .. } => "interval",
            Self::Malformed(ParseError::Authentication(error)) | Self::Authentication(error) => match error {
                AuthenticationError::Replayed | AuthenticationError::Stale { .. } => "replayed",
                AuthenticationError::Type { .. }
                | AuthenticationError::Password
                | AuthenticationError::Missing
                | AuthenticationError::Unexpected
                | AuthenticationError::Malformed
                | AuthenticationError::UnknownKey { .. }
                | AuthenticationError::Hmac => "authentication",
            },
            Self::Destination { .. } => "destination",
            Self::OwnSource => "own_source",
            Self::UnknownSource => "unknown_source",
        }
    }
}

/// What a virtual router already knows when a packet comes in.
pub(crate) struct Receiver<'a> {
    /// How it is configured.
    pub(crate) config: &'a VirtualRouterConfig,
    /// What it sends from.
    pub(crate) own_source: IpAddr,
    /// What was said and heard before.
    pub(crate) sequences: &'a mut Sequences,
    /// The wall clock's time since 1970.
    pub(crate) unix: Duration,
}

/// Reads what a virtual router may hear: first who sent it to whom, then whether it is proven, and only then what it says.
///
/// # Errors
/// [`Rejection`] with the first check that the packet does not pass.
pub(crate) fn receive(
    datagram: &Datagram<'_>,
    receiver: Receiver<'_>,
) -> Result<(Advertisement, Proof), Rejection> {
    let Receiver { config, own_source, sequences, unix } = receiver;
    let Datagram { source, destination, payload, .. } = *datagram;
    check_way(datagram, config, own_source)?;
    let message = Message::read(payload, source, destination)?;
    if message.version() != config.version {
        let (theirs, ours) = (message.version().number(), config.version.number());
        return Err(Rejection::Version { theirs, ours });
    }
    let proof = config.authentication.verify(&message, sequences, unix).map_err(Rejection::Authentication)?;
    let advertisement = message.advertisement()?.advertisement;
    match config.version {
        Version::V2 if advertisement.interval != config.interval => {
            Err(Rejection::Interval { theirs: advertisement.interval, ours: config.interval })
        }
        Version::V2 | Version::V3 => Ok((advertisement, proof)),
    }
}

/// Checks what does not take a look into the message: who sent it to whom, and how far it came.
fn check_way(
    datagram: &Datagram<'_>,
    config: &VirtualRouterConfig,
    own_source: IpAddr,
) -> Result<(), Rejection> {
    let Datagram { source, destination, hop_limit, .. } = *datagram;
    let minimum = match &config.transport {
        Transport::Multicast { .. } => ON_LINK_HOP_LIMIT,
        Transport::Unicast { min_hop_limit, .. } => *min_hop_limit,
    };
    if hop_limit < minimum {
        return Err(Rejection::HopLimit { found: hop_limit, minimum });
    }
    if source == own_source {
        return Err(Rejection::OwnSource);
    }
    let group = multicast_group(Family::of(destination));
    match &config.transport {
        Transport::Multicast { .. } if destination == group => Ok(()),
        Transport::Unicast { peers, .. } if destination == own_source => {
            if peers.contains(&source) {
                Ok(())
            } else {
                Err(Rejection::UnknownSource)
            }
        }
        Transport::Multicast { .. } | Transport::Unicast { .. } => {
            Err(Rejection::Destination { destination })
        }
    }
}

/// Advertisements of one family on one interface, which share a pair of sockets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// The interface.
    pub interface: InterfaceName,
    /// The family.
    pub family: Family,
}

impl fmt::Display for Segment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} on {}", self.family, self.interface)
    }
}
