//! Members of an account: roles or policies, invitations, removal.
//!
//! A member holds what they hold by roles or by policies, and is changed in the same way: Cloudflare may show the
//! other as well, as a mirror. A PUT replaces the whole list. Members are found by the stored list and read again by
//! their membership's id, which is not their user's. Plans are made from the member as it is at that moment.

use super::ProvisionError;
use super::context::RequestContext;
use super::loss::guard_loss;
use super::plan::{Guard, Plan};
use super::request::Request;
use crate::access::dashboard::{Dashboard, Form, Permit, Reach, is_super, policies_of, roles_of, same_name};
use crate::access::view;
use cloudflare::{CloudflareError, Write};
use model::address;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::{LIST_LIMIT_MAX, MemberRow};

/// Plans a change of a member.
pub(super) async fn plan(context: &RequestContext<'_>, request: &Request) -> Result<Plan, ProvisionError> {
    let email = request.email();
    let mut plan = Plan::new(request, &context.connection.label, "member");
    email.clone_into(&mut plan.object_name);
    let found = find(context, email).await?;
    let Some((row, raw)) = found else {
        return absent(context, plan, request).await;
    };
    plan.object_id.clone_from(&row.id);
    plan.object_name.clone_from(&row.email);
    plan.before = raw.clone();
    let is_pending = raw["status"] == "pending";
    match request {
        Request::MemberInvite { roles, policies, .. } => {
            let held: BTreeSet<String> = role_ids(&raw).into_iter().collect();
            let wanted: BTreeSet<String> = roles.iter().cloned().collect();
            let state = if is_pending {
                "is already invited"
            } else {
                "is already a member"
            };
            if wanted.is_subset(&held) && policies.is_empty() {
                return Ok(plan.already(format!("{email} {state}")));
            }
            Ok(plan.refused(
                Guard::WrongState,
                format!("{email} {state}, with other roles: change those roles instead"),
            ))
        }
        Request::InvitationCancel { .. } if !is_pending => Ok(plan.refused(
            Guard::WrongState,
            format!("{email} has already accepted the invitation: remove the member instead"),
        )),
        Request::InvitationCancel { .. } => {
            plan.summary = format!("cancel the invitation of {email}");
            remove(context, plan, &row, &raw).await
        }
        Request::MemberRemove { .. } => {
            plan.summary = format!(
                "remove {email} from the account {}",
                context.connection.account_name
            );
            remove(context, plan, &row, &raw).await
        }
        Request::MemberRolesSet { roles, .. } => {
            plan.summary = format!("set {email}'s roles to {} roles", roles.len());
            set_roles(context, plan, &row, &raw, roles.clone()).await
        }
        Request::MemberPoliciesSet { policies, .. } => {
            plan.summary = format!("set {email}'s policies to {} policies", policies.len());
            set_policies(context, plan, &row, &raw, policies.clone()).await
        }
        Request::RoleGrant { role, .. } => role_grant(context, plan, &row, &raw, role).await,
        Request::RoleRevoke { role, .. } => role_revoke(context, plan, &row, &raw, role).await,
        _ => Err(ProvisionError::NotHere),
    }
}

/// The membership with an address, as it is stored and as Cloudflare has it now.
async fn find(
    context: &RequestContext<'_>,
    email: &str,
) -> Result<Option<(MemberRow, Value)>, ProvisionError> {
    let Some(person) = context.app.store.person_by_email(email).await? else {
        return Ok(None);
    };
    let mut rows = context.app.store.member_by_person(&person.id).await?;
    rows.retain(|row| row.connection_id == context.connection.id);
    // The address that was asked for before another of the person, an accepted membership before an invitation.
    rows.sort_by_key(|row| (address::compared(&row.email) != email, row.status != "accepted"));
    for row in rows {
        match context.client.member(&context.account, &row.id).await {
            Ok(raw) => return Ok(Some((row, raw))),
            Err(CloudflareError::Refused(refusal)) if refusal.status == 404 => {}
            Err(source) => return Err(context.failed(source)),
        }
    }
    Ok(None)
}

