//! Removing what the logs hold of one person.
//!
//! Looking through the archive takes longer than an answer may: a purge is written down, begun, and answered at once.
//! How far it has come, and what stopped it, stands in its row.

use super::people;
use crate::auth::{CanRead, IsAdmin};
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path, Query};
use crate::paging::{self, Page};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use hub::App;
use hub::purge::{self, PurgeError};
use serde::{Deserialize, Serialize};
use store::PurgeRow;
use utoipa::{IntoParams, ToSchema};

/// Why records are to be removed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PurgeAskedBody {
    /// Why, for the audit log.
    #[schema(example = "asked to be forgotten")]
    #[serde(default)]
    reason: String,
    /// Answer what would be removed, with counts, and remove nothing. Reads the whole archive.
    #[serde(default)]
    plan_only: bool,
}

/// What a purge would remove.
#[derive(Debug, Serialize, ToSchema)]
pub struct PurgePlanBody {
    /// Whose records.
    pub person_id: String,
    /// Addresses and names that mark a record as the person's, in lower case.
    pub identifiers: Vec<String>,
    /// Batches that were looked through.
    pub batches: i64,
    /// Archived objects that would be written anew.
    pub objects: i64,
    /// Records that would be left out of them.
    pub records: i64,
    /// Events that would be removed.
    pub events: i64,
    /// Whether batches wait to be processed: whose their records are is not known yet.
    pub pending: bool,
}

/// A request to remove what the logs hold of one person.
#[derive(Debug, Serialize, ToSchema)]
pub struct PurgeBody {
    /// Our id.
    pub id: String,
    /// Whose records.
    pub person_id: String,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub actor: String,
    /// When it was first asked for.
    pub started_at: DateTime<Utc>,
    /// When it ended; null while it runs, and when it was cut off: asked for again, it goes on.
    pub finished_at: Option<DateTime<Utc>>,
    /// Why it could not go on.
    pub problem: Option<String>,
    /// Batches that were looked through.
    pub batches: i64,
    /// Archived objects that were written anew.
    pub objects: i64,
    /// Records that were left out of them.
    pub records: i64,
    /// Events that were removed.
    pub events: i64,
}

impl PurgeBody {
    fn new(row: PurgeRow) -> Self {
        Self {
            id: row.id,
            person_id: row.person_id,
            reason: row.reason,
            actor: row.actor,
            started_at: row.started_at,
            finished_at: row.finished_at,
            problem: row.problem,
            batches: row.batches,
            objects: row.objects,
            records: row.records,
            events: row.events,
        }
    }
}

/// Which purges.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PurgesQuery {
    /// At most this many, 1 to 1,000; 100 when it is left out.
    limit: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Asks for all records of a person to be removed from the archive and the events. The server does it; a purge of the
/// person that has not ended is answered instead of a second one.
///
/// One purge runs at a time, the others wait. What other people's records say about the person stays, and so do detections.
#[utoipa::path(post, path = "/people/{person}/purge", tag = "events", operation_id = "purge_begin",
    security(("token" = ["admin"])), params(("person" = String, Path, description = "Their address or id")),
    request_body = PurgeAskedBody,
    responses((status = 202, description = "Begun; `Location` tells how it goes on", body = PurgeBody),
        (status = 200, description = "The plan, with `plan_only`", body = PurgePlanBody), Problems))]
pub async fn begin(
    caller: IsAdmin,
    State(app): State<App>,
    Path(id): Path<String>,
    Json(body): Json<PurgeAskedBody>,
) -> Result<Response, ApiError> {
    let person = people::found(&app, &id).await?;
    if body.plan_only {
        let plan = purge::plan(&app, &person, &|_| {})
            .await
            .map_err(|error| ApiError::internal(&error))?;
        let plan = PurgePlanBody {
            person_id: person.id.0,
            identifiers: plan.identifiers,
            batches: plan.batches,
            objects: plan.objects,
            records: plan.records,
            events: plan.events,
            pending: plan.is_pending,
        };
        return Ok((StatusCode::OK, Json(plan)).into_response());
    }
    let row = purge::begin(&app, &person, &body.reason, &caller.actor)
        .await
        .map_err(|error| match error {
            PurgeError::Reason => ApiError::invalid("/reason", "must say why"),
            PurgeError::Store(error) => error.into(),
            error => ApiError::internal(&error),
        })?;
    let at = format!("{}/purges/{}", super::BASE, row.id);
    let answer = PurgeBody::new(row.clone());
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, at)], Json(answer)).into_response())
}

/// Purges, newest first.
#[utoipa::path(get, path = "/purges", tag = "events", operation_id = "purge_list",
    security(("token" = ["read"])), params(PurgesQuery),
    responses((status = 200, description = "A page of purges", body = Page<PurgeBody>), Problems))]
pub async fn list(
    _caller: CanRead,
    State(app): State<App>,
    Query(query): Query<PurgesQuery>,
) -> Result<Json<Page<PurgeBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let before = paging::read_time(query.cursor.as_deref())?;
    let rows = app.store.purge_list(before, limit).await?;
    let cursor = |row: &PurgeRow| paging::time_cursor(row.started_at, &row.id);
    Ok(Json(Page::new(rows, limit, cursor, PurgeBody::new)))
}

/// One purge: how far it has come, and what stopped it.
#[utoipa::path(get, path = "/purges/{purge}", tag = "events", operation_id = "purge_get",
    security(("token" = ["read"])), params(("purge" = String, Path, description = "Its id")),
    responses((status = 200, description = "The purge", body = PurgeBody), Problems))]
pub async fn get_one(
    _caller: CanRead,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<PurgeBody>, ApiError> {
    let row = app.store.purge_get(&id).await?;
    Ok(Json(PurgeBody::new(row.ok_or(ApiError::NotFound("purge"))?)))
}
