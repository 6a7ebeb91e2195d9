//! The thread that looks at what tracks depend on: it runs their scripts, counts processes and reads files, and tells
//! the engine what it saw. Interfaces the engine knows by itself.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use node::config::Config;
use node::name::TrackName;
use node::script::Script;
use node::track::{Observation, Problem, ProblemCause, TrackConfig, TrackKind};
use probe::number_file::{self, NumberError};
use probe::processes::Processes;
use probe::script::{Failure, run};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout, timeout_at};

use crate::engine::EngineCommand;

/// How long the system may take to answer before that is told: far longer than a disk takes.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// Looks at the tracks of this node.
pub struct Tracker {
    config: watch::Receiver<Arc<Config>>,
    engine: mpsc::Sender<EngineCommand>,
    looking: JoinSet<()>,
    tracks: BTreeMap<TrackName, (Arc<TrackConfig>, AbortHandle)>,
}

/// Who looks at one track.
#[derive(Clone)]
struct Look {
    track: TrackName,
    config: Arc<TrackConfig>,
    engine: mpsc::Sender<EngineCommand>,
}

impl Tracker {
    /// Returns a tracker that tells this engine what it sees.
    pub fn new(config: watch::Receiver<Arc<Config>>, engine: mpsc::Sender<EngineCommand>) -> Self {
        Self { config, engine, looking: JoinSet::new(), tracks: BTreeMap::new() }
    }

