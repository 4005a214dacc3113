//! A rule tried over archived records.

use crate::auth::CanRead;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path};
use axum::Extension;
use axum::extract::State;
use chrono::{DateTime, NaiveDate, Utc};
use hub::App;
use hub::detection::backtest::{self, Backtest, BacktestError};
use rules::book::BookRule;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

/// Uncompressed records that are read for one answer. Chosen: they are read well within the time that an answer
/// may take, by one core.
const BYTES_MAX: i64 = 1 << 30;

/// Trials run one at a time: each keeps a core busy.
#[derive(Debug, Clone)]
pub struct Trials(Arc<Semaphore>);

impl Default for Trials {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

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
    /// Number of batches read.
    pub batches: usize,
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
    /// Batches that could not be read, with the reason.
    pub unread: Vec<String>,
}

/// One day of a backtest.
#[derive(Debug, Serialize, ToSchema)]
pub struct BacktestDayBody {
    /// The day.
    pub day: NaiveDate,
    /// Detections.
    pub detections: u64,
    /// People.
    pub people: usize,
}

/// A person or identifier that a rule would have detected.
#[derive(Debug, Serialize, ToSchema)]
pub struct BacktestPersonBody {
    /// Identifier in the records.
    pub identifier: String,
    /// Detections.
    pub detections: u64,
}

impl BacktestBody {
    fn new(rule: &BookRule, since: DateTime<Utc>, until: DateTime<Utc>, found: Backtest) -> Self {
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
            rule: rule.name.clone(),
            since,
            until,
            batches: found.batches,
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

/// Backtests a rule on archived records, regardless of its mode. Stores nothing.
///
/// Only one backtest runs at a time. Requests with too many records are rejected; `flareward rules backtest` has no
/// such limit.
#[utoipa::path(post, path = "/rules/{rule}/backtest", tag = "rules", operation_id = "rule_backtest",
    security(("token" = ["read"])), params(("rule" = String, Path, description = "Rule name or ID")),
    request_body = BacktestAskedBody,
    responses((status = 200, description = "What the rule would have detected", body = BacktestBody), Problems))]
pub async fn run(
    _caller: CanRead,
    State(app): State<App>,
    Extension(trials): Extension<Trials>,
    Path(name): Path<String>,
    Json(body): Json<BacktestAskedBody>,
) -> Result<Json<BacktestBody>, ApiError> {
    let book = app.rules();
    let rule = book.rule(&name).ok_or(ApiError::NotFound("rule"))?;
    let (since, until) = (body.since, body.until.unwrap_or_else(|| app.clock.now()));
    if since >= until {
        return Err(ApiError::invalid("/since", "must be before \"until\""));
    }
    let datasets: Vec<String> = rule
        .datasets()
        .iter()
        .map(|dataset| dataset.name.to_owned())
        .collect();
    let batches = app.store.batch_between(since, &datasets).await?;
    let bytes: i64 = batches.iter().map(|batch| batch.bytes).sum();
    if bytes > BYTES_MAX {
        let words = format!(
            "the range contains {} MB of records, and the limit per request is {} MB: use a shorter \
                 range, or run `flareward rules backtest`",
            bytes >> 20,
            BYTES_MAX >> 20
        );
        return Err(ApiError::invalid("/since", words));
    }
    let Ok(_turn) = trials.0.try_acquire() else {
        return Err(ApiError::Conflict(
            "another backtest is running: try again when it has finished".to_owned(),
        ));
    };
    let found = backtest::run(&app, &book, rule, since, until, |_, _| {})
        .await
        .map_err(|error| match error {
            BacktestError::Store(error) => error.into(),
            error @ BacktestError::TooMany => ApiError::invalid("/since", error.to_string()),
            error @ BacktestError::Thread => ApiError::internal(&error),
        })?;
    Ok(Json(BacktestBody::new(rule, since, until, found)))
}
