//! `access/apps`: the applications behind Access (read only), and the ordered policies of each.

use serde_json::Value;

use crate::call::Call;
use crate::envelope::{Answer, Refusal, access_pages, found, listed};
use crate::permissions::APPS_READ;
use crate::route::Route;
use crate::world::World;

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
