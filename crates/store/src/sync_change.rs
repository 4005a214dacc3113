//! The changes that each sync found in the lists and in the resulting grants; and the progress of a sync.

use crate::engine::{Store, StoreError, bounded, in_transaction, on_engine, on_reader, storable, stored};
use chrono::{DateTime, Utc};
use model::{ConnectionId, GrantKind, ListKind, ObjectChange};
use sqlx::QueryBuilder;
use std::collections::HashMap;

/// Rows in one statement.
const ROWS_PER_STATEMENT: usize = 500;

/// The number of differences between the written rows and the previous ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Touched {
    /// New, or gone before.
    pub added: usize,
    /// Existing, and different.
    pub changed: usize,
}

impl Touched {
    /// Adds the result of one statement.
    pub(crate) fn count(&mut self, differences: &[NewChange]) {
        for change in differences {
            match change.change {
                ObjectChange::Added => self.added += 1,
                _ => self.changed += 1,
            }
        }
    }
}

/// An item of a list.
pub(crate) trait Listed {
    fn id(&self) -> &str;
    fn name(&self) -> &str;
    fn raw(&self) -> &str;
    fn fingerprint(&self) -> &str;
}

/// A row before the change.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Known {
    id: String,
    fingerprint: String,
    gone_at: Option<DateTime<Utc>>,
}

/// A difference to store.
#[derive(Debug)]
pub(crate) struct NewChange {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) change: ObjectChange,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

impl NewChange {
    pub(crate) fn removed((id, name, raw): (String, String, String)) -> Self {
        Self {
            id,
            name,
            change: ObjectChange::Removed,
            before: Some(raw),
            after: None,
        }
    }
}

/// The items of `seen` that are new or different. [`befores`] adds their previous state.
pub(crate) fn differences(seen: &[impl Listed], known: Vec<Known>) -> Vec<NewChange> {
    let mut known: HashMap<String, Known> = known.into_iter().map(|row| (row.id.clone(), row)).collect();
    seen.iter()
        .filter_map(|thing| {
            let change = match known.remove(thing.id()) {
                Some(row) if row.gone_at.is_none() && row.fingerprint == thing.fingerprint() => return None,
                // Rows from before fingerprints were kept have none: they are not different for that.
                Some(row) if row.gone_at.is_none() && row.fingerprint.is_empty() => return None,
                Some(row) if row.gone_at.is_none() => ObjectChange::Changed,
                _ => ObjectChange::Added,
            };
            Some(NewChange {
                id: thing.id().to_owned(),
                name: storable(thing.name()).into_owned(),
                change,
                before: None,
                after: Some(thing.raw().to_owned()),
            })
        })
        .collect()
}

/// Reads the previous state of the changed items; `$query` receives their ids.
macro_rules! befores {
    ($tx:ident, $query:expr, $changes:expr) => {{
        let changed: Vec<String> = $changes
            .iter()
            .filter(|change| change.change == model::ObjectChange::Changed)
            .map(|change| change.id.clone())
            .collect();
        if !changed.is_empty() {
            let mut query = $query;
            query.push(" AND id IN (");
            let mut ids = query.separated(", ");
            for id in &changed {
                ids.push_bind(id);
            }
            query.push(")");
            let rows: Vec<(String, String)> = query.build_query_as().fetch_all(&mut *$tx).await?;
            let mut raws: std::collections::HashMap<String, String> = rows.into_iter().collect();
            for change in &mut $changes {
                change.before = raws.remove(&change.id);
            }
        }
    }};
}
pub(crate) use befores;

/// Stores differences for a run. The first state of an item in a run stays its "before".
macro_rules! changes_write {
    ($tx:ident, $run:expr, $kind:expr, $changes:expr, $now:expr) => {
        for part in $changes.chunks(500) {
            let mut query = sqlx::QueryBuilder::new($crate::sync_change::CHANGE_HEAD);
            query.push_values(part, |mut row, change| {
                row.push_bind($run)
                    .push_bind($kind)
                    .push_bind(&change.id)
                    .push_bind(&change.name)
                    .push_bind(change.change.as_str())
                    .push_bind(&change.before)
                    .push_bind(&change.after)
                    .push_bind($now);
            });
            query.push($crate::sync_change::CHANGE_TAIL);
            query.build().execute(&mut *$tx).await?;
        }
    };
}
pub(crate) use changes_write;

/// One object that a sync found added, changed or removed.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SyncChangeRow {
    /// The run.
    pub run_id: String,
    /// The list.
    #[sqlx(try_from = "String")]
    pub kind: ListKind,
    /// Cloudflare's id.
    pub object_id: String,
    /// Its name or address.
    pub name: String,
    /// The kind of change.
    #[sqlx(try_from = "String")]
    pub change: ObjectChange,
    /// The whole object before the change.
    pub before: Option<String>,
    /// The whole object after the change.
    pub after: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

