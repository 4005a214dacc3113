//! Whether the process lives, and whether it can answer.

use crate::error::ApiError;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use hub::App;
use serde_json::{Value, json};

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
}

async fn live() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

/// Ready means that the store answers.
async fn ready(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    if app.store.is_ready().await {
        Ok(Json(json!({ "status": "ready" })))
    } else {
        Err(ApiError::Unavailable {
            detail: "the store does not answer".to_owned(),
            retry_after_seconds: 5,
        })
    }
}
