//! JSON bodies, queries and paths whose refusals are problem documents.

use crate::error::ApiError;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use model::UnknownWord;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::str::FromStr;

/// A JSON body of a request or response.
#[derive(Debug, Clone)]
pub struct Json<T>(pub T);

/// A YAML document, as the body or inside JSON.
#[derive(Debug, Clone)]
pub enum YamlOrJson<T> {
    /// The document itself.
    Yaml(String),
    /// JSON that contains the document.
    Json(T),
}

/// The query string; unknown parameters are errors.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

/// The parts of the path.
#[derive(Debug, Clone)]
pub struct Path<T>(pub T);

impl<S, T> FromRequest<S> for Json<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !says_json(request.headers()) {
            return Err(ApiError::MediaType(
                "send the body as JSON with \"Content-Type: application/json\"".to_owned(),
            ));
        }
        let body = Bytes::from_request(request, state).await.map_err(unreadable)?;
        read_json(&body).map(Self)
    }
}

impl<S, T> FromRequest<S> for YamlOrJson<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let is_json = says_json(request.headers());
        let is_yaml = [
            "text/yaml",
            "application/yaml",
            "text/x-yaml",
            "application/x-yaml",
        ]
        .contains(&media_type(request.headers()).as_str());
        if !is_json && !is_yaml {
            return Err(ApiError::MediaType(
                "send the document with \"Content-Type: text/yaml\", or JSON with \"Content-Type: \
                 application/json\""
                    .to_owned(),
            ));
        }
        let body = Bytes::from_request(request, state).await.map_err(unreadable)?;
        if is_json {
            return read_json(&body).map(Self::Json);
        }
        String::from_utf8(body.into())
            .map(Self::Yaml)
            .map_err(|_| ApiError::bad("", "the document is not UTF-8"))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<S, T> FromRequestParts<S> for Query<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Query::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|rejection: QueryRejection| {
                let words = hub::causes(&rejection);
                let words = words
                    .rsplit_once("query string: ")
                    .map_or(words.as_str(), |(_, rest)| rest);
                match words.split_once(": ") {
                    Some((name, detail)) if !name.contains(' ') => ApiError::bad(name, detail),
                    _ => ApiError::bad("", words),
                }
            })
    }
}

impl<S, T> FromRequestParts<S> for Path<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Send,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(path)| Self(path))
            .map_err(|rejection: PathRejection| ApiError::bad("", hub::causes(&rejection)))
    }
}

/// Error for a body that could not be read completely.
pub(crate) fn unreadable(rejection: BytesRejection) -> ApiError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        ApiError::TooLarge("the body is larger than 2 MB".to_owned())
    } else {
        ApiError::bad("", "the request body ended early")
    }
}

/// Parses JSON. Invalid JSON is a bad request; wrong fields or types are invalid values, with a pointer.
pub(crate) fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let value: serde_json::Value =
        serde_json::from_slice(body).map_err(|error| ApiError::bad("", format!("invalid JSON: {error}")))?;
    serde_path_to_error::deserialize(value).map_err(|error| {
        let mut place = pointer(error.path());
        let words = error.into_inner().to_string();
        // The path of a field that is not there ends at the object that should have it.
        if let Some(name) = words
            .strip_prefix("missing field `")
            .and_then(|rest| rest.strip_suffix('`'))
        {
            place = format!("{place}/{name}");
        }
        ApiError::invalid(&place, words)
    })
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { variant } => Some(format!("/{variant}")),
            Segment::Unknown => None,
        })
        .collect()
}

fn says_json(headers: &HeaderMap) -> bool {
    let kind = media_type(headers);
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// The media type of a body, in lower case and without parameters; empty if not specified.
fn media_type(headers: &HeaderMap) -> String {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    kind.split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// Parses a query parameter with a fixed set of values; `None` if it is missing.
pub(crate) fn word<T: FromStr<Err = UnknownWord>>(
    parameter: &str,
    word: Option<&str>,
) -> Result<Option<T>, ApiError> {
    let value = word.map(str::parse).transpose();
    value.map_err(|error: UnknownWord| ApiError::bad(parameter, error.to_string()))
}
