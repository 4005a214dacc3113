//! Where log records come from, and how each source fares.

use super::connections::{find, id_in_query};
use crate::auth::{CanRead, CanWriteConnections};
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

/// One dataset of one connection through one source.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogSourceBody {
    /// Of which connection.
    pub connection_id: String,
    /// Its label.
    pub connection: String,
    /// Which dataset.
    pub dataset: String,
    /// `logpush`, `pull` or `object`.
    pub source: String,
    /// `new`, `waiting`, `working`, `failing`, `disabled`, `missing`, `unreadable`, `off`, or `unmanaged` for
    /// records that come without Flareward's doing.
    pub state: String,
    /// Why.
    pub problem: Option<String>,
    /// The address that is pushed to, or the bucket that is read. Never with a secret.
    pub place: Option<String>,
    /// The job at Cloudflare.
    pub job_id: Option<i64>,
    /// Whether it runs.
    pub enabled: bool,
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
    /// Seconds since the newest batch, or since the time that was pulled up to.
    pub lag_seconds: Option<i64>,
    /// Fields that the dataset has and the job does not ask for.
    pub missing_fields: Vec<String>,
    /// What else someone should know.
    pub warnings: Vec<String>,
    /// When it was last looked at.
    pub checked_at: Option<DateTime<Utc>>,
}

impl LogSourceBody {
    pub(super) fn new(row: SourceStatus) -> Self {
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

/// Which sources.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogSourcesQuery {
    /// Only of this connection: its id or label.
    connection: Option<String>,
}

/// Which jobs to make, repair and switch on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnableLogsBody {
    /// The connection's id or label.
    #[schema(example = "production")]
    connection: String,
    /// Which datasets; every one that the account offers when it is left out or empty.
    #[serde(default)]
    datasets: Vec<String>,
    /// This server as Cloudflare reaches it; the setting `server.public_url` when it is left out.
    public_url: Option<String>,
}

/// What became of the job of one dataset.
#[derive(Debug, Serialize, ToSchema)]
pub struct EnabledLogBody {
    /// Which dataset.
    pub dataset: String,
    /// `created`, `changed`, `already`, `not offered` or `refused`.
    pub outcome: &'static str,
    /// The job at Cloudflare.
    pub job_id: Option<i64>,
    /// What was repaired.
    pub changes: Vec<String>,
    /// Why not.
    pub problem: Option<String>,
    /// What else someone should know.
    pub warnings: Vec<String>,
}

impl EnabledLogBody {
    fn new(one: logpush::Enabled) -> Self {
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

/// What was read of one log.
#[derive(Debug, Serialize, ToSchema)]
pub struct PulledLogBody {
    /// As which dataset.
    pub dataset: String,
    /// Records that were read.
    pub records: usize,
    /// Those that were not stored yet.
    pub new_records: usize,
    /// Up to which time the log has been read to its end.
    pub cursor_at: Option<DateTime<Utc>>,
    /// Whether there may be more than one reading takes.
    pub has_more: bool,
    /// Why it was not read, or what stands in for it.
    pub problem: Option<String>,
}

impl PulledLogBody {
    fn new(one: pull::Pulled) -> Self {
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

/// How to switch a job off.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DisableLogQuery {
    /// Remove the job at Cloudflare too.
    #[serde(default)]
    remove: bool,
}

pub(super) async fn found(app: &App, name: &str) -> Result<ConnectionRow, ApiError> {
    find(app, name).await?.ok_or(ApiError::NotFound("connection"))
}

/// How each source fares, as last looked at.
#[utoipa::path(get, path = "/log-sources", tag = "log sources", operation_id = "log_source_list",
    security(("token" = ["read"])), params(LogSourcesQuery),
    responses((status = 200, description = "By connection, dataset and source", body = Page<LogSourceBody>), Problems))]
pub async fn list(
    _caller: CanRead,
    State(app): State<App>,
    Query(query): Query<LogSourcesQuery>,
) -> Result<Json<Page<LogSourceBody>>, ApiError> {
    let only = id_in_query(&app, query.connection.as_deref()).await?;
    let rows = hub::source::status(&app, only.as_ref()).await?;
    Ok(Json(Page::whole(rows, LogSourceBody::new)))
}

/// Makes Logpush jobs that push to this server, repairs those that are not right, and switches them on.
#[utoipa::path(post, path = "/log-sources", tag = "log sources", operation_id = "log_source_enable",
    security(("token" = ["connections:write"])), request_body = EnableLogsBody,
    responses((status = 200, description = "What became of each dataset", body = Page<EnabledLogBody>), Problems))]
pub async fn enable(
    caller: CanWriteConnections,
    State(app): State<App>,
    Json(body): Json<EnableLogsBody>,
) -> Result<Json<Page<EnabledLogBody>>, ApiError> {
    let connection = find(&app, &body.connection).await?.ok_or_else(|| {
        ApiError::invalid(
            "/connection",
            format!("there is no connection \"{}\"", body.connection),
        )
    })?;
    let url = body.public_url.as_deref();
    let done = logpush::enable(&app, &connection, &body.datasets, url, &caller.actor, &|_| {}).await;
    Ok(Json(Page::whole(done.map_err(refusal)?, EnabledLogBody::new)))
}

/// Asks Cloudflare how the jobs of a connection fare.
#[utoipa::path(post, path = "/log-sources/{connection}/check", tag = "log sources",
    operation_id = "log_source_check", security(("token" = ["connections:write"])),
    params(("connection" = String, Path, description = "Its id or label")),
    responses((status = 200, description = "How each source fares", body = Page<LogSourceBody>), Problems))]
pub async fn check(
    _caller: CanWriteConnections,
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Page<LogSourceBody>>, ApiError> {
    let connection = found(&app, &name).await?;
    logpush::watch(&app, &connection).await?;
    let rows = hub::source::status(&app, Some(&connection.id)).await?;
    Ok(Json(Page::whole(rows, LogSourceBody::new)))
}

/// Reads the Access authentication log, the audit log and Cloudflare's risk events of a connection from the API,
/// where no other source delivers them.
#[utoipa::path(post, path = "/log-sources/{connection}/pull", tag = "log sources",
    operation_id = "log_source_pull", security(("token" = ["connections:write"])),
    params(("connection" = String, Path, description = "Its id or label")),
    responses((status = 200, description = "What was read", body = Page<PulledLogBody>), Problems))]
pub async fn pull_now(
    caller: CanWriteConnections,
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

/// Switches the Logpush job of a dataset off, or removes it.
#[utoipa::path(delete, path = "/log-sources/{connection}/{dataset}", tag = "log sources",
    operation_id = "log_source_disable", security(("token" = ["connections:write"])),
    params(("connection" = String, Path, description = "The connection's id or label"),
        ("dataset" = String, Path, description = "The dataset"), DisableLogQuery),
    responses((status = 200, description = "What became of it", body = EnabledLogBody), Problems))]
pub async fn disable(
    caller: CanWriteConnections,
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
