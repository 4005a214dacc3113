//! The key that signs tokens, and the public halves that receivers fetch.

use crate::app::App;
use crate::secret::SecretError;
use signals::{Jwks, KeyError, PublicJwk, SigningKey};
use std::sync::Arc;
use store::{SigningKeyRow, StoreError};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// It cannot be opened.
    #[error("cannot decrypt the signing key")]
    Secret(#[from] SecretError),
    /// It is not one.
    #[error("invalid signing key")]
    Key(#[from] KeyError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The key that was opened.
#[derive(Default)]
struct Kept(tokio::sync::OnceCell<Arc<SigningKey>>);

/// The key that signs now. It is made at first use, and read once in the life of a process.
///
/// # Errors
///
/// See [`SigningKeyError`].
pub async fn current(app: &App) -> Result<Arc<SigningKey>, SigningKeyError> {
    app.slots
        .of(Kept::default)
        .0
        .get_or_try_init(|| open(app))
        .await
        .cloned()
}

async fn open(app: &App) -> Result<Arc<SigningKey>, SigningKeyError> {
    let mut rows = app.store.signing_key_list().await?;
    if rows.iter().all(|row| row.retired_at.is_some()) {
        let key = tokio::task::spawn_blocking(SigningKey::generate)
            .await
            .expect("making a key neither panics nor is cancelled")?;
        let row = SigningKeyRow {
            kid: key.kid().to_owned(),
            key_sealed: app.sealer.seal(&place(key.kid()), &key.to_pkcs8()?)?,
            public_jwk: serde_json::to_string(key.public()).unwrap_or_default(),
            created_at: app.clock.now(),
            retired_at: None,
        };
        app.store.signing_key_insert(&row).await?;
        // Another process may have made one in the meantime: the oldest signs for both.
        rows = app.store.signing_key_list().await?;
    }
    let row = rows
        .iter()
        .find(|row| row.retired_at.is_none())
        .ok_or(StoreError::Gone("the signing key"))?;
    let der = app.sealer.unseal(&place(&row.kid), &row.key_sealed)?;
    Ok(Arc::new(SigningKey::from_pkcs8(&der)?))
}

/// The public halves of all keys, as receivers fetch them.
///
/// # Errors
///
/// See [`SigningKeyError`].
pub async fn jwks(app: &App) -> Result<Jwks, SigningKeyError> {
    current(app).await?;
    let rows = app.store.signing_key_list().await?;
    let public: Vec<PublicJwk> = rows
        .iter()
        .map(|row| store::stored("signing_key", &row.kid, "public_jwk", &row.public_jwk))
        .collect::<Result<_, _>>()?;
    Ok(Jwks::new(&public))
}

pub(crate) fn place(kid: &str) -> String {
    format!("signing-key/{kid}")
}
