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
use bytes::Bytes;
use futures::stream::{self, Stream};
use futures::{StreamExt, TryStreamExt};
use hub::ingest::{IngestError, Received};
use hub::{App, secret};
use serde_json::{Value, json};
use std::time::Duration;
use store::ConnectionRow;
use tokio::time::Instant;

/// The header that may carry the log secret.
pub(crate) const SECRET_HEADER: &str = "x-flareward-secret";

/// Time limit for receiving a body. Cloudflare waits two minutes for the response, including processing time.
const BODY_WITHIN: Duration = Duration::from_secs(110);

/// When a sender should retry.
const RETRY_AFTER_SECONDS: u64 = 10;

pub(crate) fn router() -> Router<App> {
    Router::new().route("/ingest/{connection}/{dataset}", post(receive))
}

/// Receives one batch.
async fn receive(
    State(app): State<App>,
    Path((connection, dataset)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let given = secret_in(&headers, query.as_deref()).unwrap_or_default();
    let connection = may_send(&app, &connection, &given).await?;
    let body = in_time(body.into_data_stream().map_err(std::io::Error::other));
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

/// The body until the time limit; then an error, and nothing of the body is kept.
fn in_time(
    body: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin {
    let until = Instant::now() + BODY_WITHIN;
    let parts = stream::unfold(Some(body.boxed()), move |body| async move {
        let mut body = body?;
        match tokio::time::timeout_at(until, body.next()).await {
            Ok(part) => part.map(|part| (part, Some(body))),
            Err(_) => {
                let words = format!(
                    "the request body took longer than {} seconds",
                    BODY_WITHIN.as_secs()
                );
                let late = std::io::Error::new(std::io::ErrorKind::TimedOut, words);
                Some((Err(late), None))
            }
        }
    });
    // An empty body is asked twice.
    parts.fuse().boxed()
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
    let connection = hub::connection::find(app, name).await?;
    let hash = connection
        .as_ref()
        .map_or("", |connection| connection.ingest_secret_hash.as_str());
    let is_right = secret::is_digest_of(given, hash);
    connection.filter(|_| is_right).ok_or(ApiError::Unauthorized)
}

fn refusal(error: IngestError) -> ApiError {
    match &error {
        IngestError::Dataset { .. } => ApiError::NotFound("dataset"),
        IngestError::Gzip(_) | IngestError::Body(_) => ApiError::bad("", error.to_string()),
        IngestError::Slow(_) => ApiError::TooSlow(error.to_string()),
        IngestError::TooLarge { .. } | IngestError::Bomb { .. } => ApiError::TooLarge(error.to_string()),
        IngestError::Busy | IngestError::Archive(_) | IngestError::Store(_) => {
            tracing::error!("could not receive a batch: {}", hub::causes(&error));
            ApiError::Unavailable {
                detail: error.to_string(),
                retry_after_seconds: RETRY_AFTER_SECONDS,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_for_longer_than_a_sender_waits_is_late() {
        let dripping = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            Some((Ok(Bytes::from_static(b"x")), ()))
        });
        let begun = Instant::now();
        let parts: Vec<_> = in_time(dripping).collect().await;
        assert_eq!(begun.elapsed(), BODY_WITHIN);
        let (last, before) = parts.split_last().unwrap();
        assert!(before.len() == 12 && before.iter().all(Result::is_ok));
        assert_eq!(last.as_ref().unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_body_in_time_comes_as_it_is() {
        let parts = ["a", "b"].map(|part| Ok(Bytes::from(part)));
        let came: Vec<_> = in_time(stream::iter(parts)).try_collect().await.unwrap();
        assert_eq!(came, ["a", "b"]);
    }
}
