//! The audit log: who did what. Each row is chained to the previous one by its digest.

use crate::engine::{Engine, Store, StoreError, bounded, on_reader, storable};
use chrono::{DateTime, SecondsFormat, Utc};
use model::{AuditAction, AuditOutcome};
use serde_json::Value;

/// Something that an actor did or tried.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// When.
    pub at: DateTime<Utc>,
    /// The actor: `token:NAME`, `cli`, `system`.
    pub actor: String,
    /// The action.
    pub action: AuditAction,
    /// Its target.
    pub target: String,
    /// Its outcome.
    pub outcome: AuditOutcome,
    /// Further information; never a secret.
    pub detail: Value,
}

/// A stored entry.
#[derive(Debug, Clone, sqlx::FromRow)]
#[expect(
    missing_docs,
    reason = "the fields are those of AuditEntry, and the chain's two digests in hex"
)]
pub struct AuditRow {
    pub seq: i64,
    pub at: DateTime<Utc>,
    pub actor: String,
    #[sqlx(try_from = "String")]
    pub action: AuditAction,
    pub target: String,
    #[sqlx(try_from = "String")]
    pub outcome: AuditOutcome,
    pub detail: String,
    pub previous_hash: String,
    pub hash: String,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[LAST, INSERT, LIST];
// Two writers must not chain to the same row. SQLite's transaction holds the only write lock already.
pub(crate) const LOCK_POSTGRES: &str = "LOCK TABLE audit IN EXCLUSIVE MODE";

const LAST: &str = "SELECT hash FROM audit ORDER BY seq DESC LIMIT 1";
const INSERT: &str = "
    INSERT INTO audit (at, actor, action, target, outcome, detail, previous_hash, hash)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const LIST: &str = "SELECT * FROM audit WHERE seq < $1 ORDER BY seq DESC LIMIT $2";

/// The digest that chains an entry to the previous one: SHA-256 over the fields, each preceded by its length.
pub fn audit_hash(previous: &str, at: DateTime<Utc>, fields: [&str; 5]) -> String {
    use sha2::{Digest, Sha256};
    let mut digest = Sha256::new();
    let at = at.to_rfc3339_opts(SecondsFormat::Micros, true);
    for part in [previous, at.as_str()].into_iter().chain(fields) {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    hex::encode(digest.finalize())
}

impl Store {
    /// Appends to the audit log.
    pub async fn audit_append(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let detail = entry.detail.to_string();
        let (actor, target) = (storable(&entry.actor), storable(&entry.target));
        let (action, outcome) = (entry.action.as_str(), entry.outcome.as_str());
        macro_rules! append {
            ($tx:ident) => {{
                let previous: Option<String> = sqlx::query_scalar(LAST).fetch_optional(&mut *$tx).await?;
                let previous = previous.unwrap_or_default();
                let hash = audit_hash(
                    &previous,
                    entry.at,
                    [&actor, action, &target, outcome, &detail],
                );
                sqlx::query(INSERT)
                    .bind(entry.at)
                    .bind(actor.as_ref())
                    .bind(action)
                    .bind(target.as_ref())
                    .bind(outcome)
                    .bind(&detail)
                    .bind(previous)
                    .bind(hash)
                    .execute(&mut *$tx)
                    .await?;
                $tx.commit().await?;
            }};
        }
        match &self.engine {
            Engine::Sqlite { write, .. } => {
                let mut tx = write.begin_with("BEGIN IMMEDIATE").await?;
                append!(tx);
            }
            Engine::Postgres(pool) => {
                let mut tx = pool.begin().await?;
                sqlx::query(LOCK_POSTGRES).execute(&mut *tx).await?;
                append!(tx);
            }
        }
        Ok(())
    }

    /// Entries before `before` (a `seq`), newest first.
    pub async fn audit_list(&self, before: Option<i64>, limit: i64) -> Result<Vec<AuditRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(LIST).bind(before.unwrap_or(i64::MAX)).bind(bounded(limit)).fetch_all(pool).await?
        }))
    }
}
