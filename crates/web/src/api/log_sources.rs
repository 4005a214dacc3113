//! Where log records come from, and how each source fares.

use super::connections::id_in_query;
use crate::auth::Caller;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path, Query};
use crate::paging::Page;
use axum::extract::State;
use chrono::{DateTime, Utc};
use hub::App;
use hub::source::{SourceError, SourceStatus, logpush, pull};
use serde::{Deserialize, Serialize};
use store::ConnectionRow;
use utoipa::{IntoParams, ToSchema};

/// A log source: one dataset of one connection.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogSourceBody {
    /// ID of the connection.
    pub connection_id: String,
    /// Label of the connection.
    pub connection: String,
    /// Dataset.
    pub dataset: String,
    /// `logpush`, `pull` or `object`.
    pub source: String,
    /// `new`, `waiting`, `working`, `failing`, `disabled`, `missing`, `unreadable`, `off`, or `unmanaged` for records
    /// from sources that Flareward does not manage.
    pub state: String,
    /// Reason for the state.
    pub problem: Option<String>,
    /// The Logpush destination or the bucket, without secrets.
    pub place: Option<String>,
    /// ID of the Logpush job.
    pub job_id: Option<i64>,
    /// Whether the job is enabled.
    pub enabled: bool,
    /// When the source last delivered successfully.
    pub last_complete_at: Option<DateTime<Utc>>,
    /// Time of the last failure.
    pub last_error_at: Option<DateTime<Utc>>,
    /// Error message of the last failure.
    pub error_message: Option<String>,
    /// When the newest batch was received.
    pub last_batch_at: Option<DateTime<Utc>>,
    /// Time up to which a pulled log has been fully read.
    pub cursor_at: Option<DateTime<Utc>>,
    /// Seconds since the newest batch, or since the time up to which the log was pulled.
    pub lag_seconds: Option<i64>,
    /// Fields of the dataset that the job does not deliver.
    pub missing_fields: Vec<String>,
    /// Warnings.
    pub warnings: Vec<String>,
    /// When the source was last checked.
    pub checked_at: Option<DateTime<Utc>>,
}

impl LogSourceBody {
    /// Creates the response body.
    pub fn new(row: SourceStatus) -> Self {
        Self {
            connection_id: row.connection_id.0,
            connection: row.label,
            dataset: row.dataset,
            source: row.source,
            state: row.state.to_string(),
            problem: row.problem,
            place: row.place,
            job_id: row.job_id,
            enabled: row.is_enabled,
            last_complete_at: row.last_complete_at,
            last_error_at: row.last_error_at,
            error_message: row.error_message,
            last_batch_at: row.last_batch_at,
            cursor_at: row.cursor_at,
            lag_seconds: row.lag.map(|lag| lag.num_seconds()),
            missing_fields: row.missing_fields,
            warnings: row.warnings,
            checked_at: row.checked_at,
        }
    }
}

/// Filters for log sources.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogSourcesQuery {
    /// Only for this connection (ID or label).
    connection: Option<String>,
}

/// The jobs to create, repair and enable.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnableLogsBody {
    /// Connection ID or label.
    #[schema(example = "production")]
    connection: String,
    /// Datasets. Default: all datasets available to the account.
    #[serde(default)]
    datasets: Vec<String>,
    /// URL at which Cloudflare reaches this server. Default: the setting `server.public_url`.
    public_url: Option<String>,
}

/// Result for the job of one dataset.
#[derive(Debug, Serialize, ToSchema)]
pub struct EnabledLogBody {
    /// Dataset.
    pub dataset: String,
    /// `created`, `changed`, `already`, `not offered` or `refused`.
    pub outcome: &'static str,
    /// ID of the Logpush job.
    pub job_id: Option<i64>,
    /// Changes that were made.
    pub changes: Vec<String>,
    /// Reason for the outcome, if the job could not be enabled.
    pub problem: Option<String>,
    /// Warnings.
    pub warnings: Vec<String>,
}

impl EnabledLogBody {
    /// Creates the response body.
    pub fn new(one: logpush::Enabled) -> Self {
        Self {
            dataset: one.dataset,
            outcome: one.outcome.as_str(),
            job_id: one.job_id,
            changes: one.changes,
            problem: one.problem,
            warnings: one.warnings,
        }
    }
}

/// Result of pulling one log.
#[derive(Debug, Serialize, ToSchema)]
pub struct PulledLogBody {
    /// Dataset.
    pub dataset: String,
    /// Number of records read.
    pub records: usize,
    /// Number of new records.
    pub new_records: usize,
    /// Time up to which the log has been fully read.
    pub cursor_at: Option<DateTime<Utc>>,
    /// Whether more records may be available. The next pull reads them.
    pub has_more: bool,
    /// Why the log was not read, or what is read instead.
    pub problem: Option<String>,
}

impl PulledLogBody {
    /// Creates the response body.
    pub fn new(one: pull::Pulled) -> Self {
        Self {
            dataset: one.dataset,
            records: one.records,
            new_records: one.new_records,
            cursor_at: one.cursor_at,
            has_more: one.has_more,
            problem: one.problem,
        }
    }
}

