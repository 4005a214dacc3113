//! The reusable policies, and their copies in the applications that use them.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::ids::uuid_of;

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
