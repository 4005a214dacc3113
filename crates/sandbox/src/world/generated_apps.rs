//! `access/apps`: the applications behind Access (read only), and the ordered policies of each.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::ids::{Ids, hex32_of};
use crate::world::app::{APPS, app_id};
use crate::world::people::DOMAIN;
use crate::world::provider::Provider;
use crate::world::rules::RuleSource;
use crate::world::service_token::service_token_id;

/// Applications in addition to the hand-written ones, and the reusable policies that they share.
pub(crate) struct GeneratedApps {
    pub(crate) policies: Vec<Value>,
    pub(crate) apps: Vec<Value>,
}

impl GeneratedApps {
    pub(crate) fn new(
        seed: u64,
        count: usize,
        source: &RuleSource<'_>,
        groups: &[Value],
        now: DateTime<Utc>,
    ) -> Self {
        let at = rfc3339(now - TimeDelta::days(80));
        let policies: Vec<Value> = (0..count.div_ceil(4))
            .map(|number| {
                let mut ids = Ids::new(seed, &format!("reusable policy {number}"));
                let decision = if number % 6 == 5 { "deny" } else { "allow" };
                let mut policy = generated_policy(&mut ids, decision, number, source, groups, &at);
                policy["name"] = json!(format!("Shared policy {number}"));
                policy["reusable"] = json!(true);
                policy["app_count"] = json!(0);
                policy
            })
            .collect();
        let apps = (APPS.len()..APPS.len() + count)
            .map(|number| generated_app(seed, number, source, groups, &policies, &at))
            .collect();
        Self { policies, apps }
    }
}

fn generated_app(
    seed: u64,
    number: usize,
    source: &RuleSource<'_>,
    groups: &[Value],
    shared: &[Value],
    at: &str,
) -> Value {
    let mut ids = Ids::new(seed, &format!("app {number}"));
    // Some applications are open to a machine or a network before anyone is asked who they are.
    let mut held = match number % 9 {
        3 => vec!["bypass"],
        6 => vec!["non_identity"],
        _ => Vec::new(),
    };
    held.push("allow");
    held.extend((0..ids.below(3)).map(|_| "allow"));
    if !ids.once_in(3) {
        held.push("deny");
    }
    let mut used: Vec<&Value> = Vec::new();
    let mut policies: Vec<Value> = Vec::new();
    for decision in held {
        let fitting = shared
            .iter()
            .skip(number % shared.len())
            .find(|policy| policy["decision"] == decision && !used.contains(policy));
        match fitting {
            Some(policy) if ids.once_in(2) => {
                used.push(policy);
                policies.push(policy.clone());
            }
            _ => {
                let mut policy =
                    generated_policy(&mut ids, decision, number + policies.len(), source, groups, at);
                policy["name"] = json!(format!("App {number} {decision} {}", policies.len() + 1));
                policy["reusable"] = json!(false);
                policies.push(policy);
            }
        }
    }
    for (policy, precedence) in policies.iter_mut().zip(1..) {
        policy["precedence"] = json!(precedence);
    }
    let name = format!("App {number}");
    let (id, domain) = (app_id(&name), format!("app-{number}.{DOMAIN}"));
    let kind = *ids.pick(&["self_hosted", "self_hosted", "self_hosted", "saas", "ssh", "vnc"]);
    let allowed_idps = if ids.once_in(3) {
        json!([])
    } else {
        json!([Provider::Okta.id(), ids.pick(&Provider::ALL[1..]).id()])
    };
    json!({
        "id": id, "uid": id, "aud": hex32_of(&name).repeat(2), "name": name, "domain": domain, "type": kind,
        "session_duration": ids.pick(&["30m", "24h", "168h"]), "app_launcher_visible": true,
        "allowed_idps": allowed_idps, "auto_redirect_to_identity": false, "tags": [],
        "destinations": [{ "type": "public", "uri": domain }], "policies": policies,
        "created_at": at, "updated_at": at,
    })
}

/// An unnamed policy for people that its decision applies to.
fn generated_policy(
    ids: &mut Ids,
    decision: &str,
    kind: usize,
    source: &RuleSource<'_>,
    groups: &[Value],
    at: &str,
) -> Value {
    let group = |ids: &mut Ids| match groups {
        [] => json!({ "email_domain": { "domain": DOMAIN } }),
        groups => json!({ "group": { "id": ids.pick(groups)["id"] } }),
    };
    let include = match decision {
        "bypass" => vec![json!({ "ip": { "ip": format!("198.18.{}.0/24", ids.below(200)) } })],
        "non_identity" => {
            vec![json!({ "service_token": { "token_id": service_token_id("Nightly backup") } })]
        }
        "deny" if ids.once_in(2) => vec![json!({ "everyone": {} })],
        "deny" => vec![source.email(ids), source.email(ids)],
        _ => match kind % 5 {
            3 => vec![source.email(ids), source.email(ids), source.email(ids)],
            4 => vec![group(ids), source.special(ids, kind, groups)],
            _ => vec![group(ids)],
        },
    };
    let is_allow = decision == "allow";
    let exclude = if is_allow && kind % 7 == 2 {
        vec![source.email(ids)]
    } else {
        Vec::new()
    };
    let require = match kind % 6 {
        1 if is_allow => vec![json!({ "auth_method": { "auth_method": "mfa" } })],
        4 if is_allow => vec![json!({ "login_method": { "id": Provider::Okta.id() } })],
        _ => Vec::new(),
    };
    json!({
        "id": ids.uuid(), "name": "", "decision": decision, "include": include, "exclude": exclude,
        "require": require, "session_duration": "24h", "created_at": at, "updated_at": at,
    })
}
