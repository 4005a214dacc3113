//! Who is in an Access group: its rules, evaluated over one person, in three values.
//!
//! Membership is stored nowhere at Cloudflare: whoever matches the rules when they sign in is in. `include` is
//! any, `require` is all, `exclude` is none. A selector is evaluated where what it asks is known here; what is
//! known only when someone signs in (country, device) makes the answer conditional, and what cannot be known
//! here makes it unknown. Pure: no store, no clock. Start reading at [`Groups::membership`].

use model::Certainty;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

/// An Access group's rules.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Any of these lets in.
    pub include: Vec<Selector>,
    /// All of these must hold.
    pub require: Vec<Selector>,
    /// None of these may hold.
    pub exclude: Vec<Selector>,
}

/// One rule of a group, as far as it can be evaluated here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// An address, in lower case.
    Email(String),
    /// A mail domain, in lower case.
    EmailDomain(String),
    /// Everyone.
    Everyone,
    /// Members of another group.
    Group(String),
    /// Something known only at the moment of access, in words.
    Contextual(String),
    /// Something that cannot be known from what was read, in words.
    Unknown(String),
}

/// Whether a person is in a group, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// `None`: not in the group.
    pub certainty: Option<Certainty>,
    /// From the group down to what decides.
    pub via: Vec<String>,
}

/// A truth with what it depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Truth {
    Yes(Vec<String>),
    No,
    /// Sentences about what is open; `true` when at least one is unknown rather than contextual.
    Open(BTreeSet<String>, bool),
}

/// All groups of one account.
#[derive(Debug, Clone, Default)]
pub struct Groups(HashMap<String, Group>);

impl Selector {
    /// Reads one rule object: one key names the selector.
    pub fn read(rule: &Value) -> Selector {
        let unknown = || Selector::Unknown("a rule of a kind that is not known here".to_owned());
        let Some((kind, inner)) = rule.as_object().and_then(|object| object.iter().next()) else {
            return unknown();
        };
        let text = |member: &str| {
            inner
                .get(member)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .trim()
                .to_lowercase()
        };
        match kind.as_str() {
            "email" if !text("email").is_empty() => Selector::Email(text("email")),
            "email_domain" if !text("domain").is_empty() => {
                Selector::EmailDomain(text("domain").trim_start_matches('@').to_owned())
            }
            "everyone" => Selector::Everyone,
            "group" if !text("id").is_empty() => Selector::Group(text("id")),
            "ip" | "ip_list" => Selector::Contextual("the address they come from".to_owned()),
            "geo" => Selector::Contextual(format!(
                "the country they come from being {}",
                text("country_code").to_uppercase()
            )),
            "certificate" | "common_name" => Selector::Contextual("the certificate they present".to_owned()),
            "device_posture" => Selector::Contextual("the state of their device".to_owned()),
            "auth_method" | "auth_context" | "login_method" => {
                Selector::Contextual("how they sign in".to_owned())
            }
            "external_evaluation" => Selector::Contextual("the answer of an outside service".to_owned()),
            "user_risk_score" => Selector::Contextual("their risk score at Cloudflare".to_owned()),
            "email_list" => Selector::Unknown("the content of an e-mail list".to_owned()),
            "azureAD" | "github-organization" | "gsuite" | "okta" | "saml" | "oidc" => {
                Selector::Unknown(format!("a group at the identity provider ({kind})"))
            }
            "service_token" | "any_valid_service_token" | "linked_app_token" => {
                Selector::Contextual("a service token being presented".to_owned())
            }
            "cloudflare_account_member" => {
                Selector::Unknown("being a member of a Cloudflare account, by its own sign-in".to_owned())
            }
            other => Selector::Unknown(format!("a rule of the kind \"{other}\", which is not known here")),
        }
    }
}

impl Group {
    /// Reads a group as Cloudflare gives it.
    pub fn read(raw: &Value) -> Option<Group> {
        let rules = |member: &str| -> Vec<Selector> {
            raw.get(member)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(Selector::read)
                .collect()
        };
        Some(Group {
            id: raw.get("id")?.as_str()?.to_owned(),
            name: raw
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            include: rules("include"),
            require: rules("require"),
            exclude: rules("exclude"),
        })
    }
}

