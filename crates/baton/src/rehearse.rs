//! `baton rehearse`: boots the nodes of a configuration in network namespaces, breaks things on purpose and reports what
//! a client noticed.
//!
//! Everything is real: this same program as the daemons, the kernel's namespaces and bridges, HTTP servers, a client. What
//! stands where is derived from the file alone ([`layout`]). Where the running kernel has no IPVS and the file needs it,
//! the whole rehearsal runs again inside a test kernel.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use lab::kernel::{Guest, Needs, TestKernel, has_ipvs};
use lab::packages;
use node::config::AcceptMode;
use node::name::NodeName;
use vrrp::Vrid;

use crate::config_file::{ConfigErrors, ConfigFile};
use cast::Cast;
use drill::Drill;
use layout::{Layout, LayoutError};
use nodes::Nodes;
use report::{Columns, Playbill};
use target::{Question, Target};

mod cast;
mod drill;
mod layout;
mod networks;
mod nodes;
mod report;
mod subnet;
mod target;
mod watch;
mod witness;

/// What a rehearsal needs beyond a Debian installation's minimum.
const PACKAGES: &[&str] = &["iproute2"];

/// How long a rehearsal may take inside a test kernel: five drills with the longest intervals that are usual.
const GUEST_LIMIT: Duration = Duration::from_mins(20);

