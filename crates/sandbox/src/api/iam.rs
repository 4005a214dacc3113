//! `iam`: permission groups, resource groups, user groups and their members; and policies that combine permission
//! groups and resource groups.

use serde_json::{Value, json};

use crate::call::{Body, Call};
use crate::clock::rfc3339;
use crate::envelope::{Answer, IAM_PAGES, Refusal, USER_GROUP_PAGES, found, listed};
use crate::permissions::{self, ACCOUNT_READ, MEMBERS_READ, MEMBERS_WRITE, PermissionGroup};
use crate::route::Route;
use crate::world::iam::{permission_group, permission_group_id};
use crate::world::{UserGroup, World};

/// A policy from a body, with its groups expanded and its own id.
pub(crate) fn policy_given(policy: &Value, world: &mut World) -> Result<Value, Refusal> {
    let invalid = |why: &str| Refusal::bad_request(1001, format!("Invalid policy: {why}"));
    let access = policy["access"]
        .as_str()
        .filter(|access| ["allow", "deny"].contains(access));
    let access = access.ok_or_else(|| invalid("access must be allow or deny"))?;
    let ids = |key: &str| -> Result<Vec<String>, Refusal> {
        let groups = policy[key].as_array().filter(|groups| !groups.is_empty());
        let groups = groups.ok_or_else(|| invalid(&format!("{key} is required")))?;
        let id = |group: &Value| group["id"].as_str().map(str::to_owned);
        groups
            .iter()
            .map(|group| id(group).ok_or_else(|| invalid(&format!("{key} must have ids"))))
            .collect()
    };
    let mut permission_groups = Vec::new();
    for id in ids("permission_groups")? {
        let known = permissions::ALL
            .iter()
            .find(|group| permission_group_id(group.name) == id);
        permission_groups.push(permission_group(
            known.ok_or_else(|| invalid("unknown permission group"))?,
        ));
    }
    let mut resource_groups = Vec::new();
    for id in ids("resource_groups")? {
        let known = world.resource_groups.iter().find(|group| group["id"] == id);
        resource_groups.push(known.ok_or_else(|| invalid("unknown resource group"))?.clone());
    }
    let id = policy["id"]
        .as_str()
        .map_or_else(|| world.ids.hex32(), str::to_owned);
    Ok(json!({
        "id": id, "access": access, "permission_groups": permission_groups, "resource_groups": resource_groups,
    }))
}

pub(crate) fn routes() -> Vec<Route> {
    const RESOURCES: &str = "/accounts/{account_id}/iam/resource_groups";
    const RESOURCE: &str = "/accounts/{account_id}/iam/resource_groups/{resource_group_id}";
    const GROUPS: &str = "/accounts/{account_id}/iam/user_groups";
    const GROUP: &str = "/accounts/{account_id}/iam/user_groups/{user_group_id}";
    const MEMBERS: &str = "/accounts/{account_id}/iam/user_groups/{user_group_id}/members";
    const MEMBER: &str = "/accounts/{account_id}/iam/user_groups/{user_group_id}/members/{member_id}";
    vec![
        Route::get("/accounts/{account_id}/iam/permission_groups", permission_groups),
        Route::get(
            "/accounts/{account_id}/iam/permission_groups/{permission_group_id}",
            permission_group_get,
        ),
        Route::get(RESOURCES, resource_groups),
        Route::post(RESOURCES, resource_group_create),
        Route::get(RESOURCE, resource_group_get),
        Route::put(RESOURCE, resource_group_change),
        Route::delete(RESOURCE, resource_group_remove),
        Route::get(GROUPS, user_groups),
        Route::post(GROUPS, user_group_create),
        Route::get(GROUP, user_group_get),
        Route::put(GROUP, user_group_change),
        Route::delete(GROUP, user_group_remove),
        Route::get(MEMBERS, user_group_members),
        Route::post(MEMBERS, user_group_members_add),
        Route::put(MEMBERS, user_group_members_replace),
        Route::get(MEMBER, user_group_member_get),
        Route::delete(MEMBER, user_group_member_remove),
    ]
}

async fn permission_groups(call: Call) -> Answer {
    call.needs(ACCOUNT_READ)?;
    let asked = call.page(IAM_PAGES)?;
    let shown: Vec<&PermissionGroup> = permissions::ALL
        .iter()
        .filter(|group| call.query("name").is_none_or(|name| group.name == name))
        .filter(|group| {
            call.query("id")
                .is_none_or(|id| permission_group_id(group.name) == id)
        })
        .collect();
    listed(asked.cut(&shown, |group| permission_group(group)))
}

async fn permission_group_get(call: Call) -> Answer {
    call.needs(ACCOUNT_READ)?;
    let id = call.path("permission_group_id");
    let group = permissions::ALL
        .iter()
        .find(|group| permission_group_id(group.name) == id);
    found(permission_group(group.ok_or_else(|| {
        Refusal::not_found(1005, "Permission group not found")
    })?))
}

