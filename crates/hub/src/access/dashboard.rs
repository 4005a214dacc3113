//! What members of an account may do in the dashboard: by roles, by policies, and through user groups; and who is a
//! super administrator.
//!
//! Cloudflare answers a member who was given roles with policies that mirror them, under other ids and the same
//! names: such a pair is one holding. What a policy gives is one thing for each permission group and each resource
//! group that it names, so that a wide scope never disappears behind a narrow one. Pure. Start reading at
//! [`Dashboard::holdings`] and [`Dashboard::super_administrator`].

use cloudflare::SUPER_ADMINISTRATOR_ROLE_ID;
use model::address;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// A role's id and name.
pub type Role = (Arc<str>, Arc<str>);

/// Over what a permission group is held.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// The whole account, by the id of its resource group.
    Account(String),
    /// Some of it: a resource group, by id and name.
    Part {
        /// The resource group's id.
        id: String,
        /// Its name.
        name: String,
    },
    /// Cloudflare does not say over what: a resource group's id, or nothing.
    Unknown(String),
}

impl Reach {
    /// Whether it is the whole account.
    pub fn is_account(&self) -> bool {
        matches!(self, Reach::Account(_))
    }

    /// The resource group's id; empty when none is named.
    pub fn id(&self) -> &str {
        match self {
            Reach::Account(id) | Reach::Part { id, .. } | Reach::Unknown(id) => id,
        }
    }

    /// In words.
    pub fn words(&self) -> String {
        match self {
            Reach::Account(_) => "the whole account".to_owned(),
            Reach::Part { id, name } if name.is_empty() => id.clone(),
            Reach::Part { name, .. } => name.clone(),
            Reach::Unknown(id) if id.is_empty() => "unspecified resources".to_owned(),
            Reach::Unknown(id) => format!("the resource group {id} (scope unknown)"),
        }
    }
}

/// A permission group over some resources, as a policy gives or takes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permit {
    /// The permission group's id.
    pub group: String,
    /// Its name; `None` where Cloudflare does not say it.
    pub name: Option<String>,
    /// Over what.
    pub reach: Reach,
    /// Whether the policy denies it.
    pub is_denied: bool,
}

impl Permit {
    /// The name, or the id where that is not known.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.group)
    }

    /// Whether it is what this role mirrors: the same name, over the whole account.
    pub fn mirrors(&self, role: &str, name: &str) -> bool {
        self.reach.is_account() && self.is_role(role, name)
    }

    /// Whether it is the permission group of this role, over whatever it reaches.
    pub fn is_role(&self, role: &str, name: &str) -> bool {
        let both_super = || is_super(role, name) && is_super(&self.group, self.label());
        self.group == role || self.name.as_deref().is_some_and(|own| same_name(own, name)) || both_super()
    }
}

/// Whether two names of roles or permission groups are one.
pub fn same_name(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

/// How a member truly holds what they hold: the way in which it is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// By roles; policies, where there are any, mirror them.
    Roles,
    /// By policies; roles, where there are any, mirror some of them.
    Policies,
    /// Roles that no policy mirrors beside policies that mirror no role: a write of one would drop the other.
    Mixed,
}

/// A user group of an account.
#[derive(Debug, Clone)]
pub struct UserGroup {
    /// Its id.
    pub id: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// What its members may do, as Cloudflare gives it.
    pub policies: Vec<Value>,
    /// Memberships and addresses (as they are compared) of those in it, or why they are not known.
    pub members: Result<HashSet<Box<str>>, String>,
}

/// A member, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub struct Seat<'a> {
    /// The membership's id.
    pub id: &'a str,
    /// As Cloudflare writes it.
    pub email: &'a str,
    /// Ids and names.
    pub roles: &'a [Role],
    /// As Cloudflare gives them.
    pub policies: &'a [Value],
}

/// Where something comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Through {
    /// The member's own roles or policies.
    Own,
    /// A user group, by its name.
    UserGroup(String),
}

