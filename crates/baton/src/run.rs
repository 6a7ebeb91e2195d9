//! The daemon, as its guard starts it: its threads, what connects them, and how it ends.
//!
//! ```text
//! main: signals, API        engine: virtual routers      checker: health checks     reconciler: the kernel
//!   Control ── commands ──────▶ Routers ── roles ─┐         Pools ── tables ─┐
//!      │    ── commands ────────────│─────────────│──────────▶│              │
//!      ◀──── status ────────────────┘             └──▶ Desire ◀──────────────┘
//!                                   ▲                     └───── wanted ──────────────▶ Reconciler
//!                                   └───────────────── kernel events ───────────────────────┘
//!                       every thread ── events ──▶ journal: the log
//! ```

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;

use host::clock::now;
use host::packet_socket::{FrameSocket, PacketSocketError};
use host::reconciler::{self, Reconciler, ReconcilerError, Started};
use jiff::Timestamp;
use node::config::Config;
use node::name::{NAME_LIMIT, NameError, NodeName};
use node::report::Report;
use tokio::net::UnixListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, Notify, mpsc, oneshot, watch};

use crate::api::{self, ListenError};
use crate::bond::{self, Bond, Estate, Order, Orders, Word};
use crate::checker::{self, Checker};
use crate::claim::{Claim, ClaimError};
use crate::cli::{LogFormat, Place};
use crate::config_file::{ConfigErrors, ConfigFile};
use crate::control::Control;
use crate::desire::Desire;
use crate::engine::{Connections, Engine};
use crate::hooks::{self, HookLine, HookRunner};
use crate::journal::Journal;
use crate::tracker::Tracker;
use crate::view::Calendar;
use crate::{log, systemd};

/// How many commands, links or reconciliations may wait; each waits for microseconds.
const WAITING: usize = 256;

