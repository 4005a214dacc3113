//! Faults that tests can inject while the sandbox runs, and the layer that applies them.
//!
//! Faults affect only the simulated API (`/client/v4`); [`SinkFaults`] defines how the sinks refuse.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

/// The published quota of a user or token: 1,200 calls in five minutes.
const QUOTA: u64 = 1200;
const WINDOW: Duration = Duration::from_secs(300);

/// Every fault, all off by default. Setting faults replaces the previous ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Refuse with 429 for five minutes after 1,200 calls in five minutes.
    pub enforce_rate_limit: bool,
    /// Refuse everything with 429 for this number of seconds from now.
    pub rate_limited_for_seconds: Option<u64>,
    /// Refuse with 429 after this number of further calls, until the faults are changed.
    pub rate_limited_after_requests: Option<u64>,
    /// The value of `Retry-After` for these; default 1.
    pub retry_after_seconds: Option<u64>,
    /// Every n-th call fails with `server_error_status`.
    pub server_error_every: Option<u64>,
    /// Default 500.
    pub server_error_status: Option<u16>,
    /// Delay each response by this time.
    pub latency_ms: u64,
    /// Every n-th response ends in the middle of its body.
    pub truncate_every: Option<u64>,
    /// Responses for paths with this ending end in the middle of their body.
    pub truncate_path: Option<String>,
    /// These pages of listings fail with 500.
    pub failing_pages: Vec<FailingPage>,
    /// Responses for paths with this ending are 200 with a web page.
    pub not_json_path: Option<String>,
    /// Responses for paths with this ending are 200 with `success: false`.
    pub unsuccessful_path: Option<String>,
    /// The next writes are answered 503 and not applied. A write is every call except GET.
    pub writes_fail_before_applying: u64,
    /// The next valid writes are applied but answered 503, as if the response was lost.
    pub writes_fail_after_applying: u64,
    /// The next valid writes are answered as successful but not applied.
    pub writes_ignored: u64,
    /// Ids of groups and members. Right after the next PUT of each, another client saves the version that it had read
    /// before. The PUT is answered 200, and its change is lost. An id that is listed twice is lost twice.
    pub writes_lost: Vec<String>,
    /// Rules that another client adds to groups, right after each group is read by its id. A caller that writes back
    /// what it read removes the rule again.
    pub rules_added_after_read: Vec<AddedRule>,
    /// Permission groups that the tokens have lost, by name.
    pub removed_permissions: Vec<String>,
    /// The plan does not include risk scoring: its calls return 403.
    pub risk_not_entitled: bool,
    /// The response about members with roles also includes policies that mirror the roles, with other ids and the same
    /// names.
    pub mirrored_policies: bool,
    /// The call for the items of a Zero Trust list returns at most this number, whatever page is requested, unless it
    /// has a `limit`, which is not in its description.
    pub list_items_cap: Option<usize>,
    /// The same call ignores a `limit` as well.
    pub list_items_limit_ignored: bool,
    /// Calls that are refused with these errors.
    pub refusals: Vec<PathRefusal>,
    /// How the chat and mail sinks and the Okta-like receiver refuse.
    pub sinks: SinkFaults,
}

/// The error for calls of some paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathRefusal {
    /// A part of the path; empty for every call.
    pub path: String,
    /// The HTTP status.
    pub status: u16,
    /// Cloudflare's code.
    pub code: u32,
    /// The message.
    pub message: String,
}

/// A rule that another client adds to a group's `include`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddedRule {
    /// The id of the group.
    pub group_id: String,
    /// The rule, an object with one selector.
    pub rule: Value,
}

/// One page of one listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailingPage {
    /// The end of the path, for example `/members`.
    pub path: String,
    /// The page, from 1.
    pub page: u64,
}

/// The number of refusals of each sink before it works again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SinkFaults {
    /// The Slack webhook.
    pub slack: SinkFault,
    /// The Teams webhook.
    pub teams: SinkFault,
    /// The Google Chat webhook.
    pub google_chat: SinkFault,
    /// The mail server, which responds to a message with a temporary 451.
    pub smtp: SinkFault,
    /// The Okta-like receiver.
    pub okta: SinkFault,
}

/// The next `times` deliveries are refused with `status`; a 429 has `Retry-After: 1`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SinkFault {
    /// The number of refusals.
    pub times: u64,
    /// Default 500.
    pub status: Option<u16>,
}

/// Marks a call whose changes are applied to a discarded copy of the world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ignored;

/// The fate of a write that reaches its operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Usual,
    FailBefore,
    FailAfter,
    Ignore,
}

