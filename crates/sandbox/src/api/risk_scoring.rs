//! `zt_risk_scoring`: the behaviours that raise a user's risk, the users who triggered them, and the receivers of
//! changes.
//!
//! A user's level is the highest one triggered since the last reset. After a reset, the summary no longer contains the
//! user. Only the behaviour keys `imp_travel` and `high_dlp` are published; the third key is the sandbox's own.

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use crate::call::{Body, Call};
use crate::clock::rfc3339;
use crate::envelope::{Answer, Refusal, found};
use crate::ids::is_uuid;
use crate::permissions::{AnyOf, PII_READ, ZERO_TRUST_READ, ZERO_TRUST_WRITE};
use crate::route::Route;
use crate::world::World;
use crate::world::access_user::AccessUser;
use crate::world::risk::{LEVELS, UserRisk};

pub(crate) fn routes() -> Vec<Route> {
    const INTEGRATIONS: &str = "/accounts/{account_id}/zt_risk_scoring/integrations";
    const INTEGRATION: &str = "/accounts/{account_id}/zt_risk_scoring/integrations/{integration_id}";
    const REFERENCE: &str = "/accounts/{account_id}/zt_risk_scoring/integrations/reference_id/{reference_id}";
    vec![
        Route::get("/accounts/{account_id}/zt_risk_scoring/summary", summary),
        Route::get("/accounts/{account_id}/zt_risk_scoring/{user_id}", user),
        Route::post("/accounts/{account_id}/zt_risk_scoring/{user_id}/reset", reset),
        Route::get("/accounts/{account_id}/zt_risk_scoring/behaviors", behaviours),
        Route::put(
            "/accounts/{account_id}/zt_risk_scoring/behaviors",
            behaviours_change,
        ),
        Route::get(INTEGRATIONS, integrations),
        Route::post(INTEGRATIONS, integration_create),
        Route::get(INTEGRATION, integration_get),
        Route::put(INTEGRATION, integration_replace),
        Route::delete(INTEGRATION, integration_remove),
        Route::get(REFERENCE, integration_by_reference),
    ]
}

/// Checks the permission, and that the plan includes risk scoring.
fn entitled(call: &Call, any_of: AnyOf) -> Result<(), Refusal> {
    call.needs(any_of)?;
    if call.world().risk_entitled {
        Ok(())
    } else {
        Err(Refusal::new(StatusCode::FORBIDDEN, 3314, "Forbidden"))
    }
}

async fn summary(call: Call) -> Answer {
    entitled(&call, PII_READ)?;
    let world = call.world();
    let mut users: Vec<Value> = world
        .access_users
        .iter()
        .filter_map(|user| {
            let risk = world.risk.users.get(&user.id)?;
            let level = risk.level()?;
            let last = risk
                .events
                .iter()
                .filter_map(|event| event["timestamp"].as_str())
                .max();
            Some(json!({
                "user_id": user.id, "email": user.email, "name": user.name, "max_risk_level": level,
                "event_count": risk.events.len(), "last_event": last,
            }))
        })
        .collect();
    users.sort_by_key(|user| {
        std::cmp::Reverse(LEVELS.iter().position(|level| user["max_risk_level"] == *level))
    });
    let info = json!({
        "count": users.len(), "page": 1, "per_page": users.len(), "total_count": users.len(), "total_pages": 1,
    });
    let body = json!({
        "success": true, "errors": [], "messages": [], "result": { "users": users }, "result_info": info,
    });
    Ok(Json(body).into_response())
}

async fn user(call: Call) -> Answer {
    entitled(&call, PII_READ)?;
    let world = call.world();
    let user = asked_for(&call, &world)?;
    let risk = world.risk.users.get(&user.id);
    let mut answer = json!({
        "email": user.email, "name": user.name,
        "events": risk.map_or(&[][..], |risk| &risk.events), "risk_level": risk.and_then(UserRisk::level),
    });
    if let Some(last_reset) = risk.and_then(|risk| risk.last_reset) {
        answer["last_reset_time"] = json!(rfc3339(last_reset));
    }
    found(answer)
}

async fn reset(call: Call) -> Answer {
    entitled(&call, ZERO_TRUST_WRITE)?;
    let now = call.now();
    let mut world = call.world();
    let id = asked_for(&call, &world)?.id.clone();
    let risk = world.risk.users.entry(id).or_default();
    risk.events.clear();
    risk.last_reset = Some(now);
    found(Value::Null)
}

fn asked_for<'a>(call: &Call, world: &'a World) -> Result<&'a AccessUser, Refusal> {
    let id = call.path("user_id");
    if !is_uuid(id) {
        return Err(Refusal::bad_request(3301, "user_id must be a UUID"));
    }
    let user = world.access_users.find(id);
    user.ok_or_else(|| Refusal::not_found(3304, "User not found"))
}

