//! Everything that others sent to the sandbox: signals to the Okta-like receiver, messages to chat and mail.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

/// A Security Event Token, accepted or refused.
#[derive(Debug, Clone, Serialize)]
pub struct ReceivedSignal {
    /// When it arrived.
    pub received_at: DateTime<Utc>,
    /// Whether the response was 202.
    pub accepted: bool,
    /// `err` and `description` of a refusal.
    pub refusal: Option<(String, String)>,
    /// Whether a token with this `jti` was accepted before. It was accepted without effect.
    pub duplicate: bool,
    /// Whether no user has the address. It was accepted without effect.
    pub unknown_user: bool,
    /// The token's id; like all following fields, empty if it could not be read.
    pub jti: String,
    /// The issuer.
    pub issuer: String,
    /// The type of its event, a URI.
    pub event_type: String,
    /// The address of its subject.
    pub subject_email: String,
    /// The previous level.
    pub previous_level: String,
    /// The current level.
    pub current_level: String,
    /// The event as received.
    pub event: Value,
    /// The token as received.
    pub token: String,
}

/// The destination of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sink {
    /// The Slack webhook.
    Slack,
    /// The Teams webhook.
    Teams,
    /// The Google Chat webhook.
    GoogleChat,
    /// The mail server.
    Smtp,
}

/// A chat or mail message, accepted or refused.
#[derive(Debug, Clone, Serialize)]
pub struct ReceivedMessage {
    /// When it arrived.
    pub received_at: DateTime<Utc>,
    /// The sink.
    pub sink: Sink,
    /// Whether it was accepted.
    pub accepted: bool,
    /// The reason for a refusal.
    pub refusal: Option<String>,
    /// The sender of a mail, from the envelope.
    pub from: String,
    /// The recipients of a mail, from the envelope.
    pub to: Vec<String>,
    /// The subject of a mail, not decoded.
    pub subject: String,
    /// A chat message's JSON, or a mail as one string.
    pub body: Value,
}

#[derive(Debug, Default)]
pub(crate) struct Received(Mutex<Lists>);

#[derive(Debug, Default)]
struct Lists {
    signals: Vec<ReceivedSignal>,
    messages: Vec<ReceivedMessage>,
}

impl Received {
    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a signal. An accepted one is marked if its `jti` was accepted before.
    pub(crate) fn signal(&self, mut signal: ReceivedSignal) {
        let mut lists = self.lock();
        let same = |before: &ReceivedSignal| before.accepted && before.jti == signal.jti;
        signal.duplicate = signal.accepted && lists.signals.iter().any(same);
        lists.signals.push(signal);
    }

    pub(crate) fn message(&self, message: ReceivedMessage) {
        self.lock().messages.push(message);
    }

    pub(crate) fn signals(&self) -> Vec<ReceivedSignal> {
        self.lock().signals.clone()
    }

    pub(crate) fn messages(&self) -> Vec<ReceivedMessage> {
        self.lock().messages.clone()
    }

    pub(crate) fn clear(&self) {
        *self.lock() = Lists::default();
    }
}
