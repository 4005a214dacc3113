//! The limits on received log batches.
//!
//! Section `[ingest]` of the settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Receiving log batches.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ingest {
    /// Maximum uncompressed size of a batch, in bytes. Cloudflare sends at most 1 GB.
    pub batch_limit_bytes: u64,
    /// Maximum length of a line, in bytes. Longer lines are rejected; the rest of the batch is processed.
    pub line_limit_bytes: usize,
    /// Maximum ratio of uncompressed to compressed size of a batch. Applies beyond 16 MiB.
    pub expansion_limit: u64,
    /// Maximum number of batches received concurrently, at most three quarters of them from one connection. Further
    /// batches get status 503, and the sender retries them.
    pub concurrent_batches: usize,
    /// Maximum time to receive one batch, in seconds. Objects that have been in the archive for more than twice
    /// this time without a database row come from interrupted deliveries and are adopted or removed.
    pub receive_limit_seconds: u64,
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            batch_limit_bytes: 1 << 30,
            line_limit_bytes: 1 << 20,
            expansion_limit: 200,
            concurrent_batches: 16,
            receive_limit_seconds: 900,
        }
    }
}
