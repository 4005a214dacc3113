//! Everything that others sent to the sandbox: signals to the Okta-like receiver, messages to chat and mail.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

/// A Security Event Token, taken or refused.
#[derive(Debug, Clone, Serialize)]
pub struct ReceivedSignal {
    /// When it came.
    pub received_at: DateTime<Utc>,
    /// Whether it was answered 202.
    pub accepted: bool,
    /// `err` and `description` of a refusal.
    pub refusal: Option<(String, String)>,
    /// Whether a token with this `jti` had been accepted before. It was taken and did nothing.
    pub duplicate: bool,
    /// Whether nobody has the address. It was taken and did nothing.
    pub unknown_user: bool,
    /// The token's id; empty if it could not be read, as all that follow.
    pub jti: String,
    /// Who issued it.
    pub issuer: String,
    /// The type of its event, a URI.
    pub event_type: String,
    /// The address of the user that it is about.
    pub subject_email: String,
    /// The level before.
    pub previous_level: String,
    /// The level now.
    pub current_level: String,
    /// The event as it came.
    pub event: Value,
    /// The token as it came.
    pub token: String,
}

/// Where a message was sent.
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

/// A chat or mail message, taken or refused.
#[derive(Debug, Clone, Serialize)]
pub struct ReceivedMessage {
    /// When it came.
    pub received_at: DateTime<Utc>,
    /// Where.
    pub sink: Sink,
    /// Whether it was taken.
    pub accepted: bool,
    /// Why not.
    pub refusal: Option<String>,
    /// The sender of a mail, as the envelope says.
    pub from: String,
    /// The recipients of a mail, as the envelope says.
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

    /// Keeps a signal; one that was accepted is marked if its `jti` had been accepted before.
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
