//! The limits of access changes, and the times of timed grants.
//!
//! Section `[provisioning]` of the settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Access changes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Provisioning {
    /// Minimum number of super administrators per account. Changes that would leave fewer are refused.
    pub super_administrators: usize,
    /// Maximum number of people in one change.
    pub people_per_change: usize,
    /// Hours after which a list is too old for the guards. Changes are then refused until the next sync.
    pub stale_after_hours: u64,
    /// Milliseconds after a verified write of a whole object until it is verified a second time, in case another
    /// client overwrote it with older data.
    pub second_look_ms: u64,
    /// Minutes before the expiry of a timed grant at which a journal entry announces it.
    pub notice_minutes: u64,
    /// Maximum wait between attempts to revoke an expired grant, in seconds.
    pub retry_cap_seconds: u64,
}

impl Default for Provisioning {
    fn default() -> Self {
        Self {
            super_administrators: 2,
            people_per_change: 10,
            stale_after_hours: 48,
            second_look_ms: 400,
            notice_minutes: 60,
            retry_cap_seconds: 900,
        }
    }
}