    /// Looks until nobody can change the configuration any more.
    ///
    /// # Errors
    /// None; threads of this daemon end with a result.
    pub async fn run(mut self) -> io::Result<()> {
        loop {
            let config = Arc::clone(&self.config.borrow_and_update());
            self.follow(&config);
            if self.config.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// Goes on with what is the same; what is not begins anew, and a run of a script that is under way is killed.
    fn follow(&mut self, config: &Config) {
        let is_same = |name: &TrackName, known: &(Arc<TrackConfig>, AbortHandle)| {
            config.tracks.get(name).is_some_and(|track| *track == known.0)
        };
        for (_, (_, looking)) in self.tracks.extract_if(.., |name, known| !is_same(name, known)) {
            looking.abort();
        }
        // What was given up is over.
        while self.looking.try_join_next().is_some() {}
        for (name, track) in &config.tracks {
            if self.tracks.contains_key(name) {
                continue;
            }
            let look = Look { track: name.clone(), config: Arc::clone(track), engine: self.engine.clone() };
            let looking = match track.kind.clone() {
                TrackKind::Interface { .. } => continue,
                TrackKind::Script { script, interval, timeout, .. } => {
                    self.looking.spawn(async move { look.at_script(&script, interval, timeout).await })
                }
                TrackKind::Process { name, interval, .. } => {
                    self.looking.spawn(async move { look.at_processes(&name, interval).await })
                }
                TrackKind::File { path, interval } => {
                    self.looking.spawn(async move { look.at_file(path, interval).await })
                }
            };
            self.tracks.insert(name.clone(), (Arc::clone(track), looking));
        }
    }
}

impl Look {
    async fn tell(&self, seen: Observation) {
        let (track, config) = (self.track.clone(), Arc::clone(&self.config));
        // An engine that has ended needs no telling.
        let _ = self.engine.send(EngineCommand::Tracked { track, config, seen }).await;
    }

    async fn tell_wrong(&self, cause: ProblemCause, reason: String) {
        self.tell(Observation::Wrong(Problem { cause, reason })).await;
    }

    /// Runs a script again and again, one run at a time; a run that does not even end by force fails again with each
    /// interval.
    async fn at_script(&self, script: &Script, pace: Duration, limit: Duration) {
        loop {
            let mut next = Instant::now() + pace;
            let mut run = run(script, &[], limit).await;
            match &run.verdict {
                Ok(_) => self.tell(Observation::Passed).await,
                Err(failure) => self.tell_wrong(cause_of(failure), failure.to_string()).await,
            }
            while timeout_at(next, run.end()).await.is_err() {
                let reason = run.verdict.as_ref().err().map(ToString::to_string).unwrap_or_default();
                match run.stuck() {
                    Some(stuck) => self.tell_wrong(ProblemCause::Stuck, format!("{reason}; {stuck}")).await,
                    None => self.tell_wrong(ProblemCause::TimedOut, reason).await,
                }
                next += pace;
            }
            sleep_until(next).await;
        }
    }

    /// Counts again with each interval, and at once when a process ends.
    async fn at_processes(&self, name: &str, pace: Duration) {
        let mut told = None;
        loop {
            let next = Instant::now() + pace;
            let name = name.to_owned();
            // What is asked about a process waits for its memory, which may wait for a disk.
            match self.answer(move || Processes::named(&name)).await {
                Ok(processes) => {
                    let count = processes.count();
                    if told.replace(count) != Some(count) {
                        self.tell(Observation::Processes(count)).await;
                    }
                    // That the time is up is as good a reason to count again.
                    let _ = timeout_at(next, processes.ended()).await;
                }
                Err(error) => {
                    told = None;
                    self.tell_wrong(ProblemCause::Unreadable, format!("/proc cannot be read: {error}")).await;
                    sleep_until(next).await;
                }
            }
        }
    }

    /// Reads again with each interval; a file system that does not answer leaves what was read last.
    async fn at_file(&self, path: PathBuf, pace: Duration) {
        let mut ticks = interval(pace);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = None;
        loop {
            ticks.tick().await;
            let path = path.clone();
            let seen = match self.answer(move || number_file::read(&path)).await {
                Ok(number) => Observation::Number(number),
                Err(NumberError::Absent) => Observation::NoFile,
                Err(error @ (NumberError::Unreadable(_) | NumberError::NoFile)) => {
                    Observation::Wrong(Problem { cause: ProblemCause::Unreadable, reason: error.to_string() })
                }
                Err(error @ (NumberError::NoNumber(_) | NumberError::TooLong)) => {
                    Observation::Wrong(Problem { cause: ProblemCause::NoNumber, reason: error.to_string() })
                }
            };
            if told.as_ref() != Some(&seen) {
                self.tell(seen.clone()).await;
                told = Some(seen);
            }
        }
    }

    /// Asks what may not be answered for long, or ever, and tells so while it is not.
    async fn answer<T: Send + 'static>(&self, ask: impl FnOnce() -> T + Send + 'static) -> T {
        let mut asked = spawn_blocking(ask);
        loop {
            if let Ok(answer) = timeout(ANSWER_TIME, &mut asked).await {
                return answer.expect("looking does not panic");
            }
            let reason = format!("there has been no answer for {ANSWER_TIME:?} and more");
            self.tell_wrong(ProblemCause::Unreadable, reason).await;
        }
    }
}

const fn cause_of(failure: &Failure) -> ProblemCause {
    match failure {
        Failure::Unfit(_) | Failure::Start(_) => ProblemCause::NotStarted,
        Failure::ExitCode { code, .. } => ProblemCause::ExitCode(*code),
        Failure::Signal { signal, .. } => ProblemCause::Signal(*signal),
        Failure::StuckBeforeStart(_) | Failure::TimedOut { .. } => ProblemCause::TimedOut,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as blocking;

    use node::track::{Effect, Sense};

    use super::*;

    #[tokio::test]
    async fn a_file_system_that_does_not_answer_is_told_of_until_it_does() {
        let (engine, mut told) = mpsc::channel(1);
        let kind = TrackKind::File { path: "/run/number".into(), interval: Duration::from_secs(1) };
        let config = Arc::new(TrackConfig { kind, sense: Sense::Straight, effect: Effect::Fault });
        let look = Look { track: TrackName::new("manual").unwrap(), config, engine };
        let (answer, waiting) = blocking::channel();
        let looking = tokio::spawn(async move { look.answer(move || waiting.recv()).await });
        for _ in 0..2 {
            let Some(EngineCommand::Tracked { seen, .. }) = told.recv().await else {
                panic!("nothing is told")
            };
            assert!(
                matches!(seen, Observation::Wrong(Problem { cause: ProblemCause::Unreadable, .. })),
                "{seen:?}"
            );
        }
        answer.send(7).unwrap();
        assert_eq!(looking.await.unwrap(), Ok(7));
    }
}
