//! The audit log.

use crate::error::{ApiError, Problems};
use crate::extract::{Json, Query};
use crate::paging::{self, Page};
use axum::extract::State;
use chrono::{DateTime, Utc};
use hub::App;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{AuditRow, StoreError};
use utoipa::{IntoParams, ToSchema};

/// An action that was performed or attempted.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditBody {
    /// Sequence number.
    pub seq: i64,
    /// Time of the entry.
    pub at: DateTime<Utc>,
    /// Actor: a token by name, the command line, or the system.
    pub actor: String,
    /// Action: `noun.verb`.
    pub action: String,
    /// Target of the action.
    pub target: String,
    /// Outcome.
    pub outcome: String,
    /// Further details.
    pub detail: Value,
    /// Digest of the previous entry, in hex.
    pub previous_hash: String,
    /// Digest of this entry and the previous digest.
    pub hash: String,
}

impl AuditBody {
    pub(crate) fn new(row: AuditRow) -> Result<Self, StoreError> {
        Ok(Self {
            seq: row.seq,
            at: row.at,
            actor: row.actor,
            action: row.action.to_string(),
            target: row.target,
            outcome: row.outcome.to_string(),
            detail: store::stored("audit", row.seq, "detail", &row.detail)?,
            previous_hash: row.previous_hash,
            hash: row.hash,
        })
    }
}

/// Filters for entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Maximum number of results, 1 to 1,000. Default: 100.
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Lists audit log entries, newest first.
#[utoipa::path(get, path = "/audit", tag = "audit", operation_id = "audit_list",
    params(AuditQuery),
    responses((status = 200, description = "A page of entries", body = Page<AuditBody>), Problems))]
pub async fn list(
    State(app): State<App>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<Page<AuditBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let before = paging::read_number(query.cursor.as_deref())?;
    let rows = app.store.audit_list(before, limit).await?;
    let cursor = |row: &AuditRow| paging::cursor([&row.seq.to_string()]);
    Ok(Json(Page::read(rows, limit, cursor, AuditBody::new)?))
}
