//! Connecting an account: which account, what kind of credential, what it can do.
//!
//! Reads from Cloudflare and writes `connection`, `probe` and the audit log. Never changes anything at
//! Cloudflare. Start reading at [`connect`].

pub use cloudflare::Credential;

use crate::app::{App, ClientError, credential_place, ingest_secret_place};
use crate::audit;
use crate::permission::Actor;
use crate::probe::{NOT_ENTITLED, OFF_PLAN, is_blocked};
use crate::secret::{self, SecretError};
use chrono::TimeDelta;
use cloudflare::{AccountId, Cause, Client, CloudflareError};
use model::{ConnectionId, ConnectionState, CredentialKind};
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

struct Feature {
    name: &'static str,
    path: &'static str,
    query: &'static [(&'static str, &'static str)],
    permission: &'static str,
}

/// The calls that the features need, with the permission groups that allow them.
///
/// Source: Cloudflare's API description, `x-api-token-group` of each operation; Logpush on Zero Trust datasets
/// needs both of its groups since November 2025.
const FEATURES: &[Feature] = &[
    Feature {
        name: "members",
        path: "/members",
        query: &[("per_page", "5")],
        permission: "Account Settings Read",
    },
    Feature {
        name: "roles",
        path: "/roles",
        query: &[("per_page", "5")],
        permission: "Account Settings Read",
    },
    Feature {
        name: "Access users",
        path: "/access/users",
        query: &[("per_page", "5")],
        permission: "Access: Audit Logs Read",
    },
    Feature {
        name: "Access groups",
        path: "/access/groups",
        query: &[("per_page", "5")],
        permission: "Access: Organizations, Identity Providers, and Groups Read",
    },
    Feature {
        name: "identity providers",
        path: "/access/identity_providers",
        query: &[("per_page", "5")],
        permission: "Access: Organizations, Identity Providers, and Groups Read",
    },
    Feature {
        name: "applications",
        path: "/access/apps",
        query: &[("per_page", "5")],
        permission: "Access: Apps and Policies Read",
    },
    Feature {
        name: "logs by Logpush",
        path: "/logpush/jobs",
        query: &[],
        permission: "Logs Write and Zero Trust: PII Read",
    },
    Feature {
        name: "Access authentication log",
        path: "/access/logs/access_requests",
        query: &[("limit", "1")],
        permission: "Access: Audit Logs Read",
    },
    Feature {
        name: "audit log",
        path: "/logs/audit",
        query: &[("limit", "1")],
        permission: "Account Settings Read",
    },
    Feature {
        name: "Cloudflare risk scores",
        path: "/zt_risk_scoring/summary",
        query: &[],
        permission: "Zero Trust: PII Read",
    },
    Feature {
        name: "Cloudflare risk behaviours",
        path: "/zt_risk_scoring/behaviors",
        query: &[],
        permission: "Zero Trust Read",
    },
    // One look-up of the monthly quota: there is no other way to know.
    Feature {
        name: "intelligence on addresses and domains",
        path: "/intel/ip",
        query: &[("ipv4", "1.1.1.1")],
        permission: "Intel Read",
    },
];

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

/// The accounts that a credential reaches, with id and name.
///
/// # Errors
///
/// See [`ConnectError`].
pub async fn reachable(
    app: &App,
    credential: &Credential,
    base_url: Option<&str>,
) -> Result<Vec<(String, String)>, ConnectError> {
    let base_url = base_url
        .unwrap_or(cloudflare::DEFAULT_BASE_URL)
        .trim_end_matches('/');
    let client = app.new_client("accounts", credential.clone(), base_url)?;
    let accounts = client.accounts().await.map_err(not_accepted)?;
    Ok(accounts
        .into_iter()
        .map(|account| (account.id, account.name))
        .collect())
}

/// A label made from an account's name that is none of `taken`: `Tidewater GmbH` becomes `tidewater-gmbh`.
pub fn label_of(name: &str, taken: &[String]) -> String {
    let mut label = String::new();
    for letter in name.to_lowercase().chars() {
        if letter.is_alphanumeric() {
            label.push(letter);
        } else if !label.is_empty() && !label.ends_with('-') {
            label.push('-');
        }
    }
    let label: String = label.trim_matches('-').chars().take(56).collect();
    let label = if label.is_empty() {
        "account".to_owned()
    } else {
        label
    };
    let is_free = |label: &String| !taken.contains(label);
    let numbered = (2..).map(|number| format!("{label}-{number}"));
    std::iter::once(label.clone())
        .chain(numbered)
        .find(is_free)
        .unwrap_or(label)
}

/// The words that a connection is grouped by.
///
/// # Errors
///
/// When they are damaged.
pub fn tags_of(connection: &ConnectionRow) -> Result<Vec<String>, StoreError> {
    store::stored("connection", &connection.id, "tags", &connection.tags)
}