impl FromIterator<Group> for Groups {
    fn from_iter<T: IntoIterator<Item = Group>>(groups: T) -> Self {
        Self(
            groups
                .into_iter()
                .map(|group| (group.id.to_lowercase(), group))
                .collect(),
        )
    }
}

impl Groups {
    /// All groups.
    pub fn iter(&self) -> impl Iterator<Item = &Group> {
        self.0.values()
    }

    /// Whether the person with this address (in lower case) is in the group.
    pub fn membership(&self, group: &Group, email: &str) -> Membership {
        match self.evaluate(group, email, &mut Vec::new()) {
            Truth::Yes(via) => Membership {
                certainty: Some(Certainty::Yes),
                via,
            },
            Truth::No => Membership {
                certainty: None,
                via: Vec::new(),
            },
            Truth::Open(on, is_unknown) => Membership {
                certainty: Some(if is_unknown {
                    Certainty::Unknown
                } else {
                    Certainty::Conditional
                }),
                via: std::iter::once(format!("group {}", group.name))
                    .chain(on.into_iter().map(|what| format!("depends on {what}")))
                    .collect(),
            },
        }
    }

    fn evaluate<'a>(&'a self, group: &'a Group, email: &str, above: &mut Vec<&'a str>) -> Truth {
        if above.contains(&group.id.as_str()) {
            return open("groups that include each other in a circle", true);
        }
        above.push(&group.id);
        let mut result = any(group
            .include
            .iter()
            .map(|selector| self.holds(selector, email, above)));
        for selector in &group.require {
            result = and(result, self.holds(selector, email, above));
        }
        for selector in &group.exclude {
            result = and(result, not(self.holds(selector, email, above), selector));
        }
        above.pop();
        if let Truth::Yes(via) = &mut result {
            via.insert(0, format!("group {}", group.name));
        }
        result
    }

    fn holds<'a>(&'a self, selector: &'a Selector, email: &str, above: &mut Vec<&'a str>) -> Truth {
        match selector {
            Selector::Email(address) => known(address == email, || format!("address {address}")),
            Selector::EmailDomain(domain) => {
                let is_in = email.rsplit_once('@').is_some_and(|(_, of)| of == domain);
                known(is_in, || format!("domain {domain}"))
            }
            Selector::Everyone => Truth::Yes(vec!["everyone".to_owned()]),
            Selector::Group(id) => match self.0.get(id) {
                Some(group) => self.evaluate(group, email, above),
                None => open("a group that could not be read", true),
            },
            Selector::Contextual(what) => open(what, false),
            Selector::Unknown(what) => open(what, true),
        }
    }
}

fn known(holds: bool, via: impl FnOnce() -> String) -> Truth {
    if holds { Truth::Yes(vec![via()]) } else { Truth::No }
}

fn open(what: &str, is_unknown: bool) -> Truth {
    Truth::Open(BTreeSet::from([what.to_owned()]), is_unknown)
}

fn any(truths: impl Iterator<Item = Truth>) -> Truth {
    let mut result = Truth::No;
    for truth in truths {
        result = match (result, truth) {
            (yes @ Truth::Yes(_), _) | (_, yes @ Truth::Yes(_)) => yes,
            (Truth::Open(mut on, a), Truth::Open(more, b)) => {
                on.extend(more);
                // One way in that only the context decides is enough for "conditional".
                Truth::Open(on, a && b)
            }
            (open @ Truth::Open(..), Truth::No) | (Truth::No, open @ Truth::Open(..)) => open,
            (Truth::No, Truth::No) => Truth::No,
        };
        if matches!(result, Truth::Yes(_)) {
            break;
        }
    }
    result
}

fn and(left: Truth, right: Truth) -> Truth {
    match (left, right) {
        (Truth::No, _) | (_, Truth::No) => Truth::No,
        (Truth::Yes(mut via), Truth::Yes(more)) => {
            via.extend(more.into_iter().map(|step| format!("and {step}")));
            Truth::Yes(via)
        }
        (Truth::Open(mut on, a), Truth::Open(more, b)) => {
            on.extend(more);
            Truth::Open(on, a || b)
        }
        (open @ Truth::Open(..), Truth::Yes(_)) | (Truth::Yes(_), open @ Truth::Open(..)) => open,
    }
}

