//! Runs the rules over stored events.
//!
//! Reads `batch` in state `stored` and its events; writes `detection`, the journal, and the batch's state.
//! A detection is known by rule and event, so repeating a batch changes nothing. Start reading at [`run`].

mod countries;
mod travel;

use crate::app::App;
use crate::rule_book::{BookRule, level_word};
use chrono::{DateTime, Utc};
use model::{BatchState, DetectionId};
use serde_json::Value;
use sha2::{Digest, Sha256};
use store::{DetectionRow, EventRow, LIST_LIMIT_MAX, StoreError};

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

/// Shows every stored event to the rules.
///
/// # Errors
///
/// When the store refuses; the next run goes on with the same batch.
pub async fn run(app: &App) -> Result<Report, StoreError> {
    let mut report = Report::default();
    while let Some(batch) = app.store.batch_next(BatchState::Stored).await? {
        report.batches += 1;
        let mut after = String::new();
        loop {
            let events = app
                .store
                .event_by_batch(&batch.id, &after, LIST_LIMIT_MAX)
                .await?;
            let Some(last) = events.last() else { break };
            after.clone_from(&last.id.0);
            report.events += events.len();
            let found = look(app, &events).await?;
            report.detections += app.store.detection_record(&found).await?;
        }
        app.store.batch_detected(&batch.id).await?;
    }
    Ok(report)
}

async fn look(app: &App, events: &[EventRow]) -> Result<Vec<DetectionRow>, StoreError> {
    let mut found = Vec::new();
    for event in events {
        let Ok(record) = serde_json::from_str::<Value>(&event.raw) else {
            continue;
        };
        for rule in app.rules.for_dataset(&event.dataset) {
            if !rule.compiled.matches(&record) {
                continue;
            }
            match &rule.travel {
                None => found.push(detection(app.clock.now(), rule, event, None)),
                Some(limits) => found.extend(travel::look(app, rule, limits, event).await?),
            }
        }
    }
    Ok(found)
}

/// The detection that a rule matched an event.
fn detection(now: DateTime<Utc>, rule: &BookRule, event: &EventRow, detail: Option<String>) -> DetectionRow {
    let mut digest = Sha256::new();
    digest.update(rule.id.as_bytes());
    digest.update([0]);
    digest.update(event.id.0.as_bytes());
    DetectionRow {
        id: DetectionId(hex::encode(&digest.finalize()[..16])),
        rule_id: rule.id.clone(),
        rule_name: rule.name.clone(),
        title: rule.title.clone(),
        level: level_word(rule.level).to_owned(),
        behaviour: rule.behaviour.clone(),
        topic: rule.topic.clone(),
        event_id: event.id.clone(),
        connection_id: event.connection_id.clone(),
        dataset: event.dataset.clone(),
        person_id: event.person_id.clone(),
        identifier: event.identifier.clone(),
        at: event.at,
        detected_at: now,
        detail,
    }
}