/// Why a rehearsal did not take place, or what it found broken.
#[derive(Debug, thiserror::Error)]
pub enum RehearseError {
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The nodes cannot be laid out.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The lab did not work, or what had to happen did not happen in time.
    #[error(transparent)]
    Lab(#[from] lab::Error),
    /// The user may not make namespaces.
    #[error("A rehearsal makes network namespaces, which only root may: run it with sudo")]
    NotRoot,
    /// The test kernel is no help.
    #[error("This is {0} already, and it has no IPVS: its package lacks the module ip_vs")]
    NoIpvs(TestKernel),
    /// The rehearsal failed in the test kernel, and said why there.
    #[error("The rehearsal inside {kernel} ended with status {status}, as it says above")]
    Guest {
        /// The test kernel.
        kernel: TestKernel,
        /// The exit status there.
        status: i32,
    },
    /// The system refused something.
    #[error("The system does not let the rehearsal {what}: {error}")]
    System {
        /// What it wanted.
        what: &'static str,
        /// The system's reason.
        error: io::Error,
    },
    /// A daemon or command did not end well.
    #[error("Baton on {node} ended with {status}:\n{log}")]
    Ended {
        /// Where.
        node: NodeName,
        /// How.
        status: ExitStatus,
        /// What it wrote.
        log: String,
    },
    /// Nobody is Active.
    #[error("No advertisement with the identifier {vrid} was heard within {limit:?}")]
    NoAdvertisement {
        /// Of which virtual router.
        vrid: Vrid,
        /// How long was listened.
        limit: Duration,
    },
    /// A virtual address is held by nobody, or by several.
    #[error("{address} has to be held by exactly one node, and is held by {}", names(holders))]
    Holders {
        /// The address.
        address: IpAddr,
        /// Who holds it.
        holders: Vec<String>,
    },
    /// Something is not as it was.
    #[error("Everything has to be well again within {limit:?}, but {obstacle}")]
    Unsettled {
        /// What is amiss.
        obstacle: String,
        /// How long was waited.
        limit: Duration,
    },
    /// A real server's answer does not tell whose it is.
    #[error("The answers to the client do not tell which real server gives them")]
    Nameless,
    /// Somebody wants it to end.
    #[error("The rehearsal was interrupted")]
    Interrupted,
    /// Something broke.
    #[error("In the {scene}: {reason}\n{logs}")]
    Broken {
        /// The drill, or what came before.
        scene: String,
        /// What broke.
        reason: Box<RehearseError>,
        /// The end of the daemons' logs.
        logs: String,
    },
}

fn names(holders: &[String]) -> String {
    if holders.is_empty() { "nobody".to_owned() } else { holders.join(" and ") }
}

/// Rehearses a configuration and writes what came of it to standard output.
///
/// # Errors
/// [`RehearseError`]: what is in the way of a rehearsal, or the first thing that broke in it.
pub fn rehearse(path: &Path) -> Result<(), RehearseError> {
    let file = ConfigFile::read(path)?;
    let configs: Result<Vec<_>, _> = file.nodes().map(|node| file.resolve(node)).collect();
    let nodes = Nodes::new(configs?);
    let target = Target::choose(nodes.any()).map_err(LayoutError::from)?;
    let layout = Layout::derive(&nodes, &target)?;
    if !rustix::process::geteuid().is_root() {
        return Err(RehearseError::NotRoot);
    }
    packages::require(PACKAGES)?;
    match (nodes.any().virtual_servers.is_empty() || has_ipvs(), TestKernel::running()) {
        (true, _) => perform(path, &nodes, &target, &layout),
        (false, None) => rehearse_in(TestKernel::quickest(needs(&nodes))?, path),
        (false, Some(kernel)) => Err(RehearseError::NoIpvs(kernel)),
    }
}

fn needs(nodes: &Nodes) -> Needs {
    let mut routers = nodes.configs().flat_map(|config| config.virtual_routers.values());
    if routers.any(|router| router.accept == AcceptMode::Off) { Needs::IpvsAndFilters } else { Needs::Ipvs }
}

/// The kernel that everything runs on, for the reader.
fn kernel_name() -> String {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let Some(kernel) = TestKernel::running() else { return release };
    let peculiarity = match kernel {
        TestKernel::UserModeLinux => "one processor, slow system calls",
        TestKernel::Qemu => "every instruction translated",
    };
    format!("{release}, {kernel} because the running kernel has no IPVS: {peculiarity}")
}

/// From one probe of the client to the next: what leaves the processor to the daemons.
fn pace(question: &Question) -> Duration {
    Duration::from_millis(match (TestKernel::running(), question) {
        (None, Question::Echo { .. }) => 2,
        (None, Question::Web { .. }) => 5,
        (Some(TestKernel::UserModeLinux | TestKernel::Qemu), Question::Echo { .. }) => 5,
        (Some(TestKernel::UserModeLinux | TestKernel::Qemu), Question::Web { .. }) => 10,
    })
}

fn perform(path: &Path, nodes: &Nodes, target: &Target, layout: &Layout) -> Result<(), RehearseError> {
    let pace = pace(&target.question);
    println!("{}", Playbill { kernel: &kernel_name(), nodes, layout, target, pace });
    let mut cast = Cast::start(nodes, target, layout, path, pace)?;
    cast.settle().map_err(|reason| broken("first election", reason, &cast))?;
    let columns = Columns::new(nodes, target);
    println!("{}", columns.head());
    let mut outcomes = Vec::new();
    for drill in Drill::for_question(&target.question) {
        let outcome = drill.carry_out(&mut cast);
        let outcome = outcome.map_err(|reason| broken(&format!("drill {drill}"), reason, &cast))?;
        println!("{}", columns.row(&outcome));
        outcomes.push(outcome);
    }
    println!("\n{}", report::legend(&outcomes, &target.question, pace));
    Ok(())
}

/// Says where something broke and what the daemons wrote; an interruption broke nothing.
fn broken(scene: &str, reason: RehearseError, cast: &Cast<'_>) -> RehearseError {
    if matches!(reason, RehearseError::Interrupted) {
        return reason;
    }
    RehearseError::Broken { scene: scene.to_owned(), reason: Box::new(reason), logs: cast.logs() }
}

fn rehearse_in(kernel: TestKernel, path: &Path) -> Result<(), RehearseError> {
    packages::require(kernel.packages())?;
    let system = |what: &'static str| move |error| RehearseError::System { what, error };
    let program = std::env::current_exe().map_err(system("find its own program"))?;
    let path = std::path::absolute(path).map_err(system("find the configuration file"))?;
    let results = std::env::temp_dir().join(format!("baton-rehearsal-guest-{}", std::process::id()));
    let guest = Guest::new(kernel, &results).limit(GUEST_LIMIT);
    let ended = guest.run(&program, &["rehearse", &path.to_string_lossy()]);
    // Boot files that stay in the temporary folder harm nobody.
    let _ = fs::remove_dir_all(&results);
    match ended? {
        0 => Ok(()),
        status => Err(RehearseError::Guest { kernel, status }),
    }
}