impl Fate {
    fn left(self, settings: &mut Faults) -> Option<&mut u64> {
        match self {
            Self::Usual => None,
            Self::FailBefore => Some(&mut settings.writes_fail_before_applying),
            Self::FailAfter => Some(&mut settings.writes_fail_after_applying),
            Self::Ignore => Some(&mut settings.writes_ignored),
        }
    }
}

/// The active faults, and their counters.
#[derive(Debug)]
pub(crate) struct FaultState(Mutex<Counted>);

#[derive(Debug)]
struct Counted {
    settings: Faults,
    /// The number of calls since the faults were last changed.
    calls: u64,
    since: Instant,
    window_began: Instant,
    window_calls: u64,
    blocked_until: Option<Instant>,
}

impl FaultState {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self(Mutex::new(Counted {
            settings: Faults::default(),
            calls: 0,
            since: now,
            window_began: now,
            window_calls: 0,
            blocked_until: None,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn settings(&self) -> Faults {
        self.lock().settings.clone()
    }

    pub(crate) fn set(&self, settings: Faults) {
        let mut counted = self.lock();
        counted.settings = settings;
        counted.calls = 0;
        counted.since = Instant::now();
        counted.blocked_until = None;
        counted.window_calls = 0;
        counted.window_began = Instant::now();
    }

    /// Uses one refusal of a sink, if there are any left; returns the status.
    pub(crate) fn sink_refuses(&self, sink: impl Fn(&mut SinkFaults) -> &mut SinkFault) -> Option<u16> {
        let mut counted = self.lock();
        let fault = sink(&mut counted.settings.sinks);
        fault.times = fault.times.checked_sub(1)?;
        Some(fault.status.unwrap_or(500))
    }

    /// Changes the active faults without resetting the counters.
    pub(crate) fn arm(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.lock().settings);
    }

    /// Uses one of the injected write failures.
    pub(crate) fn fate_take(&self) -> Fate {
        let mut counted = self.lock();
        [Fate::FailBefore, Fate::FailAfter, Fate::Ignore]
            .into_iter()
            .find(|fate| match fate.left(&mut counted.settings) {
                Some(left) if *left > 0 => {
                    *left -= 1;
                    true
                }
                _ => false,
            })
            .unwrap_or(Fate::Usual)
    }

    /// Returns the failure of a write that was refused for another reason.
    pub(crate) fn fate_return(&self, fate: Fate) {
        if let Some(left) = fate.left(&mut self.lock().settings) {
            *left += 1;
        }
    }

    /// Uses one lost write of an object; returns whether there was one.
    pub(crate) fn write_is_lost(&self, id: &str) -> bool {
        let lost = &mut self.lock().settings.writes_lost;
        let at = lost.iter().position(|lost| lost == id);
        at.map(|at| lost.remove(at)).is_some()
    }

    /// Uses one rule that should be added to a group.
    pub(crate) fn rule_added(&self, group_id: &str) -> Option<Value> {
        let rules = &mut self.lock().settings.rules_added_after_read;
        let at = rules.iter().position(|added| added.group_id == group_id)?;
        Some(rules.remove(at).rule)
    }

    /// Counts a call; returns the remaining quota and whether the call exceeds it.
    pub(crate) fn count(&self) -> Counting {
        let mut counted = self.lock();
        let now = Instant::now();
        if now.duration_since(counted.window_began) >= WINDOW {
            counted.window_began = now;
            counted.window_calls = 0;
        }
        counted.window_calls += 1;
        counted.calls += 1;
        let faults = &counted.settings;
        let chosen_wait = Duration::from_secs(faults.retry_after_seconds.unwrap_or(1));
        let mut retry_after = None;
        if let Some(seconds) = faults.rate_limited_for_seconds {
            let left = Duration::from_secs(seconds).saturating_sub(now.duration_since(counted.since));
            retry_after =
                (!left.is_zero()).then_some(faults.retry_after_seconds.map_or(left, Duration::from_secs));
        }
        if faults
            .rate_limited_after_requests
            .is_some_and(|calls| counted.calls > calls)
        {
            retry_after = Some(chosen_wait);
        }
        if faults.enforce_rate_limit {
            if counted.blocked_until.is_none() && counted.window_calls > QUOTA {
                counted.blocked_until = Some(now + WINDOW);
            }
            if let Some(until) = counted.blocked_until {
                let left = until.saturating_duration_since(now);
                if left.is_zero() {
                    counted.blocked_until = None;
                } else {
                    retry_after = Some(left);
                }
            }
        }
        Counting {
            call: counted.calls,
            left: QUOTA.saturating_sub(counted.window_calls),
            window_left: WINDOW.saturating_sub(now.duration_since(counted.window_began)),
            retry_after,
        }
    }
}

pub(crate) struct Counting {
    pub(crate) call: u64,
    pub(crate) left: u64,
    pub(crate) window_left: Duration,
    pub(crate) retry_after: Option<Duration>,
}
