//! `members`: who can log in to the account's dashboard.
//!
//! Reproduces Cloudflare's quirks: an invited person has no user id, the response to an invitation contains no roles,
//! POST takes role ids as strings but PUT takes objects, PUT replaces the whole list, and a member has either roles or
//! policies, never both.

use serde_json::{Value, json};

use crate::api::iam;
use crate::call::{Body, Call};
use crate::envelope::{Answer, IAM_PAGES, Refusal, found, listed};
use crate::permissions::{MEMBERS_READ, MEMBERS_WRITE};
use crate::route::Route;
use crate::world::World;
use crate::world::member::Member;

pub(crate) fn routes() -> Vec<Route> {
    const LIST: &str = "/accounts/{account_id}/members";
    const ONE: &str = "/accounts/{account_id}/members/{member_id}";
    vec![
        Route::get(LIST, list),
        Route::post(LIST, invite),
        Route::get(ONE, get),
        Route::put(ONE, change),
        Route::delete(ONE, remove),
    ]
}

async fn list(call: Call) -> Answer {
    call.needs(MEMBERS_READ)?;
    let asked = call.page(IAM_PAGES)?;
    let status = call.query("status");
    if let Some(status) = status
        && !["accepted", "pending", "rejected"].contains(&status)
    {
        return Err(Refusal::bad_request(
            1400,
            format!("Invalid value for status: {status}"),
        ));
    }
    let world = call.world();
    let mut shown: Vec<&Member> = world
        .members
        .iter()
        .filter(|member| status.is_none_or(|status| member.status() == status))
        .collect();
    match call.query("order") {
        Some("user.email") => shown.sort_by_cached_key(|member| member.email.to_lowercase()),
        Some("user.first_name") => shown.sort_by(|a, b| a.first_name.cmp(&b.first_name)),
        Some("user.last_name") => shown.sort_by(|a, b| a.last_name.cmp(&b.last_name)),
        Some("status") => shown.sort_by_key(|member| member.status()),
        _ => {}
    }
    if call.query("direction") == Some("desc") {
        shown.reverse();
    }
    let mirrors = call.mirrors_policies();
    listed(asked.cut(&shown, |member| {
        member.to_json(&world.roles, &world.account_id, mirrors)
    }))
}

async fn invite(call: Call, Body(body): Body) -> Answer {
    call.needs(MEMBERS_WRITE)?;
    let email = body["email"]
        .as_str()
        .filter(|email| email.contains('@') && email.len() <= 90);
    let email = email
        .ok_or_else(|| Refusal::bad_request(1001, "Invalid or missing email"))?
        .to_owned();
    let accepted = match body["status"].as_str() {
        None | Some("pending") => false,
        Some("accepted") => true,
        Some(other) => return Err(Refusal::bad_request(1001, format!("Invalid status: {other}"))),
    };
    let mut world = call.world();
    if world
        .members
        .iter()
        .any(|member| member.email.eq_ignore_ascii_case(&email))
    {
        return Err(Refusal::bad_request(
            1008,
            format!("{email} is already a member of this account"),
        ));
    }
    let (role_ids, policies) = match (given(&body, "roles"), given(&body, "policies")) {
        // Roles and policies exclude each other; when both are sent the policies win.
        (_, Some(policies)) => (Vec::new(), policies_given(policies, &mut world)?),
        (Some(roles), None) => (
            roles_given(
                roles,
                |role| role.as_str().map(str::to_owned),
                "roles must be role ids",
                &world,
            )?,
            Vec::new(),
        ),
        (None, None) => return Err(Refusal::bad_request(1001, "Either roles or policies is required")),
    };
    let member = Member {
        id: world.ids.hex32(),
        email,
        user_id: accepted.then(|| world.ids.hex32()),
        first_name: None,
        last_name: None,
        second_factor: false,
        accepted,
        role_ids,
        policies,
    };
    let answer = member.to_json_without_grants();
    world.members.push(member);
    found(answer)
}

async fn get(call: Call) -> Answer {
    call.needs(MEMBERS_READ)?;
    let world = call.world();
    let member = world.members.find(call.path("member_id"));
    found(
        member
            .ok_or_else(not_found)?
            .to_json(&world.roles, &world.account_id, call.mirrors_policies()),
    )
}

async fn change(call: Call, Body(body): Body) -> Answer {
    call.needs(MEMBERS_WRITE)?;
    let mut world = call.world();
    let at = world
        .members
        .position(call.path("member_id"))
        .ok_or_else(not_found)?;
    let (role_ids, policies) = match (given(&body, "roles"), given(&body, "policies")) {
        (_, Some(policies)) => (Vec::new(), policies_given(policies, &mut world)?),
        (Some(roles), None) => {
            let id_of = |role: &Value| role["id"].as_str().map(str::to_owned);
            (
                roles_given(roles, id_of, "roles must be objects with an id", &world)?,
                Vec::new(),
            )
        }
        (None, None) => return Err(Refusal::bad_request(1001, "Either roles or policies is required")),
    };
    let member = &mut world.members[at];
    let before = (
        std::mem::replace(&mut member.role_ids, role_ids),
        std::mem::replace(&mut member.policies, policies),
    );
    let answer = world.members[at].to_json(&world.roles, &world.account_id, call.mirrors_policies());
    if call.shared.faults.write_is_lost(call.path("member_id")) {
        let member = &mut world.members[at];
        (member.role_ids, member.policies) = before;
    }
    found(answer)
}

async fn remove(call: Call) -> Answer {
    call.needs(MEMBERS_WRITE)?;
    let mut world = call.world();
    let id = call.path("member_id");
    let at = world.members.position(id).ok_or_else(not_found)?;
    world.members.remove(at);
    for user_group in &mut world.user_groups {
        user_group.member_ids.retain(|member_id| member_id != id);
    }
    found(json!({ "id": id }))
}

/// The value of a field in a body; `null` counts as missing.
fn given<'a>(body: &'a Value, name: &str) -> Option<&'a Value> {
    body.get(name).filter(|value| !value.is_null())
}

fn not_found() -> Refusal {
    Refusal::not_found(1003, "Member not found")
}

fn roles_given(
    roles: &Value,
    id_of: impl Fn(&Value) -> Option<String>,
    shape: &str,
    world: &World,
) -> Result<Vec<String>, Refusal> {
    let roles = roles
        .as_array()
        .ok_or_else(|| Refusal::bad_request(1001, shape))?;
    if roles.is_empty() {
        return Err(Refusal::bad_request(1001, "At least one role is required"));
    }
    roles
        .iter()
        .map(|role| {
            let id = id_of(role).ok_or_else(|| Refusal::bad_request(1001, shape))?;
            match world.roles.iter().find(|role| role.id == id) {
                Some(role) => Ok(role.id.clone()),
                None => Err(Refusal::bad_request(1006, format!("Role {id} not found"))),
            }
        })
        .collect()
}

/// Validates policies and converts them to the format of reads: with ids, and names if known.
fn policies_given(policies: &Value, world: &mut World) -> Result<Vec<Value>, Refusal> {
    let policies = policies
        .as_array()
        .filter(|policies| !policies.is_empty())
        .ok_or_else(|| Refusal::bad_request(1001, "At least one policy is required"))?;
    policies
        .iter()
        .map(|policy| iam::policy_given(policy, world))
        .collect()
}
