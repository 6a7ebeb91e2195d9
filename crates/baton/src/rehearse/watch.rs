//! Waiting until something holds, a limit is over or somebody interrupts.

use std::cell::RefCell;
use std::io;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::RehearseError;

/// How long to rest between two looks: on a test kernel's only processor, looking takes time from what is looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until something holds.
///
/// While it lives an interruption no longer ends the process, so that everything is taken down in order.
#[derive(Debug)]
pub struct Watch {
    pub runtime: Runtime,
    interruptions: RefCell<[Signal; 2]>,
}

impl Watch {
    /// Begins to watch for interruptions.
    ///
    /// # Errors
    /// The system's.
    pub fn begin() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let inside = runtime.enter();
        let interruptions = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
        drop(inside);
        Ok(Self { runtime, interruptions: RefCell::new(interruptions) })
    }

    /// Waits until a condition holds; the description starts the sentence "... did not happen within ...".
    ///
    /// # Errors
    /// When it does not hold within the limit or cannot be looked at, and [`RehearseError::Interrupted`].
    pub fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut() -> Result<bool, RehearseError>,
    ) -> Result<(), RehearseError> {
        let give_up_at = Instant::now() + limit;
        while !condition()? {
            if Instant::now() >= give_up_at {
                return Err(lab::Error::TimedOut { what: what.to_owned(), limit }.into());
            }
            self.rest()?;
        }
        Ok(())
    }

    fn rest(&self) -> Result<(), RehearseError> {
        let mut interruptions = self.interruptions.borrow_mut();
        let [interrupt, terminate] = &mut *interruptions;
        self.runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => Err(RehearseError::Interrupted),
                _ = terminate.recv() => Err(RehearseError::Interrupted),
                () = tokio::time::sleep(PAUSE) => Ok(()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn waiting_ends_with_the_condition_the_limit_or_an_interruption() {
        let watch = Watch::begin().unwrap();
        let mut looks = 0;
        let third = watch.wait_until("The third look", LIMIT, || {
            looks += 1;
            Ok(looks == 3)
        });
        assert!(third.is_ok());
        let vain = watch.wait_until("Nothing", Duration::ZERO, || Ok(false)).unwrap_err();
        assert_eq!(vain.to_string(), "Nothing did not happen within 0ns");
        kill_process(getpid(), Signal::INT).unwrap();
        let interrupted = watch.wait_until("Nothing", LIMIT, || Ok(false)).unwrap_err();
        assert!(matches!(interrupted, RehearseError::Interrupted), "{interrupted}");
    }
}
