//! The only crate that touches the kernel: raw sockets, rtnetlink, IPVS.
//!
//! Each module is one thing the kernel offers. The engine's thread uses [`clock`], [`vrrp_socket`] and
//! [`packet_socket`].
//!
//! This is the only crate with `unsafe` in it: for many messages in one system call, and where the standard interfaces
//! lack a safe way. Each block says why it is sound.

#![deny(unsafe_code)]

pub mod clock;
mod descriptor;
mod messages;
pub mod packet_socket;
pub mod vrrp_socket;
