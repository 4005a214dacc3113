//! Where log records come from: jobs that push to us, logs that are pulled, buckets that are read.
//!
//! Reads Cloudflare and buckets; writes `log_source`, `object_read`, `risk_score_read` and the journal, and hands records to
//! [`crate::ingest::receive()`]. Changes something at Cloudflare only in [`logpush::enable`] and
//! [`logpush::disable`], which someone asks for.
//!
//! The driver calls [`run`]; [`status`] tells how each source fares.

pub(crate) mod health;
pub mod logpush;
pub mod objects;
pub mod pull;

use crate::app::{App, ClientError};
use crate::due;
use crate::egress::EgressError;
use crate::secret::SecretError;
use chrono::{DateTime, TimeDelta, Utc};
use cloudflare::{AccountId, Client, CloudflareError};
use model::{ConnectionId, SourceState};
use rules::{DATASETS, Dataset};
use std::collections::{BTreeMap, HashMap};
use store::{ConnectionRow, JournalEntry, LogSourceRow, StoreError};

/// Why a source cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Nobody knows the dataset.
    #[error("unknown dataset \"{0}\"; available: {names}", names = Dataset::names())]
    Dataset(String),
    /// The API does not give this log.
    #[error(
        "the dataset \"{0}\" cannot be pulled; use access_requests, audit_logs_v2, audit_logs or \
             risk_score_events"
    )]
    NotPulled(String),
    /// Logpush does not have this log.
    #[error("Cloudflare does not push the dataset \"{0}\": pull it from the API with `flareward logs pull`")]
    NotPushed(String),
    /// Cloudflare cannot push there.
    #[error("Cloudflare cannot push to {url} (--url, or server.public_url)")]
    PublicUrl {
        /// The address.
        url: String,
        /// Why.
        #[source]
        source: EgressError,
    },
    /// The address is too long for a job.
    #[error("the Logpush destination URL is longer than {limit} characters")]
    PublicUrlLong {
        /// The limit.
        limit: usize,
    },
    /// The stored account id is none.
    #[error("the account ID of connection {0} is invalid")]
    Account(String),
    /// There is nothing to switch off.
    #[error("no source for {dataset} on connection {label}: run `flareward logs status` to see all")]
    Unknown {
        /// The connection.
        label: String,
        /// The dataset.
        dataset: String,
    },
    /// No client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Cloudflare refused, in words that name a missing permission.
    #[error("{words}")]
    Refused {
        /// What is missing.
        words: String,
        /// What Cloudflare said.
        #[source]
        source: CloudflareError,
    },
    /// A sealed secret cannot be opened.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Everything known about one source.
#[derive(Debug, Clone)]
pub struct SourceStatus {
    /// Which connection.
    pub connection_id: ConnectionId,
    /// Its label.
    pub label: String,
    /// Which dataset.
    pub dataset: String,
    /// `logpush`, `pull` or `object`.
    pub source: String,
    /// How it fares.
    pub state: SourceState,
    /// Why.
    pub problem: Option<String>,
    /// The address pushed to, or the bucket.
    pub place: Option<String>,
    /// The job at Cloudflare.
    pub job_id: Option<i64>,
    /// Whether it runs.
    pub is_enabled: bool,
    /// When the source last gave records.
    pub last_complete_at: Option<DateTime<Utc>>,
    /// When it last failed.
    pub last_error_at: Option<DateTime<Utc>>,
    /// With which words.
    pub error_message: Option<String>,
    /// When the newest batch came.
    pub last_batch_at: Option<DateTime<Utc>>,
    /// Up to which time a pulled log has been read to its end.
    pub cursor_at: Option<DateTime<Utc>>,
    /// How old what we have is: since the newest batch, or since the time that was pulled up to.
    pub lag: Option<TimeDelta>,
    /// Fields that the dataset has and the job does not ask for.
    pub missing_fields: Vec<String>,
    /// What else someone should know.
    pub warnings: Vec<String>,
    /// When it was last looked at.
    pub checked_at: Option<DateTime<Utc>>,
}

/// Looks at every source whose time has come. Safe to repeat.
///
/// # Errors
///
/// When the store refuses. A source that does not work keeps the reason in its row.
pub async fn run(app: &App) -> Result<(), StoreError> {
    logpush::watch_due(app).await?;
    pull::run_due(app).await?;
    objects::run_due(app).await?;
    Ok(())
}

