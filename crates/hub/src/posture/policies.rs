//! Checks of what policies ask: rules that can never hold where they stand.

use super::check::{Check, Finding, Judged, Unknown};
use super::facts::{Facts, Policy};
use crate::access::rule::{Selector, in_words};
use model::Severity;
use serde_json::Value;
use std::collections::BTreeMap;

pub(super) const CHECKS: &[Check] = &[Check {
    id: "access_rule_never_holds",
    severity: Severity::Medium,
    question: "Can every policy rule take effect?",
    lists: &["apps", "policies"],
    besides: "",
    unknown: "Unknown for an application that references an unlisted policy. Rules inside Access groups \
         are not checked.",
    remedy: "In Zero Trust > Access > Policies: move service tokens to a Service Auth policy; move \
         rules about people to an Allow policy, because Bypass and Service Auth are evaluated before \
         sign-in; allow the login method in the application, or remove the rule.",
    command: None,
    terraform: Some("cloudflare_zero_trust_access_policy: decision = \"non_identity\" for service tokens"),
    frameworks: &["SOC 2 CC6.1", "ISO 27001 A.5.15", "ISO 27001 A.8.3"],
    ask: rules_can_hold,
}];

/// Why a rule of a policy can never hold there, whoever comes.
fn never(policy: Policy<'_>, allowed_idps: &[String], selector: &Selector) -> Option<&'static str> {
    match policy.decision() {
        "allow" | "deny" if matches!(selector, Selector::ServiceToken(_)) => {
            Some("a service token never matches in a policy that requires people to sign in")
        }
        "bypass" if selector.asks_identity() => {
            Some("Bypass policies are evaluated before sign-in, so identity rules never match")
        }
        "non_identity" if selector.asks_identity() => {
            Some("Service Auth policies do not require sign-in, so identity rules never match")
        }
        _ => {
            let provider = selector.provider()?;
            let is_shut = !allowed_idps.is_empty() && !allowed_idps.iter().any(|allowed| allowed == provider);
            is_shut.then_some("the application does not allow the identity provider that the rule requires")
        }
    }
}

fn rules_can_hold(facts: &Facts) -> Result<Judged, Unknown> {
    facts.policies()?;
    let mut judged = Judged::default();
    // A reusable policy is in every application that uses it: one finding for it.
    let mut found: BTreeMap<String, (String, Vec<String>, Vec<String>)> = BTreeMap::new();
    for app in facts.apps()? {
        let (policies, unread) = facts.policies_of(app);
        if unread > 0 {
            judged.unsure(
                "app",
                &app.id,
                format!("{} has policies that are not listed", app.name),
            );
        }
        let allowed: Vec<String> = app.raw["allowed_idps"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_lowercase)
            .collect();
        for policy in policies {
            for list in ["include", "require", "exclude"] {
                for rule in policy.raw[list].as_array().into_iter().flatten() {
                    let Some(why) = never(policy, &allowed, &Selector::read(rule)) else {
                        continue;
                    };
                    let entry = found
                        .entry(policy.id().to_owned())
                        .or_insert_with(|| (policy.name().to_owned(), Vec::new(), Vec::new()));
                    let words = format!("{list} {}: {why}", in_words(rule));
                    if !entry.1.contains(&words) {
                        entry.1.push(words);
                    }
                    if !entry.2.contains(&app.name) {
                        entry.2.push(app.name.clone());
                    }
                }
            }
        }
    }
    for (id, (name, rules, apps)) in found {
        let summary = format!("has rules that never match: {}", rules.join("; "));
        judged.found.push(
            Finding::new(Severity::Medium, "policy", &id, &name, summary)
                .with("rules", rules)
                .with("applications", apps),
        );
    }
    Ok(judged)
}
