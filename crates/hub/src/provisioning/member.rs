//! Members of an account: roles or policies, invitations, removal.
//!
//! A member has roles or policies, never both; a PUT replaces the whole list. Members are found by the stored list
//! and read again by their membership's id, which is not their user's. Plans are made from the member as it is at
//! that moment.

use super::plan::{Guard, Plan};
use super::request::Request;
use super::{ProvisionError, Scene};
use cloudflare::{CloudflareError, SUPER_ADMINISTRATOR_ROLE_ID, Write};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::{LIST_LIMIT_MAX, MemberRow};

/// Plans a change of a member.
pub(super) async fn plan(scene: &Scene<'_>, request: &Request) -> Result<Plan, ProvisionError> {
    let email = request.email();
    let mut plan = Plan::new(request, &scene.connection.label, "member");
    email.clone_into(&mut plan.object_name);
    let found = find(scene, email).await?;
    let Some((row, raw)) = found else {
        return absent(scene, plan, request).await;
    };
    plan.object_id.clone_from(&row.id);
    plan.object_name.clone_from(&row.email);
    plan.before = raw.clone();
    let is_pending = raw["status"] == "pending";
    match request {
        Request::MemberInvite { roles, policies, .. } => {
            let held: BTreeSet<String> = role_ids(&raw).into_iter().collect();
            let wanted: BTreeSet<String> = roles.iter().cloned().collect();
            let state = if is_pending { "is invited" } else { "is a member" };
            if wanted.is_subset(&held) && policies.is_empty() {
                return Ok(plan.already(format!("{email} {state} already")));
            }
            Ok(plan.refused(
                Guard::WrongState,
                format!("{email} {state} already, with other roles: change those instead"),
            ))
        }
        Request::InvitationCancel { .. } if !is_pending => Ok(plan.refused(
            Guard::WrongState,
            format!("{email} has accepted: remove the member instead"),
        )),
        Request::InvitationCancel { .. } => {
            plan.summary = format!("take back the invitation of {email}");
            remove(scene, plan, &row, &raw).await
        }
        Request::MemberRemove { .. } => {
            plan.summary = format!(
                "remove {email} from the account {}",
                scene.connection.account_name
            );
            remove(scene, plan, &row, &raw).await
        }
        Request::MemberRolesSet { roles, .. } => {
            plan.summary = format!("give {email} exactly {} roles", roles.len());
            set_roles(scene, plan, &row, &raw, roles.clone()).await
        }
        Request::MemberPoliciesSet { policies, .. } => {
            plan.summary = format!("give {email} exactly {} policies", policies.len());
            set_policies(scene, plan, &row, &raw, policies.clone()).await
        }
        Request::RoleGrant { role, .. } => role_grant(scene, plan, &row, &raw, role).await,
        Request::RoleRevoke { role, .. } => role_revoke(scene, plan, &row, &raw, role).await,
        _ => Err(ProvisionError::NotHere),
    }
}

/// The membership with an address, as it is stored and as Cloudflare has it now.
async fn find(scene: &Scene<'_>, email: &str) -> Result<Option<(MemberRow, Value)>, ProvisionError> {
    let Some(person) = scene.app.store.person_by_email(email).await? else {
        return Ok(None);
    };
    let mut rows = scene.app.store.member_by_person(&person.id).await?;
    rows.retain(|row| row.connection_id == scene.connection.id);
    // The address that was asked for before another of the person, an accepted membership before an invitation.
    rows.sort_by_key(|row| (row.email.to_lowercase() != email, row.status != "accepted"));
    for row in rows {
        match scene.client.member(&scene.account, &row.id).await {
            Ok(raw) => return Ok(Some((row, raw))),
            Err(CloudflareError::Refused(refusal)) if refusal.status == 404 => {}
            Err(source) => return Err(scene.failed(source)),
        }
    }
    Ok(None)
}

async fn absent(scene: &Scene<'_>, mut plan: Plan, request: &Request) -> Result<Plan, ProvisionError> {
    let email = request.email();
    match request {
        Request::MemberInvite { roles, policies, .. } => {
            if roles.is_empty() && policies.is_empty() {
                return Ok(plan.refused(Guard::NoRoleLeft, "an invitation needs at least one role"));
            }
            let names = role_names(scene, roles).await?;
            plan.summary = format!(
                "invite {email} into the account {} as {}",
                scene.connection.account_name,
                if names.is_empty() {
                    "told by policies".to_owned()
                } else {
                    names.join(", ")
                }
            );
            if roles.iter().any(|role| is_super(role, "")) {
                plan.warnings.push(format!(
                    "{email} will be a super administrator, who may do everything"
                ));
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
            format!("{email} is not a member of the account: invite them"),
        )),
    }
}

