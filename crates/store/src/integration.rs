//! Risk score integrations, and the keys that sign their signals.

use crate::engine::{Store, StoreError, on_engine, on_reader};
use chrono::{DateTime, Utc};
use model::{ConnectionId, IntegrationId};

/// A risk score integration, with the fields of Cloudflare's API.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct IntegrationRow {
    /// A UUID.
    #[sqlx(try_from = "String")]
    pub id: IntegrationId,
    /// The connection whose account it belongs to.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// That account's id.
    pub account_id: String,
    /// `Okta`.
    pub integration_type: String,
    /// The receiver's base URL.
    pub tenant_url: String,
    /// The caller's own reference.
    pub reference_id: Option<String>,
    /// Whether changes are sent.
    pub active: bool,
    /// Why nothing is sent although it is active: the receiver refuses the issuer, audience or key.
    pub suspended_reason: Option<String>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was deleted.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// A key that signs tokens. The private half is encrypted.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SigningKeyRow {
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// The encrypted PKCS#8 document.
    pub key_sealed: Vec<u8>,
    /// The public half as a JWK.
    pub public_jwk: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Since when it is no longer used for signing.
    pub retired_at: Option<DateTime<Utc>>,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[INSERT, UPDATE, DELETE, SUSPEND, LIST, GET, KEY_INSERT, KEY_LIST];

const INSERT: &str = "
    INSERT INTO integration (id, connection_id, account_id, integration_type, tenant_url, reference_id, active,
        created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const UPDATE: &str = "
    UPDATE integration SET tenant_url = $2, reference_id = $3, active = $4, suspended_reason = NULL
    WHERE id = $1 AND deleted_at IS NULL";
const DELETE: &str = "
    UPDATE integration SET deleted_at = $2, active = (1 = 0) WHERE id = $1 AND deleted_at IS NULL RETURNING id";
const SUSPEND: &str = "UPDATE integration SET suspended_reason = $2 WHERE id = $1";
const LIST: &str = "
    SELECT * FROM integration WHERE deleted_at IS NULL AND (CAST($1 AS TEXT) IS NULL OR account_id = $1)
    ORDER BY created_at, id LIMIT 1000";
const GET: &str = "SELECT * FROM integration WHERE id = $1 AND deleted_at IS NULL";
const KEY_INSERT: &str = "
    INSERT INTO signing_key (kid, key_sealed, public_jwk, created_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING";
const KEY_LIST: &str = "SELECT * FROM signing_key ORDER BY created_at, kid LIMIT 100";

impl Store {
    /// Creates an integration.
    pub async fn integration_insert(&self, new: &IntegrationRow) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(INSERT)
                .bind(&new.id.0).bind(&new.connection_id.0).bind(&new.account_id).bind(&new.integration_type)
                .bind(&new.tenant_url).bind(&new.reference_id).bind(new.active).bind(new.created_at)
                .execute(pool).await?;
        });
        Ok(())
    }

    /// Updates URL, reference and activity, and ends a suspension.
    pub async fn integration_update(&self, changed: &IntegrationRow) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(UPDATE)
                .bind(&changed.id.0).bind(&changed.tenant_url).bind(&changed.reference_id).bind(changed.active)
                .execute(pool).await?;
        });
        Ok(())
    }

    /// Deletes an integration; `false` if there is none.
    pub async fn integration_delete(
        &self,
        id: &IntegrationId,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let gone: Option<String> = on_engine!(self, pool => {
            sqlx::query_scalar(DELETE).bind(&id.0).bind(now).fetch_optional(pool).await?
        });
        Ok(gone.is_some())
    }

    /// Suspends an integration's signals until someone changes it, or (with `None`) resumes them.
    pub async fn integration_suspend(
        &self,
        id: &IntegrationId,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        on_engine!(self, pool => { sqlx::query(SUSPEND).bind(&id.0).bind(reason).execute(pool).await?; });
        Ok(())
    }

    /// Integrations, of one account or of all, oldest first.
    pub async fn integration_list(&self, account: Option<&str>) -> Result<Vec<IntegrationRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(LIST).bind(account).fetch_all(pool).await?))
    }

    /// One integration.
    pub async fn integration_get(&self, id: &IntegrationId) -> Result<Option<IntegrationRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(GET).bind(&id.0).fetch_optional(pool).await?))
    }

    /// Stores a new signing key.
    pub async fn signing_key_insert(&self, key: &SigningKeyRow) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(KEY_INSERT)
                .bind(&key.kid).bind(&key.key_sealed).bind(&key.public_jwk).bind(key.created_at)
                .execute(pool).await?;
        });
        Ok(())
    }

    /// All signing keys, oldest first.
    pub async fn signing_key_list(&self) -> Result<Vec<SigningKeyRow>, StoreError> {
        Ok(on_engine!(self, pool => sqlx::query_as(KEY_LIST).fetch_all(pool).await?))
    }
}
