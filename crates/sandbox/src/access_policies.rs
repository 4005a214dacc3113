//! `access/policies`: reusable policies, which applications refer to.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::access_groups::rules_given;
use crate::call::{Body, Call};
use crate::clock::rfc3339;
use crate::envelope::{Answer, Refusal, accepted, access_pages, created, found, listed};
use crate::ids::uuid_of;
use crate::permissions::{APPS_READ, APPS_WRITE};
use crate::server::Route;
use crate::world::World;

/// The initial policies.
pub(crate) fn reusable(groups: &[Value], now: DateTime<Utc>) -> Vec<Value> {
    let group = |name: &str| {
        let id = groups
            .iter()
            .find(|group| group["name"] == name)
            .map(|group| group["id"].clone());
        id.map_or_else(
            || json!({ "everyone": {} }),
            |id| json!({ "group": { "id": id } }),
        )
    };
    let at = rfc3339(now - TimeDelta::days(120));
    let policy = |name: &str, decision: &str, include: Value, require: Value| {
        json!({
            "id": uuid_of(&format!("policy: {name}")), "name": name, "decision": decision,
            "include": [include], "exclude": [], "require": require, "session_duration": "24h", "reusable": true,
            "app_count": 1, "created_at": at, "updated_at": at,
        })
    };
    vec![
        policy("Staff may enter", "allow", group("All staff"), json!([])),
        policy(
            "Finance only",
            "allow",
            group("Finance"),
            json!([{ "auth_method": { "auth_method": "mfa" } }]),
        ),
        policy("Nobody else", "deny", json!({ "everyone": {} }), json!([])),
    ]
}

/// Updates the number of applications that use each reusable policy, in the policy and its copies in applications.
pub(crate) fn count_apps(policies: &mut [Value], apps: &mut [Value]) {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let id_of = |policy: &Value| policy["id"].as_str().unwrap_or_default().to_owned();
    let in_apps = apps
        .iter()
        .flat_map(|app| app["policies"].as_array().into_iter().flatten());
    for policy in in_apps {
        *counts.entry(id_of(policy)).or_default() += 1;
    }
    let in_apps = apps
        .iter_mut()
        .flat_map(|app| app["policies"].as_array_mut().into_iter().flatten());
    for policy in policies.iter_mut().chain(in_apps) {
        if policy["reusable"] == true {
            policy["app_count"] = json!(counts.get(&id_of(policy)).copied().unwrap_or(0));
        }
    }
}

/// Updates the copies of a reusable policy in the applications that use it, without changing the order of their
/// policies.
pub(crate) fn copy_to_apps(policy: &Value, apps: &mut [Value]) {
    let held = apps
        .iter_mut()
        .flat_map(|app| app["policies"].as_array_mut().into_iter().flatten())
        .filter(|held| held["id"] == policy["id"]);
    for held in held {
        let precedence = held["precedence"].clone();
        *held = policy.clone();
        held["precedence"] = precedence;
    }
}

pub(crate) fn routes() -> Vec<Route> {
    const LIST: &str = "/accounts/{account_id}/access/policies";
    const ONE: &str = "/accounts/{account_id}/access/policies/{policy_id}";
    vec![
        Route::get(LIST, list),
        Route::post(LIST, create),
        Route::get(ONE, get),
        Route::put(ONE, replace),
        Route::delete(ONE, remove),
    ]
}

async fn list(call: Call) -> Answer {
    call.needs(APPS_READ)?;
    let asked = call.page(access_pages(100))?;
    let world = call.world();
    listed(asked.cut(&world.access_policies, |policy| policy))
}

async fn create(call: Call, Body(body): Body) -> Answer {
    call.needs(APPS_WRITE)?;
    let mut policy = policy_given(&body)?;
    let now = rfc3339(call.now());
    let mut world = call.world();
    policy["id"] = json!(world.ids.uuid());
    policy["app_count"] = json!(0);
    policy["created_at"] = json!(now);
    policy["updated_at"] = json!(now);
    world.access_policies.push(policy.clone());
    created(policy)
}

async fn get(call: Call) -> Answer {
    call.needs(APPS_READ)?;
    let world = call.world();
    let at = position(&call, &world)?;
    found(&world.access_policies[at])
}

async fn replace(call: Call, Body(body): Body) -> Answer {
    call.needs(APPS_WRITE)?;
    let mut policy = policy_given(&body)?;
    let now = rfc3339(call.now());
    let mut world = call.world();
    let at = position(&call, &world)?;
    for kept in ["id", "created_at", "app_count"] {
        policy[kept] = world.access_policies[at][kept].clone();
    }
    policy["updated_at"] = json!(now);
    world.access_policies[at] = policy.clone();
    copy_to_apps(&policy, &mut world.access_apps);
    found(policy)
}

async fn remove(call: Call) -> Answer {
    call.needs(APPS_WRITE)?;
    let mut world = call.world();
    let at = position(&call, &world)?;
    if world.access_policies[at]["app_count"] != 0 {
        return Err(Refusal::bad_request(12142, "access.api.error.policy_in_use"));
    }
    let policy = world.access_policies.remove(at);
    accepted(json!({ "id": policy["id"] }))
}

fn position(call: &Call, world: &World) -> Result<usize, Refusal> {
    let id = call.path("policy_id");
    world
        .access_policies
        .iter()
        .position(|policy| policy["id"] == id)
        .ok_or_else(|| Refusal::not_found(12143, "access.api.error.policy_not_found"))
}

/// The whole policy in a body, with every key.
fn policy_given(body: &Value) -> Result<Value, Refusal> {
    let invalid = |why: &str| Refusal::bad_request(12130, format!("access.api.error.invalid_request: {why}"));
    let mut policy = body.clone();
    body["name"]
        .as_str()
        .filter(|name| !name.is_empty())
        .ok_or_else(|| invalid("name is required"))?;
    let decision = body["decision"].as_str().unwrap_or_default();
    if !["allow", "deny", "non_identity", "bypass"].contains(&decision) {
        return Err(invalid("decision is required"));
    }
    for rules in ["include", "exclude", "require"] {
        policy[rules] = rules_given(body, rules)?;
    }
    policy["reusable"] = json!(true);
    Ok(policy)
}
