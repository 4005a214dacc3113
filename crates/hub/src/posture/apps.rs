//! Checks of applications behind Access and their policies.

use super::check::{Check, Finding, Judged, Unknown};
use super::facts::{Facts, Known, Object, Policy};
use model::Severity;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The longest session that is fine, in hours.
const SESSION_HOURS_MAX: f64 = 24.0;
/// Applications that lead to something worth protecting. A bookmark, the launcher, enrolment and browser isolation
/// do not by themselves.
const LEADS_SOMEWHERE: [&str; 9] = [
    "self_hosted",
    "saas",
    "ssh",
    "vnc",
    "rdp",
    "infrastructure",
    "dash_sso",
    "mcp",
    "mcp_portal",
];
/// Those that lead to machines or to the dashboard itself.
const SENSITIVE: [&str; 5] = ["ssh", "vnc", "rdp", "infrastructure", "dash_sso"];
/// Selectors that a device has to meet.
const OF_DEVICES: [&str; 3] = ["device_posture", "certificate", "common_name"];

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "access_app_bypass_everyone",
        severity: Severity::Critical,
        question: "Does every application require sign-in (no Bypass policy for everyone)?",
        lists: &["apps", "policies", "access_groups"],
        besides: "",
        unknown: "Unknown for an application that references an unlisted policy, or a policy that \
             references an unlisted group.",
        remedy: "In Zero Trust > Access > Applications, remove the Bypass policy, or restrict it to the \
             path or network that must stay open.",
        command: None,
        terraform: Some("cloudflare_zero_trust_access_policy: decision = \"allow\""),
        frameworks: &[
            "SOC 2 CC6.1",
            "SOC 2 CC6.6",
            "ISO 27001 A.5.15",
            "ISO 27001 A.8.3",
            "CIS v8 6.7",
        ],
        ask: nothing_bypassed,
    },
    Check {
        id: "access_policy_allow_everyone",
        severity: Severity::Critical,
        question: "Does every Allow policy restrict who can sign in?",
        lists: &["apps", "policies", "access_groups"],
        besides: "",
        unknown: "Unknown for a policy that references an unlisted group.",
        remedy: "In Zero Trust > Access > Policies, include groups or domains instead of Everyone, or \
             add a Require rule. If no application uses the policy, the finding has medium severity.",
        command: None,
        terraform: Some("cloudflare_zero_trust_access_policy: include = [{ group = { id = \"…\" } }]"),
        frameworks: &[
            "SOC 2 CC6.1",
            "SOC 2 CC6.3",
            "ISO 27001 A.5.15",
            "ISO 27001 A.8.3",
            "CIS v8 6.7",
        ],
        ask: nobody_at_all,
    },
    Check {
        id: "idp_onetimepin_only_for_sensitive_app",
        severity: Severity::High,
        question: "Does every application allow a login method other than One-time PIN?",
        lists: &["apps", "identity_providers"],
        besides: "",
        unknown: "Unknown for an application that references an unlisted identity provider. Sensitive \
             applications are those of type ssh, vnc, rdp, infrastructure or dash_sso, and those tagged \
             \"sensitive\"; for other applications the finding has low severity.",
        remedy: "In Zero Trust > Access > Applications > Login methods, select your identity provider \
             instead of One-time PIN.",
        command: None,
        terraform: Some("cloudflare_zero_trust_access_application: allowed_idps = [\"…\"]"),
        frameworks: &["SOC 2 CC6.1", "ISO 27001 A.8.5", "CIS v8 6.3"],
        ask: more_than_a_pin,
    },
    Check {
        id: "app_session_over_24h",
        severity: Severity::Medium,
        question: "Are all application sessions limited to 24 hours or less?",
        lists: &["apps"],
        besides: "",
        unknown: "Unknown for an unreadable duration. An application without a duration has \
             Cloudflare's default of 24 hours.",
        remedy: "In Zero Trust > Access > Applications, shorten the session duration of the application \
             or the policy.",
        command: None,
        terraform: Some("cloudflare_zero_trust_access_application: session_duration = \"24h\""),
        frameworks: &["SOC 2 CC6.1", "ISO 27001 A.8.5"],
        ask: sessions_end,
    },
    Check {
        id: "app_no_posture_require",
        severity: Severity::Medium,
        question: "Does every application policy require a device check?",
        lists: &["apps", "policies", "access_groups"],
        besides: "",
        unknown: "Unknown for an application that references an unlisted policy or group. Device \
             posture checks, client certificates and certificate common names count as device checks, \
             also inside a required group.",
        remedy: "In Zero Trust > Access > Policies, require a device posture check or a client certificate.",
        command: None,
        terraform: Some(
            "cloudflare_zero_trust_access_policy: require = [{ device_posture = { integration_uid = \"…\" } }]",
        ),
        frameworks: &["SOC 2 CC6.6", "ISO 27001 A.8.1"],
        ask: devices_asked,
    },
    Check {
        id: "app_launcher_hidden_mismatch",
        severity: Severity::Low,
        question: "Does the App Launcher show all applications that people can open, and no others?",
        lists: &["apps", "policies"],
        besides: "",
        unknown: "Applications without `app_launcher_visible` are not checked.",
        remedy: "In Zero Trust > Access > Applications, hide applications that no one can access, and \
             show bookmarks: a hidden bookmark has no effect.",
        command: None,
        terraform: Some("cloudflare_zero_trust_access_application: app_launcher_visible"),
        frameworks: &[],
        ask: launcher_fits,
    },
];

