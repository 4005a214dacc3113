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

/// Menu entry of a page. The menu itself is in the base template.
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

/// Parses the value of a filter; `None` if the filter is not set.
pub(super) fn word<T: FromStr<Err = UnknownWord>>(word: &str) -> Result<Option<T>, PageError> {
    let given = Some(word).filter(|word| !word.is_empty());
    let value = given.map(str::parse).transpose();
    value.map_err(|error: UnknownWord| PageError::Asked(error.to_string()))
}

/// The frame around the content of every page.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// The page's title.
    pub(super) title: String,
    /// The active menu entry.
    pub(super) section: Section,
    /// CSRF token for the forms of this session; empty without a session.
    pub(super) csrf: String,
    /// Options to append to displayed commands, so that they work in any directory: data folder and settings of this
    /// server.
    pub(super) options: String,
    /// Public URL of this server.
    pub(super) public_url: String,
    /// Token that opened the session.
    pub(super) actor: String,
}

impl Frame {
    /// Whether the menu entry with this name is active.
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

/// A rendered page.
pub(super) struct Page(String);

/// Renders a template.
///
/// # Errors
///
/// If a value cannot be rendered.
pub(super) fn rendered(template: &impl Template) -> Result<Page, PageError> {
    Ok(Page(template.render()?))
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        // What a page shows is the organisation's: nothing between the server and the browser keeps it.
        ([(header::CACHE_CONTROL, "no-store")], Html(self.0)).into_response()
    }
}

/// Why a page cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum PageError {
    /// The object does not exist.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The token of the session lacks the permission.
    #[error("your token lacks the \"{0}\" permission: log in with a token that has it")]
    Forbidden(&'static str),
    /// The CSRF token of the form does not belong to the session.
    #[error("the form belongs to another session: go back, reload the page and submit it again")]
    Csrf,
    /// The form was submitted from another site.
    #[error(
        "the form was submitted from another site: open the page in the Flareward console and \
         submit it again"
    )]
    Foreign,
    /// The request body is not a form.
    #[error("the body is not a form: send application/x-www-form-urlencoded")]
    NoForm,
    /// The permission table makes the route of the page public.
    #[error("the page has no session")]
    NoSession,
    /// The request is invalid.
    #[error("{0}")]
    Asked(String),
    /// The database failed.
    #[error("database error")]
    Store(#[from] StoreError),
    /// An event could not be read.
    #[error(transparent)]
    Event(#[from] hub::event::EventError),
    /// The page could not be rendered.
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
            PageError::NoSession | PageError::Store(_) | PageError::Event(_) | PageError::Render(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "Server error")
            }
        };
        if status.is_server_error() {
            tracing::error!("could not show a page: {}", hub::causes(&self));
        }
        error_page(status, title, &self.to_string())
    }
}

/// Renders an error page.
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

/// Encodes a position in a list (time and ID) for a link.
pub(super) fn cursor_text(at: &DateTime<Utc>, id: &str) -> String {
    format!("{}~{id}", at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// Decodes a position from a link.
///
/// # Errors
///
/// If the link is invalid.
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

/// Cuts the rows to one page and, if there are more, returns the link to the next page; `place` returns its start.
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

/// The link to the first page of a list; `None` on the first page.
pub(super) fn first(place: &str, path: &str, kept: &[(&str, &str)]) -> Option<String> {
    (!place.is_empty()).then(|| link(path, kept))
}

/// A link with all non-empty parameters.
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

/// Encodes text as one path segment, such as a label or rule name.
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
