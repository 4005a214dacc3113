//! API tokens and console sessions. Only digests are stored.

use crate::engine::{Store, StoreError, in_transaction, on_engine, on_reader};
use chrono::{DateTime, Utc};

/// An API token. Only the digest of the token is stored.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AccessTokenRow {
    /// Flareward's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// SHA-256 of the token, in hex.
    pub token_hash: String,
    /// The token's last four characters.
    pub fingerprint: String,
    /// A JSON array of permissions.
    pub permissions: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it expires; `None` for a token without an expiry.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A login to the console.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SessionRow {
    /// SHA-256 of the cookie's value, in hex.
    pub id_hash: String,
    /// Whose session it is, as the audit log names actors.
    pub actor: String,
    /// With which token it was opened; its permissions are then the token's.
    pub access_token_id: Option<String>,
    /// A JSON array of permissions, for a session without a token.
    pub permissions: Option<String>,
    /// The CSRF token that every form of this session must contain.
    pub csrf: String,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
    /// When it was last used, to the minute.
    pub used_at: DateTime<Utc>,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    INSERT,
    BY_HASH,
    GET,
    LIST,
    USED,
    REVOKE,
    SESSION_INSERT,
    SESSION_GET,
    SESSION_USED,
    SESSION_DELETE,
    SESSION_EXPIRE,
    SESSION_COUNT,
];

const INSERT: &str = "
    INSERT INTO access_token (id, name, token_hash, fingerprint, permissions, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const BY_HASH: &str = "SELECT * FROM access_token WHERE token_hash = $1 AND revoked_at IS NULL";
const GET: &str = "SELECT * FROM access_token WHERE id = $1 AND revoked_at IS NULL";
const LIST: &str = "SELECT * FROM access_token ORDER BY created_at, id LIMIT 1000";
const USED: &str = "UPDATE access_token SET last_used_at = $2 WHERE id = $1";
const REVOKE: &str =
    "UPDATE access_token SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING id";
const SESSION_INSERT: &str = "
    INSERT INTO session (id_hash, actor, access_token_id, permissions, csrf, created_at, expires_at, used_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const SESSION_USED: &str = "UPDATE session SET used_at = $2 WHERE id_hash = $1 AND used_at < $2";
const SESSION_GET: &str = "SELECT * FROM session WHERE id_hash = $1 AND expires_at > $2";
const SESSION_DELETE: &str = "DELETE FROM session WHERE id_hash = $1";
const SESSION_COUNT: &str = "SELECT COUNT(*) FROM session WHERE access_token_id = $1 AND expires_at > $2";
const SESSION_EXPIRE: &str = "DELETE FROM session WHERE expires_at <= $1";

impl Store {
    /// Stores a new token. [`StoreError::Exists`] if a token with this name exists that is not revoked.
    pub async fn access_token_insert(&self, new: &AccessTokenRow) -> Result<(), StoreError> {
        let result = on_engine!(self, pool => {
            sqlx::query(INSERT)
                .bind(&new.id).bind(&new.name).bind(&new.token_hash).bind(&new.fingerprint)
                .bind(&new.permissions).bind(new.created_at).bind(new.expires_at).execute(pool).await.map(|_| ())
        });
        result.map_err(|error| {
            if StoreError::is_unique_violation(&error) {
                StoreError::Exists(format!("a token named \"{}\"", new.name))
            } else {
                error.into()
            }
        })
    }

    /// The valid token with this digest.
    pub async fn access_token_by_hash(&self, hash: &str) -> Result<Option<AccessTokenRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(BY_HASH).bind(hash).fetch_optional(pool).await?))
    }

    /// One valid token.
    pub async fn access_token_get(&self, id: &str) -> Result<Option<AccessTokenRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(GET).bind(id).fetch_optional(pool).await?))
    }

    /// All tokens, including revoked ones, oldest first.
    pub async fn access_token_list(&self) -> Result<Vec<AccessTokenRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(LIST).fetch_all(pool).await?))
    }

    /// Records that a token was used.
    pub async fn access_token_used(&self, id: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        on_engine!(self, pool => { sqlx::query(USED).bind(id).bind(now).execute(pool).await?; });
        Ok(())
    }

    /// Revokes a token; `false` if there is no such valid token. Its sessions end with it.
    pub async fn access_token_revoke(&self, id: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let revoked: Option<String> = on_engine!(self, pool => {
            sqlx::query_scalar(REVOKE).bind(id).bind(now).fetch_optional(pool).await?
        });
        Ok(revoked.is_some())
    }

    /// Opens a session and deletes expired ones.
    pub async fn session_insert(&self, new: &SessionRow) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            sqlx::query(SESSION_EXPIRE).bind(new.created_at).execute(&mut *tx).await?;
            sqlx::query(SESSION_INSERT)
                .bind(&new.id_hash).bind(&new.actor).bind(&new.access_token_id).bind(&new.permissions)
                .bind(&new.csrf).bind(new.created_at).bind(new.expires_at).bind(new.used_at).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// Records that a session was used.
    pub async fn session_used(&self, hash: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(SESSION_USED).bind(hash).bind(now).execute(pool).await?;
        });
        Ok(())
    }

    /// The session with this digest, if it has not expired.
    pub async fn session_get(
        &self,
        hash: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<SessionRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(SESSION_GET).bind(hash).bind(now).fetch_optional(pool).await?
        }))
    }

    /// The number of a token's sessions that have not expired.
    pub async fn session_count(&self, token: &str, now: DateTime<Utc>) -> Result<i64, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_scalar(SESSION_COUNT).bind(token).bind(now).fetch_one(pool).await?
        }))
    }

    /// Ends a session.
    pub async fn session_delete(&self, hash: &str) -> Result<(), StoreError> {
        on_engine!(self, pool => { sqlx::query(SESSION_DELETE).bind(hash).execute(pool).await?; });
        Ok(())
    }
}
