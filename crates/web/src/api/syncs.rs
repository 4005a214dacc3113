//! The history of syncs over all connections, and what each changed.

use super::connections::{SyncRunBody, id_in_query};
use crate::auth::Caller;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path, Query};
use crate::paging::{self, Page};
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use hub::sync::history::Changed;
use hub::sync::request::{self, CancelError};
use hub::{App, connection};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::GrantChangeRow;
use utoipa::{IntoParams, ToSchema};

/// An object that was added, changed or removed, as found by a sync.
#[derive(Debug, Serialize, ToSchema)]
pub struct SyncChangeBody {
    /// `members`, `roles`, `access_users`, `access_groups`, `apps`, …
    pub kind: String,
    /// Cloudflare's ID.
    pub id: String,
    /// `added`, `changed` or `removed`.
    pub change: String,
    /// Previous name or address; null if the object was added.
    pub name_before: Option<String>,
    /// New name or address; null if the object was removed.
    pub name_after: Option<String>,
    /// Fields that changed.
    pub fields: Vec<String>,
    /// Previous object, without secrets.
    pub before: Option<Value>,
    /// New object, without secrets.
    pub after: Option<Value>,
    /// Time of the change.
    pub at: DateTime<Utc>,
}

impl SyncChangeBody {
    /// Creates the response body.
    pub fn new(row: Changed) -> Self {
        Self {
            kind: row.kind.to_string(),
            id: row.id,
            change: row.change.to_string(),
            name_before: row.name_before,
            name_after: row.name_after,
            fields: row.fields,
            before: row.before,
            after: row.after,
            at: row.at,
        }
    }
}

/// A grant that was added or removed, or changed its certainty, in a sync.
#[derive(Debug, Serialize, ToSchema)]
pub struct GrantChangeBody {
    /// `access-group` or `role`.
    pub kind: String,
    /// ID of the group or role.
    pub entitlement_id: String,
    /// Name.
    pub entitlement_name: String,
    /// Main email address of the person.
    pub email: String,
    /// Previous certainty; null if there was no grant.
    pub before: Option<String>,
    /// New certainty; null if there is no longer a grant.
    pub after: Option<String>,
}

impl GrantChangeBody {
    /// Creates the response body.
    pub fn new(row: GrantChangeRow) -> Self {
        Self {
            kind: row.kind.to_string(),
            entitlement_id: row.entitlement_id,
            entitlement_name: row.entitlement_name,
            email: row.email,
            before: row.before,
            after: row.after,
        }
    }
}

/// Filters for syncs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SyncsQuery {
    /// Only for this connection (ID or label).
    connection: Option<String>,
    /// Maximum number of results, 1 to 1,000. Default: 100.
    limit: Option<i64>,
}

/// Paging.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PartQuery {
    /// Maximum number of results, 1 to 1,000. Default: 100.
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Lists syncs, newest first. The newest 200 of each connection are kept.
#[utoipa::path(get, path = "/syncs", tag = "connections", operation_id = "sync_list",
    params(SyncsQuery),
    responses((status = 200, description = "A list, newest first", body = Page<SyncRunBody>), Problems))]
pub async fn list(
    State(app): State<App>,
    Query(query): Query<SyncsQuery>,
) -> Result<Json<Page<SyncRunBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let connection = id_in_query(&app, query.connection.as_deref()).await?;
    let rows = app.store.sync_run_list(connection.as_ref(), limit).await?;
    let labels = connection::labels(&app).await?;
    Ok(Json(Page::read_whole(rows, |row| {
        SyncRunBody::new(row, &labels)
    })?))
}

/// Returns one sync.
#[utoipa::path(get, path = "/syncs/{sync}", tag = "connections", operation_id = "sync_get",
    params(("sync" = String, Path, description = "ID")),
    responses((status = 200, description = "The sync", body = SyncRunBody), Problems))]
pub async fn get_one(State(app): State<App>, Path(id): Path<String>) -> Result<Json<SyncRunBody>, ApiError> {
    let row = app.store.sync_run_get(&id).await?;
    let row = row.ok_or(ApiError::NotFound("sync"))?;
    let labels = connection::labels(&app).await?;
    Ok(Json(SyncRunBody::new(row, &labels)?))
}

/// Cancels a running sync, in whichever process it runs. The data that it read is kept; the next sync reads all lists.
#[utoipa::path(post, path = "/syncs/{sync}/cancel", tag = "connections", operation_id = "sync_cancel",
    params(("sync" = String, Path, description = "ID")),
    responses((status = 202, description = "Cancellation requested", body = SyncRunBody), Problems))]
pub async fn cancel(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<SyncRunBody>), ApiError> {
    let row = request::cancel(&app, &id, &caller.actor)
        .await
        .map_err(|error| match error {
            CancelError::NotFound(_) => ApiError::NotFound("sync"),
            CancelError::NotRunning => ApiError::Conflict(error.to_string()),
            CancelError::Store(error) => error.into(),
        })?;
    let labels = connection::labels(&app).await?;
    Ok((StatusCode::ACCEPTED, Json(SyncRunBody::new(row, &labels)?)))
}

/// Lists the objects that a sync added, changed and removed. Objects found by the first read of a list do not count
/// as changes.
#[utoipa::path(get, path = "/syncs/{sync}/changes", tag = "connections", operation_id = "sync_changes",
    params(("sync" = String, Path, description = "ID"), PartQuery),
    responses((status = 200, description = "A page, sorted by kind and ID", body = Page<SyncChangeBody>), Problems))]
pub async fn changes(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<PartQuery>,
) -> Result<Json<Page<SyncChangeBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let after = paging::read::<2>(query.cursor.as_deref())?;
    let after = after.as_ref().map(|[kind, id]| (kind.as_str(), id.as_str()));
    if app.store.sync_run_get(&id).await?.is_none() {
        return Err(ApiError::NotFound("sync"));
    }
    let rows = app.store.sync_change_list(&id, after, limit).await?;
    let cursor = |row: &store::SyncChangeRow| paging::cursor([row.kind.as_str(), &row.object_id]);
    let body = |row| Changed::read(row).map(SyncChangeBody::new);
    Ok(Json(Page::read(rows, limit, cursor, body)?))
}

/// Lists the grants of groups and roles that changed in a sync. At most 10,000 are kept.
#[utoipa::path(get, path = "/syncs/{sync}/grant-changes", tag = "connections", operation_id = "sync_grant_changes",
    params(("sync" = String, Path, description = "ID"), PartQuery),
    responses((status = 200, description = "A page, sorted by kind, entitlement and address", body = Page<GrantChangeBody>),
        Problems))]
pub async fn grant_changes(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<PartQuery>,
) -> Result<Json<Page<GrantChangeBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let after = paging::read::<3>(query.cursor.as_deref())?;
    let after = after
        .as_ref()
        .map(|[kind, id, email]| (kind.as_str(), id.as_str(), email.as_str()));
    if app.store.sync_run_get(&id).await?.is_none() {
        return Err(ApiError::NotFound("sync"));
    }
    let rows = app.store.grant_change_list(&id, after, limit).await?;
    let cursor = |row: &GrantChangeRow| paging::cursor([row.kind.as_str(), &row.entitlement_id, &row.email]);
    Ok(Json(Page::new(rows, limit, cursor, GrantChangeBody::new)))
}
