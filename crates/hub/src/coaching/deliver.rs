//! Hands messages to their channel: a Slack-compatible webhook or mail.
//!
//! Reads `message` in state `pending`; writes what became of it. A process that is killed between the
//! channel's yes and our note of it sends that one message again: no channel lets us ask. Start reading at
//! [`run`].

use super::campaign::place;
use crate::app::App;
use crate::fault;
use crate::journal_words;
use chrono::TimeDelta;
use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use rand::RngExt;
use secrecy::ExposeSecret;
use serde_json::json;
use std::time::Duration;
use store::{CampaignRow, MessageRow, PersonRow, StoreError};

/// Messages that are looked at in one go.
const BATCH: i64 = 100;
/// How long a message is one process's to send. Longer than a channel takes; a killed process's messages are
/// sent by another after this.
const CLAIM: TimeDelta = TimeDelta::seconds(30);
/// The first wait between attempts is drawn from zero to twice this.
const RETRY_BASE: Duration = Duration::from_secs(2);

enum Refusal {
    /// May work later.
    Later(String, Option<Duration>),
    /// Never will.
    Final(String),
}

/// Delivers what is due. Answers how many messages were taken.
///
/// # Errors
///
/// When the store refuses; a channel that refuses is no error.
pub async fn run(app: &App) -> Result<usize, StoreError> {
    let mut delivered = 0;
    loop {
        let due = app.store.message_due(app.clock.now(), BATCH).await?;
        if due.is_empty() {
            return Ok(delivered);
        }
        for message in due {
            // Another process may look at the same list: whoever claims the message sends it.
            let now = app.clock.now();
            if !app.store.message_claim(&message, now, now + CLAIM).await? {
                continue;
            }
            fault::point("message.claimed");
            let campaign = app.store.campaign_get(&message.campaign_id).await?;
            let person = app.store.person_get(&message.person_id).await?;
            let result = match (campaign, person) {
                (Some(campaign), Some(person)) => send(app, &campaign, &person, &message).await,
                _ => Err(Refusal::Final(
                    "the campaign or the person no longer exists".to_owned(),
                )),
            };
            fault::point("message.sent");
            let now = app.clock.now();
            // Whoever took it before ended without a word: whether it was sent then is not known.
            let twice = message.sending_since.map(|since| {
                let since = since.format("%Y-%m-%d %H:%M:%S UTC");
                format!(
                    "may have been sent twice: the process that started sending it at {since} was \
                     interrupted"
                )
            });
            match result {
                Ok(()) => {
                    app.store
                        .message_delivered(
                            &message,
                            twice.as_deref(),
                            &journal_words::message_delivered(&message),
                            now,
                        )
                        .await?;
                    delivered += 1;
                }
                Err(Refusal::Later(reason, wait))
                    if message.attempts + 1 < i64::from(app.settings.coaching.attempts) =>
                {
                    let cap = Duration::from_secs(app.settings.coaching.retry_cap_seconds);
                    let attempt = u32::try_from(message.attempts + 1).unwrap_or(u32::MAX);
                    let drawn =
                        signals::backoff(attempt, RETRY_BASE, cap, rand::rng().random_range(0.0..=1.0));
                    let wait =
                        TimeDelta::from_std(wait.unwrap_or(drawn).min(cap)).unwrap_or(TimeDelta::hours(1));
                    app.store.message_retry(&message.id, &reason, now + wait).await?;
                }
                Err(Refusal::Later(reason, _) | Refusal::Final(reason)) => {
                    tracing::error!(message = %message.id, "giving up on a message: {reason}");
                    let summary = journal_words::message_failed(&message, &reason);
                    app.store.message_failed(&message, &reason, &summary, now).await?;
                }
            }
        }
    }
}

async fn send(
    app: &App,
    campaign: &CampaignRow,
    person: &PersonRow,
    message: &MessageRow,
) -> Result<(), Refusal> {
    match campaign.channel.as_str() {
        "email" => mail(app, person, message).await,
        _ => webhook(app, campaign, person, message).await,
    }
}

async fn webhook(
    app: &App,
    campaign: &CampaignRow,
    person: &PersonRow,
    message: &MessageRow,
) -> Result<(), Refusal> {
    let address = app
        .sealer
        .unseal_text(&place(&campaign.id), &campaign.destination_sealed)
        .map_err(|error| Refusal::Final(error.to_string()))?;
    let url = app
        .egress
        .check(address.expose_secret())
        .map_err(|error| Refusal::Final(error.to_string()))?;
    // Slack's incoming webhooks read `text`; Mattermost, Rocket.Chat and others take the same.
    let text = format!("*{}*\nFor {}\n\n{}", message.title, person.email, message.body);
    let body = json!({ "text": escaped(&text) });
    let sent = app
        .egress
        .http()
        .post(url)
        .timeout(Duration::from_secs(10))
        .header("idempotency-key", message.id.as_str())
        .json(&body)
        .send()
        .await;
    let answer = sent.map_err(|error| Refusal::Later(crate::causes(&error.without_url()), None))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let words = format!("the webhook returned HTTP status {}", status.as_u16());
    if status.is_server_error() || matches!(status.as_u16(), 408 | 429) {
        let wait = answer
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.parse().ok());
        return Err(Refusal::Later(words, wait.map(Duration::from_secs)));
    }
    Err(Refusal::Final(words))
}

/// Text for Slack: what stands in angle brackets there is a link, or calls everyone of a channel.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

async fn mail(app: &App, person: &PersonRow, message: &MessageRow) -> Result<(), Refusal> {
    let settings = &app.settings.smtp;
    let fault = |what: &str, error: &dyn std::error::Error| {
        Refusal::Final(format!("{what}: {}", crate::causes(error)))
    };
    let from: Mailbox = settings
        .from
        .parse()
        .map_err(|error| fault("smtp.from is not a valid email address", &error))?;
    let to: Mailbox = person
        .email
        .parse()
        .map_err(|error| fault("the person's email address is invalid", &error))?;
    let host = from.email.domain().to_owned();
    let mail = Message::builder()
        .from(from)
        .to(to)
        .subject(&message.title)
        .message_id(Some(format!("<{}@{host}>", message.id)))
        .header(ContentType::TEXT_PLAIN)
        .body(message.body.clone())
        .map_err(|error| fault("could not compose the email", &error))?;
    let builder = match settings.encryption.as_str() {
        "tls" => AsyncSmtpTransport::<Tokio1Executor>::relay(&settings.host),
        "starttls" => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(&settings.host),
        "none" => Ok(AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(
            &settings.host,
        )),
        other => {
            return Err(Refusal::Final(format!(
                "smtp.encryption must be starttls, tls or none, not \"{other}\""
            )));
        }
    };
    let mut builder = builder
        .map_err(|error| fault("invalid mail server name", &error))?
        .port(settings.port);
    if !settings.username.is_empty() {
        let password = tokio::fs::read_to_string(&settings.password_file)
            .await
            .map_err(|error| fault("cannot read smtp.password_file", &error))?;
        builder = builder.credentials(Credentials::new(
            settings.username.clone(),
            password.trim().to_owned(),
        ));
    }
    let sent = builder
        .timeout(Some(Duration::from_secs(15)))
        .build()
        .send(mail)
        .await;
    match sent {
        Ok(_) => Ok(()),
        Err(error) if error.is_permanent() => Err(fault("the mail server rejected the message", &error)),
        Err(error) => Err(Refusal::Later(crate::causes(&error), None)),
    }
}
