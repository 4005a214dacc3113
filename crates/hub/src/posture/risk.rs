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
        question: "Is every person at high risk reviewed within three days?",
        lists: &["members", "access_users"],
        besides: "Flareward's risk levels",
        unknown: "Unknown if it is not stored when the level became high. Cloudflare's own scores are not \
             checked.",
        remedy: "Open the person's page, review the detections, and reset the risk level with a reason.",
        command: Some("flareward risk reset --person ADDRESS --reason reviewed"),
        terraform: None,
        frameworks: &["SOC 2 CC7.3", "ISO 27001 A.8.16"],
        ask: high_risk_reviewed,
    },
    Check {
        id: "risk_integration_inactive",
        severity: Severity::Medium,
        question: "Is every risk score integration active?",
        lists: &[],
        besides: "the account's risk score integrations in Flareward",
        unknown: "Never unknown. Integrations created in Cloudflare itself are not checked.",
        remedy: "Activate or delete the integration. If the receiver rejects signals, fix the problem \
             that it reports.",
        command: None,
        terraform: Some("cloudflare_zero_trust_risk_scoring_integration: active = true"),
        frameworks: &["SOC 2 CC7.2", "ISO 27001 A.8.16"],
        ask: integrations_at_work,
    },
    Check {
        id: "reference_idp_missing",
        severity: Severity::Medium,
        question: "Does every risk score integration reference an Okta identity provider of the account?",
        lists: &["identity_providers"],
        besides: "the account's risk score integrations in Flareward",
        unknown: "Unknown only if the list cannot be read.",
        remedy: "Set `reference_id` to the ID of the Okta provider (Zero Trust > Settings > Authentication).",
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
                        format!("at high risk for {days} days without a reset"),
                    )
                    .with("since", since),
                );
            }
            Some(_) => {}
            None => judged.unsure(
                "person",
                &person.person_id,
                "it is unknown when the risk level became high",
            ),
        }
    }
    Ok(judged)
}

fn integrations_at_work(facts: &Facts) -> Result<Judged, Unknown> {
    let mut judged = Judged::default();
    for integration in &facts.integrations {
        let summary = match (&integration.suspended_reason, integration.active) {
            (_, false) => "disabled: the receiver gets no risk signals".to_owned(),
            (Some(reason), true) => format!("suspended, pending signals are not sent: {reason}"),
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
            None => "references no identity provider".to_owned(),
            Some(id) => match providers.iter().find(|provider| provider.id == *id) {
                Some(provider) if provider.raw["type"] == "okta" => continue,
                Some(provider) => format!("references {}, which is not an Okta provider", provider.name),
                None => format!("references {id}, which is not an identity provider of the account"),
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
