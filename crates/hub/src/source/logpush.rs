//! Jobs that push: one for each dataset, made, kept right and watched.
//!
//! [`enable`] compares each job with what it should be (`plan`) and closes the gap; a job that is right is left
//! alone. `watch_due` looks at the jobs and keeps how they fare; it never changes one.
//!
//! A job's destination carries the connection's log secret: it goes to Cloudflare and nowhere else, and what
//! Cloudflare says about a failed push is kept without it.

use super::{Progress, SourceError, SourceState, client_of, is_due, keep, pushed_datasets_named};
use crate::app::{App, ingest_secret_place};
use crate::audit;
use crate::ingest::Dataset;
use crate::permission::Actor;
use chrono::{DateTime, TimeDelta, Utc};
use cloudflare::{AccountId, Client, CloudflareError, LogpushJob, NewLogpushJob};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use store::{ConnectionRow, LogSourceRow, StoreError};
use url::Url;

/// What batches of this source are marked with.
pub(crate) const SOURCE: &str = "logpush";
/// The longest that records wait at Cloudflare. The least that it takes is 30 s.
const INTERVAL_SECONDS: u32 = 30;
/// A job that lets records wait longer is repaired.
const INTERVAL_SECONDS_MAX: u64 = 60;
/// Cloudflare's own default.
const RECORDS_MAX: u32 = 100_000;
/// Chosen: taken in well within the two minutes that Cloudflare waits for an answer.
const BYTES_MAX: u64 = 100_000_000;
/// The least that Cloudflare takes.
const BYTES_MIN: u64 = 5_000_000;
/// The longest destination that Cloudflare takes, in characters.
const DESTINATION_MAX: usize = 4_096;
/// Cloudflare disables a job that had no success for so long. Source: its documentation, August 2026.
const DISABLED_AFTER: TimeDelta = TimeDelta::hours(24);
/// Fields are added to datasets a few times a month.
const FIELDS_EVERY: TimeDelta = TimeDelta::hours(24);
/// Cloudflare's code for a job about people without the permission to see personal data.
const NOT_ALLOWED_FOR_PRODUCT: i64 = 1_004;
/// Datasets that the metadata boundary of the EU kept back in 2024. Source: Cloudflare's documentation.
const OUTSIDE_BOUNDARY: &[&str] = &[
    "access_requests",
    "audit_logs",
    "casb_findings",
    "device_posture_results",
];

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

/// What a job should be.
#[derive(Debug)]
struct Wanted {
    dataset: &'static str,
    destination: SecretString,
    fields: Vec<String>,
    bytes_max: u64,
}

/// What is to be done for it.
#[derive(Debug)]
enum Plan {
    Create,
    Change(Box<LogpushJob>, Vec<String>),
    Nothing,
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
        audit::record(app, actor, "logs.disable", &target, "asked", detail).await?;
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
            state: SourceState::Off.as_str().to_owned(),
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
        changes: vec![if remove { "removed" } else { "switched off" }.to_owned()],
        problem: None,
        warnings: Vec::new(),
    })
}

/// Looks at the jobs of every connection whose last look is old enough.
///
/// # Errors
///
/// When the store refuses.
pub(super) async fn watch_due(app: &App) -> Result<(), StoreError> {
    let minutes = app.settings.logs.check_interval_minutes;
    for connection in app.store.connection_list().await? {
        let rows = app
            .store
            .log_source_list(Some(&connection.id), Some(SOURCE))
            .await?;
        let oldest = rows
            .iter()
            .filter(|row| row.wanted)
            .map(|row| row.checked_at)
            .min();
        if oldest.is_some_and(|oldest| is_due(oldest, minutes, app.clock.now())) {
            watch(app, &connection).await?;
        }
    }
    Ok(())
}

/// Looks at the jobs of a connection and keeps how they fare. Answers how many there are.
///
/// # Errors
///
/// When the store refuses. That Cloudflare cannot be asked is kept with the sources.
pub async fn watch(app: &App, connection: &ConnectionRow) -> Result<usize, StoreError> {
    let mut rows = app
        .store
        .log_source_list(Some(&connection.id), Some(SOURCE))
        .await?;
    rows.retain(|row| row.wanted);
    if rows.is_empty() {
        return Ok(0);
    }
    let now = app.clock.now();
    match look(app, connection, &mut rows).await {
        Ok(befores) => {
            for (row, before) in rows.iter().zip(befores) {
                keep(app, connection, &before, row).await?;
            }
        }
        Err(SourceError::Store(error)) => return Err(error),
        Err(error) => {
            let problem = crate::causes(&error);
            tracing::warn!(connection = %connection.label, "the Logpush jobs cannot be looked at: {problem}");
            for row in &mut rows {
                let before = std::mem::replace(&mut row.state, SourceState::Unreadable.as_str().to_owned());
                row.problem = Some(problem.clone());
                row.checked_at = Some(now);
                keep(app, connection, &before, row).await?;
            }
        }
    }
    Ok(rows.len())
}

