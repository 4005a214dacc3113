//! `members`: who can log in to the account's dashboard.
//!
//! Reproduces Cloudflare's quirks: an invited person has no user id, the response to an invitation contains no roles,
//! POST takes role ids as strings but PUT takes objects, PUT replaces the whole list, and a member has either roles or
//! policies, never both.

use serde_json::{Value, json};

use crate::call::{Body, Call};
use crate::envelope::{Answer, IAM_PAGES, Refusal, found, listed};
use crate::ids::Ids;
use crate::people::{Membership, Person};
use crate::permissions::{MEMBERS_READ, MEMBERS_WRITE};
use crate::register::HasId;
use crate::roles::Role;
use crate::server::Route;
use crate::world::World;

/// A membership. Its id is not the user's id.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) email: String,
    /// `None` for a person who never signed up.
    pub(crate) user_id: Option<String>,
    pub(crate) first_name: Option<String>,
    pub(crate) last_name: Option<String>,
    pub(crate) second_factor: bool,
    pub(crate) accepted: bool,
    pub(crate) role_ids: Vec<String>,
    pub(crate) policies: Vec<Value>,
}

impl HasId for Member {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Member {
    pub(crate) fn new(person: &Person, ids: &mut Ids, roles: &[Role], account_id: &str) -> Self {
        let role_id = |name: &str| {
            roles
                .iter()
                .find(|role| role.name == name)
                .map(|role| role.id.clone())
        };
        let (accepted, role) = match person.membership {
            Membership::Role(name) => (true, role_id(name)),
            Membership::Invited(name) => (false, role_id(name)),
            Membership::Policies => (true, None),
            Membership::None => (
                true,
                roles
                    .get(1 + ids.below(roles.len() - 1))
                    .map(|role| role.id.clone()),
            ),
        };
        let id = ids.hex32();
        let policies = if role.is_some() {
            Vec::new()
        } else {
            vec![crate::iam::policy(&format!("member {id}"), account_id)]
        };
        Self {
            id,
            email: person.member_email.clone(),
            user_id: accepted.then(|| ids.hex32()),
            first_name: accepted.then(|| person.first.clone()),
            last_name: accepted.then(|| person.last.clone()),
            second_factor: accepted && person.second_factor,
            accepted,
            role_ids: role.into_iter().collect(),
            policies,
        }
    }

    fn status(&self) -> &'static str {
        if self.accepted { "accepted" } else { "pending" }
    }

    pub(crate) fn to_json(&self, world: &World, mirrors_policies: bool) -> Value {
        let mut member = self.to_json_without_grants();
        if self.policies.is_empty() {
            let held: Vec<&Role> = world
                .roles
                .iter()
                .filter(|role| self.role_ids.contains(&role.id))
                .collect();
            if mirrors_policies {
                let mirror = |role: &&Role| crate::iam::mirror_of(role, &world.account_id);
                member["policies"] = held.iter().map(mirror).collect();
            }
            let held: Vec<Value> = held.into_iter().map(Role::to_json).collect();
            member["roles"] = json!(held);
        } else {
            member["roles"] = json!([]);
            member["policies"] = json!(self.policies);
        }
        member
    }

    fn to_json_without_grants(&self) -> Value {
        let mut user = json!({
            "email": self.email, "first_name": self.first_name, "last_name": self.last_name,
            "two_factor_authentication_enabled": self.second_factor,
        });
        if let Some(user_id) = &self.user_id {
            user["id"] = json!(user_id);
        }
        json!({ "id": self.id, "email": self.email, "status": self.status(), "user": user })
    }
}

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
    listed(asked.cut(&shown, |member| member.to_json(&world, mirrors)))
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
            .to_json(&world, call.mirrors_policies()),
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
    let answer = world.members[at].to_json(&world, call.mirrors_policies());
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
        .map(|policy| crate::iam::policy_given(policy, world))
        .collect()
}
