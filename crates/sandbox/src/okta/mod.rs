//! An Okta-like tenant that receives Security Event Tokens.
//!
//! Providers are registered with the URL of a well-known document, of which only `issuer` and `jwks_uri` are read, or
//! with those two values directly. A token is accepted with 202 if its signature, issuer, audience and event are valid.
//! As documented, a repeated `jti` or an unknown address is also accepted, without effect. Management calls need no
//! credential here.

pub(crate) mod tenant;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use url::Url;

use crate::ids::uuid_of;
use crate::okta::tenant::Provider;
use crate::reach::is_this_machine;
use crate::received::ReceivedSignal;
use crate::shared::Shared;

const PROVIDERS: &str = "/okta/api/v1/security-events-providers";
/// The supported event types, and the required fields of each in addition to its subject and time.
const EVENTS: &[(&str, &[&str])] = &[
    (
        "https://schemas.okta.com/secevent/okta/event-type/user-risk-change",
        &["current_level", "previous_level"],
    ),
    (
        "https://schemas.okta.com/secevent/okta/event-type/device-risk-change",
        &["current_level", "previous_level"],
    ),
    (
        "https://schemas.okta.com/secevent/okta/event-type/ip-change",
        &["current_ip_address", "previous_ip_address"],
    ),
    (
        "https://schemas.openid.net/secevent/caep/event-type/session-revoked",
        &[],
    ),
    (
        "https://schemas.openid.net/secevent/caep/event-type/device-compliance-change",
        &["current_status", "previous_status"],
    ),
    (
        "https://schemas.openid.net/secevent/risc/event-type/identifier-changed",
        &[],
    ),
];
const LEVELS: &[&str] = &["low", "medium", "high", "secure", "none"];
const ENTITIES: &[&str] = &["admin", "user", "policy", "system"];
/// 2048 bits.
const SHORTEST_MODULUS_BYTES: usize = 256;

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route(PROVIDERS, get(providers).post(provider_create))
        .route(
            "/okta/api/v1/security-events-providers/{id}",
            get(provider_get).put(provider_replace).delete(provider_remove),
        )
        .route(
            "/okta/api/v1/security-events-providers/{id}/lifecycle/{step}",
            post(provider_lifecycle),
        )
        .route("/okta/security/api/v1/security-events", post(receive))
}

/// An error of the management calls.
fn management_error(status: StatusCode, code: &str, summary: &str) -> Response {
    let body = json!({ "errorCode": code, "errorSummary": summary, "errorLink": code, "errorCauses": [] });
    (status, Json(body)).into_response()
}

fn no_provider() -> Response {
    management_error(
        StatusCode::NOT_FOUND,
        "E0000007",
        "Not found: Resource not found (SecurityEventsProvider)",
    )
}

async fn providers(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let providers = shared.okta.lock();
    Json(
        providers
            .values()
            .map(|provider| provider.to_json(&shared.info.okta_url))
            .collect(),
    )
}

async fn provider_create(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let number = shared.okta.lock().len();
    let id = format!(
        "sse{}",
        &uuid_of(&format!("provider {number} {}", shared.config.seed)).replace('-', "")[..17]
    );
    provider_put(&shared, id, true, &body).await
}

async fn provider_replace(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let known = shared.okta.lock().get(&id).map(|provider| provider.active);
    match known {
        Some(active) => provider_put(&shared, id, active, &body).await,
        None => no_provider(),
    }
}

async fn provider_put(shared: &Shared, id: String, active: bool, body: &[u8]) -> Response {
    match provider_given(shared, id, active, body).await {
        Ok(provider) => {
            let answer = provider.to_json(&shared.info.okta_url);
            shared.okta.lock().insert(provider.id.clone(), provider);
            Json(answer).into_response()
        }
        Err(why) => management_error(
            StatusCode::BAD_REQUEST,
            "E0000001",
            &format!("Api validation failed: {why}"),
        ),
    }
}

async fn provider_given(shared: &Shared, id: String, active: bool, body: &[u8]) -> Result<Provider, String> {
    let body: Value = serde_json::from_slice(body).map_err(|_| "the body is no JSON".to_owned())?;
    let text = |value: &Value, name: &str, longest: usize| match value.as_str() {
        Some(text) if !text.is_empty() && text.len() <= longest => Ok(text.to_owned()),
        _ => Err(format!("{name} must have 1 to {longest} characters")),
    };
    let (name, kind) = (
        text(&body["name"], "name", 100)?,
        text(&body["type"], "type", 255)?,
    );
    let settings = &body["settings"];
    let (issuer, jwks_url, well_known_url) = if settings["well_known_url"].is_string() {
        let url = text(&settings["well_known_url"], "well_known_url", 1000)?;
        let document = fetch(shared, &url).await?;
        let part = |name: &str| document[name].as_str().map(str::to_owned);
        let missing = |name: &str| format!("{url} has no {name}");
        let issuer = part("issuer").ok_or_else(|| missing("issuer"))?;
        (
            issuer,
            part("jwks_uri").ok_or_else(|| missing("jwks_uri"))?,
            Some(url),
        )
    } else {
        (
            text(&settings["issuer"], "issuer", 700)?,
            text(&settings["jwks_url"], "jwks_url", 1000)?,
            None,
        )
    };
    Ok(Provider {
        id,
        name,
        kind,
        active,
        issuer,
        jwks_url,
        well_known_url,
        keys: None,
    })
}

