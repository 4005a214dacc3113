//! Who may do what, and the tokens that say so.

use crate::app::App;
use crate::audit;
use crate::secret::{self, SecretError};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{AccessTokenRow, StoreError};

/// What a caller of the API may do. A token holds a set of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Permission {
    /// Read everything but secrets.
    #[serde(rename = "read")]
    Read,
    /// Connect accounts, run syncs, take in files.
    #[serde(rename = "connections:write")]
    ConnectionsWrite,
    /// Change who has access: groups, roles, members, seats, sessions.
    #[serde(rename = "access:write")]
    AccessWrite,
    /// Change campaigns.
    #[serde(rename = "coaching:write")]
    CoachingWrite,
    /// Reset risk levels.
    #[serde(rename = "risk:write")]
    RiskWrite,
    /// Mute findings of posture checks and open them again.
    #[serde(rename = "posture:write")]
    PostureWrite,
    /// Switch, add and remove rules, and set the lists that they refer to.
    #[serde(rename = "rules:write")]
    RulesWrite,
    /// Change risk score integrations.
    #[serde(rename = "integrations:write")]
    IntegrationsWrite,
    /// Call the four typed capabilities.
    #[serde(rename = "capabilities:call")]
    CapabilitiesCall,
    /// Make custom calls to Cloudflare that read.
    #[serde(rename = "api:call:read")]
    ApiCallRead,
    /// Make and revoke tokens, read the audit log, remove what the logs hold of a person.
    #[serde(rename = "admin")]
    Admin,
}

impl Permission {
    /// Every permission: what the administrator's token holds.
    pub const ALL: [Permission; 11] = [
        Permission::Read,
        Permission::ConnectionsWrite,
        Permission::AccessWrite,
        Permission::CoachingWrite,
        Permission::RiskWrite,
        Permission::PostureWrite,
        Permission::RulesWrite,
        Permission::IntegrationsWrite,
        Permission::CapabilitiesCall,
        Permission::ApiCallRead,
        Permission::Admin,
    ];

    /// The spelling in tokens and documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Permission::Read => "read",
            Permission::ConnectionsWrite => "connections:write",
            Permission::AccessWrite => "access:write",
            Permission::CoachingWrite => "coaching:write",
            Permission::RiskWrite => "risk:write",
            Permission::PostureWrite => "posture:write",
            Permission::RulesWrite => "rules:write",
            Permission::IntegrationsWrite => "integrations:write",
            Permission::CapabilitiesCall => "capabilities:call",
            Permission::ApiCallRead => "api:call:read",
            Permission::Admin => "admin",
        }
    }
}

/// Who acts: written to the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Someone at the command line of this machine.
    CommandLine,
    /// A logged-in person, by their address.
    Person(String),
    /// A token, by its name.
    Token(String),
    /// A flow, by its name.
    Flow(String),
    /// A SCIM client, by the name of its token.
    Scim(String),
    /// A stage.
    System,
}

impl Actor {
    /// The actor that was written down as `text`; none of a kind that this version does not know.
    pub fn recorded(text: &str) -> Option<Actor> {
        let named = |kind: &str| text.strip_prefix(kind).map(str::to_owned);
        match text {
            "command line" => Some(Actor::CommandLine),
            "system" => Some(Actor::System),
            _ => named("token ")
                .map(Actor::Token)
                .or_else(|| named("person ").map(Actor::Person))
                .or_else(|| named("flow ").map(Actor::Flow))
                .or_else(|| named("SCIM ").map(Actor::Scim)),
        }
    }
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Actor::CommandLine => f.write_str("command line"),
            Actor::Person(address) => write!(f, "person {address}"),
            Actor::Token(name) => write!(f, "token {name}"),
            Actor::Flow(name) => write!(f, "flow {name}"),
            Actor::Scim(name) => write!(f, "SCIM {name}"),
            Actor::System => f.write_str("system"),
        }
    }
}

