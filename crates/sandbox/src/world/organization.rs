//! The Zero Trust organisation: its settings and its identity providers.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::ids::uuid_of;
use crate::world::people::{DOMAIN, TEAM_DOMAIN};
use crate::world::provider::{DEPARTMENT, Provider};

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