/// Fetches a JSON document, only from this machine unless the configuration allows other hosts.
async fn fetch(shared: &Shared, url: &str) -> Result<Value, String> {
    let parsed = Url::parse(url).map_err(|_| format!("{url} is not a URL"))?;
    if !is_this_machine(&parsed) && !shared.config.allow_any_destination {
        return Err(format!("{url} is not on this machine"));
    }
    let response = shared
        .http
        .get(parsed)
        .send()
        .await
        .map_err(|_| format!("{url} does not answer"))?;
    if !response.status().is_success() {
        return Err(format!("{url} answers {}", response.status().as_u16()));
    }
    response.json().await.map_err(|_| format!("{url} is no JSON"))
}

async fn provider_get(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    let providers = shared.okta.lock();
    let answer = providers
        .get(&id)
        .map(|provider| Json(provider.to_json(&shared.info.okta_url)).into_response());
    answer.unwrap_or_else(no_provider)
}

async fn provider_remove(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    match shared.okta.lock().remove(&id) {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => no_provider(),
    }
}

async fn provider_lifecycle(
    State(shared): State<Arc<Shared>>,
    Path((id, step)): Path<(String, String)>,
) -> Response {
    let mut providers = shared.okta.lock();
    let (Some(provider), true) = (
        providers.get_mut(&id),
        ["activate", "deactivate"].contains(&step.as_str()),
    ) else {
        return no_provider();
    };
    provider.active = step == "activate";
    Json(provider.to_json(&shared.info.okta_url)).into_response()
}

/// `err` and `description` of a refused token.
type Refused = (&'static str, String);

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let token = String::from_utf8_lossy(&body).trim().to_owned();
    let mut signal = ReceivedSignal {
        received_at: shared.clock.now(),
        accepted: false,
        refusal: None,
        duplicate: false,
        unknown_user: false,
        jti: String::new(),
        issuer: String::new(),
        event_type: String::new(),
        subject_email: String::new(),
        previous_level: String::new(),
        current_level: String::new(),
        event: Value::Null,
        token: token.clone(),
    };
    if let Some(status) = shared.faults.sink_refuses(|sinks| &mut sinks.okta) {
        signal.refusal = Some(("fault".to_owned(), format!("switched to answer {status}")));
        shared.received.signal(signal);
        return crate::chat::fault(status);
    }
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let checked = if content_type
        .split(';')
        .next()
        .is_some_and(|kind| kind.trim() == "application/secevent+jwt")
    {
        check(&shared, &token, &mut signal).await
    } else {
        Err((
            "invalid_request",
            format!("Content-Type {content_type} is not application/secevent+jwt"),
        ))
    };
    match checked {
        Ok(()) => {
            signal.accepted = true;
            signal.unknown_user = !is_known(&shared, &signal.subject_email);
            shared.received.signal(signal);
            StatusCode::ACCEPTED.into_response()
        }
        Err((err, description)) => {
            let answer = json!({ "err": err, "description": description });
            signal.refusal = Some((err.to_owned(), description));
            shared.received.signal(signal);
            (StatusCode::BAD_REQUEST, Json(answer)).into_response()
        }
    }
}

fn is_known(shared: &Shared, email: &str) -> bool {
    let world = shared.world();
    let mut emails = world.members.iter().map(|member| &member.email);
    let mut users = world.access_users.iter().map(|user| &user.email);
    emails.any(|known| known.eq_ignore_ascii_case(email))
        || users.any(|known| known.eq_ignore_ascii_case(email))
}

