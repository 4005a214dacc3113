//! Checks of the account itself: its settings, its connection here, its identity providers, its lists.

use super::check::{Check, Finding, Judged, Unknown};
use super::facts::{Facts, time};
use chrono::TimeDelta;
use model::{CredentialKind, Severity};
use serde_json::Value;

/// A connection that was not read to its end for this long shows the past. Chosen: a weekend.
const STALE_AFTER: TimeDelta = TimeDelta::days(2);
/// A list that nobody touched for this long is looked at again. Chosen: a yearly review.
const LIST_STALE_AFTER: TimeDelta = TimeDelta::days(365);
/// Kinds of identity provider that can push users and groups by SCIM.
///
/// Source: Cloudflare's documentation of SCIM for Access: Okta, Entra ID, and generic SAML and OIDC.
const WITH_SCIM: [&str; 4] = ["okta", "azureAD", "saml", "oidc"];

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "acct_2fa_not_enforced",
        severity: Severity::Critical,
        question: "Does the account require a second factor for all members?",
        lists: &["account"],
        besides: "",
        unknown: "Unknown if the account settings do not contain `enforce_twofactor`.",
        remedy: "In Manage Account > Members, require two-factor authentication. Notify members first: \
             members without a second factor are locked out. Flareward never changes this setting.",
        command: None,
        terraform: Some("cloudflare_account: settings = { enforce_twofactor = true }"),
        frameworks: &["SOC 2 CC6.1", "ISO 27001 A.8.5", "CIS v8 6.5"],
        ask: two_factor_enforced,
    },
    Check {
        id: "global_api_key_in_use",
        severity: Severity::Critical,
        question: "Does this connection use an API token instead of a Global API Key?",
        lists: &[],
        besides: "the connection's own credential",
        unknown: "Covers only this connection's own credential. Cloudflare's API does not show Global \
             API Keys used elsewhere.",
        remedy: "Create an account API token with only the permissions that `flareward doctor` lists, \
             and connect again with the same label. Then change the Global API Key in My Profile > API \
             Tokens.",
        command: Some("flareward connect --label LABEL --token-file token.txt"),
        terraform: None,
        frameworks: &[
            "SOC 2 CC6.1",
            "SOC 2 CC6.3",
            "ISO 27001 A.5.17",
            "ISO 27001 A.8.2",
        ],
        ask: no_global_key,
    },
    Check {
        id: "connection_stale_2d",
        severity: Severity::Low,
        question: "Was the account fully synced within the last two days?",
        lists: &[],
        besides: "the connection's sync history",
        unknown: "Never unknown. While this check fails, the results of other checks may be outdated.",
        remedy: "Find the reason on the connection's page, then sync. If the connection is \
             paused, confirm the sync there or with `--confirm`.",
        command: Some("flareward sync --connection LABEL"),
        terraform: None,
        frameworks: &["SOC 2 CC7.2"],
        ask: connection_fresh,
    },
    Check {
        id: "scim_disabled_on_idp",
        severity: Severity::Medium,
        question: "Is SCIM enabled on every identity provider that supports it?",
        lists: &["identity_providers"],
        besides: "",
        unknown: "A provider without `scim_config` counts as disabled. Provider types without SCIM \
             support are not checked.",
        remedy: "In Zero Trust > Settings > Authentication, enable SCIM for the provider. Then enter \
             the endpoint and secret at the provider.",
        command: None,
        terraform: Some("cloudflare_zero_trust_access_identity_provider: scim_config = { enabled = true }"),
        frameworks: &["SOC 2 CC6.2", "ISO 27001 A.5.16", "CIS v8 5.6", "CIS v8 6.2"],
        ask: scim_enabled,
    },
    Check {
        id: "scim_seat_deprovision_off",
        severity: Severity::Medium,
        question: "Do identity providers with SCIM also free the seats of deactivated users?",
        lists: &["identity_providers"],
        besides: "",
        unknown: "Unknown for a SCIM provider without `seat_deprovision` in its settings.",
        remedy: "In Zero Trust > Settings > Authentication, enable seat deprovisioning for the \
             provider. It requires user deprovisioning.",
        command: Some("flareward access-users list --connection LABEL"),
        terraform: Some(
            "cloudflare_zero_trust_access_identity_provider: scim_config = { enabled = true, user_deprovision = true, \
             seat_deprovision = true }",
        ),
        frameworks: &["SOC 2 CC6.2", "ISO 27001 A.5.18"],
        ask: seats_deprovisioned,
    },
    Check {
        id: "gateway_list_stale_ttl",
        severity: Severity::Low,
        question: "Was every Zero Trust list changed or reviewed within the last year?",
        lists: &["lists"],
        besides: "",
        unknown: "Unknown for a list without `updated_at`. The expiry of single entries is not visible.",
        remedy: "In Zero Trust > My Team > Lists, remove outdated entries or delete the list. If the \
             list is still correct, mute the finding for a year.",
        command: Some("flareward posture mute FINDING --reason reviewed --for 365d"),
        terraform: Some("cloudflare_zero_trust_list: items"),
        frameworks: &["SOC 2 CC6.3", "ISO 27001 A.5.18"],
        ask: lists_fresh,
    },
];