impl SyncChangeRow {
    /// The whole object before the change.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if it cannot be read.
    pub fn before_json(&self) -> Result<Option<serde_json::Value>, StoreError> {
        self.object("before", self.before.as_deref())
    }

    /// The whole object after the change.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if it cannot be read.
    pub fn after_json(&self) -> Result<Option<serde_json::Value>, StoreError> {
        self.object("after", self.after.as_deref())
    }

    fn object(
        &self,
        column: &'static str,
        text: Option<&str>,
    ) -> Result<Option<serde_json::Value>, StoreError> {
        let row = || format!("{} {} of run {}", self.kind, self.object_id, self.run_id);
        text.map(|text| stored("sync_change", row(), column, text))
            .transpose()
    }
}

/// A grant that a person gained, lost, or holds with a different certainty after a sync.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
#[expect(missing_docs, reason = "as in grants; before and after are certainties")]
pub struct GrantChangeRow {
    pub run_id: String,
    #[sqlx(try_from = "String")]
    pub kind: GrantKind,
    pub entitlement_id: String,
    pub entitlement_name: String,
    pub email: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    OPEN_CHANGES,
    LIST,
    GRANT_LIST,
    COMPARED,
    PRUNE,
    PROGRESS_SET,
    PROGRESS_GET,
    PROGRESS_ANY,
    PROGRESS_CLEAR,
    REVISION,
    REVISION_BUMP,
];

pub(crate) const CHANGE_HEAD: &str =
    "INSERT INTO sync_change (run_id, kind, object_id, name, change, before, after, at) ";
pub(crate) const CHANGE_TAIL: &str = "
    ON CONFLICT (run_id, kind, object_id) DO UPDATE SET name = excluded.name, change = excluded.change,
        after = excluded.after, at = excluded.at";
pub(crate) const GRANT_CHANGE_HEAD: &str =
    "INSERT INTO grant_change (run_id, kind, entitlement_id, entitlement_name, email, before, after) ";
pub(crate) const GRANT_CHANGE_TAIL: &str = "
    ON CONFLICT (run_id, kind, entitlement_id, email) DO UPDATE SET after = excluded.after";
const OPEN_CHANGES: &str = "
    SELECT c.* FROM sync_change c JOIN sync_run r ON r.id = c.run_id
    WHERE r.connection_id = $1 AND NOT r.compared AND (c.run_id, c.kind, c.object_id) > ($2, $3, $4)
    ORDER BY c.run_id, c.kind, c.object_id LIMIT $5";
const LIST: &str = "
    SELECT * FROM sync_change WHERE run_id = $1 AND (kind, object_id) > ($2, $3)
    ORDER BY kind, object_id LIMIT $4";
const GRANT_LIST: &str = "
    SELECT * FROM grant_change WHERE run_id = $1 AND (kind, entitlement_id, email) > ($2, $3, $4)
    ORDER BY kind, entitlement_id, email LIMIT $5";
const COMPARED: &str = "UPDATE sync_run SET compared = TRUE WHERE connection_id = $1 AND NOT compared";
const PRUNE: &str = "
    DELETE FROM sync_run WHERE connection_id = $1 AND id IN (
        SELECT id FROM sync_run WHERE connection_id = $1 ORDER BY started_at DESC, id DESC LIMIT 1000 OFFSET $2)";
const PROGRESS_SET: &str = "
    INSERT INTO listing_progress (connection_id, kind, run_id, next_page) VALUES ($1, $2, $3, $4)
    ON CONFLICT (connection_id, kind) DO UPDATE SET run_id = excluded.run_id, next_page = excluded.next_page";
const PROGRESS_GET: &str =
    "SELECT next_page FROM listing_progress WHERE connection_id = $1 AND kind = $2 AND run_id = $3";
const PROGRESS_ANY: &str = "SELECT COUNT(*) FROM listing_progress WHERE run_id = $1";
const PROGRESS_CLEAR: &str = "DELETE FROM listing_progress WHERE connection_id = $1 AND kind = $2";
const REVISION: &str = "SELECT value FROM revision WHERE name = $1";
const REVISION_BUMP: &str = "
    INSERT INTO revision (name, value) VALUES ($1, 1)
    ON CONFLICT (name) DO UPDATE SET value = revision.value + 1";