async fn remove(
    scene: &Scene<'_>,
    mut plan: Plan,
    row: &MemberRow,
    raw: &Value,
) -> Result<Plan, ProvisionError> {
    if let Some(refused) = guard_loss(scene, &mut plan, row, raw, &BTreeSet::new(), true).await? {
        return Ok(refused);
    }
    plan.calls = vec![Write::member_remove(&row.id).map_err(ProvisionError::Id)?];
    plan.after = Value::Null;
    let policies = held_policies(raw);
    plan.undo = Some(Request::MemberInvite {
        connection: plan.request.connection().clone(),
        email: row.email.to_lowercase(),
        roles: if policies.is_empty() {
            role_ids(raw)
        } else {
            Vec::new()
        },
        policies,
    });
    plan.warnings
        .push("taking it back is an invitation that they must accept".to_owned());
    Ok(plan)
}

async fn role_grant(
    scene: &Scene<'_>,
    mut plan: Plan,
    row: &MemberRow,
    raw: &Value,
    role: &str,
) -> Result<Plan, ProvisionError> {
    let name = role_names(scene, &[role.to_owned()]).await?.join(", ");
    plan.summary = format!("give {} the role {name}", row.email);
    let undo = Request::RoleRevoke {
        connection: plan.request.connection().clone(),
        role: role.to_owned(),
        email: row.email.to_lowercase(),
    };
    if is_super(role, &name) {
        plan.warnings.push(format!(
            "{} will be a super administrator, who may do everything",
            row.email
        ));
    }
    let policies = held_policies(raw);
    if policies.is_empty() {
        let mut roles = role_ids(raw);
        if roles.iter().any(|held| held == role) {
            return Ok(plan.already(format!("{} has the role {name} already", row.email)));
        }
        roles.push(role.to_owned());
        let mut plan = set_roles(scene, plan, row, raw, roles).await?;
        plan.undo = Some(undo);
        return Ok(plan);
    }
    // Members with policies have no roles: the permission group of the same name over the whole account is it.
    let Some((group, whole)) = account_wide(scene, &name).await? else {
        return Ok(plan.refused(
            Guard::WrongState,
            format!(
                "{} has policies in place of roles, and no permission group is called \"{name}\": set their policies instead",
                row.email
            ),
        ));
    };
    if policies
        .iter()
        .any(|policy| has_group(policy, &group) && is_over(policy, &whole))
    {
        return Ok(plan.already(format!("{} has {name} over the whole account already", row.email)));
    }
    let mut wanted = policies;
    wanted.push(json!({
        "access": "allow", "permission_groups": [{ "id": group }], "resource_groups": [{ "id": whole }],
    }));
    let mut plan = set_policies(scene, plan, row, raw, wanted).await?;
    plan.undo = Some(undo);
    Ok(plan)
}

async fn role_revoke(
    scene: &Scene<'_>,
    mut plan: Plan,
    row: &MemberRow,
    raw: &Value,
    role: &str,
) -> Result<Plan, ProvisionError> {
    let name = role_names(scene, &[role.to_owned()]).await?.join(", ");
    plan.summary = format!("take the role {name} from {}", row.email);
    let undo = Request::RoleGrant {
        connection: plan.request.connection().clone(),
        role: role.to_owned(),
        email: row.email.to_lowercase(),
    };
    let policies = held_policies(raw);
    if policies.is_empty() {
        let mut roles = role_ids(raw);
        if !roles.iter().any(|held| held == role) {
            return Ok(plan.already(format!("{} does not have the role {name}", row.email)));
        }
        roles.retain(|held| held != role);
        let mut plan = set_roles(scene, plan, row, raw, roles).await?;
        plan.undo = plan.undo.is_some().then_some(undo);
        return Ok(plan);
    }
    let Some((group, whole)) = account_wide(scene, &name).await? else {
        return Ok(plan.already(format!("{} has policies, and none of them is {name}", row.email)));
    };
    let having: Vec<&Value> = policies
        .iter()
        .filter(|policy| has_group(policy, &group))
        .collect();
    if having.is_empty() {
        return Ok(plan.already(format!("{} does not have {name}", row.email)));
    }
    if !having.iter().any(|policy| is_over(policy, &whole)) {
        return Ok(plan.refused(
            Guard::ScopedPolicy,
            format!(
                "{} has {name} over other resources than the whole account: set their policies instead",
                row.email
            ),
        ));
    }
    let mut wanted: Vec<Value> = Vec::new();
    for policy in &policies {
        let mut policy = policy.clone();
        if has_group(&policy, &group) && is_over(&policy, &whole) {
            if let Some(groups) = policy["permission_groups"].as_array_mut() {
                groups.retain(|held| held["id"] != group);
                if groups.is_empty() {
                    continue;
                }
            }
        } else if has_group(&policy, &group) {
            plan.remains
                .push(format!("{name} over other resources, by another policy"));
        }
        wanted.push(policy);
    }
    let mut plan = set_policies(scene, plan, row, raw, wanted).await?;
    plan.undo = plan.undo.is_some().then_some(undo);
    Ok(plan)
}

