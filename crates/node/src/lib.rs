//! One machine's brain: virtual routers and virtual servers, pure.
//!
//! Nothing here opens a socket, asks the kernel or reads a clock. The caller
//! 1. makes a [`Node`] from a [`Config`](config::Config),
//! 2. hands it each [`Input`] with the current [`Instant`](monotonic::Instant), the interfaces before
//!    [`Input::Start`],
//! 3. carries out the [`Output`]s in their order; after [`Output::Reconcile`] it makes the kernel hold
//!    [`Node::wanted`] by [`plan::plan`] and answers with [`Input::Reconciled`],
//! 4. comes back with [`Input::Deadline`] when [`Node::next_deadline`] has come, after it has handed over every packet
//!    that waits in its sockets: a node that slept hears its successor before it says a word.

#![forbid(unsafe_code)]

mod address;
pub mod config;
pub mod device;
pub mod difference;
pub mod fault;
pub mod fight;
pub mod guard;
pub mod hooks;
pub mod host_state;
pub mod input_drop;
pub mod legacy;
pub mod link;
pub mod name;
mod node;
pub mod plan;
pub mod pools;
pub mod punctuality;
mod reception;
pub mod reconciliation;
pub mod report;
pub mod routers;
pub mod routing;
pub mod script;
pub mod status;
mod timers;
pub mod track;
pub mod wall_clock;

pub use self::node::{Input, Node, Output};
pub use self::reception::{Datagram, Rejection, Segment};
