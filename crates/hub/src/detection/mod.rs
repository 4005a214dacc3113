//! Runs the rules over events: as they are stored, and again over stored ones.
//!
//! The driver lets `Detecting` look at a new batch's events while they are at hand. What was interrupted,
//! or is to be looked at again, waits as a `batch` in state `stored` and is read back by [`run`]. Both write `rule_hit`, `detection`, `watermark`, the journal, and the
//! batch's state. Every match is kept as long as it may bear on others ([`store::MatchRow`]); which detections there
//! should be is a pure function of the matches of one group, and `settle` makes the stored ones so. A batch may
//! be repeated at any point, and records may come in any order: what is there in the end is the same.
//!
//! Start reading at [`run`].

pub mod backtest;
pub mod replay;
mod settle;

use crate::app::App;
use crate::claim;
use crate::fault;
use chrono::{DateTime, TimeDelta, Utc};
use model::BatchState;
use rules::book::{RuleBook, RuleMode};
use rules::detector::{DetectorScratch, MatchValue};
use serde_json::json;
use sigma::PartOf;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use store::{BatchRow, EventRow, LIST_LIMIT_MAX, MatchRow, MatchRun, StoreError};

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Batches that were looked at.
    pub batches: usize,
    /// Events that were looked at.
    pub events: usize,
    /// Detections that are new.
    pub detections: usize,
}

impl Report {
    /// Whether there was anything to do.
    pub fn did_anything(&self) -> bool {
        self.batches > 0 || self.detections > 0
    }
}

/// Shows every stored event to the rules.
///
/// # Errors
///
/// When the store refuses; the next run goes on with the same batch.
pub async fn run(app: &App) -> Result<Report, StoreError> {
    let mut report = Report::default();
    while let Some(batch) = app
        .store
        .batch_claim(BatchState::Stored, &app.holder, claim::LENGTH)
        .await?
    {
        one(app, &batch, &mut report).await?;
    }
    // What others caused and did not live to settle.
    report.detections += settle::settle(app, &app.rules()).await?;
    Ok(report)
}

/// Whether any group is owed its detections by the rules that run.
///
/// # Errors
///
/// When the store refuses.
pub async fn owes(app: &App) -> Result<bool, StoreError> {
    let owed = app.store.group_debt_watches().await?;
    Ok(settle::in_order(&app.rules(), &owed).next().is_some())
}

/// Shows the events of a batch that is claimed to the rules again.
///
/// # Errors
///
/// When the store refuses. The batch is given back then.
pub(crate) async fn one(app: &App, batch: &BatchRow, report: &mut Report) -> Result<(), StoreError> {
    let book = app.rules();
    claim::keep(app, batch, Box::pin(detect(app, book, batch, report))).await?;
    Ok(())
}

async fn detect(
    app: &App,
    book: Arc<RuleBook>,
    batch: &BatchRow,
    report: &mut Report,
) -> Result<(), StoreError> {
    report.batches += 1;
    let mut detecting = Detecting::begin(app, book, batch).await?;
    let mut after = String::new();
    loop {
        let events = app
            .store
            .event_by_batch(&batch.id, &after, LIST_LIMIT_MAX)
            .await?;
        let Some(last) = events.last() else { break };
        after.clone_from(&last.id.0);
        report.events += events.len();
        detecting.take(&events).await?;
    }
    report.detections += detecting.end().await?;
    app.store.batch_detected(batch, &app.holder).await
}

/// The rules at work on one batch, whose events come in parts and in any order.
pub(crate) struct Detecting<'a> {
    app: &'a App,
    book: Arc<RuleBook>,
    batch: &'a BatchRow,
    began_at: DateTime<Utc>,
    late_before: Option<DateTime<Utc>>,
    newest: Option<DateTime<Utc>>,
    late: i64,
    scratch: DetectorScratch,
}

impl<'a> Detecting<'a> {
    pub(crate) async fn begin(
        app: &'a App,
        book: Arc<RuleBook>,
        batch: &'a BatchRow,
    ) -> Result<Self, StoreError> {
        let lateness = TimeDelta::minutes(app.settings.detection.lateness_minutes);
        let watermark = app
            .store
            .watermark_get(&batch.connection_id, &batch.dataset)
            .await?;
        Ok(Self {
            app,
            book,
            batch,
            began_at: app.clock.now(),
            // A file is brought in on purpose: its age says nothing.
            late_before: watermark
                .filter(|_| batch.source != "file")
                .map(|watermark| watermark - lateness),
            newest: None,
            late: 0,
            scratch: DetectorScratch::default(),
        })
    }

    /// Shows some of the batch's events to the rules, and keeps what matches.
    pub(crate) async fn take(&mut self, events: &[EventRow]) -> Result<(), StoreError> {
        self.newest = self.newest.max(events.iter().map(|event| event.at).max());
        let looked = look(self.app, &self.book, events, self.late_before, &mut self.scratch);
        self.late += looked.late;
        let store = &self.app.store;
        store.test_match_record(&looked.tested).await?;
        store.match_keep(&looked.matches, &self.match_run()).await?;
        fault::point("detection.kept");
        Ok(())
    }

    fn match_run(&self) -> MatchRun {
        MatchRun {
            began_at: self.began_at,
            stamp: self.app.ids.new_id(self.began_at),
        }
    }

