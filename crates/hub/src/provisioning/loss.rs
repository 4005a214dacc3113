//! The guard on what a change takes away: super administrators, and the power of the connection's own credential.
//!
//! Whoever may be a super administrator counts as one before the change; others count only where they surely are,
//! as Cloudflare has them at that moment. Start reading at [`guard_loss`].

use super::ProvisionError;
use super::context::RequestContext;
use super::member::stored_dashboard;
use super::plan::{Guard, Plan};
use crate::access::dashboard::{
    Dashboard, Seat, Standing, UserGroup, policies_of, roles_of, user_group_members,
};
use cloudflare::CloudflareError;
use model::address;
use serde_json::Value;
use std::collections::BTreeSet;
use store::{LIST_LIMIT_MAX, MemberRow};

/// Refuses what would leave too few super administrators, or take the power of whoever's credential this is.
/// `after` is the member as they would be; `None` when they would be removed.
pub(super) async fn guard_loss(
    context: &RequestContext<'_>,
    plan: &mut Plan,
    row: &MemberRow,
    raw: &Value,
    after: Option<&Value>,
) -> Result<Option<Plan>, ProvisionError> {
    let dashboard = stored_dashboard(context).await?;
    if !loses(&dashboard, raw, after) {
        return Ok(None);
    }
    let owner = context.credential_owner().await;
    match &owner {
        Some(owner) if address::compared(owner) == address::compared(&row.email) => {
            return Ok(Some(plan.clone().refused(
                Guard::OwnCredential,
                format!(
                    "the credential of connection {} belongs to {}: Flareward could lose its own access",
                    context.connection.label, row.email
                ),
            )));
        }
        Some(_) => plan.passes(
            Guard::OwnCredential,
            "the connection's credential belongs to someone else",
        ),
        None if context.connection.credential_kind == model::CredentialKind::AccountToken => {
            plan.passes(
                Guard::OwnCredential,
                "the connection's credential belongs to the account",
            );
        }
        None => plan.warnings.push(
            "the owner of the connection's credential is unknown: Cloudflare does not report \
                 it"
            .to_owned(),
        ),
    }
    if raw["status"] != "accepted" {
        return Ok(None);
    }
    // User groups are asked for now: who is in one may have changed since the last sync.
    let dashboard = dashboard.with_user_groups(user_groups_now(context).await);
    let before = standing(&dashboard, row, raw);
    let stays = after.is_some_and(|after| matches!(standing(&dashboard, row, after), Standing::Yes(_)));
    if before == Standing::No || stays {
        return Ok(None);
    }
    let keep = context.app.settings.provisioning.super_administrators;
    let others = other_super_administrators(context, &dashboard, &row.id, keep).await?;
    if others >= keep {
        plan.passes(
            Guard::LastSuperAdministrators,
            format!("at least {keep} super administrators remain"),
        );
        return Ok(None);
    }
    let noun = if others == 1 {
        "administrator"
    } else {
        "administrators"
    };
    let rule = format!("at least {keep} must remain (setting provisioning.super_administrators)");
    let reason = match before {
        Standing::Unknown(why) => format!(
            "whether {} is a super administrator is unknown: {why}. Only {others} other known super \
                 {noun} would remain, and {rule}",
            row.email
        ),
        Standing::Yes(through) => format!(
            "{} is a super administrator through {through}; {others} other super {noun} would remain, \
                 and {rule}",
            row.email
        ),
        Standing::No => return Ok(None),
    };
    Ok(Some(plan.clone().refused(Guard::LastSuperAdministrators, reason)))
}

