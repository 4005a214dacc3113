//! Reads and controls the sandbox over HTTP, for callers in other processes. README.md in the crate's folder lists the
//! calls.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::faults::Faults;
use crate::handle::WorldHandle;
use crate::shared::Shared;
use crate::story::ongoing;
use crate::story::play::{self, StoryError};

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/sandbox", get(overview))
        .route("/sandbox/received", get(received).delete(received_clear))
        .route("/sandbox/received/signals", get(signals))
        .route("/sandbox/received/messages", get(messages))
        .route("/sandbox/pushed", get(pushed))
        .route("/sandbox/story", post(story_control))
        .route(
            "/sandbox/faults",
            get(faults).put(faults_set).delete(faults_clear),
        )
}

async fn overview(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let records: usize = shared.pushed.pushed().iter().map(|pushed| pushed.records).sum();
    Json(json!({
        "info": shared.info, "requests": shared.requests(), "pushed_records": records,
        "received": { "signals": shared.received.signals().len(), "messages": shared.received.messages().len() },
    }))
}

async fn received(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!({ "signals": shared.received.signals(), "messages": shared.received.messages() }))
}

async fn received_clear(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.received.clear();
    StatusCode::NO_CONTENT
}

async fn signals(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!(shared.received.signals()))
}

async fn messages(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!(shared.received.messages()))
}

async fn pushed(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!({ "expected": shared.story.expected(), "pushed": shared.pushed.pushed() }))
}

/// A command for the story.
#[derive(Debug, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
enum StoryControl {
    /// Push the whole story, and respond when it has arrived.
    Play { within_seconds: Option<u64> },
    /// Start to generate new events at intervals.
    Start { interval_ms: Option<u64> },
    /// Stop that.
    Stop,
}

fn refused(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}

async fn story_control(
    State(shared): State<Arc<Shared>>,
    body: Result<Json<StoryControl>, JsonRejection>,
) -> Response {
    let control = match body {
        Ok(Json(control)) => control,
        Err(why) => return refused(StatusCode::BAD_REQUEST, &why.body_text()),
    };
    match control {
        StoryControl::Play { within_seconds } => {
            let patience = within_seconds.map_or(play::PATIENCE, Duration::from_secs);
            match play::play_all(&shared, patience).await {
                Ok(played) => Json(json!(played)).into_response(),
                Err(error @ StoryError::Undelivered { .. }) => {
                    refused(StatusCode::GATEWAY_TIMEOUT, &error.to_string())
                }
                Err(error) => refused(StatusCode::CONFLICT, &error.to_string()),
            }
        }
        StoryControl::Start { interval_ms } => {
            ongoing::start(
                &shared,
                Duration::from_millis(interval_ms.unwrap_or(5_000).max(10)),
            );
            Json(json!({ "going_on": true })).into_response()
        }
        StoryControl::Stop => {
            shared.trickle.stop();
            Json(json!({ "going_on": false })).into_response()
        }
    }
}

async fn faults(State(shared): State<Arc<Shared>>) -> Json<Faults> {
    Json(shared.faults.settings())
}

async fn faults_set(
    State(shared): State<Arc<Shared>>,
    body: Result<Json<Faults>, JsonRejection>,
) -> Response {
    match body {
        Ok(Json(faults)) => {
            WorldHandle::new(Arc::clone(&shared)).faults_set(faults.clone());
            Json(faults).into_response()
        }
        Err(why) => refused(StatusCode::BAD_REQUEST, &why.body_text()),
    }
}

async fn faults_clear(State(shared): State<Arc<Shared>>) -> StatusCode {
    WorldHandle::new(shared).faults_clear();
    StatusCode::NO_CONTENT
}
