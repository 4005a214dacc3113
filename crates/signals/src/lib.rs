//! OpenID Shared Signals: subjects, events, Security Event Tokens. No I/O.
//!
//! A transmitter that uses this crate has its own queue, clock and connections. This crate defines the content of a
//! token ([`Token`]), signs it ([`SigningKey`]), describes the transmitter ([`TransmitterMetadata`]) and interprets a
//! receiver's response ([`classify`]).
//!
//! There are two dialects because Okta uses its own event type, letter case and subject position; see [`Profile`].
//! Start reading at [`Token::sign`].
//!
//! Sources: OpenID Shared Signals Framework 1.0, CAEP 1.0, CAEP Interoperability Profile 1.0 draft 02, RFC 7517, 7638,
//! 8417, 8935 and 9493, and Okta's management OpenAPI 2026.06.3.

mod event;
mod key;
mod metadata;
mod push;
mod subject;
mod token;

pub use event::{
    Event, Initiator, OKTA_USER_RISK_CHANGE, RISK_LEVEL_CHANGE, Reasons, RiskChange, RiskLevel,
    STREAM_UPDATED, StreamStatus, VERIFICATION,
};
pub use key::{Header, Jwks, KeyError, PublicJwk, SigningKey};
pub use metadata::{
    AddressError, AuthorizationScheme, DELIVERY_POLL, DELIVERY_PUSH, TransmitterMetadata, WellKnown,
    okta_audience, okta_push_url, well_known_url,
};
pub use push::{Answer, PushOutcome, SUSPEND_AFTER_BOUNDED_RETRIES, backoff, classify};
pub use subject::{ComplexSubject, Subject, SubjectError};
pub use token::{Profile, Token, TokenError};

/// The media type of a SET on the wire, in `Content-Type` of a push request (RFC 8417 §7.2).
pub const SET_MEDIA_TYPE: &str = "application/secevent+jwt";
