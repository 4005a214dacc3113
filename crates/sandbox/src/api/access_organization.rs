//! The Zero Trust organisation: its settings, its identity providers, and the revocation of a user's sessions.

use axum::Json;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::call::{Body, Call};
use crate::envelope::{Answer, Refusal, access_pages, found, listed};
use crate::permissions::{GROUPS_READ, ORGANIZATION_READ, SESSIONS_REVOKE};
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/accounts/{account_id}/access/identity_providers", list),
        Route::get(
            "/accounts/{account_id}/access/identity_providers/{identity_provider_id}",
            get,
        ),
        Route::get("/accounts/{account_id}/access/organizations", organization_get),
        Route::post(
            "/accounts/{account_id}/access/organizations/revoke_user",
            revoke_user,
        ),
    ]
}

async fn list(call: Call) -> Answer {
    call.needs(GROUPS_READ)?;
    let asked = call.page(access_pages(200))?;
    let world = call.world();
    let with_scim = |provider: &&Value| match call.query("scim_enabled") {
        Some("true") => provider["scim_config"]["enabled"] == true,
        _ => true,
    };
    let shown: Vec<&Value> = world.identity_providers.iter().filter(with_scim).collect();
    listed(asked.cut(&shown, |provider| *provider))
}

async fn get(call: Call) -> Answer {
    call.needs(GROUPS_READ)?;
    let world = call.world();
    let id = call.path("identity_provider_id");
    let provider = world
        .identity_providers
        .iter()
        .find(|provider| provider["id"] == id);
    found(provider.ok_or_else(|| Refusal::not_found(12144, "access.api.error.identity_provider_not_found"))?)
}

async fn organization_get(call: Call) -> Answer {
    call.needs(ORGANIZATION_READ)?;
    found(&call.world().organization)
}

/// Revokes a user's sessions. The response has no `errors` and `messages`. The user can log in again.
async fn revoke_user(call: Call, Body(body): Body) -> Answer {
    call.needs(SESSIONS_REVOKE)?;
    let invalid = || Refusal::bad_request(12130, "access.api.error.invalid_request: email is required");
    let email = body["email"].as_str().ok_or_else(invalid)?;
    let mut world = call.world();
    let user = world
        .access_users
        .iter()
        .find(|user| user.email.eq_ignore_ascii_case(email));
    let (email, nonce) = user
        .map(|user| (user.email.clone(), user.session_nonce()))
        .ok_or_else(|| Refusal::not_found(12137, "access.api.error.user_not_found"))?;
    world.revoked_sessions.insert(nonce);
    world.revocations.push(email);
    Ok(Json(json!({ "result": true, "success": true })).into_response())
}
