//! Time and ids as parameters.
//!
//! Tests stop the clock and seed the ids. No other code in the project asks the system for either.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::sync::Mutex;
use uuid::{Builder, Uuid};

/// Provides the time.
pub trait Clock: Send + Sync {
    /// The current time in UTC, truncated to microseconds: the precision of both databases.
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everything else asks"
    )]
    fn now(&self) -> DateTime<Utc> {
        cut_to_micros(Utc::now())
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct StoppedClock(Mutex<DateTime<Utc>>);

impl StoppedClock {
    /// A clock that is stopped at `instant`.
    pub fn at(instant: DateTime<Utc>) -> Self {
        Self(Mutex::new(cut_to_micros(instant)))
    }

    /// Moves the clock forward (or back, with a negative value).
    pub fn advance(&self, by: TimeDelta) {
        let mut instant = self.0.lock().expect("no holder of this lock panics");
        *instant += by;
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().expect("no holder of this lock panics")
    }
}

/// Creates ids that sort by the given time.
pub trait IdSource: Send + Sync {
    /// A new version 7 UUID for something that starts at `now`.
    fn new_uuid(&self, now: DateTime<Utc>) -> Uuid;

    /// The same as text.
    fn new_id(&self, now: DateTime<Utc>) -> String {
        self.new_uuid(now).to_string()
    }
}

/// Ids from the operating system's randomness.
#[derive(Debug, Default, Clone, Copy)]
pub struct RandomIds;

impl IdSource for RandomIds {
    fn new_uuid(&self, now: DateTime<Utc>) -> Uuid {
        let mut random = [0_u8; 10];
        rand::rng().fill(&mut random[..]);
        uuid_v7(now, random)
    }
}

/// The same ids in the same order for the same seed.
#[derive(Debug)]
pub struct SeededIds(Mutex<StdRng>);

impl SeededIds {
    /// Ids that depend only on `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }
}

impl IdSource for SeededIds {
    fn new_uuid(&self, now: DateTime<Utc>) -> Uuid {
        let mut random = [0_u8; 10];
        self.0
            .lock()
            .expect("no holder of this lock panics")
            .fill(&mut random[..]);
        uuid_v7(now, random)
    }
}

fn uuid_v7(now: DateTime<Utc>, random: [u8; 10]) -> Uuid {
    let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

fn cut_to_micros(instant: DateTime<Utc>) -> DateTime<Utc> {
    instant
        .duration_trunc(TimeDelta::microseconds(1))
        .unwrap_or(instant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_seed_repeat_and_sort_by_time() {
        let early = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let (one, two) = (SeededIds::new(7), SeededIds::new(7));
        assert_eq!(one.new_id(early), two.new_id(early));
        assert!(one.new_id(early) < one.new_id(early + TimeDelta::seconds(1)));
    }

    #[test]
    fn the_clock_keeps_microseconds() {
        let clock = StoppedClock::at(DateTime::from_timestamp(1, 123_456_789).unwrap());
        assert_eq!(clock.now().timestamp_subsec_nanos(), 123_456_000);
    }
}
