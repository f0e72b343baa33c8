use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use uuid::{NoContext, Uuid};

use super::CommandId;

/// Where the time comes from. Tests own theirs: see [`ManualClock`].
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now. It may go back; nothing that must be right relies on it.
    fn now(&self) -> Timestamp;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that shows `time`.
    pub fn at(time: Timestamp) -> Self {
        Self(Mutex::new(time))
    }

    /// Sets the time, forwards or back.
    pub fn set(&self, time: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = time;
    }

    /// Moves the time on, or back where `by` is negative; it stays where the calendar ends.
    pub fn advance(&self, by: SignedDuration) {
        let mut time = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *time = time.checked_add(by).unwrap_or(*time);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the ids of commands come from, when their senders give none.
pub trait IdSource: fmt::Debug + Send + Sync + 'static {
    /// An id that was never given before, made at `now`.
    fn command_id(&self, now: Timestamp) -> CommandId;
}

/// UUIDs of version 7: the time in milliseconds, then 74 random bits.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomIds;

impl IdSource for RandomIds {
    fn command_id(&self, now: Timestamp) -> CommandId {
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let nanoseconds = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
        CommandId::from(Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, nanoseconds)))
    }
}

/// Ids that count up, for tests that want to know them beforehand.
#[derive(Debug, Default)]
pub struct SequentialIds(AtomicU64);

impl IdSource for SequentialIds {
    fn command_id(&self, now: Timestamp) -> CommandId {
        let number = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        CommandId::named(now, &number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_carry_their_time_and_do_not_repeat() {
        let now: Timestamp = "2026-11-23T10:00:00.123456Z".parse().unwrap();
        let (first, second) = (RandomIds.command_id(now), RandomIds.command_id(now));
        assert_ne!(first, second);
        assert_eq!(first.time().unwrap().as_millisecond(), now.as_millisecond());
    }

    #[test]
    fn a_manual_clock_moves_when_told() {
        let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
        clock.advance(SignedDuration::from_secs(5));
        assert_eq!(clock.now().as_second(), 5);
        clock.advance(SignedDuration::from_secs(-10));
        assert_eq!(clock.now().as_second(), -5);
    }
}
