//! The difference between what the kernel should hold and what it holds, in the order in which it is safe to apply.

use std::net::SocketAddr;
use std::sync::Arc;

use virtual_server::service::{Destination, Service, ServiceKey};

use crate::config::InterfaceAddress;

/// One change to the kernel; within one holding the order of the variants is the order of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Remove a virtual address.
    LeaveAddress(InterfaceAddress),
    /// Add a service without destinations.
    AddService(Arc<Service>),
    /// Change a service's scheduler, flags or persistence.
    EditService(Arc<Service>),
    /// Add a real server to a service.
    AddDestination(ServiceKey, SocketAddr, Destination),
    /// Change a real server's weight or forwarding.
    EditDestination(ServiceKey, SocketAddr, Destination),
    /// Take a real server out of a service.
    RemoveDestination(ServiceKey, SocketAddr),
    /// Add a virtual address.
    TakeAddress(InterfaceAddress),
    /// Remove a service and its destinations.
    RemoveService(ServiceKey),
}
