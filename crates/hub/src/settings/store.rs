//! Where the database is.
//!
//! Section `[store]` of the settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The database.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// Database URL: `sqlite:///path/file.db` or `postgres://user:password@host/database`. Empty: a SQLite file in
    /// the data folder.
    pub url: String,
}
