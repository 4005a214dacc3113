//! A dashboard member: who it is, what they hold, and how the API shows them.

use serde_json::{Value, json};

use crate::ids::Ids;
use crate::register::HasId;
use crate::world::iam;
use crate::world::people::{Membership, Person};
use crate::world::role::Role;

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
            vec![iam::policy(&format!("member {id}"), account_id)]
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

    pub(crate) fn status(&self) -> &'static str {
        if self.accepted { "accepted" } else { "pending" }
    }

    pub(crate) fn to_json(&self, roles: &[Role], account_id: &str, mirrors_policies: bool) -> Value {
        let mut member = self.to_json_without_grants();
        if self.policies.is_empty() {
            let held: Vec<&Role> = roles
                .iter()
                .filter(|role| self.role_ids.contains(&role.id))
                .collect();
            if mirrors_policies {
                let mirror = |role: &&Role| iam::mirror_of(role, account_id);
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

    pub(crate) fn to_json_without_grants(&self) -> Value {
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
