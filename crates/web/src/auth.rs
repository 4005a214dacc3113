//! Who asks, and whether they may: one extractor for each permission.
//!
//! A handler names what it needs in its signature (`caller: CanRead`). A caller shows a token as
//! `Authorization: Bearer …`, or, from the console's pages, the session's cookie. A request that changes
//! something and is known by its cookie alone must carry the session's value against forged requests, in the
//! header `x-csrf-token` or, for a plain form, in a field that the handler checks with [`csrf_matches`].
//!
//! Tokens and cookies are looked up by their digest, so comparing them tells nothing about them.

use crate::error::ApiError;
use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum::http::{HeaderMap, header, request::Parts};
use axum_extra::extract::CookieJar;
use chrono::TimeDelta;
use hub::permission::TokenFound;
use hub::{Actor, App, Permission, permission, secret};
use store::SessionRow;

/// The cookie that a session is known by.
pub const SESSION_COOKIE: &str = "flareward_session";

/// The header that carries a session's value against forged requests.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// The header with which a page asks for a part of itself (htmx).
pub(crate) const PART_HEADER: &str = "hx-request";

/// How exactly the last use of a session is kept.
const USED_TO_THE: TimeDelta = TimeDelta::minutes(1);

/// Someone whose token or session is good.
#[derive(Debug, Clone)]
struct Caller {
    actor: Actor,
    permissions: Vec<Permission>,
}

macro_rules! permission_extractors {
    ($($(#[$doc:meta])* $name:ident => $permission:ident;)+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone)]
            pub struct $name {
                /// Who asks, for the audit log.
                pub actor: Actor,
            }

            impl $name {
                /// What a token must hold.
                pub const PERMISSION: Permission = Permission::$permission;
            }

            impl<S> FromRequestParts<S> for $name
            where
                App: FromRef<S>,
                S: Send + Sync,
            {
                type Rejection = ApiError;

                async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
                    let caller = caller(parts, &App::from_ref(state)).await?;
                    let actor = allowed(&caller.permissions, Self::PERMISSION).map(|()| caller.actor)?;
                    Ok(Self { actor })
                }
            }
        )+
    };
}

permission_extractors! {
    /// May read everything but secrets.
    CanRead => Read;
    /// May connect accounts and run syncs.
    CanWriteConnections => ConnectionsWrite;
    /// May change who has access.
    CanChangeAccess => AccessWrite;
    /// May change campaigns.
    CanCoach => CoachingWrite;
    /// May reset risk levels.
    CanResetRisk => RiskWrite;
    /// May mute findings of posture checks.
    CanWritePosture => PostureWrite;
    /// May switch, add and remove rules, and set the lists that they refer to.
    CanWriteRules => RulesWrite;
    /// May change risk score integrations.
    CanWriteIntegrations => IntegrationsWrite;
    /// May call the typed capabilities.
    CanCallCapabilities => CapabilitiesCall;
    /// May make custom calls to Cloudflare that read.
    CanCallApi => ApiCallRead;
    /// May make and revoke tokens, read the audit log and remove what the logs hold of a person.
    IsAdmin => Admin;
}

/// Someone whose token or session is good, for the routes whose permission depends on what is asked for.
#[derive(Debug, Clone)]
pub struct AnyCaller {
    /// Who asks, for the audit log.
    pub actor: Actor,
    permissions: Vec<Permission>,
}

impl AnyCaller {
    /// Refuses when the caller does not hold the permission.
    ///
    /// # Errors
    ///
    /// [`ApiError::Forbidden`].
    pub fn must_hold(&self, permission: Permission) -> Result<(), ApiError> {
        allowed(&self.permissions, permission)
    }

    /// All that the caller holds.
    pub fn permissions(&self) -> &[Permission] {
        &self.permissions
    }
}

impl<S> FromRequestParts<S> for AnyCaller
where
    App: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Caller { actor, permissions } = caller(parts, &App::from_ref(state)).await?;
        Ok(Self { actor, permissions })
    }
}

/// What a request showed, as a digest: for answers that go on for so long that the right may end meanwhile.
#[derive(Debug, Clone)]
pub struct Shown(ShownAs);

#[derive(Debug, Clone)]
enum ShownAs {
    Nothing,
    Token(String),
    Session(String),
}

