//! What is known of a person when rules are evaluated: addresses, memberships, what their identity provider said.

use chrono::{DateTime, Utc};
use model::PersonId;
use serde_json::Value;
use std::sync::Arc;

use super::rule::Claim;

/// A person, as rules see them.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Who.
    pub person_id: PersonId,
    /// The main address, in lower case.
    pub email: Box<str>,
    /// Every other address, in lower case.
    pub further: Vec<Box<str>>,
    /// Dashboard memberships, over all connections.
    pub members: Vec<Membership>,
    /// Access users, over all connections.
    pub users: Vec<User>,
}

/// A dashboard membership.
#[derive(Debug, Clone)]
pub struct Membership {
    /// Which connection, by its place in the view.
    pub connection: usize,
    /// The membership's id.
    pub id: Box<str>,
    /// As Cloudflare writes it.
    pub email: Box<str>,
    /// Whether the invitation was accepted.
    pub is_accepted: bool,
    /// Ids and names of roles.
    pub roles: Vec<(Arc<str>, Arc<str>)>,
    /// Policies as Cloudflare gives them.
    pub policies: Vec<Value>,
}

/// An Access user.
#[derive(Debug, Clone)]
pub struct User {
    /// Which connection, by its place in the view.
    pub connection: usize,
    /// In lower case.
    pub email: Box<str>,
    /// Who they were when last seen, where that was read.
    pub identity: Option<Box<Identity>>,
}

/// Who someone was when last seen.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// The identity provider's id, in lower case.
    pub provider: Box<str>,
    /// Ids, names and addresses of groups, in lower case; `None` when the provider says nothing of groups.
    pub groups: Option<Vec<[Box<str>; 3]>>,
    /// SAML attributes.
    pub saml: Option<Value>,
    /// OIDC claims.
    pub oidc: Option<Value>,
    /// Organisations and teams at GitHub, `organisation` or `organisation/team`, in lower case.
    pub github: Option<Vec<Box<str>>>,
    /// When they were seen.
    pub at: Option<DateTime<Utc>>,
}

impl Subject {
    /// Every address.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.email).chain(self.further.iter().map(|address| &**address))
    }

    /// Whether this is one of their addresses, which must be in lower case.
    pub fn has_address(&self, address: &str) -> bool {
        self.addresses().any(|own| own == address)
    }

    /// Who they were when last seen under an address in an account.
    pub(super) fn identity(&self, connection: usize, address: &str) -> Option<&Identity> {
        self.users
            .iter()
            .find(|user| user.connection == connection && *user.email == *address)
            .and_then(|user| user.identity.as_deref())
    }
}

impl Identity {
    /// Reads what `last_seen_identity` gives. Fields that are missing stay unknown.
    ///
    /// Source: Cloudflare's description of the call, and its documentation of `get-identity` for what identity
    /// providers add (`groups`, `saml_attributes`, `oidc_fields`).
    pub fn read(raw: &Value) -> Identity {
        let text = |value: Option<&Value>| -> Box<str> {
            match value {
                Some(Value::String(text)) => text.trim().to_lowercase().into(),
                Some(Value::Number(number)) => number.to_string().into(),
                _ => "".into(),
            }
        };
        let list = |names: [&str; 3]| names.iter().find_map(|name| raw.get(name)?.as_array());
        let groups = list(["groups", "azure_groups", "gsuite_groups"]).map(|groups| {
            groups
                .iter()
                .map(|group| match group {
                    Value::Object(_) => ["id", "name", "email"].map(|member| text(group.get(member))),
                    other => [text(Some(other)), text(Some(other)), text(Some(other))],
                })
                .collect()
        });
        let github = list(["github_organizations", "organizations", "orgs"]).map(|organizations| {
            let mut names: Vec<Box<str>> = Vec::new();
            for organization in organizations {
                let name = match organization {
                    Value::Object(_) => ["name", "login"]
                        .iter()
                        .find_map(|member| organization.get(member))
                        .map(|name| text(Some(name)))
                        .unwrap_or_default(),
                    other => text(Some(other)),
                };
                let teams = organization.get("teams").and_then(Value::as_array);
                for team in teams.into_iter().flatten() {
                    let team = team.get("name").unwrap_or(team);
                    names.push(format!("{name}/{}", text(Some(team))).into());
                }
                names.push(name);
            }
            names
        });
        Identity {
            provider: text(raw.pointer("/idp/id")),
            groups,
            saml: raw.get("saml_attributes").filter(|map| map.is_object()).cloned(),
            oidc: raw.get("oidc_fields").filter(|map| map.is_object()).cloned(),
            github,
            at: raw
                .get("iat")
                .and_then(Value::as_i64)
                .and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
        }
    }

    /// Whether the provider said so; `None` when it said nothing of the kind, or it was another provider.
    pub(super) fn has(&self, provider: &str, claim: &Claim) -> Option<bool> {
        if !provider.is_empty() && provider != &*self.provider {
            return None;
        }
        match claim {
            Claim::Group { key, .. } => Some(
                self.groups
                    .as_ref()?
                    .iter()
                    .any(|names| names.iter().any(|name| name == key)),
            ),
            Claim::GitHub { organization, team } => {
                let wanted = match team {
                    Some(team) => format!("{organization}/{team}"),
                    None => organization.to_string(),
                };
                Some(self.github.as_ref()?.iter().any(|name| **name == *wanted))
            }
            Claim::Saml { name, value } => has_value(self.saml.as_ref()?, name, value),
            Claim::Oidc { name, value } => has_value(self.oidc.as_ref()?, name, value),
        }
    }
}

fn has_value(map: &Value, name: &str, value: &str) -> Option<bool> {
    let is = |found: &Value| match found {
        Value::String(text) => text == value,
        Value::Null => false,
        other => format!("{other}") == value,
    };
    Some(match map.get(name) {
        Some(Value::Array(values)) => values.iter().any(is),
        Some(found) => is(found),
        None => false,
    })
}
