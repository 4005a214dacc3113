//! The envelope of every response: `success`, `errors`, `messages`, `result` and, for lists, `result_info`.
//!
//! Also splits lists into pages, in the two pagination styles of the API.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

/// What a handler returns.
pub(crate) type Answer = Result<Response, Refusal>;

/// A 200 with a result.
pub(crate) fn found(result: impl Serialize) -> Answer {
    answer(StatusCode::OK, result)
}

/// A 201 with the created object.
pub(crate) fn created(result: impl Serialize) -> Answer {
    answer(StatusCode::CREATED, result)
}

/// A 202, the response of several deletions.
pub(crate) fn accepted(result: impl Serialize) -> Answer {
    answer(StatusCode::ACCEPTED, result)
}

/// A 200 with one page and its position in the list.
pub(crate) fn listed(page: Page) -> Answer {
    let body = Success {
        success: true,
        errors: [],
        messages: [],
        result: page.items,
        result_info: Some(page.info),
    };
    Ok(Json(body).into_response())
}

fn answer(status: StatusCode, result: impl Serialize) -> Answer {
    let body = Success {
        success: true,
        errors: [],
        messages: [],
        result,
        result_info: None,
    };
    Ok((status, Json(body)).into_response())
}

/// Serialized directly from the data: a page of groups can be many megabytes, and copying it would take longer than
/// writing it.
#[derive(Serialize)]
struct Success<T> {
    success: bool,
    errors: [(); 0],
    messages: [(); 0],
    result: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_info: Option<Value>,
}

/// An error response: an HTTP status, and the service's own code and message.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) errors: Vec<(u32, String)>,
    /// Version 2 of the audit log sends messages without codes.
    pub(crate) without_codes: bool,
    /// A second, nested reason, as in errors about headers.
    pub(crate) chain: Option<(u32, String)>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self {
            status,
            errors: vec![(code, message.into())],
            without_codes: false,
            chain: None,
        }
    }

    pub(crate) fn bad_request(code: u32, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn not_found(code: u32, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// The response is the same for an unknown route and an unknown account.
    pub(crate) fn no_route(path: &str) -> Self {
        let mut refusal = Self::not_found(
            7003,
            format!("Could not route to {path}, perhaps your object identifier is invalid?"),
        );
        refusal.errors.push((7000, "No route for that URI".to_owned()));
        refusal
    }

    /// The response is the same for a wrong credential and a missing permission.
    pub(crate) fn authentication() -> Self {
        Self::new(StatusCode::FORBIDDEN, 10000, "Authentication error")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let errors: Vec<Value> = self
            .errors
            .iter()
            .map(|(code, message)| {
                if self.without_codes {
                    return json!({ "message": message });
                }
                let mut error = json!({ "code": code, "message": message });
                if let Some((code, message)) = &self.chain {
                    error["error_chain"] = json!([{ "code": code, "message": message }]);
                }
                error
            })
            .collect();
        let body = json!({ "success": false, "errors": errors, "messages": [], "result": null });
        (self.status, Json(body)).into_response()
    }
}

/// The pagination style of a listing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageStyle {
    per_page: usize,
    min: usize,
    max: usize,
    total_pages: bool,
}

/// Accounts, members, roles, memberships, permission groups: 20 per page, 5 to 50, without a number of pages.
pub(crate) const IAM_PAGES: PageStyle = PageStyle {
    per_page: 20,
    min: 5,
    max: 50,
    total_pages: false,
};
/// User groups and their members: 100 per page, 1 to 500.
pub(crate) const USER_GROUP_PAGES: PageStyle = PageStyle {
    per_page: 100,
    min: 1,
    max: 500,
    total_pages: false,
};

/// Access listings return the number of pages. Their maximum page size is not published (1,000 is the default of most).
pub(crate) const fn access_pages(per_page: usize) -> PageStyle {
    PageStyle {
        per_page,
        min: 1,
        max: 1000,
        total_pages: true,
    }
}

/// The requested page and page size, validated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageAsked {
    pub(crate) page: usize,
    pub(crate) per_page: usize,
    pub(crate) total_pages: bool,
}

impl PageAsked {
    /// Reads `page` and `per_page`; values out of bounds are refused, not corrected.
    pub(crate) fn read(
        style: PageStyle,
        page: Option<&str>,
        per_page: Option<&str>,
    ) -> Result<Self, Refusal> {
        let number = |name: &str, text: Option<&str>, default: usize, min: usize, max: usize| match text {
            None | Some("") => Ok(default),
            Some(text) => text
                .parse::<usize>()
                .ok()
                .filter(|asked| (min..=max).contains(asked))
                .ok_or_else(|| Refusal::bad_request(1400, format!("Invalid value for {name}: {text}"))),
        };
        Ok(Self {
            page: number("page", page, 1, 1, usize::MAX)?,
            per_page: number("per_page", per_page, style.per_page, style.min, style.max)?,
            total_pages: style.total_pages,
        })
    }

    /// Selects the page from `items`, and serializes only its items.
    pub(crate) fn cut<'a, T, W: Serialize>(self, items: &'a [T], write: impl Fn(&'a T) -> W) -> Page {
        let on_page: Vec<W> = items
            .iter()
            .skip((self.page - 1).saturating_mul(self.per_page))
            .take(self.per_page)
            .map(write)
            .collect();
        let mut info = json!({
            "count": on_page.len(), "page": self.page, "per_page": self.per_page, "total_count": items.len(),
        });
        if self.total_pages {
            info["total_pages"] = json!(items.len().div_ceil(self.per_page));
        }
        Page {
            items: to_raw_value(&on_page).expect("objects of our own making can be written"),
            info,
        }
    }
}

/// One page, ready to send.
#[derive(Debug)]
pub(crate) struct Page {
    items: Box<RawValue>,
    info: Value,
}
