//! The only crate that speaks to real servers.
