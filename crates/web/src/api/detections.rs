//! Detections, and why a rule matched.

use super::document;
use super::events::EventBody;
use super::people;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path, Query};
use crate::paging::{self, Page};
use axum::extract::State;
use chrono::{DateTime, Utc};
use hub::App;
use hub::connection::{self, Labels};
use model::DetectionId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{DetectionFilter, DetectionRow, StoreError};
use utoipa::{IntoParams, ToSchema};

/// A detection: a rule matched for a person or an unmapped identifier.
#[derive(Debug, Serialize, ToSchema)]
pub struct DetectionBody {
    /// Flareward's ID.
    pub id: String,
    /// Rule ID.
    pub rule_id: String,
    /// Rule name.
    pub rule_name: String,
    /// Title of the rule at that time.
    pub title: String,
    /// `informational`, `low`, `medium`, `high` or `critical`.
    pub level: String,
    /// Behaviour that the rule triggers.
    pub behaviour: Option<String>,
    /// Coaching topic.
    pub topic: Option<String>,
    /// The event that matched.
    pub event_id: String,
    /// ID of the connection.
    pub connection_id: String,
    /// Label of the connection.
    pub connection: Option<String>,
    /// Dataset.
    pub dataset: String,
    /// ID of the person.
    pub person_id: Option<String>,
    /// Identifier in the event.
    pub identifier: Option<String>,
    /// Time of the event.
    pub at: DateTime<Utc>,
    /// When the rule matched.
    pub detected_at: DateTime<Utc>,
    /// Additional result of the rule, for example `3 times`.
    pub detail: Option<String>,
    /// Number of matches.
    pub matches: i64,
    /// Time of the last match.
    pub last_at: DateTime<Utc>,
    /// IDs of the events that triggered the detection, oldest first, at most 100.
    pub evidence: Vec<String>,
}

impl DetectionBody {
    /// Creates the response body.
    ///
    /// # Errors
    ///
    /// When a stored document is damaged.
    pub fn new(row: DetectionRow, labels: &Labels) -> Result<Self, StoreError> {
        Ok(Self {
            detail: row.detail,
            evidence: store::stored("detection", &row.id, "evidence", &row.evidence)?,
            id: row.id.0,
            rule_id: row.rule_id,
            rule_name: row.rule_name,
            title: row.title,
            level: row.level,
            behaviour: row.behaviour,
            topic: row.topic,
            event_id: row.event_id.0,
            connection: labels.get(&row.connection_id).cloned(),
            connection_id: row.connection_id.0,
            dataset: row.dataset,
            person_id: row.person_id,
            identifier: row.identifier,
            at: row.at,
            detected_at: row.detected_at,
            matches: row.matches,
            last_at: row.last_at,
        })
    }
}

/// A detection with its event and an explanation.
#[derive(Debug, Serialize, ToSchema)]
pub struct DetectionDetailBody {
    /// The detection.
    pub detection: DetectionBody,
    /// The event that matched.
    pub event: Option<EventBody>,
    /// For each selection of the current rule: expected values and values in the event; null if the rule or the event
    /// no longer exists.
    pub explanation: Value,
}

/// Filters for detections.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DetectionsQuery {
    /// Only for the person with this email address or ID.
    person: Option<String>,
    /// Only for the rule with this name.
    rule: Option<String>,
    /// Maximum number of results, 1 to 1,000. Default: 100.
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Lists detections, newest event first.
#[utoipa::path(get, path = "/detections", tag = "detections", operation_id = "detection_list",
    params(DetectionsQuery),
    responses((status = 200, description = "A page of detections", body = Page<DetectionBody>), Problems))]
pub async fn list(
    State(app): State<App>,
    Query(query): Query<DetectionsQuery>,
) -> Result<Json<Page<DetectionBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let filter = DetectionFilter {
        person_id: people::id_in_query(&app, query.person.as_deref()).await?,
        rule_name: query.rule,
        before: paging::read_time(query.cursor.as_deref())?,
        limit,
    };
    let rows = app.store.detection_list(&filter).await?;
    let cursor = |row: &DetectionRow| paging::time_cursor(row.at, row.id.as_str());
    let labels = connection::labels(&app).await?;
    let body = |row| DetectionBody::new(row, &labels);
    Ok(Json(Page::read(rows, limit, cursor, body)?))
}

/// Returns one detection with its event and why the rule matched.
#[utoipa::path(get, path = "/detections/{detection}", tag = "detections", operation_id = "detection_get",
    params(("detection" = String, Path, description = "ID")),
    responses((status = 200, description = "The detection", body = DetectionDetailBody), Problems))]
pub async fn get_one(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<DetectionDetailBody>, ApiError> {
    let row = app
        .store
        .detection_get(&DetectionId(id))
        .await?
        .ok_or(ApiError::NotFound("detection"))?;
    let ids = std::slice::from_ref(&row.event_id.0);
    let event = hub::event::evidence(&app, ids).await?.pop();
    let rules = app.rules();
    let explanation = event
        .as_ref()
        .zip(rules.rule(&row.rule_name))
        .map(|(event, rule)| json!(rule.explain(&document(&event.raw))))
        .unwrap_or_default();
    let labels = connection::labels(&app).await?;
    Ok(Json(DetectionDetailBody {
        detection: DetectionBody::new(row, &labels)?,
        event: event.map(|event| EventBody::new(event, &labels)),
        explanation,
    }))
}
