//! Checks of those who may log in to the dashboard.

use super::check::{Check, Finding, Judged, Unknown};
use super::facts::{Facts, Member, domain, own_domains};
use crate::access::dashboard::{Form, Standing};
use chrono::TimeDelta;
use model::Severity;
use std::collections::BTreeSet;

/// Source: the catalogues that other products check Google and Entra administrators with: two to four.
const SUPER_ADMINISTRATORS_MAX: usize = 4;
/// How long an invitation may wait.
const PENDING_MAX: TimeDelta = TimeDelta::days(7);
/// How long a member may do nothing.
const INACTIVE_AFTER: TimeDelta = TimeDelta::days(90);

const SSO: &str = "If Cloudflare does not report whether a member has a second factor, the member is \
     unknown and counted in the evidence. Members admitted by an application of type dash_sso sign in \
     at the identity provider, which handles the second factor: they are counted separately and are \
     not findings. If the list of applications cannot be read, these members cannot be distinguished, \
     and the evidence says so.";

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "superadmin_without_2fa",
        severity: Severity::Critical,
        question: "Does every Super Administrator have a second factor?",
        lists: &["members"],
        besides: "applications of type dash_sso, if readable",
        unknown: SSO,
        remedy: "Ask the member to enable it in My Profile > Authentication, or revoke the role until \
             they have done so.",
        command: Some(
            "flareward revoke --person ADDRESS --role \"Super Administrator\" --connection LABEL --plan",
        ),
        terraform: None,
        frameworks: &["SOC 2 CC6.1", "ISO 27001 A.8.2", "ISO 27001 A.8.5", "CIS v8 6.5"],
        ask: super_administrators_with_second_factor,
    },
    Check {
        id: "member_2fa_off",
        severity: Severity::High,
        question: "Does every other member have a second factor?",
        lists: &["members"],
        besides: "applications of type dash_sso, if readable",
        unknown: SSO,
        remedy: "Ask the member to enable it in My Profile > Authentication. To enforce it, require \
             two-factor authentication for the account.",
        command: None,
        terraform: None,
        frameworks: &["SOC 2 CC6.1", "ISO 27001 A.8.5", "CIS v8 6.5"],
        ask: members_with_second_factor,
    },
    Check {
        id: "superadmin_count",
        severity: Severity::High,
        question: "Are there at most four Super Administrators?",
        lists: &["members"],
        besides: "user groups, if readable",
        unknown: "If user groups cannot be read, a count below five is only a lower bound and the \
             result is unknown.",
        remedy: "In Manage Account > Members, give people who do not need full access a narrower role.",
        command: Some("flareward grants list --kind role --connection LABEL"),
        terraform: Some("cloudflare_account_member: roles"),
        frameworks: &["SOC 2 CC6.3", "ISO 27001 A.8.2", "CIS v8 5.4", "CIS v8 6.8"],
        ask: super_administrators_few,
    },
    Check {
        id: "superadmin_single",
        severity: Severity::High,
        question: "Is there more than one Super Administrator, so that losing one does not lock \
             everyone out?",
        lists: &["members"],
        besides: "user groups, if readable",
        unknown: "Unknown if user groups cannot be read or no Super Administrator is found.",
        remedy: "In Manage Account > Members, make a second trusted person Super Administrator.",
        command: Some("flareward members list --connection LABEL"),
        terraform: Some("cloudflare_account_member: roles"),
        frameworks: &["ISO 27001 A.8.2"],
        ask: super_administrators_enough,
    },
    Check {
        id: "member_external_domain",
        severity: Severity::High,
        question: "Does every member have an email address in one of the organisation's own domains?",
        lists: &["members"],
        besides: "identity providers and applications, if readable",
        unknown: "Own domains are: the domain of at least half of the accepted members, the Google \
             Workspace domain, and domains admitted by a dash_sso application. Unknown if there is none.",
        remedy: "Find out who is responsible for these members. Remove members that no one is \
             responsible for, and mute the others until their contract ends.",
        command: Some("flareward members remove --person ADDRESS --connection LABEL --plan"),
        terraform: Some("cloudflare_account_member"),
        frameworks: &["SOC 2 CC6.2", "ISO 27001 A.5.18", "CIS v8 5.1"],
        ask: members_of_own_domains,
    },
    Check {
        id: "offboarded_identity_still_member",
        severity: Severity::High,
        question: "Has everyone who was removed from Zero Trust also lost access to the dashboard?",
        lists: &["members", "access_users"],
        besides: "",
        unknown: "Covers only people who were Access users in an earlier sync. Freeing a seat keeps the \
             user and is not a finding.",
        remedy: "In Manage Account > Members, remove the member. If the person is still active, their \
             next login creates the Access user again.",
        command: Some("flareward members remove --person ADDRESS --connection LABEL --plan"),
        terraform: None,
        frameworks: &["SOC 2 CC6.2", "SOC 2 CC6.3", "ISO 27001 A.5.18", "CIS v8 6.2"],
        ask: offboarded,
    },
    Check {
        id: "invite_pending_over_7d",
        severity: Severity::Medium,
        question: "Are invitations accepted or cancelled within seven days?",
        lists: &["members"],
        besides: "the sync history",
        unknown: "Cloudflare does not report when an invitation was sent: its age counts from the first \
             stored sync that lists it. Unknown if the oldest stored sync already lists it and is less \
             than seven days old.",
        remedy: "In Manage Account > Members, cancel the invitation or send it again.",
        command: Some("flareward members cancel-invitation --person ADDRESS --connection LABEL --plan"),
        terraform: Some("cloudflare_account_member"),
        frameworks: &["SOC 2 CC6.2", "ISO 27001 A.5.16"],
        ask: invitations_answered,
    },
    Check {
        id: "member_inactive_90d",
        severity: Severity::Medium,
        question: "Was every member active within the last 90 days?",
        lists: &["members"],
        besides: "the account's audit log, delivered by Logpush",
        unknown: "Unknown without 90 days of audit log. Also unknown for a member without an audit log \
             entry if the oldest stored sync already lists the member and is less than 90 days old. The \
             audit log also contains SSO logins without changes.",
        remedy: "Ask the member whether they still need access. If not, remove the member.",
        command: Some("flareward members remove --person ADDRESS --connection LABEL --plan"),
        terraform: None,
        frameworks: &["SOC 2 CC6.3", "ISO 27001 A.5.18", "CIS v8 5.3"],
        ask: members_active,
    },
    Check {
        id: "roles_and_policies_mixed",
        severity: Severity::Medium,
        question: "Do all members get access in the same way: through roles or through policies?",
        lists: &["members"],
        besides: "",
        unknown: "Unknown only if the list cannot be read.",
        remedy: "Use only roles or only policies. An API call that sends both keeps the policies and \
             drops the roles, so a tool that supports only one of them overwrites the other.",
        command: None,
        terraform: Some("cloudflare_account_member: policies (or roles), never both"),
        frameworks: &["SOC 2 CC6.3", "CIS v8 6.8"],
        ask: one_way_of_granting,
    },
];

