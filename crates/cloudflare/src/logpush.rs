//! Logpush jobs. Their destination contains secrets and is never printed.

use crate::Others;
use crate::account::AccountId;
use crate::client::{Answer, Client};
use crate::error::CloudflareError;
use crate::paging::Style;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A job as Cloudflare returns it.
#[derive(Clone, Deserialize)]
pub struct LogpushJob {
    /// Its number.
    pub id: i64,
    /// The dataset that it pushes.
    #[serde(default)]
    pub dataset: Option<String>,
    /// Whether it is enabled.
    #[serde(default)]
    pub enabled: bool,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// When a push last succeeded.
    #[serde(default)]
    pub last_complete: Option<DateTime<Utc>>,
    /// When a push last failed.
    #[serde(default)]
    pub last_error: Option<DateTime<Utc>>,
    /// The response to the last failed push. It may contain the destination, with its secrets.
    #[serde(default)]
    pub error_message: Option<String>,
    /// All other fields; `destination_conf` contains secrets.
    #[serde(flatten)]
    pub other: Others,
}

impl std::fmt::Debug for LogpushJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogpushJob")
            .field("id", &self.id)
            .field("dataset", &self.dataset)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

impl LogpushJob {
    /// The destination, with the headers that the job sends.
    pub fn destination(&self) -> Option<SecretString> {
        Some(SecretString::from(self.other.get("destination_conf")?.as_str()?))
    }

    /// The whole job for an update, without the fields that only Cloudflare sets.
    fn to_body(&self) -> Others {
        let mut body = self.other.clone();
        for read_only in ["ownership_challenge", "id"] {
            body.remove(read_only);
        }
        body.insert("name".to_owned(), json!(self.name));
        body.insert("enabled".to_owned(), json!(self.enabled));
        body
    }
}

/// A job to create.
#[derive(Debug, Clone)]
pub struct NewLogpushJob {
    /// The dataset.
    pub dataset: String,
    /// Its name.
    pub name: String,
    /// The destination, with the headers to send: `https://…?header_Name=value`.
    pub destination: SecretString,
    /// The fields to push; Logpush has no wildcard for all fields.
    pub fields: Vec<String>,
    /// The maximum time that records wait for a push, in seconds: 30 to 300.
    pub interval_seconds: u32,
    /// The maximum number of records in a push: 1,000 to 1,000,000.
    pub records_max: u32,
    /// The maximum size of a push, uncompressed: 5 MB to 1 GB.
    pub bytes_max: u64,
}

impl Client {
    /// All jobs of the account.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn logpush_jobs(&self, account: &AccountId) -> Result<Vec<LogpushJob>, CloudflareError> {
        self.list(account.path("/logpush/jobs"), Vec::new(), Style::Single)
            .try_collect()
            .await
    }

    /// The current fields of a dataset, with their descriptions.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn logpush_fields(
        &self,
        account: &AccountId,
        dataset: &str,
    ) -> Result<BTreeMap<String, Value>, CloudflareError> {
        self.get(&account.path(&format!("/logpush/datasets/{dataset}/fields")), &[])
            .await
    }

    /// Creates an enabled job with nanosecond times as text.
    ///
    /// # Errors
    ///
    /// Refused if the destination does not accept the test upload.
    pub async fn logpush_job_create(
        &self,
        account: &AccountId,
        job: &NewLogpushJob,
    ) -> Result<LogpushJob, CloudflareError> {
        let body = json!({
            "dataset": job.dataset,
            "name": job.name,
            "enabled": true,
            "destination_conf": job.destination.expose_secret(),
            "output_options": { "field_names": job.fields, "timestamp_format": "rfc3339ns" },
            "max_upload_interval_seconds": job.interval_seconds,
            "max_upload_records": job.records_max,
            "max_upload_bytes": job.bytes_max,
        });
        self.result(Method::POST, &account.path("/logpush/jobs"), &[], Some(&body))
            .await
    }

    /// Updates a whole job. The dataset of a job cannot be changed.
    ///
    /// # Errors
    ///
    /// Refused if the destination does not accept the test upload.
    pub async fn logpush_job_put(
        &self,
        account: &AccountId,
        job: &LogpushJob,
    ) -> Result<LogpushJob, CloudflareError> {
        let path = account.path(&format!("/logpush/jobs/{}", job.id));
        let body = Value::Object(job.to_body());
        self.result(Method::PUT, &path, &[], Some(&body)).await
    }

    /// The jobs of one dataset.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn logpush_jobs_of(
        &self,
        account: &AccountId,
        dataset: &str,
    ) -> Result<Vec<LogpushJob>, CloudflareError> {
        self.get(&account.path(&format!("/logpush/datasets/{dataset}/jobs")), &[])
            .await
    }

    /// Gateway's logging settings: `redact_pii`, and `log_all` and `log_blocks` of each kind of rule.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn gateway_logging(&self, account: &AccountId) -> Result<Value, CloudflareError> {
        self.get(&account.path("/gateway/logging"), &[]).await
    }

    /// The regions that logs must stay in, if the account has such a restriction.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn metadata_boundary(&self, account: &AccountId) -> Result<Option<String>, CloudflareError> {
        let path = account.path("/logs/control/cmb/config");
        let answer: Answer<Value> = self.send(Method::GET, &path, &[], None).await?;
        let config = answer.result.unwrap_or_default();
        Ok(config["regions"]
            .as_str()
            .filter(|regions| !regions.is_empty())
            .map(str::to_owned))
    }

    /// Removes a job.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn logpush_job_delete(&self, account: &AccountId, id: i64) -> Result<(), CloudflareError> {
        let path = account.path(&format!("/logpush/jobs/{id}"));
        let _: Answer<Value> = self.send(Method::DELETE, &path, &[], None).await?;
        Ok(())
    }
}
