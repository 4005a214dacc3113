//! How a request says who sends it: a token as `Authorization: Bearer …` or, from the console's pages, the session's
//! cookie.
//!
//! Tokens and cookies are looked up by their digest, so a comparison reveals nothing about them. Which route needs which
//! permission is in [`crate::permissions`].

use crate::error::ApiError;
use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, header, request::Parts};
use axum_extra::extract::CookieJar;
use hub::permission::TokenFound;
use hub::session::{self, Session};
use hub::{Actor, App, Permission, permission, secret};
use store::StoreError;

/// The session cookie.
pub const SESSION_COOKIE: &str = "flareward_session";

/// The header with the CSRF token of a session.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// The header of requests for a part of a page (htmx).
pub(crate) const PART_HEADER: &str = "hx-request";

/// The authenticated caller, for handlers. [`crate::permissions`] has checked the permission.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The actor, for the audit log.
    pub actor: Actor,
    /// All permissions of the token or session.
    pub permissions: Vec<Permission>,
}

impl Caller {
    /// Returns an error if the caller lacks the permission.
    ///
    /// # Errors
    ///
    /// [`ApiError::Forbidden`].
    pub fn must_hold(&self, permission: Permission) -> Result<(), ApiError> {
        if self.permissions.contains(&permission) {
            Ok(())
        } else {
            Err(ApiError::Forbidden(permission))
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get().cloned().ok_or_else(|| {
            tracing::error!("the permission table makes a route public, but its handler requires a caller");
            ApiError::Internal
        })
    }
}

/// Digest of the token or session of a request, to check the permission again during long responses.
#[derive(Debug, Clone)]
pub struct Shown(ShownAs);

#[derive(Debug, Clone)]
enum ShownAs {
    Nothing,
    Token(String),
    Session(String),
}

impl Shown {
    /// Whether it still has the permission: the token is neither revoked nor expired, and the session has not ended.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn still_holds(&self, app: &App, permission: Permission) -> Result<bool, ApiError> {
        Ok(match &self.0 {
            ShownAs::Nothing => false,
            ShownAs::Token(digest) => match permission::token_by_digest(app, digest).await? {
                TokenFound::Live(_, held) => held.contains(&permission),
                TokenFound::Expired(_) | TokenFound::Unknown => false,
            },
            ShownAs::Session(digest) => session::by_digest(app, digest)
                .await?
                .is_some_and(|session| session.may(permission)),
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Shown {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        if parts.headers.contains_key(header::AUTHORIZATION) {
            let token = bearer(&parts.headers).map(secret::digest);
            return Ok(Self(token.map_or(ShownAs::Nothing, ShownAs::Token)));
        }
        let jar = CookieJar::from_headers(&parts.headers);
        let cookie = jar
            .get(SESSION_COOKIE)
            .map(|cookie| secret::digest(cookie.value()));
        Ok(Self(cookie.map_or(ShownAs::Nothing, ShownAs::Session)))
    }
}

/// The secret after `Bearer`, unchanged.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
        .filter(|token| !token.is_empty())
}

/// Authenticates a request by its token or, without a token, by its session. Changes by a session require its CSRF
/// token in the header.
pub(crate) async fn caller(parts: &Parts, app: &App) -> Result<Caller, ApiError> {
    if parts.headers.contains_key(header::AUTHORIZATION) {
        let token = bearer(&parts.headers).ok_or(ApiError::Unauthorized)?;
        return match permission::token_find(app, token).await? {
            TokenFound::Live(row, permissions) => Ok(Caller {
                actor: Actor::Token(row.name),
                permissions,
            }),
            TokenFound::Expired(at) => Err(ApiError::TokenExpired(at)),
            TokenFound::Unknown => Err(ApiError::Unauthorized),
        };
    }
    let session = session_of(&parts.headers, app)
        .await?
        .ok_or(ApiError::Unauthorized)?;
    if !parts.method.is_safe() {
        let given = parts
            .headers
            .get(CSRF_HEADER)
            .and_then(|value| value.to_str().ok());
        if !given.is_some_and(|given| session.is_csrf(given)) {
            return Err(ApiError::Csrf);
        }
    }
    Ok(Caller {
        actor: session.actor,
        permissions: session.permissions,
    })
}

/// The session that the request's cookie identifies.
pub(crate) async fn session_of(headers: &HeaderMap, app: &App) -> Result<Option<Session>, StoreError> {
    let jar = CookieJar::from_headers(headers);
    match jar.get(SESSION_COOKIE) {
        Some(cookie) => session::find(app, cookie.value(), !asks_by_itself(headers)).await,
        None => Ok(None),
    }
}

/// Whether a page sent the request automatically, to follow the journal or to poll the progress of a sync. Such
/// requests must not extend the session: otherwise, an open page would keep it alive.
fn asks_by_itself(headers: &HeaderMap) -> bool {
    let follows = headers
        .get(header::ACCEPT)
        .is_some_and(|accept| accept == "text/event-stream");
    follows || headers.contains_key(PART_HEADER)
}