async fn behaviours(call: Call) -> Answer {
    entitled(&call, ZERO_TRUST_READ)?;
    found(json!({ "behaviors": call.world().risk.behaviours }))
}

async fn behaviours_change(call: Call, Body(body): Body) -> Answer {
    entitled(&call, ZERO_TRUST_WRITE)?;
    let invalid = |why: &str| Refusal::bad_request(3301, why);
    let changes = body["behaviors"]
        .as_object()
        .ok_or_else(|| invalid("behaviors is required"))?;
    let mut world = call.world();
    for (key, change) in changes {
        let level = change["risk_level"]
            .as_str()
            .filter(|level| LEVELS.contains(level));
        if change["enabled"].as_bool().is_none() || level.is_none() {
            return Err(invalid("enabled and risk_level are required"));
        }
        if !world.risk.behaviours.contains_key(key) {
            return Err(invalid(&format!("unknown behavior {key}")));
        }
    }
    let mut answer = Map::new();
    for (key, change) in changes {
        let kept = json!({ "enabled": change["enabled"], "risk_level": change["risk_level"] });
        if let Some(behaviour) = world.risk.behaviours.get_mut(key) {
            behaviour["enabled"] = kept["enabled"].clone();
            behaviour["risk_level"] = kept["risk_level"].clone();
        }
        answer.insert(key.clone(), kept);
    }
    found(json!({ "behaviors": answer }))
}

async fn integrations(call: Call) -> Answer {
    entitled(&call, ZERO_TRUST_READ)?;
    found(&call.world().risk.integrations)
}

async fn integration_create(call: Call, Body(body): Body) -> Answer {
    entitled(&call, ZERO_TRUST_WRITE)?;
    if body["integration_type"] != "Okta" {
        return Err(Refusal::bad_request(3301, "integration_type must be Okta"));
    }
    let tenant_url = tenant_url_given(&body)?;
    let now = rfc3339(call.now());
    let mut world = call.world();
    let id = world.ids.uuid();
    let integration = json!({
        "id": id, "account_tag": world.account_id, "active": true, "created_at": now, "integration_type": "Okta",
        "reference_id": body["reference_id"].as_str().unwrap_or_default(), "tenant_url": tenant_url,
        "well_known_url":
            format!("https://ssf.risk-score.teams.cloudflare.com/.well-known/sse-configuration/{id}"),
    });
    world.risk.integrations.push(integration.clone());
    found(integration)
}

async fn integration_get(call: Call) -> Answer {
    entitled(&call, ZERO_TRUST_READ)?;
    let world = call.world();
    found(&world.risk.integrations[integration_position(&call, &world)?])
}

async fn integration_by_reference(call: Call) -> Answer {
    entitled(&call, ZERO_TRUST_READ)?;
    let world = call.world();
    let reference = call.path("reference_id");
    let integration = world
        .risk
        .integrations
        .iter()
        .find(|integration| integration["reference_id"] == reference);
    found(integration.ok_or_else(|| Refusal::not_found(3305, "Integration not found"))?)
}

/// Overwrites `active`, `tenant_url` and `reference_id`; a missing reference is cleared.
async fn integration_replace(call: Call, Body(body): Body) -> Answer {
    entitled(&call, ZERO_TRUST_WRITE)?;
    let active = body["active"]
        .as_bool()
        .ok_or_else(|| Refusal::bad_request(3301, "active is required"))?;
    let tenant_url = tenant_url_given(&body)?;
    let mut world = call.world();
    let at = integration_position(&call, &world)?;
    let integration = &mut world.risk.integrations[at];
    integration["active"] = json!(active);
    integration["tenant_url"] = json!(tenant_url);
    integration["reference_id"] = json!(body["reference_id"].as_str().unwrap_or_default());
    found(integration.clone())
}

async fn integration_remove(call: Call) -> Answer {
    entitled(&call, ZERO_TRUST_WRITE)?;
    let mut world = call.world();
    let at = integration_position(&call, &world)?;
    world.risk.integrations.remove(at);
    found(Value::Null)
}

fn integration_position(call: &Call, world: &World) -> Result<usize, Refusal> {
    let id = call.path("integration_id");
    if !is_uuid(id) {
        return Err(Refusal::bad_request(3301, "integration_id must be a UUID"));
    }
    let at = world
        .risk
        .integrations
        .iter()
        .position(|integration| integration["id"] == id);
    at.ok_or_else(|| Refusal::not_found(3305, "Integration not found"))
}

fn tenant_url_given(body: &Value) -> Result<String, Refusal> {
    let url = body["tenant_url"]
        .as_str()
        .filter(|url| url::Url::parse(url).is_ok_and(|url| url.has_host()));
    url.map(str::to_owned)
        .ok_or_else(|| Refusal::bad_request(3301, "tenant_url must be a URL"))
}
