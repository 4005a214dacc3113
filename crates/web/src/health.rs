//! Whether the process lives, and whether it can do its work.

use crate::error::ApiError;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use hub::App;
use serde_json::{Value, json};
use std::time::Duration;

/// Time limit for the database to respond and write.
const STORE_WITHIN: Duration = Duration::from_secs(10);

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
}

async fn live() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

/// Ready means that the database responds and accepts writes, and that no stage of this process keeps failing.
async fn ready(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    let now = app.clock.now();
    let mut problems = app.stage_health.problems(now);
    let store = async {
        if !app.store.is_ready().await {
            return Err("the database does not respond".to_owned());
        }
        let written = app.store.write_try(now).await;
        written.map_err(|error| format!("cannot write to the database: {}", hub::causes(&error)))
    };
    match tokio::time::timeout(STORE_WITHIN, store).await {
        Ok(Ok(())) => {}
        Ok(Err(problem)) => problems.push(problem),
        Err(_) => problems.push(format!(
            "the database did not respond within {} s",
            STORE_WITHIN.as_secs()
        )),
    }
    if problems.is_empty() {
        return Ok(Json(json!({ "status": "ready" })));
    }
    Err(ApiError::Unavailable {
        detail: problems.join("; "),
        retry_after_seconds: 5,
    })
}