fn not(truth: Truth, selector: &Selector) -> Truth {
    match truth {
        Truth::Yes(_) => Truth::No,
        Truth::No => Truth::Yes(match selector {
            Selector::Group(_) => vec!["not in an excluded group".to_owned()],
            _ => vec!["not excluded".to_owned()],
        }),
        Truth::Open(on, is_unknown) => Truth::Open(
            on.into_iter()
                .map(|what| format!("an exclusion by {what}"))
                .collect(),
            is_unknown,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(groups: Value, group: &str, email: &str, expected: Option<Certainty>) -> Vec<String> {
        let groups: Groups = groups
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Group::read)
            .collect();
        let membership = groups.membership(&groups.0[group], email);
        assert_eq!(membership.certainty, expected, "{membership:?}");
        membership.via
    }

    #[test]
    fn an_address_is_compared_whatever_its_case() {
        let groups =
            json!([{ "id": "a", "name": "Staff", "include": [{ "email": { "email": "Ana@X.example" } }] }]);
        let via = check(groups.clone(), "a", "ana@x.example", Some(Certainty::Yes));
        assert_eq!(via, ["group Staff", "address ana@x.example"]);
        check(groups, "a", "ben@x.example", None);
    }

    #[test]
    fn a_domain_is_whole() {
        let groups = json!([{ "id": "a", "include": [{ "email_domain": { "domain": "x.example" } }] }]);
        check(groups.clone(), "a", "ana@x.example", Some(Certainty::Yes));
        check(groups, "a", "ana@notx.example", None);
    }

    #[test]
    fn require_and_exclude_count() {
        let groups = json!([{ "id": "a", "include": [{ "everyone": {} }],
            "require": [{ "email_domain": { "domain": "x.example" } }],
            "exclude": [{ "email": { "email": "ben@x.example" } }] }]);
        check(groups.clone(), "a", "ana@x.example", Some(Certainty::Yes));
        check(groups.clone(), "a", "ben@x.example", None);
        check(groups, "a", "ana@y.example", None);
    }

    #[test]
    fn a_nested_group_says_so_and_a_circle_ends() {
        let groups = json!([
            { "id": "a", "name": "Outer", "include": [{ "group": { "id": "b" } }] },
            { "id": "b", "name": "Inner", "include": [{ "email": { "email": "ana@x.example" } }, { "group": { "id": "a" } }] },
        ]);
        let via = check(groups.clone(), "a", "ana@x.example", Some(Certainty::Yes));
        assert_eq!(via, ["group Outer", "group Inner", "address ana@x.example"]);
        check(groups, "a", "ben@x.example", Some(Certainty::Unknown));
    }

    #[test]
    fn context_is_conditional_and_the_unknowable_unknown() {
        let one = |rule: Value| json!([{ "id": "a", "name": "G", "include": [rule] }]);
        let via = check(
            one(json!({ "geo": { "country_code": "pt" } })),
            "a",
            "ana@x.example",
            Some(Certainty::Conditional),
        );
        assert_eq!(via, ["group G", "depends on the country they come from being PT"]);
        check(
            one(json!({ "okta": { "name": "eng" } })),
            "a",
            "ana@x.example",
            Some(Certainty::Unknown),
        );
        check(
            one(json!({ "brand_new": {} })),
            "a",
            "ana@x.example",
            Some(Certainty::Unknown),
        );
        let sure = json!([{ "id": "a", "include": [{ "everyone": {} }], "exclude": [{ "geo": { "country_code": "kp" } }] }]);
        check(sure, "a", "ana@x.example", Some(Certainty::Conditional));
        let voided = json!([{ "id": "a", "include": [{ "okta": { "name": "eng" } }],
            "require": [{ "email_domain": { "domain": "y.example" } }] }]);
        check(voided, "a", "ana@x.example", None);
    }
}
