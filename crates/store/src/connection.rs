//! Connections, and the probe results of their credentials.

use crate::engine::{Store, StoreError, in_transaction, on_engine, on_reader};
use crate::journal::{JournalEntry, journal_write};
use chrono::{DateTime, Utc};
use model::{ConnectionId, ConnectionState, CredentialKind};

/// A configured link to one Cloudflare account. Secrets are encrypted, and this crate cannot decrypt them.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ConnectionRow {
    /// Flareward's id.
    #[sqlx(try_from = "String")]
    pub id: ConnectionId,
    /// Its unique name.
    pub label: String,
    /// Cloudflare's account id, 32 hex digits.
    pub account_id: String,
    /// The account's name at Cloudflare.
    pub account_name: String,
    /// The URL of the API, without a trailing slash.
    pub base_url: String,
    /// The kind of credential.
    #[sqlx(try_from = "String")]
    pub credential_kind: CredentialKind,
    /// The address of a global key.
    pub credential_email: Option<String>,
    /// The encrypted token or key.
    pub credential_sealed: Vec<u8>,
    /// The start of a digest, to distinguish credentials.
    pub credential_fingerprint: String,
    /// The encrypted secret for log deliveries.
    pub ingest_secret_sealed: Vec<u8>,
    /// Its SHA-256, in hex.
    pub ingest_secret_hash: String,
    /// Its state.
    #[sqlx(try_from = "String")]
    pub state: ConnectionState,
    /// The reason for the state.
    pub state_reason: Option<String>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// When the last successful sync ended.
    pub synced_at: Option<DateTime<Utc>>,
    /// A JSON array of tags that group connections.
    pub tags: String,
    /// The address of the credential's user, if Cloudflare returns it.
    pub credential_owner: Option<String>,
}

/// The data of a new connection.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are those of ConnectionRow")]
pub struct NewConnection {
    pub id: ConnectionId,
    pub label: String,
    pub account_id: String,
    pub account_name: String,
    pub base_url: String,
    pub credential_kind: CredentialKind,
    pub credential_email: Option<String>,
    pub credential_sealed: Vec<u8>,
    pub credential_fingerprint: String,
    pub ingest_secret_sealed: Vec<u8>,
    pub ingest_secret_hash: String,
    pub created_at: DateTime<Utc>,
}

/// Whether one feature's calls work with a connection's credential.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ProbeRow {
    /// The connection.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// The feature, with its name for people.
    pub feature: String,
    /// Whether its calls succeed.
    pub works: bool,
    /// The permission group that would enable it.
    pub missing_permission: Option<String>,
    /// The response.
    pub message: String,
    /// When.
    pub checked_at: DateTime<Utc>,
}

/// All statements of this file, so that a test can prepare them on both engines.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    INSERT,
    CREDENTIAL_REPLACE,
    LIST,
    GET,
    BY_LABEL,
    BY_ACCOUNT,
    STATE,
    SYNCED,
    DELETE,
    TAGS,
    OWNER,
    PROBE_UPSERT,
    PROBE_LIST,
];

const INSERT: &str = "
    INSERT INTO connection (id, label, account_id, account_name, base_url, credential_kind, credential_email,
        credential_sealed, credential_fingerprint, ingest_secret_sealed, ingest_secret_hash, state, created_at,
        updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'new', $12, $12)";
const CREDENTIAL_REPLACE: &str = "
    UPDATE connection SET account_id = $2, account_name = $3, base_url = $4, credential_kind = $5,
        credential_email = $6, credential_sealed = $7, credential_fingerprint = $8, updated_at = $9
    WHERE id = $1";
const LIST: &str = "SELECT * FROM connection ORDER BY label LIMIT 1000";
const GET: &str = "SELECT * FROM connection WHERE id = $1";
const BY_LABEL: &str = "SELECT * FROM connection WHERE label = $1";
const BY_ACCOUNT: &str = "SELECT * FROM connection WHERE account_id = $1 ORDER BY created_at, id LIMIT 1";
const STATE: &str = "
    UPDATE connection SET state = $2, state_reason = $3, updated_at = $4
    WHERE id = $1 AND (state <> $2 OR state_reason IS DISTINCT FROM $3) RETURNING id";
const SYNCED: &str = "UPDATE connection SET synced_at = $2 WHERE id = $1";
const TAGS: &str = "UPDATE connection SET tags = $2, updated_at = $3 WHERE id = $1";
const OWNER: &str = "UPDATE connection SET credential_owner = $2 WHERE id = $1";
const DELETE: &str = "DELETE FROM connection WHERE id = $1";
const PROBE_UPSERT: &str = "
    INSERT INTO probe (connection_id, feature, works, missing_permission, message, checked_at)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (connection_id, feature) DO UPDATE SET works = excluded.works,
        missing_permission = excluded.missing_permission, message = excluded.message,
        checked_at = excluded.checked_at";
const PROBE_LIST: &str = "SELECT * FROM probe WHERE connection_id = $1 ORDER BY feature LIMIT 1000";

