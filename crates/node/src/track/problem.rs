//! What is wrong with a track's thing, or with looking at it.

/// What is wrong with a track's thing, or with looking at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it is.
    pub cause: ProblemCause,
    /// What was seen of it, in words.
    pub reason: String,
}

/// What can be wrong with a track's thing, or with looking at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemCause {
    /// The script could not be started.
    NotStarted,
    /// The script ended with this code.
    ExitCode(i32),
    /// This signal ended the script.
    Signal(i32),
    /// The script did not end in its time.
    TimedOut,
    /// The script did not end in its time, and is not to be ended by force either.
    Stuck,
    /// The file, or the list of processes, cannot be read.
    Unreadable,
    /// The file holds something else than a number.
    NoNumber,
}

impl ProblemCause {
    /// Returns the stable word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::ExitCode(_) => "exit_code",
            Self::Signal(_) => "signal",
            Self::TimedOut => "timed_out",
            Self::Stuck => "stuck",
            Self::Unreadable => "unreadable",
            Self::NoNumber => "no_number",
        }
    }

    /// Returns the exit code, or the signal's number.
    pub const fn code(self) -> Option<i32> {
        match self {
            Self::ExitCode(code) | Self::Signal(code) => Some(code),
            Self::NotStarted | Self::TimedOut | Self::Stuck | Self::Unreadable | Self::NoNumber => None,
        }
    }
}
