//! How often log sources are checked, and what is pulled from the API.
//!
//! Section `[logs]` of the settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Log sources.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Logs {
    /// Minutes between checks of the Logpush jobs that Flareward enabled. 0: check only on request.
    pub check_interval_minutes: u64,
    /// Pull the Access authentication log and the audit log from the API if no Logpush job delivers them. Also pull
    /// Cloudflare's risk events, which Logpush does not offer.
    pub pull: bool,
    /// Minutes between pulls of a connection.
    pub pull_interval_minutes: u64,
    /// Minutes before the newest record that every pull reads again, to catch records that Cloudflare wrote late.
    pub pull_overlap_minutes: u64,
    /// Hours that the first pull goes back. Risk events are read back to the last reset of each user's score.
    pub pull_first_hours: u64,
    /// Maximum number of pages (of 1,000 records) in one pull of a dataset; for risk events, the maximum number of
    /// users. The next pull resumes there.
    pub pull_pages: usize,
    /// Minutes between reads of a bucket that Logpush writes to. 0: read only on request.
    pub objects_interval_minutes: u64,
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            check_interval_minutes: 5,
            pull: true,
            pull_interval_minutes: 5,
            pull_overlap_minutes: 5,
            pull_first_hours: 24,
            pull_pages: 200,
            objects_interval_minutes: 5,
        }
    }
}