async fn look(
    app: &App,
    connection: &ConnectionRow,
    rows: &mut [LogSourceRow],
) -> Result<Vec<String>, SourceError> {
    let secret = ingest_secret(app, connection)?;
    let (client, account) = client_of(app, connection)?;
    let client = client.in_background();
    let jobs = Jobs::read(&client, &account).await?;
    let now = app.clock.now();
    let mut surroundings = None;
    let mut befores = Vec::with_capacity(rows.len());
    for row in rows {
        befores.push(row.state.clone());
        row.checked_at = Some(now);
        let of_dataset = match jobs.of(&client, &account, &row.dataset).await {
            Ok(jobs) => jobs,
            Err(error) => {
                row.state = SourceState::Unreadable.as_str().to_owned();
                row.problem = Some(crate::causes(&error));
                continue;
            }
        };
        let job = of_dataset.iter().find(|job| Some(job.id) == row.job_id);
        judge(row, job, &connection.label, &secret);
        let is_old = row.fields_checked_at.is_none_or(|at| now - at >= FIELDS_EVERY);
        if let Some(job) = job.filter(|_| is_old) {
            // Not to know the newest fields is no problem of the source: it is asked again at the next look.
            if let Ok(fields) = client.logpush_fields(&account, &row.dataset).await {
                let asked = asked_fields(job);
                let missing: Vec<&String> = fields.keys().filter(|field| !asked.contains(*field)).collect();
                row.missing_fields = json!(missing).to_string();
                if surroundings.is_none() {
                    surroundings = Some(Surroundings::read(&client, &account).await);
                }
                let warnings = surroundings
                    .as_ref()
                    .map(|known| known.warnings(&row.dataset, Some(job)));
                row.warnings = json!(warnings.unwrap_or_default()).to_string();
                row.fields_checked_at = Some(now);
            }
        }
    }
    Ok(befores)
}

/// Writes into `row` how its job fares.
fn judge(row: &mut LogSourceRow, job: Option<&LogpushJob>, label: &str, secret: &SecretString) {
    let again = format!(
        "`flareward logs enable --connection {label} --dataset {}`",
        row.dataset
    );
    let (state, problem) = match job {
        None => (
            SourceState::Missing,
            Some(format!(
                "the job was removed at Cloudflare; {again} makes it again"
            )),
        ),
        Some(job) => {
            row.last_complete_at = job.last_complete;
            row.last_error_at = job.last_error;
            row.error_message = job.error_message.as_deref().map(|text| redact(text, secret));
            let message = row.error_message.as_deref().unwrap_or("no message");
            let is_error_newer = match (job.last_error, job.last_complete) {
                (Some(error), Some(complete)) => error > complete,
                (error, None) => error.is_some(),
                (None, Some(_)) => false,
            };
            if !job.enabled {
                let words = if is_error_newer && had_no_success(job) {
                    format!(
                        "Cloudflare switched the job off, as it does after 24 hours without a successful push; the \
                         last error was: {message}. Repair that, then {again} switches it on"
                    )
                } else if is_error_newer {
                    format!("the job is switched off; its last error was: {message}. {again} switches it on")
                } else {
                    format!("the job is switched off at Cloudflare; {again} switches it on")
                };
                (SourceState::Disabled, Some(words))
            } else if is_error_newer {
                (
                    SourceState::Failing,
                    Some(format!("the last push failed: {message}")),
                )
            } else if job.last_complete.is_some() {
                (SourceState::Working, None)
            } else {
                (SourceState::Waiting, None)
            }
        }
    };
    row.state = state.as_str().to_owned();
    row.problem = problem;
}

