//! `gateway/logging`: which requests Gateway logs, and whether it excludes personal data.

use serde_json::Value;

use crate::call::{Body, Call};
use crate::envelope::{Answer, found};
use crate::permissions::{ZERO_TRUST_READ, ZERO_TRUST_WRITE};
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    const PATH: &str = "/accounts/{account_id}/gateway/logging";
    vec![Route::get(PATH, get), Route::put(PATH, change)]
}

async fn get(call: Call) -> Answer {
    call.needs(ZERO_TRUST_READ)?;
    found(&call.world().gateway_logging)
}

async fn change(call: Call, Body(body): Body) -> Answer {
    call.needs(ZERO_TRUST_WRITE)?;
    let mut world = call.world();
    if let Some(redact) = body.get("redact_pii").filter(|redact| redact.is_boolean()) {
        world.gateway_logging["redact_pii"] = redact.clone();
    }
    if let Some(by_type) = body["settings_by_rule_type"].as_object() {
        for (kind, settings) in by_type {
            for (name, on) in settings.as_object().into_iter().flatten() {
                let known = world.gateway_logging["settings_by_rule_type"].get(kind).is_some();
                if known && on.is_boolean() {
                    world.gateway_logging["settings_by_rule_type"][kind][name] = Value::clone(on);
                }
            }
        }
    }
    found(&world.gateway_logging)
}
