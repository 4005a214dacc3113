//! Findings of posture checks: open, muted, resolved.

use crate::engine::{Store, StoreError, bounded, in_transaction, on_engine, on_reader, storable};
use crate::journal::{JournalEntry, journal_write};
use chrono::{DateTime, Utc};
use model::{CheckVerdict, ConnectionId, FindingState, Severity};
use std::collections::{HashMap, HashSet};

/// A result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of FindingRow")]
pub struct FindingSeen {
    pub id: String,
    pub severity: Severity,
    pub subject_kind: String,
    pub subject_id: String,
    pub subject_name: String,
    pub evidence: String,
}

/// A posture check that failed for an object.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct FindingRow {
    /// A digest of connection, check and subject: the same finding keeps its id.
    pub id: String,
    /// The connection of the account.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// The check.
    pub check_id: String,
    /// Its severity.
    #[sqlx(try_from = "String")]
    pub severity: Severity,
    /// `member`, `app`, `policy`, `account`, …
    pub subject_kind: String,
    /// Cloudflare's id of the object.
    pub subject_id: String,
    /// Its name or address.
    pub subject_name: String,
    /// The evidence, as JSON.
    pub evidence: String,
    /// Its state.
    #[sqlx(try_from = "String")]
    pub state: FindingState,
    /// When it was first found, or found again after it was resolved.
    pub first_seen_at: DateTime<Utc>,
    /// When it was last found.
    pub last_seen_at: DateTime<Utc>,
    /// When it was resolved.
    pub resolved_at: Option<DateTime<Utc>>,
    /// The reason for muting it.
    pub mute_reason: Option<String>,
    /// The actor who muted it.
    pub muted_by: Option<String>,
    /// The end of the mute; `None` means no end.
    pub muted_until: Option<DateTime<Utc>>,
}

/// The last result of a check.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct CheckResultRow {
    /// The connection of the account.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// The check.
    pub check_id: String,
    /// Its result.
    #[sqlx(try_from = "String")]
    pub verdict: CheckVerdict,
    /// The reason, if the result is unknown.
    pub unknown_reason: Option<String>,
    /// The number of its findings, including muted ones.
    pub findings: i64,
    /// When.
    pub checked_at: DateTime<Utc>,
}

/// The number of findings with one severity and state.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct FindingCount {
    /// The severity.
    #[sqlx(try_from = "String")]
    pub severity: Severity,
    /// The state.
    #[sqlx(try_from = "String")]
    pub state: FindingState,
    /// The number.
    pub findings: i64,
}

/// Which findings to list.
#[derive(Debug, Clone, Default)]
pub struct FindingFilter {
    /// Only for this connection.
    pub connection_id: Option<ConnectionId>,
    /// Only for this check.
    pub check_id: Option<String>,
    /// Only in this state.
    pub state: Option<FindingState>,
    /// Only for the object with this id.
    pub subject_id: Option<String>,
    /// Only with these severities; an empty list means all.
    pub severities: Vec<String>,
    /// Only after the finding with this check and id.
    pub after: Option<(String, String)>,
    /// The maximum number of rows.
    pub limit: i64,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    KNOWN,
    UPSERT,
    RESOLVE,
    EXPIRED,
    UNMUTE_EXPIRED,
    RESULT,
    RESULTS,
    LIST,
    GET,
    MUTE,
    UNMUTE,
    COUNTS,
    LAST,
];

const KNOWN: &str = "SELECT id, state FROM finding WHERE connection_id = $1 AND check_id = $2";
const UPSERT: &str = "
    INSERT INTO finding (id, connection_id, check_id, severity, subject_kind, subject_id, subject_name, evidence,
        state, first_seen_at, last_seen_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'open', $9, $9)
    ON CONFLICT (id) DO UPDATE SET severity = excluded.severity, subject_name = excluded.subject_name,
        evidence = excluded.evidence, last_seen_at = excluded.last_seen_at,
        first_seen_at = CASE WHEN finding.state = 'resolved' THEN excluded.first_seen_at
            ELSE finding.first_seen_at END,
        state = CASE WHEN finding.state = 'resolved' THEN 'open' ELSE finding.state END,
        resolved_at = NULL";
const RESOLVE: &str = "
    UPDATE finding SET state = 'resolved', resolved_at = $2, mute_reason = NULL, muted_by = NULL,
        muted_until = NULL
    WHERE id = $1 AND state <> 'resolved'";
