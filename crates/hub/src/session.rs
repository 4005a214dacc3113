//! Sessions of the console: opened by an actor, and ended by a logout, by time, or with the token they came from.
//!
//! Reads and writes `session` and the audit log. Of the cookie's value only the digest is stored. How the actor proved
//! who they are is the caller's part, so that another way to log in opens the same sessions.

use crate::app::App;
use crate::audit;
use crate::permission::{self, Actor, Permission, TokenFound};
use crate::secret::{self, SecretError};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use store::{AccessTokenRow, SessionRow, StoreError};

/// How long a session lasts. Chosen: a working day.
const SESSION_HOURS: i64 = 12;
/// Failed logins in a minute that are recorded; later ones are refused without a record. Chosen: far more than
/// mistyping makes.
const FAILED_A_MINUTE: usize = 10;
/// The precision of the time of last use: a page that loads in parts is one use.
const USED_TO_THE: TimeDelta = TimeDelta::minutes(1);

/// A session that has not ended.
#[derive(Debug, Clone)]
pub struct Session {
    /// Whose session it is.
    pub actor: Actor,
    /// What it may do. A session opened with a token may do what the token may do now.
    pub permissions: Vec<Permission>,
    /// The value that every form of this session carries.
    pub csrf: String,
    digest: String,
    used_at: DateTime<Utc>,
}

impl Session {
    /// Whether the session has the permission.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }

    /// Whether `given` is the value that the forms of this session carry.
    pub fn is_csrf(&self, given: &str) -> bool {
        // Digests have one length: comparing them takes the same time for every guess.
        secret::is_digest_of(given, &secret::digest(&self.csrf))
    }
}

/// What a session may do, and how long.
#[derive(Debug, Clone)]
pub enum Rights {
    /// What a token may do, until the token ends.
    OfToken {
        /// Our id of the token.
        id: String,
        /// When the token expires.
        expires_at: Option<DateTime<Utc>>,
    },
    /// These permissions, for as long as the session lasts.
    Own(Vec<Permission>),
}

impl From<AccessTokenRow> for Rights {
    fn from(token: AccessTokenRow) -> Self {
        Rights::OfToken {
            id: token.id,
            expires_at: token.expires_at,
        }
    }
}

/// Why no session was opened.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// No such token, or a revoked one.
    #[error("Unknown or revoked token.")]
    Unknown,
    /// The token is no longer valid.
    #[error("This token has expired. Ask an administrator for a new one.")]
    Expired,
    /// Too many logins failed in the last minute.
    #[error("Too many failed logins. Wait a minute and try again.")]
    TooMany,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Randomness.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// The times of the failed logins of the last minute.
///
/// A valid token is accepted all the same, so that nobody can lock the administrator out: a token cannot be guessed.
/// The limit protects the audit log and the database.
#[derive(Debug, Default)]
struct Failed(Mutex<VecDeque<DateTime<Utc>>>);

impl Failed {
    /// Counts one more; `false` if there were too many already.
    fn add(&self, now: DateTime<Utc>) -> bool {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while times.front().is_some_and(|at| now - *at >= TimeDelta::minutes(1)) {
            times.pop_front();
        }
        if times.len() >= FAILED_A_MINUTE {
            return false;
        }
        times.push_back(now);
        true
    }
}

/// Opens a session for the holder of a token. Returns the value for the cookie, which is not stored.
///
/// # Errors
///
/// See [`LoginError`].
pub async fn login(app: &App, token: &str) -> Result<SecretString, LoginError> {
    let error = match permission::token_find(app, token.trim()).await? {
        TokenFound::Live(token, _) => {
            let actor = Actor::Token(token.name.clone());
            return open(app, &actor, token.into()).await;
        }
        TokenFound::Expired(_) => LoginError::Expired,
        TokenFound::Unknown => LoginError::Unknown,
    };
    if !app.slots.of(Failed::default).add(app.clock.now()) {
        return Err(LoginError::TooMany);
    }
    audit_open(app, &Actor::System, model::AuditOutcome::Refused).await?;
    Err(error)
}

