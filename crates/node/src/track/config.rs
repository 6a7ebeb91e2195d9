//! What a track looks at and what follows from it, in types that cannot be wrong.

use std::fmt;
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::name::InterfaceName;
use crate::script::Script;

/// The most that a track adds to a priority or takes from it: more would be every priority that there is.
pub const WEIGHT_LIMIT: i32 = 253;

/// One track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackConfig {
    /// What it looks at.
    pub kind: TrackKind,
    /// Whether it is up or down while the thing is well.
    pub sense: Sense,
    /// What follows while it is down.
    pub effect: Effect,
}

/// What a track looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackKind {
    /// A network interface.
    Interface {
        /// Its name.
        interface: InterfaceName,
        /// What it needs to be well.
        requirement: Requirement,
        /// How long a change has to last before it counts.
        delays: Delays,
    },
    /// What a script says.
    Script {
        /// What is run.
        script: Script,
        /// How often.
        interval: Duration,
        /// How long it may take.
        timeout: Duration,
        /// How often in a row it has to end well to be well again.
        rise: NonZeroU8,
        /// How often in a row it has to fail to be well no more.
        fall: NonZeroU8,
    },
    /// Processes of one name.
    Process {
        /// The program's name, without its path.
        name: String,
        /// How many have to run.
        minimum: u32,
        /// How often they are looked for; that one ends is seen at once.
        interval: Duration,
        /// How long a change has to last before it counts.
        delays: Delays,
    },
    /// A number in a file.
    File {
        /// The file.
        path: PathBuf,
        /// How often it is looked at.
        interval: Duration,
    },
}

/// What a tracked interface needs to be well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// That packets can pass.
    Carrier,
    /// An address besides, which is not Baton's and reaches further than the link.
    Address,
}

/// How long a change has to last before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays {
    /// That it became well.
    pub up: Duration,
    /// That it is well no more.
    pub down: Duration,
}

/// Whether a track is up while the thing is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sense {
    /// It is.
    Straight,
    /// It is down then, and up while the thing is not well.
    Reversed,
}

/// What follows from a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// While it is down the virtual router cannot take part.
    Fault,
    /// The priority changes.
    Weight(TrackWeight),
}

/// What a track adds to a priority: while it is up if positive, while it is down if negative; a file's number is
/// multiplied by it. Between -253 and 253, and never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackWeight(i32);

/// A number that is no weight of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a track's weight is between -{WEIGHT_LIMIT} and {WEIGHT_LIMIT} and not 0")]
pub struct WeightError;

impl TrackWeight {
    /// Returns the weight of this number.
    ///
    /// # Errors
    /// [`WeightError`] for 0 and beyond [`WEIGHT_LIMIT`].
    pub fn new(number: i64) -> Result<Self, WeightError> {
        match i32::try_from(number) {
            Ok(number) if number != 0 && number.abs() <= WEIGHT_LIMIT => Ok(Self(number)),
            Ok(_) | Err(_) => Err(WeightError),
        }
    }

    /// Returns the number.
    pub const fn get(self) -> i32 {
        self.0
    }
}

impl TrackKind {
    /// Returns the script that it runs.
    pub fn script(&self) -> Option<&Script> {
        match self {
            Self::Script { script, .. } => Some(script),
            Self::Interface { .. } | Self::Process { .. } | Self::File { .. } => None,
        }
    }
}

impl fmt::Display for TrackKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface { interface, .. } => write!(formatter, "interface {interface}"),
            Self::Script { script, .. } => write!(formatter, "script {}", script.program().display()),
            Self::Process { name, .. } => write!(formatter, "process {name}"),
            Self::File { path, .. } => write!(formatter, "file {}", path.display()),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault => formatter.write_str("fault"),
            Self::Weight(weight) => write!(formatter, "weight {}", weight.get()),
        }
    }
}
