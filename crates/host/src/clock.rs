//! The clock that everything is timed by, and the engine's alarm on it.
//!
//! `CLOCK_BOOTTIME` goes on while the machine sleeps, so that what fell due meanwhile is due at once when it wakes.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use monotonic::Instant;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use crate::descriptor::watch_for_reading;

/// Reads the clock.
pub fn now() -> Instant {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(tv_sec).expect("the time since boot is not negative");
    let nanoseconds = u32::try_from(tv_nsec).expect("a timespec has less than a second of nanoseconds");
    Instant::from_start(Duration::new(seconds, nanoseconds))
}

/// Returns how long the machine has slept since it booted.
pub fn slept() -> Duration {
    let running = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(running.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(running.tv_nsec).unwrap_or(0);
    now().since_start().saturating_sub(Duration::new(seconds, nanoseconds))
}

/// Reads the clock of people: the time since 1970, or zero where it is set before that.
pub fn wall_clock() -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Realtime);
    let nanoseconds = u32::try_from(tv_nsec).expect("a timespec has less than a second of nanoseconds");
    u64::try_from(tv_sec).map_or(Duration::ZERO, |seconds| Duration::new(seconds, nanoseconds))
}

/// One alarm at a moment of [`now`]'s clock, exact to the kernel's timer and not to the reactor's millisecond.
#[derive(Debug)]
pub struct Alarm {
    timer: AsyncFd<OwnedFd>,
    set_for: Option<Instant>,
}

impl Alarm {
    /// Returns an alarm that is not set.
    ///
    /// Has to be called inside a tokio runtime.
    ///
    /// # Errors
    /// The kernel's, when the process is out of descriptors.
    pub fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        Ok(Self { timer: watch_for_reading(timer)?, set_for: None })
    }

    /// Sets the alarm for a moment, at once when that has passed, or disarms it; replaces what was set before.
    ///
    /// # Errors
    /// None that Linux documents for a timer made by [`Alarm::new`].
    pub fn set(&mut self, at: Option<Instant>) -> io::Result<()> {
        if at == self.set_for {
            return Ok(());
        }
        let value = match at {
            // All zeros would disarm the timer; the clock's own start has passed in any case.
            Some(at) => timespec(at.since_start().max(Duration::from_nanos(1))),
            None => Timespec { tv_sec: 0, tv_nsec: 0 },
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
        self.set_for = at;
        Ok(())
    }

    /// Waits until the moment that was set has come; for ever while none is.
    ///
    /// The alarm is not set any more afterwards. Dropping the future before it is ready loses nothing.
    ///
    /// # Errors
    /// The reactor's, when its runtime is shutting down.
    pub async fn expired(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.timer.readable().await?;
            let mut expirations = [0; 8];
            let outcome = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut expirations)?));
            // Else the readiness was an earlier setting's.
            if let Ok(read) = outcome {
                read?;
                self.set_for = None;
                return Ok(());
            }
        }
    }
}

/// A moment beyond what the kernel can count is as good as its last one.
fn timespec(since_start: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(since_start.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: since_start.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(4_000);

    #[tokio::test]
    async fn an_alarm_rings_once_and_not_before_its_moment() {
        let mut alarm = Alarm::new().unwrap();
        let moment = now() + Duration::from_millis(20);
        alarm.set(Some(moment)).unwrap();
        alarm.expired().await.unwrap();
        assert!(now() >= moment);
        alarm.set(Some(Instant::START)).unwrap();
        alarm.expired().await.unwrap();
        tokio::select! {
            biased;
            _ = alarm.expired() => panic!("it rang without being set"),
            () = tokio::task::yield_now() => {}
        }
    }

    #[tokio::test]
    async fn the_last_setting_counts() {
        let mut alarm = Alarm::new().unwrap();
        alarm.set(Some(Instant::START)).unwrap();
        alarm.set(Some(now() + LONG)).unwrap();
        let (early, late) = (now() + Duration::from_millis(5), now() + Duration::from_millis(30));
        let mut reference = Alarm::new().unwrap();
        reference.set(Some(late)).unwrap();
        tokio::select! {
            biased;
            _ = alarm.expired() => panic!("an alarm for more than an hour ahead rang"),
            rang = reference.expired() => rang.unwrap(),
        }
        alarm.set(Some(early)).unwrap();
        alarm.expired().await.unwrap();
        alarm.set(Some(early)).unwrap();
        alarm.set(None).unwrap();
        reference.set(Some(now() + Duration::from_millis(10))).unwrap();
        tokio::select! {
            biased;
            _ = alarm.expired() => panic!("a disarmed alarm rang"),
            rang = reference.expired() => rang.unwrap(),
        }
    }
}
