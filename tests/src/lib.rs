//! Many nodes in one process, in virtual time.
//!
//! A [`World`](world::World) holds the nodes of a [`Site`](site::Site) with their kernels, the segments between them and
//! the real servers behind them. Faults are scheduled, time passes from event to event, and after each one the
//! [`invariants`] must hold. Everything that looks like chance comes out of a seed, so that what was found once is found
//! again.

#![forbid(unsafe_code)]

pub mod dice;
mod event_queue;
pub mod fault;
pub mod health_book;
pub mod invariants;
pub mod kernel;
mod machine;
pub mod network;
pub mod preparations;
pub mod referee;
pub mod scenario;
pub mod scene;
pub mod site;
pub mod trace;
pub mod track_book;
pub mod world;