fn two_factor_enforced(facts: &Facts) -> Result<Judged, Unknown> {
    let check = Severity::Critical;
    let account = facts.account.as_ref().map_err(Clone::clone)?;
    let mut judged = Judged::default();
    let (id, name) = (&facts.connection.account_id, &facts.connection.account_name);
    match account
        .pointer("/settings/enforce_twofactor")
        .and_then(Value::as_bool)
    {
        Some(true) => {}
        Some(false) => {
            let members = facts.members.as_deref().unwrap_or_default();
            let without = members
                .iter()
                .filter(|member| member.two_factor == Some(false))
                .count();
            let unknown = members
                .iter()
                .filter(|member| member.two_factor.is_none() && member.status == "accepted")
                .count();
            let mut summary = "the account does not require a second factor".to_owned();
            if facts.members.is_ok() {
                summary = format!("{summary}; {without} members have none");
            }
            if unknown > 0 {
                summary = format!("{summary}; for {unknown} members it is unknown");
            }
            judged
                .found
                .push(Finding::new(check, "account", id, name, summary));
        }
        None => {
            return Err(Unknown(
                "Cloudflare does not report whether the account requires a second factor".to_owned(),
            ));
        }
    }
    Ok(judged)
}

fn no_global_key(facts: &Facts) -> Result<Judged, Unknown> {
    let mut judged = Judged::default();
    if facts.connection.credential_kind == CredentialKind::GlobalKey {
        judged.found.push(Finding::new(
            Severity::Critical,
            "connection",
            facts.connection.id.as_str(),
            &facts.connection.label,
            "this connection uses a Global API Key, which has all permissions of its user and never expires",
        ));
    }
    Ok(judged)
}

fn connection_fresh(facts: &Facts) -> Result<Judged, Unknown> {
    let connection = &facts.connection;
    let mut judged = Judged::default();
    let since = connection.synced_at.unwrap_or(connection.created_at);
    if facts.now - since > STALE_AFTER {
        let days = (facts.now - since).num_days();
        let summary = match connection.synced_at {
            Some(_) => format!("the last complete sync ended {days} days ago"),
            None => format!("no complete sync since the account was connected {days} days ago"),
        };
        judged.found.push(
            Finding::new(
                Severity::Low,
                "connection",
                connection.id.as_str(),
                &connection.label,
                summary,
            )
            .with("synced_at", connection.synced_at)
            .with("state_reason", &connection.state_reason),
        );
    }
    Ok(judged)
}

fn scim_enabled(facts: &Facts) -> Result<Judged, Unknown> {
    let mut judged = Judged::default();
    for provider in facts.identity_providers()? {
        let kind = provider.raw["type"].as_str().unwrap_or_default();
        if WITH_SCIM.contains(&kind) && provider.raw.pointer("/scim_config/enabled") != Some(&true.into()) {
            judged.found.push(
                Finding::new(
                    Severity::Medium,
                    "identity_provider",
                    &provider.id,
                    &provider.name,
                    "SCIM is disabled: Access is not notified when someone leaves or changes groups",
                )
                .with("type", kind),
            );
        }
    }
    Ok(judged)
}

fn seats_deprovisioned(facts: &Facts) -> Result<Judged, Unknown> {
    let mut judged = Judged::default();
    for provider in facts.identity_providers()? {
        let scim = &provider.raw["scim_config"];
        if scim["enabled"] != true {
            continue;
        }
        match scim["seat_deprovision"].as_bool() {
            Some(true) => {}
            Some(false) => judged.found.push(Finding::new(
                Severity::Medium,
                "identity_provider",
                &provider.id,
                &provider.name,
                "users who are deactivated at the provider keep their paid seat",
            )),
            None => judged.unsure(
                "identity_provider",
                &provider.id,
                format!(
                    "the settings of {} do not show whether seats are freed",
                    provider.name
                ),
            ),
        }
    }
    Ok(judged)
}

fn lists_fresh(facts: &Facts) -> Result<Judged, Unknown> {
    let mut judged = Judged::default();
    for list in facts.lists()? {
        match time(&list.raw, "updated_at") {
            Some(at) if facts.now - at > LIST_STALE_AFTER => {
                let days = (facts.now - at).num_days();
                judged.found.push(
                    Finding::new(
                        Severity::Low,
                        "list",
                        &list.id,
                        &list.name,
                        format!("this list was last changed {days} days ago"),
                    )
                    .with("updated_at", at)
                    .with("count", &list.raw["count"]),
                );
            }
            Some(_) => {}
            None => judged.unsure(
                "list",
                &list.id,
                format!("the last change of {} is unknown", list.name),
            ),
        }
    }
    Ok(judged)
}
