//! Flareward's domain types: ids, levels, states and the clock.
//!
//! All our other crates share these types. This crate does not read files, databases, the network or (except in
//! [`clock::SystemClock`]) the time. Start reading at [`risk::RiskLevel`] and [`state`].

pub mod address;
pub mod audit;
pub mod clock;
pub mod id;
pub mod journal;
pub mod printable;
pub mod risk;
pub mod state;

pub use audit::{AuditAction, AuditOutcome};
pub use clock::{Clock, IdSource, RandomIds, SeededIds, StoppedClock, SystemClock};
pub use id::{CampaignId, ConnectionId, DetectionId, EventId, IntegrationId, MessageId, PersonId, SignalId};
pub use journal::JournalKind;
pub use risk::RiskLevel;
pub use state::{
    BatchState, Certainty, ChangeOutcome, CheckVerdict, ConnectionState, CredentialKind, FindingState,
    GrantKind, ListKind, MessageState, ObjectChange, OperationKind, OperationOutcome, Severity, SignalState,
    SourceState, SyncOutcome, TimedGrantState, UnknownWord,
};
