//! A change before it is made: what is, what would be, the calls that do it, and what the guards say.

use super::request::Request;
use crate::access::Verdict;
use chrono::{DateTime, Utc};
use cloudflare::Write;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Something that a guard looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuardVerdict {
    /// The guard.
    pub guard: Guard,
    /// Whether it lets the change pass.
    pub passes: bool,
    /// What it saw, in words.
    pub words: String,
}

/// What keeps a change from being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// The connection waits for a person, or does not work.
    ConnectionPaused,
    /// A list that the guards judge by is old, was cut off, or was never read.
    ListStale,
    /// More people than one change may concern.
    PeopleCap,
    /// Nobody known has the address.
    UnknownPerson,
    /// They are not a member of the account.
    NotAMember,
    /// A requirement or exclusion of the group keeps them out whatever else is granted.
    Void,
    /// A wider rule or a nested group lets them in all the same.
    StillAdmitted,
    /// No rule names them, so that there is none to take away.
    NotDirect,
    /// The group would include nobody.
    EmptiesInclude,
    /// Someone would gain access by it who is not meant to.
    Widens,
    /// Too few super administrators would be left.
    LastSuperAdministrators,
    /// The credential of this connection belongs to them.
    OwnCredential,
    /// They would be a member without any role.
    NoRoleLeft,
    /// The role is held by a policy over other resources than the whole account.
    ScopedPolicy,
    /// What is asked does not fit how things are: they are a member already, or not invited.
    WrongState,
    /// Cloudflare refused.
    Cloudflare,
    /// Cloudflare's rate limit did not end in time.
    RateLimited,
}

impl Guard {
    /// The one spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Guard::ConnectionPaused => "connection_paused",
            Guard::ListStale => "list_stale",
            Guard::PeopleCap => "people_cap",
            Guard::UnknownPerson => "unknown_person",
            Guard::NotAMember => "not_a_member",
            Guard::Void => "void",
            Guard::StillAdmitted => "still_admitted",
            Guard::NotDirect => "not_direct",
            Guard::EmptiesInclude => "empties_include",
            Guard::Widens => "widens",
            Guard::LastSuperAdministrators => "last_super_administrators",
            Guard::OwnCredential => "own_credential",
            Guard::NoRoleLeft => "no_role_left",
            Guard::ScopedPolicy => "scoped_policy",
            Guard::WrongState => "wrong_state",
            Guard::Cloudflare => "cloudflare",
            Guard::RateLimited => "rate_limited",
        }
    }
}

/// What a change would do beside what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// `group Finance`, `application Ledger`.
    pub what: String,
    /// Whether they have it now.
    pub before: Verdict,
    /// Whether they would have it.
    pub after: Verdict,
}

/// When a grant ends by itself, before a change and after it. `None` is a grant without an end, or no grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Ends {
    /// Before the change.
    pub before: Option<DateTime<Utc>>,
    /// After it.
    pub after: Option<DateTime<Utc>>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Step {
    /// Make the calls.
    Write,
    /// It is so already.
    Already {
        /// Why.
        reason: String,
    },
    /// A guard says no.
    Refused {
        /// Which.
        guard: Guard,
        /// Why, and what to do.
        reason: String,
    },
}

/// A change before it is made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// What was asked.
    pub request: Request,
    /// In one sentence.
    pub summary: String,
    /// The connection's label.
    pub connection: String,
    /// What is changed: `group`, `member`, `access_user`.
    pub object_kind: &'static str,
    /// Cloudflare's id of it; empty for what is yet to be made.
    pub object_id: String,
    /// Its name or address.
    pub object_name: String,
    /// The object as Cloudflare has it.
    pub before: Value,
    /// The object as it would be.
    pub after: Value,
    /// The calls, below the account.
    pub calls: Vec<Write>,
    /// The names of what the calls, and the object before and after, have ids of.
    pub names: BTreeMap<String, String>,
    /// What the guards say.
    pub guards: Vec<GuardVerdict>,
    /// What else would change for this person.
    pub effects: Vec<Effect>,
    /// When the grant ends, where it has or had an end.
    pub ends: Option<Ends>,
    /// What is worth knowing and stops nothing.
    pub warnings: Vec<String>,
    /// What would still let them in, or what access depends on, afterwards.
    pub remains: Vec<String>,
    /// What is to be done.
    pub step: Step,
    /// The request that takes it back.
    pub undo: Option<Request>,
}

/// What a member of an object loses and gains, each value as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The member's name; of an object that appears or goes as a whole, `object`.
    pub member: String,
    /// Values that it has before and not after.
    pub removed: Vec<String>,
    /// Values that it has after and not before.
    pub added: Vec<String>,
}