async fn set_roles(
    scene: &Scene<'_>,
    mut plan: Plan,
    row: &MemberRow,
    raw: &Value,
    roles: Vec<String>,
) -> Result<Plan, ProvisionError> {
    let held = role_ids(raw);
    let (old, new): (BTreeSet<&String>, BTreeSet<&String>) = (held.iter().collect(), roles.iter().collect());
    if old == new && held_policies(raw).is_empty() {
        return Ok(plan.already(format!("{} has exactly these roles already", row.email)));
    }
    if roles.is_empty() {
        return Ok(plan.refused(
            Guard::NoRoleLeft,
            format!(
                "{} would be left without any role: remove the member instead",
                row.email
            ),
        ));
    }
    let names = role_names(scene, &roles).await?;
    let kept: BTreeSet<String> = roles.iter().cloned().collect();
    if let Some(refused) = guard_loss(scene, &mut plan, row, raw, &kept, false).await? {
        return Ok(refused);
    }
    plan.calls = vec![Write::member_roles(&row.id, &roles).map_err(ProvisionError::Id)?];
    let mut after = raw.clone();
    after["roles"] = roles
        .iter()
        .zip(&names)
        .map(|(id, name)| json!({ "id": id, "name": name }))
        .collect();
    if let Some(members) = after.as_object_mut() {
        members.remove("policies");
    }
    plan.after = after;
    let policies = held_policies(raw);
    plan.undo = Some(if policies.is_empty() {
        Request::MemberRolesSet {
            connection: plan.request.connection().clone(),
            email: row.email.to_lowercase(),
            roles: held,
        }
    } else {
        Request::MemberPoliciesSet {
            connection: plan.request.connection().clone(),
            email: row.email.to_lowercase(),
            policies,
        }
    });
    Ok(plan)
}

async fn set_policies(
    scene: &Scene<'_>,
    mut plan: Plan,
    row: &MemberRow,
    raw: &Value,
    policies: Vec<Value>,
) -> Result<Plan, ProvisionError> {
    let held = held_policies(raw);
    if meaning(&held) == meaning(&policies) {
        return Ok(plan.already(format!("{} has exactly these policies already", row.email)));
    }
    if policies.is_empty() {
        return Ok(plan.refused(
            Guard::NoRoleLeft,
            format!(
                "{} would be left without any policy: remove the member instead",
                row.email
            ),
        ));
    }
    if let Some(refused) = guard_loss(scene, &mut plan, row, raw, &BTreeSet::new(), false).await? {
        return Ok(refused);
    }
    plan.calls = vec![Write::member_policies(&row.id, &bare(&policies)).map_err(ProvisionError::Id)?];
    let mut after = raw.clone();
    after["policies"] = json!(policies);
    plan.after = after;
    plan.undo = Some(if held.is_empty() {
        Request::MemberRolesSet {
            connection: plan.request.connection().clone(),
            email: row.email.to_lowercase(),
            roles: role_ids(raw),
        }
    } else {
        Request::MemberPoliciesSet {
            connection: plan.request.connection().clone(),
            email: row.email.to_lowercase(),
            policies: held,
        }
    });
    Ok(plan)
}

/// Refuses what would leave too few super administrators, or take the power of whoever's credential this is.
async fn guard_loss(
    scene: &Scene<'_>,
    plan: &mut Plan,
    row: &MemberRow,
    raw: &Value,
    kept: &BTreeSet<String>,
    is_removed: bool,
) -> Result<Option<Plan>, ProvisionError> {
    let held = role_ids(raw);
    let loses: Vec<&String> = held.iter().filter(|role| !kept.contains(*role)).collect();
    if loses.is_empty() && !is_removed && held_policies(raw).is_empty() {
        return Ok(None);
    }
    let owner = scene.credential_owner().await;
    match &owner {
        Some(owner) if owner.eq_ignore_ascii_case(&row.email) => {
            return Ok(Some(plan.clone().refused(
                Guard::OwnCredential,
                format!(
                    "the credential of connection {} belongs to {}: Flareward could lose its own access",
                    scene.connection.label, row.email
                ),
            )));
        }
        Some(_) => plan.passes(
            Guard::OwnCredential,
            "the connection's credential belongs to someone else",
        ),
        None if scene.connection.credential_kind == model::CredentialKind::AccountToken => {
            plan.passes(
                Guard::OwnCredential,
                "the connection's credential belongs to the account",
            );
        }
        None => plan
            .warnings
            .push("Cloudflare does not say whose credential this connection has".to_owned()),
    }
    let is_super_now = raw["status"] == "accepted" && holds_super(raw);
    let stays_super = !is_removed && kept.iter().any(|role| is_super(role, ""));
    if !is_super_now || stays_super {
        return Ok(None);
    }
    let keep = scene.app.settings.provisioning.super_administrators;
    let others = other_super_administrators(scene, &row.id, keep).await?;
    if others < keep {
        return Ok(Some(plan.clone().refused(
            Guard::LastSuperAdministrators,
            format!(
                "{others} other super {} would be left, and at least {keep} must stay (setting provisioning.super_administrators)",
                if others == 1 { "administrator" } else { "administrators" }
            ),
        )));
    }
    plan.passes(
        Guard::LastSuperAdministrators,
        format!("at least {keep} super administrators stay"),
    );
    Ok(None)
}

