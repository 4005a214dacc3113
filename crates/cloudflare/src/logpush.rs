//! Jobs that push logs. Their destination carries secrets: it is never printed.

use crate::Others;
use crate::account::AccountId;
use crate::client::{Answer, Client};
use crate::error::CloudflareError;
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
    /// What the last failed push was answered.
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
}

impl Client {
    /// All jobs of the account.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn logpush_jobs(&self, account: &AccountId) -> Result<Vec<LogpushJob>, CloudflareError> {
        self.get(&account.path("/logpush/jobs"), &[]).await
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
        });
        self.result(Method::POST, &account.path("/logpush/jobs"), &[], Some(&body))
            .await
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
