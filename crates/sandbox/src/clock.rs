//! The sandbox's own time: stopped at a given instant, or the machine's.
//!
//! The sandbox simulates the outside world, so this is the only place in it that reads the clock.

use chrono::{DateTime, SubsecRound, Utc};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    stopped_at: Option<DateTime<Utc>>,
}

impl Clock {
    pub(crate) fn new(stopped_at: Option<DateTime<Utc>>) -> Self {
        Self { stopped_at }
    }

    /// The current time, truncated to milliseconds.
    pub(crate) fn now(self) -> DateTime<Utc> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the sandbox is the outside world, which has a clock of its own"
        )]
        self.stopped_at.unwrap_or_else(Utc::now).trunc_subsecs(3)
    }
}

/// A time in the API's format, `2026-11-22T03:04:05Z`.
pub(crate) fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