const EXPIRED: &str = "
    SELECT * FROM finding WHERE state = 'muted' AND muted_until <= $1 ORDER BY muted_until, id LIMIT 1000";
const UNMUTE_EXPIRED: &str = "
    UPDATE finding SET state = 'open', mute_reason = NULL, muted_by = NULL, muted_until = NULL
    WHERE id = $1 AND state = 'muted' AND muted_until <= $2";
const RESULT: &str = "
    INSERT INTO check_result (connection_id, check_id, verdict, unknown_reason, findings, checked_at)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (connection_id, check_id) DO UPDATE SET verdict = excluded.verdict,
        unknown_reason = excluded.unknown_reason, findings = excluded.findings, checked_at = excluded.checked_at";
const RESULTS: &str = "
    SELECT * FROM check_result
    WHERE (CAST($1 AS TEXT) IS NULL OR connection_id = $1) AND (connection_id, check_id) > ($2, $3)
    ORDER BY connection_id, check_id LIMIT $4";
const LIST: &str = "
    SELECT * FROM finding
    WHERE (CAST($1 AS TEXT) IS NULL OR connection_id = $1) AND (CAST($2 AS TEXT) IS NULL OR check_id = $2)
      AND (CAST($3 AS TEXT) IS NULL OR state = $3) AND (CAST($4 AS TEXT) IS NULL OR subject_id = $4)
      AND (CAST($5 AS TEXT) = '' OR CAST($5 AS TEXT) LIKE '%,' || severity || ',%') AND (check_id, id) > ($6, $7)
    ORDER BY check_id, id LIMIT $8";
const GET: &str = "SELECT * FROM finding WHERE id = $1";
const MUTE: &str = "
    UPDATE finding SET state = 'muted', mute_reason = $2, muted_by = $3, muted_until = $4
    WHERE id = $1 AND state <> 'resolved'";
const UNMUTE: &str = "
    UPDATE finding SET state = 'open', mute_reason = NULL, muted_by = NULL, muted_until = NULL
    WHERE id = $1 AND state = 'muted'";
const COUNTS: &str = "
    SELECT severity, state, COUNT(*) AS findings FROM finding
    WHERE state <> 'resolved' AND (CAST($1 AS TEXT) IS NULL OR connection_id = $1)
    GROUP BY severity, state ORDER BY severity, state";
const LAST: &str = "SELECT MAX(checked_at) FROM check_result WHERE connection_id = $1";

impl Store {
    /// Updates the findings of one check to its new result. New ones open, findings that no longer occur are resolved,
    /// and muted ones stay muted. Findings about the objects in `unjudged`, for which the check has no result this
    /// time, do not change. Returns the numbers of opened and resolved findings.
    pub async fn finding_replace(
        &self,
        result: &CheckResultRow,
        seen: &[FindingSeen],
        unjudged: &HashSet<String>,
        entry: impl Fn(&FindingSeen) -> JournalEntry,
    ) -> Result<(usize, usize), StoreError> {
        let counts = in_transaction!(self, tx => {
            let known: HashMap<String, String> = sqlx::query_as(KNOWN)
                .bind(&result.connection_id.0).bind(&result.check_id).fetch_all(&mut *tx).await?
                .into_iter().collect();
            let mut opened = 0;
            for finding in seen {
                sqlx::query(UPSERT)
                    .bind(&finding.id).bind(&result.connection_id.0).bind(&result.check_id)
                    .bind(finding.severity.as_str()).bind(&finding.subject_kind).bind(&finding.subject_id)
                    .bind(storable(&finding.subject_name).as_ref()).bind(&finding.evidence)
                    .bind(result.checked_at).execute(&mut *tx).await?;
                if known.get(&finding.id).is_none_or(|state| state == FindingState::Resolved.as_str()) {
                    opened += 1;
                    let entry = entry(finding);
                    journal_write!(tx, &entry);
                }
            }
            let found: HashSet<&str> = seen.iter().map(|finding| finding.id.as_str()).collect();
            let mut resolved = 0;
            for (id, state) in &known {
                if state != FindingState::Resolved.as_str() && !found.contains(id.as_str()) && !unjudged.contains(id) {
                    sqlx::query(RESOLVE).bind(id).bind(result.checked_at).execute(&mut *tx).await?;
                    resolved += 1;
                }
            }
            sqlx::query(RESULT)
                .bind(&result.connection_id.0).bind(&result.check_id).bind(result.verdict.as_str())
                .bind(&result.unknown_reason).bind(seen.len() as i64).bind(result.checked_at)
                .execute(&mut *tx).await?;
            (opened, resolved)
        });
        Ok(counts)
    }

