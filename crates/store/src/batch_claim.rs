//! Claims on batches: one process at a time works on a batch, until it is done or its heartbeat stops.

use crate::batch::BatchRow;
use crate::database_clock::{postgres_now_ms, sqlite_now_ms};
use crate::engine::{Engine, Store, StoreError, on_engine, on_reader};
use chrono::TimeDelta;

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[RELEASE, WAITS];
/// The statements for one engine only.
#[cfg(test)]
pub(crate) const OF_SQLITE: &[&str] = &[NEXT_SQLITE, ONE_SQLITE, RENEW_SQLITE];
#[cfg(test)]
pub(crate) const OF_POSTGRES: &[&str] = &[NEXT_POSTGRES, ONE_POSTGRES, RENEW_POSTGRES];

// A claim that ends further ahead than any is taken for was taken before the clock was set back.
macro_rules! free {
    ($now:ident) => {
        concat!(
            "(claimed_until_ms <= ",
            $now!(),
            " OR claimed_until_ms > ",
            $now!(),
            " + $2 + 1000)"
        )
    };
}
macro_rules! next {
    ($now:ident, $lock:literal) => {
        concat!(
            "UPDATE batch SET claimed_by = $1, claimed_until_ms = ",
            $now!(),
            " + $2 WHERE id = (SELECT id FROM batch WHERE state = 'archived' AND ",
            free!($now),
            " ORDER BY received_at, id LIMIT 1",
            $lock,
            ") RETURNING *"
        )
    };
}
macro_rules! one {
    ($now:ident) => {
        concat!(
            "UPDATE batch SET claimed_by = $1, claimed_until_ms = ",
            $now!(),
            " + $2 WHERE id = $3 AND state = 'archived' AND ",
            free!($now),
            " RETURNING *"
        )
    };
}
macro_rules! renew {
    ($now:ident) => {
        concat!(
            "UPDATE batch SET claimed_until_ms = ",
            $now!(),
            " + $2 WHERE id = $3 AND claimed_by = $1"
        )
    };
}
const NEXT_SQLITE: &str = next!(sqlite_now_ms, "");
const NEXT_POSTGRES: &str = next!(postgres_now_ms, " FOR UPDATE SKIP LOCKED");
const ONE_SQLITE: &str = one!(sqlite_now_ms);
const ONE_POSTGRES: &str = one!(postgres_now_ms);
const RENEW_SQLITE: &str = renew!(sqlite_now_ms);
const RENEW_POSTGRES: &str = renew!(postgres_now_ms);
const RELEASE: &str =
    "UPDATE batch SET claimed_by = NULL, claimed_until_ms = 0 WHERE id = $1 AND claimed_by = $2";
// The index of batches that wait is asked: it is empty when nothing waits, however many batches there are.
const WAITS: &str = "SELECT EXISTS (SELECT 1 FROM batch WHERE state = 'archived')";

impl Store {
    /// Claims the oldest unclaimed batch that waits to be processed, for `length` from now. A claim that ends later than
    /// that was taken before the clock was set back, and is ignored.
    pub async fn batch_claim(
        &self,
        claimant: &str,
        length: TimeDelta,
    ) -> Result<Option<BatchRow>, StoreError> {
        let length = length.num_milliseconds();
        Ok(match &self.engine {
            Engine::Sqlite { write, .. } => {
                let query = sqlx::query_as(NEXT_SQLITE).bind(claimant).bind(length);
                query.fetch_optional(write).await?
            }
            Engine::Postgres(pool) => {
                let query = sqlx::query_as(NEXT_POSTGRES).bind(claimant).bind(length);
                query.fetch_optional(pool).await?
            }
        })
    }

    /// Claims one batch, if it is not done and nobody has claimed it.
    pub async fn batch_claim_one(
        &self,
        id: &str,
        claimant: &str,
        length: TimeDelta,
    ) -> Result<Option<BatchRow>, StoreError> {
        let length = length.num_milliseconds();
        Ok(match &self.engine {
            Engine::Sqlite { write, .. } => {
                let query = sqlx::query_as(ONE_SQLITE).bind(claimant).bind(length);
                query.bind(id).fetch_optional(write).await?
            }
            Engine::Postgres(pool) => {
                let query = sqlx::query_as(ONE_POSTGRES).bind(claimant).bind(length);
                query.bind(id).fetch_optional(pool).await?
            }
        })
    }

    /// Renews the claim; `false` if the claim is lost.
    pub async fn batch_claim_renew(
        &self,
        id: &str,
        claimant: &str,
        length: TimeDelta,
    ) -> Result<bool, StoreError> {
        let length = length.num_milliseconds();
        let renewed = match &self.engine {
            Engine::Sqlite { write, .. } => {
                let query = sqlx::query(RENEW_SQLITE).bind(claimant).bind(length).bind(id);
                query.execute(write).await?.rows_affected()
            }
            Engine::Postgres(pool) => {
                let query = sqlx::query(RENEW_POSTGRES).bind(claimant).bind(length).bind(id);
                query.execute(pool).await?.rows_affected()
            }
        };
        Ok(renewed > 0)
    }

    /// Releases a batch, whatever its progress.
    pub async fn batch_claim_release(&self, id: &str, claimant: &str) -> Result<(), StoreError> {
        on_engine!(self, pool => { sqlx::query(RELEASE).bind(id).bind(claimant).execute(pool).await?; });
        Ok(())
    }

    /// Whether any batch waits to be processed, claimed or not.
    pub async fn batch_waits(&self) -> Result<bool, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_scalar(WAITS).fetch_one(pool).await?))
    }
}
