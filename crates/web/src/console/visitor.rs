//! Who looks at a page: someone with a session. [`page_with_session`] checks the session, its permission and, for a form,
//! its CSRF token, before the handler of a page runs; the handler receives the [`Visitor`].

use super::page::{Frame, PageError, Section, error_page, link};
use crate::auth::{PART_HEADER, session_of};
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use hub::session::Session;
use hub::{Actor, App, Permission};

/// A logged-in person with the `read` permission, and the options that commands need for this store.
#[derive(Clone)]
pub(super) struct Visitor {
    session: Session,
    options: String,
    public_url: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        parts
            .extensions
            .get()
            .cloned()
            .ok_or_else(|| PageError::NoSession.into_response())
    }
}

/// Passes a request to its page if its session has the permission and, for a form, the CSRF token belongs to the
/// session.
pub(crate) async fn page_with_session(
    app: &App,
    needed: Option<Permission>,
    request: Request,
    next: Next,
) -> Response {
    let session = match session_of(request.headers(), app).await {
        Ok(Some(session)) => session,
        Ok(None) => return to_login(&request),
        Err(error) => return PageError::from(error).into_response(),
    };
    let request = if request.method().is_safe() {
        request
    } else {
        match with_csrf(&session, request).await {
            Ok(request) => request,
            Err(refusal) => return refusal,
        }
    };
    // Every page shows data, also one that only confirms a change.
    for permission in needed.into_iter().chain(needed.map(|_| Permission::Read)) {
        if !session.may(permission) {
            return PageError::Forbidden(permission.as_str()).into_response();
        }
    }
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(Visitor {
        session,
        options: app.command_options(),
        public_url: app.public_url(),
    });
    next.run(Request::from_parts(parts, body)).await
}

/// Returns the request if its form contains the CSRF token of the session.
async fn with_csrf(session: &Session, request: Request) -> Result<Request, Response> {
    let (parts, body) = request.into_parts();
    if !is_form(&parts.headers) {
        return Err(PageError::NoForm.into_response());
    }
    // The usual limit of a body is an extension of the request.
    let bytes = Bytes::from_request(Request::from_parts(parts.clone(), body), &())
        .await
        .map_err(|error| error_page(error.status(), "Invalid request", &error.body_text()))?;
    let given = url::form_urlencoded::parse(&bytes).find(|(name, _)| name == "csrf");
    if !given.is_some_and(|(_, given)| session.is_csrf(&given)) {
        return Err(PageError::Csrf.into_response());
    }
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

fn is_form(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| {
            kind.trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
}

impl Visitor {
    /// The frame of a page for this visitor.
    pub(super) fn frame(&self, title: impl Into<String>, section: Section) -> Frame {
        Frame {
            title: title.into(),
            section,
            csrf: self.session.csrf.clone(),
            options: self.options.clone(),
            public_url: self.public_url.clone(),
            actor: match &self.session.actor {
                Actor::Token(name) => name.clone(),
                other => other.to_string(),
            },
        }
    }

    /// The options that commands need for this store.
    pub(super) fn command_options(&self) -> &str {
        &self.options
    }

    /// The actor, for the audit log.
    pub(super) fn actor(&self) -> &Actor {
        &self.session.actor
    }

    /// Whether the visitor has this permission.
    pub(super) fn may(&self, permission: Permission) -> bool {
        self.session.may(permission)
    }

    /// The session.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }
}

/// Redirects to the login and, for a page, back to it afterwards.
fn to_login(request: &Request) -> Response {
    let wanted = match request.uri().path_and_query() {
        Some(wanted) if request.method().is_safe() => wanted.as_str(),
        _ => "",
    };
    if request.headers().contains_key(PART_HEADER) {
        // A part of a page was asked for: the whole page must go.
        return [("hx-redirect", "/login")].into_response();
    }
    Redirect::to(&link("/login", &[("next", wanted)])).into_response()
}