fn had_no_success(job: &LogpushJob) -> bool {
    match (job.last_error, job.last_complete) {
        (Some(error), Some(complete)) => error - complete >= DISABLED_AFTER,
        _ => true,
    }
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
                "job {} pushes the same here a second time: remove it at Cloudflare",
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
        audit::record(self.app, self.actor, "logs.enable", &target, "asked", detail).await
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
        let before = known.state.clone();
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
        keep(self.app, self.connection, &before, &row).await
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

/// What of the account decides how much its jobs can push.
struct Surroundings {
    /// `None` when it may not be read.
    logging: Option<Value>,
    boundary: Option<String>,
}

impl Surroundings {
    async fn read(client: &Client, account: &AccountId) -> Surroundings {
        Surroundings {
            logging: client.gateway_logging(account).await.ok(),
            boundary: client.metadata_boundary(account).await.ok().flatten(),
        }
    }

    fn warnings(&self, dataset: &str, job: Option<&LogpushJob>) -> Vec<String> {
        let mut warnings = Vec::new();
        let kind = match dataset {
            "gateway_dns" => Some("dns"),
            "gateway_http" => Some("http"),
            "gateway_network" | "zero_trust_network_sessions" => Some("l4"),
            _ => None,
        };
        if let (Some(logging), Some(kind)) = (&self.logging, kind) {
            if logging["redact_pii"] == true {
                warnings.push(
                    "Gateway's logging setting excludes personal data: its records name nobody, so they cannot be \
                     matched to people (Zero Trust > Settings > Network > Exclude PII)"
                        .to_owned(),
                );
            }
            let settings = &logging["settings_by_rule_type"][kind];
            match (settings["log_all"].as_bool(), settings["log_blocks"].as_bool()) {
                (Some(false), Some(false)) => {
                    warnings.push(format!(
                        "Gateway's logging setting writes nothing down for {kind}"
                    ));
                }
                (Some(false), _) => warnings.push(format!(
                    "Gateway's logging setting writes down only what is blocked for {kind}"
                )),
                _ => {}
            }
        }
        if let Some(regions) = self
            .boundary
            .as_deref()
            .filter(|_| OUTSIDE_BOUNDARY.contains(&dataset))
        {
            warnings.push(format!(
                "the Customer Metadata Boundary ({regions}) may keep this dataset from being pushed at all"
            ));
        }
        let other = job.map(|job| &job.other);
        if other.is_some_and(|job| job.get("filter").and_then(Value::as_str).is_some_and(is_filter)) {
            warnings.push("the job has a filter: not everything is pushed".to_owned());
        }
        let rate = other.and_then(|job| job.get("output_options")?.get("sample_rate")?.as_f64());
        if rate.is_some_and(|rate| rate > 0.0 && rate < 1.0) {
            warnings.push("the job samples: not everything is pushed".to_owned());
        }
        warnings
    }
}

fn is_filter(text: &str) -> bool {
    let parsed: Value = serde_json::from_str(text).unwrap_or_default();
    parsed["where"].as_object().is_some_and(|rules| !rules.is_empty())
}

/// Compares a job with what it should be. Members that are not ours stay as they are.
fn plan(job: Option<&LogpushJob>, wanted: &Wanted) -> Plan {
    let Some(job) = job else { return Plan::Create };
    let mut changed = job.clone();
    let mut changes = Vec::new();
    let destination = job.destination();
    let current = destination.as_ref().map(ExposeSecret::expose_secret);
    if !current.is_some_and(|current| is_same(current, wanted.destination.expose_secret())) {
        let text = wanted.destination.expose_secret();
        changed.other.insert("destination_conf".to_owned(), json!(text));
        let moved = current.map(place_of) != Some(place_of(text));
        changes.push(if moved { "destination" } else { "log secret" }.to_owned());
    }
    let mut options = job.other.get("output_options").cloned().unwrap_or_default();
    if !options.is_object() {
        options = json!({});
    }
    let (asked, offered) = (
        asked_fields(job),
        BTreeSet::from_iter(wanted.fields.iter().cloned()),
    );
    if asked != offered {
        let added: Vec<&String> = offered.difference(&asked).collect();
        let gone: Vec<&String> = asked.difference(&offered).collect();
        for (word, fields) in [("added", added), ("no longer offered", gone)] {
            if !fields.is_empty() {
                let names: Vec<&str> = fields.iter().map(|field| field.as_str()).collect();
                changes.push(format!("fields {word}: {}", names.join(", ")));
            }
        }
        options["field_names"] = json!(wanted.fields);
    }
    if options["timestamp_format"] != "rfc3339ns" {
        options["timestamp_format"] = json!("rfc3339ns");
        changes.push("times to the nanosecond".to_owned());
    }
    if options["output_type"]
        .as_str()
        .is_some_and(|kind| kind != "ndjson")
    {
        options["output_type"] = json!("ndjson");
        changes.push("NDJSON".to_owned());
    }
    changed.other.insert("output_options".to_owned(), options);
    let interval = job
        .other
        .get("max_upload_interval_seconds")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    if !(1..=INTERVAL_SECONDS_MAX).contains(&interval) {
        for (name, value) in [
            ("max_upload_interval_seconds", json!(INTERVAL_SECONDS)),
            ("max_upload_records", json!(RECORDS_MAX)),
            ("max_upload_bytes", json!(wanted.bytes_max)),
        ] {
            changed.other.insert(name.to_owned(), value);
        }
        changes.push("sizes of batches".to_owned());
    }
    if !job.enabled {
        changed.enabled = true;
        changes.push("switched on".to_owned());
    }
    if changes.is_empty() {
        Plan::Nothing
    } else {
        Plan::Change(Box::new(changed), changes)
    }
}

fn asked_fields(job: &LogpushJob) -> BTreeSet<String> {
    let names = job
        .other
        .get("output_options")
        .map(|options| &options["field_names"]);
    let names = names.and_then(Value::as_array).into_iter().flatten();
    names.filter_map(|name| Some(name.as_str()?.to_owned())).collect()
}

/// Our job among those of a dataset: the one that we remember, else the first that pushes to our address. A job of
/// another name or address is somebody else's, for example of a second installation.
fn ours<'a>(jobs: &'a [LogpushJob], known: Option<i64>, destination: &str) -> Option<&'a LogpushJob> {
    jobs.iter()
        .find(|job| Some(job.id) == known)
        .or_else(|| jobs.iter().find(|job| is_at(job, destination)))
}

