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

/// A job as Cloudflare tells it.
#[derive(Clone, Deserialize)]
pub struct LogpushJob {
    /// Its number.
    pub id: i64,
    /// Which dataset it pushes.
    #[serde(default)]
    pub dataset: Option<String>,
    /// Whether it runs.
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
    /// What the last failed push was answered. It may repeat the destination, with its secrets.
    #[serde(default)]
    pub error_message: Option<String>,
    /// Everything else; `destination_conf` among it holds secrets.
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
    /// Where it pushes, with the headers that it sends.
    pub fn destination(&self) -> Option<SecretString> {
        Some(SecretString::from(self.other.get("destination_conf")?.as_str()?))
    }

    /// The whole job as it is sent back, without what only Cloudflare writes.
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

/// A job to be made.
#[derive(Debug, Clone)]
pub struct NewLogpushJob {
    /// Which dataset.
    pub dataset: String,
    /// Its name.
    pub name: String,
    /// Where to push, with the headers to send: `https://…?header_Name=value`.
    pub destination: SecretString,
    /// The fields to push: there is no word for all of them.
    pub fields: Vec<String>,
    /// The longest that records wait for a push, in seconds: 30 to 300.
    pub interval_seconds: u32,
    /// The most records of a push: 1,000 to 1,000,000.
    pub records_max: u32,
    /// The largest push, uncompressed: 5 MB to 1 GB.
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

    /// The fields that a dataset has now, with what each means.
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

    /// Makes a job that runs at once, with times to the nanosecond as text.
    ///
    /// # Errors
    ///
    /// Refused when the destination does not take the test upload.
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

    /// Sends a whole job back, changed. The dataset of a job cannot be changed.
    ///
    /// # Errors
    ///
    /// Refused when the destination does not take the test upload.
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

    /// What Gateway writes down: `redact_pii`, and `log_all` and `log_blocks` of each kind of rule.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn gateway_logging(&self, account: &AccountId) -> Result<Value, CloudflareError> {
        self.get(&account.path("/gateway/logging"), &[]).await
    }

    /// The regions that logs must stay in, if the account has such a rule.
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
