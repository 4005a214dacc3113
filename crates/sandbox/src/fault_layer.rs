//! The layer around the simulated API that makes go wrong what is switched on.
//!
//! Reads and counts [`FaultState`]; how the sinks refuse is theirs. Start reading at [`layer`].

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::Next;
use axum::response::IntoResponse;
use futures::{StreamExt, stream};

use crate::envelope::Refusal;
use crate::faults::{Counting, Fate, FaultState, Faults, Ignored};
use crate::route::API;
use crate::shared::Shared;

/// The layer around the simulated API: counts calls, adds the rate limit headers, and applies the faults.
pub(crate) async fn layer(
    State(shared): State<Arc<Shared>>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let faults = shared.faults.settings();
    let counting = shared.faults.count();
    let path = request.uri().path().to_owned();
    let endpoint = matched.map_or_else(
        || "unknown".to_owned(),
        |matched| matched.as_str().replace(API, ""),
    );
    shared.count_request(&format!("{} {endpoint}", request.method()));
    if faults.latency_ms > 0 {
        tokio::time::sleep(Duration::from_millis(faults.latency_ms)).await;
    }
    let mut response = match refusal(
        &faults,
        &counting,
        &path,
        request.uri().query().unwrap_or_default(),
    ) {
        Some(refusal) => refusal,
        None => answered(&shared.faults, request, next).await,
    };
    let nth =
        |every: Option<u64>| every.is_some_and(|every| every > 0 && counting.call.is_multiple_of(every));
    let ends = |end: &Option<String>| end.as_ref().is_some_and(|end| path.ends_with(end.as_str()));
    if nth(faults.truncate_every) || ends(&faults.truncate_path) {
        response = truncated(response).await;
    }
    let headers = response.headers_mut();
    let seconds = counting.window_left.as_secs();
    let limit = format!("\"default\";r={};t={seconds}", counting.left);
    if let Ok(limit) = HeaderValue::from_str(&limit) {
        headers.insert("ratelimit", limit);
    }
    headers.insert(
        "ratelimit-policy",
        HeaderValue::from_static("\"default\";q=1200;w=300"),
    );
    response
}

/// The real response, unless the call is a write with an injected failure.
async fn answered(faults: &FaultState, mut request: Request, next: Next) -> Response<Body> {
    if [Method::GET, Method::HEAD].contains(request.method()) {
        return next.run(request).await;
    }
    let unavailable = || {
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            10013,
            "Service temporarily unavailable",
        )
    };
    let fate = faults.fate_take();
    if fate == Fate::FailBefore {
        return unavailable().into_response();
    }
    if fate == Fate::Ignore {
        request.extensions_mut().insert(Ignored);
    }
    let response = next.run(request).await;
    if !response.status().is_success() {
        faults.fate_return(fate);
        return response;
    }
    match fate {
        Fate::FailAfter => unavailable().into_response(),
        _ => response,
    }
}

/// The response that replaces the real one, if there is one.
fn refusal(faults: &Faults, counting: &Counting, path: &str, query: &str) -> Option<Response<Body>> {
    if let Some(wait) = counting.retry_after {
        let message = "More than 1200 requests per 300 seconds reached. Please wait and consider throttling your request speed";
        let mut response = Refusal::new(StatusCode::TOO_MANY_REQUESTS, 10100, message).into_response();
        let seconds = wait.as_millis().div_ceil(1000);
        if let Ok(seconds) = HeaderValue::from_str(&seconds.to_string()) {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        return Some(response);
    }
    if faults
        .server_error_every
        .is_some_and(|every| every > 0 && counting.call.is_multiple_of(every))
    {
        let status = faults
            .server_error_status
            .and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return Some(Refusal::new(status, 10013, "Unknown error").into_response());
    }
    let page = url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == "page")
        .and_then(|(_, page)| page.parse::<u64>().ok())
        .unwrap_or(1);
    if faults
        .failing_pages
        .iter()
        .any(|failing| failing.page == page && path.ends_with(failing.path.as_str()))
    {
        return Some(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, 10013, "Unknown error").into_response());
    }
    if let Some(refused) = faults
        .refusals
        .iter()
        .find(|refused| path.contains(&refused.path))
    {
        let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::FORBIDDEN);
        return Some(Refusal::new(status, refused.code, &*refused.message).into_response());
    }
    if faults
        .not_json_path
        .as_ref()
        .is_some_and(|end| path.ends_with(end.as_str()))
    {
        let page = "<!DOCTYPE html><html><body>Checking your browser</body></html>";
        return Some(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response());
    }
    if faults
        .unsuccessful_path
        .as_ref()
        .is_some_and(|end| path.ends_with(end.as_str()))
    {
        return Some(Refusal::new(StatusCode::OK, 1500, "The request did not succeed").into_response());
    }
    None
}

/// Announces the whole body, but sends only half of it.
async fn truncated(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let half = whole.slice(..whole.len() / 2);
    parts
        .headers
        .insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
    let broken = async {
        // The first half must have left before the connection breaks.
        tokio::time::sleep(Duration::from_millis(50)).await;
        Err::<Bytes, _>(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
    };
    Response::from_parts(
        parts,
        Body::from_stream(stream::iter([Ok(half)]).chain(stream::once(broken))),
    )
}
