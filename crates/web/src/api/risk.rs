//! Risk levels: how many people stand where, what changed, and the reset.

use super::overview::RiskCountBody;
use super::people;
use crate::auth::Caller;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path, Query};
use crate::paging::{self, Page};
use axum::extract::State;
use chrono::{DateTime, Utc};
use hub::App;
use hub::risk::{self, RiskError};
use model::{PersonId, RiskLevel};
use serde::{Deserialize, Serialize};
use store::{LIST_LIMIT_MAX, RiskChangeRow};
use utoipa::{IntoParams, ToSchema};

/// A change of a person's Flareward risk level.
#[derive(Debug, Serialize, ToSchema)]
pub struct RiskChangeBody {
    /// Flareward's ID.
    pub id: String,
    /// ID of the person.
    pub person_id: String,
    /// Previous Flareward risk level.
    pub previous: &'static str,
    /// New Flareward risk level.
    pub current: &'static str,
    /// Cause of the change: `policy` for a behaviour, `admin` for a reset.
    pub initiator: String,
    /// Reason for the change.
    pub reason: String,
    /// Behaviour that was triggered.
    pub behaviour: Option<String>,
    /// ID of the detection that triggered the change.
    pub detection_id: Option<String>,
    /// When Flareward changed the level.
    pub at: DateTime<Utc>,
    /// Time of the event that caused the change.
    pub happened_at: DateTime<Utc>,
}

impl RiskChangeBody {
    pub(crate) fn new(row: RiskChangeRow) -> Self {
        Self {
            id: row.id,
            person_id: row.person_id,
            previous: row.previous.as_str(),
            current: row.current.as_str(),
            initiator: row.initiator,
            reason: row.reason,
            behaviour: row.behaviour,
            detection_id: row.detection_id,
            at: row.at,
            happened_at: row.happened_at,
        }
    }
}

/// Filters for risk level changes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChangesQuery {
    /// Only changes at or after this time. Default: all changes.
    since: Option<DateTime<Utc>>,
    /// Maximum number of results, 1 to 1,000. Default: 100.
    limit: Option<i64>,
    /// The `next_cursor` of the previous page; replaces `since`.
    cursor: Option<String>,
}

/// Options of a reset.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetBody {
    /// Reason, recorded in the audit log and sent to signal receivers.
    #[schema(example = "the laptop was reinstalled")]
    reason: String,
}

/// Result of a reset.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResetDoneBody {
    /// `changed`, or `already` if there was nothing to reset.
    pub outcome: &'static str,
    /// ID of the person.
    pub person_id: String,
    /// Previous Flareward risk level; `unscored` if there was nothing to reset.
    pub previous: &'static str,
    /// What was reset: always `hub_risk_level`. Cloudflare's score does not change; to reset it, call the capability
    /// `resetUserRiskScore`.
    pub reset: &'static str,
}

impl ResetDoneBody {
    /// The body of a reset.
    pub fn new(person: PersonId, previous: RiskLevel) -> Self {
        Self {
            outcome: if previous == RiskLevel::Unscored {
                "already"
            } else {
                "changed"
            },
            person_id: person.0,
            previous: previous.as_str(),
            reset: "hub_risk_level",
        }
    }
}

/// Returns the number of people at each Flareward risk level.
#[utoipa::path(get, path = "/risk", tag = "risk", operation_id = "risk_counts",
    responses((status = 200, description = "The levels", body = Page<RiskCountBody>), Problems))]
pub async fn counts(State(app): State<App>) -> Result<Json<Page<RiskCountBody>>, ApiError> {
    let rows = app.store.risk_counts().await?;
    Ok(Json(Page::whole(rows, RiskCountBody::new)))
}

/// Lists changes of Flareward risk levels, oldest first.
#[utoipa::path(get, path = "/risk/changes", tag = "risk", operation_id = "risk_change_list",
    params(ChangesQuery),
    responses((status = 200, description = "A page of changes", body = Page<RiskChangeBody>), Problems))]
pub async fn changes(
    State(app): State<App>,
    Query(query): Query<ChangesQuery>,
) -> Result<Json<Page<RiskChangeBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let after = paging::read_time(query.cursor.as_deref())?;
    let since = after.as_ref().map(|place| place.at).or(query.since);
    // The store begins at a time; the changes of that very time that were shown are left out here.
    let mut rows = app
        .store
        .risk_change_since(since.unwrap_or(DateTime::UNIX_EPOCH), LIST_LIMIT_MAX)
        .await?;
    if let Some(place) = after {
        rows.retain(|row| (row.happened_at, row.id.as_str()) > (place.at, place.id.as_str()));
    }
    rows.truncate(usize::try_from(limit).unwrap_or_default());
    let cursor = |row: &RiskChangeRow| paging::time_cursor(row.happened_at, &row.id);
    Ok(Json(Page::new(rows, limit, cursor, RiskChangeBody::new)))
}

/// Resets a person's Flareward risk level to `unscored` and notifies signal receivers. Does not change Cloudflare's
/// score.
#[utoipa::path(post, path = "/people/{person}/risk-reset", tag = "risk", operation_id = "risk_reset",
    params(("person" = String, Path, description = "Email address \
         or ID of the person")),
    request_body = ResetBody,
    responses((status = 200, description = "Reset", body = ResetDoneBody), Problems))]
pub async fn reset(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
    Json(body): Json<ResetBody>,
) -> Result<Json<ResetDoneBody>, ApiError> {
    let person = people::found(&app, &id).await?.id;
    let previous = risk::reset(&app, &person, &body.reason, &caller.actor)
        .await
        .map_err(|error| match error {
            RiskError::NoPerson => ApiError::NotFound("person"),
            RiskError::NoReason => ApiError::invalid("/reason", error.to_string()),
            RiskError::Store(error) => error.into(),
        })?;
    Ok(Json(ResetDoneBody::new(person, previous)))
}
