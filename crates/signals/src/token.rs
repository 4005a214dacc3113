//! A Security Event Token: the claims of RFC 8417 with the restrictions of SSF 1.0 §4, for each dialect.
//!
//! Never contains `exp` or `sub`, and contains exactly one event. Start reading at [`Token::sign`].

use serde_json::{Map, Value, json};

use crate::event::{Event, OKTA_USER_RISK_CHANGE};
use crate::key::{Header, KeyError, SigningKey};
use crate::subject::{Subject, SubjectError};

/// The dialect of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// SSF 1.0 and CAEP 1.0: `sub_id` at the top, no subject inside the event.
    Standard,
    /// Okta as a receiver: its own event type with the subject inside the event.
    ///
    /// `txn` and `sub_id` are not in Okta's published schema. Receivers ignore unknown claims (SSF 1.0 §4), so both are
    /// on in [`Profile::OKTA`]. You can omit them for a tenant that refuses them.
    Okta {
        /// Whether the `txn` claim is written.
        txn: bool,
        /// Whether the top-level `sub_id` claim is written.
        sub_id: bool,
    },
}

impl Profile {
    /// Okta with both optional claims.
    pub const OKTA: Self = Self::Okta {
        txn: true,
        sub_id: true,
    };
}

/// The content of one token. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// `iss`: the transmitter's issuer, byte for byte as in its metadata.
    pub issuer: String,
    /// `aud`: the receiver of the token. One string, because Okta accepts no list.
    pub audience: String,
    /// `iat`: when the token is issued. Must not be ahead of the receiver's clock.
    pub issued_at: i64,
    /// `jti`: the token's identity. A repeated delivery keeps it, so that receivers can ignore repetitions.
    pub id: String,
    /// `txn`: the cause, shared by all tokens with the same cause.
    pub transaction: Option<String>,
    /// `sub_id`: the subject of the event; for stream events the stream (`opaque`).
    pub subject: Subject,
    /// The event.
    pub event: Event,
}

/// Why a token cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A required claim is empty.
    #[error("the claim {claim} is empty")]
    EmptyClaim {
        /// The claim.
        claim: &'static str,
    },
    /// The subject is invalid.
    #[error("the subject of the token is invalid")]
    Subject(#[from] SubjectError),
    /// Okta accepts no stream events.
    #[error("Okta supports only risk changes, not stream events")]
    NotForOkta,
    /// Okta acts on a user or a device, and the subject identifies neither.
    #[error("the subject is neither a user nor a device; Okta supports nothing else")]
    NoOktaSubject,
    /// Signing failed.
    #[error("could not sign the token")]
    Key(#[from] KeyError),
}

impl Token {
    /// The claims set of the token in the dialect of `profile`.
    ///
    /// # Errors
    ///
    /// Every [`TokenError`] except [`TokenError::Key`].
    pub fn claims(&self, profile: Profile) -> Result<Value, TokenError> {
        for (claim, value) in [("iss", &self.issuer), ("aud", &self.audience), ("jti", &self.id)] {
            if value.trim().is_empty() {
                return Err(TokenError::EmptyClaim { claim });
            }
        }
        self.subject.check()?;
        let (kind, payload) = match (profile, &self.event) {
            (Profile::Standard, event) => event.standard(),
            (Profile::Okta { .. }, Event::RiskChange(change)) => {
                if matches!(&self.subject, Subject::Complex(parts) if parts.user.is_none() && parts.device.is_none())
                {
                    return Err(TokenError::NoOktaSubject);
                }
                (OKTA_USER_RISK_CHANGE, change.okta_payload(&self.subject))
            }
            (Profile::Okta { .. }, _) => return Err(TokenError::NotForOkta),
        };
        let (with_txn, with_sub_id) = match profile {
            Profile::Standard => (true, true),
            Profile::Okta { txn, sub_id } => (txn, sub_id),
        };
        let mut claims = Map::new();
        claims.insert("iss".into(), self.issuer.as_str().into());
        claims.insert("aud".into(), self.audience.as_str().into());
        claims.insert("iat".into(), self.issued_at.into());
        claims.insert("jti".into(), self.id.as_str().into());
        if let Some(transaction) = self.transaction.as_deref().filter(|_| with_txn) {
            claims.insert("txn".into(), transaction.into());
        }
        if with_sub_id {
            claims.insert("sub_id".into(), json!(self.subject));
        }
        claims.insert("events".into(), json!({ kind: payload }));
        Ok(Value::Object(claims))
    }

    /// The signed token in compact form, ready to be the body of a push or an entry of a poll response.
    ///
    /// # Errors
    ///
    /// Those of [`Token::claims`], and [`TokenError::Key`].
    pub fn sign(&self, profile: Profile, key: &SigningKey) -> Result<String, TokenError> {
        Ok(key.sign(&Header::set(key), &self.claims(profile)?)?)
    }
}
