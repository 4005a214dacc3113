//! Logging in and out: the form, and the cookie of the session that `hub::session` opens and ends.
//!
//! A login from a page of another site is refused (`around`): its user would then work, unknowingly, with that site's
//! token.

use super::assets;
use super::form::Form;
use super::page::{self, Frame, Page, PageError, Section};
use super::visitor::Visitor;
use crate::auth::{SESSION_COOKIE, session_of};
use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use hub::App;
use hub::session::{self, LoginError};
use secrecy::ExposeSecret;
use serde::Deserialize;
use url::Url;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    next: String,
    problem: Option<String>,
}

/// The page to open after the login.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    next: String,
}

/// The submitted login form.
#[derive(Deserialize)]
pub(super) struct Given {
    token: String,
    #[serde(default)]
    next: String,
}

/// The login form; someone who is logged in is redirected.
pub(super) async fn form(
    State(app): State<App>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    Ok(match session_of(&headers, &app).await? {
        Some(_) => Redirect::to(&local(&asked.next)).into_response(),
        None => form_page(&asked.next, None).into_response(),
    })
}

/// Opens a session for the holder of a valid token.
pub(super) async fn open(
    State(app): State<App>,
    jar: CookieJar,
    Form(given): Form<Given>,
) -> Result<Response, PageError> {
    let value = match session::login(&app, &given.token).await {
        Ok(value) => value,
        Err(LoginError::Store(error)) => return Err(error.into()),
        Err(error @ LoginError::Secret(_)) => return Err(PageError::Asked(error.to_string())),
        Err(error) => {
            let status = match error {
                LoginError::TooMany => StatusCode::TOO_MANY_REQUESTS,
                _ => StatusCode::UNAUTHORIZED,
            };
            return Ok((status, form_page(&given.next, Some(error.to_string()))).into_response());
        }
    };
    let cookie = Cookie::build((SESSION_COOKIE, value.expose_secret().to_owned()))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(app.public_url().starts_with("https://"));
    Ok((jar.add(cookie), Redirect::to(&local(&given.next))).into_response())
}

/// Ends the session.
pub(super) async fn close(
    visitor: Visitor,
    State(app): State<App>,
    jar: CookieJar,
) -> Result<Response, PageError> {
    session::close(&app, visitor.session()).await?;
    let gone = Cookie::build(SESSION_COOKIE).path("/");
    Ok((jar.remove(gone), Redirect::to("/login")).into_response())
}

fn form_page(next: &str, problem: Option<String>) -> Result<Page, PageError> {
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

/// The page to open: `next` if it is on this server, otherwise the overview.
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
}
