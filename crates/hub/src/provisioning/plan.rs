//! A change before it is made: what is, what would be, the calls that do it, and what the guards say.

use super::request::Request;
use crate::access::Verdict;
use chrono::{DateTime, Utc};
use cloudflare::Write;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

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