/// What a member holds, each thing once.
#[derive(Debug, Clone)]
pub struct Holdings {
    /// Ids and names of roles that no policy denies.
    pub roles: Vec<Role>,
    /// What policies give beside what mirrors a role, and through what.
    pub permits: Vec<(Permit, Through)>,
    /// What a policy takes away from a part of something that is held, in words.
    pub exceptions: BTreeMap<String, Vec<String>>,
    /// How it is held.
    pub form: Form,
}

/// Whether a member is a super administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// They are, through this.
    Yes(String),
    /// They are not.
    No,
    /// It is not known, for this reason.
    Unknown(String),
}

/// What the members of one account are judged by.
#[derive(Debug, Clone, Default)]
pub struct Dashboard {
    account_id: String,
    /// Resource groups as Cloudflare gives them, by id.
    resource_groups: HashMap<String, Value>,
    /// Names of permission groups, by id: some answers name them by id alone.
    permission_groups: HashMap<String, String>,
    user_groups: Vec<UserGroup>,
    /// Why the user groups are not all known.
    unread_user_groups: Option<String>,
}

impl Dashboard {
    /// Of an account, by Cloudflare's id, with its resource groups, the names of its permission groups, its user
    /// groups, and why there may be more of these.
    pub fn new(
        account_id: &str,
        resource_groups: impl Iterator<Item = (String, Value)>,
        permission_groups: impl Iterator<Item = (String, String)>,
        user_groups: Vec<UserGroup>,
        unread_user_groups: Option<String>,
    ) -> Self {
        Self {
            account_id: account_id.to_lowercase(),
            resource_groups: resource_groups.collect(),
            permission_groups: permission_groups.collect(),
            user_groups,
            unread_user_groups,
        }
    }

    /// The same with other user groups, or with the reason why they are not known.
    #[must_use]
    pub fn with_user_groups(mut self, groups: Result<Vec<UserGroup>, String>) -> Self {
        (self.user_groups, self.unread_user_groups) = match groups {
            Ok(groups) => (groups, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        self
    }

    /// The user groups that were read.
    pub fn user_groups(&self) -> &[UserGroup] {
        &self.user_groups
    }

    /// Why the user groups, or who is in one, are not all known.
    pub fn user_group_gap(&self) -> Option<String> {
        self.unread_user_groups.clone().or_else(|| {
            self.user_groups.iter().find_map(|group| {
                let reason = group.members.as_ref().err()?;
                Some(format!(
                    "the members of the user group {} are unknown ({reason})",
                    group.name
                ))
            })
        })
    }

    /// The user groups that a member is in.
    pub fn groups_of<'a>(&'a self, id: &str, email: &str) -> impl Iterator<Item = &'a UserGroup> {
        let (id, email) = (id.to_lowercase(), address::compared(email));
        self.user_groups.iter().filter(move |group| {
            group
                .members
                .as_ref()
                .is_ok_and(|members| members.contains(id.as_str()) || members.contains(email.as_str()))
        })
    }

    /// Over what a resource group of a policy reaches.
    fn reach(&self, resource_group: &Value) -> Reach {
        let id = resource_group["id"].as_str().unwrap_or_default().to_owned();
        let known = self.resource_groups.get(&id);
        let named = |of: &Value| {
            of["name"]
                .as_str()
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
        };
        let name = named(resource_group).or_else(|| known.and_then(named));
        let whole = format!("com.cloudflare.api.account.{}", self.account_id);
        // A scope is a list when it is read, and an object when it is written; both come.
        let scopes = [Some(resource_group), known]
            .into_iter()
            .flatten()
            .find_map(|of| match &of["scope"] {
                Value::Array(scopes) if !scopes.is_empty() => Some(scopes.clone()),
                scope @ Value::Object(_) => Some(vec![scope.clone()]),
                _ => None,
            });
        let Some(scopes) = scopes else {
            // The account's own resource group is called after it.
            return match name {
                Some(name) if name.eq_ignore_ascii_case(&whole) => Reach::Account(id),
                _ => Reach::Unknown(id),
            };
        };
        let is_whole = scopes.iter().any(|scope| {
            let is_account = scope["key"]
                .as_str()
                .is_some_and(|key| key.eq_ignore_ascii_case(&whole));
            let objects = scope["objects"].as_array();
            is_account && objects.is_some_and(|objects| objects.iter().any(|object| object["key"] == "*"))
        });
        if is_whole {
            Reach::Account(id)
        } else {
            Reach::Part {
                id,
                name: name.unwrap_or_default(),
            }
        }
    }