/// Why a token cannot be made, read or taken back.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The name cannot be used.
    #[error("the token name must have 1 to 200 visible characters")]
    Name,
    /// Another token that was not revoked has the name.
    #[error("a token named \"{0}\" already exists: choose another name, or revoke that token first")]
    Exists(String),
    /// Whoever makes it does not hold what it would.
    #[error("you cannot grant the permission \"{}\" to a token because you do not have it", .0.as_str())]
    Exceeds(Permission),
    /// A token that may do nothing is of no use.
    #[error("specify at least one permission")]
    Permissions,
    /// It would end before it began, or so late that the end means nothing.
    #[error("a token must expire after at least one minute and at most {} days", TOKEN_LONGEST.num_days())]
    Expiry,
    /// No live token has this id.
    #[error("no such token")]
    NotFound,
    /// Nobody could make tokens any more.
    #[error("this is the last \"admin\" token that never expires: create another one first")]
    LastAdmin,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Randomness.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// The longest that a token with an end may last. Chosen: ten years, beyond which it is a mistake.
pub const TOKEN_LONGEST: TimeDelta = TimeDelta::days(3_660);

/// What a text that someone showed as a token is.
#[derive(Debug)]
pub enum TokenFound {
    /// A good token, with what it may do.
    Live(AccessTokenRow, Vec<Permission>),
    /// A token whose time is over.
    Expired(DateTime<Utc>),
    /// None that is known, or one that was revoked.
    Unknown,
}

/// Makes a token without an end. It is shown once, here: only its digest is kept.
///
/// # Errors
///
/// When it cannot be kept.
pub async fn token_create(
    app: &App,
    name: &str,
    permissions: &[Permission],
) -> Result<(AccessTokenRow, SecretString), TokenError> {
    make(app, name, permissions, None).await
}

async fn make(
    app: &App,
    name: &str,
    permissions: &[Permission],
    lasts: Option<TimeDelta>,
) -> Result<(AccessTokenRow, SecretString), TokenError> {
    let token = secret::new_token("fw")?;
    let text = token.expose_secret();
    let now = app.clock.now();
    let row = AccessTokenRow {
        id: app.ids.new_id(now),
        name: name.to_owned(),
        token_hash: secret::digest(text),
        fingerprint: text[text.len() - 4..].to_owned(),
        permissions: serde_json::to_string(permissions).unwrap_or_default(),
        created_at: now,
        last_used_at: None,
        revoked_at: None,
        expires_at: lasts.map(|lasts| now + lasts),
    };
    match app.store.access_token_insert(&row).await {
        Ok(()) => Ok((row, token)),
        Err(StoreError::Exists(_)) => Err(TokenError::Exists(row.name)),
        Err(error) => Err(error.into()),
    }
}

/// Makes a token for someone who asks for it and holds `held`, and says so in the audit log first.
///
/// # Errors
///
/// See [`TokenError`].
pub async fn token_issue(
    app: &App,
    name: &str,
    permissions: &[Permission],
    lasts: Option<TimeDelta>,
    actor: &Actor,
    held: &[Permission],
) -> Result<(AccessTokenRow, SecretString), TokenError> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 200 || name.contains(model::printable::is_unprintable) {
        return Err(TokenError::Name);
    }
    if permissions.is_empty() {
        return Err(TokenError::Permissions);
    }
    if let Some(beyond) = permissions.iter().find(|permission| !held.contains(permission)) {
        return Err(TokenError::Exceeds(*beyond));
    }
    let others = app.store.access_token_list().await?;
    if others
        .iter()
        .any(|row| row.revoked_at.is_none() && row.name == name)
    {
        return Err(TokenError::Exists(name.to_owned()));
    }
    if lasts.is_some_and(|lasts| lasts < TimeDelta::minutes(1) || lasts > TOKEN_LONGEST) {
        return Err(TokenError::Expiry);
    }
    let expires_at = lasts.map(|lasts| app.clock.now() + lasts);
    let detail = json!({ "permissions": permissions, "expires_at": expires_at });
    audit::record(
        app,
        actor,
        model::AuditAction::TokenCreate,
        name,
        model::AuditOutcome::Changed,
        detail,
    )
    .await?;
    let made = make(app, name, permissions, lasts).await;
    if let Err(TokenError::Exists(_)) = &made {
        // Someone else took the name after it was looked for.
        audit::record(
            app,
            actor,
            model::AuditAction::TokenCreate,
            name,
            model::AuditOutcome::Refused,
            json!({ "reason": "the name is already used" }),
        )
        .await?;
    }
    made
}

