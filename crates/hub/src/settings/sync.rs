//! How often and how fast Flareward reads from Cloudflare.
//!
//! Section `[sync]` of the settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Syncing from Cloudflare.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sync {
    /// Minutes between syncs of a connection. 0: sync only on request.
    pub interval_minutes: u64,
    /// Maximum number of API calls per credential in five minutes. Cloudflare allows 1,200, shared with the dashboard
    /// use of the token's owner.
    pub calls_per_window: u32,
    /// Timeout for one Cloudflare response, in seconds.
    pub answer_timeout_seconds: u64,
    /// Number of Access users per hour whose details (last seen identity, sessions, failed logins) are read in the
    /// background. Only for connections with rules that use identity provider data. Each user takes three API calls.
    /// 0: read details only on request.
    pub details_per_hour: u32,
    /// Days after which a last seen identity no longer proves that a person lacks a group or claim. Rules that
    /// require the group or claim then become unknown.
    pub identity_max_age_days: u32,
}

impl Default for Sync {
    fn default() -> Self {
        Self {
            interval_minutes: 60,
            calls_per_window: cloudflare::budget::CALLS_PER_WINDOW,
            answer_timeout_seconds: 30,
            details_per_hour: 200,
            identity_max_age_days: 30,
        }
    }
}
