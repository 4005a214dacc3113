//! The records that earlier versions stored as rows, until they are moved into the archive.

use crate::engine::{Store, StoreError, in_transaction, on_engine};
use crate::evidence::EvidenceRow;
use crate::part::{PartRow, parts_add};
use sqlx::QueryBuilder;

pub(crate) const NEXT: &str = "
    SELECT id, connection_id, dataset, at, identifier,
        identifier IS NOT NULL AND SUBSTR(identifier, 1, 13) <> 'non_identity@' AS is_person, action, target,
        source_ip, country, batch_id, raw
    FROM event_before ORDER BY dataset, at, id LIMIT $1";
pub(crate) const COUNT: &str = "SELECT COUNT(*) FROM event_before";
pub(crate) const DELETE_HEAD: &str = "DELETE FROM event_before WHERE id IN (";
const EXISTS_SQLITE: &str =
    "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'event_before'";
const EXISTS_POSTGRES: &str = "
    SELECT COUNT(*) FROM information_schema.tables
    WHERE table_schema = CURRENT_SCHEMA() AND table_name = 'event_before'";
const DROP: &str = "DROP TABLE IF EXISTS event_before";

impl Store {
    /// The number of records that earlier versions stored as rows; `None` once they are all in the archive.
    pub async fn earlier_events(&self) -> Result<Option<i64>, StoreError> {
        let exists: i64 = match &self.engine {
            crate::engine::Engine::Sqlite { write, .. } => {
                sqlx::query_scalar(EXISTS_SQLITE).fetch_one(write).await?
            }
            crate::engine::Engine::Postgres(pool) => {
                sqlx::query_scalar(EXISTS_POSTGRES).fetch_one(pool).await?
            }
        };
        if exists == 0 {
            return Ok(None);
        }
        Ok(Some(
            on_engine!(self, pool => sqlx::query_scalar(COUNT).fetch_one(pool).await?),
        ))
    }

    /// The next such records, by dataset and time.
    pub async fn earlier_events_next(&self, limit: i64) -> Result<Vec<EvidenceRow>, StoreError> {
        Ok(on_engine!(self, pool => sqlx::query_as(NEXT).bind(limit).fetch_all(pool).await?))
    }

    /// Lists the parts that records were moved into, and deletes their rows.
    pub async fn earlier_events_moved(&self, ids: &[String], parts: &[PartRow]) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            parts_add!(tx, parts);
            for some in ids.chunks(1_000) {
                let mut query = QueryBuilder::new(DELETE_HEAD);
                let mut list = query.separated(", ");
                for id in some {
                    list.push_bind(id);
                }
                query.push(")");
                query.build().execute(&mut *tx).await?;
            }
        });
        Ok(())
    }

    /// Removes the table once it is empty.
    pub async fn earlier_events_end(&self) -> Result<(), StoreError> {
        on_engine!(self, pool => { sqlx::query(DROP).execute(pool).await?; });
        Ok(())
    }

    /// Gives free space in a SQLite file back to the file system.
    pub async fn shrink(&self) -> Result<(), StoreError> {
        if let crate::engine::Engine::Sqlite { write, .. } = &self.engine {
            sqlx::query("VACUUM").execute(write).await?;
            // The file itself becomes smaller when the log is written back.
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
                .execute(write)
                .await?;
        }
        Ok(())
    }
}