/// Why the daemon did not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The node's name cannot be one.
    #[error("{name:?} cannot be the name of a node: {error}; give one of the configuration's with --node")]
    NodeName {
        /// What was given, or the host name.
        name: String,
        /// Why.
        error: NameError,
    },
    /// The API has no place.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Another daemon works on the same kernel.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// Virtual addresses could not be announced.
    #[error(transparent)]
    Announce(#[from] PacketSocketError),
    /// The kernel could not be worked on.
    #[error(transparent)]
    Reconciler(#[from] ReconcilerError),
    /// The system gave no thread, timer or signal.
    #[error("The system does not let the daemon {what}: {error}")]
    System {
        /// What it wanted.
        what: &'static str,
        /// The system's reason.
        error: io::Error,
    },
    /// A thread ended that must not.
    #[error("The {thread} ended: {reason}")]
    Ended {
        /// Which.
        thread: &'static str,
        /// Why.
        reason: String,
    },
}

pub fn system(what: &'static str) -> impl Fn(io::Error) -> RunError {
    move |error| RunError::System { what, error }
}

/// Returns the node that this machine is: the one named, or the one with the host's name.
///
/// # Errors
/// [`RunError::NodeName`] when that cannot be a name.
pub fn node_name(place: &Place) -> Result<NodeName, RunError> {
    let name = place.node.clone().unwrap_or_else(|| {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        // Configurations name hosts as people do, without their domain.
        host.split('.').next().unwrap_or_default().chars().take(NAME_LIMIT).collect()
    });
    NodeName::new(&name).map_err(|error| RunError::NodeName { name, error })
}

/// Returns where the daemon records what it owns in the kernel.
pub fn record_path(socket: &Path) -> PathBuf {
    socket.with_file_name("owned.json")
}

/// Runs until it is told to end, and leaves nothing behind; where it has to end otherwise, it leaves everything as it is.
///
/// # Errors
/// [`RunError`] says what is missing and what to do.
pub fn run(place: &Place, format: LogFormat) -> Result<(), RunError> {
    let runtime = runtime()?;
    let _deaf = {
        let _inside = runtime.enter();
        // First of all: from here on none of them kills the daemon where it stands.
        ignore_signals()?
    };
    let (bond, orders, mut estate) = runtime.block_on(inherit())?;
    let (config, text) = configuration(place, &estate)?;
    let began = *estate.legacy.began.get_or_insert_with(now);
    log::start(format);
    let listener = {
        let _inside = runtime.enter();
        api::listen(&place.socket)?
    };
    let _claim = Claim::new()?;
    let frame_socket = FrameSocket::open()?;
    let (journal, writer) = Journal::start().map_err(system("start a thread"))?;
    let record = record_path(&place.socket);
    let Started { reconciler, links, events } = Reconciler::start(&record)?;
    let desire = Desire::new(Arc::new(reconciler));

    let (status, engine_status) = watch::channel(Arc::default());
    let (engine, engine_commands) = mpsc::channel(WAITING);
    let (checker, checker_commands) = mpsc::channel(WAITING);
    let (hook_line, hook_inputs) = HookLine::new();
    let connections = Connections {
        kernel: events,
        commands: engine_commands,
        desire: desire.clone(),
        journal: journal.clone(),
        status,
        bond: bond.clone(),
        hooks: hook_line.clone(),
    };
    let engine_thread = {
        let (config, legacy) = (Arc::clone(&config), estate.legacy.clone());
        OwnThread::start("engine", async move {
            Engine::new(config, &legacy, frame_socket, connections)?.run(links).await
        })?
    };
    let checker_thread = {
        let (config, legacy) = (Arc::clone(&config), estate.legacy);
        let connections = checker::Connections {
            commands: checker_commands,
            desire,
            journal: journal.clone(),
            bond: bond.clone(),
        };
        OwnThread::start("checker", async move { Checker::new(config, &legacy, connections)?.run().await })?
    };

    let (running, tracked_config) = watch::channel(Arc::clone(&config));
    let tracker_thread = {
        let tracker = Tracker::new(tracked_config, engine.clone());
        OwnThread::start("tracker", tracker.run())?
    };
    let hooks_thread = {
        let connections = hooks::Connections {
            inputs: hook_inputs,
            engine: engine.clone(),
            status: engine_status.clone(),
            journal: journal.clone(),
        };
        OwnThread::start("hooks", async move { HookRunner::new(config, connections)?.run().await })?
    };

    let control = Arc::new(Control {
        config_path: place.config.clone(),
        config: running,
        reloading: Mutex::default(),
        ending: OnceLock::new(),
        engine,
        checker,
        engine_status,
        hooks: hook_line,
        journal: journal.clone(),
        calendar: Mutex::new(Calendar::new(now(), Timestamp::now())),
        bond: bond.clone(),
    });
    bond.tell([Word::began(began), Word::Configuration { text }]);
    let outcome = runtime.block_on(operate(
        listener,
        orders,
        control,
        [engine_thread.ended, checker_thread.ended, tracker_thread.ended, hooks_thread.ended],
    ));
    if let Err(error) = outcome {
        // The next daemon goes on with everything as it is. An engine that lives advertises until this process ends, and
        // would never end by itself.
        runtime.shutdown_background();
        writer.finish(journal);
        return Err(error);
    }
    // With the runtime the last who could want anything are gone, and the threads end with what they own. A reload that
    // still waits for its file is not waited for.
    runtime.shutdown_background();
    for thread in [engine_thread.handle, checker_thread.handle, tracker_thread.handle] {
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
    let cleaned = reconciler::clean(&record);
    // Hooks that tell others of the end have the same rights as any, but not for ever.
    hooks_thread.handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    // That the socket is left behind harms nobody: the next daemon takes its place.
    let _ = std::fs::remove_file(&place.socket);
    writer.finish(journal);
    cleaned?;
    Ok(())
}

/// Takes over from the guard what the daemon before this one left.
async fn inherit() -> Result<(Bond, Orders, Estate), RunError> {
    let (bond, mut orders) = bond::join().map_err(system("speak to its guard, `baton run`"))?;
    let estate = orders.estate().await.map_err(system("hear what is left to it"))?;
    Ok((bond, orders, estate))
}

/// Returns the configuration and its text: that which ran, so that a death applies nothing that was not asked for, or
/// that of the file.
fn configuration(place: &Place, estate: &Estate) -> Result<(Arc<Config>, String), RunError> {
    let (file, text) = match &estate.configuration {
        Some(text) => (ConfigFile::parse(&place.config.display().to_string(), text)?, text.clone()),
        None => ConfigFile::read_with_text(&place.config)?,
    };
    Ok((Arc::new(file.resolve(&node_name(place)?)?), text))
}

/// What a terminal or an operator sends to all processes is the guard's to pass on, once.
fn ignore_signals() -> Result<[Signal; 3], RunError> {
    let ignore = |kind| signal(kind).map_err(system("listen for signals"));
    Ok([ignore(SignalKind::terminate())?, ignore(SignalKind::interrupt())?, ignore(SignalKind::hangup())?])
}

/// Serves the operator until the engine has handed everything over.
async fn operate(
    listener: UnixListener,
    mut orders: Orders,
    control: Arc<Control>,
    [mut engine, mut checker, mut tracker, mut hooks]: [End; 4],
) -> Result<(), RunError> {
    let mut is_guarded = true;
    let mut api = tokio::spawn(api::serve(listener, Arc::clone(&control)));
    let hang_up = Arc::new(Notify::new());
    tokio::spawn(reload_after_each(Arc::clone(&hang_up), Arc::clone(&control)));
    systemd::ready();
    loop {
        tokio::select! {
            order = orders.next(), if is_guarded => match order {
                Ok(Some(Order::Stop)) => stop(&control).await,
                Ok(Some(Order::Reload)) => hang_up.notify_one(),
                Ok(Some(Order::Inherit { .. } | Order::Begin)) => {}
                Ok(None) | Err(_) => {
                    is_guarded = false;
                    control.journal.tell(Report::GuardDied);
                    stop(&control).await;
                }
            },
            ended = &mut engine => {
                return match ended {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(_)) | Err(_) => Err(ended_early("engine", ended)),
                };
            }
            ended = &mut checker => return Err(ended_early("checker", ended)),
            ended = &mut tracker => return Err(ended_early("tracker", ended)),
            ended = &mut hooks => return Err(ended_early("hooks", ended)),
            ended = &mut api => {
                let reason = match ended {
                    Ok(Ok(())) => "its listener closed".to_owned(),
                    Ok(Err(error)) => error.to_string(),
                    Err(error) => error.to_string(),
                };
                return Err(RunError::Ended { thread: "API", reason });
            }
        }
    }
}

/// Reloads when it is signalled to. However often that was while a reload is under way, one more reads what stands there.
async fn reload_after_each(hang_up: Arc<Notify>, control: Arc<Control>) {
    loop {
        hang_up.notified().await;
        // That a file is refused is told as an event.
        drop(control.reload().await);
    }
}

/// Says why a thread ended that everything else still relies on.
fn ended_early(thread: &'static str, ended: Result<io::Result<()>, oneshot::error::RecvError>) -> RunError {
    let reason = match ended {
        Ok(Ok(())) => "nobody wants anything of it".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it panicked".to_owned(),
    };
    RunError::Ended { thread, reason }
}

async fn stop(control: &Control) {
    systemd::stopping();
    control.stop().await;
}

/// Where the end of a thread is told.
type End = oneshot::Receiver<io::Result<()>>;

/// A task on a thread and runtime of its own.
struct OwnThread {
    handle: thread::JoinHandle<()>,
    ended: End,
}

impl OwnThread {
    fn start(
        name: &'static str,
        task: impl Future<Output = io::Result<()>> + Send + 'static,
    ) -> Result<Self, RunError> {
        let runtime = runtime()?;
        let (end, ended) = oneshot::channel();
        let run = move || {
            // Nobody listens when the daemon is ending anyway.
            let _ = end.send(runtime.block_on(task));
            // A thread that waits for a file system may wait for ever.
            runtime.shutdown_background();
        };
        let handle =
            thread::Builder::new().name(name.to_owned()).spawn(run).map_err(system("start a thread"))?;
        Ok(Self { handle, ended })
    }
}

pub fn runtime() -> Result<Runtime, RunError> {
    Builder::new_current_thread().enable_all().build().map_err(system("start an event loop"))
}