async fn resource_groups(call: Call) -> Answer {
    call.needs(MEMBERS_READ)?;
    let world = call.world();
    let shown: Vec<&Value> = world
        .resource_groups
        .iter()
        .filter(|group| call.query("name").is_none_or(|name| group["name"] == name))
        .filter(|group| call.query("id").is_none_or(|id| group["id"] == id))
        .collect();
    found(shown)
}

/// The scope is one object in writes and a list in reads.
fn scope_given(scope: &Value) -> Result<Value, Refusal> {
    let objects = scope["objects"]
        .as_array()
        .filter(|objects| objects.iter().all(|object| object["key"].is_string()));
    if scope["key"].is_string() && objects.is_some() {
        Ok(json!([scope]))
    } else {
        Err(Refusal::bad_request(
            1001,
            "scope must be an object with a key and objects",
        ))
    }
}

async fn resource_group_create(call: Call, Body(body): Body) -> Answer {
    call.needs(MEMBERS_WRITE)?;
    let name = body["name"]
        .as_str()
        .ok_or_else(|| Refusal::bad_request(1001, "name is required"))?;
    let scope = scope_given(&body["scope"])?;
    let mut world = call.world();
    let group =
        json!({ "id": world.ids.hex32(), "name": name, "scope": scope, "meta": { "editable": "true" } });
    world.resource_groups.push(group.clone());
    found(group)
}

async fn resource_group_get(call: Call) -> Answer {
    call.needs(MEMBERS_READ)?;
    let world = call.world();
    found(&world.resource_groups[resource_group_position(&call, &world)?])
}

async fn resource_group_change(call: Call, Body(body): Body) -> Answer {
    call.needs(MEMBERS_WRITE)?;
    let scope = body.get("scope").map(scope_given).transpose()?;
    let mut world = call.world();
    let at = resource_group_position(&call, &world)?;
    let group = &mut world.resource_groups[at];
    if let Some(name) = body["name"].as_str() {
        group["name"] = json!(name);
    }
    if let Some(scope) = scope {
        group["scope"] = scope;
    }
    found(group.clone())
}

async fn resource_group_remove(call: Call) -> Answer {
    call.needs(MEMBERS_WRITE)?;
    let mut world = call.world();
    let at = resource_group_position(&call, &world)?;
    let group = world.resource_groups.remove(at);
    found(json!({ "id": group["id"] }))
}

fn resource_group_position(call: &Call, world: &World) -> Result<usize, Refusal> {
    let id = call.path("resource_group_id");
    let at = world.resource_groups.iter().position(|group| group["id"] == id);
    at.ok_or_else(|| Refusal::not_found(1005, "Resource group not found"))
}

async fn user_groups(call: Call) -> Answer {
    call.needs(MEMBERS_READ)?;
    let asked = call.page(USER_GROUP_PAGES)?;
    let world = call.world();
    let fuzzy = call.query("fuzzyName").map(str::to_lowercase);
    let shown: Vec<&UserGroup> = world
        .user_groups
        .iter()
        .filter(|held| call.query("name").is_none_or(|name| held.group["name"] == name))
        .filter(|held| call.query("id").is_none_or(|id| held.group["id"] == id))
        .filter(|held| {
            let name = held.group["name"].as_str().unwrap_or_default().to_lowercase();
            fuzzy.as_ref().is_none_or(|part| name.contains(part))
        })
        .collect();
    listed(asked.cut(&shown, |held| &held.group))
}

fn policies_given(policies: &Value, world: &mut World) -> Result<Vec<Value>, Refusal> {
    let policies = policies
        .as_array()
        .ok_or_else(|| Refusal::bad_request(1001, "policies must be a list"))?;
    policies
        .iter()
        .map(|policy| policy_given(policy, world))
        .collect()
}

async fn user_group_create(call: Call, Body(body): Body) -> Answer {
    call.needs(MEMBERS_WRITE)?;
    let name = body["name"]
        .as_str()
        .ok_or_else(|| Refusal::bad_request(1001, "name is required"))?;
    let now = rfc3339(call.now());
    let mut world = call.world();
    if world.user_groups.iter().any(|held| held.group["name"] == name) {
        return Err(Refusal::bad_request(
            1008,
            "A user group with this name exists already",
        ));
    }
    let policies = match body.get("policies") {
        Some(policies) => policies_given(policies, &mut world)?,
        None => Vec::new(),
    };
    let group = json!({
        "id": world.ids.hex32(), "name": name, "created_on": now, "modified_on": now, "policies": policies,
    });
    world.user_groups.push(UserGroup {
        group: group.clone(),
        member_ids: Vec::new(),
    });
    found(group)
}

async fn user_group_get(call: Call) -> Answer {
    call.needs(MEMBERS_READ)?;
    let world = call.world();
    found(&world.user_groups[user_group_position(&call, &world)?].group)
}

