//! Pushes pending signals to their receivers.
//!
//! Reads the outbox; writes what became of each signal. Signals about one person through one integration go out
//! in order; different people do not wait for each other. Start reading at [`run`].

use super::keys;
use crate::app::App;
use crate::fault;
use crate::journal_words;
use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, stream};
use model::SignalId;
use rand::RngExt;
use signals::{Answer, PushOutcome};
use std::time::Duration;
use store::{IntegrationRow, SignalRow, StoreError};

/// Signals that are pushed at once.
const AT_ONCE: usize = 8;
/// Signals that are looked at in one go.
const BATCH: i64 = 100;
/// The first wait between attempts is drawn from zero to twice this.
const RETRY_BASE: Duration = Duration::from_secs(1);
/// As much of a receiver's answer is read.
const ANSWER_LIMIT_BYTES: usize = 64 << 10;
/// The longest `Retry-After` that is heeded.
const RETRY_AFTER_MAX: TimeDelta = TimeDelta::days(1);
/// A receiver that does not answer within this is tried again.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why nothing could be pushed.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// No signing key.
    #[error(transparent)]
    Key(#[from] keys::SigningKeyError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Pushes what is due. Answers how many signals were delivered.
///
/// # Errors
///
/// See [`DeliverError`]; a receiver that refuses is no error.
pub async fn run(app: &App) -> Result<usize, DeliverError> {
    let mut delivered = 0;
    loop {
        let due = app.store.signal_due(app.clock.now(), BATCH).await?;
        if due.is_empty() {
            return Ok(delivered);
        }
        let integrations = app.store.integration_list(None).await?;
        let mut pushes = Vec::with_capacity(due.len());
        for signal in &due {
            if let Some(integration) = integrations.iter().find(|row| row.id == signal.integration_id) {
                pushes.push(push(app, integration, signal));
            }
        }
        let results: Vec<_> = stream::iter(pushes).buffer_unordered(AT_ONCE).collect().await;
        for result in results {
            delivered += usize::from(result?);
        }
    }
}

async fn push(app: &App, integration: &IntegrationRow, signal: &SignalRow) -> Result<bool, DeliverError> {
    let token = match signed(app, integration, signal).await? {
        Ok(token) => token,
        Err(reason) => {
            app.store
                .signal_dead(
                    signal,
                    None,
                    &reason,
                    &journal_words::signal_dead(signal, &reason),
                    app.clock.now(),
                )
                .await?;
            return Ok(false);
        }
    };
    let answer = send(app, integration, token).await;
    fault::point("signal.sent");
    let now = app.clock.now();
    let (status, outcome, words) = match &answer {
        Ok((status, retry_after, body)) => {
            let answer = Answer {
                status: *status,
                retry_after: retry_after.as_deref(),
                body,
            };
            (
                Some(*status),
                signals::classify(answer, now.timestamp()),
                format!("HTTP status {status}"),
            )
        }
        Err(problem) => (None, PushOutcome::Retry, problem.clone()),
    };
    metrics::counter!("flareward_signal_attempts_total", "outcome" => word(&outcome)).increment(1);
    match outcome {
        PushOutcome::Delivered | PushOutcome::DeliveredFlagged { .. } => {
            app.store
                .signal_delivered(
                    signal,
                    status.unwrap_or_default(),
                    &journal_words::signal_delivered(signal),
                    now,
                )
                .await?;
            return Ok(true);
        }
        PushOutcome::RetryAfter(wait) => again(app, signal, status, &words, wait, now).await?,
        PushOutcome::Retry => again(app, signal, status, &words, None, now).await?,
        PushOutcome::RetryBounded { err, description } => {
            let reason = format!("{err}: {description}");
            if signal.attempts + 1 >= i64::from(signals::SUSPEND_AFTER_BOUNDED_RETRIES) {
                suspend(app, integration, signal, status, &reason, now).await?;
            } else {
                again(app, signal, status, &reason, None, now).await?;
            }
        }
        PushOutcome::DeadLetter { err, description } => {
            let problem = format!("{err}: {description}");
            let summary = journal_words::signal_dead(signal, &problem);
            app.store
                .signal_dead(signal, status, &problem, &summary, now)
                .await?;
        }
        PushOutcome::SuspendIntegration { err, description } => {
            suspend(
                app,
                integration,
                signal,
                status,
                &format!("{err}: {description}"),
                now,
            )
            .await?;
        }
    }
    Ok(false)
}

/// The signed token: made at the first attempt, the same bytes at every later one until the integration is
/// changed. `Err` inside says why no token can ever be made.
async fn signed(
    app: &App,
    integration: &IntegrationRow,
    signal: &SignalRow,
) -> Result<Result<String, String>, DeliverError> {
    if let Some(token) = &signal.token {
        return Ok(Ok(token.clone()));
    }
    let key = keys::current(app).await?;
    let mut claims: serde_json::Value = match serde_json::from_str(&signal.claims) {
        Ok(claims) => claims,
        Err(error) => return Ok(Err(format!("the stored claims are invalid: {error}"))),
    };
    // The receiver may have moved since the change was written down.
    claims["iss"] = super::issuer(app, integration.id.as_str()).into();
    match signals::okta_audience(&integration.tenant_url) {
        Ok(audience) => claims["aud"] = audience.into(),
        Err(error) => return Ok(Err(error.to_string())),
    }
    let token = tokio::task::spawn_blocking(move || key.sign(&signals::Header::set(&key), &claims))
        .await
        .expect("signing neither panics nor is cancelled")
        .map_err(keys::SigningKeyError::Key)?;
    app.store.signal_signed(&signal.id, &token).await?;
    Ok(Ok(token))
}

type Answered = (u16, Option<String>, Vec<u8>);

async fn send(app: &App, integration: &IntegrationRow, token: String) -> Result<Answered, String> {
    let url = signals::okta_push_url(&integration.tenant_url).map_err(|error| error.to_string())?;
    let url = app.egress.check_okta(&url).map_err(|error| error.to_string())?;
    let request = app
        .egress
        .http()
        .post(url)
        .timeout(TIMEOUT)
        .header("content-type", signals::SET_MEDIA_TYPE)
        .header("accept", "application/json")
        .body(token);
    let mut response = request
        .send()
        .await
        .map_err(|error| crate::causes(&error.without_url()))?;
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get("retry-after")
        .and_then(|value| Some(value.to_str().ok()?.to_owned()));
    let mut body = Vec::new();
    while let Ok(Some(part)) = response.chunk().await {
        body.extend_from_slice(&part);
        if body.len() > ANSWER_LIMIT_BYTES {
            body.truncate(ANSWER_LIMIT_BYTES);
            break;
        }
    }
    Ok((status, retry_after, body))
}

async fn again(
    app: &App,
    signal: &SignalRow,
    status: Option<u16>,
    reason: &str,
    wait: Option<Duration>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let give_up = TimeDelta::hours(
        i64::try_from(app.settings.transmit.give_up_after_hours).unwrap_or(i64::MAX / 4_000),
    );
    if now - signal.created_at > give_up {
        let problem = format!("gave up: {reason}");
        let summary = journal_words::signal_dead(signal, &problem);
        return app
            .store
            .signal_dead(signal, status, &problem, &summary, now)
            .await;
    }
    let cap = Duration::from_secs(app.settings.transmit.retry_cap_seconds);
    let attempt = u32::try_from(signal.attempts + 1).unwrap_or(u32::MAX);
    let drawn = signals::backoff(attempt, RETRY_BASE, cap, rand::rng().random_range(0.0..=1.0));
    // A receiver may ask for more than our cap, but not for so much that the signal is as good as lost.
    let wait = TimeDelta::from_std(wait.unwrap_or(drawn)).unwrap_or(RETRY_AFTER_MAX);
    let wait = wait.min(RETRY_AFTER_MAX);
    app.store
        .signal_retry(&signal.id, status, reason, now + wait)
        .await
}

async fn suspend(
    app: &App,
    integration: &IntegrationRow,
    signal: &SignalRow,
    status: Option<u16>,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    tracing::error!(integration = %integration.id, "the receiver rejects all signals; the integration \
         is suspended until it is updated: {reason}");
    let id: &SignalId = &signal.id;
    app.store.signal_retry(id, status, reason, now).await?;
    app.store.integration_suspend(&integration.id, Some(reason)).await
}

fn word(outcome: &PushOutcome) -> &'static str {
    match outcome {
        PushOutcome::Delivered | PushOutcome::DeliveredFlagged { .. } => "delivered",
        PushOutcome::RetryAfter(_) | PushOutcome::Retry | PushOutcome::RetryBounded { .. } => "retry",
        PushOutcome::DeadLetter { .. } => "dead",
        PushOutcome::SuspendIntegration { .. } => "suspended",
    }
}