/// Takes a token back. The last one that holds [`Permission::Admin`] stays.
///
/// # Errors
///
/// See [`TokenError`].
pub async fn token_revoke(app: &App, id: &str, actor: &Actor) -> Result<(), TokenError> {
    let token = app
        .store
        .access_token_get(id)
        .await?
        .ok_or(TokenError::NotFound)?;
    if permissions_of(&token)?.contains(&Permission::Admin) {
        let mut is_last = true;
        for row in app.store.access_token_list().await? {
            // One that ends by itself leaves nobody behind who could make another.
            let stays = row.id != id && row.revoked_at.is_none() && row.expires_at.is_none();
            is_last &= !(stays && permissions_of(&row)?.contains(&Permission::Admin));
        }
        if is_last {
            return Err(TokenError::LastAdmin);
        }
    }
    let detail = json!({ "id": token.id, "fingerprint": token.fingerprint });
    audit::record(
        app,
        actor,
        model::AuditAction::TokenRevoke,
        &token.name,
        model::AuditOutcome::Changed,
        detail,
    )
    .await?;
    app.store.access_token_revoke(id, app.clock.now()).await?;
    Ok(())
}

/// Makes the administrator's token if there is no token yet.
///
/// # Errors
///
/// When it cannot be kept.
pub async fn token_first(app: &App) -> Result<Option<SecretString>, TokenError> {
    if !app.store.access_token_list().await?.is_empty() {
        return Ok(None);
    }
    let (_, token) = token_create(app, "administrator", &Permission::ALL).await?;
    Ok(Some(token))
}

/// Which token `text` is, with what it may do.
///
/// # Errors
///
/// When the store cannot be asked.
pub async fn token_find(app: &App, text: &str) -> Result<TokenFound, StoreError> {
    token_by_digest(app, &secret::digest(text)).await
}

/// The same by the token's digest.
///
/// # Errors
///
/// When the store cannot be asked.
pub async fn token_by_digest(app: &App, digest: &str) -> Result<TokenFound, StoreError> {
    let Some(row) = app.store.access_token_by_hash(digest).await? else {
        return Ok(TokenFound::Unknown);
    };
    let now = app.clock.now();
    if let Some(expires_at) = row.expires_at.filter(|end| *end <= now) {
        return Ok(TokenFound::Expired(expires_at));
    }
    if row
        .last_used_at
        .is_none_or(|last| now - last > chrono::TimeDelta::minutes(1))
    {
        app.store.access_token_used(&row.id, now).await?;
    }
    let permissions = permissions_of(&row)?;
    Ok(TokenFound::Live(row, permissions))
}

/// What a token may do. A word that this version does not know grants nothing.
///
/// # Errors
///
/// When what is stored of it is damaged.
pub fn permissions_of(row: &AccessTokenRow) -> Result<Vec<Permission>, StoreError> {
    permissions_read("access_token", &row.id, &row.permissions)
}

/// The permissions in a stored JSON array.
pub(crate) fn permissions_read(
    table: &'static str,
    id: &str,
    words: &str,
) -> Result<Vec<Permission>, StoreError> {
    let words: Vec<String> = store::stored(table, id, "permissions", words)?;
    let known = |word: &String| {
        Permission::ALL
            .into_iter()
            .find(|permission| permission.as_str() == word)
    };
    Ok(words.iter().filter_map(known).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_read_as_it_was_written_down() {
        for actor in [
            Actor::CommandLine,
            Actor::Person("ana@x.example".to_owned()),
            Actor::Token("ci".to_owned()),
            Actor::Flow("leaver".to_owned()),
            Actor::Scim("okta".to_owned()),
            Actor::System,
        ] {
            assert_eq!(Actor::recorded(&actor.to_string()), Some(actor));
        }
        assert_eq!(Actor::recorded("robot 7"), None);
    }
}
