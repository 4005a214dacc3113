//! The fingerprint of the key that encrypts the secrets in this database; never the key itself.

use crate::engine::{Store, StoreError, on_engine};
use chrono::{DateTime, Utc};

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[SET, GET];

const SET: &str = "
    INSERT INTO sealing_key (place, fingerprint, first_used_at) VALUES (1, $1, $2) ON CONFLICT (place) DO NOTHING";
const GET: &str = "SELECT fingerprint FROM sealing_key WHERE place = 1";

impl Store {
    /// The fingerprint of the key; `None` if no key was ever used, or only by an earlier version.
    pub async fn sealing_key(&self) -> Result<Option<String>, StoreError> {
        Ok(on_engine!(self, pool => sqlx::query_scalar(GET).fetch_optional(pool).await?))
    }

    /// Stores the fingerprint of the key, unless one is stored. Returns the stored one.
    pub async fn sealing_key_first(
        &self,
        fingerprint: &str,
        now: DateTime<Utc>,
    ) -> Result<String, StoreError> {
        on_engine!(self, pool => { sqlx::query(SET).bind(fingerprint).bind(now).execute(pool).await?; });
        Ok(on_engine!(self, pool => sqlx::query_scalar(GET).fetch_one(pool).await?))
    }
}
