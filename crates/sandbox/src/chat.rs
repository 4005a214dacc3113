//! The chat sinks: webhooks that imitate Slack, Teams and Google Chat, and store received messages.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::received::{ReceivedMessage, Sink};
use crate::shared::Shared;

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/slack/{*rest}", post(slack))
        .route("/teams/{*rest}", post(teams))
        .route("/google-chat/{*rest}", post(google_chat))
}

/// The response of an injected fault.
pub(crate) fn fault(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status == StatusCode::TOO_MANY_REQUESTS {
        return (status, [(header::RETRY_AFTER, "1")], "rate limited").into_response();
    }
    (status, "out of order").into_response()
}

/// The outcome of a delivery to a chat sink.
enum Outcome {
    Taken,
    /// The format that the real service requires is violated.
    Misshapen(String),
    /// A fault was injected.
    Fault(u16),
}

/// Stores a message, whatever its outcome.
fn keep(
    shared: &Shared,
    sink: Sink,
    body: &[u8],
    fault: Option<u16>,
    fits: impl Fn(&Value) -> Result<(), &'static str>,
) -> Outcome {
    let body = serde_json::from_slice::<Value>(body);
    let outcome = match (fault, &body) {
        (Some(status), _) => Outcome::Fault(status),
        (None, Err(_)) => Outcome::Misshapen("invalid_payload".to_owned()),
        (None, Ok(body)) => {
            fits(body).map_or_else(|why| Outcome::Misshapen(why.to_owned()), |()| Outcome::Taken)
        }
    };
    let refusal = match &outcome {
        Outcome::Taken => None,
        Outcome::Misshapen(why) => Some(why.clone()),
        Outcome::Fault(status) => Some(format!("switched to answer {status}")),
    };
    shared.received.message(ReceivedMessage {
        received_at: shared.clock.now(),
        sink,
        accepted: refusal.is_none(),
        refusal,
        from: String::new(),
        to: Vec::new(),
        subject: String::new(),
        body: body.unwrap_or_default(),
    });
    outcome
}

/// Whether a request was sent to the secret URL of the sink.
fn is_ours(uri: &Uri, address: &str) -> bool {
    address.ends_with(uri.path())
}

fn filled(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
        || value.as_array().is_some_and(|items| !items.is_empty())
}

async fn slack(State(shared): State<Arc<Shared>>, uri: Uri, body: Bytes) -> Response {
    if !is_ours(&uri, &shared.info.slack_webhook_url) {
        return (StatusCode::NOT_FOUND, "no_service").into_response();
    }
    let fault_on = shared.faults.sink_refuses(|sinks| &mut sinks.slack);
    let fits = |body: &Value| {
        if filled(&body["text"]) || filled(&body["blocks"]) {
            Ok(())
        } else {
            Err("no_text")
        }
    };
    match keep(&shared, Sink::Slack, &body, fault_on, fits) {
        Outcome::Taken => "ok".into_response(),
        Outcome::Fault(status) => fault(status),
        Outcome::Misshapen(why) => (StatusCode::BAD_REQUEST, why).into_response(),
    }
}

async fn teams(State(shared): State<Arc<Shared>>, uri: Uri, body: Bytes) -> Response {
    if !is_ours(&uri, &shared.info.teams_webhook_url) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let fault_on = shared.faults.sink_refuses(|sinks| &mut sinks.teams);
    let fits = |body: &Value| {
        let cards = body["attachments"].as_array().filter(|cards| !cards.is_empty());
        let is_card = |card: &Value| {
            card["contentType"] == "application/vnd.microsoft.card.adaptive"
                && card["content"]["type"] == "AdaptiveCard"
        };
        match (body["type"] == "message", cards) {
            (true, Some(cards)) if cards.iter().all(is_card) => Ok(()),
            _ => Err("not a message with adaptive cards"),
        }
    };
    match keep(&shared, Sink::Teams, &body, fault_on, fits) {
        Outcome::Taken => StatusCode::ACCEPTED.into_response(),
        Outcome::Fault(status) => fault(status),
        Outcome::Misshapen(why) => (
            StatusCode::BAD_REQUEST,
            Json(json!({ "error": { "message": why } })),
        )
            .into_response(),
    }
}

async fn google_chat(State(shared): State<Arc<Shared>>, uri: Uri, body: Bytes) -> Response {
    let error = |status: StatusCode, message: &str| {
        (
            status,
            Json(json!({ "error": { "code": status.as_u16(), "message": message } })),
        )
            .into_response()
    };
    if !is_ours(&uri, &shared.info.google_chat_webhook_url) {
        return error(StatusCode::NOT_FOUND, "no such space");
    }
    let fault_on = shared.faults.sink_refuses(|sinks| &mut sinks.google_chat);
    let fits = |body: &Value| {
        if filled(&body["text"]) || filled(&body["cardsV2"]) {
            Ok(())
        } else {
            Err("the message is empty")
        }
    };
    match keep(&shared, Sink::GoogleChat, &body, fault_on, fits) {
        Outcome::Taken => {
            let number = shared.received.messages().len();
            Json(json!({ "name": format!("spaces/sandbox/messages/{number}") })).into_response()
        }
        Outcome::Fault(status) => fault(status),
        Outcome::Misshapen(why) => error(StatusCode::BAD_REQUEST, &why),
    }
}