/// How many other super administrators there are, up to `enough`; each is looked at as Cloudflare has it now.
async fn other_super_administrators(
    scene: &Scene<'_>,
    except: &str,
    enough: usize,
) -> Result<usize, ProvisionError> {
    let mut found = 0;
    let mut after: Option<(String, String)> = None;
    loop {
        let place = after
            .as_ref()
            .map(|(connection, id)| (connection.as_str(), id.as_str()));
        let rows = scene
            .app
            .store
            .member_list(Some(&scene.connection.id), place, LIST_LIMIT_MAX)
            .await?;
        let Some(last) = rows.last() else { return Ok(found) };
        after = Some((last.connection_id.0.clone(), last.id.clone()));
        for row in rows {
            if found >= enough {
                return Ok(found);
            }
            let stored: Value = serde_json::from_str(&row.raw).unwrap_or_default();
            if row.id == except || row.status != "accepted" || !holds_super(&stored) {
                continue;
            }
            match scene.client.member(&scene.account, &row.id).await {
                Ok(now) if now["status"] == "accepted" && holds_super(&now) => found += 1,
                Ok(_) => {}
                Err(CloudflareError::Refused(refusal)) if refusal.status == 404 => {}
                Err(source) => return Err(scene.failed(source)),
            }
        }
    }
}

fn is_super(role: &str, name: &str) -> bool {
    role == SUPER_ADMINISTRATOR_ROLE_ID || name.starts_with("Super Administrator")
}

fn holds_super(raw: &Value) -> bool {
    raw["roles"].as_array().into_iter().flatten().any(|role| {
        is_super(
            role["id"].as_str().unwrap_or_default(),
            role["name"].as_str().unwrap_or_default(),
        )
    })
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

fn has_group(policy: &Value, group: &str) -> bool {
    policy["access"] != "deny"
        && policy["permission_groups"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|held| held["id"] == group)
}

fn is_over(policy: &Value, resources: &str) -> bool {
    policy["resource_groups"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|held| held["id"] == resources)
}

/// The permission group of a name, and the resource group that is the whole account.
async fn account_wide(scene: &Scene<'_>, name: &str) -> Result<Option<(String, String)>, ProvisionError> {
    let store = &scene.app.store;
    let connection = &scene.connection.id;
    let groups = store
        .account_object_by_name(connection, "permission_groups", name)
        .await?;
    let Some(group) = groups.into_iter().next() else {
        return Ok(None);
    };
    let key = format!("com.cloudflare.api.account.{}", scene.account.as_str());
    let resources = store
        .account_object_list("resource_groups", Some(connection), None, LIST_LIMIT_MAX)
        .await?;
    let whole = resources.into_iter().find(|row| {
        let raw: Value = serde_json::from_str(&row.raw).unwrap_or_default();
        // A scope is a list when it is read, and an object when it is written.
        let scopes = match &raw["scope"] {
            Value::Array(scopes) => scopes.clone(),
            other => vec![other.clone()],
        };
        scopes.iter().any(|scope| {
            let all = scope["objects"]
                .as_array()
                .is_some_and(|objects| objects.iter().any(|object| object["key"] == "*"));
            scope["key"] == key.as_str() && all
        })
    });
    Ok(whole.map(|whole| (group.id, whole.id)))
}

async fn role_names(scene: &Scene<'_>, roles: &[String]) -> Result<Vec<String>, ProvisionError> {
    let mut names = Vec::with_capacity(roles.len());
    for role in roles {
        let row = scene.app.store.role_get(&scene.connection.id, role).await?;
        names.push(row.map_or_else(|| role.clone(), |row| row.name));
    }
    Ok(names)
}