/// The members of an object that are different, by name. The order of a list's values makes no difference.
fn differences(before: &Value, after: &Value) -> Vec<Difference> {
    let texts = |value: Option<&Value>| -> Vec<String> {
        match value {
            Some(Value::Array(values)) => values.iter().map(ToString::to_string).collect(),
            Some(Value::Null) | None => Vec::new(),
            Some(other) => vec![other.to_string()],
        }
    };
    let difference = |member: &str, old: Option<&Value>, new: Option<&Value>| {
        let (old, new) = (texts(old), texts(new));
        Difference {
            member: member.to_owned(),
            removed: old.iter().filter(|value| !new.contains(value)).cloned().collect(),
            added: new.iter().filter(|value| !old.contains(value)).cloned().collect(),
        }
    };
    let differences: Vec<Difference> = match (before.as_object(), after.as_object()) {
        (Some(old), Some(new)) => {
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            names
                .into_iter()
                .map(|name| difference(name, old.get(name), new.get(name)))
                .collect()
        }
        _ => vec![difference("object", Some(before), Some(after))],
    };
    differences
        .into_iter()
        .filter(|one| !one.removed.is_empty() || !one.added.is_empty())
        .collect()
}

/// A call with the names of what its path has ids of: `PUT /members/5f2178… (ana@x.example)`.
pub fn call_in_words(method: &str, path: &str, names: &BTreeMap<String, String>) -> String {
    let named: Vec<&str> = path
        .split('/')
        .filter_map(|id| names.get(id))
        .map(String::as_str)
        .filter(|name| !name.is_empty())
        .collect();
    if named.is_empty() {
        format!("{method} {path}")
    } else {
        format!("{method} {path} ({})", named.join(", "))
    }
}

impl Plan {
    /// A plan without anything to do yet.
    pub(super) fn new(request: &Request, connection: &str, object_kind: &'static str) -> Self {
        Self {
            request: request.clone(),
            summary: String::new(),
            connection: connection.to_owned(),
            object_kind,
            object_id: String::new(),
            object_name: String::new(),
            before: Value::Null,
            after: Value::Null,
            calls: Vec::new(),
            names: BTreeMap::new(),
            guards: Vec::new(),
            effects: Vec::new(),
            ends: None,
            warnings: Vec::new(),
            remains: Vec::new(),
            step: Step::Write,
            undo: None,
        }
    }

    /// What would be different in the object: the same wherever a plan is shown.
    pub fn differences(&self) -> Vec<Difference> {
        differences(&self.before, &self.after)
    }

    /// Whether anything would be different: at Cloudflare, or when the grant ends.
    pub fn changes_anything(&self) -> bool {
        match self.step {
            Step::Write => true,
            Step::Already { .. } => self.ends.is_some_and(|ends| ends.before != ends.after),
            Step::Refused { .. } => false,
        }
    }

    /// The same, with nothing to do.
    pub(super) fn already(mut self, reason: impl Into<String>) -> Self {
        self.after = self.before.clone();
        self.calls.clear();
        self.undo = None;
        self.step = Step::Already {
            reason: reason.into(),
        };
        self
    }

    /// The same, refused.
    pub(super) fn refused(mut self, guard: Guard, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        self.guards.push(GuardVerdict {
            guard,
            passes: false,
            words: reason.clone(),
        });
        self.undo = None;
        self.step = Step::Refused { guard, reason };
        self
    }

    /// Notes the name of everything in the object, before and after, that has an id and a name.
    pub(super) fn name_ids(&mut self) {
        let mut waiting = vec![&self.before, &self.after];
        let mut found = BTreeMap::new();
        while let Some(value) = waiting.pop() {
            match value {
                Value::Object(members) => {
                    let text = |name: &str| members.get(name).and_then(Value::as_str);
                    if let (Some(id), Some(name)) = (text("id"), text("name")) {
                        found.insert(id.to_owned(), name.to_owned());
                    }
                    waiting.extend(members.values());
                }
                Value::Array(values) => waiting.extend(values),
                _ => {}
            }
        }
        if !self.object_id.is_empty() {
            found.insert(self.object_id.clone(), self.object_name.clone());
        }
        self.names.extend(found);
    }

    /// Notes that a guard lets it pass.
    pub(super) fn passes(&mut self, guard: Guard, words: impl Into<String>) {
        self.guards.push(GuardVerdict {
            guard,
            passes: true,
            words: words.into(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_member_that_differs_is_shown_with_what_it_loses_and_gains() {
        let before = json!({ "include": [1, 2], "name": "a", "same": [3], "session": "24h" });
        let after = json!({ "include": [2, 4], "name": "a", "same": [3], "is_default": true });
        let shown: Vec<String> = differences(&before, &after)
            .into_iter()
            .map(|one| format!("{}: -{:?} +{:?}", one.member, one.removed, one.added))
            .collect();
        assert_eq!(
            shown,
            [
                r#"include: -["1"] +["4"]"#,
                r#"is_default: -[] +["true"]"#,
                r#"session: -["\"24h\""] +[]"#,
            ]
        );
        let gone = differences(&json!({ "id": 1 }), &Value::Null);
        assert_eq!((gone[0].member.as_str(), gone[0].added.len()), ("object", 0));
        assert_eq!(differences(&json!([1, 2]), &json!([2, 1])), []);
    }
}