async fn absent(
    context: &RequestContext<'_>,
    mut plan: Plan,
    request: &Request,
) -> Result<Plan, ProvisionError> {
    let email = request.email();
    match request {
        Request::MemberInvite { roles, policies, .. } => {
            if roles.is_empty() && policies.is_empty() {
                return Ok(plan.refused(Guard::NoRoleLeft, "an invitation needs at least one role"));
            }
            let mut names = Vec::with_capacity(roles.len());
            for role in roles {
                names.push(role_name(context, role).await?);
            }
            plan.summary = format!(
                "invite {email} to the account {} as {}",
                context.connection.account_name,
                if names.is_empty() {
                    "specified by policies".to_owned()
                } else {
                    names.join(", ")
                }
            );
            if roles.iter().any(|role| is_super(role, "")) {
                plan.warnings
                    .push(format!("{email} will be a super administrator with full access"));
            }
            plan.calls = vec![if policies.is_empty() {
                Write::member_invite(email, roles)
            } else {
                Write::member_invite_with_policies(email, &bare(policies))
            }];
            plan.after = json!({ "email": email, "status": "pending", "roles": roles, "policies": policies });
            plan.undo = Some(Request::InvitationCancel {
                connection: request.connection().clone(),
                email: email.to_owned(),
            });
            Ok(plan)
        }
        Request::InvitationCancel { .. } | Request::MemberRemove { .. } | Request::RoleRevoke { .. } => {
            Ok(plan.already(format!("{email} is not a member of the account")))
        }
        _ => Ok(plan.refused(
            Guard::NotAMember,
            format!("{email} is not a member of the account: invite them first"),
        )),
    }
}

async fn remove(
    context: &RequestContext<'_>,
    mut plan: Plan,
    row: &MemberRow,
    raw: &Value,
) -> Result<Plan, ProvisionError> {
    if let Some(refused) = guard_loss(context, &mut plan, row, raw, None).await? {
        return Ok(refused);
    }
    plan.calls = vec![Write::member_remove(&row.id).map_err(ProvisionError::Id)?];
    plan.after = Value::Null;
    let (roles, policies) = match stored_dashboard(context)
        .await?
        .form(&roles_of(raw), policies_of(raw))
    {
        Form::Roles => (role_ids(raw), Vec::new()),
        Form::Policies => (Vec::new(), held_policies(raw)),
        Form::Mixed => {
            plan.warnings.push(format!(
                "{} has roles and policies that do not correspond: this change cannot be fully undone",
                row.email
            ));
            return Ok(plan);
        }
    };
    plan.undo = Some(Request::MemberInvite {
        connection: plan.request.connection().clone(),
        email: address::compared(&row.email),
        roles,
        policies,
    });
    plan.warnings
        .push("undoing this sends an invitation that the person must accept".to_owned());
    Ok(plan)
}

/// A member whose roles and policies say different things: a write of one would drop the other.
fn mixed(plan: Plan, row: &MemberRow) -> Plan {
    plan.refused(
        Guard::WrongState,
        format!(
            "{} has roles without corresponding policies and policies without corresponding roles. \
                 Writing one could drop the other: use only roles or only policies in Cloudflare's \
                 dashboard, then sync",
            row.email
        ),
    )
}