/// Validates a token, and records everything that can be read from it.
async fn check(shared: &Shared, token: &str, signal: &mut ReceivedSignal) -> Result<(), Refused> {
    let invalid = |why: &str| ("invalid_request", why.to_owned());
    let part = |at: usize| -> Option<Value> {
        let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(at)?).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    let (Some(head), Some(claims), 3) = (part(0), part(1), token.split('.').count()) else {
        return Err(invalid("the body is not a signed token in compact form"));
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    signal.jti = text(&claims["jti"]);
    signal.issuer = text(&claims["iss"]);
    let kid = head["kid"]
        .as_str()
        .ok_or_else(|| invalid("the header has no kid"))?;
    if head["alg"] != "RS256" {
        return Err(invalid("alg must be RS256"));
    }
    if head["typ"] != "secevent+jwt" {
        return Err(invalid("typ must be secevent+jwt"));
    }
    verify(shared, token, kid, &signal.issuer).await?;
    if claims["aud"] != shared.info.okta_url.as_str() {
        return Err((
            "invalid_audience",
            format!("aud must be {}", shared.info.okta_url),
        ));
    }
    if signal.jti.is_empty() {
        return Err(invalid(
            "Failed claim validation in security event token: 'jti': The field cannot be left blank",
        ));
    }
    if claims["iat"].as_i64().is_none() {
        return Err(invalid(
            "Failed claim validation in security event token: 'iat' must be an integer",
        ));
    }
    let events = claims["events"].as_object().filter(|events| events.len() == 1);
    let (kind, event) = events
        .and_then(|events| events.iter().next())
        .ok_or_else(|| invalid("events must be an object with one event"))?;
    signal.event_type.clone_from(kind);
    signal.event = event.clone();
    signal.subject_email = text(&event["subject"]["user"]["email"]);
    signal.previous_level = text(&event["previous_level"]);
    signal.current_level = text(&event["current_level"]);
    check_event(kind, event).map_err(|why| {
        let why = format!("Failed claim validation in security event token: {why}");
        ("invalid_request", why)
    })
}

fn check_event(kind: &str, event: &Value) -> Result<(), String> {
    let Some((_, required)) = EVENTS.iter().find(|(known, _)| *known == kind) else {
        return Err(format!("'events.{kind}': unknown event type"));
    };
    let blank = |name: &str| format!("'events.{name}': The field cannot be left blank");
    if event["event_timestamp"].as_i64().is_none() {
        return Err(blank("event_timestamp"));
    }
    if !event["subject"]["user"].is_object() && !event["subject"]["device"].is_object() {
        return Err(blank("subject"));
    }
    for name in *required {
        let value = event[*name]
            .as_str()
            .filter(|value| !value.is_empty())
            .ok_or_else(|| blank(name))?;
        if name.ends_with("_level") && !LEVELS.contains(&value) {
            return Err(format!("'events.{name}': Not one of the allowed values"));
        }
    }
    if event
        .get("initiating_entity")
        .is_some_and(|entity| !ENTITIES.iter().any(|known| entity == known))
    {
        return Err("'events.initiating_entity': Not one of the allowed values".to_owned());
    }
    if kind.contains("schemas.okta.com") && kind.ends_with("risk-change") {
        let reason = |name: &str| event[name].as_object().is_some_and(|texts| !texts.is_empty());
        if !reason("reason_admin") && !reason("reason_user") {
            return Err("'events': either reason_admin or reason_user is required".to_owned());
        }
    }
    Ok(())
}

/// Verifies the signature with a key of the active provider with this issuer. An unknown key is fetched once.
async fn verify(shared: &Shared, token: &str, kid: &str, issuer: &str) -> Result<(), Refused> {
    let provider = {
        let providers = shared.okta.lock();
        providers
            .values()
            .find(|provider| provider.active && provider.issuer == issuer)
            .cloned()
    };
    let provider = provider.ok_or_else(|| {
        (
            "invalid_issuer",
            format!("no active provider has the issuer {issuer}"),
        )
    })?;
    let mut key = provider.keys.as_ref().and_then(|keys| keys.find(kid)).cloned();
    if key.is_none() {
        let document = fetch(shared, &provider.jwks_url)
            .await
            .map_err(|why| ("invalid_key", why))?;
        let keys: JwkSet = serde_json::from_value(document)
            .map_err(|_| ("invalid_key", "the keys cannot be read".to_owned()))?;
        key = keys.find(kid).cloned();
        if let Some(known) = shared.okta.lock().get_mut(&provider.id) {
            known.keys = Some(keys);
        }
    }
    let failed = || {
        (
            "authentication_failed",
            format!("Could not verify message signature, Verification failed for kid={kid}"),
        )
    };
    let key = key.ok_or_else(failed)?;
    let unusable = || {
        (
            "invalid_key",
            format!("key {kid} is not an RSA key of at least 2048 bits"),
        )
    };
    if modulus_bytes(&key) < SHORTEST_MODULUS_BYTES {
        return Err(unusable());
    }
    let key = DecodingKey::from_jwk(&key).map_err(|_| unusable())?;
    // The token's own claims are checked by the caller: a Security Event Token has no expiry.
    let mut validation = Validation::new(Algorithm::RS256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    jsonwebtoken::decode::<Value>(token, &key, &validation)
        .map(|_| ())
        .map_err(|_| failed())
}

fn modulus_bytes(key: &Jwk) -> usize {
    let key = serde_json::to_value(key).unwrap_or_default();
    let modulus = key["n"]
        .as_str()
        .and_then(|modulus| URL_SAFE_NO_PAD.decode(modulus).ok());
    modulus.map_or(0, |modulus| modulus.len())
}
