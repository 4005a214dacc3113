//! What a refusal looks like: problem documents (RFC 9457).
//!
//! A handler answers an [`ApiError`]; the request's id joins it on the way out (`finish`). Internal errors
//! say nothing of their cause: that is in the log, once, under the same id.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use hub::Permission;
use serde::Serialize;
use std::collections::BTreeMap;
use std::error::Error;
use store::StoreError;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response as ResponseSpec, ResponseBuilder};

/// The media type of every problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiError {
    /// The object does not exist; with its kind.
    NotFound(&'static str),
    /// The route does not exist.
    NoRoute,
    /// The route does not support the method.
    Method,
    /// The token is missing or unknown.
    Unauthorized,
    /// The token expired at this time.
    TokenExpired(DateTime<Utc>),
    /// The token lacks this permission.
    Forbidden(Permission),
    /// The CSRF token is missing or wrong.
    Csrf,
    /// The request is malformed.
    BadRequest(Vec<FieldProblem>),
    /// A value in the request is invalid.
    Invalid(Vec<FieldProblem>),
    /// The request conflicts with the current state.
    Conflict(String),
    /// The body is too large.
    TooLarge(String),
    /// The body arrived too slowly.
    TooSlow(String),
    /// The media type of the body is not supported.
    MediaType(String),
    /// A request to another system failed.
    Upstream(String),
    /// Temporarily unavailable.
    Unavailable {
        /// Reason.
        detail: String,
        /// When to retry, in seconds.
        retry_after_seconds: u64,
    },
    /// Timeout.
    Timeout,
    /// An error of the server.
    Internal,
}

/// An invalid part of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldProblem {
    /// JSON pointer into the body, or name of a parameter.
    pub pointer: String,
    /// Description of the error.
    pub detail: String,
}

/// A problem document (RFC 9457).
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// Type of the problem: a path whose meaning never changes.
    #[schema(example = "/problems/not-found")]
    r#type: &'static str,
    /// Title of the problem type.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// Description of this problem.
    detail: String,
    /// Request ID, as in the log and the `x-request-id` header.
    instance: Option<String>,
    /// Invalid parts of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
}

impl Problem {
    /// Description of this problem.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }
}

impl ApiError {
    /// One part of the request is malformed.
    pub fn bad(pointer: &str, detail: impl Into<String>) -> Self {
        Self::BadRequest(vec![FieldProblem::new(pointer, detail)])
    }

    /// One value in the request is invalid.
    pub fn invalid(pointer: &str, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldProblem::new(pointer, detail)])
    }

    /// Logs an error whose details callers must not see.
    pub fn internal(error: &(dyn Error + 'static)) -> Self {
        tracing::error!("a request failed: {}", hub::causes(error));
        Self::Internal
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.kind().0
    }

    fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "/problems/not-found", "Not found"),
            Self::NoRoute => (StatusCode::NOT_FOUND, "/problems/no-route", "Unknown path"),
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "/problems/method",
                "Method not allowed",
            ),
            Self::TokenExpired(_) => (
                StatusCode::UNAUTHORIZED,
                "/problems/token-expired",
                "The token has expired",
            ),
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "/problems/unauthorized",
                "Not authenticated",
            ),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "/problems/forbidden", "Permission denied"),
            Self::Csrf => (StatusCode::FORBIDDEN, "/problems/csrf", "Invalid CSRF token"),
            Self::BadRequest(_) => (
                StatusCode::BAD_REQUEST,
                "/problems/bad-request",
                "Invalid request",
            ),
            Self::Invalid(_) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "/problems/invalid",
                "Invalid value",
            ),
            Self::Conflict(_) => (StatusCode::CONFLICT, "/problems/conflict", "Conflict"),
            Self::TooLarge(_) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "/problems/too-large",
                "Request too large",
            ),
            Self::TooSlow(_) => (
                StatusCode::REQUEST_TIMEOUT,
                "/problems/too-slow",
                "Request too slow",
            ),
            Self::MediaType(_) => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "/problems/media-type",
                "Unsupported media type",
            ),
            Self::Upstream(_) => (StatusCode::BAD_GATEWAY, "/problems/upstream", "Upstream error"),
            Self::Unavailable { .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "/problems/unavailable",
                "Try again later",
            ),
            Self::Timeout => (StatusCode::GATEWAY_TIMEOUT, "/problems/timeout", "Timeout"),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "/problems/internal",
                "Internal error",
            ),
        }
    }

    /// Description of this error, in one sentence.
    pub fn detail(&self) -> String {
        match self {
            Self::NotFound(what) => format!("no such {what}"),
            Self::NoRoute => "unknown path".to_owned(),
            Self::Method => "the path does not support this method; see the Allow header".to_owned(),
            Self::Unauthorized => "send a valid token as \"Authorization: Bearer …\"".to_owned(),
            Self::TokenExpired(at) => format!(
                "the token expired at {}: ask an administrator for a new one",
                at.format("%Y-%m-%d %H:%M UTC")
            ),
            Self::Forbidden(permission) => format!(
                "the token lacks the \"{}\" permission: use a token that has it",
                permission.as_str()
            ),
            Self::Csrf => "the CSRF token is missing or wrong: reload the page".to_owned(),
            Self::BadRequest(problems) | Self::Invalid(problems) => problems
                .iter()
                .map(FieldProblem::sentence)
                .collect::<Vec<_>>()
                .join("; "),
            Self::Conflict(detail)
            | Self::TooLarge(detail)
            | Self::TooSlow(detail)
            | Self::MediaType(detail)
            | Self::Upstream(detail)
            | Self::Unavailable { detail, .. } => detail.clone(),
            Self::Timeout => "the operation continues in the background; check its result before you \
                 retry"
                .to_owned(),
            Self::Internal => "see the server log for this request ID".to_owned(),
        }
    }

    /// Invalid parts of the request.
    pub fn problems(&self) -> &[FieldProblem] {
        match self {
            Self::BadRequest(problems) | Self::Invalid(problems) => problems,
            _ => &[],
        }
    }
}

