//! `access/apps`: the applications behind Access, read only, and the policies of each in their order.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::call::Call;
use crate::clock::rfc3339;
use crate::envelope::{Answer, Refusal, access_pages, found, listed};
use crate::ids::{hex32_of, uuid_of};
use crate::permissions::APPS_READ;
use crate::server::Route;
use crate::world::{World, identity_provider_id};

/// Name, domain, type and policies of each application.
pub(crate) const APPS: &[(&str, &str, &str, &[&str])] = &[
    (
        "Wiki",
        "wiki.tidewater.example",
        "self_hosted",
        &["Staff may enter", "Nobody else"],
    ),
    (
        "Ledger",
        "ledger.tidewater.example",
        "self_hosted",
        &["Finance only", "Nobody else"],
    ),
    (
        "Source",
        "git.tidewater.example",
        "self_hosted",
        &["Staff may enter"],
    ),
    ("Payroll", "payroll.tidewater.example", "saas", &["Finance only"]),
];

/// The id of the application with a name.
pub(crate) fn app_id(name: &str) -> String {
    uuid_of(&format!("app: {name}"))
}

pub(crate) fn apps(policies: &[Value], now: DateTime<Utc>) -> Vec<Value> {
    let at = rfc3339(now - TimeDelta::days(300));
    APPS.iter()
        .map(|(name, domain, kind, names)| {
            let held: Vec<Value> = names
                .iter()
                .enumerate()
                .filter_map(|(order, name)| {
                    let mut policy = policies.iter().find(|policy| policy["name"] == *name)?.clone();
                    policy["precedence"] = json!(order + 1);
                    Some(policy)
                })
                .collect();
            json!({
                "id": app_id(name), "uid": app_id(name), "aud": hex32_of(name).repeat(2), "name": name,
                "domain": domain, "type": kind, "session_duration": "24h", "app_launcher_visible": true,
                "allowed_idps": [identity_provider_id("okta"), identity_provider_id("onetimepin")],
                "auto_redirect_to_identity": false, "tags": [],
                "destinations": [{ "type": "public", "uri": domain }], "policies": held,
                "created_at": at, "updated_at": at,
            })
        })
        .collect()
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/accounts/{account_id}/access/apps", list),
        Route::get("/accounts/{account_id}/access/apps/{app_id}", get),
        Route::get("/accounts/{account_id}/access/apps/{app_id}/policies", policies),
        Route::get(
            "/accounts/{account_id}/access/apps/{app_id}/policies/{policy_id}",
            policy,
        ),
    ]
}

async fn list(call: Call) -> Answer {
    call.needs(APPS_READ)?;
    let asked = call.page(access_pages(1000))?;
    let world = call.world();
    let matches = |app: &Value, key: &str| call.query(key).is_none_or(|wanted| app[key] == wanted);
    let shown: Vec<&Value> = world
        .access_apps
        .iter()
        .filter(|app| ["name", "domain", "aud"].iter().all(|key| matches(app, key)))
        .collect();
    listed(asked.cut(&shown, |app| *app))
}

async fn get(call: Call) -> Answer {
    call.needs(APPS_READ)?;
    found(asked_for(&call, &call.world())?)
}

async fn policies(call: Call) -> Answer {
    call.needs(APPS_READ)?;
    let asked = call.page(access_pages(200))?;
    let world = call.world();
    let app = asked_for(&call, &world)?;
    listed(asked.cut(
        app["policies"].as_array().map_or(&[][..], Vec::as_slice),
        |policy| policy,
    ))
}

async fn policy(call: Call) -> Answer {
    call.needs(APPS_READ)?;
    let world = call.world();
    let app = asked_for(&call, &world)?;
    let policy = app["policies"]
        .as_array()
        .and_then(|all| all.iter().find(|one| one["id"] == call.path("policy_id")));
    found(policy.ok_or_else(|| Refusal::not_found(12143, "access.api.error.policy_not_found"))?)
}

fn asked_for<'a>(call: &Call, world: &'a World) -> Result<&'a Value, Refusal> {
    let id = call.path("app_id");
    world
        .access_apps
        .iter()
        .find(|app| app["id"] == id)
        .ok_or_else(|| Refusal::not_found(11021, "access.api.error.unknown_application"))
}
