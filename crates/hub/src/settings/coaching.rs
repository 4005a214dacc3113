//! How often Flareward retries coaching messages.
//!
//! Section `[coaching]` of the settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Coaching messages.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Coaching {
    /// Maximum number of delivery attempts per message.
    pub attempts: u32,
    /// Maximum wait between delivery attempts, in seconds.
    pub retry_cap_seconds: u64,
}

impl Default for Coaching {
    fn default() -> Self {
        Self {
            attempts: 8,
            retry_cap_seconds: 600,
        }
    }
}
