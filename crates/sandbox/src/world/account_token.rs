//! `tokens`: the API tokens that the account itself owns (read only). Secrets are never listed.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::credential::Credential;
use crate::ids::hex32_of;
use crate::permissions;
use crate::world::iam::permission_group_id;

/// The id of the sandbox's own token, which its verification also returns.
pub(crate) fn own_token_id(kind: Credential, account_id: &str) -> String {
    hex32_of(&format!("token {kind:?} of {account_id}"))
}

struct Usage {
    age_days: i64,
    unused_days: i64,
    expires_in_days: Option<i64>,
}

/// The sandbox's own token, and others that a review of the account should find.
pub(crate) fn account_tokens(account_id: &str, now: DateTime<Utc>) -> Vec<Value> {
    let token = |id: String, name: &str, groups: &[&str], usage: &Usage| {
        let groups: Vec<Value> = groups
            .iter()
            .map(|name| json!({ "id": permission_group_id(name), "name": name }))
            .collect();
        let issued = rfc3339(now - TimeDelta::days(usage.age_days));
        let mut token = json!({
            "id": id, "name": name, "status": "active", "issued_on": issued, "modified_on": issued,
            "last_used_on": rfc3339(now - TimeDelta::days(usage.unused_days)),
            "policies": [{
                "id": hex32_of(&format!("policy of token {name}")), "effect": "allow", "permission_groups": groups,
                "resources": { format!("com.cloudflare.api.account.{account_id}"): "*" },
            }],
        });
        if let Some(days) = usage.expires_in_days {
            token["expires_on"] = json!(rfc3339(now + TimeDelta::days(days)));
        }
        token
    };
    let named = |name: &str, groups: &[&str], usage: &Usage| {
        token(hex32_of(&format!("account token: {name}")), name, groups, usage)
    };
    let every: Vec<&str> = permissions::ALL
        .iter()
        .filter(|group| !group.of_user)
        .map(|group| group.name)
        .collect();
    let own_id = own_token_id(Credential::AccountToken, account_id);
    let usage = |age_days, unused_days, expires_in_days| Usage {
        age_days,
        unused_days,
        expires_in_days,
    };
    let mut tokens = vec![
        token(own_id, "Sandbox", &every, &usage(30, 0, Some(90))),
        named(
            "Terraform",
            &["Account Settings Write", "Access: Apps and Policies Write"],
            &usage(540, 1, None),
        ),
        named("Log archive", &["Logs Read"], &usage(410, 120, None)),
        named(
            "Audit export",
            &["Account Settings Read"],
            &usage(355, 0, Some(10)),
        ),
    ];
    tokens[3]["not_before"] = tokens[3]["issued_on"].clone();
    tokens[3]["condition"] = json!({ "request_ip": { "in": ["198.18.0.0/24"], "not_in": [] } });
    tokens
}
