//! The thread of the hooks: it follows what happens to virtual routers, and runs an operator's programs and requests.
//!
//! Whatever they do, the engine never waits for this thread: it says what happened and goes on.

mod message;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use host::clock::{Alarm, now};
use node::config::{Config, HookAction};
use node::hooks::{Errand, Hooks, HooksInput, HooksOutput};
use node::report::Report;
use node::status::HooksStatus;
use probe::script::Run;
use probe::tls::Trust;
use probe::{script, webhook};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use self::message::Message;
use crate::engine::{EngineCommand, EngineStatus};
use crate::journal::Journal;

/// How many changes may wait for the thread, which handles each in microseconds: several for each virtual router of the
/// largest node.
const WAITING: usize = 16_384;

/// How long hooks may still run when the daemon ends; well before systemd loses its patience.
const LAST_TIME: Duration = Duration::from_secs(5);

/// How often it is looked whether what is ended goes.
const LOOK: Duration = Duration::from_secs(1);

/// What the rest of the daemon wants of the hooks' thread.
#[derive(Debug)]
pub enum HookCommand {
    /// That it heeds what has happened.
    Heed(HooksInput),
    /// That it tells how every hook is.
    Status(oneshot::Sender<HooksStatus>),
}

/// Where hooks hear what happens.
#[derive(Clone, Debug)]
pub struct HookLine {
    sender: mpsc::Sender<HookCommand>,
    lost: Arc<AtomicU64>,
}

/// What [`HookLine`]s carry.
#[derive(Debug)]
pub struct HookInputs {
    receiver: mpsc::Receiver<HookCommand>,
    lost: Arc<AtomicU64>,
}

impl HookLine {
    /// Returns a line and its other end.
    pub fn new() -> (Self, HookInputs) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        (Self { sender, lost: Arc::clone(&lost) }, HookInputs { receiver, lost })
    }

    /// Tells hooks what happened or is wanted; what nobody takes is counted, and waited for by nobody.
    pub fn tell(&self, input: HooksInput) {
        if self.sender.try_send(HookCommand::Heed(input)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns how every hook is, after all that was told before; nothing when the thread has ended.
    pub async fn status(&self) -> Option<HooksStatus> {
        let (asked, answer) = oneshot::channel();
        self.sender.send(HookCommand::Status(asked)).await.ok()?;
        answer.await.ok()
    }
}

/// What the hooks' thread is connected to.
pub struct Connections {
    /// What happens.
    pub inputs: HookInputs,
    /// Where it is told that hooks have run which a hand-over waits for.
    pub engine: mpsc::Sender<EngineCommand>,
    /// How the virtual routers are, for what hooks are told.
    pub status: watch::Receiver<Arc<EngineStatus>>,
    /// Where events go.
    pub journal: Journal,
}

/// The hooks of this node at work.
pub struct HookRunner {
    hooks: Hooks,
    config: Arc<Config>,
    alarm: Alarm,
    connections: Connections,
    trust: Trust,
    runs: JoinSet<Progress>,
}

/// How far an errand has come.
#[derive(Debug)]
enum Progress {
    /// To its end.
    Finished(HooksInput),
    /// Its program does not go; when it is gone, the errand has come to this end.
    Stuck { told: HooksInput, run: Run, end: HooksInput },
}

/// Whether there will be more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outlook {
    More,
    End,
}

impl HookRunner {
    /// Returns a runner for this configuration; has to be called inside a tokio runtime.
    ///
    /// # Errors
    /// The kernel's, when it gives no timer.
    pub fn new(config: Arc<Config>, connections: Connections) -> io::Result<Self> {
        let hooks = Hooks::new(Arc::clone(&config));
        Ok(Self {
            hooks,
            config,
            alarm: Alarm::new()?,
            connections,
            trust: Trust::of_system(),
            runs: JoinSet::new(),
        })
    }