async fn role_grant(
    context: &RequestContext<'_>,
    mut plan: Plan,
    row: &MemberRow,
    raw: &Value,
    role: &str,
) -> Result<Plan, ProvisionError> {
    let name = role_name(context, role).await?;
    plan.summary = format!("grant {} the role {name}", row.email);
    let undo = Request::RoleRevoke {
        connection: plan.request.connection().clone(),
        role: role.to_owned(),
        email: address::compared(&row.email),
    };
    if is_super(role, &name) {
        plan.warnings.push(format!(
            "{} will be a super administrator with full access",
            row.email
        ));
    }
    let dashboard = stored_dashboard(context).await?;
    let (roles, policies) = (roles_of(raw), held_policies(raw));
    let permits = dashboard.permits(&policies);
    let wanted = |permit: &&Permit| permit.is_role(role, &name);
    if let Some(denied) = permits.iter().filter(wanted).find(|permit| permit.is_denied) {
        return Ok(plan.refused(
            Guard::WrongState,
            format!(
                "a policy of {} denies {} on {}: set their policies instead",
                row.email,
                denied.label(),
                denied.reach.words()
            ),
        ));
    }
    let held = permits
        .iter()
        .filter(wanted)
        .find(|permit| permit.reach.is_account());
    let by_role = roles
        .iter()
        .any(|(id, held)| **id == *role || same_name(held, &name));
    match dashboard.form(&roles, &policies) {
        Form::Roles => {
            if by_role {
                return Ok(plan.already(format!("{} already has the role {name}", row.email)));
            }
            let mut roles = role_ids(raw);
            roles.push(role.to_owned());
            let mut plan = set_roles(context, plan, row, raw, roles).await?;
            plan.undo = plan.undo.is_some().then_some(undo);
            return Ok(plan);
        }
        Form::Mixed if by_role || held.is_some() => {
            return Ok(plan.already(format!("{} already has {name}", row.email)));
        }
        Form::Mixed => return Ok(mixed(plan, row)),
        Form::Policies if held.is_some() => {
            return Ok(plan.already(format!("{} already has {name} on the whole account", row.email)));
        }
        Form::Policies => {}
    }
    // Whoever holds by policies is given the permission group of the same name over the whole account.
    let group = match permission_group(context, &permits, role, &name).await? {
        Ok(group) => group,
        Err(reason) => return Ok(plan.refused(Guard::WrongState, reason)),
    };
    let Some(whole) = whole_account(context, &dashboard, &permits).await? else {
        return Ok(plan.refused(
            Guard::WrongState,
            format!(
                "{} has access through policies, and the resource group for the whole account was not \
                     found in the synced lists: set their policies instead",
                row.email
            ),
        ));
    };
    let mut wanted = policies;
    wanted.push(json!({
        "access": "allow",
        "permission_groups": [{ "id": group, "name": name }],
        "resource_groups": [{ "id": whole, "name": "the whole account" }],
    }));
    let mut plan = set_policies(context, plan, row, raw, wanted).await?;
    plan.undo = plan.undo.is_some().then_some(undo);
    Ok(plan)
}

