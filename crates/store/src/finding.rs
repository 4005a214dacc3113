//! Findings of posture checks: open, muted, resolved.

use crate::engine::{Store, StoreError, bounded, in_transaction, on_engine, on_reader, storable};
use crate::journal::{JournalEntry, journal_write};
use chrono::{DateTime, Utc};
use model::{CheckVerdict, ConnectionId, FindingState, Severity};
use std::collections::{HashMap, HashSet};

/// What a check found.
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

/// A posture check that does not hold for something.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct FindingRow {
    /// A digest of connection, check and subject: the same finding keeps its id.
    pub id: String,
    /// In which account.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// Which check.
    pub check_id: String,
    /// How bad it is.
    #[sqlx(try_from = "String")]
    pub severity: Severity,
    /// `member`, `app`, `policy`, `account`, …
    pub subject_kind: String,
    /// Cloudflare's id of it.
    pub subject_id: String,
    /// Its name or address.
    pub subject_name: String,
    /// What was seen, as JSON.
    pub evidence: String,
    /// Where it stands.
    #[sqlx(try_from = "String")]
    pub state: FindingState,
    /// When it was first found; when it came back after being resolved, that time.
    pub first_seen_at: DateTime<Utc>,
    /// When it was last found.
    pub last_seen_at: DateTime<Utc>,
    /// When it was no longer found.
    pub resolved_at: Option<DateTime<Utc>>,
    /// Why it is muted.
    pub mute_reason: Option<String>,
    /// By whom.
    pub muted_by: Option<String>,
    /// Until when; `None` is without end.
    pub muted_until: Option<DateTime<Utc>>,
}

/// What a check came to when it last ran.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct CheckResultRow {
    /// In which account.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// Which check.
    pub check_id: String,
    /// What it came to.
    #[sqlx(try_from = "String")]
    pub verdict: CheckVerdict,
    /// Why it could not tell.
    pub unknown_reason: Option<String>,
    /// How many findings it has, muted ones too.
    pub findings: i64,
    /// When.
    pub checked_at: DateTime<Utc>,
}

/// How many findings of one severity are in one state.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct FindingCount {
    /// How bad they are.
    #[sqlx(try_from = "String")]
    pub severity: Severity,
    /// Where they stand.
    #[sqlx(try_from = "String")]
    pub state: FindingState,
    /// How many.
    pub findings: i64,
}

/// Which findings to list.
#[derive(Debug, Clone, Default)]
pub struct FindingFilter {
    /// Only of this connection.
    pub connection_id: Option<ConnectionId>,
    /// Only of this check.
    pub check_id: Option<String>,
    /// Only in this state.
    pub state: Option<FindingState>,
    /// Only about the thing with this id.
    pub subject_id: Option<String>,
    /// Only of these severities; empty for all.
    pub severities: Vec<String>,
    /// Only after the finding with this check and id.
    pub after: Option<(String, String)>,
    /// At most this many.
    pub limit: i64,
}

/// Everything this file sends to either engine.
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
    /// Brings the findings of one check in step with what it found now: new ones open, those that are no longer
    /// found are resolved, muted ones stay so. Those in `unjudged` are about what the check could not tell this
    /// time: they stay as they were. Answers how many opened and how many were resolved.
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

    /// Keeps that a check could not tell: its findings stay as they were.
    pub async fn check_result_unknown(&self, result: &CheckResultRow) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(RESULT)
                .bind(&result.connection_id.0).bind(&result.check_id).bind(result.verdict.as_str())
                .bind(&result.unknown_reason).bind(result.findings).bind(result.checked_at)
                .execute(pool).await?;
        });
        Ok(())
    }

    /// What checks last came to, after `(connection, check)`.
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

    /// Findings by check and id.
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

    /// Mutes a finding; `false` when it is resolved or unknown.
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

    /// Opens a muted finding again; `false` when it was not muted.
    pub async fn finding_unmute(&self, id: &str) -> Result<bool, StoreError> {
        let rows = on_engine!(self, pool => {
            sqlx::query(UNMUTE).bind(id).execute(pool).await?.rows_affected()
        });
        Ok(rows > 0)
    }

    /// Opens every finding whose mute has run out, and tells the journal; answers them as they were.
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

    /// How many findings there are by severity and state, without resolved ones.
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
