//! Opening and ending a session.
//!
//! Reads and writes `session`, and the audit log. A session is opened with a token of the API and may do what
//! that token may do. A login from a page of another site is refused (`around`): its user would then work, unknowingly,
//! with that site's token. Neither the token nor the cookie's value is kept: only their digests.

use super::assets;
use super::form::Form;
use super::page::{self, Frame, Page, PageError, Section};
use crate::auth::{SESSION_COOKIE, Session, csrf_matches};
use askama::Template;
use axum::extract::{Extension, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use chrono::{DateTime, TimeDelta, Utc};
use hub::permission::TokenFound;
use hub::{Actor, App, audit, permission, secret};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use store::SessionRow;
use url::Url;

/// How long a session lasts. Chosen: a working day.
const SESSION_HOURS: i64 = 12;
/// Refused logins in a minute before the answer is "later". Chosen: far above what mistyping makes.
const REFUSED_A_MINUTE: usize = 10;

/// When logins were refused in the last minute.
///
/// The right token gets in all the same, so that nobody can lock the administrator out: a token cannot be
/// guessed. What the limit keeps is the audit log and the database.
#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<VecDeque<DateTime<Utc>>>);

impl Refused {
    /// Counts one more; `false` when there were too many already.
    fn add(&self, now: DateTime<Utc>) -> bool {
        let mut times = self.0.lock().expect("no holder of this lock panics");
        while times.front().is_some_and(|at| now - *at >= TimeDelta::minutes(1)) {
            times.pop_front();
        }
        if times.len() >= REFUSED_A_MINUTE {
            return false;
        }
        times.push_back(now);
        true
    }
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    next: String,
    problem: Option<&'static str>,
}

/// Where to go after the login.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    next: String,
}

/// What the login form sends.
#[derive(Deserialize)]
pub(super) struct Given {
    token: String,
    #[serde(default)]
    next: String,
}

/// What the form that ends a session sends.
#[derive(Deserialize)]
pub(super) struct Leaving {
    #[serde(default)]
    csrf: String,
}

/// The login form; who is logged in already goes on.
pub(super) async fn form(session: Option<Session>, Query(asked): Query<Asked>) -> Response {
    match session {
        Some(_) => Redirect::to(&local(&asked.next)).into_response(),
        None => form_page(&asked.next, None).into_response(),
    }
}

/// Opens a session for the holder of a good token.
pub(super) async fn open(
    State(app): State<App>,
    Extension(refused): Extension<Arc<Refused>>,
    jar: CookieJar,
    Form(given): Form<Given>,
) -> Result<Response, PageError> {
    let now = app.clock.now();
    let found = permission::token_find(&app, given.token.trim()).await?;
    let TokenFound::Live(token, _) = found else {
        let (status, problem) = if refused.add(now) {
            audit::record(
                &app,
                &Actor::System,
                model::AuditAction::SessionOpen,
                "console",
                model::AuditOutcome::Refused,
                json!({}),
            )
            .await?;
            (
                StatusCode::UNAUTHORIZED,
                match found {
                    TokenFound::Expired(_) => "This token has expired. Ask an administrator for a new one.",
                    _ => "Unknown or revoked token.",
                },
            )
        } else {
            (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many failed logins. Wait a minute and try again.",
            )
        };
        return Ok((status, form_page(&given.next, Some(problem))).into_response());
    };
    let random = |prefix| secret::new_token(prefix).map_err(|error| PageError::Asked(error.to_string()));
    let (value, csrf) = (random("fws")?, random("fwc")?);
    let actor = Actor::Token(token.name.clone());
    audit::record(
        &app,
        &actor,
        model::AuditAction::SessionOpen,
        "console",
        model::AuditOutcome::Changed,
        json!({}),
    )
    .await?;
    let end = now + TimeDelta::hours(SESSION_HOURS);
    app.store
        .session_insert(&SessionRow {
            id_hash: secret::digest(value.expose_secret()),
            access_token_id: token.id,
            csrf: csrf.expose_secret().to_owned(),
            created_at: now,
            expires_at: token.expires_at.map_or(end, |token_ends| token_ends.min(end)),
            used_at: now,
        })
        .await?;
    let cookie = Cookie::build((SESSION_COOKIE, value.expose_secret().to_owned()))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(app.public_url().starts_with("https://"));
    Ok((jar.add(cookie), Redirect::to(&local(&given.next))).into_response())
}

/// Ends the session.
pub(super) async fn close(
    session: Option<Session>,
    State(app): State<App>,
    jar: CookieJar,
    Form(leaving): Form<Leaving>,
) -> Result<Response, PageError> {
    let Some(session) = session else {
        return Ok(Redirect::to("/login").into_response());
    };
    if !csrf_matches(&session.row, &leaving.csrf) {
        return Err(PageError::Csrf);
    }
    app.store.session_delete(&session.row.id_hash).await?;
    let gone = Cookie::build(SESSION_COOKIE).path("/");
    Ok((jar.remove(gone), Redirect::to("/login")).into_response())
}

fn form_page(next: &str, problem: Option<&'static str>) -> Result<Page, PageError> {
    page::rendered(&LoginPage {
        frame: Frame {
            title: "Log in".to_owned(),
            section: Section::Elsewhere,
            csrf: String::new(),
            options: String::new(),
            public_url: String::new(),
            actor: String::new(),
        },
        next: local(next),
        problem,
    })
}

/// The page to go to: `next` if it lies on this server, else the overview.
fn local(next: &str) -> String {
    let here = Url::parse("http://flareward.invalid/").expect("this is a URL");
    let stays = next.starts_with('/')
        && here
            .join(next)
            .is_ok_and(|url| url.origin() == here.origin() && url.path() != "/login")
        && !next.contains(|letter: char| letter.is_control() || letter == '\\');
    if stays { next.to_owned() } else { "/".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_server_follow_a_login() {
        for (next, goes_to) in [
            ("/people?search=a%20b", "/people?search=a%20b"),
            ("", "/"),
            ("people", "/"),
            ("//elsewhere.example/", "/"),
            ("/\\elsewhere.example/", "/"),
            ("https://elsewhere.example/", "/"),
            ("/\t/elsewhere.example/", "/"),
            ("/\n/elsewhere.example", "/"),
            ("javascript:alert(1)", "/"),
            ("/login?next=/", "/"),
        ] {
            assert_eq!(local(next), goes_to, "{next:?}");
        }
    }

    #[test]
    fn refused_logins_are_counted_over_a_minute() {
        let refused = Refused::default();
        let start = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        assert!((0..REFUSED_A_MINUTE).all(|_| refused.add(start)));
        assert!(!refused.add(start + TimeDelta::seconds(59)));
        assert!(refused.add(start + TimeDelta::seconds(60)));
    }
}