impl Store {
    /// Creates a connection in state `new`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] if the label is taken.
    pub async fn connection_insert(&self, new: &NewConnection) -> Result<(), StoreError> {
        let done = on_engine!(self, pool => {
            sqlx::query(INSERT)
                .bind(&new.id.0).bind(&new.label).bind(&new.account_id).bind(&new.account_name)
                .bind(&new.base_url).bind(new.credential_kind.as_str()).bind(&new.credential_email)
                .bind(&new.credential_sealed).bind(&new.credential_fingerprint)
                .bind(&new.ingest_secret_sealed).bind(&new.ingest_secret_hash).bind(new.created_at)
                .execute(pool).await.map(|_| ())
        });
        done.map_err(|error| match error {
            error if StoreError::is_unique_violation(&error) => {
                StoreError::Exists(format!("a connection with the label \"{}\"", new.label))
            }
            error => error.into(),
        })
    }

    /// Replaces the credential of a connection; label, log secret and history stay.
    pub async fn connection_credential_replace(&self, new: &NewConnection) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(CREDENTIAL_REPLACE)
                .bind(&new.id.0).bind(&new.account_id).bind(&new.account_name).bind(&new.base_url)
                .bind(new.credential_kind.as_str()).bind(&new.credential_email)
                .bind(&new.credential_sealed).bind(&new.credential_fingerprint).bind(new.created_at)
                .execute(pool).await?;
        });
        Ok(())
    }

    /// All connections, by label.
    pub async fn connection_list(&self) -> Result<Vec<ConnectionRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(LIST).fetch_all(pool).await?))
    }

    /// One connection.
    pub async fn connection_get(&self, id: &ConnectionId) -> Result<Option<ConnectionRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(GET).bind(&id.0).fetch_optional(pool).await?))
    }

    /// The connection with this label.
    pub async fn connection_by_label(&self, label: &str) -> Result<Option<ConnectionRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(BY_LABEL).bind(label).fetch_optional(pool).await?))
    }

    /// The oldest connection to this Cloudflare account.
    pub async fn connection_by_account(&self, account_id: &str) -> Result<Option<ConnectionRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(BY_ACCOUNT).bind(account_id).fetch_optional(pool).await?))
    }

    /// Sets the state of a connection and writes the change to the journal. Setting the same state again does nothing.
    pub async fn connection_state_set(
        &self,
        id: &ConnectionId,
        state: ConnectionState,
        reason: Option<&str>,
        summary: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            let moved: Option<String> = sqlx::query_scalar(STATE)
                .bind(&id.0).bind(state.as_str()).bind(reason).bind(now)
                .fetch_optional(&mut *tx).await?;
            if moved.is_some() {
                let entry = JournalEntry {
                    at: now,
                    kind: model::JournalKind::ConnectionState,
                    person_id: None,
                    connection_id: Some(id.clone()),
                    subject_id: Some(id.0.clone()),
                    summary: summary.to_owned(),
                    data: serde_json::json!({ "state": state, "reason": reason }),
                };
                journal_write!(tx, &entry);
            }
        });
        Ok(())
    }

    /// Records when the last successful sync ended.
    pub async fn connection_synced(&self, id: &ConnectionId, now: DateTime<Utc>) -> Result<(), StoreError> {
        on_engine!(self, pool => { sqlx::query(SYNCED).bind(&id.0).bind(now).execute(pool).await?; });
        Ok(())
    }

    /// Replaces the tags of a connection.
    pub async fn connection_tags_set(
        &self,
        id: &ConnectionId,
        tags: &[String],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let tags = serde_json::json!(tags).to_string();
        on_engine!(self, pool => {
            sqlx::query(TAGS).bind(&id.0).bind(&tags).bind(now).execute(pool).await?;
        });
        Ok(())
    }

    /// Stores the address of the credential's user.
    pub async fn connection_owner_set(
        &self,
        id: &ConnectionId,
        owner: Option<&str>,
    ) -> Result<(), StoreError> {
        on_engine!(self, pool => { sqlx::query(OWNER).bind(&id.0).bind(owner).execute(pool).await?; });
        Ok(())
    }

    /// Deletes a connection that never became usable.
    pub async fn connection_delete(&self, id: &ConnectionId) -> Result<(), StoreError> {
        on_engine!(self, pool => { sqlx::query(DELETE).bind(&id.0).execute(pool).await?; });
        Ok(())
    }

    /// Stores the result of a probe of one feature.
    pub async fn probe_set(&self, probe: &ProbeRow) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(PROBE_UPSERT)
                .bind(&probe.connection_id.0).bind(&probe.feature).bind(probe.works)
                .bind(&probe.missing_permission).bind(&probe.message).bind(probe.checked_at)
                .execute(pool).await?;
        });
        Ok(())
    }

    /// The last result for each feature of a connection.
    pub async fn probe_list(&self, id: &ConnectionId) -> Result<Vec<ProbeRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(PROBE_LIST).bind(&id.0).fetch_all(pool).await?))
    }
}
