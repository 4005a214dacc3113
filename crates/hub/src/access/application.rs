//! Applications behind Access: who reaches one, by its policies in their order.
//!
//! Bypass and service policies are looked at before anyone signs in, so that a rule that asks who someone is cannot
//! hold there. A policy that could not be read, or that Cloudflare did not give, makes the answer unknown. Pure.
//! Start reading at [`Account::app_verdict`].

use super::account::{Account, Moment, Rules, Visit};
use super::verdict::Verdict;
use serde_json::Value;
use std::collections::HashMap;

/// What a policy does with those who match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Lets in.
    Allow,
    /// Keeps out.
    Deny,
    /// Lets in without asking who it is.
    Bypass,
    /// Lets in services.
    NonIdentity,
    /// A decision that is not known here, in Cloudflare's word; empty where it gave none.
    Other(Box<str>),
    /// The application names the policy, and it could not be read.
    Unread,
}

impl Decision {
    /// In one word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Decision::Allow => "allow",
            Decision::Deny => "deny",
            Decision::Bypass => "bypass",
            Decision::NonIdentity => "service",
            Decision::Other(_) => "unknown",
            Decision::Unread => "unread",
        }
    }

    fn read(policy: &Value) -> Decision {
        match policy.get("decision").and_then(Value::as_str).unwrap_or_default() {
            "allow" => Decision::Allow,
            "deny" => Decision::Deny,
            "bypass" => Decision::Bypass,
            "non_identity" => Decision::NonIdentity,
            other => Decision::Other(other.into()),
        }
    }

    /// When it is looked at.
    pub fn moment(&self) -> Moment {
        match self {
            Decision::Bypass | Decision::NonIdentity => Moment::BeforeLogin,
            _ => Moment::Login,
        }
    }
}

/// A policy of an application, in its place.
#[derive(Debug)]
pub struct Policy {
    /// Its id.
    pub id: Box<str>,
    /// Its name; its id where the name is not known.
    pub name: Box<str>,
    /// What it does.
    pub decision: Decision,
    /// Whether an approver must approve each session.
    pub needs_approval: bool,
    /// What else comes with access through it, for people: a justification, the length of a session, isolation.
    pub terms: Vec<String>,
    /// Whom.
    pub(super) rules: Rules,
}

/// An application behind Access.
#[derive(Debug)]
pub struct Application {
    /// Its id.
    pub id: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// In the order in which they decide.
    pub policies: Vec<Policy>,
    /// Why its policies are not known, where Cloudflare did not give them.
    pub untold: Option<&'static str>,
    /// The identity providers that people may sign in with, by id in lower case; any, where it names none.
    pub(super) allowed_idps: Vec<Box<str>>,
}

fn text(value: &Value, name: &str) -> Box<str> {
    value.get(name).and_then(Value::as_str).unwrap_or_default().into()
}

/// What comes with access through a policy, beside being let in.
///
/// Source: Cloudflare's API description, the policy schema.
fn terms(policy: &Value, application: &Value) -> Vec<String> {
    let is_set = |name: &str| policy.get(name) == Some(&Value::Bool(true));
    let mut terms = Vec::new();
    if is_set("purpose_justification_required") {
        terms.push("requires a justification".to_owned());
    }
    if is_set("isolation_required") {
        terms.push("opens in an isolated browser".to_owned());
    }
    let length = [policy, application]
        .into_iter()
        .find_map(|of| of.get("session_duration").and_then(Value::as_str))
        .filter(|length| !length.is_empty());
    terms.extend(length.map(|length| format!("session of {length}")));
    terms
}

impl Application {
    /// Reads an application as Cloudflare gives it, with `policies` as the account's reusable ones by id.
    pub(super) fn read(raw: &Value, policies: &HashMap<String, Value>) -> Application {
        let mut placed: Vec<(bool, i64, usize, Policy)> = Vec::new();
        let (given, untold) = match raw.get("policies") {
            Some(Value::Array(given)) => (given.as_slice(), None),
            None | Some(Value::Null) => (
                &[][..],
                Some("the policies of the application, which are missing in Cloudflare's response"),
            ),
            Some(_) => (
                &[][..],
                Some("the policies of the application, which have an unsupported format"),
            ),
        };
        for (at, given) in given.iter().enumerate() {
            let id = given
                .as_str()
                .map_or_else(|| text(given, "id"), |id| id.to_owned().into_boxed_str());
            // A reference may be an id alone, or an object that has the rules or only names them.
            let whole = if given.get("include").is_some() {
                Some(given)
            } else {
                policies.get(&*id)
            };
            let name = whole.map(|whole| text(whole, "name")).unwrap_or_default();
            let name = [name, text(given, "name"), id.clone()]
                .into_iter()
                .find(|name| !name.is_empty())
                .unwrap_or_else(|| format!("number {}", at + 1).into());
            let decision = whole.map_or(Decision::Unread, Decision::read);
            let precedence = given.get("precedence").and_then(Value::as_i64);
            placed.push((
                decision.moment() == Moment::Login,
                precedence.unwrap_or(at as i64 + 1),
                at,
                Policy {
                    id,
                    name,
                    needs_approval: decision == Decision::Allow
                        && whole
                            .is_some_and(|whole| whole.get("approval_required") == Some(&Value::Bool(true))),
                    terms: whole.map(|whole| terms(whole, raw)).unwrap_or_default(),
                    rules: whole.map(Rules::read).unwrap_or_default(),
                    decision,
                },
            ));
        }
        // Bypass and service policies are looked at before those that ask who it is, each in their order.
        // Source: Cloudflare's documentation of Access policies, "order of execution".
        placed.sort_by_key(|(asks, precedence, at, _)| (*asks, *precedence, *at));
        let allowed = raw.get("allowed_idps").and_then(Value::as_array);
        Application {
            id: text(raw, "id"),
            name: text(raw, "name"),
            policies: placed.into_iter().map(|(.., policy)| policy).collect(),
            untold,
            allowed_idps: allowed
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(|id| id.trim().to_lowercase().into())
                .collect(),
        }
    }
}

