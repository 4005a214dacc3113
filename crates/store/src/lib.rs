//! SQLite and PostgreSQL behind one [`Store`]: all SQL and all migrations.
//!
//! One SQL text serves both engines. Where an engine needs a different text, two constants are side by side. Each file
//! contains one family of tables with its rows, statements and operations. If several families must change in one
//! transaction (such as a change and its journal entry), the transaction is one operation here, so that no caller can
//! forget a part. This crate does not know why data is written.
//!
//! Start reading at [`Store::connect`].

mod access;
mod access_change;
mod access_detail;
mod access_token;
mod account_object;
mod audit;
mod batch;
mod batch_claim;
mod coaching;
mod connection;
mod database_clock;
mod detection;
mod earlier_event;
mod engine;
mod evidence;
mod finding;
mod forget;
mod group_debt;
mod identifier;
mod integration;
mod journal;
mod lease;
mod listing;
mod log_source;
mod matches;
mod operation;
mod part;
mod person;
mod person_alias;
mod posture;
mod reject;
mod risk;
mod risk_score_read;
mod rule_admin;
mod sealing_key;
mod signal;
mod sync_change;
mod sync_request;
mod sync_run;
mod timed_grant;
mod unmapped;

#[cfg(test)]
mod earlier;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod prepared;
#[cfg(any(test, feature = "scratch"))]
pub mod scratch;

pub use access::{
    AccessGroupRow, AccessGroupSeen, AccessUserRow, AccessUserSeen, MemberRow, MemberSeen, RoleRow, RoleSeen,
};
pub use access_change::{AccessChangeFilter, AccessChangeRow};
pub use access_detail::AccessUserDetailRow;
pub use access_token::{AccessTokenRow, SessionRow};
pub use account_object::{AccountObjectRow, AccountObjectSeen};
pub use audit::{AuditEntry, AuditRow, audit_hash};
pub use batch::{BatchCounts, BatchMatches, BatchOutcome, BatchRow, NewBatch, TestMatch};
pub use coaching::{CampaignRow, MessageRow, NewMessage};
pub use connection::{ConnectionRow, NewConnection, ProbeRow};
pub use detection::{DetectionChanges, DetectionFilter, DetectionRow, RuleCount};
pub use engine::{Store, StoreError, stored};
pub use evidence::EvidenceRow;
pub use finding::{CheckResultRow, FindingCount, FindingFilter, FindingRow, FindingSeen};
pub use forget::PurgeRow;
pub use group_debt::GroupDebt;
pub use identifier::IdentifierSeenRow;
pub use integration::{IntegrationRow, SigningKeyRow};
pub use journal::{JournalEntry, JournalRow};
pub use listing::{ListingRow, Overview};
pub use log_source::{LastBatch, LogSourceRow, ObjectReadRow};
pub use matches::{MATCHES_MAX, MatchGroup, MatchRow, MatchRun, WatermarkRow};
pub use operation::{OperationEnd, OperationRow};
pub use part::{PartFilter, PartRow, PartTotal};
pub use person::{PersonFilter, PersonRow, PersonSeen};
pub use person_alias::PersonAliasRow;
pub use posture::IdAndTime;
pub use reject::{RejectRow, RejectSample};
pub use risk::{NewRiskChange, RiskChangeRow, RiskCount};
pub use risk_score_read::RiskScoreReadRow;
pub use rule_admin::{RuleDocumentRow, RuleModeRow, RuleParameterRow, TestCount};
pub use signal::{NewSignal, SignalRow};
pub use sync_change::{GrantChangeRow, SyncChangeRow, Touched};
pub use sync_request::SyncRequestRow;
pub use sync_run::SyncRunRow;
pub use timed_grant::TimedGrantRow;
pub use unmapped::{Adoptable, UnmappedRow};

/// The maximum number of rows of any list, whatever limit is requested.
pub const LIST_LIMIT_MAX: i64 = 1_000;

/// A position in a list that is ordered by time, newest first: the last row that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeCursor {
    /// The time of that row.
    pub at: chrono::DateTime<chrono::Utc>,
    /// Its id, which orders rows with equal times.
    pub id: String,
}

impl TimeCursor {
    /// The position before all rows: the first instant of the year 9000, which both engines can store.
    pub(crate) fn end() -> TimeCursor {
        let at = chrono::DateTime::from_timestamp(221_845_392_000, 0).expect("the year 9000 is within range");
        TimeCursor {
            at,
            id: String::new(),
        }
    }
}