impl Store {
    /// Changes of runs whose grants have not been compared yet, after `(run, kind, id)`.
    pub async fn sync_change_open(
        &self,
        connection: &ConnectionId,
        after: Option<(&str, &str, &str)>,
        limit: i64,
    ) -> Result<Vec<SyncChangeRow>, StoreError> {
        let (run, kind, id) = after.unwrap_or(("", "", ""));
        Ok(on_reader!(self, pool => {
            sqlx::query_as(OPEN_CHANGES).bind(&connection.0).bind(run).bind(kind).bind(id)
                .bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// The changes that a run found in the lists, after `(kind, id)`.
    pub async fn sync_change_list(
        &self,
        run: &str,
        after: Option<(&str, &str)>,
        limit: i64,
    ) -> Result<Vec<SyncChangeRow>, StoreError> {
        let (kind, id) = after.unwrap_or(("", ""));
        Ok(on_reader!(self, pool => {
            sqlx::query_as(LIST).bind(run).bind(kind).bind(id).bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// The changes of grants after a run, after `(kind, entitlement, address)`.
    pub async fn grant_change_list(
        &self,
        run: &str,
        after: Option<(&str, &str, &str)>,
        limit: i64,
    ) -> Result<Vec<GrantChangeRow>, StoreError> {
        let (kind, entitlement, email) = after.unwrap_or(("", "", ""));
        Ok(on_reader!(self, pool => {
            sqlx::query_as(GRANT_LIST).bind(run).bind(kind).bind(entitlement).bind(email)
                .bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// Stores the changes of grants, and that every run of the connection so far has been compared.
    pub async fn grant_change_keep(
        &self,
        connection: &ConnectionId,
        changes: &[GrantChangeRow],
    ) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            for part in changes.chunks(ROWS_PER_STATEMENT) {
                let mut query = QueryBuilder::new(GRANT_CHANGE_HEAD);
                query.push_values(part, |mut row, change| {
                    row.push_bind(&change.run_id).push_bind(change.kind.as_str()).push_bind(&change.entitlement_id)
                        .push_bind(storable(&change.entitlement_name).into_owned())
                        .push_bind(&change.email).push_bind(&change.before).push_bind(&change.after);
                });
                query.push(GRANT_CHANGE_TAIL);
                query.build().execute(&mut *tx).await?;
            }
            sqlx::query(COMPARED).bind(&connection.0).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// Deletes all runs of a connection except the newest `keep`, with their changes.
    pub async fn sync_run_prune(&self, connection: &ConnectionId, keep: i64) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(PRUNE).bind(&connection.0).bind(keep.max(1)).execute(pool).await?;
        });
        Ok(())
    }

    /// Stores the next page of a run, so that the run can resume after it was killed.
    pub async fn listing_progress_set(
        &self,
        connection: &ConnectionId,
        kind: &str,
        run: &str,
        next_page: u64,
    ) -> Result<(), StoreError> {
        let page = i64::try_from(next_page).unwrap_or(i64::MAX);
        on_engine!(self, pool => {
            sqlx::query(PROGRESS_SET).bind(&connection.0).bind(kind).bind(run).bind(page).execute(pool).await?;
        });
        Ok(())
    }

    /// The next page of a list in this run.
    pub async fn listing_progress_get(
        &self,
        connection: &ConnectionId,
        kind: &str,
        run: &str,
    ) -> Result<Option<u64>, StoreError> {
        let page: Option<i64> = on_reader!(self, pool => {
            sqlx::query_scalar(PROGRESS_GET).bind(&connection.0).bind(kind).bind(run).fetch_optional(pool).await?
        });
        Ok(page.and_then(|page| u64::try_from(page).ok()))
    }

    /// Whether a run stopped in the middle of a list.
    pub async fn listing_progress_any(&self, run: &str) -> Result<bool, StoreError> {
        let lists: i64 = on_reader!(self, pool => {
            sqlx::query_scalar(PROGRESS_ANY).bind(run).fetch_one(pool).await?
        });
        Ok(lists > 0)
    }

    /// Deletes the stored position of a list.
    pub async fn listing_progress_clear(
        &self,
        connection: &ConnectionId,
        kind: &str,
    ) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(PROGRESS_CLEAR).bind(&connection.0).bind(kind).execute(pool).await?;
        });
        Ok(())
    }

    /// The number of changes of the lists. Data computed from the lists is outdated if this has changed.
    pub async fn access_revision(&self) -> Result<i64, StoreError> {
        let value: Option<i64> = on_reader!(self, pool => {
            sqlx::query_scalar(REVISION).bind("access").fetch_optional(pool).await?
        });
        Ok(value.unwrap_or(0))
    }

    /// Records that the lists have changed.
    pub async fn access_revision_bump(&self) -> Result<(), StoreError> {
        on_engine!(self, pool => { sqlx::query(REVISION_BUMP).bind("access").execute(pool).await?; });
        Ok(())
    }
}
