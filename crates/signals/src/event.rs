//! The events that a risk transmitter sends, and their form in each dialect.
//!
//! One [`RiskChange`] becomes Okta's `user-risk-change` or CAEP's `risk-level-change`. The two stream events of SSF 1.0
//! have the same form in every dialect. Start reading at [`RiskChange::between`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::subject::Subject;

/// Okta's event type for a changed user risk (Okta management OpenAPI 2026.06.3).
pub const OKTA_USER_RISK_CHANGE: &str = "https://schemas.okta.com/secevent/okta/event-type/user-risk-change";
/// CAEP 1.0 §3.8.
pub const RISK_LEVEL_CHANGE: &str = "https://schemas.openid.net/secevent/caep/event-type/risk-level-change";
/// SSF 1.0 §8.1.4.
pub const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
/// SSF 1.0 §8.1.5.
pub const STREAM_UPDATED: &str = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";

/// A text in several languages, by BCP 47 tag.
pub type Reasons = BTreeMap<String, String>;

/// The risk level of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RiskLevel {
    /// Never scored, or reset.
    None,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
}

impl RiskLevel {
    fn lower_case(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// The current level as reported to a receiver. CAEP has no value for "unscored", and receivers use "low" as the
    /// baseline, so a reset is reported as low.
    fn as_current(self) -> Self {
        self.max(Self::Low)
    }
}

/// Who caused a change (CAEP 1.0 §2, `initiating_entity`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Initiator {
    /// An administrator, for example through a reset.
    Admin,
    /// The user.
    User,
    /// A rule.
    Policy,
    /// The system itself.
    System,
}

/// A change of a user's risk level. Create it with [`RiskChange::between`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RiskChange {
    previous: RiskLevel,
    current: RiskLevel,
    /// When the level changed, in Unix seconds (not when the token was issued).
    pub changed_at: i64,
    /// Who caused it.
    pub initiator: Initiator,
    /// A short machine-readable cause such as `IMPOSSIBLE_TRAVEL`; CAEP only.
    pub cause: Option<String>,
    /// For administrators of the receiver.
    pub reason_admin: Reasons,
    /// For the user.
    pub reason_user: Reasons,
}

impl RiskChange {
    /// The change from the level that the receiver last received to the current one. `None` if the receiver would get
    /// the same level twice; nothing is sent then.
    ///
    /// A reset has `current` [`RiskLevel::None`] and is reported as low. For a user who was never scored, `previous` is
    /// [`RiskLevel::None`]. After a reset, the receiver's last level is low, so the next change starts from
    /// [`RiskLevel::Low`].
    pub fn between(
        previous: RiskLevel,
        current: RiskLevel,
        changed_at: i64,
        initiator: Initiator,
    ) -> Option<Self> {
        let nothing_new = previous == current || previous == current.as_current();
        (!nothing_new).then(|| Self {
            previous,
            current,
            changed_at,
            initiator,
            cause: None,
            reason_admin: Reasons::new(),
            reason_user: Reasons::new(),
        })
    }

    /// The same change with a reason in English for administrators.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason_admin.insert("en".to_owned(), reason.into());
        self
    }

    /// The previous level, as given.
    pub fn previous(&self) -> RiskLevel {
        self.previous
    }

    /// The current level, as given ([`RiskLevel::None`] for a reset).
    pub fn current(&self) -> RiskLevel {
        self.current
    }

    /// The level that the receiver has after it accepts the event.
    pub fn told(&self) -> RiskLevel {
        self.current.as_current()
    }

    /// Okta expects levels in lower case, always `previous_level`, one of the two reasons, and the subject inside the
    /// event.
    pub(crate) fn okta_payload(&self, subject: &Subject) -> Value {
        let subject = match subject {
            Subject::Complex(_) => {
                let mut members = serde_json::to_value(subject).unwrap_or_default();
                if let Some(members) = members.as_object_mut() {
                    members.retain(|name, _| matches!(name.as_str(), "user" | "device"));
                }
                members
            }
            simple => json!({ "user": simple }),
        };
        let mut payload = Map::new();
        payload.insert("subject".into(), subject);
        payload.insert("event_timestamp".into(), self.changed_at.into());
        payload.insert("current_level".into(), self.told().lower_case().into());
        payload.insert("previous_level".into(), self.previous.lower_case().into());
        self.insert_shared(&mut payload);
        if self.reason_admin.is_empty() && self.reason_user.is_empty() {
            payload.insert("reason_admin".into(), json!({ "en": self.default_reason() }));
        }
        Value::Object(payload)
    }

    /// CAEP 1.0 §3.8: levels in upper case; `previous_level` is omitted if unknown.
    pub(crate) fn standard_payload(&self) -> Value {
        let mut payload = Map::new();
        payload.insert("principal".into(), "USER".into());
        payload.insert(
            "current_level".into(),
            self.told().lower_case().to_uppercase().into(),
        );
        if self.previous != RiskLevel::None {
            payload.insert(
                "previous_level".into(),
                self.previous.lower_case().to_uppercase().into(),
            );
        }
        if let Some(cause) = &self.cause {
            payload.insert("risk_reason".into(), cause.as_str().into());
        }
        payload.insert("event_timestamp".into(), self.changed_at.into());
        self.insert_shared(&mut payload);
        Value::Object(payload)
    }

    fn insert_shared(&self, payload: &mut Map<String, Value>) {
        payload.insert("initiating_entity".into(), json!(self.initiator));
        for (name, reasons) in [
            ("reason_admin", &self.reason_admin),
            ("reason_user", &self.reason_user),
        ] {
            if !reasons.is_empty() {
                payload.insert(name.into(), json!(reasons));
            }
        }
    }

    fn default_reason(&self) -> &'static str {
        if self.current == RiskLevel::None {
            "risk reset"
        } else {
            "risk level changed"
        }
    }
}

