//! The only crate that speaks to real servers, one file per kind of check, and that runs scripts, looks at what else
//! tracks look at, and tells web services.
//!
//! Whatever a real server answers, the worst it can bring about is a [`Bad`](node::pools::Outcome::Bad) outcome of its
//! own probes: each probe has its time-out, a limit on what is read and a constant amount of memory, and shares nothing
//! with the others but the turn in the queue.
//!
//! 1. Make a [`Prober`] on a thread with a tokio runtime of the `current_thread` flavour, I/O and time enabled. The
//!    thread that owns [`Pools`](node::pools::Pools) is the right one; nothing that must be on time belongs there too.
//! 2. Hand each [`ProbeRequest`](node::pools::ProbeRequest) to [`Prober::start`], which never waits.
//! 3. Await [`Prober::next`] beside the other events (it is cancel safe) and hand what it returns to the pools as
//!    [`PoolsInput::Probed`](node::pools::PoolsInput::Probed), and what [`Prober::try_next`] has besides.
//! 4. Only then fetch the tables, if they changed: they are put together once for all that ended together.
//!
//! ```
//! # use node::pools::{PoolsInput, PoolsOutput, Pools};
//! # use probe::Prober;
//! # async fn turn(pools: &mut Pools, prober: &mut Prober, now: impl Fn() -> monotonic::Instant) {
//! let mut finished = Some(prober.next().await);
//! while let Some((probe, outcome)) = finished {
//!     for output in pools.handle(PoolsInput::Probed { probe, outcome }, now()) {
//!         match output {
//!             PoolsOutput::Probe(request) => prober.start(request),
//!             PoolsOutput::TablesChanged => { /* note it */ }
//!             PoolsOutput::Report(report) => { /* tell the operator */ }
//!         }
//!     }
//!     finished = prober.try_next();
//! }
//! # }
//! ```

#![forbid(unsafe_code)]

mod failure;
mod http;
pub mod number_file;
mod prober;
pub mod processes;
pub mod script;
mod tcp;
pub mod tls;
pub mod webhook;

pub use http::{BODY_LIMIT, HEAD_LIMIT};
pub use prober::{CONCURRENT_PROBES, Prober, STALL};
