//! How the jobs fare, as Cloudflare tells it. Reads Cloudflare, writes `log_source` and the journal, changes no job.

use super::plan::asked_fields;
use super::warnings::Surroundings;
use super::{DISABLED_AFTER, Jobs, SOURCE, SourceError, client_of, ingest_secret, is_due, keep, redact};
use crate::app::App;
use crate::due;
use chrono::TimeDelta;
use cloudflare::LogpushJob;
use model::SourceState;
use secrecy::SecretString;
use serde_json::json;
use store::{ConnectionRow, LogSourceRow, StoreError};

/// Fields are added to datasets a few times a month.
const FIELDS_EVERY: TimeDelta = TimeDelta::hours(24);

/// Looks at the jobs of every connection whose last look is old enough.
///
/// # Errors
///
/// When the store refuses.
pub(in crate::source) async fn watch_due(app: &App) -> Result<(), StoreError> {
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
                keep(app, connection, before, row).await?;
            }
        }
        Err(SourceError::Store(error)) => return Err(error),
        Err(error) => {
            let problem = crate::causes(&error);
            tracing::warn!(connection = %connection.label, "cannot check the Logpush jobs: {problem}");
            for row in &mut rows {
                let before = std::mem::replace(&mut row.state, SourceState::Unreadable);
                row.problem = Some(problem.clone());
                row.checked_at = Some(now);
                keep(app, connection, before, row).await?;
            }
        }
    }
    Ok(rows.len())
}

async fn look(
    app: &App,
    connection: &ConnectionRow,
    rows: &mut [LogSourceRow],
) -> Result<Vec<SourceState>, SourceError> {
    let secret = ingest_secret(app, connection)?;
    let (client, account) = client_of(app, connection)?;
    let client = client.in_background();
    let jobs = Jobs::read(&client, &account).await?;
    let now = app.clock.now();
    let mut surroundings = None;
    let mut befores = Vec::with_capacity(rows.len());
    for row in rows {
        befores.push(row.state);
        row.checked_at = Some(now);
        let of_dataset = match jobs.of(&client, &account, &row.dataset).await {
            Ok(jobs) => jobs,
            Err(error) => {
                row.state = SourceState::Unreadable;
                row.problem = Some(crate::causes(&error));
                continue;
            }
        };
        let job = of_dataset.iter().find(|job| Some(job.id) == row.job_id);
        judge(row, job, &connection.label, &secret);
        let is_old = due::is_due(row.fields_checked_at, FIELDS_EVERY, now);
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
pub(super) fn judge(row: &mut LogSourceRow, job: Option<&LogpushJob>, label: &str, secret: &SecretString) {
    let again = format!(
        "`flareward logs enable --connection {label} --dataset {}`",
        row.dataset
    );
    let (state, problem) = match job {
        None => (
            SourceState::Missing,
            Some(format!(
                "the job was deleted in Cloudflare; to create it again, run {again}"
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
                        "Cloudflare disabled the job, as it does after 24 hours without a successful \
                             push; last error: {message}. Fix the cause, then run {again} to enable it"
                    )
                } else if is_error_newer {
                    format!("the job is disabled; last error: {message}. To enable it, run {again}")
                } else {
                    format!("the job is disabled in Cloudflare; to enable it, run {again}")
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
    row.state = state;
    row.problem = problem;
}

fn had_no_success(job: &LogpushJob) -> bool {
    match (job.last_error, job.last_complete) {
        (Some(error), Some(complete)) => error - complete >= DISABLED_AFTER,
        _ => true,
    }
}
