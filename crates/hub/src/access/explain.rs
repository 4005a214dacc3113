//! One person and one thing: whether they have it, and every rule that speaks for or against it.
//!
//! Reads what it needs from the store and nothing more, so that it stays fast in large accounts. Start reading
//! at [`explain`].

use super::account::{Account, Visit};
use super::application::Policy;
use super::grant::GrantFilter;
use super::rule::{self, Selector};
use super::verdict::Verdict;
use super::view::{AccessView, Scope, nested_in};
use crate::app::App;
use chrono::{DateTime, Utc};
use model::{GrantKind, address};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use store::{ConnectionRow, PersonRow, StoreError};

/// What is asked about, by id or by exact name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An Access group.
    Group(String),
    /// An application.
    App(String),
    /// A role.
    Role(String),
}

/// A group, application or role that was found.
#[derive(Debug, Clone)]
pub struct Entitlement {
    /// In which account.
    pub connection: ConnectionRow,
    /// What it is.
    pub kind: GrantKind,
    /// Cloudflare's id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// Nothing has this id or name, as far as the lists say.
    #[error("no {kind} named \"{wanted}\" in {scope}{}", gap.as_ref().map(|gap| format!("; but {gap}: \
         run `flareward sync`")).unwrap_or_default())]
    NotFound {
        /// What was looked for.
        kind: &'static str,
        /// By which id or name.
        wanted: String,
        /// Where.
        scope: String,
        /// Why there may be one all the same.
        gap: Option<String>,
    },
    /// Several have it.
    #[error("the name \"{wanted}\" is ambiguous: specify the connection, or use one of these IDs: {found}")]
    Ambiguous {
        /// By which name.
        wanted: String,
        /// Connections and ids.
        found: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether a person has something, and why.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// Our id of the person.
    pub person: String,
    /// Their main address.
    pub email: String,
    /// Under which of their addresses the answer holds.
    pub address: String,
    /// The connection's label.
    pub connection: String,
    /// What it is about.
    pub kind: GrantKind,
    /// Its id.
    pub entitlement_id: String,
    /// Its name.
    pub entitlement_name: String,
    /// `yes`, `no`, `conditional`, `unknown`.
    pub access: &'static str,
    /// From the thing down to the rule that decides.
    pub via: Vec<String>,
    /// What a conditional or unknown answer depends on.
    pub depends_on: Vec<String>,
    /// Why not, when the answer is no.
    pub why_not: Option<String>,
    /// Every group or policy that was looked at, with the rules that speak.
    pub rules: Vec<RuleSet>,
    /// When the lists that this follows from were last read to their end.
    pub as_of: Option<DateTime<Utc>>,
}

impl Explanation {
    /// In one sentence.
    pub fn sentence(&self) -> String {
        let kind = match self.kind {
            GrantKind::AccessGroup => "the Access group",
            GrantKind::App => "the application",
            GrantKind::PermissionGroup => "the permission group",
            GrantKind::Role => "the role",
            GrantKind::UserGroup => "the user group",
        };
        let (email, name) = (address::shown(&self.email), &self.entitlement_name);
        let (is, may) = match self.kind {
            GrantKind::App => ("has access to", "may have access to"),
            GrantKind::AccessGroup | GrantKind::UserGroup => ("is in", "may be in"),
            GrantKind::PermissionGroup | GrantKind::Role => ("has", "may have"),
        };
        match self.access {
            "yes" => format!("Yes: {email} {is} {kind} {name}."),
            "no" => {
                let not = match self.kind {
                    GrantKind::App => "does not have access to",
                    GrantKind::AccessGroup | GrantKind::UserGroup => "is not in",
                    GrantKind::PermissionGroup | GrantKind::Role => "does not have",
                };
                let why = self.why_not.as_ref().map(|why| format!(": {why}"));
                format!("No: {email} {not} {kind} {name}{}.", why.unwrap_or_default())
            }
            "conditional" => format!("It depends: {email} {may} {kind} {name}.{}", self.on()),
            _ => format!("Unknown: {email} {may} {kind} {name}.{}", self.on()),
        }
    }

