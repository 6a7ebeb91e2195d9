//! Runs a program of the operator's: without a shell, as a user with few rights, within a limit of time, and with all
//! that it started when the time is up.
//!
//! 1. [`run`] starts it and returns at the latest when its time is up, whatever the program and its files do.
//! 2. [`Run::verdict`] says what came of it.
//! 3. [`Run::end`] then waits until nothing of it is left, so that two runs of one script never overlap;
//!    [`Run::stuck`] tells whether that may last.
//!
//! A script has a process group of its own. What it starts in the background goes on when it ends by itself, and ends
//! with it when its time is up; only what makes itself a session of its own escapes that.

mod last_words;
mod program;
mod running;
mod user;

use std::fmt;
use std::io;
use std::time::Duration;

use node::script::Script;
use thiserror::Error;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};

pub use last_words::LAST_WORDS_LIMIT;
pub use program::ProgramError;
pub use running::{OUTPUT_LIMIT, TERMINATION_TIME};
pub use user::UserError;

use running::{Running, Waited};
use user::User;

/// Why a script has to be left alone: it would not start, or would be run by the wrong people.
#[derive(Debug, Error)]
pub enum Unfit {
    /// There is no such user, or the daemon cannot run as another one.
    #[error(transparent)]
    User(#[from] UserError),
    /// The program cannot or must not be started.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

/// Why a script's verdict is not good.
#[derive(Debug, Error)]
pub enum Failure {
    /// It was not started.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The system did not start it.
    #[error("cannot be started: {0}")]
    Start(io::Error),
    /// It did not even start in its time: its file system does not answer.
    #[error("did not start within {0:?}: does its file system answer?")]
    StuckBeforeStart(Duration),
    /// It ended with another exit code than 0.
    #[error("exit code {code}{}", Said(.said))]
    ExitCode {
        /// The code.
        code: i32,
        /// The last that it wrote.
        said: String,
    },
    /// A signal ended it.
    #[error("ended by signal {signal}{}", Said(.said))]
    Signal {
        /// The signal's number.
        signal: i32,
        /// The last that it wrote.
        said: String,
    },
    /// It did not end in its time.
    #[error("did not end within {limit:?}{}", Said(.said))]
    TimedOut {
        /// How long it was given.
        limit: Duration,
        /// The last that it wrote.
        said: String,
    },
}

/// What a script wrote, after what is said about it.
struct Said<'a>(&'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.0.lines().rev().find(|line| !line.trim().is_empty());
        line.map_or(Ok(()), |line| write!(formatter, ": {}", line.trim()))
    }
}

/// Why nothing ends what is left of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Stuck {
    /// The system has not even started it.
    #[error("it is still about to start")]
    BeforeStart,
    /// It was killed, and the kernel does not let it go.
    #[error("it was killed and is still not gone")]
    Killed,
}

/// A run whose verdict is known; something of it may be left.
///
/// Dropping it kills what is left without waiting for it.
#[derive(Debug)]
pub struct Run {
    /// The last that it wrote, when its verdict is good.
    pub verdict: Result<String, Failure>,
    remains: Remains,
}

#[derive(Debug)]
enum Remains {
    Nothing,
    Starting(JoinHandle<Result<Running, Failure>>),
    Running(Box<Running>),
}

/// Looks whether a script could and should be run by a daemon that is root, without running it and whoever asks.
///
/// # Errors
/// [`Unfit`] says what is wrong and what to do.
pub fn examine(script: &Script) -> Result<(), Unfit> {
    let user = User::wanted(script)?;
    Ok(program::examine(script.program(), &user)?)
}

/// Runs a script with these variables beside the usual few, and returns when it ends or its time is up.
///
/// Cancel safe: dropping the future kills what was started.
///
/// # Panics
/// Outside of a tokio runtime with time and I/O.
pub async fn run(script: &Script, variables: &[(String, String)], limit: Duration) -> Run {
    let deadline = Instant::now() + limit;
    let (owned, variables) = (script.clone(), variables.to_vec());
    // Looking at files and starting a program wait for its file system, which may be at the other end of a dead cable.
    let mut starting = spawn_blocking(move || start(&owned, &variables));
    let Ok(started) = timeout_at(deadline, &mut starting).await else {
        let verdict = Err(Failure::StuckBeforeStart(limit));
        return Run { verdict, remains: Remains::Starting(starting) };
    };
    let mut running = match started.expect("starting a program does not panic") {
        Ok(running) => running,
        Err(failure) => return Run { verdict: Err(failure), remains: Remains::Nothing },
    };
    match running.wait_until(deadline).await {
        Ok(Waited::Exited { code: 0, said }) => Run { verdict: Ok(said), remains: Remains::Nothing },
        Ok(Waited::Exited { code, said }) => {
            Run { verdict: Err(Failure::ExitCode { code, said }), remains: Remains::Nothing }
        }
        Ok(Waited::Killed { signal, said }) => {
            Run { verdict: Err(Failure::Signal { signal, said }), remains: Remains::Nothing }
        }
        Ok(Waited::StillRuns { said }) => Run {
            verdict: Err(Failure::TimedOut { limit, said }),
            remains: Remains::Running(Box::new(running)),
        },
        Err(error) => {
            Run { verdict: Err(Failure::Start(error)), remains: Remains::Running(Box::new(running)) }
        }
    }
}

impl Run {
    /// Ends what is left of the run: a signal to end (SIGTERM), and after [`TERMINATION_TIME`] one that cannot be
    /// refused (SIGKILL), each to the whole process group.
    ///
    /// It returns when the script is gone; for one that the kernel does not let go, never. Cancel safe: the next call goes
    /// on where this one was.
    pub async fn end(&mut self) {
        if let Remains::Starting(starting) = &mut self.remains {
            self.remains = match starting.await {
                Ok(Ok(running)) => Remains::Running(Box::new(running)),
                Ok(Err(_)) | Err(_) => Remains::Nothing,
            };
        }
        if let Remains::Running(running) = &mut self.remains {
            running.end().await;
            self.remains = Remains::Nothing;
        }
    }

    /// Tells what keeps it from ending; nothing where it is gone, or [`Self::end`] may still be of use.
    pub fn stuck(&self) -> Option<Stuck> {
        match &self.remains {
            Remains::Nothing => None,
            Remains::Starting(_) => Some(Stuck::BeforeStart),
            Remains::Running(running) => running.resists_death().then_some(Stuck::Killed),
        }
    }
}

fn start(script: &Script, variables: &[(String, String)]) -> Result<Running, Failure> {
    let user = fit_user(script)?;
    Running::start(script, &user, variables).map_err(Failure::Start)
}

fn fit_user(script: &Script) -> Result<User, Unfit> {
    let user = User::of(script)?;
    program::examine(script.program(), &user)?;
    Ok(user)
}
