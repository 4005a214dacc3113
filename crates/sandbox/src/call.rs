//! The input of every handler: the caller, the account, the parameters, and the world.
//!
//! A call reaches its handler only with a valid credential and an existing account. The first line of each handler
//! checks permissions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::credential::Credential;
use crate::envelope::{PageAsked, PageStyle, Refusal};
use crate::faults::Ignored;
use crate::ids::Ids;
use crate::permissions::AnyOf;
use crate::shared::Shared;
use crate::world::World;

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    pub(crate) credential: Credential,
    /// The world of a call whose changes will be discarded.
    scratch: Option<Mutex<World>>,
    path: HashMap<String, String>,
    query: Vec<(String, String)>,
}

impl Call {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        match &self.scratch {
            Some(scratch) => scratch.lock().unwrap_or_else(PoisonError::into_inner),
            None => self.shared.world(),
        }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.shared.clock.now()
    }

    /// A path parameter; empty if the path has none with this name.
    pub(crate) fn path(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }

    /// The first query parameter with this name.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Every query parameter with this name, written `a=1&a=2` or `a[]=1&a[]=2` or `a=1,2`.
    pub(crate) fn query_all(&self, name: &str) -> Vec<&str> {
        let listed = format!("{name}[]");
        self.query
            .iter()
            .filter(|(key, _)| key == name || *key == listed)
            .flat_map(|(_, value)| value.split(','))
            .filter(|value| !value.is_empty())
            .collect()
    }

    pub(crate) fn page(&self, style: PageStyle) -> Result<PageAsked, Refusal> {
        PageAsked::read(style, self.query("page"), self.query("per_page"))
    }

    /// Whether the response about members with roles includes policies that mirror the roles.
    pub(crate) fn mirrors_policies(&self) -> bool {
        self.shared.faults.settings().mirrored_policies
    }

    /// Allows a call that has one of the permissions. The response for a missing permission looks like that for a wrong
    /// credential.
    pub(crate) fn needs(&self, any_of: AnyOf) -> Result<(), Refusal> {
        if any_of.is_empty() || self.credential == Credential::Key || self.has(any_of) {
            Ok(())
        } else {
            Err(Refusal::authentication())
        }
    }

    pub(crate) fn has(&self, any_of: AnyOf) -> bool {
        let faults = self.shared.faults.settings();
        any_of
            .iter()
            .any(|name| !faults.removed_permissions.iter().any(|removed| removed == name))
    }

    /// Refuses a token that no user owns.
    pub(crate) fn needs_user(&self) -> Result<(), Refusal> {
        if self.credential == Credential::AccountToken {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                9109,
                "Valid user-level authentication not found",
            ));
        }
        Ok(())
    }
}

impl FromRequestParts<Arc<Shared>> for Call {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        let request_path = parts.uri.path().to_owned();
        let credential = credential(parts, shared, &request_path)?;
        let path = match RawPathParams::from_request_parts(parts, shared).await {
            Ok(params) => params
                .iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            Err(_) => HashMap::new(),
        };
        let call = Self {
            shared: Arc::clone(shared),
            credential,
            scratch: parts.extensions.get::<Ignored>().map(|_| scratch(shared)),
            query: url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect(),
            path,
        };
        if let Some(account_id) = call.path.get("account_id")
            && *account_id != shared.info.account_id
        {
            return Err(Refusal::no_route(&request_path));
        }
        Ok(call)
    }
}

/// A copy of the world, with different ids than those that the real world will generate later.
fn scratch(shared: &Shared) -> Mutex<World> {
    let mut world = shared.world();
    let mut copy = world.clone();
    copy.ids = Ids::new(shared.config.seed, &world.ids.hex32());
    Mutex::new(copy)
}

fn credential(parts: &Parts, shared: &Shared, path: &str) -> Result<Credential, Refusal> {
    let header = |name: &str| {
        parts
            .headers
            .get(name)
            .map(|value| value.to_str().unwrap_or("\u{fffd}"))
    };
    let malformed = |code: u32, message: &str| {
        let mut refusal = Refusal::bad_request(6003, "Invalid request headers");
        refusal.chain = Some((code, message.to_owned()));
        refusal
    };
    if let Some(authorization) = header("authorization") {
        let token = authorization
            .strip_prefix("Bearer ")
            .filter(|token| token.len() >= 20)
            .filter(|token| {
                token
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter))
            })
            .ok_or_else(|| malformed(6111, "Invalid format for Authorization header"))?;
        return match token {
            token if token == shared.info.token => Ok(Credential::UserToken),
            token if token == shared.info.account_token => Ok(Credential::AccountToken),
            _ => Err(unknown_token(path)),
        };
    }
    let (Some(email), Some(key)) = (header("x-auth-email"), header("x-auth-key")) else {
        return Err(Refusal::bad_request(
            9106,
            "Missing X-Auth-Key, X-Auth-Email or Authorization headers",
        ));
    };
    if key.len() < 37
        || !key
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    {
        return Err(malformed(6103, "Invalid format for X-Auth-Key header"));
    }
    if email.eq_ignore_ascii_case(&shared.world().owner_email) && key == shared.info.api_key {
        Ok(Credential::Key)
    } else {
        Err(Refusal::new(
            StatusCode::FORBIDDEN,
            9103,
            "Unknown X-Auth-Key or X-Auth-Email",
        ))
    }
}

/// Each service has its own message for an unknown token.
fn unknown_token(path: &str) -> Refusal {
    if path.ends_with("/tokens/verify") {
        Refusal::new(StatusCode::UNAUTHORIZED, 1000, "Invalid API Token")
    } else if path.contains("/access/") || path.contains("/logpush/") || path.contains("/zt_risk_scoring/") {
        Refusal::authentication()
    } else {
        Refusal::new(StatusCode::FORBIDDEN, 9109, "Invalid access token")
    }
}

/// A JSON body, or a refusal in the usual envelope.
#[derive(Debug)]
pub(crate) struct Body(pub(crate) Value);

impl FromRequest<Arc<Shared>> for Body {
    type Rejection = Refusal;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        let unreadable = |_| Refusal::bad_request(6007, "Malformed JSON in request body");
        let bytes = bytes::Bytes::from_request(request, shared)
            .await
            .map_err(unreadable)?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|_| Refusal::bad_request(6007, "Malformed JSON in request body"))
    }
}
