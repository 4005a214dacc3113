//! Connecting an account: which account, what kind of credential, what it can do.
//!
//! Reads from Cloudflare and writes `connection`, `probe` and the audit log. Never changes anything at
//! Cloudflare. Start reading at [`connect`].

mod doctor;
mod identify;
mod label;
mod tags;

pub use self::doctor::{check, doctor};
pub use self::identify::reachable;
pub use self::label::label_of;
pub use self::tags::{tags_of, tags_set};
pub use cloudflare::Credential;

use self::identify::identify;
use crate::app::{App, ClientError, credential_place, ingest_secret_place};
use crate::audit;
use crate::permission::Actor;
use crate::secret::{self, SecretError};
use cloudflare::CloudflareError;
use model::{ConnectionId, CredentialKind};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use store::{ConnectionRow, NewConnection, ProbeRow, StoreError};

/// What someone asks to connect.
#[derive(Debug, Clone)]
pub struct ConnectRequest {
    /// The name to use for it.
    pub label: String,
    /// The account's id or its organisation's name; `None` when the credential reaches exactly one.
    pub account: Option<String>,
    /// What signs the calls.
    pub credential: Credential,
    /// Where the API is; `None` is Cloudflare.
    pub base_url: Option<String>,
}

/// A connection that was made, with what its credential can do.
#[derive(Debug)]
pub struct Connected {
    /// The connection.
    pub connection: ConnectionRow,
    /// Feature by feature.
    pub probes: Vec<ProbeRow>,
    /// The secret that log deliveries must carry.
    pub ingest_secret: SecretString,
}

/// Why an account cannot be connected.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The label cannot be used.
    #[error("invalid label \"{0}\": use 1 to 64 letters, digits, '-', '_' or '.'")]
    Label(String),
    /// No account was named, and the credential reaches several or cannot list any.
    #[error("specify the account with --account: {0}")]
    AccountNeeded(String),
    /// No account has this name or id.
    #[error("this credential cannot access the account {0}")]
    AccountUnknown(String),
    /// Several accounts have this name.
    #[error("several accounts are named \"{name}\": use one of these IDs: {ids}")]
    AccountAmbiguous {
        /// The name.
        name: String,
        /// Ids and full names.
        ids: String,
    },
    /// The label is a connection to another account already.
    #[error("the label \"{label}\" is already used for account {known}, not {asked}: use another label")]
    OtherAccount {
        /// The label.
        label: String,
        /// The account that it has.
        known: String,
        /// The account that was asked for.
        asked: String,
    },
    /// The credential is not accepted.
    #[error("Cloudflare rejected this credential: {0}")]
    Credential(String),
    /// The token is good but not active.
    #[error("the token is {0}: create a new token or enable this one")]
    NotActive(String),
    /// No client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Cloudflare could not be asked.
    #[error("a request to Cloudflare failed")]
    Cloudflare(#[from] CloudflareError),
    /// The secret could not be sealed.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks a credential, keeps it sealed, and finds out what it can do.
///
/// Connecting the same account again under the same label replaces the credential and keeps everything else.
///
/// # Errors
///
/// See [`ConnectError`]; nothing is kept then.
pub async fn connect(app: &App, request: &ConnectRequest, actor: &Actor) -> Result<Connected, ConnectError> {
    let label = request.label.trim();
    let good = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    if label.is_empty() || label.chars().count() > 64 || !label.chars().all(good) {
        return Err(ConnectError::Label(request.label.clone()));
    }
    let base_url = request
        .base_url
        .as_deref()
        .unwrap_or(cloudflare::DEFAULT_BASE_URL)
        .trim_end_matches('/');
    let client = app.new_client(label, request.credential.clone(), base_url)?;
    let (kind, account_id, account_name) = identify(&client, request).await?;
    let now = app.clock.now();
    let known = app.store.connection_by_label(label).await?;
    // Lists of two accounts under one connection would mark each other's people as gone.
    if let Some(known) = known
        .as_ref()
        .filter(|known| known.account_id != account_id.as_str())
    {
        return Err(ConnectError::OtherAccount {
            label: label.to_owned(),
            known: known.account_id.clone(),
            asked: account_id.to_string(),
        });
    }
    let id = known
        .as_ref()
        .map_or_else(|| ConnectionId(app.ids.new_id(now)), |known| known.id.clone());
    let ingest_secret = match &known {
        Some(known) => app
            .sealer
            .unseal_text(&ingest_secret_place(&id), &known.ingest_secret_sealed)?,
        None => secret::new_token("fwlog")?,
    };
    let secret_bytes = request.credential.secret().expose_secret().as_bytes();
    let new = NewConnection {
        id: id.clone(),
        label: label.to_owned(),
        account_id: account_id.to_string(),
        account_name: account_name.clone(),
        base_url: base_url.to_owned(),
        credential_kind: kind,
        credential_email: request.credential.email().map(str::to_owned),
        credential_sealed: app.sealer.seal(&credential_place(&id), secret_bytes)?,
        credential_fingerprint: secret::fingerprint(request.credential.secret()),
        ingest_secret_sealed: app.sealer.seal(
            &ingest_secret_place(&id),
            ingest_secret.expose_secret().as_bytes(),
        )?,
        ingest_secret_hash: secret::digest(ingest_secret.expose_secret()),
        created_at: now,
    };
    let detail = json!({ "account_id": new.account_id, "credential_kind": kind,
        "credential_fingerprint": new.credential_fingerprint, "base_url": new.base_url });
    audit::record(
        app,
        actor,
        model::AuditAction::ConnectionConnect,
        label,
        model::AuditOutcome::Changed,
        detail,
    )
    .await?;
    match known {
        Some(_) => app.store.connection_credential_replace(&new).await?,
        None => app.store.connection_insert(&new).await?,
    }
    if kind != CredentialKind::AccountToken {
        // Refused to tokens that may not see their user: then the guard on the own credential has to warn.
        let owner = client.user().await.ok();
        let owner = owner.as_ref().and_then(|user| user["email"].as_str());
        app.store.connection_owner_set(&new.id, owner).await?;
    }
    let connection = app
        .store
        .connection_get(&id)
        .await?
        .ok_or(StoreError::Gone("the connection"))?;
    let probes = doctor(app, &connection).await?;
    let connection = app.store.connection_get(&id).await?.unwrap_or(connection);
    Ok(Connected {
        connection,
        probes,
        ingest_secret,
    })
}
