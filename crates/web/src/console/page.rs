//! What all pages share: the visitor, the frame around the content, refusals, and links to the next page.

use super::assets;
use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use model::UnknownWord;
use std::str::FromStr;
use store::{StoreError, TimeCursor};
use url::form_urlencoded::Serializer;

/// Rows on one page of a list.
pub(super) const PAGE_ROWS: i64 = 50;

/// Where a page stands in the menu. The menu itself is in the base template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Overview,
    People,
    Groups,
    Detections,
    Posture,
    Events,
    Connections,
    Changes,
    Deliveries,
    Rules,
    Elsewhere,
}

/// A word of a filter that names one of several values; `None` when the filter is not set.
pub(super) fn word<T: FromStr<Err = UnknownWord>>(word: &str) -> Result<Option<T>, PageError> {
    let given = Some(word).filter(|word| !word.is_empty());
    let value = given.map(str::parse).transpose();
    value.map_err(|error: UnknownWord| PageError::Asked(error.to_string()))
}

/// What stands around every page's content.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// The page's title.
    pub(super) title: String,
    /// Which menu entry is lit.
    pub(super) section: Section,
    /// What every form of this session carries; empty without a session.
    pub(super) csrf: String,
    /// What a printed command ends with, so that it works wherever it is typed: this server's data folder and settings.
    pub(super) options: String,
    /// How others reach this server.
    pub(super) public_url: String,
    /// With which token the session was opened.
    pub(super) actor: String,
}

impl Frame {
    /// Whether the menu entry of this name is lit.
    pub(super) fn is_in(&self, name: &str) -> bool {
        let lit = match self.section {
            Section::Overview => "overview",
            Section::People => "people",
            Section::Groups => "groups",
            Section::Detections => "detections",
            Section::Posture => "posture",
            Section::Events => "events",
            Section::Connections => "connections",
            Section::Changes => "changes",
            Section::Deliveries => "deliveries",
            Section::Rules => "rules",
            Section::Elsewhere => "",
        };
        lit == name
    }
}

/// A page that is ready to be sent.
pub(super) struct Page(String);

/// Fills in a template.
///
/// # Errors
///
/// When a value of it cannot be written.
pub(super) fn rendered(template: &impl Template) -> Result<Page, PageError> {
    Ok(Page(template.render()?))
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        // What a page shows is the organisation's: nothing between the server and the browser keeps it.
        ([(header::CACHE_CONTROL, "no-store")], Html(self.0)).into_response()
    }
}

/// Why a page is not shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum PageError {
    /// There is no such thing.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The session's token may not do this.
    #[error("your token lacks the \"{0}\" permission")]
    Forbidden(&'static str),
    /// A form without the session's mark.
    #[error("the form belongs to another session: go back, reload the page and submit it again")]
    Csrf,
    /// A form that a page of another site sent.
    #[error(
        "the form was submitted from another site: open the page in the Flareward console and \
         submit it again"
    )]
    Foreign,
    /// What was sent is no form.
    #[error("the body is not a form: send application/x-www-form-urlencoded")]
    NoForm,
    /// The table of permissions opens the page's route to anyone.
    #[error("the page has no session")]
    NoSession,
    /// The question makes no sense.
    #[error("{0}")]
    Asked(String),
    /// The store.
    #[error("database error")]
    Store(#[from] StoreError),
    /// The page.
    #[error("could not render the page")]
    Render(#[from] askama::Error),
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    status: u16,
    message: String,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (status, title) = match &self {
            PageError::NotFound(_) => (StatusCode::NOT_FOUND, "Not found"),
            PageError::Forbidden(_) | PageError::Csrf | PageError::Foreign => {
                (StatusCode::FORBIDDEN, "Request refused")
            }
            PageError::NoForm => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Invalid request"),
            PageError::Asked(_) => (StatusCode::BAD_REQUEST, "Invalid request"),
            PageError::NoSession | PageError::Store(_) | PageError::Render(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "Server error")
            }
        };
        if status.is_server_error() {
            tracing::error!("could not show a page: {}", hub::causes(&self));
        }
        error_page(status, title, &self.to_string())
    }
}

/// The page of a refusal.
pub(super) fn error_page(status: StatusCode, title: &'static str, message: &str) -> Response {
    let page = rendered(&ErrorPage {
        frame: Frame {
            title: title.to_owned(),
            section: Section::Elsewhere,
            csrf: String::new(),
            options: String::new(),
            public_url: String::new(),
            actor: String::new(),
        },
        status: status.as_u16(),
        message: message.to_owned(),
    });
    match page {
        Ok(page) => (status, page).into_response(),
        Err(_) => (status, title).into_response(),
    }
}

/// A place in a list as a link carries it: time and id.
pub(super) fn cursor_text(at: &DateTime<Utc>, id: &str) -> String {
    format!("{}~{id}", at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// The place that a link carries.
///
/// # Errors
///
/// When it is none.
pub(super) fn cursor_read(text: Option<&str>) -> Result<Option<TimeCursor>, PageError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let read = text.split_once('~').and_then(|(at, id)| {
        let at = DateTime::parse_from_rfc3339(at).ok()?.with_timezone(&Utc);
        Some(TimeCursor {
            at,
            id: id.to_owned(),
        })
    });
    read.map(Some)
        .ok_or_else(|| PageError::Asked("invalid page link: open the list again".to_owned()))
}

/// The rows of one page and, if there are more, the link to the next; `place` is where the next page begins.
pub(super) fn cut<T>(
    rows: &mut Vec<T>,
    path: &str,
    kept: &[(&str, &str)],
    place: (&str, impl Fn(&T) -> String),
) -> Option<String> {
    let page = usize::try_from(PAGE_ROWS).unwrap_or(usize::MAX);
    let more = rows.len() > page;
    rows.truncate(page);
    let last = rows.last().filter(|_| more)?;
    let (name, place) = (place.0, place.1(last));
    let mut parameters = kept.to_vec();
    parameters.push((name, &place));
    Some(link(path, &parameters))
}

/// The link to a list's first page, on every page but that.
pub(super) fn first(place: &str, path: &str, kept: &[(&str, &str)]) -> Option<String> {
    (!place.is_empty()).then(|| link(path, kept))
}

/// A link with those parameters that are not empty.
pub(super) fn link(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    let query = query.finish();
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
}

/// A part of a path, so that a label or rule name with any letters leads to its page.
pub(super) fn path_part(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            out.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_list_reads_back() {
        let at = DateTime::from_timestamp_micros(1_790_000_000_123_456).unwrap();
        let place = cursor_read(Some(&cursor_text(&at, "a~b"))).unwrap().unwrap();
        assert_eq!((place.at, place.id.as_str()), (at, "a~b"));
        assert!(cursor_read(Some("yesterday")).is_err());
        assert_eq!(cursor_read(None).unwrap(), None);
    }

    #[test]
    fn links_keep_what_they_carry() {
        assert_eq!(
            link("/people", &[("search", "a b&c"), ("level", "")]),
            "/people?search=a+b%26c"
        );
        assert_eq!(path_part("a/b ü"), "a%2Fb%20%C3%BC");
    }
}