fn kind(app: &Object) -> &str {
    app.raw["type"].as_str().unwrap_or_default()
}

fn missing(app: &Object, count: usize) -> String {
    format!("{} references {count} policies that are not listed", app.name)
}

fn nothing_bypassed(facts: &Facts) -> Result<Judged, Unknown> {
    facts.policies()?;
    facts.groups()?;
    let mut judged = Judged::default();
    for app in facts.apps()? {
        let (policies, unread) = facts.policies_of(app);
        let bypass = policies.iter().filter(|policy| policy.decision() == "bypass");
        let mut unknown = (unread > 0).then(|| missing(app, unread));
        let mut open = None;
        for policy in bypass {
            match facts.lets_everyone_in(policy.raw) {
                Ok(true) => open = Some(policy),
                Ok(false) => {}
                Err(Unknown(reason)) => unknown = Some(reason),
            }
        }
        match (open, unknown) {
            (Some(policy), _) => judged.found.push(
                Finding::new(
                    Severity::Critical,
                    "app",
                    &app.id,
                    &app.name,
                    format!("the policy \"{}\" admits everyone without sign-in", policy.name()),
                )
                .with("policy_id", policy.id())
                .with("domain", &app.raw["domain"])
                .with("type", kind(app)),
            ),
            (None, Some(reason)) => judged.unsure("app", &app.id, reason),
            (None, None) => {}
        }
    }
    Ok(judged)
}

