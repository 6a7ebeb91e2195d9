//! The routes and rules that are Baton's own, as the kernel tells of them.

// What the kernel says is a foreign enum that keeps growing; what has no name here is of no interest.
#![allow(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeSet;

use netlink_packet_route::RouteNetlinkMessage;
use node::name::InterfaceName;
use node::routing::{RouteTarget, VirtualRoute, VirtualRule};
use thiserror::Error;

use crate::route_netlink::RequestError;
use crate::{route, rule};

/// Why a route or a rule was neither taken nor left.
#[derive(Debug, Error)]
pub(crate) enum RoutingError {
    /// Its place is taken.
    #[error(
        "Somebody else's route or rule is where {what} would be: remove it, or give this one another metric or priority"
    )]
    Foreign {
        /// The route or rule.
        what: String,
    },
    /// There is no such interface, now.
    #[error("There is no interface {interface} for {what}: it is taken when the interface appears")]
    NoInterface {
        /// The route.
        what: String,
        /// The interface.
        interface: InterfaceName,
    },
    /// The process may not.
    #[error("Changing routes and rules needs CAP_NET_ADMIN: run as root or under the systemd unit")]
    NotPermitted,
    /// No address reaches the gateway.
    #[error("No address of this node reaches the gateway of {what}: it is taken when one does")]
    OutOfReach {
        /// The route.
        what: String,
    },
    /// The kernel said no, or nothing.
    #[error("The kernel refused to change {what}: {source}")]
    Kernel {
        /// The route or rule.
        what: String,
        /// Its error.
        source: RequestError,
    },
}

impl RoutingError {
    pub(crate) fn new(what: String, source: RequestError) -> Self {
        let code = match &source {
            RequestError::Refused(error) => error.raw_os_error(),
            RequestError::NoAnswer | RequestError::Closed => None,
        };
        match code {
            Some(libc::EPERM) => Self::NotPermitted,
            Some(libc::ENETUNREACH | libc::EHOSTUNREACH) => Self::OutOfReach { what },
            Some(_) | None => Self::Kernel { what, source },
        }
    }
}

/// The routes and rules that are Baton's own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routing {
    pub(crate) routes: BTreeSet<VirtualRoute>,
    pub(crate) rules: BTreeSet<VirtualRule>,
}

impl Routing {
    /// Takes in what the kernel answers to a question for routes and rules.
    pub(crate) fn apply(
        &mut self,
        message: &RouteNetlinkMessage,
        name: impl Fn(u32) -> Option<InterfaceName>,
    ) {
        match message {
            RouteNetlinkMessage::NewRoute(message) => self.routes.extend(route::read(message, name)),
            RouteNetlinkMessage::NewRule(message) => self.rules.extend(rule::read(message)),
            _ => {}
        }
    }

    /// Tells whether what the kernel tells by itself can mean that something of this is not there any more: it says
    /// nothing of the routes that go with an interface or an address, or that another one takes the place of.
    pub(crate) fn is_touched_by(&self, message: &RouteNetlinkMessage) -> bool {
        match message {
            RouteNetlinkMessage::NewRoute(message) | RouteNetlinkMessage::DelRoute(message) => {
                route::is_about(message, &self.routes)
            }
            RouteNetlinkMessage::NewRule(_)
            | RouteNetlinkMessage::DelRule(_)
            | RouteNetlinkMessage::NewLink(_)
            | RouteNetlinkMessage::DelLink(_)
            | RouteNetlinkMessage::DelAddress(_) => true,
            _ => false,
        }
    }

    /// Returns the routes as they are wanted: the kernel names the interface that it has found for a gateway, also where
    /// none was asked for.
    pub(crate) fn routes_among(&self, wanted: &BTreeSet<VirtualRoute>) -> BTreeSet<VirtualRoute> {
        let as_wanted = |route: &VirtualRoute| {
            let anywhere = anywhere(route);
            if !wanted.contains(route) && wanted.contains(&anywhere) { anywhere } else { route.clone() }
        };
        self.routes.iter().map(as_wanted).collect()
    }

    /// Forgets a route that is not there any more.
    pub(crate) fn forget_route(&mut self, gone: &VirtualRoute) {
        self.routes.retain(|route| route != gone && anywhere(route) != *gone);
    }
}

/// Returns a route without the interface that its gateway is on.
fn anywhere(route: &VirtualRoute) -> VirtualRoute {
    let target = match &route.target {
        RouteTarget::Gateway { via, .. } => RouteTarget::Gateway { via: *via, interface: None },
        other @ (RouteTarget::Link(_)
        | RouteTarget::Blackhole
        | RouteTarget::Unreachable
        | RouteTarget::Prohibit) => other.clone(),
    };
    VirtualRoute { target, ..route.clone() }
}
