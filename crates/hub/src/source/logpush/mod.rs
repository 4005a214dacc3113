//! Jobs that push: one for each dataset, made, kept right and watched.
//!
//! [`enable`] compares each job with what it should be (`plan`) and closes the gap; a job that is right is left
//! alone. `watch_due` looks at the jobs and keeps how they fare; it never changes one.
//!
//! A job's destination carries the connection's log secret: it goes to Cloudflare and nowhere else, and what
//! Cloudflare says about a failed push is kept without it.

mod plan;
mod warnings;
mod watch;

use super::{SourceError, client_of, is_due, keep, pushed_datasets_named};
use crate::app::{App, ingest_secret_place};
use crate::audit;
use crate::fault;
use crate::permission::Actor;
use crate::progress::Progress;
use chrono::{DateTime, TimeDelta, Utc};
use cloudflare::{AccountId, Client, CloudflareError, LogpushJob, NewLogpushJob};
use model::SourceState;
use plan::{Plan, Wanted, destination, is_at, ours, place_of, plan};
use rules::Dataset;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use store::{ConnectionRow, LogSourceRow, StoreError};
use warnings::Surroundings;
use watch::judge;

pub use watch::watch;
pub(super) use watch::watch_due;

/// What batches of this source are marked with.
pub(crate) const SOURCE: &str = "logpush";
/// The longest that records wait at Cloudflare. The least that it takes is 30 s.
const INTERVAL_SECONDS: u32 = 30;
/// Cloudflare's own default.
const RECORDS_MAX: u32 = 100_000;
/// Chosen: taken in well within the two minutes that Cloudflare waits for an answer.
const BYTES_MAX: u64 = 100_000_000;
/// The least that Cloudflare takes.
const BYTES_MIN: u64 = 5_000_000;
/// Cloudflare disables a job that had no success for so long. Source: its documentation, August 2026.
const DISABLED_AFTER: TimeDelta = TimeDelta::hours(24);
/// Cloudflare's code for a job about people without the permission to see personal data.
const NOT_ALLOWED_FOR_PRODUCT: i64 = 1_004;

/// What became of one dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A job was made.
    Created,
    /// The job was repaired.
    Changed,
    /// The job was right.
    Already,
    /// The account has no such dataset.
    NotOffered,
    /// Cloudflare said no.
    Refused,
}

impl Outcome {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Already => "already",
            Self::NotOffered => "not offered",
            Self::Refused => "refused",
        }
    }
}

/// One dataset after [`enable`] or [`disable`].
#[derive(Debug, Clone)]
pub struct Enabled {
    /// Which.
    pub dataset: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Its job.
    pub job_id: Option<i64>,
    /// What was repaired, in words.
    pub changes: Vec<String>,
    /// Why not.
    pub problem: Option<String>,
    /// What else someone should know.
    pub warnings: Vec<String>,
}

