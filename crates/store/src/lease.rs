//! Leases: at most one process at a time runs a stage.

use crate::engine::{Store, StoreError, on_engine};
use chrono::{DateTime, Utc};

/// Everything this file sends to either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[TAKE, RELEASE];

const TAKE: &str = "
    INSERT INTO lease (name, holder, until) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE lease.holder = excluded.holder OR lease.until < $4
    RETURNING holder";
const RELEASE: &str = "DELETE FROM lease WHERE name = $1 AND holder = $2";

impl Store {
    /// Takes or renews the lease `name` until `until`; `false` when another holder's has not run out.
    pub async fn lease_take(
        &self,
        name: &str,
        holder: &str,
        until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let taken: Option<String> = on_engine!(self, pool => {
            sqlx::query_scalar(TAKE).bind(name).bind(holder).bind(until).bind(now).fetch_optional(pool).await?
        });
        Ok(taken.is_some())
    }

    /// Gives the lease back.
    pub async fn lease_release(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        on_engine!(self, pool => { sqlx::query(RELEASE).bind(name).bind(holder).execute(pool).await?; });
        Ok(())
    }
}
