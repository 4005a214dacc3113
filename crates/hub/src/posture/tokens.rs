//! Checks of credentials of machines: API tokens of the account, service tokens of Access.

use super::check::{Check, Finding, Judged, Unknown};
use super::facts::{Facts, Object, time};
use chrono::{DateTime, TimeDelta, Utc};
use model::Severity;

/// How long a token may lie unused.
const UNUSED_AFTER: TimeDelta = TimeDelta::days(90);
/// How long before its end a token is named.
const EXPIRING_WITHIN: TimeDelta = TimeDelta::days(14);

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "token_no_expiry_write",
        severity: Severity::High,
        question: "Does every account API token with write permissions expire?",
        lists: &["account_tokens"],
        besides: "permission groups, for names missing in tokens",
        unknown: "Unknown for a permission group without a known name. User tokens are not listed.",
        remedy: "In Manage Account > Account API Tokens, set a TTL, or replace the token with a \
             read-only one.",
        command: None,
        terraform: Some("cloudflare_account_token: expires_on = \"…\""),
        frameworks: &["SOC 2 CC6.1", "ISO 27001 A.5.17", "CIS v8 5.5"],
        ask: writing_tokens_end,
    },
    Check {
        id: "token_unused_90d",
        severity: Severity::High,
        question: "Was every account API token used within the last 90 days?",
        lists: &["account_tokens"],
        besides: "",
        unknown: "Unknown for a token that has neither a last-used date nor a creation date.",
        remedy: "In Manage Account > Account API Tokens, disable the token for a while, then delete it.",
        command: None,
        terraform: Some("cloudflare_account_token"),
        frameworks: &["SOC 2 CC6.3", "ISO 27001 A.5.18", "CIS v8 5.5"],
        ask: tokens_used,
    },
    Check {
        id: "token_expiring_14d",
        severity: Severity::High,
        question: "Is every account API token valid for more than 14 days?",
        lists: &["account_tokens"],
        besides: "",
        unknown: "A token without an expiry passes. Unknown for a token with an unreadable expiry.",
        remedy: "In Manage Account > Account API Tokens, roll the token and update the clients that use it.",
        command: None,
        terraform: Some("cloudflare_account_token: expires_on = \"…\""),
        frameworks: &["ISO 27001 A.5.17"],
        ask: tokens_last,
    },
    Check {
        id: "service_token_expiring",
        severity: Severity::High,
        question: "Is every service token valid for more than 14 days?",
        lists: &["service_tokens"],
        besides: "",
        unknown: "Service tokens without an expiry are covered by `service_token_duration_forever`. \
             Unknown for a service token with an unreadable expiry.",
        remedy: "In Zero Trust > Access > Service auth, refresh the token (its secret stays the same), \
             or rotate it.",
        command: None,
        terraform: Some("cloudflare_zero_trust_access_service_token: duration"),
        frameworks: &["ISO 27001 A.5.17"],
        ask: service_tokens_last,
    },
    Check {
        id: "service_token_duration_forever",
        severity: Severity::High,
        question: "Does every service token expire?",
        lists: &["service_tokens"],
        besides: "",
        unknown: "Unknown for a service token that has neither a duration nor an expiry.",
        remedy: "In Zero Trust > Access > Service auth, set a duration of one year or less, and rotate \
             the token.",
        command: None,
        terraform: Some("cloudflare_zero_trust_access_service_token: duration = \"8760h\""),
        frameworks: &["SOC 2 CC6.1", "ISO 27001 A.5.17", "CIS v8 5.5"],
        ask: service_tokens_end,
    },
];

/// Tokens that are not disabled or over.
fn live(facts: &Facts) -> Result<impl Iterator<Item = &Object>, Unknown> {
    let now = facts.now;
    Ok(facts.account_tokens()?.iter().filter(move |token| {
        let is_over = time(&token.raw, "expires_on").is_some_and(|end| end <= now);
        let is_off = matches!(token.raw["status"].as_str(), Some("disabled" | "expired"));
        !is_over && !is_off
    }))
}