async fn role_revoke(
    context: &RequestContext<'_>,
    mut plan: Plan,
    row: &MemberRow,
    raw: &Value,
    role: &str,
) -> Result<Plan, ProvisionError> {
    let name = role_name(context, role).await?;
    plan.summary = format!("revoke the role {name} from {}", row.email);
    let undo = Request::RoleGrant {
        connection: plan.request.connection().clone(),
        role: role.to_owned(),
        email: address::compared(&row.email),
    };
    let dashboard = stored_dashboard(context).await?;
    let (roles, policies) = (roles_of(raw), held_policies(raw));
    // What a user group gives is not taken from one member.
    for group in dashboard.groups_of(&row.id, &row.email) {
        let permits = dashboard.permits(&group.policies);
        let mut gives = permits
            .iter()
            .filter(|permit| !permit.is_denied && permit.is_role(role, &name));
        if let Some(permit) = gives.next() {
            plan.remains.push(format!(
                "{} on {}, through the user group {}",
                permit.label(),
                permit.reach.words(),
                group.name
            ));
        }
    }
    if let Some(gap) = dashboard.user_group_gap() {
        plan.remains
            .push(format!("access through user groups is unknown: {gap}"));
    }
    let permits = dashboard.permits(&policies);
    let by_role = roles
        .iter()
        .any(|(id, held)| **id == *role || same_name(held, &name));
    match dashboard.form(&roles, &policies) {
        Form::Roles => {
            if !by_role {
                return Ok(plan.already(format!("{} does not have the role {name}", row.email)));
            }
            let kept = roles
                .iter()
                .filter(|(id, held)| **id != *role && !same_name(held, &name));
            let kept = kept.map(|(id, _)| id.to_string()).collect();
            let mut plan = set_roles(context, plan, row, raw, kept).await?;
            plan.undo = plan.undo.is_some().then_some(undo);
            return Ok(plan);
        }
        Form::Mixed => return Ok(mixed(plan, row)),
        Form::Policies => {}
    }
    let given = |permit: &&Permit| !permit.is_denied && permit.is_role(role, &name);
    let having: Vec<&Permit> = permits.iter().filter(given).collect();
    if having.is_empty() {
        if let Some(unnamed) = permits.iter().find(|permit| permit.name.is_none()) {
            return Ok(plan.refused(
                Guard::WrongState,
                format!(
                    "{} has the permission group {} through a policy, and Cloudflare does not report \
                         its name: Flareward cannot determine whether it is {name}. Set their policies \
                         instead",
                    row.email, unnamed.group
                ),
            ));
        }
        return Ok(plan.already(format!("{} does not have {name}", row.email)));
    }
    if let Some(unknown) = having
        .iter()
        .find(|permit| matches!(permit.reach, Reach::Unknown(_)))
    {
        return Ok(plan.refused(
            Guard::ScopedPolicy,
            format!(
                "{} has {name} on {}: Flareward cannot determine whether that is the whole account. Set \
                     their policies instead",
                row.email,
                unknown.reach.words()
            ),
        ));
    }
    if context.options.is_expiry && !having.iter().any(|permit| permit.reach.is_account()) {
        return Ok(plan.already(format!("{} no longer has {name} on the whole account", row.email)));
    }
    if !having.iter().any(|permit| permit.reach.is_account()) {
        let over: Vec<String> = having.iter().map(|permit| permit.reach.words()).collect();
        return Ok(plan.refused(
            Guard::ScopedPolicy,
            format!(
                "{} has {name} on {}, not on the whole account: set their policies instead",
                row.email,
                over.join(", ")
            ),
        ));
    }
    let mut wanted: Vec<Value> = Vec::new();
    for policy in &policies {
        let of_policy = dashboard.permits(std::slice::from_ref(policy));
        let matching: Vec<&Permit> = of_policy.iter().filter(given).collect();
        let is_wide = matching.iter().any(|permit| permit.reach.is_account());
        if !is_wide {
            plan.remains.extend(
                matching
                    .iter()
                    .map(|permit| format!("{name} on {}, through another policy", permit.reach.words())),
            );
            wanted.push(policy.clone());
            continue;
        }
        let mut policy = policy.clone();
        let ids: BTreeSet<&str> = matching.iter().map(|permit| permit.group.as_str()).collect();
        if let Some(groups) = policy["permission_groups"].as_array_mut() {
            groups.retain(|held| !held["id"].as_str().is_some_and(|id| ids.contains(id)));
            if groups.is_empty() {
                continue;
            }
        }
        wanted.push(policy);
    }
    let mut plan = set_policies(context, plan, row, raw, wanted).await?;
    plan.undo = plan.undo.is_some().then_some(undo);
    Ok(plan)
}