    /// Records that a check has no result: its findings do not change.
    pub async fn check_result_unknown(&self, result: &CheckResultRow) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(RESULT)
                .bind(&result.connection_id.0).bind(&result.check_id).bind(result.verdict.as_str())
                .bind(&result.unknown_reason).bind(result.findings).bind(result.checked_at)
                .execute(pool).await?;
        });
        Ok(())
    }

    /// The last results of checks, after `(connection, check)`.
    pub async fn check_result_list(
        &self,
        connection: Option<&ConnectionId>,
        after: Option<(&str, &str)>,
        limit: i64,
    ) -> Result<Vec<CheckResultRow>, StoreError> {
        let (after_connection, after_check) = after.unwrap_or(("", ""));
        Ok(on_reader!(self, pool => {
            sqlx::query_as(RESULTS).bind(connection.map(ConnectionId::as_str)).bind(after_connection)
                .bind(after_check).bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// Findings, ordered by check and id.
    pub async fn finding_list(&self, filter: &FindingFilter) -> Result<Vec<FindingRow>, StoreError> {
        let empty = (String::new(), String::new());
        let after = filter.after.as_ref().unwrap_or(&empty);
        let severities = match filter.severities.as_slice() {
            [] => String::new(),
            some => format!(",{},", some.join(",")),
        };
        Ok(on_reader!(self, pool => {
            sqlx::query_as(LIST)
                .bind(filter.connection_id.as_ref().map(ConnectionId::as_str)).bind(filter.check_id.as_deref())
                .bind(filter.state.map(FindingState::as_str)).bind(filter.subject_id.as_deref()).bind(&severities)
                .bind(&after.0).bind(&after.1).bind(bounded(filter.limit)).fetch_all(pool).await?
        }))
    }

    /// One finding.
    pub async fn finding_get(&self, id: &str) -> Result<Option<FindingRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(GET).bind(id).fetch_optional(pool).await?))
    }

    /// Mutes a finding; `false` if it is resolved or unknown.
    pub async fn finding_mute(
        &self,
        id: &str,
        reason: &str,
        by: &str,
        until: Option<DateTime<Utc>>,
    ) -> Result<bool, StoreError> {
        let rows = on_engine!(self, pool => {
            sqlx::query(MUTE).bind(id).bind(storable(reason).as_ref()).bind(by).bind(until)
                .execute(pool).await?.rows_affected()
        });
        Ok(rows > 0)
    }

    /// Unmutes a finding; `false` if it was not muted.
    pub async fn finding_unmute(&self, id: &str) -> Result<bool, StoreError> {
        let rows = on_engine!(self, pool => {
            sqlx::query(UNMUTE).bind(id).execute(pool).await?.rows_affected()
        });
        Ok(rows > 0)
    }

    /// Reopens every finding whose mute has expired, and writes journal entries; returns the previous findings.
    pub async fn finding_unmute_expired(
        &self,
        now: DateTime<Utc>,
        entry: impl Fn(&FindingRow) -> JournalEntry,
    ) -> Result<Vec<FindingRow>, StoreError> {
        let expired: Vec<FindingRow> = on_reader!(self, pool => {
            sqlx::query_as(EXPIRED).bind(now).fetch_all(pool).await?
        });
        let mut opened = Vec::with_capacity(expired.len());
        for finding in expired {
            let entry = entry(&finding);
            let rows = in_transaction!(self, tx => {
                let done = sqlx::query(UNMUTE_EXPIRED).bind(&finding.id).bind(now).execute(&mut *tx).await?;
                if done.rows_affected() > 0 {
                    journal_write!(tx, &entry);
                }
                done.rows_affected()
            });
            if rows > 0 {
                opened.push(finding);
            }
        }
        Ok(opened)
    }

    /// The number of findings by severity and state, without resolved ones.
    pub async fn finding_counts(
        &self,
        connection: Option<&ConnectionId>,
    ) -> Result<Vec<FindingCount>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(COUNTS).bind(connection.map(ConnectionId::as_str)).fetch_all(pool).await?
        }))
    }

    /// When a check of this connection last ran.
    pub async fn check_result_last(
        &self,
        connection: &ConnectionId,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_scalar(LAST).bind(&connection.0).fetch_one(pool).await?))
    }
}
