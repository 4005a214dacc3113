//! Claims on batches: one process at a time works on a batch, until it is done or its heartbeat stops.

use crate::batch::BatchRow;
use crate::database_clock::{postgres_now_ms, sqlite_now_ms};
use crate::engine::{Engine, Store, StoreError, on_engine, on_reader};
use chrono::TimeDelta;
use model::BatchState;

/// Everything this file sends to either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[RELEASE, WAITS];
/// What it sends to one of them.
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
            " + $2 WHERE id = (SELECT id FROM batch WHERE state = $3 AND state IN ('archived', 'stored') AND ",
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
            " + $2 WHERE id = $3 AND state IN ('archived', 'stored') AND ",
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
const WAITS: &str =
    "SELECT EXISTS (SELECT 1 FROM batch WHERE state = $1 AND state IN ('archived', 'stored'))";

impl Store {
    /// Claims the oldest batch in this state that nobody works on, for `length` from now. A claim that lasts longer
    /// than that was taken before the clock was set back, and holds nobody off.
    pub async fn batch_claim(
        &self,
        state: BatchState,
        claimant: &str,
        length: TimeDelta,
    ) -> Result<Option<BatchRow>, StoreError> {
        let length = length.num_milliseconds();
        Ok(match &self.engine {
            Engine::Sqlite { write, .. } => {
                let query = sqlx::query_as(NEXT_SQLITE).bind(claimant).bind(length);
                query.bind(state.as_str()).fetch_optional(write).await?
            }
            Engine::Postgres(pool) => {
                let query = sqlx::query_as(NEXT_POSTGRES).bind(claimant).bind(length);
                query.bind(state.as_str()).fetch_optional(pool).await?
            }
        })
    }

    /// Claims one batch, if something is left to do for it and nobody works on it.
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

    /// Gives a sign of life; `false` when the claim is lost.
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

    /// Gives a batch back, whatever was done for it.
    pub async fn batch_claim_release(&self, id: &str, claimant: &str) -> Result<(), StoreError> {
        on_engine!(self, pool => { sqlx::query(RELEASE).bind(id).bind(claimant).execute(pool).await?; });
        Ok(())
    }

    /// Whether any batch is in this state, claimed or not.
    pub async fn batch_waits(&self, state: BatchState) -> Result<bool, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_scalar(WAITS).bind(state.as_str()).fetch_one(pool).await?
        }))
    }
}
