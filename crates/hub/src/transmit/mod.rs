//! Tells receivers of every change of a risk level, as signed Security Event Tokens.
//!
//! [`signals_for`] makes the outbox rows that are written with a change; [`deliver::run`] signs and pushes them.
//! A token is signed once: every attempt sends the same bytes under the same `jti`.

pub mod deliver;
pub mod keys;

use crate::app::App;
use model::{RiskLevel, SignalId};
use signals::{Event, Initiator, Profile, RiskChange, Subject, Token};
use store::{IntegrationRow, NewRiskChange, NewSignal, StoreError};

/// The issuer of an integration's tokens: one for each, so that a token never passes for another's.
pub fn issuer(app: &App, integration_id: &str) -> String {
    format!("{}/{integration_id}", app.public_url())
}

/// The address that a receiver is given: it names the issuer and the keys.
pub fn well_known_url(app: &App, integration_id: &str) -> String {
    format!(
        "{}/.well-known/sse-configuration/{integration_id}",
        app.public_url()
    )
}

/// The signals that tell of a change, one for each active integration. None when receivers would be told the
/// level that they have.
///
/// # Errors
///
/// When the store refuses.
pub async fn signals_for(app: &App, change: &NewRiskChange) -> Result<Vec<NewSignal>, StoreError> {
    let mut signals = Vec::new();
    for integration in app.store.integration_list(None).await? {
        if !integration.active {
            continue;
        }
        // A reset was told as low, which is not the level that the person then had.
        let last = app
            .store
            .signal_last_told(&integration.id, &change.person_id)
            .await?;
        let previous = match last {
            Some(RiskLevel::Unscored) => RiskLevel::Low,
            Some(level) => level,
            None => change.previous,
        };
        signals.extend(signal(app, &integration, change, previous));
    }
    Ok(signals)
}

fn signal(
    app: &App,
    integration: &IntegrationRow,
    change: &NewRiskChange,
    previous: RiskLevel,
) -> Option<NewSignal> {
    let initiator = if change.initiator == "admin" {
        Initiator::Admin
    } else {
        Initiator::Policy
    };
    let told = RiskChange::between(
        level(previous),
        level(change.current),
        change.at.timestamp(),
        initiator,
    )?
    .because(change.reason.clone());
    let id = SignalId(app.ids.new_id(change.at));
    let token = Token {
        issuer: issuer(app, integration.id.as_str()),
        audience: signals::okta_audience(&integration.tenant_url).ok()?,
        issued_at: change.at.timestamp(),
        id: id.0.clone(),
        transaction: Some(change.id.clone()),
        subject: Subject::email(&change.email),
        event: Event::RiskChange(told),
    };
    let claims = match token.claims(Profile::OKTA) {
        Ok(claims) => claims,
        Err(error) => {
            tracing::error!(person = %change.person_id, "could not create a signal for a change: {}", crate::causes(&error));
            return None;
        }
    };
    Some(NewSignal {
        id,
        integration_id: integration.id.clone(),
        person_id: change.person_id.clone(),
        risk_change_id: change.id.clone(),
        subject: change.email.clone(),
        previous,
        current: change.current,
        claims: claims.to_string(),
        created_at: change.at,
    })
}

fn level(level: RiskLevel) -> signals::RiskLevel {
    match level {
        RiskLevel::Unscored => signals::RiskLevel::None,
        RiskLevel::Low => signals::RiskLevel::Low,
        RiskLevel::Medium => signals::RiskLevel::Medium,
        RiskLevel::High => signals::RiskLevel::High,
    }
}