    /// What policies give and take, one thing for each permission group and resource group.
    pub fn permits(&self, policies: &[Value]) -> Vec<Permit> {
        let mut permits = Vec::new();
        for policy in policies {
            let list = |name: &str| policy[name].as_array().map_or(&[][..], Vec::as_slice);
            let reaches: Vec<Reach> = match list("resource_groups") {
                [] => vec![Reach::Unknown(String::new())],
                groups => groups.iter().map(|group| self.reach(group)).collect(),
            };
            for group in list("permission_groups") {
                let id = group["id"].as_str().unwrap_or_default();
                let name = group["name"]
                    .as_str()
                    .or_else(|| self.permission_groups.get(id).map(String::as_str))
                    .filter(|name| !name.is_empty());
                for reach in &reaches {
                    permits.push(Permit {
                        group: id.to_owned(),
                        name: name.map(str::to_owned),
                        reach: reach.clone(),
                        is_denied: policy["access"] == "deny",
                    });
                }
            }
        }
        permits.sort();
        permits.dedup();
        permits
    }

    /// How a member holds what they hold.
    pub fn form(&self, roles: &[Role], policies: &[Value]) -> Form {
        let permits = self.permits(policies);
        let is_mirrored = |(id, name): &Role| {
            permits
                .iter()
                .any(|permit| !permit.is_denied && permit.mirrors(id, name))
        };
        let mirrors =
            |permit: &Permit| !permit.is_denied && roles.iter().any(|(id, name)| permit.mirrors(id, name));
        if permits.iter().all(mirrors) {
            Form::Roles
        } else if roles.iter().all(is_mirrored) {
            Form::Policies
        } else {
            Form::Mixed
        }
    }

    /// Everything that a member holds, each thing once: what a policy denies is taken away, from whatever gives it.
    pub fn holdings(&self, seat: Seat<'_>) -> Holdings {
        let own = self.permits(seat.policies);
        let mut all: Vec<(Permit, Through)> =
            own.iter().map(|permit| (permit.clone(), Through::Own)).collect();
        for group in self.groups_of(seat.id, seat.email) {
            let through = Through::UserGroup(group.name.to_string());
            let permits = self.permits(&group.policies);
            all.extend(permits.into_iter().map(|permit| (permit, through.clone())));
        }
        let denied: Vec<Permit> = all
            .iter()
            .filter(|(permit, _)| permit.is_denied)
            .map(|(permit, _)| permit.clone())
            .collect();
        let is_taken = |id: &str, name: &str, reach: Option<&Reach>| {
            denied.iter().any(|permit| {
                permit.is_role(id, name)
                    && (permit.reach.is_account()
                        || reach.is_some_and(|reach| reach.id() == permit.reach.id()))
            })
        };
        let roles: Vec<Role> = seat
            .roles
            .iter()
            .filter(|(id, name)| !is_taken(id, name, None))
            .cloned()
            .collect();
        let mut exceptions: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut permits = Vec::new();
        for (permit, through) in all {
            let mirrors = seat.roles.iter().any(|(id, name)| permit.mirrors(id, name));
            let is_gone = is_taken(&permit.group, permit.label(), Some(&permit.reach));
            if permit.is_denied || mirrors || is_gone || !seen.insert((permit.clone(), through.clone())) {
                continue;
            }
            permits.push((permit, through));
        }
        for permit in denied.iter().filter(|permit| !permit.reach.is_account()) {
            exceptions
                .entry(permit.label().trim().to_lowercase())
                .or_default()
                .push(permit.reach.words());
        }
        Holdings {
            roles,
            permits,
            exceptions,
            form: self.form(seat.roles, seat.policies),
        }
    }

