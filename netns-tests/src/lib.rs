//! The built binary in network namespaces, as an operator, a client and a peer see it.
//!
//! Nothing of Baton is linked in here: the tests start the program, read its status and its events, and look at the
//! kernel and at the wire beside it. A fixture that cannot do its part panics, saying why, at the line of the test that
//! asked.

#![forbid(unsafe_code)]

mod binary;
mod daemon;
pub mod dialect;
mod event;
mod folder;
pub mod frames;
pub mod frr;
pub mod keepalived;
mod pair;
pub mod peer;
mod status;
mod stopped_tracer;

pub use binary::{baton, copy_of_baton};
pub use daemon::{Answer, Daemon, Place};
pub use event::Event;
pub use folder::Folder;
pub use pair::{INSIDE, LIMIT, NODES, Pair, VIRTUAL, VIRTUAL_V6, WEB, WEB_V6, at, pair};
pub use status::{ActiveStatus, EngineStatus, NodeStatus, RealServerStatus, RouterStatus, ServerStatus};
pub use stopped_tracer::StoppedTracer;
