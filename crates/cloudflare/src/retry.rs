//! When a call is retried, and after which delay.

use rand::RngExt;
use std::time::Duration;

/// How often and for how long a call is tried.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// The number of attempts, including the first.
    pub attempts: u32,
    /// The first delay is a random time from zero to this; each further range is twice as long.
    pub base: Duration,
    /// The maximum of a single delay.
    pub cap: Duration,
    /// The maximum time that a call waits for its budget.
    pub budget_wait: Duration,
}

impl RetryPolicy {
    /// For calls that a person waits for.
    pub const INTERACTIVE: Self = Self {
        attempts: 3,
        base: Duration::from_millis(200),
        cap: Duration::from_secs(2),
        budget_wait: Duration::from_secs(5),
    };

    /// For syncs: long enough to outlast one blocked window.
    pub const BACKGROUND: Self = Self {
        attempts: 6,
        base: Duration::from_millis(500),
        cap: Duration::from_secs(30),
        budget_wait: Duration::from_secs(330),
    };

    /// The delay before attempt `attempt` (the second is 2): full jitter, uniformly random from zero to the range.
    pub fn wait(&self, attempt: u32) -> Duration {
        let range = self
            .base
            .saturating_mul(1 << attempt.saturating_sub(2).min(16))
            .min(self.cap);
        range.mul_f64(rand::rng().random_range(0.0..1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_below_the_cap() {
        for attempt in 2..60 {
            assert!(RetryPolicy::BACKGROUND.wait(attempt) <= RetryPolicy::BACKGROUND.cap);
        }
        assert!(RetryPolicy::BACKGROUND.wait(2) <= RetryPolicy::BACKGROUND.base);
    }
}