    /// Makes the detections what all matches say. Answers how many are new.
    pub(crate) async fn end(self) -> Result<usize, StoreError> {
        let (app, batch, late) = (self.app, self.batch, self.late);
        // What an earlier run kept and this one did not, is none any more.
        app.store.match_forget_batch(&batch.id, &self.match_run()).await?;
        fault::point("detection.forgot");
        let new = settle::settle(app, &self.book).await?;
        fault::point("detection.settled");
        if let Some(newest) = self.newest {
            let at = newest.min(app.clock.now());
            app.store
                .watermark_move(&batch.connection_id, &batch.dataset, at, late)
                .await?;
        }
        if late > 0 {
            metrics::counter!("flareward_late_records_total", "dataset" => batch.dataset.clone())
                .increment(u64::try_from(late).unwrap_or_default());
        }
        Ok(new)
    }
}

#[derive(Default)]
struct Looked {
    matches: Vec<MatchRow>,
    tested: Vec<(String, String, String, DateTime<Utc>)>,
    late: i64,
}

/// What the rules find in events of one batch.
fn look(
    app: &App,
    book: &RuleBook,
    events: &[EventRow],
    late_before: Option<DateTime<Utc>>,
    scratch: &mut DetectorScratch,
) -> Looked {
    let collapse_us = i64::from(app.settings.detection.collapse_minutes.max(1)) * 60_000_000;
    let mut looked = Looked::default();
    for event in events {
        let who = event.person_id.as_deref().or(event.identifier.as_deref());
        let dataset = Some(event.dataset.as_str());
        if book
            .detector
            .look(dataset, event.raw.as_bytes(), who, scratch)
            .is_err()
        {
            // It was read when the event was stored, so this is a record that one of the two readers refuses.
            tracing::warn!(event = %event.id, "cannot evaluate rules on a stored event");
            continue;
        }
        let at_us = event.at.timestamp_micros();
        let row = |watch: String, group_key: String, slot: String, part: usize, value: String| MatchRow {
            watch,
            group_key,
            slot,
            part: i64::try_from(part).unwrap_or(i64::MAX),
            value,
            at_us,
            event_id: event.id.0.clone(),
            batch_id: event.batch_id.clone(),
        };
        for place in &scratch.found.rules {
            let Some(rule) = book
                .reported(PartOf::Rule(*place))
                .filter(|rule| !rule.is_stateful())
            else {
                continue;
            };
            if rule.mode == RuleMode::Test {
                let who = who.unwrap_or_default().to_owned();
                looked
                    .tested
                    .push((rule.id.clone(), event.id.0.clone(), who, event.at));
                continue;
            }
            // Without anyone and anything to tell repeats by, each event is one of its own.
            let own = event.identifier.is_none() && event.target.is_none();
            let key = json!([
                who,
                event.target.as_deref().map(sigma::fold),
                at_us.div_euclid(collapse_us),
                own.then_some(&event.id.0)
            ]);
            looked.matches.push(row(
                settle::repeats_of(&rule.id),
                key.to_string(),
                event.id.0.clone(),
                0,
                String::new(),
            ));
        }
        if late_before.is_some_and(|before| event.at < before) {
            looked.late += i64::from(!scratch.found.matches.is_empty());
        }
        for one in scratch.found.matches.drain(..) {
            let watch = &book.detector.watches[one.watch];
            let slot = if watch.is_daily() {
                sigma::day(at_us.saturating_mul(1_000)).to_string()
            } else {
                event.id.0.clone()
            };
            let value = match one.value {
                None => String::new(),
                Some(MatchValue::Text(text)) => text,
                Some(MatchValue::Number(number)) => number.to_string(),
            };
            looked.matches.push(row(
                watch.id.clone(),
                json!(one.key).to_string(),
                slot,
                one.part,
                value,
            ));
        }
    }
    looked
}

/// Forgets matches that can bear on nothing any more, and old matches of rules in test mode.
///
/// # Errors
///
/// When the store refuses.
pub async fn prune(app: &App) -> Result<u64, StoreError> {
    let book = app.rules();
    let now = app.clock.now();
    let settings = &app.settings.detection;
    let day = TimeDelta::days(1);
    let lateness = TimeDelta::minutes(settings.lateness_minutes);
    let reaches: HashMap<&str, TimeDelta> = book
        .detector
        .watches
        .iter()
        .map(|watch| (watch.id.as_str(), TimeDelta::nanoseconds(watch.reach_ns())))
        .collect();
    let mut forgotten = app.store.test_prune(now - TimeDelta::days(90)).await?;
    for watch in app.store.match_watches().await? {
        let reach = match reaches.get(watch.as_str()) {
            Some(reach) => Some(*reach),
            None => settle::is_repeats(&watch)
                .then(|| TimeDelta::minutes(settings.collapse_minutes.max(1).into())),
        };
        // Late matches look back twice their reach.
        let before = reach.map(|reach| (now - reach * 2 - lateness - day).timestamp_micros());
        forgotten += app.store.match_prune(&watch, before, now - day).await?;
    }
    let owed = app.store.group_debt_watches().await?;
    let known: HashSet<String> = settle::in_order(&book, &owed).collect();
    for watch in owed.iter().filter(|watch| !known.contains(*watch)) {
        forgotten += app.store.group_debt_forget(watch, now - day).await?;
    }
    Ok(forgotten)
}