    fn on(&self) -> String {
        match self.depends_on.as_slice() {
            [] => String::new(),
            on => format!(" Depends on {}.", on.join("; ")),
        }
    }

    /// `yes`, `conditional` or `unknown` as at a grant; `None` when there is none.
    pub fn certainty(&self) -> Option<&'static str> {
        Some(self.access).filter(|access| *access != "no")
    }
}

/// A group or policy, and what its rules say about the person.
#[derive(Debug, Clone, Serialize)]
pub struct RuleSet {
    /// `group Finance`, `allow policy Staff may enter`.
    pub what: String,
    /// `yes`, `no`, `conditional`, `unknown`: whether its rules hold.
    pub verdict: &'static str,
    /// What comes with access through a policy: approval, a justification, the length of a session, isolation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<String>,
    /// The rules that do not simply say no, and those that can never hold; of requirements, all.
    pub rules: Vec<RuleVerdict>,
    /// How many further rules of `include` and `exclude` do not concern the person.
    pub other_rules: usize,
}

/// What one rule says about the person.
#[derive(Debug, Clone, Serialize)]
pub struct RuleVerdict {
    /// `include`, `require` or `exclude`.
    pub list: &'static str,
    /// The rule in words.
    pub rule: String,
    /// `yes`, `no`, `conditional`, `unknown`: whether it holds.
    pub verdict: &'static str,
    /// Why it cannot hold in this place, whoever it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub never: Option<&'static str>,
    /// The group that it names, with its own rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Box<RuleSet>>,
}

