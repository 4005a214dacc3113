//! Turns detections into risk levels, and resets them.
//!
//! Reads the journal's detections; writes `person`, `risk_change` and the journal in one transaction for each change. A person's level is the highest level of a behaviour triggered
//! since the last reset. Repeating changes nothing. Start reading at [`run`].

use crate::app::App;
use crate::audit;
use crate::consumer;
use crate::fault;
use crate::journal_words;
use crate::permission::Actor;
use crate::wake::Written;
use model::{PersonId, RiskLevel};
use serde_json::json;
use std::collections::BTreeSet;
use store::{DetectionRow, NewRiskChange, PersonRow, StoreError};

/// The consumer's name in the journal.
pub const CONSUMER: &str = "risk";

/// What may change a level: a detection was made, or its person became known.
pub(crate) const READS: &str = "detection.%";

/// Why a level cannot be reset.
#[derive(Debug, thiserror::Error)]
pub enum RiskError {
    /// Nobody has this id.
    #[error("no such person")]
    NoPerson,
    /// A reason is asked for.
    #[error("a reset requires a reason, which is recorded in the audit log")]
    NoReason,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Brings every level in step with the detections. Answers how many levels changed.
///
/// # Errors
///
/// When the store refuses; what was done until then stays done.
pub async fn run(app: &App) -> Result<usize, StoreError> {
    let mut changed = 0;
    while let Some(part) = consumer::next(app, CONSUMER, READS).await? {
        let ids = part.subjects();
        let detections = app.store.detection_get_many(&ids).await?;
        let people: BTreeSet<String> = detections
            .values()
            .filter_map(|row| row.person_id.clone())
            .collect();
        let people: Vec<String> = people.into_iter().collect();
        let mut people = app.store.person_get_many(&people).await?;
        for detection in ids.iter().filter_map(|id| detections.get(id)) {
            let person = detection.person_id.as_ref().and_then(|id| people.get_mut(id));
            if let Some(person) = person {
                changed += usize::from(apply(app, person, detection).await?);
            }
        }
        fault::point("risk.applied");
        app.store.consumer_advance(CONSUMER, part.upto).await?;
    }
    Ok(changed)
}

/// Applies a detection to a person, as read a moment ago: brings the row in step, too.
async fn apply(app: &App, person: &mut PersonRow, detection: &DetectionRow) -> Result<bool, StoreError> {
    loop {
        let Some(change) = plan(app, person, detection) else {
            return Ok(false);
        };
        let is_changed = app.store.risk_change(&change).await?;
        // A reset may have come in between: then look again.
        let Some(row) = app.store.person_get(&person.id).await? else {
            return Ok(is_changed);
        };
        *person = row;
        if is_changed {
            return Ok(true);
        }
    }
}

/// What a detection does to a person's level: nothing, or a rise.
fn plan(app: &App, person: &PersonRow, detection: &DetectionRow) -> Option<NewRiskChange> {
    let key = detection.behaviour.as_deref()?;
    let rules = app.rules();
    let behaviour = rules.behaviours.get(key).filter(|behaviour| behaviour.enabled)?;
    // What happened before the reset was part of what was reset, however late its record comes.
    let before_reset = person
        .risk_reset_at
        .is_some_and(|reset_at| detection.at <= reset_at);
    if before_reset || behaviour.risk_level <= person.risk_level {
        return None;
    }
    let reason = format!("{} ({})", behaviour.name, detection.title);
    let (previous, current) = (person.risk_level, behaviour.risk_level);
    Some(NewRiskChange {
        id: format!(
            "{}-{}",
            detection.id,
            person.risk_reset_at.map_or(0, |at| at.timestamp_micros())
        ),
        person_id: person.id.clone(),
        email: person.email.clone(),
        previous,
        current,
        initiator: "policy",
        summary: journal_words::risk_changed(&person.email, previous, current, &reason),
        reason,
        behaviour: Some(key.to_owned()),
        detection_id: Some(detection.id.0.clone()),
        at: app.clock.now(),
        happened_at: detection.at,
    })
}

/// Takes a person's level back to unscored. Answers the level before; resetting an unscored person changes
/// nothing.
///
/// # Errors
///
/// Without a reason, for an unknown person, or when the store refuses.
pub async fn reset(
    app: &App,
    person: &PersonId,
    reason: &str,
    actor: &Actor,
) -> Result<RiskLevel, RiskError> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(RiskError::NoReason);
    }
    loop {
        let row = app.store.person_get(person).await?.ok_or(RiskError::NoPerson)?;
        if row.risk_level == RiskLevel::Unscored {
            audit::record(
                app,
                actor,
                model::AuditAction::RiskReset,
                &row.email,
                model::AuditOutcome::Already,
                json!({ "reason": reason }),
            )
            .await?;
            return Ok(RiskLevel::Unscored);
        }
        let now = app.clock.now();
        let change = NewRiskChange {
            id: app.ids.new_id(now),
            person_id: row.id.clone(),
            email: row.email.clone(),
            previous: row.risk_level,
            current: RiskLevel::Unscored,
            initiator: "admin",
            reason: reason.to_owned(),
            behaviour: None,
            detection_id: None,
            at: now,
            happened_at: now,
            summary: journal_words::risk_changed(&row.email, row.risk_level, RiskLevel::Unscored, reason),
        };
        let detail = json!({ "reason": reason, "previous": row.risk_level });
        audit::record(
            app,
            actor,
            model::AuditAction::RiskReset,
            &row.email,
            model::AuditOutcome::Changed,
            detail,
        )
        .await?;
        if app.store.risk_change(&change).await? {
            app.wake.call(Written::Journal);
            return Ok(row.risk_level);
        }
    }
}
