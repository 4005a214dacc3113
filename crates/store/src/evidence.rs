//! Evidence: the records that matches and detections refer to, as they came.
//!
//! It is stored in the transaction that stores the match, so that detections, mails and exports need no archive. What
//! only matches refer to is deleted after them.

use crate::engine::{Store, StoreError, on_engine, on_reader};
use chrono::{DateTime, Utc};
use model::{ConnectionId, EventId};
use sqlx::QueryBuilder;

/// A record that a match or a detection refers to.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct EvidenceRow {
    /// Digest of connection, dataset and the record's key.
    #[sqlx(try_from = "String")]
    pub id: EventId,
    /// The connection of the account.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// The dataset.
    pub dataset: String,
    /// When it happened, by the record's own time.
    pub at: DateTime<Utc>,
    /// The address or name in the record, in lower case.
    pub identifier: Option<String>,
    /// Whether the identifier can be that of a person.
    pub is_person: bool,
    /// The action or decision.
    pub action: Option<String>,
    /// The target: a name, an address, an application.
    pub target: Option<String>,
    /// The source IP address.
    pub source_ip: Option<String>,
    /// The country, in upper case.
    pub country: Option<String>,
    /// The batch that contained it.
    pub batch_id: String,
    /// The record as received.
    pub raw: String,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[PRUNE];

pub(crate) const INSERT_HEAD: &str = "
    INSERT INTO evidence (id, connection_id, dataset, at, identifier, is_person, action, target, source_ip, country,
        batch_id, raw, kept_at, is_held) ";
pub(crate) const INSERT_TAIL: &str = "
    ON CONFLICT (id) DO UPDATE SET kept_at =
        CASE WHEN excluded.kept_at > evidence.kept_at THEN excluded.kept_at ELSE evidence.kept_at END";
pub(crate) const HOLD_HEAD: &str = "UPDATE evidence SET is_held = TRUE WHERE NOT is_held AND id IN (";
pub(crate) const GET_MANY_HEAD: &str = "
    SELECT id, connection_id, dataset, at, identifier, is_person, action, target, source_ip, country, batch_id, raw
    FROM evidence WHERE id IN (";
const PRUNE: &str = "
    DELETE FROM evidence WHERE NOT is_held AND kept_at < $1
        AND NOT EXISTS (SELECT 1 FROM rule_hit WHERE rule_hit.event_id = evidence.id)";

/// Stores evidence in the transaction `$tx`.
macro_rules! evidence_write {
    ($tx:expr, $evidence:expr, $kept_at:expr) => {{
        let evidence: &[$crate::evidence::EvidenceRow] = $evidence;
        let mut seen = std::collections::HashSet::new();
        let evidence: Vec<_> = evidence
            .iter()
            .filter(|one| seen.insert(one.id.as_str()))
            .collect();
        for some in evidence.chunks(500) {
            let mut query = sqlx::QueryBuilder::new($crate::evidence::INSERT_HEAD);
            query.push_values(some, |mut row, one| {
                let kept = |text: &Option<String>| {
                    text.as_deref()
                        .map(|text| $crate::engine::storable(text).into_owned())
                };
                row.push_bind(&one.id.0)
                    .push_bind(&one.connection_id.0)
                    .push_bind(&one.dataset)
                    .push_bind(one.at)
                    .push_bind(kept(&one.identifier))
                    .push_bind(one.is_person)
                    .push_bind(kept(&one.action))
                    .push_bind(kept(&one.target))
                    .push_bind(kept(&one.source_ip))
                    .push_bind(kept(&one.country))
                    .push_bind(&one.batch_id)
                    .push_bind($crate::engine::storable(&one.raw))
                    .push_bind($kept_at)
                    .push_bind(false);
            });
            query.push($crate::evidence::INSERT_TAIL);
            query.build().execute(&mut *$tx).await?;
        }
    }};
}
pub(crate) use evidence_write;

/// Marks evidence as that of a detection in the transaction `$tx`.
macro_rules! evidence_hold {
    ($tx:expr, $ids:expr) => {{
        let ids: Vec<String> = $ids;
        for some in ids.chunks(500) {
            let mut query = sqlx::QueryBuilder::new($crate::evidence::HOLD_HEAD);
            let mut list = query.separated(", ");
            for id in some {
                list.push_bind(id);
            }
            query.push(")");
            query.build().execute(&mut *$tx).await?;
        }
    }};
}
pub(crate) use evidence_hold;

impl Store {
    /// The evidence among these ids that is stored, in no order.
    pub async fn evidence_get_many(&self, ids: &[String]) -> Result<Vec<EvidenceRow>, StoreError> {
        let mut all = Vec::new();
        for some in ids.chunks(500) {
            let rows: Vec<EvidenceRow> = on_reader!(self, pool => {
                let mut query = QueryBuilder::new(GET_MANY_HEAD);
                let mut list = query.separated(", ");
                for id in some {
                    list.push_bind(id);
                }
                query.push(")");
                query.build_query_as().fetch_all(pool).await?
            });
            all.extend(rows);
        }
        Ok(all)
    }

    /// Deletes evidence that was stored before a time and that neither a match nor a detection refers to.
    pub async fn evidence_prune(&self, kept_before: DateTime<Utc>) -> Result<u64, StoreError> {
        Ok(on_engine!(self, pool => {
            sqlx::query(PRUNE).bind(kept_before).execute(pool).await?.rows_affected()
        }))
    }
}
