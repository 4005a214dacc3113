//! Who looks at a page: someone with a session that may read, or else someone to be led to the login.

use super::page::{Frame, PageError, Section, link};
use crate::auth::{PART_HEADER, Session, csrf_matches};
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use hub::{Actor, App, Permission};

/// Someone who is logged in and may read, and what a command ends with that works on this store.
pub(super) struct Visitor {
    session: Session,
    options: String,
    public_url: String,
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let session = <Session as OptionalFromRequestParts<App>>::from_request_parts(parts, app)
            .await
            .map_err(IntoResponse::into_response)?;
        match session {
            Some(session) if session.may(Permission::Read) => Ok(Self {
                session,
                options: app.command_options(),
                public_url: app.public_url(),
            }),
            Some(_) => Err(PageError::Forbidden(Permission::Read.as_str()).into_response()),
            None => Err(to_login(parts)),
        }
    }
}

impl Visitor {
    /// What stands around a page of this visitor's.
    pub(super) fn frame(&self, title: impl Into<String>, section: Section) -> Frame {
        Frame {
            title: title.into(),
            section,
            csrf: self.session.row.csrf.clone(),
            options: self.options.clone(),
            public_url: self.public_url.clone(),
            actor: match &self.session.actor {
                Actor::Token(name) => name.clone(),
                other => other.to_string(),
            },
        }
    }

    /// What a command ends with that works on this store.
    pub(super) fn command_options(&self) -> &str {
        &self.options
    }

    /// Who asks, for the audit log.
    pub(super) fn actor(&self) -> &Actor {
        &self.session.actor
    }

    /// Whether to offer what needs this permission.
    pub(super) fn may(&self, permission: Permission) -> bool {
        self.session.may(permission)
    }

    /// Refuses a change that the session may not make, or that comes from a form that is not the session's.
    ///
    /// # Errors
    ///
    /// [`PageError::Csrf`] and [`PageError::Forbidden`].
    pub(super) fn must(&self, permission: Permission, csrf: &str) -> Result<(), PageError> {
        if !csrf_matches(&self.session.row, csrf) {
            return Err(PageError::Csrf);
        }
        if !self.may(permission) {
            return Err(PageError::Forbidden(permission.as_str()));
        }
        Ok(())
    }
}

/// Leads to the login and, for a page, back afterwards.
fn to_login(parts: &Parts) -> Response {
    let wanted = match parts.uri.path_and_query() {
        Some(wanted) if parts.method.is_safe() => wanted.as_str(),
        _ => "",
    };
    if parts.headers.contains_key(PART_HEADER) {
        // A part of a page was asked for: the whole page must go.
        return [("hx-redirect", "/login")].into_response();
    }
    Redirect::to(&link("/login", &[("next", wanted)])).into_response()
}
