//! Runs the rules over records: as they are processed, and again over archived ones.
//!
//! The driver lets `Detecting` look at a new batch's records while they are at hand. What they match is stored with the
//! batch; `again` looks at archived records, for replays and for identifiers that became known. Both write `rule_hit`,
//! `evidence` and `group_debt`. Every match is kept as long as it may bear on others ([`store::MatchRow`]); which
//! detections there should be is a pure function of the matches of one group, and `settle` makes the stored ones so. Any
//! step may be repeated, and records may come in any order: what is there in the end is the same.
//!
//! Start reading at [`run`].

pub mod adopt;
mod again;
pub mod backtest;
pub mod replay;
mod settle;

use crate::app::App;
use crate::fault;
use crate::record;
use archive::Record;
use chrono::{DateTime, TimeDelta, Utc};
use model::PersonId;
use rules::book::{RuleBook, RuleMode};
use rules::detector::{DetectorScratch, MatchValue};
use serde_json::json;
use sigma::PartOf;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use store::{BatchMatches, BatchRow, EvidenceRow, MatchRow, MatchRun, StoreError, TestMatch};

/// Matches of one batch that are stored before its end, so that memory is bounded. Chosen: some 20 MB with their records.
const MATCHES_MAX: usize = 20_000;

/// Settles every group that is owed its detections. Answers how many are new.
///
/// # Errors
///
/// When the store refuses; the next run goes on.
pub async fn run(app: &App) -> Result<usize, StoreError> {
    settle::settle(app, &app.rules()).await
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

/// The rules at work on one batch, whose records come step by step and in any order.
pub(crate) struct Detecting<'a> {
    app: &'a App,
    book: Arc<RuleBook>,
    batch: &'a BatchRow,
    began_at: DateTime<Utc>,
    late_before: Option<DateTime<Utc>>,
    newest_us: Option<i64>,
    late: i64,
    found: Looked,
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
            newest_us: None,
            late: 0,
            found: Looked::default(),
            scratch: DetectorScratch::default(),
        })
    }

    /// Shows some of the batch's records to the rules. Many matches are stored at once, the others with the batch.
    pub(crate) async fn take(
        &mut self,
        records: &[Record],
        people: &HashMap<String, PersonId>,
    ) -> Result<(), StoreError> {
        self.newest_us = self
            .newest_us
            .max(records.iter().map(|record| record.at_us).max());
        let look = Look {
            dataset: &self.batch.dataset,
            book: &self.book,
            people,
            collapse_us: collapse_us(self.app),
            late_before_us: self.late_before.map(|before| before.timestamp_micros()),
        };
        look.at(records, &mut self.scratch, &mut self.found);
        self.late += std::mem::take(&mut self.found.late);
        if self.found.matches.len() < MATCHES_MAX {
            return Ok(());
        }
        let found = std::mem::take(&mut self.found);
        let store = &self.app.store;
        store.test_match_record(&found.tested).await?;
        store
            .match_keep(&found.matches, &found.evidence, &self.match_run())
            .await
    }

    fn match_run(&self) -> MatchRun {
        MatchRun {
            began_at: self.began_at,
            stamp: self.app.ids.new_id(self.began_at),
        }
    }

    /// What was found and is not stored yet.
    pub(crate) fn found(&mut self) -> BatchMatches {
        let found = std::mem::take(&mut self.found);
        let now = self.app.clock.now();
        BatchMatches {
            matches: found.matches,
            evidence: found.evidence,
            tested: found.tested,
            run: self.match_run(),
            newest: self.newest_us.map(|at_us| record::time(at_us).min(now)),
            late: self.late,
        }
    }

    /// Makes the detections what all matches say. Answers how many are new.
    pub(crate) async fn end(self) -> Result<usize, StoreError> {
        let (app, batch, late) = (self.app, self.batch, self.late);
        let new = settle::settle(app, &self.book).await?;
        fault::point("detection.settled");
        if late > 0 {
            metrics::counter!("flareward_late_records_total", "dataset" => batch.dataset.clone())
                .increment(u64::try_from(late).unwrap_or_default());
        }
        Ok(new)
    }
}

/// Repeats of a match within one stretch of this length are one detection.
fn collapse_us(app: &App) -> i64 {
    i64::from(app.settings.detection.collapse_minutes.max(1)) * 60_000_000
}

#[derive(Default)]
struct Looked {
    matches: Vec<MatchRow>,
    evidence: Vec<EvidenceRow>,
    tested: Vec<TestMatch>,
    late: i64,
}

/// A look at records of one dataset.
struct Look<'l> {
    dataset: &'l str,
    book: &'l RuleBook,
    /// The people of identifiers.
    people: &'l HashMap<String, PersonId>,
    collapse_us: i64,
    late_before_us: Option<i64>,
}

impl Look<'_> {
    /// Adds what the rules find.
    fn at(&self, records: &[Record], scratch: &mut DetectorScratch, looked: &mut Looked) {
        for record in records {
            let identifier = record.identifier.as_deref();
            let person = identifier
                .filter(|_| record.is_person)
                .and_then(|own| self.people.get(own));
            let who = person.map(|person| person.0.as_str()).or(identifier);
            let dataset = Some(self.dataset);
            if self
                .book
                .detector
                .look(dataset, record.raw.as_bytes(), who, scratch)
                .is_err()
            {
                // It was read when it was normalised, so one of the two readers refuses it.
                tracing::warn!(event = %record.id, "cannot evaluate rules on a record");
                continue;
            }
            if scratch.found.rules.is_empty() && scratch.found.matches.is_empty() {
                continue;
            }
            self.keep(record, who, scratch, looked);
        }
    }

    fn keep(&self, record: &Record, who: Option<&str>, scratch: &mut DetectorScratch, looked: &mut Looked) {
        let at_us = record.at_us;
        let id = record.id.to_string();
        let row = |watch: String, group_key: String, slot: String, part: usize, value: String| MatchRow {
            watch,
            group_key,
            slot,
            part: i64::try_from(part).unwrap_or(i64::MAX),
            value,
            at_us,
            event_id: id.clone(),
            batch_id: record.batch.clone(),
        };
        let before = looked.matches.len();
        for place in &scratch.found.rules {
            let Some(rule) = self
                .book
                .reported(PartOf::Rule(*place))
                .filter(|rule| !rule.is_stateful())
            else {
                continue;
            };
            if rule.mode == RuleMode::Test {
                let who = who.unwrap_or_default().to_owned();
                looked
                    .tested
                    .push((rule.id.clone(), id.clone(), who, record::time(at_us)));
                continue;
            }
            // Without anyone and anything to tell repeats by, each event is one of its own.
            let own = record.identifier.is_none() && record.target.is_none();
            let key = json!([
                who,
                record.target.as_deref().map(sigma::fold),
                at_us.div_euclid(self.collapse_us),
                own.then_some(&id)
            ]);
            looked.matches.push(row(
                settle::repeats_of(&rule.id),
                key.to_string(),
                id.clone(),
                0,
                String::new(),
            ));
        }
        if self.late_before_us.is_some_and(|before| at_us < before) {
            looked.late += i64::from(!scratch.found.matches.is_empty());
        }
        for one in scratch.found.matches.drain(..) {
            let watch = &self.book.detector.watches[one.watch];
            let slot = if watch.is_daily() {
                sigma::day(at_us.saturating_mul(1_000)).to_string()
            } else {
                id.clone()
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
        if looked.matches.len() > before {
            looked.evidence.push(record::evidence(self.dataset, record));
        }
    }
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
    forgotten += app.store.evidence_prune(now - day).await?;
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
