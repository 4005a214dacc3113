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
        question: "Does every application ask at least someone who they are?",
        lists: &["apps", "policies", "access_groups"],
        besides: "",
        unknown: "An application that names a policy, or a policy that names a group, which is not listed cannot be \
                  judged.",
        remedy: "Zero Trust, Access, Applications: take the Bypass policy away, or narrow it to the path or network \
                 that must stay open.",
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
        question: "Does every Allow policy say who may enter?",
        lists: &["apps", "policies", "access_groups"],
        besides: "",
        unknown: "A policy that names a group which is not listed cannot be judged.",
        remedy: "Zero Trust, Access, Policies: include groups or domains in place of Everyone, or require something. \
                 A policy that no application uses is a medium finding.",
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
        question: "Can people log in to every application by more than a code sent by mail?",
        lists: &["apps", "identity_providers"],
        besides: "",
        unknown: "An application that names an identity provider which is not listed cannot be judged. Sensitive are \
                  ssh, vnc, rdp, infrastructure and dash_sso, and what carries a tag \"sensitive\"; others are low \
                  findings.",
        remedy: "Zero Trust, Access, Applications, Login methods: choose your identity provider in place of One-time PIN.",
        command: None,
        terraform: Some("cloudflare_zero_trust_access_application: allowed_idps = [\"…\"]"),
        frameworks: &["SOC 2 CC6.1", "ISO 27001 A.8.5", "CIS v8 6.3"],
        ask: more_than_a_pin,
    },
    Check {
        id: "app_session_over_24h",
        severity: Severity::Medium,
        question: "Does every session with an application end within 24 hours?",
        lists: &["apps"],
        besides: "",
        unknown: "A duration that cannot be read cannot be judged. Where an application says none, Cloudflare's \
                  default of 24 hours holds.",
        remedy: "Zero Trust, Access, Applications: shorten the session of the application or of the policy.",
        command: None,
        terraform: Some("cloudflare_zero_trust_access_application: session_duration = \"24h\""),
        frameworks: &["SOC 2 CC6.1", "ISO 27001 A.8.5"],
        ask: sessions_end,
    },
    Check {
        id: "app_no_posture_require",
        severity: Severity::Medium,
        question: "Does every way into an application ask something of the device?",
        lists: &["apps", "policies", "access_groups"],
        besides: "",
        unknown: "An application that names a policy or a group which is not listed cannot be judged. A device posture \
                  check, a client certificate or its name count, also inside a required group.",
        remedy: "Zero Trust, Access, Policies: require a device posture check or a client certificate.",
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
        question: "Does the App Launcher show what people can open, and only that?",
        lists: &["apps", "policies"],
        besides: "",
        unknown: "An application that does not say whether it is shown is not judged.",
        remedy: "Zero Trust, Access, Applications: hide what nobody is let into, and show bookmarks, which are nothing \
                 but a tile.",
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
    format!("{} names {count} policies that are not listed", app.name)
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
                    format!(
                        "the policy \"{}\" lets everyone past without asking who they are",
                        policy.name()
                    ),
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
                    let words = "would let in everyone who can log in; no application uses it";
                    (Severity::Medium, words.to_owned())
                } else {
                    let words = format!("lets everyone who can log in at all into {}", apps.join(", "));
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
            let reason = format!("{} names an identity provider that is not listed", app.name);
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
                    "whoever reads the mailbox gets in: a code by mail is the only way to log in",
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
                    format!("the session duration \"{text}\" of {} cannot be read", app.name),
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
                    format!("a session may last {text}"),
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
        return Err(Unknown("groups are nested too deep to follow".to_owned()));
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
                    format!("any device will do by {}", without.join(", ")),
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
            (!is_shown).then_some("a bookmark that the App Launcher hides is of no use to anyone")
        } else if is_shown && LEADS_SOMEWHERE.contains(&kind(app)) && !is_open {
            if unread > 0 {
                judged.unsure("app", &app.id, missing(app, unread));
                continue;
            }
            Some("the App Launcher shows it, and no policy lets anyone in")
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
