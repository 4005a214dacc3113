//! The lists of an account beside people, roles and Access groups: which there are, and what to show of each thing.
//!
//! Pure. What is secret was left out before ([`crate::redact`]).
//! Start reading at [`facts`].

use crate::access::rule;
use serde_json::Value;

/// Every list: the name that it is stored under, the name for command lines, and words for people.
pub const KINDS: &[(&str, &str, &str)] = &[
    ("apps", "apps", "applications"),
    ("policies", "policies", "Access policies"),
    ("identity_providers", "identity-providers", "identity providers"),
    ("service_tokens", "service-tokens", "service tokens"),
    ("account_tokens", "account-tokens", "account API tokens"),
    ("user_groups", "user-groups", "user groups of the account"),
    ("permission_groups", "permission-groups", "permission groups"),
    ("resource_groups", "resource-groups", "resource groups"),
    ("lists", "lists", "Zero Trust lists"),
    ("organization", "organization", "the Zero Trust organisation"),
    ("account", "account", "the account"),
];

/// What there is to show of a thing beside its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The kind of application or identity provider; the decision of a policy.
    pub kind: Option<String>,
    /// As Cloudflare says it: `active`, `expired`.
    pub status: Option<String>,
    /// When it ends, as Cloudflare writes it; `None` where it never does, or that is not known.
    pub expires_at: Option<String>,
    /// When it was last used, as Cloudflare writes it.
    pub last_used_at: Option<String>,
    /// What else: domain and policies, rules, permissions.
    pub detail: Vec<String>,
}

/// The name that a list is stored under: `service-tokens` is `service_tokens`.
pub fn kind_of(name: &str) -> Option<&'static str> {
    let name = name.trim().replace('-', "_");
    KINDS.iter().map(|(kind, ..)| *kind).find(|kind| *kind == name)
}

/// What to show of a thing.
pub fn facts(kind: &str, raw: &Value) -> Facts {
    let text = |name: &str| raw[name].as_str().map(str::to_owned);
    let mut facts = Facts {
        kind: text("type"),
        status: text("status"),
        expires_at: text("expires_at").or_else(|| text("expires_on")),
        last_used_at: text("last_seen_at").or_else(|| text("last_used_on")),
        detail: Vec::new(),
    };
    let each = |name: &str| raw[name].as_array().cloned().unwrap_or_default();
    match kind {
        "apps" => {
            facts.detail.extend(text("domain"));
            for policy in each("policies") {
                let said = |name: &str| policy[name].as_str().unwrap_or_default().to_owned();
                let name = match (said("name"), said("id")) {
                    (name, _) if !name.is_empty() => name,
                    (_, id) if !id.is_empty() => id,
                    _ => policy.as_str().unwrap_or_default().to_owned(),
                };
                facts
                    .detail
                    .push(format!("{} {name}", said("decision")).trim().to_owned());
            }
        }
        "policies" => {
            facts.kind = text("decision");
            facts.detail = rules_in_words(raw);
        }
        "service_tokens" => facts.detail.extend(text("client_id")),
        "account_tokens" | "user_groups" => facts.detail = policy_names(&raw["policies"]),
        "lists" => facts
            .detail
            .extend(raw["count"].as_u64().map(|count| format!("{count} values"))),
        _ => {}
    }
    facts
}

/// The rules of a group or policy in words, each with its list before it.
pub fn rules_in_words(raw: &Value) -> Vec<String> {
    let mut words = Vec::new();
    for list in ["include", "require", "exclude"] {
        for one in raw[list].as_array().into_iter().flatten() {
            words.push(format!("{list} {}", rule::in_words(one)));
        }
    }
    words
}

/// What policies of a member, user group or token allow, by the names of their permission groups.
pub fn policy_names(policies: &Value) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for policy in policies.as_array().into_iter().flatten() {
        let denies = policy["access"] == "deny" || policy["effect"] == "deny";
        for group in policy["permission_groups"].as_array().into_iter().flatten() {
            let Some(name) = group["name"].as_str().or_else(|| group["id"].as_str()) else {
                continue;
            };
            let name = if denies {
                format!("not {name}")
            } else {
                name.to_owned()
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_list_that_is_read_can_be_shown() {
        for list in cloudflare::LISTS {
            assert_eq!(kind_of(&list.kind.replace('_', "-")), Some(list.kind));
            assert_eq!(list.kind.parse::<model::ListKind>().unwrap().as_str(), list.kind);
        }
        assert_eq!(kind_of("list_items"), None);
    }

    #[test]
    fn an_application_shows_its_domain_and_policies() {
        let raw = json!({ "type": "self_hosted", "domain": "x.example", "policies": [
            { "id": "p", "name": "Staff", "decision": "allow" }, "q",
        ] });
        let facts = facts("apps", &raw);
        assert_eq!(facts.kind.as_deref(), Some("self_hosted"));
        assert_eq!(facts.detail, ["x.example", "allow Staff", "q"]);
    }
}
