//! Decides which receivers are told of a change of a risk level.
//!
//! Reads the journal's changes of levels and the integrations; writes `signal` with the position, in one transaction.
//! One signal at most for each integration and change: its `jti` follows from the two. Start reading at [`run`].

use super::issuer;
use crate::app::App;
use crate::consumer;
use crate::fault;
use chrono::{DateTime, Utc};
use model::{IntegrationId, JournalKind, PersonId, RiskLevel, SignalId};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use signals::{Event, Initiator, Profile, RiskChange, Subject, Token};
use std::collections::HashMap;
use store::{IntegrationRow, JournalRow, NewSignal, StoreError};

/// The consumer's name in the journal.
pub const CONSUMER: &str = "signals";

/// What receivers are told of: a level rose, or was reset.
pub(crate) const READS: &str = "risk.%";

/// A change of a level, as its journal entry has it.
#[derive(Debug, Deserialize)]
struct Change {
    email: String,
    previous: RiskLevel,
    current: RiskLevel,
    initiator: String,
    reason: String,
}

/// Decides on every change that is new. Answers how many signals are to be sent.
///
/// # Errors
///
/// When the store refuses, or an entry of the journal cannot be read; the next run resumes at the same entry.
pub async fn run(app: &App) -> Result<usize, StoreError> {
    let mut to_send = 0;
    while let Some(part) = consumer::next(app, CONSUMER, READS).await? {
        let integrations = app.store.integration_list(None).await?;
        let mut signals = Vec::new();
        // What this run decided comes before what it decides next.
        let mut told: HashMap<(IntegrationId, PersonId), RiskLevel> = HashMap::new();
        for entry in &part.entries {
            let (JournalKind::RiskChanged | JournalKind::RiskReset, Some(person), Some(id)) =
                (entry.kind, &entry.person_id, &entry.subject_id)
            else {
                continue;
            };
            let change: Change = store::stored("journal", entry.seq, "data", &entry.data)?;
            let person = PersonId(person.clone());
            for integration in integrations.iter().filter(|row| is_told(row, entry)) {
                let key = (integration.id.clone(), person.clone());
                let last = match told.get(&key) {
                    Some(level) => Some(*level),
                    None => app.store.signal_last_told(&integration.id, &person).await?,
                };
                // A reset was told as low, which is not the level that the person then had.
                let previous = match last {
                    Some(RiskLevel::Unscored) => RiskLevel::Low,
                    Some(level) => level,
                    None => change.previous,
                };
                if let Some(signal) = signal(app, integration, &person, id, entry.at, &change, previous) {
                    told.insert(key, change.current);
                    signals.push(signal);
                }
            }
        }
        to_send += signals.len();
        fault::point("signal.decided");
        app.store.signal_decide(CONSUMER, part.upto, &signals).await?;
        fault::point("signal.kept");
    }
    Ok(to_send)
}

/// Whether a receiver is told of a change: one that was set up later is not told of what was before.
fn is_told(integration: &IntegrationRow, entry: &JournalRow) -> bool {
    integration.active && integration.created_at <= entry.at
}

fn signal(
    app: &App,
    integration: &IntegrationRow,
    person: &PersonId,
    change_id: &str,
    at: DateTime<Utc>,
    change: &Change,
    previous: RiskLevel,
) -> Option<NewSignal> {
    let initiator = if change.initiator == "admin" {
        Initiator::Admin
    } else {
        Initiator::Policy
    };
    // None when the receiver would be told the level that it has.
    let told = RiskChange::between(level(previous), level(change.current), at.timestamp(), initiator)?
        .because(change.reason.clone());
    let id = signal_id(&integration.id, change_id);
    let token = Token {
        issuer: issuer(app, integration.id.as_str()),
        audience: signals::okta_audience(&integration.tenant_url).ok()?,
        issued_at: at.timestamp(),
        id: id.0.clone(),
        transaction: Some(change_id.to_owned()),
        subject: Subject::email(&change.email),
        event: Event::RiskChange(told),
    };
    let claims = match token.claims(Profile::OKTA) {
        Ok(claims) => claims,
        Err(error) => {
            tracing::error!(
                person = %person,
                "could not create a signal for a risk level change: {}",
                crate::causes(&error)
            );
            return None;
        }
    };
    Some(NewSignal {
        id,
        integration_id: integration.id.clone(),
        person_id: person.clone(),
        risk_change_id: change_id.to_owned(),
        subject: change.email.clone(),
        previous,
        current: change.current,
        claims: claims.to_string(),
        created_at: at,
    })
}

fn signal_id(integration: &IntegrationId, change_id: &str) -> SignalId {
    let mut digest = Sha256::new();
    digest.update(integration.0.as_bytes());
    digest.update([0]);
    digest.update(change_id.as_bytes());
    SignalId(hex::encode(&digest.finalize()[..16]))
}

fn level(level: RiskLevel) -> signals::RiskLevel {
    match level {
        RiskLevel::Unscored => signals::RiskLevel::None,
        RiskLevel::Low => signals::RiskLevel::Low,
        RiskLevel::Medium => signals::RiskLevel::Medium,
        RiskLevel::High => signals::RiskLevel::High,
    }
}
