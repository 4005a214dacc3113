//! The server around the routes: what happens to every request and every answer.
//!
//! Every request gets an id, which its answer, its log line and its problem document carry. Logged are the
//! route's template, the status and how long it took: never the path, the query, a header or a body.

use crate::error::{self, ApiError};
use crate::{connections, telemetry};
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hub::App;
use std::any::Any;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

/// Time limit for a response. After it, the operation continues in the background.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The same for the log receiver: Cloudflare waits two minutes for the whole request.
const RECEIVE_WITHIN: Duration = Duration::from_secs(120);
/// Time limit for requests in flight when the server stops.
const GRACE: Duration = Duration::from_secs(30);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Ends responses without an end of their own, such as the journal's stream, when the server stops.
#[derive(Debug, Clone)]
pub struct Stopping(pub CancellationToken);

/// Serves until `stop`. Then it accepts no new connections and finishes requests in flight.
///
/// # Errors
///
/// When the listener has no address.
pub async fn serve(app: App, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
    listener.local_addr()?;
    let most = connections::most(app.settings.server.connections_max);
    let router = crate::router(app).layer(axum::Extension(Stopping(stop.clone())));
    tokio::spawn(telemetry::upkeep(stop.clone()));
    let serving = connections::serve(router, listener, most, stop.clone());
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        () = serving => Ok(()),
        () = overdue => {
            tracing::warn!("some requests did not finish within {} s and were aborted", GRACE.as_secs());
            Ok(())
        }
    }
}

/// The routes with all middleware.
pub(crate) fn layered(routes: Router<App>, app: &App) -> Router<App> {
    routes
        .layer(middleware::from_fn(in_time))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(app.clone(), around))
}

/// The outermost layer: request id, headers, log line, metrics.
async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = app.ids.new_id(app.clock.now());
    let method = request.method().clone();
    let route = route_of(&request);
    let mut response = error::finish(next.run(request).await, &id);
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    let mut always = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    always(
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    );
    always(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    // Nobody else learns which page someone came from. With `no-referrer` our own forms would say `Origin: null`, as those
    // that hide where they are from do.
    always(header::REFERRER_POLICY, "same-origin");
    always(header::X_FRAME_OPTIONS, "DENY");
    // Pages of others get no hold of ours, embed nothing of it, and nothing here asks for a device.
    always(
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    always(
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    );
    always(
        HeaderName::from_static("permissions-policy"),
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), microphone=(), midi=(), \
         payment=(), usb=()",
    );
    if app.public_url().starts_with("https://") {
        always(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        request.id = %id, http.method = %method, http.route = %route, http.status = status,
        duration_ms = milliseconds, "{method} {route} answered {status}"
    );
    let labels = [
        ("method", method.as_str().to_owned()),
        ("route", route),
        ("status", status.to_string()),
    ];
    metrics::counter!("flareward_http_requests_total", &labels).increment(1);
    metrics::histogram!("flareward_http_request_seconds", &labels).record(elapsed.as_secs_f64());
    response
}

/// Limits how long a response takes. A change that has started is finished even if the client no longer waits: its
/// audit entry is written first, so the change must not stay incomplete.
async fn in_time(request: Request, next: Next) -> Response {
    let limit = if route_of(&request).starts_with("/ingest/") {
        RECEIVE_WITHIN
    } else {
        ANSWER_WITHIN
    };
    let answer = if request.method().is_safe() || limit == RECEIVE_WITHIN {
        tokio::time::timeout(limit, next.run(request)).await
    } else {
        let task = tokio::spawn(next.run(request));
        tokio::time::timeout(limit, task).await.map(|ended| match ended {
            Ok(response) => response,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => ApiError::Timeout.into_response(),
            },
        })
    };
    answer.unwrap_or_else(|_| ApiError::Timeout.into_response())
}

fn route_of(request: &Request) -> String {
    request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned())
}

fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let words = panic
        .downcast_ref::<&str>()
        .map(|words| (*words).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    tracing::error!("a handler panicked: {words}");
    ApiError::Internal.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::routing::{get, post};
    use hub::settings::Settings;
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_handler_that_panics_answers_a_problem_and_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.data.dir = folder.path().to_owned();
        let app = App::open(settings).await.unwrap();
        async fn fail() -> &'static str {
            panic!("the plan of the house")
        }
        let routes = Router::new().route("/get", get(fail)).route("/post", post(fail));
        let router = layered(routes, &app).with_state(app);
        for (method, path) in [("GET", "/get"), ("POST", "/post")] {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .body(Body::empty())
                .unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{method}");
            let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
            let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(problem["type"], "/problems/internal");
            assert_eq!(problem["instance"], id);
            assert!(!problem.to_string().contains("house"), "{problem}");
        }
    }
}
