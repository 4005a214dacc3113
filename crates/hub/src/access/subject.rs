//! What is known of a person when rules are evaluated: addresses, memberships, what their identity provider said.

use super::rule::Claim;
use chrono::{DateTime, Utc};
use model::PersonId;
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;

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
    /// Why it could not be read, where that was tried.
    pub problem: Option<Box<str>>,
}

/// Who someone was when last seen.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// The identity provider's id, in lower case.
    pub provider: Box<str>,
    /// Its type: `okta`, `azureAD`, `saml`, …
    pub kind: Box<str>,
    /// Ids, names and addresses of groups, in lower case; `None` when the provider says nothing of groups.
    pub groups: Option<Vec<[Box<str>; 3]>>,
    /// SAML attributes.
    pub saml: Option<Value>,
    /// OIDC claims.
    pub oidc: Option<Value>,
    /// Organisations and teams at GitHub, `organisation` or `organisation/team`, in lower case.
    pub github: Option<Vec<Box<str>>>,
    /// Whether the provider says that it left groups out.
    pub has_overage: bool,
    /// When they were seen.
    pub at: Option<DateTime<Utc>>,
    /// Whether that is too long ago for what it lacks to count.
    pub is_old: bool,
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
    ///
    /// # Errors
    ///
    /// Why that is not known.
    pub(super) fn identity(&self, connection: usize, address: &str) -> Result<&Identity, Cow<'static, str>> {
        let user = self
            .users
            .iter()
            .find(|user| user.connection == connection && *user.email == *address)
            .ok_or("no Access user in the account has this address")?;
        match (&user.identity, &user.problem) {
            (Some(identity), _) => Ok(identity),
            (None, Some(problem)) => Err(format!("their last identity could not be read: {problem}").into()),
            (None, None) => Err("their last identity has not been read yet, or they never signed in".into()),
        }
    }
}

impl Identity {
    /// Reads what `last_seen_identity` gives. Fields that are missing stay unknown; what was seen before `oldest`
    /// no longer says that someone lacks something.
    ///
    /// Source: Cloudflare's description of the call, and its documentation of `get-identity` for what identity
    /// providers add (`groups`, `saml_attributes`, `oidc_fields`).
    pub fn read(raw: &Value, oldest: DateTime<Utc>) -> Identity {
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
        let at = raw
            .get("iat")
            .and_then(Value::as_i64)
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        Identity {
            provider: text(raw.pointer("/idp/id")),
            kind: text(raw.pointer("/idp/type")),
            groups,
            saml: raw.get("saml_attributes").filter(|map| map.is_object()).cloned(),
            oidc: raw.get("oidc_fields").filter(|map| map.is_object()).cloned(),
            github,
            has_overage: OVERAGE.iter().any(|name| {
                [
                    raw.get(*name),
                    raw.get("oidc_fields").and_then(|fields| fields.get(*name)),
                ]
                .into_iter()
                .flatten()
                .any(|value| !matches!(value, Value::Null | Value::Bool(false)))
            }),
            at,
            is_old: at.is_none_or(|at| at < oldest),
        }
    }

    /// Whether the provider said so.
    ///
    /// # Errors
    ///
    /// Why that is not known: it said nothing of the kind, it was another provider, what it said may be cut, or is
    /// too old for something to be missing from it.
    pub(super) fn has(&self, provider: &str, claim: &Claim) -> Result<bool, Cow<'static, str>> {
        if !provider.is_empty() && provider != &*self.provider {
            return Err("they last signed in with a different identity provider".into());
        }
        if provider.is_empty()
            && !self.kind.is_empty()
            && claim.provider_type().is_some_and(|of| of != &*self.kind)
        {
            return Err("they last signed in with a different type of identity provider".into());
        }
        let (found, count) = match claim {
            Claim::Group { key, .. } => {
                let groups = self.groups.as_ref().ok_or(SILENT)?;
                let found = groups.iter().any(|names| names.iter().any(|name| name == key));
                (found, groups.len())
            }
            Claim::GitHub { organization, team } => {
                let wanted = match team {
                    Some(team) => format!("{organization}/{team}"),
                    None => organization.to_string(),
                };
                let names = self.github.as_ref().ok_or(SILENT)?;
                (names.iter().any(|name| **name == *wanted), names.len())
            }
            Claim::Saml { name, value } => has_value(self.saml.as_ref().ok_or(SILENT)?, name, value),
            Claim::Oidc { name, value } => has_value(self.oidc.as_ref().ok_or(SILENT)?, name, value),
        };
        if found {
            return Ok(true);
        }
        if self.has_overage {
            return Err("the identity provider reports that groups were omitted".into());
        }
        if may_be_cut(&self.kind, claim, count) {
            return Err(format!(
                "the identity provider returned {count} values, the size at which it \
                 truncates such lists"
            )
            .into());
        }
        if self.is_old {
            return Err(match self.at {
                Some(at) => format!(
                    "last seen {}, which is older than sync.identity_max_age_days",
                    at.format("%Y-%m-%d")
                )
                .into(),
                None => "the time they were last seen is unknown".into(),
            });
        }
        Ok(false)
    }
}

/// Why a claim of which nothing was said is not known.
const SILENT: &str = "the identity provider did not send this claim";

/// What an identity carries when groups were left out of it.
///
/// Source: Microsoft's documentation of group overage claims (`_claim_names`, `hasgroups`, `groups:src1`).
const OVERAGE: [&str; 4] = ["_claim_names", "hasgroups", "groups:src1", "groups_overage"];

/// Whether a list of this many may have been cut: then what is not on it may be there all the same.
///
/// Source: the providers' documentation. Okta puts at most 100 groups into a token, Entra 200 into a JWT and 150
/// into a SAML assertion, GitHub gives 30 on a page unless asked for up to 100. Where no limit is published, the
/// round numbers from 100 on count as one.
fn may_be_cut(kind: &str, claim: &Claim, count: usize) -> bool {
    match (kind, claim) {
        (_, Claim::GitHub { .. }) => count == 30 || count >= 100,
        ("okta", _) => count >= 100,
        ("azuread", _) => count == 150 || count >= 200,
        _ => count >= 100 && count.is_multiple_of(50),
    }
}

/// Whether one of the attribute's values is this one, and how many values it has.
fn has_value(map: &Value, name: &str, value: &str) -> (bool, usize) {
    let is = |found: &Value| match found {
        Value::String(text) => text == value,
        Value::Null => false,
        // A number or a truth as it is written.
        other => value == other.to_string().as_str(),
    };
    match map.get(name) {
        Some(Value::Array(values)) => (values.iter().any(is), values.len()),
        Some(found) => (is(found), 1),
        None => (false, 0),
    }
}
