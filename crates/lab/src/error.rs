//! What can go wrong while a lab is built, used or taken down.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::kernel::TestKernel;

/// The result of everything the lab does.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the lab could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program could not be started at all.
    #[error("Cannot start `{command}`: {source}; is it installed, and are you root?")]
    Start {
        /// The command line.
        command: String,
        /// What the operating system answered.
        source: io::Error,
    },
    /// A program ran and reported failure.
    #[error("`{command}` ended with {status}: {complaint}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to its standard error.
        complaint: String,
    },
    /// The operating system refused something.
    #[error("Cannot {action}: {source}")]
    System {
        /// What was tried, as the rest of the sentence "Cannot ...".
        action: String,
        /// What the operating system answered.
        source: io::Error,
    },
    /// Something that had to happen did not happen in time.
    #[error("{what} did not happen within {limit:?}")]
    TimedOut {
        /// What was waited for, as the start of the sentence.
        what: String,
        /// How long.
        limit: Duration,
    },
    /// An address is not of the form `10.77.0.11/24`.
    #[error("`{text}` is no address with a prefix length, such as 10.77.0.11/24 or fd77::11/64")]
    Cidr {
        /// The text that was given.
        text: String,
    },
    /// A route leads through a gateway that is on none of the machine's networks.
    #[error("The gateway {gateway} of {machine} is on none of its networks; give it an interface there")]
    Gateway {
        /// The machine with the route.
        machine: String,
        /// The gateway.
        gateway: IpAddr,
    },
    /// A program answered with something that cannot be read.
    #[error("The answer of `{command}` cannot be read: {reason}")]
    Answer {
        /// The command line or the peer asked.
        command: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The running kernel lacks what a fault needs.
    #[error("This kernel has no {what}; run it in a test kernel (lab::kernel), which has")]
    Unsupported {
        /// What is missing.
        what: &'static str,
    },
    /// A test kernel cannot run on this machine's processor.
    #[error("{kernel} cannot run on a processor with {feature}; {} can", TestKernel::Qemu)]
    Processor {
        /// The kernel.
        kernel: TestKernel,
        /// What the processor has and the kernel does not know.
        feature: &'static str,
    },
    /// There is no folder in which a test kernel could be kept.
    #[error("Neither XDG_CACHE_HOME nor HOME names a folder for the test kernel; set HOME")]
    NoCache,
    /// A file or folder that has to be there is not.
    #[error("There is no {}; {advice}", path.display())]
    Missing {
        /// What was looked for.
        path: PathBuf,
        /// What to do about it.
        advice: String,
    },
    /// Debian packages are missing and may not be installed.
    #[error("Missing Debian packages: {}; become root, or run `apt-get install {}`", .0.join(", "), .0.join(" "))]
    Packages(Vec<String>),
}

impl Error {
    /// Says what was tried when the operating system refused.
    pub(crate) fn system(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::System { action, source }
    }
}