/// Finds a group, application or role by id or exact name, in one connection or in all.
///
/// # Errors
///
/// See [`ExplainError`].
pub async fn resolve(
    app: &App,
    connection: Option<&ConnectionRow>,
    target: &Target,
) -> Result<Entitlement, ExplainError> {
    let rows = match connection {
        Some(row) => vec![row.clone()],
        None => app.store.connection_list().await?,
    };
    let mut found = Vec::new();
    let mut gap = None;
    let list = match target {
        Target::Group(_) => "access_groups",
        Target::Role(_) => "roles",
        Target::App(_) => "apps",
    };
    for row in rows {
        if gap.is_none() {
            let listings = app.store.listing_list(&row.id).await?;
            gap = super::view::gaps_of(&listings).remove(list);
        }
        let (kind, matches) = match target {
            Target::Group(wanted) => {
                let by_id = app.store.access_group_get(&row.id, wanted).await?;
                let rows = match by_id {
                    Some(group) => vec![group],
                    None => app.store.access_group_by_name(&row.id, wanted).await?,
                };
                let pairs: Vec<_> = rows.into_iter().map(|group| (group.id, group.name)).collect();
                (GrantKind::AccessGroup, pairs)
            }
            Target::Role(wanted) => {
                let by_id = app.store.role_get(&row.id, wanted).await?;
                let rows = match by_id {
                    Some(role) => vec![role],
                    None => app.store.role_by_name(&row.id, wanted).await?,
                };
                let pairs: Vec<_> = rows.into_iter().map(|role| (role.id, role.name)).collect();
                (GrantKind::Role, pairs)
            }
            Target::App(wanted) => {
                let by_id = app.store.account_object_get(&row.id, "apps", wanted).await?;
                let rows = match by_id {
                    Some(one) => vec![one],
                    None => app.store.account_object_by_name(&row.id, "apps", wanted).await?,
                };
                let pairs: Vec<_> = rows.into_iter().map(|one| (one.id, one.name)).collect();
                (GrantKind::App, pairs)
            }
        };
        found.extend(matches.into_iter().map(|(id, name)| Entitlement {
            connection: row.clone(),
            kind,
            id,
            name,
        }));
    }
    let (kind, wanted) = match target {
        Target::Group(wanted) => ("Access group", wanted),
        Target::App(wanted) => ("application", wanted),
        Target::Role(wanted) => ("role", wanted),
    };
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(ExplainError::NotFound {
            kind,
            wanted: wanted.clone(),
            scope: connection.map_or("any connection".to_owned(), |row| {
                format!("connection {}", row.label)
            }),
            gap,
        }),
        _ => Err(ExplainError::Ambiguous {
            wanted: wanted.clone(),
            found: found
                .iter()
                .map(|one| format!("{} in {}", one.id, one.connection.label))
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}

/// Explains whether a person has a group, application or role.
///
/// # Errors
///
/// See [`ExplainError`].
pub async fn explain(
    app: &App,
    person: &PersonRow,
    entitlement: &Entitlement,
) -> Result<Explanation, ExplainError> {
    let connection = &entitlement.connection.id;
    let scope = match entitlement.kind {
        GrantKind::AccessGroup => Scope::Groups(connection.clone(), vec![entitlement.id.clone()]),
        GrantKind::App => Scope::App(connection.clone(), entitlement.id.clone()),
        _ => Scope::Roles(connection.clone()),
    };
    let view = AccessView::of_person(app, person, &scope).await?;
    let place = view.place(connection).ok_or(StoreError::Gone("the connection"))?;
    let subject = view.people.first().ok_or(StoreError::Gone("the person"))?;
    let account = &view.connections[place].account;
    let filter = GrantFilter {
        kind: Some(entitlement.kind),
        connection_id: Some(connection.clone()),
        entitlement_id: Some(entitlement.id.clone()),
        ..GrantFilter::default()
    };
    let held = view.grant_page(&filter, 1).into_iter().next();
    let held_nothing = held.is_none();
    let mut explanation = Explanation {
        person: person.id.0.clone(),
        email: person.email.clone(),
        address: person.email.clone(),
        connection: entitlement.connection.label.clone(),
        kind: entitlement.kind,
        entitlement_id: entitlement.id.clone(),
        entitlement_name: entitlement.name.clone(),
        access: held.as_ref().map_or("no", |grant| grant.certainty.as_str()),
        via: held.map_or_else(Vec::new, |grant| grant.via),
        depends_on: Vec::new(),
        why_not: None,
        rules: Vec::new(),
        as_of: view.connections[place].as_of,
    };
    if let (true, Some(gap)) = (held_nothing, membership_gap(&view, place, entitlement.kind)) {
        // That nothing was found says nothing where the lists are not whole.
        explanation.access = "unknown";
        explanation.via = vec![format!("depends on {gap}")];
    }
    explanation.depends_on = explanation
        .via
        .iter()
        .filter_map(|step| step.strip_prefix("depends on ").map(str::to_owned))
        .collect();
    match entitlement.kind {
        GrantKind::AccessGroup => {
            let Some(at) = account.group_at(&entitlement.id) else {
                return Ok(explanation);
            };
            let best = subject
                .addresses()
                .max_by_key(|address| {
                    // The first of equals: the main address.
                    let verdict = account.group_verdict(at, &account.visit(subject, address));
                    (verdict, **address == *subject.email)
                })
                .unwrap_or(&subject.email);
            let visit = account.visit(subject, best);
            best.clone_into(&mut explanation.address);
            let raws = raw_groups(app, connection, vec![entitlement.id.clone()]).await?;
            let walk = Walk {
                account,
                visit: &visit,
                raws: &raws,
            };
            if let Some(set) = walk.group(&entitlement.id, 0) {
                explanation.why_not = why_not(&set);
                explanation.rules.push(set);
            }
        }
        GrantKind::App => {
            let raw = match app
                .store
                .account_object_get(connection, "apps", &entitlement.id)
                .await?
            {
                Some(row) => row.raw_json()?,
                None => Value::Null,
            };
            let Some(one) = account.apps().iter().find(|one| *one.id == *entitlement.id) else {
                return Ok(explanation);
            };
            let best = subject
                .addresses()
                .max_by_key(|address| {
                    let verdict = account.app_verdict(one, &account.visit(subject, address));
                    (verdict, **address == *subject.email)
                })
                .unwrap_or(&subject.email);
            best.clone_into(&mut explanation.address);
            let visit = account.visit(subject, best);
            let policies = raw_policies(app, connection, &raw).await?;
            let nested = policies.values().flat_map(nested_in).collect();
            let raws = raw_groups(app, connection, nested).await?;
            for policy in &one.policies {
                let visit = visit.of_policy(one, policy);
                let walk = Walk {
                    account,
                    visit: &visit,
                    raws: &raws,
                };
                let raw = policies.get(&*policy.id).cloned().unwrap_or_default();
                let verdict = account.policy_verdict(one, policy, &visit);
                let what = format!("{} policy {}", policy.decision.as_str(), policy.name);
                let mut set = walk.rules(what, verdict, &raw, None, 0);
                set.terms = terms(policy);
                explanation.rules.push(set);
            }
            if explanation.access == "no" {
                let denied = one
                    .policies
                    .iter()
                    .zip(&explanation.rules)
                    .find(|(_, set)| set.verdict == "yes");
                let never = explanation.rules.iter().find_map(|set| {
                    let rule = set
                        .rules
                        .iter()
                        .find(|rule| rule.never.is_some() && rule.list != "exclude")?;
                    Some(format!("{}: {}: {}", set.what, rule.rule, rule.never?))
                });
                explanation.why_not = Some(match (denied, never) {
                    (Some((policy, _)), _) => format!("policy {} denies access", policy.name),
                    (None, _) if one.policies.is_empty() => {
                        "the application has no policies, so no one has access".to_owned()
                    }
                    (None, Some(never)) => format!(
                        "no policy of the application admits this person \
                         ({never})"
                    ),
                    (None, None) => "no policy of the application admits this person".to_owned(),
                });
            }
        }
        _ if explanation.access == "no" => {
            let is_member = subject.members.iter().any(|member| member.connection == place);
            explanation.why_not = Some(if is_member {
                format!(
                    "their account membership does not include the role {}",
                    entitlement.name
                )
            } else {
                "they are not a member of the account".to_owned()
            });
        }
        _ => {}
    }
    if explanation.access != "no" {
        explanation.why_not = None;
    }
    Ok(explanation)
}

/// Why nothing that was found does not mean "no": the lists that say who holds something are not whole.
fn membership_gap(view: &AccessView, place: usize, kind: GrantKind) -> Option<String> {
    let connection = &view.connections[place];
    let gap = match kind {
        // Rules are evaluated for whoever is asked about; what is missing of them is in the verdict.
        GrantKind::AccessGroup | GrantKind::App => None,
        GrantKind::Role => connection.gap(&["members"]).map(str::to_owned),
        GrantKind::PermissionGroup | GrantKind::UserGroup => connection
            .gap(&["members", "user_groups"])
            .map(str::to_owned)
            .or_else(|| connection.dashboard.user_group_gap()),
    };
    gap.filter(|_| {
        // Their own membership is known: only what user groups add may be missing.
        kind != GrantKind::Role
            || !view
                .people
                .iter()
                .any(|subject| subject.members.iter().any(|member| member.connection == place))
    })
}

/// What comes with access through a policy.
fn terms(policy: &Policy) -> Vec<String> {
    let approval = policy
        .needs_approval
        .then(|| "an approver must approve each session".to_owned());
    approval.into_iter().chain(policy.terms.iter().cloned()).collect()
}

/// Groups and whatever is nested in them, as Cloudflare gives them, by id in lower case.
async fn raw_groups(
    app: &App,
    connection: &model::ConnectionId,
    mut wanted: Vec<String>,
) -> Result<HashMap<String, Value>, StoreError> {
    let mut raws = HashMap::new();
    while let Some(id) = wanted.pop() {
        if raws.contains_key(&id.to_lowercase()) {
            continue;
        }
        let raw: Value = match app.store.access_group_get(connection, &id).await? {
            Some(row) => row.raw_json()?,
            None => Value::Null,
        };
        wanted.extend(nested_in(&raw));
        raws.insert(id.to_lowercase(), raw);
    }
    Ok(raws)
}

/// The policies of an application, whole, by id.
async fn raw_policies(
    app: &App,
    connection: &model::ConnectionId,
    raw: &Value,
) -> Result<HashMap<String, Value>, StoreError> {
    let mut policies = HashMap::new();
    for given in raw["policies"].as_array().into_iter().flatten() {
        let Some(id) = given.as_str().or_else(|| given["id"].as_str()) else {
            continue;
        };
        if given.get("include").is_some() {
            policies.insert(id.to_owned(), given.clone());
        } else if let Some(row) = app.store.account_object_get(connection, "policies", id).await? {
            policies.insert(id.to_owned(), row.raw_json()?);
        }
    }
    Ok(policies)
}

/// Puts rules and their verdicts into words.
struct Walk<'a> {
    account: &'a Account,
    visit: &'a Visit<'a>,
    raws: &'a HashMap<String, Value>,
}

/// Nested groups are shown this deep.
const SHOWN_DEPTH: usize = 16;

impl Walk<'_> {
    fn group(&self, id: &str, depth: usize) -> Option<RuleSet> {
        let at = self.account.group_at(id)?;
        let group = &self.account.groups()[at];
        let raw = self.raws.get(&id.to_lowercase())?;
        let verdict = self.account.group_verdict(at, self.visit);
        let what = format!("group {}", group.name);
        Some(self.rules(what, verdict, raw, group.unfollowed(), depth))
    }

    fn rules(
        &self,
        what: String,
        verdict: Verdict,
        raw: &Value,
        unfollowed: Option<&'static str>,
        depth: usize,
    ) -> RuleSet {
        let mut set = RuleSet {
            what,
            verdict: verdict.as_str(),
            terms: Vec::new(),
            rules: Vec::new(),
            other_rules: 0,
        };
        for list in ["include", "require", "exclude"] {
            for rule in raw[list].as_array().into_iter().flatten() {
                let selector = Selector::read(rule);
                let verdict = self.account.verdict(&selector, unfollowed, self.visit);
                let never = self.visit.ruled_out(&selector);
                if verdict == Verdict::No && list != "require" && never.is_none() {
                    set.other_rules += 1;
                    continue;
                }
                let (mut words, mut group) = (rule::in_words(rule), None);
                if let Selector::Group(id) = &selector {
                    if let Some(at) = self.account.group_at(id) {
                        words = format!("group {}", self.account.groups()[at].name);
                    }
                    if depth < SHOWN_DEPTH && unfollowed.is_none() {
                        group = self.group(id, depth + 1).map(Box::new);
                    }
                }
                set.rules.push(RuleVerdict {
                    list,
                    rule: words,
                    verdict: verdict.as_str(),
                    never,
                    group,
                });
            }
        }
        set
    }
}

fn why_not(set: &RuleSet) -> Option<String> {
    if set.verdict != "no" {
        return None;
    }
    let failed = set
        .rules
        .iter()
        .find(|rule| rule.list == "require" && rule.verdict == "no");
    let excluded = set
        .rules
        .iter()
        .find(|rule| rule.list == "exclude" && rule.verdict == "yes");
    let included = set.rules.iter().any(|rule| rule.list == "include");
    Some(match (included, failed, excluded) {
        (false, ..) => format!("no rule of {} names this person", set.what),
        (true, Some(rule), _) => format!("{} requires {}, which is not met", set.what, rule.rule),
        (true, None, Some(rule)) => format!("{} excludes {}", set.what, rule.rule),
        (true, None, None) => format!("no rule of {} admits this person", set.what),
    })
}