fn is_accepted(member: &&Member) -> bool {
    member.status == "accepted"
}

/// Accepted Super Administrators; and why there may be more.
fn super_administrators(facts: &Facts) -> Result<(Vec<&Member>, Option<Unknown>), Unknown> {
    let members = facts.members()?;
    let dashboard = facts.dashboard();
    let (mut found, mut unsure) = (Vec::new(), None);
    for member in members.iter().filter(is_accepted) {
        match dashboard.super_administrator(member.seat()) {
            Standing::Yes(_) => found.push(member),
            Standing::No => {}
            Standing::Unknown(reason) => {
                unsure.get_or_insert(Unknown(reason));
            }
        }
    }
    Ok((found, unsure))
}

/// Judges the second factor of these members.
fn second_factors<'a>(
    facts: &Facts,
    severity: Severity,
    members: impl Iterator<Item = &'a Member>,
) -> Judged {
    let mut judged = Judged::default();
    let (mut sso, mut unknown) = (0_usize, 0_usize);
    let mut off: Vec<(&Member, Option<Unknown>)> = Vec::new();
    for member in members {
        match (member.two_factor, facts.signs_in_by_sso(&member.email)) {
            (Some(true), _) => {}
            (_, Ok(true)) => sso += 1,
            (Some(false), Ok(false)) => off.push((member, None)),
            (Some(false), Err(why)) => off.push((member, Some(why))),
            (None, _) => {
                unknown += 1;
                judged.unsure(
                    "member",
                    &member.id,
                    "Cloudflare does not report whether an accepted member has a second factor",
                );
            }
        }
    }
    for (member, why) in off {
        let mut summary = "no second factor for the Cloudflare login".to_owned();
        if why.is_some() {
            summary.push_str("; whether they sign in with SSO instead is unknown");
        }
        let mut finding = Finding::new(severity, "member", &member.id, &member.email, summary)
            .with("members_by_sso", sso)
            .with("members_unknown", unknown);
        if let Some(Unknown(reason)) = why {
            finding = finding.with("sso_unknown", reason);
        }
        judged.found.push(finding);
    }
    judged
}