    /// Whether an accepted member is a super administrator: by role, by an allowing policy over the whole account,
    /// or through a user group that has one. This is the one definition; guards, posture and plans ask here.
    pub fn super_administrator(&self, seat: Seat<'_>) -> Standing {
        let is_denied = |permits: &[Permit]| {
            permits.iter().any(|permit| {
                permit.is_denied && is_super(&permit.group, permit.label()) && permit.reach.is_account()
            })
        };
        let own = self.permits(seat.policies);
        let through: Vec<(&UserGroup, Vec<Permit>)> = self
            .groups_of(seat.id, seat.email)
            .map(|group| (group, self.permits(&group.policies)))
            .collect();
        if is_denied(&own) || through.iter().any(|(_, permits)| is_denied(permits)) {
            return Standing::No;
        }
        if let Some((_, name)) = seat.roles.iter().find(|(id, name)| is_super(id, name)) {
            return Standing::Yes(format!("the role {name}"));
        }
        let mut unknown = None;
        let mut gives = |permits: &[Permit]| {
            let mut gives = false;
            for permit in permits.iter().filter(|permit| !permit.is_denied) {
                let may_reach = !matches!(permit.reach, Reach::Part { .. });
                let is_super = is_super(&permit.group, permit.label());
                gives |= is_super && permit.reach.is_account();
                if may_reach && (is_super || permit.name.is_none()) {
                    unknown.get_or_insert_with(|| {
                        let unnamed = if is_super { "" } else { " (name unknown)" };
                        let (label, reach) = (permit.label(), permit.reach.words());
                        format!("a policy grants the permission group {label}{unnamed} on {reach}")
                    });
                }
            }
            gives
        };
        if gives(&own) {
            return Standing::Yes("a policy on the whole account".to_owned());
        }
        for (group, permits) in &through {
            if gives(permits) {
                return Standing::Yes(format!("the user group {}", group.name));
            }
        }
        match unknown.or_else(|| self.super_group_gap()) {
            Some(reason) => Standing::Unknown(reason),
            None => Standing::No,
        }
    }

    /// Why someone may be a super administrator through a user group without that being known.
    fn super_group_gap(&self) -> Option<String> {
        self.unread_user_groups.clone().or_else(|| {
            self.user_groups.iter().find_map(|group| {
                let reason = group.members.as_ref().err()?;
                let gives = self
                    .permits(&group.policies)
                    .iter()
                    .any(|permit| is_super(&permit.group, permit.label()) && !permit.is_denied);
                gives.then(|| {
                    format!(
                        "the members of the user group {} are unknown ({reason})",
                        group.name
                    )
                })
            })
        })
    }
}

/// Whether this is the role, or the permission group, that may do everything.
pub fn is_super(id: &str, name: &str) -> bool {
    id == SUPER_ADMINISTRATOR_ROLE_ID || name.trim().to_lowercase().starts_with("super administrator")
}

/// The ids and names of roles in a member as Cloudflare gives it.
pub fn roles_of(member: &Value) -> Vec<Role> {
    let text = |role: &Value, name: &str| -> Arc<str> { role[name].as_str().unwrap_or_default().into() };
    member["roles"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|role| (text(role, "id"), text(role, "name")))
        .collect()
}

/// The policies of a member or user group as Cloudflare gives it.
pub fn policies_of(holder: &Value) -> &[Value] {
    holder["policies"].as_array().map_or(&[], Vec::as_slice)
}

/// Memberships and addresses of those in a user group, as they are compared.
pub fn user_group_members<'a>(members: impl Iterator<Item = &'a Value>) -> HashSet<Box<str>> {
    let mut found: HashSet<Box<str>> = HashSet::new();
    for member in members {
        found.extend(member["id"].as_str().map(|id| id.to_lowercase().into()));
        let email = member["email"]
            .as_str()
            .or_else(|| member["user"]["email"].as_str());
        found.extend(email.map(|email| address::compared(email).into()));
    }
    found
}

#[cfg(test)]
mod tests;
