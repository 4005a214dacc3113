//! Where the log archive is, and how long it keeps each dataset.
//!
//! Section `[archive]` of the settings.

use super::SettingsError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The log archive and its retention.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Archive {
    /// Archive location: `s3://bucket/path`, `r2://bucket/path` with an endpoint, or `file:///folder`. Empty: a folder
    /// in the data folder. The bucket's credentials come from `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or from
    /// the machine's role.
    pub url: String,
    /// Endpoint of the storage service, if it is not Amazon S3.
    pub endpoint: String,
    /// Days after which records are deleted, by their own time, and batches, by their arrival. 0: keep them forever.
    pub retention_days: u64,
    /// Retention days for single datasets, for example `gateway_dns=30`. 0: keep the dataset forever.
    pub retention_days_by_dataset: Vec<String>,
    /// Days that the objects of processed batches are kept as they came, beside the parts with their records. 0: they are
    /// deleted once their records are in parts.
    pub keep_batches_days: u64,
    /// Days after which the content of a part is compared with its checksum again. 0: never.
    pub verify_days: u64,
}

impl Default for Archive {
    fn default() -> Self {
        Self {
            url: String::new(),
            endpoint: String::new(),
            retention_days: 0,
            retention_days_by_dataset: Vec::new(),
            keep_batches_days: 0,
            verify_days: 30,
        }
    }
}

impl Archive {
    /// The days that records of a dataset are kept; 0: forever.
    pub fn days_of(&self, dataset: &str) -> u64 {
        let own = self.retention_days_by_dataset.iter().find_map(|rule| {
            let (name, days) = rule.split_once('=')?;
            (name.trim() == dataset)
                .then(|| days.trim().parse().ok())
                .flatten()
        });
        own.unwrap_or(self.retention_days)
    }

    /// Refuses a rule that names no dataset or no number of days.
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        for rule in &self.retention_days_by_dataset {
            let is_rule = rule.split_once('=').is_some_and(|(dataset, days)| {
                rules::Dataset::named(dataset.trim()).is_some() && days.trim().parse::<u64>().is_ok()
            });
            if !is_rule {
                return Err(SettingsError::Understand(format!(
                    "archive.retention_days_by_dataset must have the form gateway_dns=30, not \"{rule}\""
                )));
            }
        }
        Ok(())
    }
}
