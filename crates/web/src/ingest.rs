//! The log receiver: where Cloudflare's Logpush, or anyone with the connection's log secret, sends batches.
//!
//! The body streams into the hub, which answers when it is durable. A wrong secret and an unknown connection
//! are answered alike. The secret may stand in the query, since a Logpush destination can carry it there; so the
//! query is never logged.

use crate::auth::bearer;
use crate::error::ApiError;
use crate::extract::Path;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use futures::TryStreamExt;
use hub::ingest::{IngestError, Received};
use hub::{App, secret};
use serde_json::{Value, json};
use store::ConnectionRow;

/// The header that may carry the log secret.
pub(crate) const SECRET_HEADER: &str = "x-flareward-secret";

/// When a sender should come again.
const RETRY_AFTER_SECONDS: u64 = 10;

pub(crate) fn router() -> Router<App> {
    Router::new().route("/ingest/{connection}/{dataset}", post(receive))
}

/// Takes one batch.
async fn receive(
    State(app): State<App>,
    Path((connection, dataset)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let given = secret_in(&headers, query.as_deref()).unwrap_or_default();
    let connection = may_send(&app, &connection, &given).await?;
    let body = body.into_data_stream().map_err(std::io::Error::other);
    let received = hub::ingest::receive(&app, &connection, &dataset, "logpush", body)
        .await
        .map_err(refusal)?;
    Ok(Json(match received {
        Received::Stored(id) => json!({ "received": "stored", "batch_id": id }),
        Received::Duplicate(id) => json!({ "received": "duplicate", "batch_id": id }),
        Received::Test => json!({ "received": "test", "batch_id": null }),
        Received::Empty => json!({ "received": "empty", "batch_id": null }),
    }))
}

fn secret_in(headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    let header = headers
        .get(SECRET_HEADER)
        .and_then(|value| value.to_str().ok())
        .or_else(|| bearer(headers));
    header.map(str::to_owned).or_else(|| {
        url::form_urlencoded::parse(query?.as_bytes())
            .find(|(name, _)| name == "secret")
            .map(|(_, value)| value.into_owned())
    })
}

/// The connection, if the secret is its log secret.
async fn may_send(app: &App, name: &str, given: &str) -> Result<ConnectionRow, ApiError> {
    let connection = crate::api::connections::find(app, name).await?;
    let hash = connection
        .as_ref()
        .map_or("", |connection| connection.ingest_secret_hash.as_str());
    let is_right = secret::is_digest_of(given, hash);
    connection.filter(|_| is_right).ok_or(ApiError::Unauthorized)
}

fn refusal(error: IngestError) -> ApiError {
    match &error {
        IngestError::Dataset { .. } => ApiError::NotFound("dataset"),
        IngestError::Gzip(_) | IngestError::Body(_) | IngestError::TooSlow { .. } => {
            ApiError::bad("", error.to_string())
        }
        IngestError::TooLarge { .. } | IngestError::Bomb { .. } => ApiError::TooLarge(error.to_string()),
        IngestError::Busy | IngestError::Archive(_) | IngestError::Store(_) => {
            tracing::error!("a batch was not received: {}", hub::causes(&error));
            ApiError::Unavailable {
                detail: error.to_string(),
                retry_after_seconds: RETRY_AFTER_SECONDS,
            }
        }
    }
}
