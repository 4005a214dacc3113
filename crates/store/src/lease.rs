//! Leases: at most one process at a time runs a named task. Leases use the database's clock.

use crate::database_clock::{AHEAD_MS, postgres_now_ms, sqlite_now_ms};
use crate::engine::{Engine, Store, StoreError, on_engine};
use chrono::TimeDelta;

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[RELEASE];
/// The statements for one engine only.
#[cfg(test)]
pub(crate) const OF_SQLITE: &[&str] = &[TAKE_SQLITE, LEFT_SQLITE];
#[cfg(test)]
pub(crate) const OF_POSTGRES: &[&str] = &[TAKE_POSTGRES, LEFT_POSTGRES];

macro_rules! take {
    ($now:ident) => {
        concat!(
            "INSERT INTO lease (name, holder, until_ms) VALUES ($1, $2, ",
            $now!(),
            " + $3)
            ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_ms = ",
            $now!(),
            " + $3 WHERE lease.holder = excluded.holder OR lease.until_ms <= ",
            $now!(),
            " RETURNING holder"
        )
    };
}
const TAKE_SQLITE: &str = take!(sqlite_now_ms);
const TAKE_POSTGRES: &str = take!(postgres_now_ms);
macro_rules! left {
    ($now:ident) => {
        concat!(
            "SELECT holder, until_ms - ",
            $now!(),
            " FROM lease WHERE name = $1"
        )
    };
}
const LEFT_SQLITE: &str = left!(sqlite_now_ms);
const LEFT_POSTGRES: &str = left!(postgres_now_ms);
const RELEASE: &str = "DELETE FROM lease WHERE name = $1 AND holder = $2";

impl Store {
    /// Takes or renews the lease `name` for `length` from now; `false` if another holder's lease is still valid. A
    /// lease that ends later than `length` from now was taken before the clock was set back: it is taken over and
    /// reported. All processes must take the lease of one name for the same length.
    pub async fn lease_take(&self, name: &str, holder: &str, length: TimeDelta) -> Result<bool, StoreError> {
        if self.lease_try(name, holder, length).await? {
            return Ok(true);
        }
        let Some((other, left_ms)) = self.lease_left(name).await? else {
            return self.lease_try(name, holder, length).await;
        };
        if left_ms <= length.num_milliseconds() + AHEAD_MS {
            return Ok(false);
        }
        tracing::warn!(
            lease = name,
            "a lease ends {left_ms} ms in the future, longer than any lease lasts: the system clock was set back, so the lease is taken over"
        );
        self.lease_release(name, &other).await?;
        self.lease_try(name, holder, length).await
    }

    async fn lease_try(&self, name: &str, holder: &str, length: TimeDelta) -> Result<bool, StoreError> {
        let length = length.num_milliseconds();
        let taken: Option<String> = match &self.engine {
            Engine::Sqlite { write, .. } => {
                let query = sqlx::query_scalar(TAKE_SQLITE)
                    .bind(name)
                    .bind(holder)
                    .bind(length);
                query.fetch_optional(write).await?
            }
            Engine::Postgres(pool) => {
                let query = sqlx::query_scalar(TAKE_POSTGRES)
                    .bind(name)
                    .bind(holder)
                    .bind(length);
                query.fetch_optional(pool).await?
            }
        };
        Ok(taken.is_some())
    }

    /// The holder of a lease, and the remaining time in milliseconds.
    async fn lease_left(&self, name: &str) -> Result<Option<(String, i64)>, StoreError> {
        Ok(match &self.engine {
            Engine::Sqlite { read, .. } => {
                sqlx::query_as(LEFT_SQLITE)
                    .bind(name)
                    .fetch_optional(read)
                    .await?
            }
            Engine::Postgres(pool) => {
                sqlx::query_as(LEFT_POSTGRES)
                    .bind(name)
                    .fetch_optional(pool)
                    .await?
            }
        })
    }

    /// Whether the lease is held.
    pub async fn lease_is_held(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self
            .lease_left(name)
            .await?
            .is_some_and(|(_, left_ms)| left_ms > 0))
    }

    /// Releases the lease.
    pub async fn lease_release(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        on_engine!(self, pool => { sqlx::query(RELEASE).bind(name).bind(holder).execute(pool).await?; });
        Ok(())
    }
}
