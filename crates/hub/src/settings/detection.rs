//! How late a record may arrive, and what becomes one detection.
//!
//! Section `[detection]` of the settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Detection rules.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DetectionSettings {
    /// Minutes that a record may arrive after other records of its source before it counts as late. Matches are kept
    /// this much longer than the rules look back. A late record is correlated only with matches that are still kept.
    pub lateness_minutes: i64,
    /// Time window in minutes. Matches of the same rule, person and target within one window become one detection.
    pub collapse_minutes: u32,
}

impl Default for DetectionSettings {
    fn default() -> Self {
        Self {
            lateness_minutes: 10,
            collapse_minutes: 30,
        }
    }
}