/// Makes, repairs and switches on one job for each dataset; no names: for all that the account offers.
/// `public_url` is this server as Cloudflare reaches it, by default the setting.
///
/// # Errors
///
/// When nothing can be done for any dataset: an unknown name, an address that Cloudflare cannot push to, a
/// credential that may not even list jobs. What is refused for one dataset is in its [`Enabled`].
pub async fn enable(
    app: &App,
    connection: &ConnectionRow,
    names: &[String],
    public_url: Option<&str>,
    actor: &Actor,
    show: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Vec<Enabled>, SourceError> {
    let datasets = pushed_datasets_named(names)?;
    let secret = ingest_secret(app, connection)?;
    let base = public_url.map_or_else(|| app.public_url(), str::to_owned);
    // What we may not call, others cannot call either: an address of this machine, or one without encryption.
    app.egress.check(&base).map_err(|source| SourceError::PublicUrl {
        url: base.clone(),
        source,
    })?;
    let (client, account) = client_of(app, connection)?;
    let jobs = Jobs::read(&client, &account).await?;
    let surroundings = Surroundings::read(&client, &account).await;
    let mut all = Vec::with_capacity(datasets.len());
    for (done, dataset) in (0_u64..).zip(&datasets) {
        show(Progress {
            what: format!("{} {}", connection.label, dataset.name),
            done,
            total: Some(datasets.len() as u64),
        });
        let destination = destination(&base, &connection.label, dataset.name, &secret)?;
        let one = One {
            app,
            connection,
            client: &client,
            account: &account,
            secret: &secret,
            surroundings: &surroundings,
            actor,
        };
        let mut enabled = one.enable(dataset, destination, &jobs).await?;
        // That an account does not have everything is no failure, unless someone asked for it by name.
        if enabled.outcome == Outcome::NotOffered && !names.is_empty() {
            enabled.outcome = Outcome::Refused;
        }
        all.push(enabled);
    }
    Ok(all)
}

/// Switches the job of a dataset off, or removes it. It is no longer watched.
///
/// # Errors
///
/// When there is none, or Cloudflare refuses.
pub async fn disable(
    app: &App,
    connection: &ConnectionRow,
    dataset: &str,
    remove: bool,
    actor: &Actor,
) -> Result<Enabled, SourceError> {
    let dataset = Dataset::named(dataset).ok_or_else(|| SourceError::Dataset(dataset.to_owned()))?;
    let secret = ingest_secret(app, connection)?;
    let (client, account) = client_of(app, connection)?;
    let known = app
        .store
        .log_source_get(&connection.id, dataset.name, SOURCE)
        .await?;
    let jobs = Jobs::read(&client, &account).await?;
    let of_dataset = jobs.of(&client, &account, dataset.name).await?;
    let place = destination(&app.public_url(), &connection.label, dataset.name, &secret)?;
    let job = ours(
        &of_dataset,
        known.as_ref().and_then(|row| row.job_id),
        place.expose_secret(),
    );
    if job.is_none() && known.is_none() {
        return Err(SourceError::Unknown {
            label: connection.label.clone(),
            dataset: dataset.name.to_owned(),
        });
    }
    let mut outcome = Outcome::Already;
    if let Some(job) = job.filter(|job| remove || job.enabled) {
        let target = format!("{}/{}", connection.label, dataset.name);
        let detail = json!({ "job_id": job.id, "remove": remove });
        audit::record(
            app,
            actor,
            model::AuditAction::LogsDisable,
            &target,
            model::AuditOutcome::Asked,
            detail,
        )
        .await?;
        let done = if remove {
            client.logpush_job_delete(&account, job.id).await
        } else {
            let mut changed = job.clone();
            changed.enabled = false;
            client.logpush_job_put(&account, &changed).await.map(|_| ())
        };
        done.map_err(|error| refused(error, None))?;
        outcome = Outcome::Changed;
    }
    let job_id = job.map(|job| job.id);
    if remove {
        app.store
            .log_source_delete(&connection.id, dataset.name, SOURCE)
            .await?;
    } else {
        let row = LogSourceRow {
            wanted: false,
            state: SourceState::Off,
            problem: None,
            job_id,
            checked_at: Some(app.clock.now()),
            ..known.unwrap_or_else(|| LogSourceRow::new(connection.id.clone(), dataset.name, SOURCE))
        };
        app.store.log_source_put(&row, None).await?;
    }
    Ok(Enabled {
        dataset: dataset.name.to_owned(),
        outcome,
        job_id,
        changes: vec![if remove { "removed" } else { "disabled" }.to_owned()],
        problem: None,
        warnings: Vec::new(),
    })
}

/// What [`enable`] works with for one dataset after the other.
struct One<'a> {
    app: &'a App,
    connection: &'a ConnectionRow,
    client: &'a Client,
    account: &'a AccountId,
    secret: &'a SecretString,
    surroundings: &'a Surroundings,
    actor: &'a Actor,
}