impl Account {
    /// Whether a policy's rules hold for the person.
    pub fn policy_verdict(&self, app: &Application, policy: &Policy, visit: &Visit<'_>) -> Verdict {
        if policy.decision == Decision::Unread {
            return Verdict::Unknown;
        }
        self.rules_verdict(&policy.rules, false, None, &visit.of_policy(app, policy))
    }

    /// Whether the person gets into an application: the first policy that holds decides, and without one nobody
    /// gets in.
    pub fn app_verdict(&self, app: &Application, visit: &Visit<'_>) -> Verdict {
        let mut after = match app.untold {
            Some(_) => Verdict::Unknown,
            None => Verdict::No,
        };
        for policy in app.policies.iter().rev() {
            let held = self.policy_verdict(app, policy, visit);
            let lets_in = lets_in(policy);
            after = match held {
                Verdict::Yes => lets_in,
                Verdict::No => after,
                // Whichever way it turns out, the answer may be the same.
                _ if lets_in == after => after,
                open => match (lets_in, after) {
                    (Verdict::Unknown, _) | (_, Verdict::Unknown) => Verdict::Unknown,
                    _ => open,
                },
            };
        }
        // A policy that could not be read may be a bypass, which comes before all others.
        if after == Verdict::No
            && app
                .policies
                .iter()
                .any(|policy| policy.decision == Decision::Unread)
        {
            return Verdict::Unknown;
        }
        after
    }

    /// Why someone gets, or may get, into an application. What an open answer depends on stands in steps that
    /// begin with `depends on`; there is at least one.
    pub fn app_via(&self, app: &Application, visit: &Visit<'_>) -> Vec<String> {
        let mut via = vec![format!("application {}", app.name)];
        let is_sure = self.app_verdict(app, visit) == Verdict::Yes;
        for policy in &app.policies {
            let held = self.policy_verdict(app, policy, visit);
            // Of a sure answer only the policy that makes it sure is of interest.
            if held == Verdict::No || (is_sure && held != Verdict::Yes) {
                continue;
            }
            let word = match policy.decision {
                Decision::Deny => "denied by policy",
                Decision::Bypass => "bypass policy",
                _ => "policy",
            };
            via.push(format!("{word} {}", policy.name));
            via.extend(self.policy_via(app, policy, visit));
            if held == Verdict::Yes {
                via.extend(condition(policy).map(|what| format!("depends on {what}")));
                break;
            }
        }
        // One that could not be read may be a bypass, which comes before whatever holds.
        for policy in app
            .policies
            .iter()
            .filter(|policy| policy.decision == Decision::Unread)
        {
            let step = unread(policy);
            if !is_sure && !via.contains(&step) {
                via.push(step);
            }
        }
        via.extend(app.untold.map(|what| format!("depends on {what}")));
        via
    }

    /// Why a policy's rules hold, or what they depend on.
    fn policy_via(&self, app: &Application, policy: &Policy, visit: &Visit<'_>) -> Vec<String> {
        if policy.decision == Decision::Unread {
            return vec![unread(policy)];
        }
        let visit = &visit.of_policy(app, policy);
        let mut via = self.rules_via(&policy.rules, false, None, visit);
        if self.rules_verdict(&policy.rules, false, None, visit).is_open() {
            via.extend(condition(policy).map(|what| format!("depends on {what}")));
        }
        via
    }
}

/// What someone gets for whom a policy's rules hold.
fn lets_in(policy: &Policy) -> Verdict {
    match policy.decision {
        Decision::Allow if policy.needs_approval => Verdict::Conditional,
        Decision::Allow | Decision::Bypass | Decision::NonIdentity => Verdict::Yes,
        Decision::Deny => Verdict::No,
        Decision::Other(_) | Decision::Unread => Verdict::Unknown,
    }
}

fn unread(policy: &Policy) -> String {
    format!(
        "depends on the policy {}, which the application references but the policy list does not contain",
        policy.name
    )
}

/// What access depends on once the rules of a policy hold.
fn condition(policy: &Policy) -> Option<String> {
    match &policy.decision {
        Decision::Allow if policy.needs_approval => Some(format!(
            "approval of each session by an approver (policy {})",
            policy.name
        )),
        Decision::Other(word) if word.is_empty() => Some(format!(
            "the decision of the policy {}, which is missing in Cloudflare's response",
            policy.name
        )),
        Decision::Other(word) => Some(format!(
            "the policy {}, which has the unsupported decision \"{word}\"",
            policy.name
        )),
        _ => None,
    }
}
