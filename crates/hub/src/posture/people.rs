//! Checks of Access users and their seats.

use super::check::{Check, Finding, Judged, Unknown};
use super::facts::Facts;
use chrono::TimeDelta;
use model::Severity;

/// How long a seat may be taken without a login.
const INACTIVE_AFTER: TimeDelta = TimeDelta::days(60);

pub(super) const CHECKS: &[Check] = &[Check {
    id: "zt_user_inactive_60d_with_seat",
    severity: Severity::Medium,
    question: "Has everyone with a seat logged in within the last 60 days?",
    lists: &["access_users"],
    besides: "",
    unknown: "Unknown for a user if Cloudflare does not report their seats, or neither their last \
         login nor their creation date. Gateway traffic alone does not count as a login.",
    remedy: "In Zero Trust > My Team > Users, remove the user's seat. Their next login takes a seat \
         again. Settings > Account > Seat expiration does this automatically.",
    command: Some("flareward access-users free-seats --person ADDRESS --connection LABEL --plan"),
    terraform: Some("cloudflare_zero_trust_organization: user_seat_expiration_inactive_time = \"1460h\""),
    frameworks: &["SOC 2 CC6.3", "ISO 27001 A.5.18", "CIS v8 5.3"],
    ask: seats_in_use,
}];

fn seats_in_use(facts: &Facts) -> Result<Judged, Unknown> {
    let mut judged = Judged::default();
    for user in facts.access_users()? {
        let taken = match (user.access_seat, user.gateway_seat) {
            (Some(false), Some(false)) => continue,
            (access, gateway) if access == Some(true) || gateway == Some(true) => {
                let names = [("Access", access), ("Gateway", gateway)];
                let names: Vec<&str> = names
                    .into_iter()
                    .filter(|(_, taken)| *taken == Some(true))
                    .map(|(name, _)| name)
                    .collect();
                names.join(" and ")
            }
            _ => {
                judged.unsure(
                    "access_user",
                    &user.id,
                    "Cloudflare does not report whether a user has a seat",
                );
                continue;
            }
        };
        let Some(since) = user.last_login_at.or(user.created_at) else {
            judged.unsure(
                "access_user",
                &user.id,
                "Cloudflare does not report when a user with a seat last logged in",
            );
            continue;
        };
        if facts.now - since > INACTIVE_AFTER {
            let days = (facts.now - since).num_days();
            let summary = match user.last_login_at {
                Some(_) => format!("has a seat ({taken}) and last logged in {days} days ago"),
                None => format!(
                    "has a seat ({taken}) and has not logged in since being added {days} \
                     days ago"
                ),
            };
            judged.found.push(
                Finding::new(Severity::Medium, "access_user", &user.id, &user.email, summary)
                    .with("last_login_at", user.last_login_at)
                    .with("access_seat", user.access_seat)
                    .with("gateway_seat", user.gateway_seat),
            );
        }
    }
    Ok(judged)
}