fn nobody_at_all(facts: &Facts) -> Result<Judged, Unknown> {
    facts.groups()?;
    let mut judged = Judged::default();
    // A reusable policy is in every application that uses it: one finding for it, with all of them.
    let mut seen: BTreeMap<&str, (Policy<'_>, Vec<&str>)> = BTreeMap::new();
    for policy in facts.policies()? {
        seen.insert(&policy.id, (Policy { raw: &policy.raw }, Vec::new()));
    }
    for app in facts.apps()? {
        let (policies, unread) = facts.policies_of(app);
        if unread > 0 {
            judged.unsure("app", &app.id, missing(app, unread));
        }
        for policy in policies {
            let place = seen.entry(policy.id()).or_insert((policy, Vec::new()));
            place.1.push(&app.name);
        }
    }
    for (id, (policy, apps)) in seen {
        if policy.decision() != "allow" {
            continue;
        }
        match facts.lets_everyone_in(policy.raw) {
            Ok(false) => {}
            Ok(true) => {
                let (severity, summary) = if apps.is_empty() {
                    let words = "would admit everyone who can sign in; no application uses this policy";
                    (Severity::Medium, words.to_owned())
                } else {
                    let words = format!("admits everyone who can sign in to {}", apps.join(", "));
                    (Severity::Critical, words)
                };
                judged.found.push(
                    Finding::new(severity, "policy", id, policy.name(), summary).with("applications", apps),
                );
            }
            Err(Unknown(reason)) => judged.unsure("policy", id, reason),
        }
    }
    Ok(judged)
}

fn is_sensitive(app: &Object) -> bool {
    let tags = app.raw["tags"].as_array().into_iter().flatten();
    let mut tags = tags.filter_map(|tag| tag.as_str().or_else(|| tag["name"].as_str()));
    SENSITIVE.contains(&kind(app)) || tags.any(|tag| tag.eq_ignore_ascii_case("sensitive"))
}

fn more_than_a_pin(facts: &Facts) -> Result<Judged, Unknown> {
    let providers = facts.identity_providers()?;
    let kinds: BTreeMap<&str, &str> = providers
        .iter()
        .map(|provider| {
            (
                provider.id.as_str(),
                provider.raw["type"].as_str().unwrap_or_default(),
            )
        })
        .collect();
    let mut judged = Judged::default();
    for app in facts
        .apps()?
        .iter()
        .filter(|app| LEADS_SOMEWHERE.contains(&kind(app)))
    {
        let allowed = app.raw["allowed_idps"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let ids: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        // None named: all of the account.
        let ids = if ids.is_empty() {
            kinds.keys().copied().collect()
        } else {
            ids
        };
        let known: Option<BTreeSet<&str>> = ids.iter().map(|id| kinds.get(id).copied()).collect();
        let Some(methods) = known else {
            let reason = format!("{} references an identity provider that is not listed", app.name);
            judged.unsure("app", &app.id, reason);
            continue;
        };
        if methods.iter().copied().eq(["onetimepin"]) {
            let sensitive = is_sensitive(app);
            judged.found.push(
                Finding::new(
                    if sensitive { Severity::High } else { Severity::Low },
                    "app",
                    &app.id,
                    &app.name,
                    "One-time PIN is the only login method: anyone with access to the mailbox can sign in",
                )
                .with("type", kind(app))
                .with("sensitive", sensitive),
            );
        }
    }
    Ok(judged)
}

/// A duration as Cloudflare writes it, in hours.
///
/// Source: the form of durations of the Go language, which Cloudflare's API description names: `300ms`, `2h45m`.
fn hours(text: &str) -> Option<f64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    if rest == "0" {
        return Some(0.0);
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest
            .find(|letter: char| letter.is_ascii_digit())
            .unwrap_or(rest.len());
        total += number
            * match &rest[..end] {
                "h" => 1.0,
                "m" => 1.0 / 60.0,
                "s" => 1.0 / 3_600.0,
                "ms" => 1.0 / 3_600_000.0,
                "us" | "µs" => 1.0 / 3_600_000_000.0,
                "ns" => 1.0 / 3_600_000_000_000.0,
                _ => return None,
            };
        rest = &rest[end..];
    }
    Some(total)
}

fn sessions_end(facts: &Facts) -> Result<Judged, Unknown> {
    let mut judged = Judged::default();
    for app in facts
        .apps()?
        .iter()
        .filter(|app| LEADS_SOMEWHERE.contains(&kind(app)))
    {
        let of_app = app.raw["session_duration"].as_str();
        let (policies, _) = facts.policies_of(app);
        // What a policy says holds for those whom it lets in.
        let of_policies = policies
            .iter()
            .filter(|policy| policy.decision() == "allow")
            .filter_map(|policy| policy.raw["session_duration"].as_str());
        let given: Vec<&str> = of_app
            .into_iter()
            .chain(of_policies)
            .filter(|text| !text.is_empty())
            .collect();
        let mut longest: Option<(f64, &str)> = None;
        for text in given {
            match hours(text) {
                Some(hours) if longest.is_none_or(|(most, _)| hours > most) => longest = Some((hours, text)),
                Some(_) => {}
                None => judged.unsure(
                    "app",
                    &app.id,
                    format!("the session duration \"{text}\" of {} is invalid", app.name),
                ),
            }
        }
        if let Some((hours, text)) = longest.filter(|(hours, _)| *hours > SESSION_HOURS_MAX) {
            judged.found.push(
                Finding::new(
                    Severity::Medium,
                    "app",
                    &app.id,
                    &app.name,
                    format!("sessions can last {text}"),
                )
                .with("hours", hours),
            );
        }
    }
    // What is found is judged, whatever else of the application could not be read.
    let found: BTreeSet<String> = judged
        .found
        .iter()
        .map(|finding| finding.subject_id.clone())
        .collect();
    judged.unjudged.retain(|(_, id)| !found.contains(id));
    Ok(judged)
}

/// Whether the rules ask something of the device of everyone whom they let in.
fn asks_devices(facts: &Facts, rules: &Value, depth: usize) -> Known<bool> {
    /// Deeper groups are not followed.
    const DEPTH_MAX: usize = 16;
    if depth > DEPTH_MAX {
        return Err(Unknown("groups are nested too deeply to evaluate".to_owned()));
    }
    let mut unknown = None;
    let mut asks = |rule: &Value| {
        if OF_DEVICES.iter().any(|kind| rule.get(kind).is_some()) {
            return true;
        }
        let Some(id) = rule.pointer("/group/id").and_then(Value::as_str) else {
            return false;
        };
        match facts
            .group(id)
            .and_then(|group| asks_devices(facts, &group.raw, depth + 1))
        {
            Ok(asks) => asks,
            Err(reason) => {
                unknown = Some(reason);
                false
            }
        }
    };
    let list = |name: &str| rules[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let required = list("require").iter().any(&mut asks);
    let included = !list("include").is_empty() && list("include").iter().all(&mut asks);
    match unknown {
        _ if required || included => Ok(true),
        Some(unknown) => Err(unknown),
        None => Ok(false),
    }
}

fn devices_asked(facts: &Facts) -> Result<Judged, Unknown> {
    facts.policies()?;
    facts.groups()?;
    let mut judged = Judged::default();
    for app in facts
        .apps()?
        .iter()
        .filter(|app| LEADS_SOMEWHERE.contains(&kind(app)))
    {
        let (policies, unread) = facts.policies_of(app);
        let mut without = Vec::new();
        let mut unknown = (unread > 0).then(|| missing(app, unread));
        for policy in policies.iter().filter(|policy| policy.decision() == "allow") {
            match asks_devices(facts, policy.raw, 0) {
                Ok(true) => {}
                Ok(false) => without.push(policy.name()),
                Err(Unknown(reason)) => unknown = Some(reason),
            }
        }
        if !without.is_empty() {
            judged.found.push(
                Finding::new(
                    Severity::Medium,
                    "app",
                    &app.id,
                    &app.name,
                    format!("no device check required by {}", without.join(", ")),
                )
                .with("policies", without),
            );
        } else if let Some(reason) = unknown {
            judged.unsure("app", &app.id, reason);
        }
    }
    Ok(judged)
}

fn launcher_fits(facts: &Facts) -> Result<Judged, Unknown> {
    facts.policies()?;
    let mut judged = Judged::default();
    for app in facts.apps()? {
        let Some(is_shown) = app.raw["app_launcher_visible"].as_bool() else {
            continue;
        };
        let (policies, unread) = facts.policies_of(app);
        let is_open = policies
            .iter()
            .any(|policy| matches!(policy.decision(), "allow" | "bypass"));
        let summary = if kind(app) == "bookmark" {
            (!is_shown).then_some("a bookmark that is hidden in the App Launcher has no effect")
        } else if is_shown && LEADS_SOMEWHERE.contains(&kind(app)) && !is_open {
            if unread > 0 {
                judged.unsure("app", &app.id, missing(app, unread));
                continue;
            }
            Some("visible in the App Launcher, but no policy admits anyone")
        } else {
            None
        };
        if let Some(summary) = summary {
            judged.found.push(
                Finding::new(Severity::Low, "app", &app.id, &app.name, summary).with("type", kind(app)),
            );
        }
    }
    Ok(judged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_cloudflare_writes_them() {
        for (text, expected) in [
            ("24h", Some(24.0)),
            ("30m", Some(0.5)),
            ("2h45m", Some(2.75)),
            ("1.5h", Some(1.5)),
            ("0", Some(0.0)),
            ("0s", Some(0.0)),
            ("a day", None),
            ("24", None),
            ("", None),
            ("3d", None),
        ] {
            assert_eq!(hours(text), expected, "{text}");
        }
    }
}