/// Opens a session for an actor. Returns the value for the cookie, which is not stored.
///
/// # Errors
///
/// When it cannot be stored.
pub async fn open(app: &App, actor: &Actor, rights: Rights) -> Result<SecretString, LoginError> {
    let (value, csrf) = (secret::new_token("fws")?, secret::new_token("fwc")?);
    audit_open(app, actor, model::AuditOutcome::Changed).await?;
    let now = app.clock.now();
    let end = now + TimeDelta::hours(SESSION_HOURS);
    let (access_token_id, permissions, expires_at) = match rights {
        Rights::OfToken { id, expires_at } => (Some(id), None, expires_at.map_or(end, |at| at.min(end))),
        Rights::Own(permissions) => {
            let words: Vec<&str> = permissions.iter().map(|one| one.as_str()).collect();
            (None, Some(json!(words).to_string()), end)
        }
    };
    let row = SessionRow {
        id_hash: secret::digest(value.expose_secret()),
        actor: actor.to_string(),
        access_token_id,
        permissions,
        csrf: csrf.expose_secret().to_owned(),
        created_at: now,
        expires_at,
        used_at: now,
    };
    app.store.session_insert(&row).await?;
    Ok(value)
}

async fn audit_open(app: &App, actor: &Actor, outcome: model::AuditOutcome) -> Result<(), StoreError> {
    let action = model::AuditAction::SessionOpen;
    audit::record(app, actor, action, "console", outcome, json!({})).await
}

/// The session whose cookie has this value, unless it has ended. Records its use if `is_use`: what a page does by
/// itself, such as following the journal, is no use.
///
/// # Errors
///
/// When the store cannot be read.
pub async fn find(app: &App, value: &str, is_use: bool) -> Result<Option<Session>, StoreError> {
    let session = by_digest(app, &secret::digest(value)).await?;
    if let Some(session) = session.as_ref().filter(|_| is_use) {
        let now = app.clock.now();
        if now - session.used_at >= USED_TO_THE {
            app.store.session_used(&session.digest, now).await?;
        }
    }
    Ok(session)
}

/// The session with this digest, unless it or its token has ended. Does not record a use.
///
/// # Errors
///
/// When the store cannot be read.
pub async fn by_digest(app: &App, digest: &str) -> Result<Option<Session>, StoreError> {
    let now = app.clock.now();
    let Some(row) = app.store.session_get(digest, now).await? else {
        return Ok(None);
    };
    // A limit beyond every clock is no limit.
    let idle = i64::try_from(app.settings.server.session_idle_minutes)
        .ok()
        .filter(|minutes| *minutes > 0)
        .and_then(TimeDelta::try_minutes);
    if idle.is_some_and(|idle| now - row.used_at >= idle) {
        return Ok(None);
    }
    let permissions = match &row.access_token_id {
        Some(id) => {
            let token = app.store.access_token_get(id).await?;
            let Some(token) = token.filter(|token| token.expires_at.is_none_or(|end| end > now)) else {
                return Ok(None);
            };
            permission::permissions_of(&token)?
        }
        None => {
            let words = row.permissions.as_deref().unwrap_or_default();
            permission::permissions_read("session", &row.id_hash, words)?
        }
    };
    // An actor of a kind that this version does not know has no session here.
    Ok(Actor::recorded(&row.actor).map(|actor| Session {
        actor,
        permissions,
        csrf: row.csrf,
        digest: row.id_hash,
        used_at: row.used_at,
    }))
}

/// Ends a session.
///
/// # Errors
///
/// When the store cannot be written.
pub async fn close(app: &App, session: &Session) -> Result<(), StoreError> {
    app.store.session_delete(&session.digest).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_logins_are_counted_over_a_minute() {
        let failed = Failed::default();
        let start = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        assert!((0..FAILED_A_MINUTE).all(|_| failed.add(start)));
        assert!(!failed.add(start + TimeDelta::seconds(59)));
        assert!(failed.add(start + TimeDelta::seconds(60)));
    }
}
