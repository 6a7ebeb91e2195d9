//! Probes under way and waiting.

use std::collections::VecDeque;
use std::future::pending;
use std::time::{Duration, Instant};

use node::pools::{Outcome, ProbeId, ProbeRequest};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use virtual_server::health::{Check, CheckKind};

use crate::failure::{Failure, outcome};
use crate::{http, tcp};

/// How many probes are under way at most; further ones wait. Each takes a file descriptor, and a process has 1,024 of
/// them unless told otherwise: half are left for the rest of the daemon.
pub const CONCURRENT_PROBES: usize = 512;

/// A time-out that is noticed this late was not the real server's doing: this thread was stopped or starved, and the
/// answer may have come in the meantime.
pub const STALL: Duration = Duration::from_millis(100);

/// Asks real servers, many at a time.
///
/// Dropping it gives up the probes under way.
#[derive(Debug, Default)]
pub struct Prober {
    under_way: JoinSet<(ProbeId, Outcome)>,
    /// At most one for each check, since a check has one probe at a time.
    waiting: VecDeque<ProbeRequest>,
}

impl Prober {
    /// Returns a prober with nothing to do.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a probe, or puts it behind those that wait when [`CONCURRENT_PROBES`] are under way.
    ///
    /// Its time-out begins when it really starts: a crowd of silent real servers delays the probes of the others but
    /// makes none of them bad.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(&mut self, request: ProbeRequest) {
        if self.under_way.len() < CONCURRENT_PROBES {
            self.spawn(request);
        } else {
            self.waiting.push_back(request);
        }
    }

    /// Waits for a probe to be over; for ever while there is none. Cancel safe.
    pub async fn next(&mut self) -> (ProbeId, Outcome) {
        match self.under_way.join_next().await {
            Some(finished) => self.finish(finished),
            None => pending().await,
        }
    }

    /// Returns another probe that is over already: what ends together can be judged together.
    pub fn try_next(&mut self) -> Option<(ProbeId, Outcome)> {
        self.under_way.try_join_next().map(|finished| self.finish(finished))
    }

    fn finish(&mut self, finished: Result<(ProbeId, Outcome), JoinError>) -> (ProbeId, Outcome) {
        if let Some(request) = self.waiting.pop_front() {
            self.spawn(request);
        }
        finished.expect("a probe neither panics nor is aborted while its prober lives")
    }

    fn spawn(&mut self, request: ProbeRequest) {
        self.under_way.spawn(async move {
            let ProbeRequest { id, target: _, check: _ } = request;
            (id, carry_out(&request).await)
        });
    }
}

async fn carry_out(ProbeRequest { id: _, target, check }: &ProbeRequest) -> Outcome {
    let Check { kind, timeout: limit, .. } = check.as_ref();
    let started = Instant::now();
    let probe = async {
        match kind {
            CheckKind::Tcp => tcp::probe(*target).await,
            CheckKind::Http(check) => http::probe(*target, check).await,
        }
    };
    match timeout(*limit, probe).await {
        Ok(result) => outcome(result),
        Err(_) if started.elapsed() > *limit + STALL => outcome(Err(Failure::Stalled)),
        Err(_) => outcome(Err(Failure::NoAnswer { limit: *limit })),
    }
}
