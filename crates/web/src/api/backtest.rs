//! A rule tried over archived records.

use super::operations::{self, OperationBody};
use crate::auth::Caller;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDate, Utc};
use hub::detection::backtest::{self, Backtest, BacktestError};
use hub::{App, operation};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

/// How long a request waits for its backtest. Chosen: less than clients wait for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// The time range of the records.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BacktestAskedBody {
    /// Start of the range, by record time.
    since: DateTime<Utc>,
    /// End of the range (exclusive). Default: now.
    until: Option<DateTime<Utc>>,
}

/// What a rule would have detected.
#[derive(Debug, Serialize, ToSchema)]
pub struct BacktestBody {
    /// The rule's name.
    pub rule: String,
    /// Start of the range.
    pub since: DateTime<Utc>,
    /// End of the range.
    pub until: DateTime<Utc>,
    /// Number of parts of the archive read.
    pub parts: usize,
    /// Number of records evaluated.
    pub events: u64,
    /// Number of records that match the rule, or the rules that it refers to.
    pub matches: u64,
    /// Number of detections. Repeated matches of one person and target count as one.
    pub detections: u64,
    /// Number of people and unmapped identifiers.
    pub people: usize,
    /// Days (UTC) with detections.
    pub days: Vec<BacktestDayBody>,
    /// The people with the most detections, at most 20.
    pub most: Vec<BacktestPersonBody>,
    /// Parts of the archive that could not be read, with the reason.
    pub unread: Vec<String>,
}

/// One day of a backtest.
#[derive(Debug, Serialize, ToSchema)]
pub struct BacktestDayBody {
    /// The day.
    pub day: NaiveDate,
    /// Number of detections.
    pub detections: u64,
    /// Number of people and unmapped identifiers.
    pub people: usize,
}

/// A person or identifier that a rule would have detected.
#[derive(Debug, Serialize, ToSchema)]
pub struct BacktestPersonBody {
    /// Identifier in the records.
    pub identifier: String,
    /// Number of detections.
    pub detections: u64,
}

impl BacktestBody {
    /// The body of a backtest of the rule with this name.
    pub fn new(rule: &str, since: DateTime<Utc>, until: DateTime<Utc>, found: Backtest) -> Self {
        let day = |(day, of): (NaiveDate, backtest::BacktestDay)| BacktestDayBody {
            day,
            detections: of.detections,
            people: of.people,
        };
        let person = |(identifier, detections)| BacktestPersonBody {
            identifier,
            detections,
        };
        Self {
            rule: rule.to_owned(),
            since,
            until,
            parts: found.parts,
            events: found.events,
            matches: found.matches,
            detections: found.detections,
            people: found.people,
            days: found.days.into_iter().map(day).collect(),
            most: found.most.into_iter().map(person).collect(),
            unread: found.unread,
        }
    }
}

/// Backtests a rule on archived records, regardless of its mode. Stores no detections.
///
/// The server runs one backtest at a time. If the backtest takes longer than 20 seconds, the response is the
/// operation: `GET /api/v1/operations/{id}` shows its progress and its result, and it can be cancelled. Repeating the
/// request while the backtest runs returns the same operation.
#[utoipa::path(post, path = "/rules/{rule}/backtest", tag = "rules", operation_id = "rule_backtest",
    params(("rule" = String, Path, description = "Rule name or ID")),
    request_body = BacktestAskedBody,
    responses((status = 200, description = "What the rule would have detected", body = BacktestBody),
        (status = 202, description = "Still running; `Location` is the path of the operation", body = OperationBody),
        Problems))]
pub async fn run(
    caller: Caller,
    State(app): State<App>,
    Path(name): Path<String>,
    Json(body): Json<BacktestAskedBody>,
) -> Result<Response, ApiError> {
    let book = app.rules();
    let rule = book.rule(&name).ok_or(ApiError::NotFound("rule"))?;
    let asked = backtest::ask(&app, rule, body.since, body.until, &caller.actor)
        .await
        .map_err(|error| match error {
            BacktestError::Time => ApiError::invalid("/since", error.to_string()),
            BacktestError::Store(error) => error.into(),
            error => ApiError::internal(&error),
        })?;
    let row = operation::wait(&app, asked, ANSWER_WITHIN).await?;
    if let Some(body) = operations::backtest(&row)? {
        return Ok(Json(body).into_response());
    }
    if let Some(problem) = row.problem {
        return Err(ApiError::invalid("/since", problem));
    }
    let at = format!("{}/operations/{}", super::BASE, row.id);
    let body = OperationBody::new(row)?;
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, at)], Json(body)).into_response())
}