fn is_at(job: &LogpushJob, destination: &str) -> bool {
    let at = job.destination();
    at.is_some_and(|at| place_of(at.expose_secret()) == place_of(destination))
}

/// A destination without its query, where the secrets are.
fn place_of(destination: &str) -> String {
    destination
        .split(['?', '#'])
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Whether two destinations say the same, in whichever order and spelling.
fn is_same(one: &str, other: &str) -> bool {
    let read = |text: &str| {
        let url = Url::parse(text).ok()?;
        let query: BTreeMap<String, String> = url
            .query_pairs()
            .map(|(name, value)| (name.to_lowercase(), value.into_owned()))
            .collect();
        Some((place_of(url.as_str()), query))
    };
    one == other || (read(one).is_some() && read(one) == read(other))
}

/// Our receiver's address for a connection and dataset, with the header that carries the log secret.
fn destination(
    base: &str,
    label: &str,
    dataset: &str,
    secret: &SecretString,
) -> Result<SecretString, SourceError> {
    let not_an_address = || SourceError::PublicUrl {
        url: base.to_owned(),
        source: crate::egress::EgressError::NotAnAddress(base.to_owned()),
    };
    let mut url = Url::parse(base.trim()).map_err(|_| not_an_address())?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(not_an_address());
    }
    url.path_segments_mut()
        .map_err(|()| not_an_address())?
        .pop_if_empty()
        .extend(["ingest", label, dataset]);
    url.query_pairs_mut()
        .append_pair("header_X-Flareward-Secret", secret.expose_secret());
    let text = String::from(url);
    if text.len() > DESTINATION_MAX {
        return Err(SourceError::PublicUrlLong {
            limit: DESTINATION_MAX,
        });
    }
    Ok(SecretString::from(text))
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
            "the credential lacks the permission \"Zero Trust: PII Read\", which jobs about people need beside \
             \"Logs Edit\""
                .to_owned()
        }
        Some(refusal) if refusal.is_not_allowed() => {
            "the credential lacks the permission \"Logs Edit\" (in the API: Logs Write)".to_owned()
        }
        Some(_) if place.is_some() && says("destination") => format!(
            "Cloudflare's test upload to {} failed: the server must run and be reachable from the internet under \
             server.public_url (or --url)",
            place.unwrap_or_default()
        ),
        Some(_) if says("exceeded max jobs") => {
            "the account has as many Logpush jobs as it may: remove one at Cloudflare".to_owned()
        }
        _ => "Cloudflare did not do it".to_owned(),
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
