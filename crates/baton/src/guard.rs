//! The guard: a small parent that starts the daemon, restarts what dies, and acts in its place where nobody else can.
//!
//! ```text
//!   guard ── what the one before left, signals ──▶ daemon
//!     ◀──────── signs of life, what it leaves ──────┘
//!     │
//!     ├─ it died: the next daemon goes on with what it left, and nobody notices
//!     ├─ it is not back in time, or dies again within a minute: its last will is sent, its addresses are removed
//!     └─ it lives and says nothing: the same, the addresses first, just before others may claim them
//! ```
//!
//! It holds nothing but what the daemon told it, and works on the network only when it has to, so that little can go
//! wrong with it.

mod daemon;
mod fencing;

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use host::clock::{Alarm, now};
use host::reconciler;
use node::guard::{Lives, Next, Vigil};
use node::report::{FenceReason, Report};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::bond::{Estate, Order, Word};
use crate::cli::{LogFormat, Place};
use crate::run::{RunError, record_path, runtime, system};
use crate::{log, systemd};
use daemon::{Daemon, News};

/// How often systemd hears of a guard that waits before it starts a daemon again.
const PATIENCE_STEP: Duration = Duration::from_secs(1);

struct Guard {
    place: Place,
    format: LogFormat,
    record: PathBuf,
    estate: Estate,
    signals: Signals,
    alarm: Alarm,
    lives: Lives,
    course: Course,
    progress: Progress,
}

/// Whether the daemon was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Running,
    Stopping,
}

/// Whether any daemon has come so far as to take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    NeverBegun,
    Begun,
}

/// How a daemon's time ended.
enum End {
    Exited(ExitStatus),
    /// It was fenced.
    Fenced,
}

/// What an operator asks for by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Stop,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// Starts the daemon and guards it until it ends as it was asked to, or cannot begin; returns its exit code.
///
/// # Errors
/// [`RunError`] when the system does not let the guard do its work; the daemon tells its own errors itself.
pub fn run(place: &Place, format: LogFormat) -> Result<ExitCode, RunError> {
    log::start(format);
    runtime()?.block_on(async {
        let guard = Guard {
            place: place.clone(),
            format,
            record: record_path(&place.socket),
            estate: Estate::default(),
            signals: Signals::listen().map_err(system("listen for signals"))?,
            alarm: Alarm::new().map_err(system("set a timer"))?,
            lives: Lives::default(),
            course: Course::Running,
            progress: Progress::NeverBegun,
        };
        guard.watch().await.map_err(system("run"))
    })
}

impl Guard {
    async fn watch(mut self) -> io::Result<ExitCode> {
        loop {
            let pause = match self.one_life().await {
                Ok(End::Exited(status)) => {
                    if self.course == Course::Stopping || self.progress == Progress::NeverBegun {
                        return Ok(self.finish(status).await);
                    }
                    self.mourn(how(status)).await
                }
                Ok(End::Fenced) => self.next_pause(),
                Err(error) if self.progress == Progress::NeverBegun => return Err(error),
                Err(error) => self.mourn(error.to_string()).await,
            };
            self.wait(pause).await;
            if self.course == Course::Stopping {
                self.clean();
                return Ok(ExitCode::SUCCESS);
            }
        }
    }

    /// Starts a daemon and sees it through to its end, which is ours to bring about where it says nothing.
    async fn one_life(&mut self) -> io::Result<End> {
        let mut daemon = Daemon::start(&self.place, self.format, &self.estate)?;
        let mut vigil = Vigil::new(&self.estate.legacy, now());
        loop {
            self.alarm.set(Some(vigil.deadline()))?;
            tokio::select! {
                biased;
                news = daemon.next() => match news? {
                    News::Word(word) => {
                        if self.hear(word) == Sign::OfLife {
                            vigil.hear(&self.estate.legacy, now());
                        }
                    }
                    News::Ended(status) => return Ok(End::Exited(status)),
                },
                request = self.signals.next() => self.pass_on(request, &mut daemon),
                rung = self.alarm.expired() => {
                    rung?;
                    if let Some(reason) = vigil.fire(&self.estate.legacy, now()) {
                        self.fence(reason, Some(&mut daemon)).await;
                        return Ok(End::Fenced);
                    }
                }
            }
        }
    }

    fn hear(&mut self, word: Word) -> Sign {
        let sign = match &word {
            Word::Beat(_) => Sign::OfLife,
            Word::Began { .. }
            | Word::Configuration { .. }
            | Word::Router { .. }
            | Word::RealServer { .. } => Sign::OfWork,
        };
        self.estate.take(word);
        if sign == Sign::OfLife {
            self.progress = Progress::Begun;
            systemd::alive();
        }
        sign
    }

    fn pass_on(&mut self, request: Request, daemon: &mut Daemon) {
        match request {
            Request::Stop => {
                self.course = Course::Stopping;
                daemon.order(&Order::Stop);
            }
            Request::Reload => daemon.order(&Order::Reload),
        }
    }

    /// Takes note of a death; one that does not come alone costs the roles. Returns how long to wait for the next daemon.
    async fn mourn(&mut self, how: String) -> Duration {
        log::write(&Report::DaemonDied { how });
        let pause = self.next_pause();
        if !pause.is_zero() {
            self.fence(FenceReason::DiedAgain, None).await;
        }
        pause
    }

    fn next_pause(&mut self) -> Duration {
        match self.lives.end(now()) {
            Next::AtOnce => Duration::ZERO,
            Next::After(pause) => pause,
        }
    }

    /// Waits before a daemon is started again, unless none is wanted any more.
    async fn wait(&mut self, pause: Duration) {
        let end = now() + pause;
        while now() < end && self.course == Course::Running {
            systemd::alive();
            tokio::select! {
                request = self.signals.next() => match request {
                    Request::Stop => self.course = Course::Stopping,
                    // Else the next daemon goes on with the configuration that ran.
                    Request::Reload => self.estate.configuration = None,
                },
                () = tokio::time::sleep((end - now()).min(PATIENCE_STEP)) => {}
            }
        }
    }

    /// Ends as the daemon has ended, and leaves nothing behind where it could not see to that itself.
    async fn finish(&mut self, status: ExitStatus) -> ExitCode {
        if self.progress == Progress::Begun && !status.success() {
            log::write(&Report::DaemonDied { how: how(status) });
            self.fence(FenceReason::DiedAgain, None).await;
            self.clean();
        }
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
    }

    fn clean(&self) {
        if let Err(error) = reconciler::clean(&self.record) {
            tracing::warn!(event = "cleaning_failed", "{error}");
        }
    }
}

/// What a word of the daemon proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    OfLife,
    OfWork,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.terminate.recv() => Request::Stop,
            _ = self.interrupt.recv() => Request::Stop,
            _ = self.hang_up.recv() => Request::Reload,
        }
    }
}

/// Says how a process ended.
fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with code {code}"),
        (None, Some(signal)) => format!("it was killed by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}
