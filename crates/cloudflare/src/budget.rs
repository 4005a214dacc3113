//! The rate limit of a credential, and the reservation of its last part.
//!
//! Cloudflare allows 1,200 calls in five minutes for each user, over all tokens and dashboards of that user. After
//! that, it blocks every call for the rest of the window. So this client counts its calls, corrects the count when the
//! `Ratelimit` headers report less, and reserves the last tenth for calls that a person waits for.

use std::{sync::Mutex, time::Duration};
use tokio::time::Instant;

/// The priority of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// A person or another system waits for it.
    Interactive,
    /// A sync or a probe, which may be delayed.
    Background,
}

/// The number of calls in one window. Source: Cloudflare's published limits, April 2026.
pub const CALLS_PER_WINDOW: u32 = 1_200;
/// The length of a window.
pub const WINDOW: Duration = Duration::from_secs(300);
/// The reserve that background calls leave, as a share of `CALLS_PER_WINDOW`. Chosen: a tenth.
const RESERVE_SHARE: u32 = 10;

/// The number of remaining calls, and the end of the window.
#[derive(Debug)]
pub struct Budget(Mutex<State>);

#[derive(Debug)]
struct State {
    quota: u32,
    left: u32,
    renews_at: Instant,
    blocked_until: Option<Instant>,
}

impl Budget {
    /// A budget of `quota` calls in each [`WINDOW`].
    pub fn new(quota: u32) -> Self {
        Self(Mutex::new(State {
            quota,
            left: quota,
            renews_at: Instant::now() + WINDOW,
            blocked_until: None,
        }))
    }

    /// Takes one call from the budget.
    ///
    /// # Errors
    ///
    /// The time to wait before the next try.
    pub fn try_take(&self, priority: Priority) -> Result<(), Duration> {
        let mut state = self.lock();
        let now = Instant::now();
        if let Some(until) = state.blocked_until {
            if until > now {
                return Err(until - now);
            }
            state.blocked_until = None;
        }
        if state.renews_at <= now {
            state.left = state.quota;
            state.renews_at = now + WINDOW;
        }
        let reserve = match priority {
            Priority::Interactive => 0,
            Priority::Background => state.quota / RESERVE_SHARE,
        };
        if state.left <= reserve {
            return Err(state.renews_at - now);
        }
        state.left -= 1;
        Ok(())
    }

    /// The number of remaining calls by our own count.
    pub fn left(&self) -> u32 {
        self.lock().left
    }

    /// Lowers the count if the response's `Ratelimit` header reports fewer remaining calls.
    pub(crate) fn heed(&self, header: &str) {
        let Some((left, renews_in)) = read_ratelimit(header) else {
            return;
        };
        let mut state = self.lock();
        if left < state.left {
            state.left = left;
            state.renews_at = Instant::now() + renews_in.min(WINDOW);
        }
    }

    /// Blocks all calls until `wait` has passed.
    pub(crate) fn block(&self, wait: Duration) {
        let mut state = self.lock();
        let until = Instant::now() + wait;
        state.blocked_until = Some(state.blocked_until.map_or(until, |other| other.max(until)));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

/// The most restrictive item of a `Ratelimit` header: the remaining calls and the time until the window renews.
///
/// The header is a structured list: `"default";r=50;t=30, "burst";r=7;t=2`.
fn read_ratelimit(header: &str) -> Option<(u32, Duration)> {
    let items = header.split(',').filter_map(|item| {
        let parameter = |name: &str| {
            item.split(';')
                .find_map(|part| part.trim().strip_prefix(name)?.parse::<u64>().ok())
        };
        let left = u32::try_from(parameter("r=")?).ok()?;
        Some((left, Duration::from_secs(parameter("t=")?)))
    });
    items.min_by_key(|(left, _)| *left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn background_calls_leave_the_last_tenth_to_people() {
        let budget = Budget::new(20);
        for _ in 0..18 {
            budget.try_take(Priority::Background).unwrap();
        }
        assert_eq!(budget.try_take(Priority::Background), Err(WINDOW));
        budget.try_take(Priority::Interactive).unwrap();
        tokio::time::advance(WINDOW).await;
        budget.try_take(Priority::Background).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_that_says_less_is_believed() {
        let budget = Budget::new(1_200);
        budget.heed("\"default\";r=900;t=200, \"burst\";r=0;t=30");
        assert_eq!(
            budget.try_take(Priority::Interactive),
            Err(Duration::from_secs(30))
        );
        budget.heed("nonsense");
        tokio::time::advance(Duration::from_secs(30)).await;
        budget.try_take(Priority::Interactive).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_block_holds_for_everyone() {
        let budget = Budget::new(10);
        budget.block(Duration::from_secs(7));
        assert_eq!(
            budget.try_take(Priority::Interactive),
            Err(Duration::from_secs(7))
        );
    }
}
