//! Checks of risk: people at high risk whom nobody has looked at, and who is told of it.

use super::check::{Check, Finding, Judged, Unknown};
use super::facts::Facts;
use chrono::TimeDelta;
use model::Severity;

/// How long someone may stand at high risk before that is a finding. Chosen: a weekend and a day.
const REVIEW_WITHIN: TimeDelta = TimeDelta::days(3);

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "risk_high_unreviewed",
        severity: Severity::High,
        question: "Is everyone at high risk looked at within three days?",
        lists: &["members", "access_users"],
        besides: "the levels that Flareward keeps",
        unknown: "A level without a time cannot be judged. Cloudflare's own scores are not looked at.",
        remedy: "Open the person's page, look at the detections, and take the level back with the reason.",
        command: Some("flareward risk reset --person ADDRESS --reason reviewed"),
        terraform: None,
        frameworks: &["SOC 2 CC7.3", "ISO 27001 A.8.16"],
        ask: high_risk_reviewed,
    },
    Check {
        id: "risk_integration_inactive",
        severity: Severity::Medium,
        question: "Is every risk score integration at work?",
        lists: &[],
        besides: "the integrations that Flareward keeps for the account",
        unknown: "Never. Integrations that were made at Cloudflare itself are not read.",
        remedy: "Make it active again, or delete it; where the receiver refuses, put right there what it names.",
        command: None,
        terraform: Some("cloudflare_zero_trust_risk_scoring_integration: active = true"),
        frameworks: &["SOC 2 CC7.2", "ISO 27001 A.8.16"],
        ask: integrations_at_work,
    },
    Check {
        id: "reference_idp_missing",
        severity: Severity::Medium,
        question: "Does every risk score integration name an Okta identity provider of the account?",
        lists: &["identity_providers"],
        besides: "the integrations that Flareward keeps for the account",
        unknown: "Nothing beyond the list.",
        remedy: "Set `reference_id` to the id of the Okta provider (Zero Trust, Settings, Authentication).",
        command: None,
        terraform: Some("cloudflare_zero_trust_risk_scoring_integration: reference_id"),
        frameworks: &[],
        ask: references_known,
    },
];

fn high_risk_reviewed(facts: &Facts) -> Result<Judged, Unknown> {
    // Without both lists it is not known who belongs to this account.
    facts.members()?;
    facts.access_users()?;
    let mut judged = Judged::default();
    for person in &facts.high_risk {
        match person.since {
            Some(since) if facts.now - since > REVIEW_WITHIN => {
                let days = (facts.now - since).num_days();
                judged.found.push(
                    Finding::new(
                        Severity::High,
                        "person",
                        &person.person_id,
                        &person.email,
                        format!("at high risk for {days} days, and nobody has taken the level back"),
                    )
                    .with("since", since),
                );
            }
            Some(_) => {}
            None => judged.unsure(
                "person",
                &person.person_id,
                "since when someone is at high risk is not known",
            ),
        }
    }
    Ok(judged)
}

fn integrations_at_work(facts: &Facts) -> Result<Judged, Unknown> {
    let mut judged = Judged::default();
    for integration in &facts.integrations {
        let summary = match (&integration.suspended_reason, integration.active) {
            (_, false) => "switched off: the receiver is not told of risk".to_owned(),
            (Some(reason), true) => format!("suspended, and what waits is not sent: {reason}"),
            (None, true) => continue,
        };
        judged.found.push(Finding::new(
            Severity::Medium,
            "integration",
            &integration.id,
            &integration.tenant_url,
            summary,
        ));
    }
    Ok(judged)
}

fn references_known(facts: &Facts) -> Result<Judged, Unknown> {
    let mut judged = Judged::default();
    let providers = facts.identity_providers()?;
    for integration in &facts.integrations {
        let summary = match &integration.reference_id {
            None => "names no identity provider".to_owned(),
            Some(id) => match providers.iter().find(|provider| provider.id == *id) {
                Some(provider) if provider.raw["type"] == "okta" => continue,
                Some(provider) => format!("names {}, which is not Okta", provider.name),
                None => format!("names {id}, which is no identity provider of the account"),
            },
        };
        judged.found.push(
            Finding::new(
                Severity::Medium,
                "integration",
                &integration.id,
                &integration.tenant_url,
                summary,
            )
            .with("reference_id", &integration.reference_id),
        );
    }
    Ok(judged)
}