/// Replaces the words that a connection is grouped by.
///
/// # Errors
///
/// When the store refuses.
pub async fn tags_set(
    app: &App,
    connection: &ConnectionRow,
    tags: &[String],
    actor: &Actor,
) -> Result<(), StoreError> {
    let mut tags: Vec<String> = tags.iter().map(|tag| tag.trim().to_lowercase()).collect();
    tags.retain(|tag| !tag.is_empty());
    tags.sort_unstable();
    tags.dedup();
    let detail = json!({ "tags": tags });
    audit::record(
        app,
        actor,
        model::AuditAction::ConnectionTag,
        &connection.label,
        model::AuditOutcome::Changed,
        detail,
    )
    .await?;
    app.store
        .connection_tags_set(&connection.id, &tags, app.clock.now())
        .await
}

/// Finds out again what a connection's credential can do, because `actor` asked.
///
/// # Errors
///
/// See [`doctor`].
pub async fn check(
    app: &App,
    connection: &ConnectionRow,
    actor: &Actor,
) -> Result<Vec<ProbeRow>, ConnectError> {
    audit::record(
        app,
        actor,
        model::AuditAction::ConnectionCheck,
        &connection.label,
        model::AuditOutcome::Asked,
        json!({}),
    )
    .await?;
    doctor(app, connection).await
}

/// Asks once for each feature and keeps what was found; sets the connection's state by it. A connection that is
/// paused stays so: only a confirmed sync lets it go on.
///
/// # Errors
///
/// When the connection has no client or the store refuses. A feature that does not work is no error.
pub async fn doctor(app: &App, connection: &ConnectionRow) -> Result<Vec<ProbeRow>, ConnectError> {
    let is_paused = connection.state == ConnectionState::Paused;
    let state = |state, reason: Option<String>| async move {
        if is_paused {
            return Ok(());
        }
        app.store
            .connection_state_set(&connection.id, state, reason.as_deref(), app.clock.now())
            .await
    };
    state(ConnectionState::Validating, None).await?;
    let client = match app.client(connection) {
        Ok(client) => client,
        Err(error) => {
            state(ConnectionState::Failed, Some(crate::causes(&error))).await?;
            return Err(error.into());
        }
    };
    let Some(account) = AccountId::parse(&connection.account_id) else {
        return Err(ConnectError::AccountUnknown(format!(
            "\"{}\"",
            connection.account_id
        )));
    };
    let mut probes = Vec::with_capacity(FEATURES.len());
    for feature in FEATURES {
        let answer = probe(&client, &account, feature, app).await;
        let row = finding(connection, feature, &answer, app);
        app.store.probe_set(&row).await?;
        probes.push(row);
    }
    let dark: Vec<&str> = probes
        .iter()
        .filter(|row| is_blocked(row))
        .map(|row| row.feature.as_str())
        .collect();
    if dark.is_empty() {
        state(ConnectionState::Connected, None).await?;
    } else if dark.len() == probes.len() {
        state(
            ConnectionState::Failed,
            Some(format!("no access to any feature: {}", probes[0].message)),
        )
        .await?;
    } else {
        state(
            ConnectionState::Degraded,
            Some(format!("no access to: {}", dark.join(", "))),
        )
        .await?;
    }
    Ok(probes)
}

async fn probe(
    client: &Client,
    account: &AccountId,
    feature: &Feature,
    app: &App,
) -> Result<(), CloudflareError> {
    // Version 2 of the audit log wants a span of time.
    let (since, before) = if feature.path == "/logs/audit" {
        let now = app.clock.now();
        ((now - TimeDelta::hours(1)).to_rfc3339(), now.to_rfc3339())
    } else {
        (String::new(), String::new())
    };
    let mut query = feature.query.to_vec();
    if !since.is_empty() {
        query.extend([("since", since.as_str()), ("before", before.as_str())]);
    }
    client.probe(account, feature.path, &query).await
}

fn finding(
    connection: &ConnectionRow,
    feature: &Feature,
    answer: &Result<(), CloudflareError>,
    app: &App,
) -> ProbeRow {
    let (works, missing, message) = match answer {
        Ok(()) => (true, None, "works".to_owned()),
        Err(error)
            if error
                .refusal()
                .is_some_and(|refusal| refusal.has_code(NOT_ENTITLED)) =>
        {
            (false, None, format!("{OFF_PLAN}: {}", crate::causes(error)))
        }
        Err(error) => {
            let refusal = error.refusal();
            // 1004 is Logpush's own way to say that a permission is missing.
            let missing = refusal.is_some_and(|refusal| refusal.is_not_allowed() || refusal.has_code(1_004));
            (
                false,
                missing.then(|| feature.permission.to_owned()),
                crate::causes(error),
            )
        }
    };
    ProbeRow {
        connection_id: connection.id.clone(),
        feature: feature.name.to_owned(),
        works,
        missing_permission: missing,
        message,
        checked_at: app.clock.now(),
    }
}

