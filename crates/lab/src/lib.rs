//! Network namespaces, bridges, faults, clients and test kernels.
//!
//! A [`Topology`] says which machines stand on which networks; [`Topology::build`] makes each machine a network
//! namespace and each network a bridge in a namespace of its own, so that nothing touches the host. The [`Lab`]
//! it returns breaks links on purpose through its [`Port`]s. Everything is real: real sockets, real daemons, the
//! real kernel. Everything a value made is gone when the value is dropped.
//!
//! ```no_run
//! # fn main() -> lab::Result<()> {
//! use std::process::Command;
//! use std::time::{Duration, Instant};
//!
//! let lab = lab::Topology::standard(2, 1).build()?;
//! let mut daemons = Vec::new();
//! for node in ["lb1", "lb2"] {
//!     let mut command = Command::new("target/debug/baton");
//!     command.args(["run", "--config", "config/pair.toml", "--node", node]);
//!     daemons.push(lab.namespace(node).spawn("baton", &mut command)?);
//! }
//! let address = "10.77.0.50".parse().expect("an address");
//! let limit = Duration::from_secs(10);
//! lab::wait_until("The first election", limit, || Ok(lab.holders(address)? == ["lb1"]))?;
//!
//! let client = lab::Prober::echo(lab.namespace("client"), address, Duration::from_millis(1))?;
//! client.wait_for_answer(Instant::now(), limit)?;
//! let crash = Instant::now();
//! lab.detach("lb1")?;
//! lab::wait_until("The take-over", limit, || lab.namespace("lb2").holds(address))?;
//! client.wait_for_answer(Instant::now(), limit)?;
//! println!("outage {:?}", client.stop()?.since(crash).longest_gap().duration());
//! # Ok(())
//! # }
//! ```
//!
//! It needs root and `iproute2`; [`packages`] installs what else a task wants, and [`kernel`] boots a kernel
//! with IPVS where the running one has none.

#![forbid(unsafe_code)]

mod capture;
mod child;
mod cidr;
mod command;
mod error;
mod family;
mod fault;
pub mod kernel;

mod namespace;
mod observe;
pub mod packages;
mod packet;
mod prober;
mod process;
mod timeline;
mod topology;
mod web_client;
mod web_server;

pub use capture::Capture;
pub use cidr::Cidr;
pub use error::{Error, Result};
pub use fault::{Direction, Loss, Port};
pub use namespace::Namespace;
pub use observe::{Neighbour, wait_until};
pub use packet::{Eavesdropper, Packet, Stranger};
pub use prober::Prober;
pub use process::Process;
pub use rustix::process::{Pid, Signal};
pub use timeline::{Failure, Fate, Gap, PATIENCE, Probe, Timeline};
pub use topology::{Lab, Machine, Role, Topology};
pub use web_client::{Answer, WebClient};
pub use web_server::{Behaviour, WebServer};