    /// Runs hooks until nothing can happen any more, and then what has begun, for a while.
    ///
    /// # Errors
    /// The kernel's or the reactor's, when its timer fails.
    pub async fn run(mut self) -> io::Result<()> {
        while self.turn().await? == Outlook::More {}
        let end = Instant::now() + LAST_TIME;
        while !self.hooks.is_idle() {
            let Ok(Some(ended)) = timeout_at(end, self.runs.join_next()).await else { break };
            let input = self.follow(ended.expect("a hook's run neither panics nor is aborted"));
            self.handle(input);
        }
        Ok(())
    }

    async fn turn(&mut self) -> io::Result<Outlook> {
        self.alarm.set(self.hooks.next_deadline())?;
        let input = tokio::select! {
            input = self.connections.inputs.receiver.recv() => match input {
                Some(HookCommand::Heed(input)) => input,
                Some(HookCommand::Status(asked)) => {
                    // Who does not want it any more has gone.
                    let _ = asked.send(self.hooks.status());
                    return Ok(Outlook::More);
                }
                None => return Ok(Outlook::End),
            },
            Some(ended) = self.runs.join_next() => {
                self.follow(ended.expect("a hook's run neither panics nor is aborted"))
            }
            expired = self.alarm.expired() => expired.map(|()| HooksInput::Deadline)?,
        };
        self.handle(input);
        let lost = self.connections.inputs.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(
                event = "hook_changes_lost",
                count = lost,
                "hooks were too slow for {lost} changes"
            );
        }
        Ok(Outlook::More)
    }

    fn handle(&mut self, input: HooksInput) {
        if let HooksInput::Reload(config) = &input {
            self.config = Arc::clone(config);
        }
        for output in self.hooks.handle(input, now()) {
            match output {
                HooksOutput::Run(errand) => self.start(errand),
                HooksOutput::Prepared { router } => {
                    // An engine that has ended or has no room hands over without it.
                    let _ = self.connections.engine.try_send(EngineCommand::Prepared { router });
                }
                HooksOutput::Report(report) => self.connections.journal.tell(Report::Hook(report)),
            }
        }
    }

    fn start(&mut self, errand: Errand) {
        let status = Arc::clone(&self.connections.status.borrow());
        let message = Message::new(&self.config, &status.routers, &errand);
        let trust = self.trust.clone();
        self.runs.spawn(async move {
            let started = now();
            let (outcome, left) = carry_out(&errand, &message, &trust).await;
            let Errand { hook, subject, .. } = errand;
            let stuck = left.map(|Left { run, reason }| {
                (run, HooksInput::Stuck { hook: hook.clone(), subject: subject.clone(), reason })
            });
            let end = HooksInput::Finished { hook, subject, outcome, took: now() - started };
            match stuck {
                Some((run, told)) => Progress::Stuck { told, run, end },
                None => Progress::Finished(end),
            }
        });
    }

    /// Waits on for what is stuck, and returns what there is to handle.
    fn follow(&mut self, progress: Progress) -> HooksInput {
        match progress {
            Progress::Finished(input) => input,
            Progress::Stuck { told, mut run, end } => {
                self.runs.spawn(async move {
                    run.end().await;
                    Progress::Finished(end)
                });
                told
            }
        }
    }
}

/// A program that nothing ends, for now.
struct Left {
    run: Run,
    reason: String,
}

/// Returns what came of an errand, and of its program what does not go.
async fn carry_out(errand: &Errand, message: &Message, trust: &Trust) -> (Result<(), String>, Option<Left>) {
    match &errand.config.action {
        HookAction::Command(script) => {
            let script = script.with_arguments(message.arguments());
            let mut run = script::run(&script, &message.variables(), errand.limit).await;
            let verdict = run.verdict.as_ref().map(drop).map_err(ToString::to_string);
            while timeout(LOOK, run.end()).await.is_err() {
                if let (Err(failure), Some(stuck)) = (&verdict, run.stuck()) {
                    let reason = format!("{failure}; {stuck}");
                    return (verdict, Some(Left { run, reason }));
                }
            }
            (verdict, None)
        }
        HookAction::Post(url) => {
            let posted = webhook::post(trust, url, message.json(), errand.limit).await;
            (posted.map_err(|error| error.to_string()), None)
        }
    }
}