/// How the sources of a connection, or of all, fare, as last looked at; by connection, dataset and source.
///
/// # Errors
///
/// When the store refuses.
pub async fn status(app: &App, only: Option<&ConnectionId>) -> Result<Vec<SourceStatus>, StoreError> {
    let labels: HashMap<ConnectionId, String> = app
        .store
        .connection_list()
        .await?
        .into_iter()
        .map(|row| (row.id, row.label))
        .collect();
    let now = app.clock.now();
    let mut last: BTreeMap<(String, String, String), DateTime<Utc>> = app
        .store
        .batch_last(only)
        .await?
        .into_iter()
        .map(|row| ((row.connection_id.0, row.dataset, row.source), row.received_at))
        .collect();
    let mut all = Vec::new();
    for row in app.store.log_source_list(only, None).await? {
        let key = (
            row.connection_id.0.clone(),
            row.dataset.clone(),
            row.source.clone(),
        );
        let last_batch_at = last.remove(&key);
        let label = labels.get(&row.connection_id).cloned().unwrap_or_default();
        all.push(read_status(row, label, last_batch_at, now)?);
    }
    for ((connection, dataset, source), received_at) in last {
        let connection = ConnectionId(connection);
        // Files are taken in once, and told of for a day where they were of no use; what is pushed without our doing goes on.
        let is_file = source == "file";
        if is_file
            && health::unusable(app, &connection, &dataset, &source)
                .await?
                .is_none()
        {
            continue;
        }
        let label = labels.get(&connection).cloned().unwrap_or_default();
        let row = LogSourceRow {
            state: SourceState::Unmanaged,
            ..LogSourceRow::new(connection, &dataset, &source)
        };
        all.push(read_status(row, label, Some(received_at), now)?);
    }
    for one in &mut all {
        let (state, problem) = (&mut one.state, &mut one.problem);
        health::judge(app, &one.connection_id, &one.dataset, &one.source, state, problem).await?;
    }
    all.sort_by(|a, b| (&a.label, &a.dataset, &a.source).cmp(&(&b.label, &b.dataset, &b.source)));
    Ok(all)
}

fn read_status(
    row: LogSourceRow,
    label: String,
    last_batch_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<SourceStatus, StoreError> {
    let list = |column: &'static str, text: &str| {
        let key = format!("{} of connection {}", row.dataset, row.connection_id);
        store::stored("log_source", key, column, text)
    };
    let missing_fields = list("missing_fields", &row.missing_fields)?;
    let warnings = list("warnings", &row.warnings)?;
    let stopped = matches!(
        row.state,
        SourceState::Off | SourceState::Disabled | SourceState::Missing
    );
    let has_until = row.cursor_at.or(last_batch_at);
    Ok(SourceStatus {
        connection_id: row.connection_id,
        label,
        dataset: row.dataset,
        source: row.source,
        is_enabled: row.wanted && !stopped,
        state: row.state,
        problem: row.problem,
        place: row.place,
        job_id: row.job_id,
        last_complete_at: row.last_complete_at,
        last_error_at: row.last_error_at,
        error_message: row.error_message,
        last_batch_at,
        cursor_at: row.cursor_at,
        lag: has_until.map(|at| (now - at).max(TimeDelta::zero())),
        missing_fields,
        warnings,
        checked_at: row.checked_at,
    })
}

/// Keeps a source as it was found, and tells the journal when it went bad or recovered since `before`.
async fn keep(
    app: &App,
    connection: &ConnectionRow,
    before: SourceState,
    row: &LogSourceRow,
) -> Result<(), StoreError> {
    let mut row = row.clone();
    let (state, problem) = (&mut row.state, &mut row.problem);
    health::judge(app, &connection.id, &row.dataset, &row.source, state, problem).await?;
    let row = &row;
    let (was_bad, is_bad) = (before.is_bad(), row.state.is_bad());
    let what = format!("{} of {} by {}", row.dataset, connection.label, row.source);
    let told = match (was_bad, is_bad) {
        (_, true) if before != row.state => {
            let problem = row.problem.as_deref().unwrap_or("unknown reason");
            Some((
                model::JournalKind::LogSourceFailing,
                format!("{what} is {}: {problem}", row.state),
            ))
        }
        (true, false) => Some((
            model::JournalKind::LogSourceRecovered,
            format!("{what} is {} again", row.state),
        )),
        _ => None,
    };
    let entry = told.map(|(kind, summary)| JournalEntry {
        at: app.clock.now(),
        kind,
        person_id: None,
        connection_id: Some(connection.id.clone()),
        subject_id: Some(format!("{}/{}/{}", connection.id, row.dataset, row.source)),
        summary,
        data: serde_json::json!({
            "dataset": row.dataset, "source": row.source, "state": row.state, "before": before,
            "problem": row.problem, "job_id": row.job_id,
        }),
    });
    app.store.log_source_put(row, entry.as_ref()).await
}

/// Whether a source that was looked at then is due now; 0 minutes: never.
fn is_due(checked_at: Option<DateTime<Utc>>, minutes: u64, now: DateTime<Utc>) -> bool {
    let minutes = i64::try_from(minutes).unwrap_or(i64::MAX / 100_000);
    minutes > 0 && due::is_due(checked_at, TimeDelta::minutes(minutes), now)
}

fn client_of(app: &App, connection: &ConnectionRow) -> Result<(Client, AccountId), SourceError> {
    let account = AccountId::parse(&connection.account_id)
        .ok_or_else(|| SourceError::Account(connection.label.clone()))?;
    Ok((app.client(connection)?, account))
}

/// The datasets with these names; all that Cloudflare pushes when none is named.
fn pushed_datasets_named(names: &[String]) -> Result<Vec<&'static Dataset>, SourceError> {
    if names.is_empty() {
        return Ok(DATASETS.iter().filter(|dataset| dataset.is_pushed()).collect());
    }
    names
        .iter()
        .map(|name| match Dataset::named(name) {
            None => Err(SourceError::Dataset(name.clone())),
            Some(dataset) if !dataset.is_pushed() => Err(SourceError::NotPushed(name.clone())),
            Some(dataset) => Ok(dataset),
        })
        .collect()
}