async fn user_group_change(call: Call, Body(body): Body) -> Answer {
    call.needs(MEMBERS_WRITE)?;
    let now = rfc3339(call.now());
    let mut world = call.world();
    let at = user_group_position(&call, &world)?;
    let policies = match body.get("policies") {
        Some(policies) => Some(policies_given(policies, &mut world)?),
        None => None,
    };
    let group = &mut world.user_groups[at].group;
    if let Some(name) = body["name"].as_str() {
        group["name"] = json!(name);
    }
    if let Some(policies) = policies {
        group["policies"] = json!(policies);
    }
    group["modified_on"] = json!(now);
    found(group.clone())
}

async fn user_group_remove(call: Call) -> Answer {
    call.needs(MEMBERS_WRITE)?;
    let mut world = call.world();
    let at = user_group_position(&call, &world)?;
    let held = world.user_groups.remove(at);
    found(json!({ "id": held.group["id"] }))
}

fn user_group_position(call: &Call, world: &World) -> Result<usize, Refusal> {
    let id = call.path("user_group_id");
    let at = world.user_groups.iter().position(|held| held.group["id"] == id);
    at.ok_or_else(|| Refusal::not_found(1005, "User group not found"))
}

fn in_group(member_id: &str, world: &World) -> Option<Value> {
    let member = world.members.find(member_id)?;
    let status = if member.accepted { "accepted" } else { "pending" };
    Some(json!({ "id": member.id, "email": member.email, "status": status }))
}

async fn user_group_members(call: Call) -> Answer {
    call.needs(MEMBERS_READ)?;
    let asked = call.page(USER_GROUP_PAGES)?;
    let world = call.world();
    let held = &world.user_groups[user_group_position(&call, &world)?];
    let fuzzy = call.query("fuzzyEmail").map(str::to_lowercase);
    let shown: Vec<Value> = held
        .member_ids
        .iter()
        .filter_map(|id| in_group(id, &world))
        .filter(|member| {
            let email = member["email"].as_str().unwrap_or_default().to_lowercase();
            fuzzy.as_ref().is_none_or(|part| email.contains(part))
        })
        .collect();
    listed(asked.cut(&shown, |member| member))
}

/// The memberships in a body, each of which must exist.
fn member_ids_given(body: &Value, world: &World) -> Result<Vec<String>, Refusal> {
    let members = body
        .as_array()
        .ok_or_else(|| Refusal::bad_request(1001, "a list of members is required"))?;
    let mut ids = Vec::new();
    for member in members {
        let id = member["id"]
            .as_str()
            .ok_or_else(|| Refusal::bad_request(1001, "id is required"))?;
        if in_group(id, world).is_none() {
            return Err(Refusal::bad_request(1003, format!("Member {id} not found")));
        }
        ids.push(id.to_owned());
    }
    Ok(ids)
}

async fn user_group_members_add(call: Call, Body(body): Body) -> Answer {
    call.needs(MEMBERS_WRITE)?;
    let mut world = call.world();
    let at = user_group_position(&call, &world)?;
    for id in member_ids_given(&body, &world)? {
        if !world.user_groups[at].member_ids.contains(&id) {
            world.user_groups[at].member_ids.push(id);
        }
    }
    let ids = world.user_groups[at].member_ids.iter();
    found(ids.filter_map(|id| in_group(id, &world)).collect::<Vec<_>>())
}

async fn user_group_members_replace(call: Call, Body(body): Body) -> Answer {
    call.needs(MEMBERS_WRITE)?;
    let mut world = call.world();
    let at = user_group_position(&call, &world)?;
    world.user_groups[at].member_ids = member_ids_given(&body, &world)?;
    let ids = world.user_groups[at].member_ids.iter();
    found(ids.filter_map(|id| in_group(id, &world)).collect::<Vec<_>>())
}

async fn user_group_member_get(call: Call) -> Answer {
    call.needs(MEMBERS_READ)?;
    let world = call.world();
    let held = &world.user_groups[user_group_position(&call, &world)?];
    let id = call.path("member_id");
    let in_this = held
        .member_ids
        .iter()
        .any(|held| held == id)
        .then(|| in_group(id, &world))
        .flatten();
    let mut answer =
        in_this.ok_or_else(|| Refusal::not_found(1003, "Member not found in this user group"))?;
    if let Some(member) = world.members.find(id) {
        answer["user"] = json!({ "email": member.email });
        for (key, value) in [
            ("id", &member.user_id),
            ("first_name", &member.first_name),
            ("last_name", &member.last_name),
        ] {
            if let Some(value) = value {
                answer["user"][key] = json!(value);
            }
        }
    }
    found(answer)
}

async fn user_group_member_remove(call: Call) -> Answer {
    call.needs(MEMBERS_WRITE)?;
    let mut world = call.world();
    let at = user_group_position(&call, &world)?;
    let id = call.path("member_id");
    let place = world.user_groups[at]
        .member_ids
        .iter()
        .position(|held| held == id);
    let place = place.ok_or_else(|| Refusal::not_found(1003, "Member not found in this user group"))?;
    let answer = in_group(id, &world);
    world.user_groups[at].member_ids.remove(place);
    found(answer)
}