impl Shown {
    /// Whether it still holds the permission: its token is neither revoked nor over, its session has not ended.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    pub async fn still_holds(&self, app: &App, permission: Permission) -> Result<bool, ApiError> {
        Ok(match &self.0 {
            ShownAs::Nothing => false,
            ShownAs::Token(digest) => match permission::token_by_digest(app, digest).await? {
                TokenFound::Live(_, held) => held.contains(&permission),
                TokenFound::Expired(_) | TokenFound::Unknown => false,
            },
            ShownAs::Session(digest) => session_by_digest(digest, app)
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

/// A session of the console. As `Option<Session>` it is `None` where [`ApiError::Unauthorized`] would be
/// answered, so that a page can lead to the login instead.
///
/// It does not look at the value against forged requests: a handler that changes something must call
/// [`csrf_matches`].
#[derive(Debug, Clone)]
pub struct Session {
    /// The session.
    pub row: SessionRow,
    /// What it may do: what the token that it was opened with may do now.
    pub permissions: Vec<Permission>,
    /// Who asks, for the audit log.
    pub actor: Actor,
}

impl Session {
    /// Whether the session holds the permission.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }

    /// Refuses when the session does not hold the permission.
    ///
    /// # Errors
    ///
    /// [`ApiError::Forbidden`].
    pub fn must_hold(&self, permission: Permission) -> Result<(), ApiError> {
        allowed(&self.permissions, permission)
    }
}

impl<S> FromRequestParts<S> for Session
where
    App: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        session(&parts.headers, &App::from_ref(state))
            .await?
            .ok_or(ApiError::Unauthorized)
    }
}

impl<S> OptionalFromRequestParts<S> for Session
where
    App: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, ApiError> {
        session(&parts.headers, &App::from_ref(state)).await
    }
}

/// Whether `given` is the session's value against forged requests.
pub fn csrf_matches(session: &SessionRow, given: &str) -> bool {
    // Digests have one length and nothing to learn from: comparing them takes the same time for any guess.
    secret::is_digest_of(given, &secret::digest(&session.csrf))
}

/// The secret behind `Bearer`, as it was sent.
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

async fn caller(parts: &Parts, app: &App) -> Result<Caller, ApiError> {
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
    let session = session(&parts.headers, app)
        .await?
        .ok_or(ApiError::Unauthorized)?;
    if !parts.method.is_safe() {
        let given = parts
            .headers
            .get(CSRF_HEADER)
            .and_then(|value| value.to_str().ok());
        if !given.is_some_and(|given| csrf_matches(&session.row, given)) {
            return Err(ApiError::Csrf);
        }
    }
    Ok(Caller {
        actor: session.actor,
        permissions: session.permissions,
    })
}

async fn session(headers: &HeaderMap, app: &App) -> Result<Option<Session>, ApiError> {
    let jar = CookieJar::from_headers(headers);
    let Some(cookie) = jar.get(SESSION_COOKIE) else {
        return Ok(None);
    };
    let digest = secret::digest(cookie.value());
    let session = session_by_digest(&digest, app).await?;
    if let Some(session) = &session {
        // To the minute: a page that loads in parts is one use.
        let now = app.clock.now();
        if !asks_by_itself(headers) && now - session.row.used_at >= USED_TO_THE {
            app.store.session_used(&digest, now).await?;
        }
    }
    Ok(session)
}

/// Whether a page sent the request without anyone's doing: it follows the journal, or looks how far a sync is. A page
/// that is left open would otherwise keep its session for ever.
fn asks_by_itself(headers: &HeaderMap) -> bool {
    let follows = headers
        .get(header::ACCEPT)
        .is_some_and(|accept| accept == "text/event-stream");
    follows || headers.contains_key(PART_HEADER)
}

/// The session with this digest, if neither it nor its token has ended. Asking is no use of it.
async fn session_by_digest(digest: &str, app: &App) -> Result<Option<Session>, ApiError> {
    let now = app.clock.now();
    let Some(row) = app.store.session_get(digest, now).await? else {
        return Ok(None);
    };
    // A limit that no clock can count to is none.
    let idle = i64::try_from(app.settings.server.session_idle_minutes)
        .ok()
        .filter(|minutes| *minutes > 0)
        .and_then(TimeDelta::try_minutes);
    if idle.is_some_and(|idle| now - row.used_at >= idle) {
        return Ok(None);
    }
    let Some(token) = app.store.access_token_get(&row.access_token_id).await? else {
        return Ok(None);
    };
    if token.expires_at.is_some_and(|end| end <= now) {
        return Ok(None);
    }
    Ok(Some(Session {
        permissions: permission::permissions_of(&token)?,
        actor: Actor::Token(token.name),
        row,
    }))
}

fn allowed(held: &[Permission], needed: Permission) -> Result<(), ApiError> {
    if held.contains(&needed) {
        Ok(())
    } else {
        Err(ApiError::Forbidden(needed))
    }
}