impl One<'_> {
    async fn enable(
        &self,
        dataset: &'static Dataset,
        destination: SecretString,
        jobs: &Jobs,
    ) -> Result<Enabled, StoreError> {
        let mut enabled = Enabled {
            dataset: dataset.name.to_owned(),
            outcome: Outcome::Refused,
            job_id: None,
            changes: Vec::new(),
            problem: None,
            warnings: Vec::new(),
        };
        let known = self
            .app
            .store
            .log_source_get(&self.connection.id, dataset.name, SOURCE)
            .await?;
        match self
            .close_the_gap(dataset, destination, jobs, known.as_ref(), &mut enabled)
            .await
        {
            Ok(job) => {
                enabled.job_id = Some(job.id);
                enabled.warnings = self.surroundings.warnings(dataset.name, Some(&job));
                enabled.warnings.extend(enabled.problem.take());
                self.remember(dataset, &job, known, &enabled.warnings).await?;
            }
            Err(SourceError::Store(error)) => return Err(error),
            Err(error) => {
                enabled.problem = Some(redact(&crate::causes(&error), self.secret));
            }
        }
        Ok(enabled)
    }

    async fn close_the_gap(
        &self,
        dataset: &'static Dataset,
        destination: SecretString,
        jobs: &Jobs,
        known: Option<&LogSourceRow>,
        enabled: &mut Enabled,
    ) -> Result<LogpushJob, SourceError> {
        let fields = match self.client.logpush_fields(self.account, dataset.name).await {
            Ok(fields) => fields,
            Err(error) => {
                let is_not_offered = error
                    .refusal()
                    .is_some_and(|refusal| matches!(refusal.status, 400 | 404) && !refusal.is_not_allowed());
                if is_not_offered {
                    enabled.outcome = Outcome::NotOffered;
                }
                return Err(refused(error, None));
            }
        };
        let of_dataset = jobs.of(self.client, self.account, dataset.name).await?;
        let job = ours(
            &of_dataset,
            known.and_then(|row| row.job_id),
            destination.expose_secret(),
        );
        let place = place_of(destination.expose_secret());
        let twins = of_dataset
            .iter()
            .filter(|twin| {
                job.is_some_and(|job| job.id != twin.id) && is_at(twin, destination.expose_secret())
            })
            .map(|twin| twin.id.to_string())
            .collect::<Vec<_>>();
        if !twins.is_empty() {
            enabled.problem = Some(format!(
                "job {} pushes the same dataset here a second time: delete it in Cloudflare",
                twins.join(", ")
            ));
        }
        let wanted = Wanted {
            dataset: dataset.name,
            destination,
            fields: fields.into_keys().collect(),
            bytes_max: BYTES_MAX
                .min(self.app.settings.ingest.batch_limit_bytes)
                .max(BYTES_MIN),
        };
        match plan(job, &wanted) {
            Plan::Nothing => {
                enabled.outcome = Outcome::Already;
                job.cloned().ok_or(SourceError::Unknown {
                    label: self.connection.label.clone(),
                    dataset: dataset.name.to_owned(),
                })
            }
            Plan::Change(changed, changes) => {
                self.write_down(dataset, Some(changed.id), &changes).await?;
                let answer = self.client.logpush_job_put(self.account, &changed).await;
                answer.map_err(|error| refused(error, Some(&place)))?;
                enabled.outcome = Outcome::Changed;
                enabled.changes = changes;
                Ok(*changed)
            }
            Plan::Create => {
                self.write_down(dataset, None, &["created".to_owned()]).await?;
                let new = NewLogpushJob {
                    dataset: wanted.dataset.to_owned(),
                    name: format!("flareward-{}", wanted.dataset),
                    destination: wanted.destination,
                    fields: wanted.fields,
                    interval_seconds: INTERVAL_SECONDS,
                    records_max: RECORDS_MAX,
                    bytes_max: wanted.bytes_max,
                };
                let answer = self.client.logpush_job_create(self.account, &new).await;
                let job = answer.map_err(|error| refused(error, Some(&place)))?;
                fault::point("logpush.made");
                enabled.outcome = Outcome::Created;
                Ok(job)
            }
        }
    }

    async fn write_down(
        &self,
        dataset: &Dataset,
        job_id: Option<i64>,
        changes: &[String],
    ) -> Result<(), StoreError> {
        let target = format!("{}/{}", self.connection.label, dataset.name);
        let detail = json!({ "job_id": job_id, "changes": changes });
        audit::record(
            self.app,
            self.actor,
            model::AuditAction::LogsEnable,
            &target,
            model::AuditOutcome::Asked,
            detail,
        )
        .await
    }

    async fn remember(
        &self,
        dataset: &Dataset,
        job: &LogpushJob,
        known: Option<LogSourceRow>,
        warnings: &[String],
    ) -> Result<(), StoreError> {
        let now = self.app.clock.now();
        let known =
            known.unwrap_or_else(|| LogSourceRow::new(self.connection.id.clone(), dataset.name, SOURCE));
        let before = known.state;
        let place = job
            .destination()
            .map(|destination| place_of(destination.expose_secret()));
        let mut row = LogSourceRow {
            wanted: true,
            job_id: Some(job.id),
            place: place.or(known.place),
            missing_fields: "[]".to_owned(),
            warnings: json!(warnings).to_string(),
            checked_at: Some(now),
            fields_checked_at: Some(now),
            ..known
        };
        judge(&mut row, Some(job), &self.connection.label, self.secret);
        keep(self.app, self.connection, before, &row).await
    }
}

