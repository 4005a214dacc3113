//! Operations that take long, such as backtests, replays and exports: how far each is, how it ended, and cancelling it.

use super::backtest::BacktestBody;
use crate::auth::Caller;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path, Query};
use crate::paging::{self, Page};
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use hub::App;
use hub::detection::backtest::BacktestRequest;
use hub::operation::{self, CancelError};
use model::OperationKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{OperationRow, StoreError};
use utoipa::{IntoParams, ToSchema};

/// An operation.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperationBody {
    /// Flareward's ID.
    pub id: String,
    /// `backtest`, `replay` or `export`.
    pub kind: &'static str,
    /// Target: a rule or dataset with its time range, or a connection.
    pub target: String,
    /// The request.
    #[schema(value_type = Object)]
    pub request: Value,
    /// Actor who requested it.
    pub actor: String,
    /// When it was requested.
    pub asked_at: DateTime<Utc>,
    /// When it ended; null while it waits or runs.
    pub finished_at: Option<DateTime<Utc>>,
    /// Number of completed steps.
    pub done: i64,
    /// Total number of steps; null if not known yet.
    pub total: Option<i64>,
    /// `done`, `failed` or `cancelled`; null while it waits or runs.
    pub outcome: Option<String>,
    /// Result of a completed operation: for a backtest, the body of a backtest.
    #[schema(value_type = Option<Object>)]
    pub result: Option<Value>,
    /// Why it failed.
    pub problem: Option<String>,
    /// Actor who cancelled it.
    pub cancelled_by: Option<String>,
}

impl OperationBody {
    /// Creates the response body.
    ///
    /// # Errors
    ///
    /// When a stored document is damaged.
    pub fn new(row: OperationRow) -> Result<Self, StoreError> {
        Ok(Self {
            request: row.request_json()?,
            result: result(&row)?,
            id: row.id,
            kind: row.kind.as_str(),
            target: row.target,
            actor: row.actor,
            asked_at: row.asked_at,
            finished_at: row.finished_at,
            done: row.done,
            total: row.total,
            outcome: row.outcome,
            problem: row.problem,
            cancelled_by: row.cancelled_by,
        })
    }
}

fn result(row: &OperationRow) -> Result<Option<Value>, StoreError> {
    Ok(match (row.kind, &row.result) {
        (_, None) => None,
        (OperationKind::Backtest, Some(_)) => backtest(row)?.map(|body| json!(body)),
        (OperationKind::Replay | OperationKind::Export, Some(text)) => {
            Some(store::stored("operation", &row.id, "result", text)?)
        }
    })
}

/// The result of a completed backtest.
pub(super) fn backtest(row: &OperationRow) -> Result<Option<BacktestBody>, StoreError> {
    let Some(text) = &row.result else { return Ok(None) };
    let request: BacktestRequest = store::stored("operation", &row.id, "request", &row.request)?;
    let found = store::stored("operation", &row.id, "result", text)?;
    let body = BacktestBody::new(&request.name, request.since, request.until, found);
    Ok(Some(body))
}

/// Filters for operations.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OperationsQuery {
    /// Maximum number of results, 1 to 1,000. Default: 100.
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Lists operations, newest first. The newest 1,000 are kept.
#[utoipa::path(get, path = "/operations", tag = "operations", operation_id = "operation_list",
    params(OperationsQuery),
    responses((status = 200, description = "A page of operations", body = Page<OperationBody>), Problems))]
pub async fn list(
    State(app): State<App>,
    Query(query): Query<OperationsQuery>,
) -> Result<Json<Page<OperationBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let before = paging::read_time(query.cursor.as_deref())?;
    let rows = app.store.operation_list(before, limit).await?;
    let cursor = |row: &OperationRow| paging::time_cursor(row.asked_at, &row.id);
    Ok(Json(Page::read(rows, limit, cursor, OperationBody::new)?))
}

/// Returns one operation with its progress and, once it has ended, its result.
#[utoipa::path(get, path = "/operations/{operation}", tag = "operations", operation_id = "operation_get",
    params(("operation" = String, Path, description = "ID")),
    responses((status = 200, description = "The operation", body = OperationBody), Problems))]
pub async fn get_one(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<OperationBody>, ApiError> {
    let row = app.store.operation_get(&id).await?;
    let row = row.ok_or(ApiError::NotFound("operation"))?;
    Ok(Json(OperationBody::new(row)?))
}

/// Cancels an operation. It stops at its next step. Requires the permission that starting it requires.
#[utoipa::path(post, path = "/operations/{operation}/cancel", tag = "operations", operation_id = "operation_cancel",
    params(("operation" = String, Path, description = "ID")),
    responses((status = 202, description = "Cancellation requested", body = OperationBody), Problems))]
pub async fn cancel(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<OperationBody>), ApiError> {
    let row = app.store.operation_get(&id).await?;
    let row = row.ok_or(ApiError::NotFound("operation"))?;
    caller.must_hold(operation::permission(row.kind))?;
    let row = operation::cancel(&app, &id, &caller.actor)
        .await
        .map_err(|error| match error {
            CancelError::NotFound(_) => ApiError::NotFound("operation"),
            CancelError::Ended => ApiError::Conflict(error.to_string()),
            CancelError::Store(error) => error.into(),
        })?;
    Ok((StatusCode::ACCEPTED, Json(OperationBody::new(row)?)))
}