async fn set_roles(
    context: &RequestContext<'_>,
    mut plan: Plan,
    row: &MemberRow,
    raw: &Value,
    roles: Vec<String>,
) -> Result<Plan, ProvisionError> {
    let held = role_ids(raw);
    let form = stored_dashboard(context)
        .await?
        .form(&roles_of(raw), policies_of(raw));
    let (old, new): (BTreeSet<&String>, BTreeSet<&String>) = (held.iter().collect(), roles.iter().collect());
    if old == new && form == Form::Roles {
        return Ok(plan.already(format!("{} already has exactly these roles", row.email)));
    }
    if form == Form::Mixed {
        return Ok(mixed(plan, row));
    }
    let mut named = Vec::with_capacity(roles.len());
    for id in &roles {
        named.push(json!({ "id": id, "name": role_name(context, id).await? }));
    }
    let mut after = raw.clone();
    after["roles"] = json!(named);
    // Policies that mirror roles that stay are there afterwards too.
    let dashboard = stored_dashboard(context).await?;
    if let Some(policies) = after["policies"].as_array_mut() {
        let kept = roles_of(&json!({ "roles": named }));
        policies.retain(|policy| dashboard.form(&kept, std::slice::from_ref(policy)) == Form::Roles);
    }
    if let Some(refused) = guard_loss(context, &mut plan, row, raw, Some(&after)).await? {
        return Ok(refused);
    }
    if roles.is_empty() {
        return Ok(plan.refused(
            Guard::NoRoleLeft,
            format!(
                "{} would have no roles left: remove the member instead",
                row.email
            ),
        ));
    }
    plan.calls = vec![Write::member_roles(&row.id, &roles).map_err(ProvisionError::Id)?];
    plan.after = after;
    plan.undo = Some(undo_to(&plan, row, raw, form));
    Ok(plan)
}

async fn set_policies(
    context: &RequestContext<'_>,
    mut plan: Plan,
    row: &MemberRow,
    raw: &Value,
    policies: Vec<Value>,
) -> Result<Plan, ProvisionError> {
    let held = held_policies(raw);
    let form = stored_dashboard(context).await?.form(&roles_of(raw), &held);
    if meaning(&held) == meaning(&policies) {
        return Ok(plan.already(format!("{} already has exactly these policies", row.email)));
    }
    if form == Form::Mixed {
        return Ok(mixed(plan, row));
    }
    let mut after = raw.clone();
    after["policies"] = json!(policies);
    if let Some(members) = after.as_object_mut() {
        members.remove("roles");
    }
    if let Some(refused) = guard_loss(context, &mut plan, row, raw, Some(&after)).await? {
        return Ok(refused);
    }
    if policies.is_empty() {
        return Ok(plan.refused(
            Guard::NoRoleLeft,
            format!(
                "{} would have no policies left: remove the member instead",
                row.email
            ),
        ));
    }
    plan.calls = vec![Write::member_policies(&row.id, &bare(&policies)).map_err(ProvisionError::Id)?];
    plan.after = after;
    plan.undo = Some(undo_to(&plan, row, raw, form));
    Ok(plan)
}

/// The request that brings back what a member has now.
fn undo_to(plan: &Plan, row: &MemberRow, raw: &Value, form: Form) -> Request {
    let (connection, email) = (plan.request.connection().clone(), address::compared(&row.email));
    if form == Form::Policies {
        Request::MemberPoliciesSet {
            connection,
            email,
            policies: held_policies(raw),
        }
    } else {
        Request::MemberRolesSet {
            connection,
            email,
            roles: role_ids(raw),
        }
    }
}

/// What members are judged by, as the lists say.
pub(super) async fn stored_dashboard(context: &RequestContext<'_>) -> Result<Dashboard, ProvisionError> {
    let listings = context.app.store.listing_list(&context.connection.id).await?;
    let gaps = view::gaps_of(&listings);
    Ok(view::dashboard(context.app, context.connection, &gaps).await?)
}

fn role_ids(raw: &Value) -> Vec<String> {
    raw["roles"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|role| role["id"].as_str().map(str::to_owned))
        .collect()
}

fn held_policies(raw: &Value) -> Vec<Value> {
    raw["policies"].as_array().cloned().unwrap_or_default()
}

/// Policies as they are sent: ids alone.
fn bare(policies: &[Value]) -> Vec<Value> {
    let ids = |list: &Value| -> Vec<Value> {
        list.as_array()
            .into_iter()
            .flatten()
            .map(|one| json!({ "id": one["id"] }))
            .collect()
    };
    policies
        .iter()
        .map(|policy| {
            let mut bare = json!({
                "access": policy["access"], "permission_groups": ids(&policy["permission_groups"]),
                "resource_groups": ids(&policy["resource_groups"]),
            });
            if policy["id"].is_string() {
                bare["id"] = policy["id"].clone();
            }
            bare
        })
        .collect()
}

