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
        question: "Must every member of the account use a second factor?",
        lists: &["account"],
        besides: "",
        unknown: "An account whose settings do not say `enforce_twofactor` is unknown.",
        remedy: "Manage Account, Members: require two-factor authentication. Tell members first: whoever has none is \
                 locked out. Flareward never switches this by itself.",
        command: None,
        terraform: Some("cloudflare_account: settings = { enforce_twofactor = true }"),
        frameworks: &["SOC 2 CC6.1", "ISO 27001 A.8.5", "CIS v8 6.5"],
        ask: two_factor_enforced,
    },
    Check {
        id: "global_api_key_in_use",
        severity: Severity::Critical,
        question: "Does this connection do without a Global API Key?",
        lists: &[],
        besides: "the connection's own credential",
        unknown: "Never: the connection knows its credential. Keys that others use are not visible to Cloudflare's API.",
        remedy: "Make an account API token with only what `flareward doctor` lists, connect again under the same label, \
                 then My Profile, API Tokens: change the Global API Key.",
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
        question: "Was everything of this account read within two days?",
        lists: &[],
        besides: "the connection's history of syncs",
        unknown: "Never. While it does not hold, other answers may be old.",
        remedy: "Look why on the connection's page, then sync; a paused connection waits for a person to confirm.",
        command: Some("flareward sync --connection LABEL"),
        terraform: None,
        frameworks: &["SOC 2 CC7.2"],
        ask: connection_fresh,
    },
    Check {
        id: "scim_disabled_on_idp",
        severity: Severity::Medium,
        question: "Do identity providers that can tell Access who has left do so (SCIM)?",
        lists: &["identity_providers"],
        besides: "",
        unknown: "A provider without `scim_config` was never set up for it, which counts as off. Kinds that cannot \
                  push are not asked.",
        remedy: "Zero Trust, Settings, Authentication, the provider: enable SCIM, and set its endpoint and secret at \
                 the provider.",
        command: None,
        terraform: Some("cloudflare_zero_trust_access_identity_provider: scim_config = { enabled = true }"),
        frameworks: &["SOC 2 CC6.2", "ISO 27001 A.5.16", "CIS v8 5.6", "CIS v8 6.2"],
        ask: scim_enabled,
    },
    Check {
        id: "scim_seat_deprovision_off",
        severity: Severity::Medium,
        question: "Does a provider that pushes users by SCIM also free the seats of those who leave?",
        lists: &["identity_providers"],
        besides: "",
        unknown: "A provider with SCIM that does not say `seat_deprovision` cannot be judged.",
        remedy: "Zero Trust, Settings, Authentication, the provider: enable seat deprovisioning, which needs user \
                 deprovisioning.",
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
        question: "Was every Zero Trust list changed, or at least looked at, within a year?",
        lists: &["lists"],
        besides: "",
        unknown: "A list without `updated_at` cannot be judged. Entries with an end of their own are not visible.",
        remedy: "Zero Trust, My Team, Lists: take away what no longer belongs there, or delete the list. Mute the \
                 finding for a year when it is still right.",
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
                summary = format!("{summary}, and of {unknown} it is not known");
            }
            judged
                .found
                .push(Finding::new(check, "account", id, name, summary));
        }
        None => {
            return Err(Unknown(
                "Cloudflare does not say whether the account requires a second factor".to_owned(),
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
            "this connection signs its calls with a Global API Key, which may do all that its user may and never ends",
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
            Some(_) => format!("the last sync that read everything ended {days} days ago"),
            None => format!("no sync has read everything since it was connected {days} days ago"),
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
                    "SCIM is off: Access does not learn when someone leaves or changes groups",
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
                "someone who is deactivated at the provider keeps the seat, which is paid for",
            )),
            None => judged.unsure(
                "identity_provider",
                &provider.id,
                format!("{} does not say whether seats are freed", provider.name),
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
                        format!("nobody changed this list for {days} days"),
                    )
                    .with("updated_at", at)
                    .with("count", &list.raw["count"]),
                );
            }
            Some(_) => {}
            None => judged.unsure(
                "list",
                &list.id,
                format!("{} does not say when it was changed", list.name),
            ),
        }
    }
    Ok(judged)
}
