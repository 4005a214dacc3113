//! One export of one dataset to one destination, and how the API shows it.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::clock::rfc3339;

/// One export of one dataset to one destination.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) dataset: String,
    pub(crate) enabled: bool,
    pub(crate) destination_conf: String,
    pub(crate) output_options: Value,
    /// Settings that the sandbox only stores.
    pub(crate) settings: Value,
    pub(crate) last_complete: Option<DateTime<Utc>>,
    pub(crate) last_error: Option<DateTime<Utc>>,
    pub(crate) error_message: Option<String>,
}

impl Job {
    pub(crate) fn to_json(&self) -> Value {
        let mut job = json!({
            "id": self.id, "dataset": self.dataset, "enabled": self.enabled,
            "destination_conf": self.destination_conf, "output_options": self.output_options,
            "last_complete": self.last_complete.map(rfc3339), "last_error": self.last_error.map(rfc3339),
            "error_message": self.error_message,
        });
        for (key, value) in self.settings.as_object().into_iter().flatten() {
            job[key] = value.clone();
        }
        job
    }
}