fn super_administrators_with_second_factor(facts: &Facts) -> Result<Judged, Unknown> {
    let (found, unsure) = super_administrators(facts)?;
    let mut judged = second_factors(facts, Severity::Critical, found.into_iter());
    if let Some(Unknown(reason)) = unsure {
        judged.unsure("account", &facts.connection.account_id, reason);
    }
    Ok(judged)
}

fn members_with_second_factor(facts: &Facts) -> Result<Judged, Unknown> {
    let (found, _) = super_administrators(facts)?;
    let supers: BTreeSet<&str> = found.iter().map(|member| member.id.as_str()).collect();
    let others = facts
        .members()?
        .iter()
        .filter(is_accepted)
        .filter(|member| !supers.contains(member.id.as_str()));
    Ok(second_factors(facts, Severity::High, others))
}

fn account_finding(facts: &Facts, severity: Severity, summary: String, who: &[&Member]) -> Finding {
    let addresses: Vec<&str> = who.iter().map(|member| member.email.as_str()).collect();
    let connection = &facts.connection;
    Finding::new(
        severity,
        "account",
        &connection.account_id,
        &connection.account_name,
        summary,
    )
    .with("super_administrators", addresses)
}

fn super_administrators_few(facts: &Facts) -> Result<Judged, Unknown> {
    let (found, unsure) = super_administrators(facts)?;
    let mut judged = Judged::default();
    if found.len() > SUPER_ADMINISTRATORS_MAX {
        let summary = format!(
            "{} people are Super Administrator; the recommended maximum is {SUPER_ADMINISTRATORS_MAX}",
            found.len()
        );
        judged
            .found
            .push(account_finding(facts, Severity::High, summary, &found));
    } else if let Some(unknown) = unsure {
        return Err(unknown);
    }
    Ok(judged)
}

fn super_administrators_enough(facts: &Facts) -> Result<Judged, Unknown> {
    let (found, unsure) = super_administrators(facts)?;
    let mut judged = Judged::default();
    match (found.len(), unsure) {
        (0 | 1, Some(unknown)) => return Err(unknown),
        (0, None) => return Err(Unknown("no Super Administrator was found".to_owned())),
        (1, None) => {
            let summary = "only one person is Super Administrator".to_owned();
            judged
                .found
                .push(account_finding(facts, Severity::High, summary, &found));
        }
        _ => {}
    }
    Ok(judged)
}

fn members_of_own_domains(facts: &Facts) -> Result<Judged, Unknown> {
    let own = own_domains(facts)?;
    let mut judged = Judged::default();
    for member in facts.members()? {
        let Some(domain) = domain(&member.email) else {
            judged.unsure("member", &member.id, "a member's address is not listed");
            continue;
        };
        if !own.contains(&domain) {
            judged.found.push(
                Finding::new(
                    Severity::High,
                    "member",
                    &member.id,
                    &member.email,
                    format!("an address of {domain}, which is not one of the organisation's own domains"),
                )
                .with("own_domains", &own)
                .with("status", &member.status),
            );
        }
    }
    Ok(judged)
}