/// The jobs of an account.
enum Jobs {
    All(Vec<LogpushJob>),
    /// The list is refused as a whole when one of its jobs is about people and the credential may not see that: each
    /// dataset is asked for by itself.
    Each,
}

impl Jobs {
    async fn read(client: &Client, account: &AccountId) -> Result<Jobs, SourceError> {
        match client.logpush_jobs(account).await {
            Ok(jobs) => Ok(Jobs::All(jobs)),
            Err(error)
                if error
                    .refusal()
                    .is_some_and(|refusal| refusal.has_code(NOT_ALLOWED_FOR_PRODUCT)) =>
            {
                Ok(Jobs::Each)
            }
            Err(error) => Err(refused(error, None)),
        }
    }

    async fn of(
        &self,
        client: &Client,
        account: &AccountId,
        dataset: &str,
    ) -> Result<Vec<LogpushJob>, SourceError> {
        match self {
            Jobs::All(jobs) => Ok(jobs
                .iter()
                .filter(|job| job.dataset.as_deref() == Some(dataset))
                .cloned()
                .collect()),
            Jobs::Each => client
                .logpush_jobs_of(account, dataset)
                .await
                .map_err(|error| refused(error, None)),
        }
    }
}

fn ingest_secret(app: &App, connection: &ConnectionRow) -> Result<SecretString, SourceError> {
    let place = ingest_secret_place(&connection.id);
    Ok(app.sealer.unseal_text(&place, &connection.ingest_secret_sealed)?)
}

/// What Cloudflare says, without the log secret and without the query of any address in it.
fn redact(text: &str, secret: &SecretString) -> String {
    let without = text.replace(secret.expose_secret(), "…");
    let words: Vec<String> = without
        .split(' ')
        .map(|word| match word.split_once('?') {
            Some((address, _)) if address.contains("://") => format!("{address}?…"),
            _ => word.to_owned(),
        })
        .collect();
    words.join(" ")
}

/// A refusal in words that say what to do.
fn refused(error: CloudflareError, place: Option<&str>) -> SourceError {
    let says = |word: &str| {
        error
            .refusal()
            .is_some_and(|refusal| refusal.errors.iter().any(|told| told.message.contains(word)))
    };
    let words = match error.refusal() {
        Some(refusal) if refusal.has_code(NOT_ALLOWED_FOR_PRODUCT) => {
            "the credential lacks the permission \"Zero Trust: PII Read\", which Zero Trust datasets \
                 require in addition to \"Logs Edit\""
                .to_owned()
        }
        Some(refusal) if refusal.is_not_allowed() => {
            "the credential lacks the permission \"Logs Edit\" (in the API: Logs Write)".to_owned()
        }
        Some(_) if place.is_some() && says("destination") => format!(
            "Cloudflare's test upload to {} failed: the server must be running and reachable from the \
                 internet at server.public_url (or --url)",
            place.unwrap_or_default()
        ),
        Some(_) if says("exceeded max jobs") => {
            "the account has reached its limit of Logpush jobs: delete one in Cloudflare".to_owned()
        }
        _ => "Cloudflare did not apply the change".to_owned(),
    };
    SourceError::Refused { words, source: error }
}

/// When a job of a dataset last gave records to us, or may any moment: it is not pulled as well.
pub(super) fn is_delivering(row: &LogSourceRow) -> bool {
    row.source == SOURCE && row.wanted && ["working", "waiting"].contains(&row.state.as_str())
}

/// Since when a batch that was pushed proves that a dataset comes without our doing.
pub(super) fn pushed_lately(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - at < DISABLED_AFTER
}
