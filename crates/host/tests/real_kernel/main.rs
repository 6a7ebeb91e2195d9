//! What this crate does, done on the real kernel, in namespaces of each test's own. Needs root and `iproute2`.

// Clippy allows it in functions that are tests; the ones that they share are tests' too.
#![allow(clippy::unwrap_used)]

mod addresses;
mod ipvs;
mod kernel;
mod pair;
mod routing;
mod vrrp_socket;