fn offboarded(facts: &Facts) -> Result<Judged, Unknown> {
    facts.access_users()?;
    let mut judged = Judged::default();
    for member in facts.members()? {
        if let Some(gone_at) = facts.user_gone.get(&member.id) {
            judged.found.push(
                Finding::new(
                    Severity::High,
                    "member",
                    &member.id,
                    &member.email,
                    format!(
                        "no longer an Access user as of {}, but can still log in to the dashboard",
                        gone_at.format("%Y-%m-%d")
                    ),
                )
                .with("access_user_gone_at", gone_at)
                .with("status", &member.status),
            );
        }
    }
    Ok(judged)
}

/// Since when a member is known to be one: a lower bound.
fn known_since(facts: &Facts, member: &Member) -> Option<chrono::DateTime<chrono::Utc>> {
    // Who was not found new by a sync that is kept was there when the oldest of these ran.
    member.added_at.or(facts.first_run_at)
}

fn invitations_answered(facts: &Facts) -> Result<Judged, Unknown> {
    let mut judged = Judged::default();
    for member in facts
        .members()?
        .iter()
        .filter(|member| member.status == "pending")
    {
        match known_since(facts, member) {
            Some(since) if facts.now - since > PENDING_MAX => {
                let days = (facts.now - since).num_days();
                judged.found.push(
                    Finding::new(
                        Severity::Medium,
                        "member",
                        &member.id,
                        &member.email,
                        format!("invited at least {days} days ago, not accepted"),
                    )
                    .with("known_since", since),
                );
            }
            // A sync found it new: its age is known.
            Some(_) if member.added_at.is_some() => {}
            _ => judged.unsure(
                "member",
                &member.id,
                "the age of an invitation is unknown: the oldest stored sync already lists it",
            ),
        }
    }
    Ok(judged)
}

fn members_active(facts: &Facts) -> Result<Judged, Unknown> {
    let members = facts.members()?;
    let audit = facts.audit.as_ref().map_err(Clone::clone)?;
    let begin = facts.now - INACTIVE_AFTER;
    if audit.first_at > begin {
        return Err(Unknown(format!(
            "the audit log only goes back to {}, which is less than 90 days",
            audit.first_at.format("%Y-%m-%d")
        )));
    }
    let mut judged = Judged::default();
    for member in members.iter().filter(is_accepted) {
        let last = member
            .person_id
            .as_ref()
            .and_then(|id| audit.last_by_person.get(id));
        if last.is_some_and(|last| *last >= begin) {
            continue;
        }
        match (last, known_since(facts, member)) {
            (Some(_), _) => {}
            (None, Some(since)) if since <= begin => {}
            (None, Some(_)) if member.added_at.is_some() => continue,
            (None, _) => {
                judged.unsure(
                    "member",
                    &member.id,
                    "a member without an audit log entry may have been a member for less than 90 days",
                );
                continue;
            }
        }
        let summary = match last {
            Some(last) => format!("last audit log entry: {}", last.format("%Y-%m-%d")),
            None => format!(
                "no entry in the audit log, which goes back to {}",
                audit.first_at.format("%Y-%m-%d")
            ),
        };
        judged.found.push(
            Finding::new(Severity::Medium, "member", &member.id, &member.email, summary)
                .with("last_at", last)
                .with("audit_log_since", audit.first_at),
        );
    }
    Ok(judged)
}

fn one_way_of_granting(facts: &Facts) -> Result<Judged, Unknown> {
    let dashboard = facts.dashboard();
    let (mut roles, mut policies, mut both) = (0_usize, 0_usize, Vec::new());
    for member in facts.members()? {
        // What mirrors the other way of granting is no second way.
        match dashboard.form(&member.roles, &member.policies) {
            Form::Roles if member.roles.is_empty() => {}
            Form::Roles => roles += 1,
            Form::Policies => policies += 1,
            Form::Mixed => both.push(member.email.as_str()),
        }
    }
    let mut judged = Judged::default();
    if !both.is_empty() || (roles > 0 && policies > 0) {
        let connection = &facts.connection;
        judged.found.push(
            Finding::new(
                Severity::Medium,
                "account",
                &connection.account_id,
                &connection.account_name,
                format!(
                    "{roles} members have roles, {policies} have policies, {} have both",
                    both.len()
                ),
            )
            .with("by_roles", roles)
            .with("by_policies", policies)
            .with("by_both", both),
        );
    }
    Ok(judged)
}
