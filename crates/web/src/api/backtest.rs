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

/// Over which records.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BacktestAskedBody {
    /// From this time on, by the records' own time.
    since: DateTime<Utc>,
    /// Before this time; now when it is left out.
    until: Option<DateTime<Utc>>,
}

/// What a rule would have found.
#[derive(Debug, Serialize, ToSchema)]
pub struct BacktestBody {
    /// The rule's name.
    pub rule: String,
    /// From when.
    pub since: DateTime<Utc>,
    /// Until when.
    pub until: DateTime<Utc>,
    /// Batches that were read.
    pub batches: usize,
    /// Records that were looked at.
    pub events: u64,
    /// Records that the rule, or those that it looks at, match.
    pub matches: u64,
    /// Detections: repeats of one person and target are one.
    pub detections: u64,
    /// People, or identifiers that nobody owns.
    pub people: usize,
    /// Days (UTC) with detections.
    pub days: Vec<BacktestDayBody>,
    /// Those with most detections, at most 20.
    pub most: Vec<BacktestPersonBody>,
    /// Batches that could not be read, with the reason.
    pub unread: Vec<String>,
}

/// One day of a trial.
#[derive(Debug, Serialize, ToSchema)]
pub struct BacktestDayBody {
    /// The day.
    pub day: NaiveDate,
    /// Detections.
    pub detections: u64,
    /// People.
    pub people: usize,
}

/// Someone whom a rule would have found.
#[derive(Debug, Serialize, ToSchema)]
pub struct BacktestPersonBody {
    /// The identifier that the records carry.
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

/// Tries a rule over archived records, whatever its mode, and keeps nothing.
///
/// One trial runs at a time. What would take longer than an answer may is refused; `flareward rules backtest` has no
/// such limit.
#[utoipa::path(post, path = "/rules/{rule}/backtest", tag = "rules", operation_id = "rule_backtest",
    security(("token" = ["read"])), params(("rule" = String, Path, description = "Its name or id")),
    request_body = BacktestAskedBody,
    responses((status = 200, description = "What it would have found", body = BacktestBody), Problems))]
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
            "{} MB of records came since then, and {} MB are read for one answer: ask for a shorter time, or run \
             `flareward rules backtest`",
            bytes >> 20,
            BYTES_MAX >> 20
        );
        return Err(ApiError::invalid("/since", words));
    }
    let Ok(_turn) = trials.0.try_acquire() else {
        return Err(ApiError::Conflict(
            "another rule is being tried: ask again when that has ended".to_owned(),
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