/// Finds out what kind of credential it is and which account it is for.
async fn identify(
    client: &Client,
    request: &ConnectRequest,
) -> Result<(CredentialKind, AccountId, String), ConnectError> {
    let named = request
        .account
        .as_deref()
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let as_id = named.and_then(AccountId::parse);
    let kind = match &request.credential {
        Credential::GlobalKey { .. } => {
            client.user().await.map_err(not_accepted)?;
            CredentialKind::GlobalKey
        }
        Credential::Token(_) => token_kind(client, as_id.as_ref()).await?,
    };
    let (id, name) = match (as_id, named) {
        (Some(id), _) => match client.account(&id).await {
            Ok(account) => (id, account.name),
            // No such account, or not one of this credential's. Any other refusal says what is the matter.
            Err(CloudflareError::Refused(refusal))
                if refusal.status < 500 && matches!(refusal.cause(), Cause::NotPermitted | Cause::Other) =>
            {
                return Err(ConnectError::AccountUnknown(format!("\"{id}\" ({refusal})")));
            }
            Err(error) => return Err(error.into()),
        },
        (None, _) if kind == CredentialKind::AccountToken => {
            return Err(ConnectError::AccountNeeded(
                "an account-owned token cannot look up the account by name; use its ID".to_owned(),
            ));
        }
        (None, Some(name)) => one_of(client.accounts_named(name).await?, name)?,
        (None, None) => {
            let accounts = client.accounts().await?;
            match accounts.as_slice() {
                [only] => parsed(&only.id, &only.name)?,
                [] => {
                    return Err(ConnectError::AccountNeeded(
                        "the credential lists no accounts".to_owned(),
                    ));
                }
                several => {
                    return Err(ConnectError::AccountNeeded(format!(
                        "it can access {}",
                        listed(several)
                    )));
                }
            }
        }
    };
    Ok((kind, id, name))
}

/// User tokens and account tokens are verified by different calls; each refuses the other's.
async fn token_kind(client: &Client, account: Option<&AccountId>) -> Result<CredentialKind, ConnectError> {
    let as_user = client.user_token_verify().await;
    let refused = match as_user {
        Ok(status) => return active(&status.status).map(|()| CredentialKind::UserToken),
        Err(error @ CloudflareError::Refused(_)) => error,
        Err(error) => return Err(error.into()),
    };
    let Some(account) = account else {
        return Err(ConnectError::Credential(format!(
            "{}; if this is an account-owned token, specify the account by its ID",
            not_accepted_words(&refused)
        )));
    };
    match client.account_token_verify(account).await {
        Ok(status) => active(&status.status).map(|()| CredentialKind::AccountToken),
        // Each of the two calls refuses the other's tokens as invalid: whatever else is said is the reason.
        Err(error @ CloudflareError::Refused(_)) => {
            let says_more = |error: &CloudflareError| {
                error
                    .refusal()
                    .is_some_and(|one| one.cause() != Cause::BadCredential)
            };
            Err(not_accepted(if says_more(&refused) || !says_more(&error) {
                refused
            } else {
                error
            }))
        }
        Err(error) => Err(error.into()),
    }
}

fn active(status: &str) -> Result<(), ConnectError> {
    if status == "active" {
        Ok(())
    } else {
        Err(ConnectError::NotActive(status.to_owned()))
    }
}

fn not_accepted(error: CloudflareError) -> ConnectError {
    match &error {
        CloudflareError::Refused(_) => ConnectError::Credential(not_accepted_words(&error)),
        _ => error.into(),
    }
}

fn not_accepted_words(error: &CloudflareError) -> String {
    error
        .refusal()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

fn one_of(accounts: Vec<cloudflare::Account>, name: &str) -> Result<(AccountId, String), ConnectError> {
    let exact: Vec<_> = accounts
        .into_iter()
        .filter(|account| account.name.to_lowercase() == name.to_lowercase())
        .collect();
    match exact.as_slice() {
        [only] => parsed(&only.id, &only.name),
        [] => Err(ConnectError::AccountUnknown(format!("\"{name}\""))),
        several => Err(ConnectError::AccountAmbiguous {
            name: name.to_owned(),
            ids: listed(several),
        }),
    }
}

fn parsed(id: &str, name: &str) -> Result<(AccountId, String), ConnectError> {
    let id = AccountId::parse(id).ok_or_else(|| ConnectError::AccountUnknown(format!("\"{id}\"")))?;
    Ok((id, name.to_owned()))
}

fn listed(accounts: &[cloudflare::Account]) -> String {
    let shown: Vec<String> = accounts
        .iter()
        .take(20)
        .map(|account| format!("{} ({})", account.id, account.name))
        .collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::label_of;

    #[test]
    fn a_label_follows_from_the_name_and_is_not_taken() {
        assert_eq!(label_of("Tidewater GmbH & Co.", &[]), "tidewater-gmbh-co");
        assert_eq!(label_of("***", &[]), "account");
        let taken = ["a-b".to_owned(), "a-b-2".to_owned()];
        assert_eq!(label_of("A/B", &taken), "a-b-3");
    }
}