/// The permission groups of a token that let it change something; `Err` names one that is not known.
fn writing(facts: &Facts, token: &Object) -> Result<Vec<String>, Unknown> {
    let mut names = Vec::new();
    let mut unknown = None;
    let groups = token.raw["policies"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|policy| policy["effect"] != "deny")
        .filter_map(|policy| policy["permission_groups"].as_array())
        .flatten();
    for group in groups {
        let id = group["id"].as_str().unwrap_or_default();
        let listed = facts
            .permission_groups
            .iter()
            .flatten()
            .find(|known| known.id == id);
        let name = group["name"]
            .as_str()
            .or_else(|| listed.map(|group| group.name.as_str()))
            .filter(|name| !name.is_empty());
        match name {
            // Cloudflare's names of permission groups end in what they allow; "Read" alone changes nothing.
            Some(name) if name.ends_with("Read") => {}
            Some(name) => names.push(name.to_owned()),
            None => {
                unknown = Some(Unknown(format!(
                    "the permissions of the permission group {id} are unknown"
                )));
            }
        }
    }
    match unknown {
        Some(unknown) if names.is_empty() => Err(unknown),
        _ => Ok(names),
    }
}

fn writing_tokens_end(facts: &Facts) -> Result<Judged, Unknown> {
    let mut judged = Judged::default();
    for token in live(facts)? {
        if !token.raw["expires_on"].is_null() {
            continue;
        }
        match writing(facts, token) {
            Ok(names) if names.is_empty() => {}
            Ok(names) => {
                let first = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
                judged.found.push(
                    Finding::new(
                        Severity::High,
                        "account_token",
                        &token.id,
                        &token.name,
                        format!("never expires and has write permissions: {first}"),
                    )
                    .with("permission_groups", names),
                );
            }
            Err(Unknown(reason)) => judged.unsure("account_token", &token.id, reason),
        }
    }
    Ok(judged)
}

fn tokens_used(facts: &Facts) -> Result<Judged, Unknown> {
    let mut judged = Judged::default();
    for token in live(facts)? {
        let (used, made) = (time(&token.raw, "last_used_on"), time(&token.raw, "issued_on"));
        let Some(since) = used.or(made) else {
            let reason = format!("the last use and creation date of {} are unknown", token.name);
            judged.unsure("account_token", &token.id, reason);
            continue;
        };
        if facts.now - since > UNUSED_AFTER {
            let days = (facts.now - since).num_days();
            let summary = match used {
                Some(_) => format!("last used {days} days ago"),
                None => format!("never used since it was created {days} days ago"),
            };
            judged.found.push(
                Finding::new(Severity::High, "account_token", &token.id, &token.name, summary)
                    .with("last_used_on", used)
                    .with("issued_on", made),
            );
        }
    }
    Ok(judged)
}

/// Judges when a thing ends.
fn ends_soon(facts: &Facts, judged: &mut Judged, kind: &'static str, thing: &Object, member: &str) {
    if thing.raw[member].is_null() {
        return;
    }
    let Some(end) = time(&thing.raw, member) else {
        judged.unsure(
            kind,
            &thing.id,
            format!("the expiry of {} is invalid", thing.name),
        );
        return;
    };
    if end > facts.now && end - facts.now <= EXPIRING_WITHIN {
        judged.found.push(
            Finding::new(
                Severity::High,
                kind,
                &thing.id,
                &thing.name,
                format!("expires on {}, {}", end.format("%Y-%m-%d"), left(end, facts.now)),
            )
            .with(member, end),
        );
    }
}

fn left(end: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match (end - now).num_days() {
        0 => "in less than a day".to_owned(),
        1 => "in a day".to_owned(),
        days => format!("in {days} days"),
    }
}

fn tokens_last(facts: &Facts) -> Result<Judged, Unknown> {
    let mut judged = Judged::default();
    for token in live(facts)? {
        ends_soon(facts, &mut judged, "account_token", token, "expires_on");
    }
    Ok(judged)
}

fn service_tokens_last(facts: &Facts) -> Result<Judged, Unknown> {
    let mut judged = Judged::default();
    for token in facts.service_tokens()? {
        ends_soon(facts, &mut judged, "service_token", token, "expires_at");
    }
    Ok(judged)
}

fn service_tokens_end(facts: &Facts) -> Result<Judged, Unknown> {
    let mut judged = Judged::default();
    for token in facts.service_tokens()? {
        let is_forever = token.raw["duration"] == "forever";
        let has_end = !token.raw["expires_at"].is_null() || token.raw["duration"].is_string();
        if is_forever {
            judged.found.push(
                Finding::new(
                    Severity::High,
                    "service_token",
                    &token.id,
                    &token.name,
                    "its duration is \"forever\": anyone with a copy keeps access until the token is revoked",
                )
                .with("last_seen_at", &token.raw["last_seen_at"]),
            );
        } else if !has_end {
            let reason = format!("{} has neither a duration nor an expiry", token.name);
            judged.unsure("service_token", &token.id, reason);
        }
    }
    Ok(judged)
}
