//! The only crate that touches the kernel: raw sockets, rtnetlink, IPVS, nftables.
//!
//! Each module is one thing the kernel offers. The engine's thread uses [`clock`], [`vrrp_socket`],
//! [`packet_socket`], [`neighbour_socket`], [`gateway`] and [`scheduling`]; the [`reconciler`] has a thread of its own, where
//! rtnetlink, IPVS and nftables may take their time.
//!
//! This is the only crate with `unsafe` in it: for many messages in one system call, and where the standard interfaces
//! lack a safe way. Each block says why it is sound.

#![deny(unsafe_code)]

mod address;
pub mod clock;
mod descriptor;
mod device;
pub mod gateway;
mod ipvs;
mod link;
mod messages;
pub mod neighbour_socket;
mod netlink;
mod nftables;
pub mod packet_socket;
pub mod reconciler;
mod record;
mod route;
mod route_netlink;
mod routing;
mod rule;
pub mod scheduling;
pub mod vrrp_socket;