impl FieldProblem {
    /// A problem with the part at `pointer`.
    pub fn new(pointer: &str, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.to_owned(),
            detail: detail.into(),
        }
    }

    fn sentence(&self) -> String {
        if self.pointer.is_empty() {
            self.detail.clone()
        } else {
            format!("{}: {}", self.pointer, self.detail)
        }
    }
}

impl From<hub::event::EventError> for ApiError {
    fn from(error: hub::event::EventError) -> Self {
        match error {
            hub::event::EventError::Store(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Exists(what) => Self::Conflict(format!("{what} already exists")),
            error => Self::internal(&error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, kind, title) = self.kind();
        let problem = Problem {
            r#type: kind,
            title,
            status: status.as_u16(),
            detail: self.detail(),
            instance: None,
            errors: self.problems().to_vec(),
        };
        let mut response = problem_response(status, &problem);
        let headers = response.headers_mut();
        match self {
            Self::Unauthorized | Self::TokenExpired(_) => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Unavailable {
                retry_after_seconds, ..
            } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after_seconds));
            }
            _ => {}
        }
        response.extensions_mut().insert(problem);
        response
    }
}

fn problem_response(status: StatusCode, problem: &Problem) -> Response {
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    response
}

/// Adds the request ID to a problem document; other responses are unchanged.
pub(crate) fn finish(mut response: Response, request_id: &str) -> Response {
    let Some(mut problem) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    problem.instance = Some(request_id.to_owned());
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    response.headers_mut().remove(header::CONTENT_LENGTH);
    *response.body_mut() = Body::from(body);
    response
}

/// Response to an unknown path.
pub(crate) async fn no_route() -> ApiError {
    ApiError::NoRoute
}

/// Response to a method that the route does not support.
pub(crate) async fn no_method() -> ApiError {
    ApiError::Method
}

/// The error responses of every API operation, for the API description.
pub(crate) struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<ResponseSpec>> {
        let problem = |words: &str| {
            let content = ContentBuilder::new()
                .schema(Some(Ref::from_schema_name("Problem")))
                .build();
            RefOr::T(
                ResponseBuilder::new()
                    .description(words)
                    .content(PROBLEM_JSON, content)
                    .build(),
            )
        };
        [
            ("400", "Invalid request"),
            ("401", "Missing, unknown, revoked or expired token"),
            ("403", "The token lacks the permission"),
            ("default", "Any other error"),
        ]
        .into_iter()
        .map(|(status, words)| (status.to_owned(), problem(words)))
        .collect()
    }
}