/// What policies say, without their own ids and in no order.
fn meaning(policies: &[Value]) -> BTreeSet<String> {
    let ids = |list: &Value| -> BTreeSet<String> {
        list.as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["id"].as_str().map(str::to_owned))
            .collect()
    };
    policies
        .iter()
        .map(|policy| {
            format!(
                "{} {:?} {:?}",
                policy["access"],
                ids(&policy["permission_groups"]),
                ids(&policy["resource_groups"])
            )
        })
        .collect()
}

/// The permission group that a role's name stands for, or why it cannot be told.
async fn permission_group(
    context: &RequestContext<'_>,
    held: &[Permit],
    role: &str,
    name: &str,
) -> Result<Result<String, String>, ProvisionError> {
    let over_account = held
        .iter()
        .find(|permit| permit.is_role(role, name) && permit.reach.is_account());
    if let Some(permit) = over_account {
        return Ok(Ok(permit.group.clone()));
    }
    let (store, connection) = (&context.app.store, &context.connection.id);
    let rows = store
        .account_object_by_name(connection, "permission_groups", name)
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let raw = row.raw_json()?;
        let scopes = raw
            .pointer("/meta/scopes")
            .and_then(Value::as_str)
            .unwrap_or_default();
        found.push((row.id, scopes.to_owned()));
    }
    // Of several with one name, the one that is made for accounts.
    if found.len() > 1 {
        let of_account: Vec<_> = found
            .iter()
            .filter(|(_, scopes)| scopes == "com.cloudflare.api.account")
            .cloned()
            .collect();
        if of_account.len() == 1 {
            found = of_account;
        }
    }
    Ok(match found.as_slice() {
        [(id, _)] => Ok(id.clone()),
        [] => {
            let gap = view::gaps_of(&store.listing_list(connection).await?).remove("permission_groups");
            Err(match gap {
                Some(gap) => format!(
                    "the person has access through policies, and {gap}: run `flareward sync`, or set \
                         their policies"
                ),
                None => format!(
                    "the person has access through policies, and no permission group is named \
                         \"{name}\": set their policies instead"
                ),
            })
        }
        several => {
            let listed: Vec<String> = several
                .iter()
                .map(|(id, scopes)| match scopes.as_str() {
                    "" => format!("{id} (no scope)"),
                    scopes => format!("{id} ({scopes})"),
                })
                .collect();
            Err(format!(
                "several permission groups are named \"{name}\": {}. Set their policies with one of \
                     these IDs",
                listed.join(", ")
            ))
        }
    })
}

/// The resource group that is the whole account.
async fn whole_account(
    context: &RequestContext<'_>,
    dashboard: &Dashboard,
    held: &[Permit],
) -> Result<Option<String>, ProvisionError> {
    if let Some(permit) = held.iter().find(|permit| permit.reach.is_account()) {
        return Ok(Some(permit.reach.id().to_owned()));
    }
    let rows = context
        .app
        .store
        .account_object_list(
            "resource_groups",
            Some(&context.connection.id),
            None,
            LIST_LIMIT_MAX,
        )
        .await?;
    for row in rows {
        let one = json!([{ "access": "allow", "permission_groups": [{ "id": "" }], "resource_groups": [row.raw_json()?] }]);
        let permits = dashboard.permits(one.as_array().map_or(&[], Vec::as_slice));
        if permits.iter().any(|permit| permit.reach.is_account()) {
            return Ok(Some(row.id));
        }
    }
    Ok(None)
}

async fn role_name(context: &RequestContext<'_>, role: &str) -> Result<String, ProvisionError> {
    let row = context.app.store.role_get(&context.connection.id, role).await?;
    Ok(row.map_or_else(|| role.to_owned(), |row| row.name))
}
