//! The Zero Trust organisation: its settings, its identity providers, and the revocation of a user's sessions.

use axum::Json;
use axum::response::IntoResponse;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::call::{Body, Call};
use crate::clock::rfc3339;
use crate::envelope::{Answer, Refusal, access_pages, found, listed};
use crate::identity::{DEPARTMENT, Provider};
use crate::ids::uuid_of;
use crate::people::{DOMAIN, TEAM_DOMAIN};
use crate::permissions::{GROUPS_READ, ORGANIZATION_READ, SESSIONS_REVOKE};
use crate::server::Route;

pub(crate) fn identity_providers() -> Vec<Value> {
    Provider::ALL
        .into_iter()
        .map(|provider| {
            let (name, config) = name_and_config(provider);
            let mut held =
                json!({ "id": provider.id(), "name": name, "type": provider.kind(), "config": config });
            if provider == Provider::Okta {
                held["scim_config"] = json!({
                    "enabled": true, "identity_update_behavior": "automatic", "user_deprovision": true,
                    "seat_deprovision": true,
                });
            }
            held
        })
        .collect()
}

fn name_and_config(provider: Provider) -> (&'static str, Value) {
    match provider {
        Provider::Okta => (
            "Okta",
            json!({ "okta_account": "https://tidewater.okta.example", "client_id": "0oa1tidewater",
                    "support_groups": true }),
        ),
        Provider::OneTimePin => ("One-time PIN", json!({})),
        Provider::Azure => (
            "Microsoft Entra ID",
            json!({ "client_id": uuid_of("azure client"), "directory_id": uuid_of("azure directory"),
                    "support_groups": true, "conditional_access_enabled": true }),
        ),
        Provider::Saml => (
            "Harbourworks",
            json!({ "issuer_url": "https://sso.harbourworks.example/saml",
                    "sso_target_url": "https://sso.harbourworks.example/saml/sso",
                    "attributes": ["email", DEPARTMENT, "groups"], "sign_request": false }),
        ),
        Provider::OpenIdConnect => (
            "Partners",
            json!({ "client_id": "tidewater", "auth_url": "https://login.partners.example/authorize",
                    "token_url": "https://login.partners.example/token",
                    "certs_url": "https://login.partners.example/keys", "claims": [DEPARTMENT, "amr"] }),
        ),
        Provider::GitHub => ("GitHub", json!({ "client_id": "Iv1.tidewater" })),
        Provider::GoogleWorkspace => (
            "Google Workspace",
            json!({ "client_id": "tidewater.apps.example", "apps_domain": DOMAIN }),
        ),
    }
}

pub(crate) fn organization(name: &str, now: DateTime<Utc>) -> Value {
    let at = rfc3339(now - TimeDelta::days(600));
    json!({
        "name": name, "auth_domain": TEAM_DOMAIN, "auto_redirect_to_identity": false, "is_ui_read_only": false,
        "session_duration": "24h", "user_seat_expiration_inactive_time": "1460h", "allow_authenticate_via_warp": true,
        "created_at": at, "updated_at": at,
    })
}

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