/// Whether a stream carries events (SSF 1.0 §8.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamStatus {
    /// Events are sent.
    Enabled,
    /// Events are queued and may be sent later.
    Paused,
    /// Events are neither sent nor queued.
    Disabled,
}

/// One event of a SET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A user's risk level changed.
    RiskChange(RiskChange),
    /// Proof that the stream works. The subject is the stream.
    Verification {
        /// The text that the receiver wants echoed; `None` if the transmitter sent the event on its own initiative.
        state: Option<String>,
    },
    /// The stream's status changed. The subject is the stream.
    StreamUpdated {
        /// The new status.
        status: StreamStatus,
        /// The reason, for people.
        reason: Option<String>,
    },
}

impl Event {
    /// Type and payload in the standard dialect.
    pub(crate) fn standard(&self) -> (&'static str, Value) {
        match self {
            Self::RiskChange(change) => (RISK_LEVEL_CHANGE, change.standard_payload()),
            Self::Verification { state } => (
                VERIFICATION,
                state
                    .as_ref()
                    .map_or_else(|| json!({}), |state| json!({ "state": state })),
            ),
            Self::StreamUpdated { status, reason } => {
                let mut payload = json!({ "status": status });
                if let Some(reason) = reason {
                    payload["reason"] = reason.as_str().into();
                }
                (STREAM_UPDATED, payload)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use RiskLevel::{High, Low, Medium, None as Unscored};

    use super::*;

    fn change(previous: RiskLevel, current: RiskLevel) -> Option<RiskChange> {
        RiskChange::between(previous, current, 1_795_309_998, Initiator::Policy)
    }

    #[test]
    fn a_level_that_a_receiver_already_knows_is_not_sent() {
        for (previous, current, sent) in [
            (Unscored, Low, true),
            (Unscored, High, true),
            (Low, Medium, true),
            (High, Low, true),
            (High, Unscored, true),
            (Low, Low, false),
            (High, High, false),
            (Unscored, Unscored, false),
            (Low, Unscored, false),
        ] {
            assert_eq!(
                change(previous, current).is_some(),
                sent,
                "{previous:?} to {current:?}"
            );
        }
    }

    #[test]
    fn a_first_score_says_none_to_okta_and_nothing_to_caep() {
        let first = change(Unscored, High).unwrap();
        assert_eq!(
            first.okta_payload(&Subject::email("a@b.example"))["previous_level"],
            "none"
        );
        assert_eq!(first.standard_payload().get("previous_level"), None);
        assert_eq!(first.standard_payload()["current_level"], "HIGH");
    }

    #[test]
    fn a_reset_is_told_as_low_in_both_dialects() {
        let reset = change(High, Unscored).unwrap();
        let okta = reset.okta_payload(&Subject::email("a@b.example"));
        assert_eq!(
            (&okta["current_level"], &okta["previous_level"]),
            (&json!("low"), &json!("high"))
        );
        assert_eq!(okta["reason_admin"], json!({"en": "risk reset"}));
        let standard = reset.standard_payload();
        assert_eq!(
            (&standard["current_level"], &standard["previous_level"]),
            (&json!("LOW"), &json!("HIGH"))
        );
    }

    #[test]
    fn okta_hears_of_user_and_device_only() {
        let subject: Subject = serde_json::from_value(json!({"format": "complex",
            "user": {"format": "email", "email": "a@b.example"},
            "tenant": {"format": "opaque", "id": "t"}}))
        .unwrap();
        assert_eq!(
            change(Low, High).unwrap().okta_payload(&subject)["subject"],
            json!({"user": {"format": "email", "email": "a@b.example"}})
        );
    }

    #[test]
    fn a_verification_begun_by_the_transmitter_carries_no_state() {
        assert_eq!(
            Event::Verification { state: None }.standard(),
            (VERIFICATION, json!({}))
        );
        let asked = Event::Verification {
            state: Some("x".into()),
        };
        assert_eq!(asked.standard(), (VERIFICATION, json!({"state": "x"})));
        let paused = Event::StreamUpdated {
            status: StreamStatus::Paused,
            reason: None,
        };
        assert_eq!(paused.standard(), (STREAM_UPDATED, json!({"status": "paused"})));
    }
}
