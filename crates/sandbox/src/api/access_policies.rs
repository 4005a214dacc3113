//! `access/policies`: reusable policies, which applications refer to.

use serde_json::{Value, json};

use crate::api::access_groups::rules_given;
use crate::call::{Body, Call};
use crate::clock::rfc3339;
use crate::envelope::{Answer, Refusal, accepted, access_pages, created, found, listed};
use crate::permissions::{APPS_READ, APPS_WRITE};
use crate::route::Route;
use crate::world::World;
use crate::world::policy::copy_to_apps;

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