/// Options for disabling a job.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DisableLogQuery {
    /// Also delete the job in Cloudflare.
    #[serde(default)]
    remove: bool,
}

pub(super) async fn found(app: &App, name: &str) -> Result<ConnectionRow, ApiError> {
    hub::connection::find(app, name)
        .await?
        .ok_or(ApiError::NotFound("connection"))
}

/// Lists log sources with their state at the last check.
#[utoipa::path(get, path = "/log-sources", tag = "log sources", operation_id = "log_source_list",
    params(LogSourcesQuery),
    responses((status = 200, description = "A list, by connection, dataset and source", body = Page<LogSourceBody>),
        Problems))]
pub async fn list(
    State(app): State<App>,
    Query(query): Query<LogSourcesQuery>,
) -> Result<Json<Page<LogSourceBody>>, ApiError> {
    let only = id_in_query(&app, query.connection.as_deref()).await?;
    let rows = hub::source::status(&app, only.as_ref()).await?;
    Ok(Json(Page::whole(rows, LogSourceBody::new)))
}

/// Creates, repairs and enables Logpush jobs that push to this server.
#[utoipa::path(post, path = "/log-sources", tag = "log sources", operation_id = "log_source_enable",
    request_body = EnableLogsBody,
    responses((status = 200, description = "Result for each dataset", body = Page<EnabledLogBody>), Problems))]
pub async fn enable(
    caller: Caller,
    State(app): State<App>,
    Json(body): Json<EnableLogsBody>,
) -> Result<Json<Page<EnabledLogBody>>, ApiError> {
    let connection = hub::connection::find(&app, &body.connection)
        .await?
        .ok_or_else(|| {
            ApiError::invalid(
                "/connection",
                format!("no connection named \"{}\"", body.connection),
            )
        })?;
    let url = body.public_url.as_deref();
    let done = logpush::enable(&app, &connection, &body.datasets, url, &caller.actor, &|_| {}).await;
    Ok(Json(Page::whole(done.map_err(refusal)?, EnabledLogBody::new)))
}

/// Checks the Logpush jobs of a connection in Cloudflare.
#[utoipa::path(post, path = "/log-sources/{connection}/check", tag = "log sources",
    operation_id = "log_source_check",
    params(("connection" = String, Path, description = "Connection ID or label")),
    responses((status = 200, description = "State of each log source", body = Page<LogSourceBody>), Problems))]
pub async fn check(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Page<LogSourceBody>>, ApiError> {
    let connection = found(&app, &name).await?;
    logpush::watch(&app, &connection).await?;
    let rows = hub::source::status(&app, Some(&connection.id)).await?;
    Ok(Json(Page::whole(rows, LogSourceBody::new)))
}

/// Pulls the Access authentication log, the audit log and Cloudflare's risk events of a connection from the API,
/// unless another source delivers them.
#[utoipa::path(post, path = "/log-sources/{connection}/pull", tag = "log sources",
    operation_id = "log_source_pull",
    params(("connection" = String, Path, description = "Connection ID or label")),
    responses((status = 200, description = "Result of the read", body = Page<PulledLogBody>), Problems))]
pub async fn pull_now(
    caller: Caller,
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Page<PulledLogBody>>, ApiError> {
    let connection = found(&app, &name).await?;
    let label = &connection.label;
    hub::audit::record(
        &app,
        &caller.actor,
        model::AuditAction::LogsPull,
        label,
        model::AuditOutcome::Asked,
        serde_json::json!({}),
    )
    .await?;
    let pulled = pull::pull(&app, &connection, &[], &|_| {}).await;
    Ok(Json(Page::whole(pulled.map_err(refusal)?, PulledLogBody::new)))
}

/// Disables or deletes the Logpush job of a dataset.
#[utoipa::path(delete, path = "/log-sources/{connection}/{dataset}", tag = "log sources",
    operation_id = "log_source_disable",
    params(("connection" = String, Path, description = "Connection ID or label"),
        ("dataset" = String, Path, description = "The dataset"), DisableLogQuery),
    responses((status = 200, description = "Result", body = EnabledLogBody), Problems))]
pub async fn disable(
    caller: Caller,
    State(app): State<App>,
    Path((name, dataset)): Path<(String, String)>,
    Query(query): Query<DisableLogQuery>,
) -> Result<Json<EnabledLogBody>, ApiError> {
    let connection = found(&app, &name).await?;
    let done = logpush::disable(&app, &connection, &dataset, query.remove, &caller.actor).await;
    Ok(Json(EnabledLogBody::new(done.map_err(refusal)?)))
}

pub(super) fn refusal(error: SourceError) -> ApiError {
    let words = hub::causes(&error);
    match error {
        SourceError::Dataset(_) | SourceError::NotPushed(_) => ApiError::invalid("/datasets", words),
        SourceError::PublicUrl { .. } | SourceError::PublicUrlLong { .. } => {
            ApiError::invalid("/public_url", words)
        }
        SourceError::Unknown { .. } => ApiError::NotFound("log source"),
        SourceError::Refused { .. } => ApiError::Upstream(words),
        SourceError::Store(error) => error.into(),
        error => ApiError::internal(&error),
    }
}
