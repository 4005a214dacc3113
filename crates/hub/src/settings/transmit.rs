//! How long Flareward retries signals.
//!
//! Section `[transmit]` of the settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Shared Signals delivery.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Transmit {
    /// Maximum wait between delivery attempts, in seconds.
    pub retry_cap_seconds: u64,
    /// Hours after which Flareward stops trying to deliver a signal.
    pub give_up_after_hours: u64,
}

impl Default for Transmit {
    fn default() -> Self {
        Self {
            retry_cap_seconds: 600,
            give_up_after_hours: 72,
        }
    }
}