/// Whether a member has less afterwards than before, or something that is denied.
fn loses(dashboard: &Dashboard, before: &Value, after: Option<&Value>) -> bool {
    let Some(after) = after else { return true };
    let things = |member: &Value| -> BTreeSet<(String, String, bool)> {
        // A role and the policy that mirrors it are one thing: the name over the whole account.
        let roles = roles_of(member);
        let by_role = roles.iter().map(|(id, name)| {
            (
                if name.is_empty() { id } else { name }.trim().to_lowercase(),
                String::new(),
                false,
            )
        });
        let permits = dashboard.permits(policies_of(member));
        let by_policy = permits.iter().map(|permit| {
            let reach = if permit.reach.is_account() {
                ""
            } else {
                permit.reach.id()
            };
            (
                permit.label().trim().to_lowercase(),
                reach.to_owned(),
                permit.is_denied,
            )
        });
        by_role.chain(by_policy).collect()
    };
    let (before, after) = (things(before), things(after));
    let is_denied = |thing: &&(String, String, bool)| thing.2;
    before
        .iter()
        .filter(|thing| !thing.2)
        .any(|thing| !after.contains(thing))
        || after
            .iter()
            .filter(is_denied)
            .any(|thing| !before.contains(thing))
}

fn standing(dashboard: &Dashboard, row: &MemberRow, raw: &Value) -> Standing {
    dashboard.super_administrator(Seat {
        id: &row.id,
        email: &row.email,
        roles: &roles_of(raw),
        policies: policies_of(raw),
    })
}

/// The user groups that give super administrators, with their members, as Cloudflare has them now; or why they are
/// not known.
async fn user_groups_now(context: &RequestContext<'_>) -> Result<Vec<UserGroup>, String> {
    use futures::TryStreamExt;
    let failed =
        |what: &str, error: &CloudflareError| format!("{what} could not be read: {}", crate::causes(error));
    let list = cloudflare::LISTS.iter().find(|list| list.kind == "user_groups");
    let Some(list) = list else {
        return Err("user groups cannot be listed".to_owned());
    };
    let pages: Vec<_> = context
        .client
        .objects(&context.account, list)
        .try_collect()
        .await
        .map_err(|error| failed("the account's user groups", &error))?;
    let mut groups = Vec::new();
    for raw in pages.into_iter().flat_map(|page| page.items) {
        let text = |name: &str| raw[name].as_str().unwrap_or_default().to_owned();
        let (id, name) = (text("id"), text("name"));
        // A group that gives nothing makes nobody a super administrator.
        if policies_of(&raw).is_empty() {
            continue;
        }
        let members = context.client.user_group_members(&context.account, &id).await;
        groups.push(UserGroup {
            policies: policies_of(&raw).to_vec(),
            members: match members {
                Ok(cloudflare::Listed { items, partial: None }) => Ok(user_group_members(items.iter())),
                Ok(cloudflare::Listed {
                    partial: Some(reason),
                    ..
                }) => Err(reason),
                Err(error) => Err(failed(&format!("the members of the user group {name}"), &error)),
            },
            id: id.into(),
            name: name.into(),
        });
    }
    Ok(groups)
}

/// How many other super administrators there surely are, up to `enough`; each is looked at as Cloudflare has it now.
async fn other_super_administrators(
    context: &RequestContext<'_>,
    dashboard: &Dashboard,
    except: &str,
    enough: usize,
) -> Result<usize, ProvisionError> {
    let mut found = 0;
    let mut after: Option<(String, String)> = None;
    loop {
        let place = after
            .as_ref()
            .map(|(connection, id)| (connection.as_str(), id.as_str()));
        let rows = context
            .app
            .store
            .member_list(Some(&context.connection.id), place, LIST_LIMIT_MAX)
            .await?;
        let Some(last) = rows.last() else { return Ok(found) };
        after = Some((last.connection_id.0.clone(), last.id.clone()));
        for row in rows {
            if found >= enough {
                return Ok(found);
            }
            let is_super = |raw: &Value| matches!(standing(dashboard, &row, raw), Standing::Yes(_));
            if row.id == except || row.status != "accepted" || !is_super(&row.raw_json()?) {
                continue;
            }
            match context.client.member(&context.account, &row.id).await {
                Ok(now) if now["status"] == "accepted" && is_super(&now) => found += 1,
                Ok(_) => {}
                Err(CloudflareError::Refused(refusal)) if refusal.status == 404 => {}
                Err(source) => return Err(context.failed(source)),
            }
        }
    }
}
