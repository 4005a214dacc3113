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

const SSO: &str = "A second factor that Cloudflare does not tell of is unknown, and counted in the evidence. Members \
                   whom an application of type dash_sso lets in sign in at the identity provider, where the second \
                   factor is: they are told apart and are no finding. Without the list of applications that cannot \
                   be seen, and the evidence says so.";

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "superadmin_without_2fa",
        severity: Severity::Critical,
        question: "Has every Super Administrator a second factor?",
        lists: &["members"],
        besides: "applications of type dash_sso, where those can be read",
        unknown: SSO,
        remedy: "Have them switch it on (My Profile, Authentication), or take the role away until they have.",
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
        question: "Has every other member a second factor?",
        lists: &["members"],
        besides: "applications of type dash_sso, where those can be read",
        unknown: SSO,
        remedy: "Have them switch it on (My Profile, Authentication); requiring it for the account makes sure of it.",
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
        besides: "user groups, where those can be read",
        unknown: "When user groups cannot be read, fewer than five are a lower bound and the answer is unknown.",
        remedy: "Manage Account, Members: give those who do not need everything the role that they need.",
        command: Some("flareward grants list --kind role --connection LABEL"),
        terraform: Some("cloudflare_account_member: roles"),
        frameworks: &["SOC 2 CC6.3", "ISO 27001 A.8.2", "CIS v8 5.4", "CIS v8 6.8"],
        ask: super_administrators_few,
    },
    Check {
        id: "superadmin_single",
        severity: Severity::High,
        question: "Is there more than one Super Administrator, so that the loss of one does not lock everyone out?",
        lists: &["members"],
        besides: "user groups, where those can be read",
        unknown: "When user groups cannot be read, or nobody is seen to be one, the answer is unknown.",
        remedy: "Manage Account, Members: make a second trusted person Super Administrator.",
        command: Some("flareward members list --connection LABEL"),
        terraform: Some("cloudflare_account_member: roles"),
        frameworks: &["ISO 27001 A.8.2"],
        ask: super_administrators_enough,
    },
    Check {
        id: "member_external_domain",
        severity: Severity::High,
        question: "Does every member have an address of the organisation's own domains?",
        lists: &["members"],
        besides: "identity providers and applications, where those can be read",
        unknown: "Own domains are the one that at least half of the accepted members have, that of Google Workspace, \
                  and those that dash_sso lets in by domain. Without any of these it is unknown.",
        remedy: "Ask who answers for them, and remove those whom nobody vouches for; mute the others until their \
                 contract ends.",
        command: Some("flareward members remove --person ADDRESS --connection LABEL --plan"),
        terraform: Some("cloudflare_account_member"),
        frameworks: &["SOC 2 CC6.2", "ISO 27001 A.5.18", "CIS v8 5.1"],
        ask: members_of_own_domains,
    },
    Check {
        id: "offboarded_identity_still_member",
        severity: Severity::High,
        question: "Has everyone who was taken out of Zero Trust also left the dashboard?",
        lists: &["members", "access_users"],
        besides: "",
        unknown: "Only those whom a sync saw as Access users before count. A seat that was freed keeps its user, and \
                  is no finding.",
        remedy: "Manage Account, Members: remove them. If they are still here, they come back as an Access user with \
                 their next login.",
        command: Some("flareward members remove --person ADDRESS --connection LABEL --plan"),
        terraform: None,
        frameworks: &["SOC 2 CC6.2", "SOC 2 CC6.3", "ISO 27001 A.5.18", "CIS v8 6.2"],
        ask: offboarded,
    },
    Check {
        id: "invite_pending_over_7d",
        severity: Severity::Medium,
        question: "Are invitations accepted, or taken back, within seven days?",
        lists: &["members"],
        besides: "the history of syncs",
        unknown: "Cloudflare does not tell when it invited: the age counts from the first sync that is kept and shows \
                  the invitation. While that is less than seven days, it is unknown.",
        remedy: "Manage Account, Members: cancel the invitation, or send it again.",
        command: Some("flareward members cancel-invitation --person ADDRESS --connection LABEL --plan"),
        terraform: Some("cloudflare_account_member"),
        frameworks: &["SOC 2 CC6.2", "ISO 27001 A.5.16"],
        ask: invitations_answered,
    },
    Check {
        id: "member_inactive_90d",
        severity: Severity::Medium,
        question: "Has every member done something within 90 days?",
        lists: &["members"],
        besides: "the account's audit log, delivered by Logpush",
        unknown: "Without 90 days of the audit log it is unknown; so is a member whom no sync that is kept has seen \
                  for that long. Logins by SSO that change nothing are in that log too.",
        remedy: "Ask whether they still need it; else remove them.",
        command: Some("flareward members remove --person ADDRESS --connection LABEL --plan"),
        terraform: None,
        frameworks: &["SOC 2 CC6.3", "ISO 27001 A.5.18", "CIS v8 5.3"],
        ask: members_active,
    },
    Check {
        id: "roles_and_policies_mixed",
        severity: Severity::Medium,
        question: "Do members hold what they hold in one way: by roles, or by policies?",
        lists: &["members"],
        besides: "",
        unknown: "Nothing beyond the list.",
        remedy: "Choose one. A call that sends both keeps the policies and drops the roles, so tools that know one \
                 of the two overwrite the other.",
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
                    "Cloudflare does not say whether an accepted member has a second factor",
                );
            }
        }
    }
    for (member, why) in off {
        let mut summary = "the second factor of the Cloudflare login is off".to_owned();
        if why.is_some() {
            summary.push_str("; whether they sign in by SSO instead cannot be seen");
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
            "{} people are Super Administrator; {SUPER_ADMINISTRATORS_MAX} are enough",
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
        (0, None) => return Err(Unknown("no member is seen to be Super Administrator".to_owned())),
        (1, None) => {
            let summary = "one person alone is Super Administrator".to_owned();
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
                        "was taken out of Zero Trust by {}, and may still log in to the dashboard",
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
                        format!("invited at least {days} days ago and not accepted"),
                    )
                    .with("known_since", since),
                );
            }
            // A sync found it new: its age is known.
            Some(_) if member.added_at.is_some() => {}
            _ => judged.unsure(
                "member",
                &member.id,
                "since when an invitation waits is not known yet: it was there at the first sync that is kept",
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
            "the audit log goes back to {} only, which is less than 90 days",
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
                    "a member without an entry in the audit log is not known to be one for 90 days",
                );
                continue;
            }
        }
        let summary = match last {
            Some(last) => format!(
                "the last entry in the audit log is of {}",
                last.format("%Y-%m-%d")
            ),
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
                    "{roles} members hold roles, {policies} policies, {} both",
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
