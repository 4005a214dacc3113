//! The applications behind Access.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::ids::{hex32_of, uuid_of};
use crate::world::provider::identity_provider_id;

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
