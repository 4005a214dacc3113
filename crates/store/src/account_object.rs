//! All objects of an account except people, roles and Access groups. One table holds every kind, because callers need
//! only the id, the name and the object as Cloudflare returned it.

use crate::engine::{Store, StoreError, bounded, in_transaction, json_columns, on_reader, storable};
use crate::sync_change::{self, Known, Listed, NewChange, Touched};
use chrono::{DateTime, Utc};
use model::{ConnectionId, ListKind};
use sqlx::QueryBuilder;

/// Rows in one statement.
const ROWS_PER_STATEMENT: usize = 500;

/// An object as listed.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are those of AccountObjectRow")]
pub struct AccountObjectSeen {
    pub id: String,
    pub name: String,
    pub raw: String,
    pub fingerprint: String,
}

impl Listed for AccountObjectSeen {
    fn id(&self) -> &str {
        &self.id
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn raw(&self) -> &str {
        &self.raw
    }
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// An object of an account.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AccountObjectRow {
    /// The connection that lists it.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// The list that contains it.
    #[sqlx(try_from = "String")]
    pub kind: ListKind,
    /// Cloudflare's id.
    pub id: String,
    /// Its name; empty if it has none.
    pub name: String,
    /// The whole object as Cloudflare returned it.
    pub raw: String,
    /// When a sync last saw it.
    pub seen_at: DateTime<Utc>,
    /// When a complete listing no longer included it.
    pub gone_at: Option<DateTime<Utc>>,
}

json_columns! {
    AccountObjectRow in "account_object" by |row| format!("{} {} of connection {}", row.kind, row.id, row.connection_id);
    /// The whole object as Cloudflare returned it.
    raw_json = raw: serde_json::Value;
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[GONE, LIVE, LIST, GET, BY_NAME];

pub(crate) const KNOWN: &str = "SELECT id, fingerprint, gone_at FROM account_object WHERE connection_id = ";
pub(crate) const RAW: &str = "SELECT id, raw FROM account_object WHERE connection_id = ";
pub(crate) const HEAD: &str =
    "INSERT INTO account_object (connection_id, kind, id, name, raw, fingerprint, seen_at) ";
pub(crate) const TAIL: &str = "
    ON CONFLICT (connection_id, kind, id) DO UPDATE SET name = excluded.name, raw = excluded.raw,
        fingerprint = excluded.fingerprint, seen_at = excluded.seen_at, gone_at = NULL";
const GONE: &str = "
    UPDATE account_object SET gone_at = $3
    WHERE connection_id = $1 AND kind = $2 AND gone_at IS NULL AND seen_at < $3
    RETURNING id, name, raw";
const LIVE: &str =
    "SELECT COUNT(*) FROM account_object WHERE connection_id = $1 AND kind = $2 AND gone_at IS NULL";
const LIST: &str = "
    SELECT * FROM account_object
    WHERE gone_at IS NULL AND kind = $1 AND (CAST($2 AS TEXT) IS NULL OR connection_id = $2)
      AND (connection_id, id) > ($3, $4)
    ORDER BY connection_id, id LIMIT $5";
const GET: &str = "
    SELECT * FROM account_object WHERE connection_id = $1 AND kind = $2 AND id = $3 AND gone_at IS NULL";
// By an expression: SQLite would otherwise take the order from the primary key and read the whole kind for it.
const BY_NAME: &str = "
    SELECT * FROM account_object WHERE connection_id = $1 AND kind = $2 AND name = $3 AND gone_at IS NULL
    ORDER BY LOWER(id) LIMIT 100";

impl Store {
    /// Stores the items of one page. With a run, also stores the differences.
    pub async fn account_object_upsert(
        &self,
        connection: &ConnectionId,
        kind: &str,
        seen: &[AccountObjectSeen],
        run: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Touched, StoreError> {
        let mut touched = Touched::default();
        for part in seen.chunks(ROWS_PER_STATEMENT) {
            let differences = in_transaction!(self, tx => {
                let mut query = QueryBuilder::new(KNOWN);
                query.push_bind(&connection.0).push(" AND kind = ").push_bind(kind).push(" AND id IN (");
                let mut ids = query.separated(", ");
                for thing in part {
                    ids.push_bind(&thing.id);
                }
                query.push(")");
                let known: Vec<Known> = query.build_query_as().fetch_all(&mut *tx).await?;
                let mut differences = sync_change::differences(part, known);
                if run.is_some() {
                    let mut query = QueryBuilder::new(RAW);
                    query.push_bind(&connection.0).push(" AND kind = ").push_bind(kind);
                    sync_change::befores!(tx, query, differences);
                }
                let mut query = QueryBuilder::new(HEAD);
                query.push_values(part, |mut row, thing| {
                    row.push_bind(&connection.0).push_bind(kind).push_bind(&thing.id)
                        .push_bind(storable(&thing.name).into_owned()).push_bind(&thing.raw)
                        .push_bind(&thing.fingerprint).push_bind(now);
                });
                query.push(TAIL);
                query.build().execute(&mut *tx).await?;
                if let Some(run) = run {
                    sync_change::changes_write!(tx, run, kind, &differences, now);
                }
                differences
            });
            touched.count(&differences);
        }
        Ok(touched)
    }

    /// Marks as gone everything that the sync started at `started` did not see; returns the ids.
    pub async fn account_object_mark_gone(
        &self,
        connection: &ConnectionId,
        kind: &str,
        started: DateTime<Utc>,
        run: Option<&str>,
    ) -> Result<Vec<String>, StoreError> {
        let gone = in_transaction!(self, tx => {
            let gone: Vec<(String, String, String)> = sqlx::query_as(GONE)
                .bind(&connection.0).bind(kind).bind(started).fetch_all(&mut *tx).await?;
            if let Some(run) = run {
                let removed: Vec<NewChange> = gone.iter().cloned().map(NewChange::removed).collect();
                sync_change::changes_write!(tx, run, kind, &removed, started);
            }
            gone
        });
        Ok(gone.into_iter().map(|(id, _, _)| id).collect())
    }

    /// The number of objects of a kind that are not gone.
    pub async fn account_object_live(
        &self,
        connection: &ConnectionId,
        kind: &str,
    ) -> Result<i64, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_scalar(LIVE).bind(&connection.0).bind(kind).fetch_one(pool).await?
        }))
    }

    /// Objects of a kind that are not gone, after `(connection, id)`, ordered by connection and id.
    pub async fn account_object_list(
        &self,
        kind: &str,
        connection: Option<&ConnectionId>,
        after: Option<(&str, &str)>,
        limit: i64,
    ) -> Result<Vec<AccountObjectRow>, StoreError> {
        let (after_connection, after_id) = after.unwrap_or(("", ""));
        Ok(on_reader!(self, pool => {
            sqlx::query_as(LIST).bind(kind).bind(connection.map(ConnectionId::as_str)).bind(after_connection)
                .bind(after_id).bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// One object that is not gone.
    pub async fn account_object_get(
        &self,
        connection: &ConnectionId,
        kind: &str,
        id: &str,
    ) -> Result<Option<AccountObjectRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(GET).bind(&connection.0).bind(kind).bind(id).fetch_optional(pool).await?
        }))
    }

    /// Objects with this exact name.
    pub async fn account_object_by_name(
        &self,
        connection: &ConnectionId,
        kind: &str,
        name: &str,
    ) -> Result<Vec<AccountObjectRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(BY_NAME).bind(&connection.0).bind(kind).bind(name).fetch_all(pool).await?
        }))
    }
}
