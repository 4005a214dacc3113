//! An account's rules, compiled: who is in which Access group and who reaches which application.
//!
//! Membership is stored nowhere at Cloudflare: whoever matches the rules when they sign in is in. `include` is
//! any, `require` is all, `exclude` is none, in four values ([`Verdict`]). Pure: no store, no clock.
//! Start reading at [`Account::group_verdict`].

use super::rule::Selector;
use super::subject::Subject;
use model::Certainty;
use petgraph::graph::{DiGraph, NodeIndex};
use serde::Serialize;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Groups nested deeper than this are not followed. Chosen: far beyond any sensible nesting, far below what the
/// stack bears.
const DEPTH_MAX: usize = 64;

/// Whether a rule holds, from least to most sure. "Any of" is the greatest, "all of" the least of its parts:
/// one way in that only the context decides is enough for "conditional", and one requirement that cannot be
/// known makes the whole unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It does not.
    No,
    /// It cannot be known from what was read.
    Unknown,
    /// It depends on something known only at the moment of access.
    Conditional,
    /// It does.
    Yes,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl Verdict {
    /// The opposite; what is open stays open.
    fn not(self) -> Self {
        match self {
            Verdict::No => Verdict::Yes,
            Verdict::Yes => Verdict::No,
            open => open,
        }
    }

    /// As a grant says it; `None` for no grant.
    pub fn certainty(self) -> Option<Certainty> {
        match self {
            Verdict::No => None,
            Verdict::Unknown => Some(Certainty::Unknown),
            Verdict::Conditional => Some(Certainty::Conditional),
            Verdict::Yes => Some(Certainty::Yes),
        }
    }

    /// In one word.
    pub fn as_str(self) -> &'static str {
        self.certainty().map_or("no", Certainty::as_str)
    }

    fn known(holds: bool) -> Self {
        if holds { Verdict::Yes } else { Verdict::No }
    }
}

/// The three lists of rules that groups and policies have.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Any of these lets in.
    pub include: Vec<Selector>,
    /// All of these must hold.
    pub require: Vec<Selector>,
    /// None of these may hold.
    pub exclude: Vec<Selector>,
}

impl Rules {
    /// Reads a group or policy as Cloudflare gives it.
    pub fn read(raw: &Value) -> Rules {
        let list = |name: &str| {
            raw.get(name)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(Selector::read)
                .collect()
        };
        Rules {
            include: list("include"),
            require: list("require"),
            exclude: list("exclude"),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Selector> {
        self.include.iter().chain(&self.require).chain(&self.exclude)
    }
}

/// An Access group.
#[derive(Debug)]
pub struct Group {
    /// Its id.
    pub id: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its rules; the addresses of `include` are in the account's index instead.
    rules: Rules,
    /// Whether anyone but those named by address may be in.
    is_broad: bool,
    /// Whether another group names it: then its verdict is asked for more than once.
    is_nested: bool,
    /// Whether it includes itself through others, or is nested too deep: then nested groups are not followed.
    unfollowed: Option<&'static str>,
}

impl Group {
    /// Why nested groups are not followed, if they are not.
    pub(super) fn unfollowed(&self) -> Option<&'static str> {
        self.unfollowed
    }
}

/// What a policy does with those who match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Lets in.
    Allow,
    /// Keeps out.
    Deny,
    /// Lets in without asking who it is.
    Bypass,
    /// Lets in services.
    NonIdentity,
    /// A decision that is not known here.
    Other,
}

/// A policy of an application, in its place.
#[derive(Debug)]
pub struct Policy {
    /// Its id.
    pub id: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// What it does.
    pub decision: Decision,
    /// Whom.
    rules: Rules,
}

/// An application behind Access.
#[derive(Debug)]
pub struct App {
    /// Its id.
    pub id: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// In the order in which they decide.
    pub policies: Vec<Policy>,
    /// Policies that it names and that could not be read.
    pub missing: usize,
}

/// What the rules of one account are evaluated with.
#[derive(Debug, Default)]
pub struct Account {
    /// Which connection, by its place in the view.
    pub connection: usize,
    /// Cloudflare's id of the account, in lower case.
    pub account_id: Box<str>,
    /// Accounts whose members are known, in lower case, with the place of their connection.
    pub known_accounts: HashMap<Box<str>, usize>,
    groups: Vec<Group>,
    by_id: HashMap<Box<str>, usize>,
    /// Which groups name an address in `include`.
    by_address: HashMap<Box<str>, Vec<u32>>,
    broad: Vec<usize>,
    /// Addresses and domains on the Zero Trust lists that were read, by list.
    lists: HashMap<Box<str>, HashSet<Box<str>>>,
    apps: Vec<App>,
}

/// One person under one address, with what was found out so far.
pub struct Visit<'a> {
    subject: &'a Subject,
    address: &'a str,
    /// The groups that name the address.
    direct: &'a [u32],
    known: RefCell<HashMap<usize, Verdict>>,
}

impl Account {
    /// Begins an account.
    pub fn new(connection: usize, account_id: &str, known_accounts: HashMap<Box<str>, usize>) -> Self {
        Self {
            connection,
            account_id: account_id.to_lowercase().into(),
            known_accounts,
            ..Self::default()
        }
    }

    /// Adds a Zero Trust list with its values.
    pub fn add_list(&mut self, id: &str, values: impl Iterator<Item = String>) {
        let values = values.map(|value| value.trim().to_lowercase().into()).collect();
        self.lists.insert(id.to_lowercase().into(), values);
    }

    /// Adds an Access group as Cloudflare gives it. Call [`Account::close`] after the last.
    pub fn add_group(&mut self, raw: &Value) {
        let Some(id) = raw.get("id").and_then(Value::as_str) else {
            return;
        };
        let mut rules = Rules::read(raw);
        let at = self.groups.len();
        let place = u32::try_from(at).unwrap_or(u32::MAX);
        rules.include.retain(|selector| match selector {
            Selector::Email(address) => {
                let places = self.by_address.entry(address.clone()).or_default();
                if places.last() != Some(&place) {
                    places.push(place);
                }
                false
            }
            _ => true,
        });
        rules.include.shrink_to_fit();
        self.by_id.insert(id.to_lowercase().into(), at);
        self.groups.push(Group {
            id: id.into(),
            name: raw.get("name").and_then(Value::as_str).unwrap_or_default().into(),
            is_broad: !rules.include.is_empty(),
            rules,
            is_nested: false,
            unfollowed: None,
        });
    }

    /// Adds an application, with `policies` as the account's reusable ones by id.
    pub fn add_app(&mut self, raw: &Value, policies: &HashMap<String, Value>) {
        let text = |value: &Value, name: &str| -> Box<str> {
            value.get(name).and_then(Value::as_str).unwrap_or_default().into()
        };
        let mut missing = 0;
        let mut placed: Vec<(i64, usize, Policy)> = Vec::new();
        let given = raw.get("policies").and_then(Value::as_array);
        for (at, given) in given.into_iter().flatten().enumerate() {
            let id = given
                .as_str()
                .map(str::to_owned)
                .unwrap_or_else(|| text(given, "id").into());
            // A reference may be an id alone, or an object that has the rules or only names them.
            let whole = if given.get("include").is_some() {
                Some(given)
            } else {
                policies.get(&id)
            };
            let Some(whole) = whole else {
                missing += 1;
                continue;
            };
            let precedence = given.get("precedence").and_then(Value::as_i64);
            placed.push((
                precedence.unwrap_or(at as i64 + 1),
                at,
                Policy {
                    id: id.into(),
                    name: text(whole, "name"),
                    decision: match &*text(whole, "decision") {
                        "allow" => Decision::Allow,
                        "deny" => Decision::Deny,
                        "bypass" => Decision::Bypass,
                        "non_identity" => Decision::NonIdentity,
                        _ => Decision::Other,
                    },
                    rules: Rules::read(whole),
                },
            ));
        }
        // Bypass and service policies are looked at before those that ask who it is, each in their order.
        // Source: Cloudflare's documentation of Access policies, "order of execution".
        placed.sort_by_key(|(precedence, at, policy)| {
            let asks = !matches!(policy.decision, Decision::Bypass | Decision::NonIdentity);
            (asks, *precedence, *at)
        });
        self.apps.push(App {
            id: text(raw, "id"),
            name: text(raw, "name"),
            policies: placed.into_iter().map(|(_, _, policy)| policy).collect(),
            missing,
        });
    }

    /// Finds groups that include each other in a circle, or nest too deep. After this the account is complete.
    pub fn close(&mut self) {
        let mut graph: DiGraph<(), ()> = DiGraph::with_capacity(self.groups.len(), 0);
        let nodes: Vec<NodeIndex> = self.groups.iter().map(|_| graph.add_node(())).collect();
        let mut named = Vec::new();
        for (at, group) in self.groups.iter().enumerate() {
            for selector in group.rules.all() {
                if let Selector::Group(id) = selector
                    && let Some(nested) = self.by_id.get(id)
                {
                    graph.update_edge(nodes[at], nodes[*nested], ());
                    named.push(*nested);
                }
            }
        }
        for nested in named {
            self.groups[nested].is_nested = true;
        }
        // Components come innermost first, so that every nested group has its depth before those around it.
        let mut depth = vec![0_usize; self.groups.len()];
        for component in petgraph::algo::kosaraju_scc(&graph) {
            let first = component[0];
            let in_circle = component.len() > 1 || graph.contains_edge(first, first);
            for node in component {
                let at = node.index();
                let below = graph
                    .neighbors(node)
                    .map(|nested| depth[nested.index()] + 1)
                    .max();
                depth[at] = if in_circle { 0 } else { below.unwrap_or(0) };
                self.groups[at].unfollowed = if in_circle {
                    Some("groups that include each other in a circle")
                } else if depth[at] > DEPTH_MAX {
                    depth[at] = 0;
                    Some("groups nested too deep to follow")
                } else {
                    None
                };
            }
        }
        self.broad = (0..self.groups.len())
            .filter(|at| self.groups[*at].is_broad)
            .collect();
    }

    /// All groups.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// All applications.
    pub fn apps(&self) -> &[App] {
        &self.apps
    }

    /// A group's place, by its id.
    pub fn group_at(&self, id: &str) -> Option<usize> {
        self.by_id.get(id.to_lowercase().as_str()).copied()
    }

    /// Prepares evaluating rules for a person under one of their addresses.
    pub fn visit<'a>(&'a self, subject: &'a Subject, address: &'a str) -> Visit<'a> {
        Visit {
            subject,
            address,
            direct: self.by_address.get(address).map_or(&[], Vec::as_slice),
            known: RefCell::default(),
        }
    }

    /// The groups that this visit may be in: those that name the address, and those that name more than addresses.
    pub fn candidates(&self, visit: &Visit<'_>) -> Vec<usize> {
        let mut places: Vec<usize> = visit.direct.iter().map(|place| *place as usize).collect();
        places.extend(&self.broad);
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Whether the person is in the group.
    pub fn group_verdict(&self, at: usize, visit: &Visit<'_>) -> Verdict {
        let group = &self.groups[at];
        if group.is_nested
            && let Some(known) = visit.known.borrow().get(&at)
        {
            return *known;
        }
        let is_named = visit.direct.binary_search(&(at as u32)).is_ok();
        let verdict = self.rules_verdict(&group.rules, is_named, group.unfollowed, visit);
        if group.is_nested {
            visit.known.borrow_mut().insert(at, verdict);
        }
        verdict
    }

    fn rules_verdict(
        &self,
        rules: &Rules,
        is_named: bool,
        unfollowed: Option<&'static str>,
        visit: &Visit<'_>,
    ) -> Verdict {
        let mut verdict = Verdict::known(is_named);
        for selector in &rules.include {
            if verdict == Verdict::Yes {
                break;
            }
            verdict = verdict.max(self.verdict(selector, unfollowed, visit));
        }
        for selector in &rules.require {
            if verdict == Verdict::No {
                break;
            }
            verdict = verdict.min(self.verdict(selector, unfollowed, visit));
        }
        for selector in &rules.exclude {
            if verdict == Verdict::No {
                break;
            }
            verdict = verdict.min(self.verdict(selector, unfollowed, visit).not());
        }
        verdict
    }

    /// Whether one rule holds for the person.
    pub fn verdict(
        &self,
        selector: &Selector,
        unfollowed: Option<&'static str>,
        visit: &Visit<'_>,
    ) -> Verdict {
        match selector {
            Selector::Email(address) => Verdict::known(**address == *visit.address),
            Selector::EmailDomain(domain) => {
                Verdict::known(domain_of(visit.address).is_some_and(|of| *of == **domain))
            }
            Selector::EmailList(id) => match self.lists.get(id) {
                Some(values) => Verdict::known(
                    values.contains(visit.address)
                        || domain_of(visit.address).is_some_and(|domain| values.contains(domain)),
                ),
                None => Verdict::Unknown,
            },
            Selector::Everyone => Verdict::Yes,
            Selector::Group(id) => match (unfollowed, self.by_id.get(id)) {
                (None, Some(nested)) => self.group_verdict(*nested, visit),
                _ => Verdict::Unknown,
            },
            Selector::AtProvider { provider, claim } => visit
                .subject
                .identity(self.connection, visit.address)
                .and_then(|identity| identity.has(provider, claim))
                .map_or(Verdict::Unknown, Verdict::known),
            Selector::AccountMember(account) => {
                let account = account.as_ref().unwrap_or(&self.account_id);
                match self.known_accounts.get(account) {
                    Some(connection) => {
                        let is_member = visit.subject.members.iter().any(|member| {
                            member.connection == *connection
                                && member.is_accepted
                                && member.email.to_lowercase() == visit.address
                        });
                        // Being a member counts only for someone who signs in with Cloudflare.
                        if is_member {
                            Verdict::Conditional
                        } else {
                            Verdict::No
                        }
                    }
                    None => Verdict::Unknown,
                }
            }
            Selector::Contextual(_) => Verdict::Conditional,
            Selector::Unknown(_) => Verdict::Unknown,
        }
    }

    /// Whether a group is the union of what it includes: nothing is required, nothing excluded.
    pub fn is_union(&self, at: usize) -> bool {
        let group = &self.groups[at];
        group.unfollowed.is_none() && group.rules.require.is_empty() && group.rules.exclude.is_empty()
    }

    /// The groups that a group includes, by place.
    pub fn included(&self, at: usize) -> impl Iterator<Item = usize> {
        let group = &self.groups[at];
        let followed = group.unfollowed.is_none();
        group
            .rules
            .include
            .iter()
            .filter_map(move |selector| match selector {
                Selector::Group(id) if followed => self.by_id.get(id).copied(),
                _ => None,
            })
    }

    /// Whether someone is in a group by a rule of its own, rather than only through groups that it includes.
    pub fn is_direct(&self, at: usize, visit: &Visit<'_>) -> bool {
        let group = &self.groups[at];
        let own = |selector: &&Selector| !matches!(selector, Selector::Group(_));
        let holds = |selector: &Selector| self.verdict(selector, None, visit) == Verdict::Yes;
        visit.direct.binary_search(&(at as u32)).is_ok() || group.rules.include.iter().filter(own).any(holds)
    }

    /// Why someone is, or may be, in a group: the chain from the group down to what decides.
    pub fn group_via(&self, at: usize, visit: &Visit<'_>) -> Vec<String> {
        let group = &self.groups[at];
        let is_named = visit.direct.binary_search(&(at as u32)).is_ok();
        let mut via = vec![format!("group {}", group.name)];
        match self.group_verdict(at, visit) {
            Verdict::No => {}
            Verdict::Yes => via.extend(self.chain(&group.rules, is_named, group.unfollowed, visit)),
            open => {
                let mut on = BTreeSet::new();
                self.depends(&group.rules, is_named, group.unfollowed, visit, open, "", &mut on);
                via.extend(on.into_iter().map(|what| format!("depends on {what}")));
            }
        }
        via
    }

    /// The chain of rules that hold.
    fn chain(
        &self,
        rules: &Rules,
        is_named: bool,
        unfollowed: Option<&'static str>,
        visit: &Visit<'_>,
    ) -> Vec<String> {
        let mut steps = Vec::new();
        if is_named {
            steps.push(format!("address {}", visit.address));
        } else if let Some(selector) = rules
            .include
            .iter()
            .find(|selector| self.verdict(selector, unfollowed, visit) == Verdict::Yes)
        {
            steps.extend(self.step(selector, visit));
        }
        for selector in &rules.require {
            steps.extend(
                self.step(selector, visit)
                    .into_iter()
                    .map(|step| format!("and {step}")),
            );
        }
        if !rules.exclude.is_empty() {
            steps.push("and not excluded".to_owned());
        }
        steps
    }

    /// A rule that holds, with what is nested in it.
    fn step(&self, selector: &Selector, visit: &Visit<'_>) -> Vec<String> {
        match selector {
            Selector::Group(id) => match self.by_id.get(id) {
                Some(nested) => self.group_via(*nested, visit),
                None => Vec::new(),
            },
            Selector::AtProvider { claim, .. } => {
                let seen = visit
                    .subject
                    .identity(self.connection, visit.address)
                    .and_then(|identity| identity.at)
                    .map(|at| format!(", last seen {}", at.format("%Y-%m-%d")))
                    .unwrap_or_default();
                vec![format!("{claim}{seen}")]
            }
            Selector::EmailList(id) => vec![format!("address {} on the e-mail list {id}", visit.address)],
            Selector::EmailDomain(domain) => vec![format!("domain {domain}")],
            Selector::Email(address) => vec![format!("address {address}")],
            Selector::Everyone => vec!["everyone".to_owned()],
            _ => Vec::new(),
        }
    }

    /// What an open verdict depends on, through nested groups too.
    #[expect(clippy::too_many_arguments, reason = "one walk, told apart by nothing else")]
    fn depends(
        &self,
        rules: &Rules,
        is_named: bool,
        unfollowed: Option<&'static str>,
        visit: &Visit<'_>,
        verdict: Verdict,
        through: &str,
        on: &mut BTreeSet<String>,
    ) {
        let include = rules
            .include
            .iter()
            .map(|selector| self.verdict(selector, unfollowed, visit));
        let include = include.max().unwrap_or(Verdict::No).max(Verdict::known(is_named));
        if include != Verdict::Yes {
            for selector in &rules.include {
                self.dependence(selector, unfollowed, visit, through, on);
            }
        }
        for selector in &rules.require {
            self.dependence(selector, unfollowed, visit, through, on);
        }
        for selector in &rules.exclude {
            let mut of = BTreeSet::new();
            self.dependence(selector, unfollowed, visit, through, &mut of);
            on.extend(of.into_iter().map(|what| format!("an exclusion by {what}")));
        }
        debug_assert!(
            !on.is_empty() || verdict == Verdict::Yes,
            "an open verdict depends on something"
        );
    }

    fn dependence(
        &self,
        selector: &Selector,
        unfollowed: Option<&'static str>,
        visit: &Visit<'_>,
        through: &str,
        on: &mut BTreeSet<String>,
    ) {
        let verdict = self.verdict(selector, unfollowed, visit);
        if matches!(verdict, Verdict::Yes | Verdict::No) {
            return;
        }
        let mut say = |what: String| {
            on.insert(format!("{what}{through}"));
        };
        match selector {
            Selector::Group(id) => match (unfollowed, self.by_id.get(id)) {
                (Some(why), _) => say(why.to_owned()),
                (None, None) => say("a group that could not be read".to_owned()),
                (None, Some(nested)) => {
                    let group = &self.groups[*nested];
                    let is_named = visit.direct.binary_search(&(*nested as u32)).is_ok();
                    let through = format!(", by group {}", group.name);
                    self.depends(
                        &group.rules,
                        is_named,
                        group.unfollowed,
                        visit,
                        verdict,
                        &through,
                        on,
                    );
                }
            },
            Selector::EmailList(id) => say(format!("the e-mail list {id}, which could not be read")),
            Selector::AtProvider { claim, .. } => say(format!("{claim}")),
            Selector::AccountMember(_) if verdict == Verdict::Conditional => {
                say("signing in with Cloudflare as a member of the account".to_owned());
            }
            Selector::AccountMember(_) => {
                say("being a member of a Cloudflare account that is not connected".to_owned());
            }
            Selector::Contextual(what) | Selector::Unknown(what) => say(what.to_string()),
            _ => {}
        }
    }

    /// Whether a policy's rules hold for the person.
    pub fn policy_verdict(&self, policy: &Policy, visit: &Visit<'_>) -> Verdict {
        self.rules_verdict(&policy.rules, false, None, visit)
    }

    /// Why a policy's rules hold, or what they depend on.
    pub fn policy_via(&self, policy: &Policy, visit: &Visit<'_>) -> Vec<String> {
        match self.policy_verdict(policy, visit) {
            Verdict::No => Vec::new(),
            Verdict::Yes => self.chain(&policy.rules, false, None, visit),
            open => {
                let mut on = BTreeSet::new();
                self.depends(&policy.rules, false, None, visit, open, "", &mut on);
                on.into_iter().map(|what| format!("depends on {what}")).collect()
            }
        }
    }

    /// Whether the person gets into an application: the first policy that holds decides, and without one nobody
    /// gets in.
    pub fn app_verdict(&self, app: &App, visit: &Visit<'_>) -> Verdict {
        let mut after = if app.missing > 0 {
            Verdict::Unknown
        } else {
            Verdict::No
        };
        for policy in app.policies.iter().rev() {
            let held = self.policy_verdict(policy, visit);
            let lets_in = match policy.decision {
                Decision::Allow | Decision::Bypass | Decision::NonIdentity => Verdict::Yes,
                Decision::Deny => Verdict::No,
                Decision::Other => Verdict::Unknown,
            };
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
        after
    }

    /// Why someone gets, or may get, into an application.
    pub fn app_via(&self, app: &App, visit: &Visit<'_>) -> Vec<String> {
        let mut via = vec![format!("application {}", app.name)];
        for policy in &app.policies {
            let held = self.policy_verdict(policy, visit);
            if held == Verdict::No {
                continue;
            }
            let word = match policy.decision {
                Decision::Deny => "denied by policy",
                Decision::Bypass => "bypass policy",
                _ => "policy",
            };
            via.push(format!("{word} {}", policy.name));
            via.extend(self.policy_via(policy, visit));
            if held == Verdict::Yes {
                break;
            }
        }
        via
    }
}

fn domain_of(address: &str) -> Option<&str> {
    address.rsplit_once('@').map(|(_, domain)| domain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::subject::{Identity, Membership, User};
    use model::PersonId;
    use serde_json::json;

    fn someone(email: &str) -> Subject {
        Subject {
            person_id: PersonId("p".to_owned()),
            email: email.into(),
            further: Vec::new(),
            members: Vec::new(),
            users: Vec::new(),
        }
    }

    fn account(groups: &Value) -> Account {
        let mut account = Account::new(0, "acc", HashMap::from([("acc".into(), 0)]));
        for group in groups.as_array().unwrap() {
            account.add_group(group);
        }
        account.close();
        account
    }

    fn check(groups: &Value, group: &str, subject: &Subject, expected: Verdict) -> Vec<String> {
        let account = account(groups);
        let visit = account.visit(subject, &subject.email);
        let at = account.group_at(group).unwrap();
        assert_eq!(account.group_verdict(at, &visit), expected, "{groups}");
        account.group_via(at, &visit)
    }

    #[test]
    fn an_address_is_compared_whatever_its_case() {
        let groups =
            json!([{ "id": "a", "name": "Staff", "include": [{ "email": { "email": "Ana@X.example" } }] }]);
        let via = check(&groups, "a", &someone("ana@x.example"), Verdict::Yes);
        assert_eq!(via, ["group Staff", "address ana@x.example"]);
        check(&groups, "a", &someone("ben@x.example"), Verdict::No);
    }

    #[test]
    fn a_domain_is_whole() {
        let groups = json!([{ "id": "a", "include": [{ "email_domain": { "domain": "x.example" } }] }]);
        check(&groups, "a", &someone("ana@x.example"), Verdict::Yes);
        check(&groups, "a", &someone("ana@notx.example"), Verdict::No);
    }

    #[test]
    fn require_and_exclude_count() {
        let groups = json!([{ "id": "a", "include": [{ "everyone": {} }],
            "require": [{ "email_domain": { "domain": "x.example" } }],
            "exclude": [{ "email": { "email": "ben@x.example" } }] }]);
        check(&groups, "a", &someone("ana@x.example"), Verdict::Yes);
        check(&groups, "a", &someone("ben@x.example"), Verdict::No);
        check(&groups, "a", &someone("ana@y.example"), Verdict::No);
    }

    #[test]
    fn a_nested_group_says_so_and_a_circle_is_unknown_from_wherever_it_is_asked() {
        let groups = json!([
            { "id": "a", "name": "Outer", "include": [{ "group": { "id": "B" } }] },
            { "id": "b", "name": "Inner", "include": [{ "email": { "email": "ana@x.example" } }] },
            { "id": "c", "name": "One", "include": [{ "group": { "id": "d" } }] },
            { "id": "d", "name": "Two", "include": [{ "group": { "id": "c" } }, { "email": { "email": "ana@x.example" } }] },
            { "id": "e", "name": "Self", "include": [{ "group": { "id": "e" } }] },
            { "id": "f", "name": "Lost", "include": [{ "group": { "id": "nowhere" } }] },
        ]);
        let via = check(&groups, "a", &someone("ana@x.example"), Verdict::Yes);
        assert_eq!(via, ["group Outer", "group Inner", "address ana@x.example"]);
        check(&groups, "c", &someone("ben@x.example"), Verdict::Unknown);
        check(&groups, "d", &someone("ana@x.example"), Verdict::Yes);
        let via = check(&groups, "e", &someone("ana@x.example"), Verdict::Unknown);
        assert_eq!(via[1], "depends on groups that include each other in a circle");
        check(&groups, "f", &someone("ana@x.example"), Verdict::Unknown);
    }

    #[test]
    fn a_chain_of_ten_thousand_groups_ends() {
        let groups: Vec<Value> = (0..10_000)
            .map(|n| json!({ "id": format!("g{n}"), "include": [{ "group": { "id": format!("g{}", n + 1) } }] }))
            .collect();
        check(&json!(groups), "g0", &someone("ana@x.example"), Verdict::Unknown);
    }

    #[test]
    fn context_is_conditional_and_the_unknowable_unknown() {
        let one = |rule: Value| json!([{ "id": "a", "name": "G", "include": [rule] }]);
        let ana = someone("ana@x.example");
        let via = check(
            &one(json!({ "geo": { "country_code": "pt" } })),
            "a",
            &ana,
            Verdict::Conditional,
        );
        assert_eq!(via, ["group G", "depends on the country they come from being PT"]);
        check(
            &one(json!({ "okta": { "name": "eng" } })),
            "a",
            &ana,
            Verdict::Unknown,
        );
        check(&one(json!({ "brand_new": {} })), "a", &ana, Verdict::Unknown);
        let sure = json!([{ "id": "a", "include": [{ "everyone": {} }], "exclude": [{ "geo": { "country_code": "kp" } }] }]);
        let via = check(&sure, "a", &ana, Verdict::Conditional);
        assert_eq!(
            via[1],
            "depends on an exclusion by the country they come from being KP"
        );
        let voided = json!([{ "id": "a", "include": [{ "okta": { "name": "eng" } }],
            "require": [{ "email_domain": { "domain": "y.example" } }] }]);
        check(&voided, "a", &ana, Verdict::No);
        // One way in that the context decides is enough; one requirement that cannot be known is not.
        let either = json!([{ "id": "a", "include": [{ "okta": { "name": "eng" } }, { "geo": { "country_code": "PT" } }] }]);
        check(&either, "a", &ana, Verdict::Conditional);
        let both = json!([{ "id": "a", "include": [{ "geo": { "country_code": "PT" } }], "require": [{ "okta": { "name": "eng" } }] }]);
        check(&both, "a", &ana, Verdict::Unknown);
    }

    #[test]
    fn what_the_identity_provider_said_decides_for_its_own_rules_alone() {
        let mut ana = someone("ana@x.example");
        let identity = json!({ "idp": { "id": "IDP-1", "type": "okta" }, "iat": 1_790_000_000,
            "groups": [{ "id": "00g1", "name": "Engineering" }, "plain"], "saml_attributes": { "dept": ["R&D", "all"] } });
        ana.users.push(User {
            connection: 0,
            email: "ana@x.example".into(),
            identity: Some(Box::new(Identity::read(&identity))),
        });
        let one = |rule: Value| json!([{ "id": "a", "name": "G", "include": [rule] }]);
        let okta = |name: &str, provider: &str| {
            one(json!({ "okta": { "name": name, "identity_provider_id": provider } }))
        };
        let via = check(&okta("engineering", "idp-1"), "a", &ana, Verdict::Yes);
        assert!(
            via[1].contains("group engineering at the identity provider (okta), last seen 2026"),
            "{via:?}"
        );
        check(&okta("plain", "idp-1"), "a", &ana, Verdict::Yes);
        check(&okta("Sales", "idp-1"), "a", &ana, Verdict::No);
        check(&okta("engineering", "another"), "a", &ana, Verdict::Unknown);
        let saml = |value: &str| {
            one(
                json!({ "saml": { "attribute_name": "dept", "attribute_value": value, "identity_provider_id": "idp-1" } }),
            )
        };
        check(&saml("R&D"), "a", &ana, Verdict::Yes);
        check(&saml("Sales"), "a", &ana, Verdict::No);
        // It said nothing of OIDC or GitHub.
        check(
            &one(
                json!({ "oidc": { "claim_name": "a", "claim_value": "b", "identity_provider_id": "idp-1" } }),
            ),
            "a",
            &ana,
            Verdict::Unknown,
        );
    }

    #[test]
    fn an_email_list_is_known_when_it_was_read() {
        let groups = json!([{ "id": "a", "include": [{ "email_list": { "id": "L1" } }] }, { "id": "b", "include": [{ "email_list": { "id": "l2" } }] }]);
        let mut account = account(&groups);
        account.add_list("l1", ["Ana@x.example".to_owned()].into_iter());
        let (ana, ben) = (someone("ana@x.example"), someone("ben@x.example"));
        for (who, group, expected) in [
            (&ana, 0, Verdict::Yes),
            (&ben, 0, Verdict::No),
            (&ana, 1, Verdict::Unknown),
        ] {
            assert_eq!(
                account.group_verdict(group, &account.visit(who, &who.email)),
                expected
            );
        }
    }

    #[test]
    fn a_member_of_the_account_still_has_to_sign_in_with_cloudflare() {
        let mut ana = someone("ana@x.example");
        ana.members.push(Membership {
            connection: 0,
            id: "m".into(),
            email: "Ana@x.example".into(),
            is_accepted: true,
            roles: Vec::new(),
            policies: Vec::new(),
        });
        let rule = |inner: Value| json!([{ "id": "a", "include": [{ "cloudflare_account_member": inner }] }]);
        check(&rule(json!({})), "a", &ana, Verdict::Conditional);
        check(
            &rule(json!({ "account_id": "ACC" })),
            "a",
            &ana,
            Verdict::Conditional,
        );
        check(
            &rule(json!({ "account_id": "other" })),
            "a",
            &ana,
            Verdict::Unknown,
        );
        check(&rule(json!({})), "a", &someone("ben@x.example"), Verdict::No);
    }

    #[test]
    fn the_first_policy_that_holds_decides() {
        let policy = |decision: &str, include: Value, precedence: i64| json!({ "id": decision, "name": decision, "decision": decision, "include": [include], "precedence": precedence });
        let ana_rule = json!({ "email": { "email": "ana@x.example" } });
        let france = json!({ "geo": { "country_code": "FR" } });
        let everyone = json!({ "everyone": {} });
        let check = |policies: Value, email: &str, expected: Verdict| {
            let mut account = account(&json!([]));
            account.add_app(
                &json!({ "id": "w", "name": "Wiki", "policies": policies }),
                &HashMap::new(),
            );
            let subject = someone(email);
            let visit = account.visit(&subject, &subject.email);
            assert_eq!(
                account.app_verdict(&account.apps()[0], &visit),
                expected,
                "{policies}"
            );
        };
        let (ana, ben) = ("ana@x.example", "ben@x.example");
        check(json!([]), ana, Verdict::No);
        check(json!([policy("allow", ana_rule.clone(), 1)]), ana, Verdict::Yes);
        check(json!([policy("allow", ana_rule.clone(), 1)]), ben, Verdict::No);
        // Order is by precedence, not by place.
        let both = json!([
            policy("allow", everyone.clone(), 2),
            policy("deny", ana_rule.clone(), 1)
        ]);
        check(both.clone(), ana, Verdict::No);
        check(both, ben, Verdict::Yes);
        // A bypass is looked at before everything.
        check(
            json!([
                policy("deny", everyone.clone(), 1),
                policy("bypass", everyone.clone(), 2)
            ]),
            ben,
            Verdict::Yes,
        );
        // A condition before the same answer changes nothing.
        check(
            json!([
                policy("allow", france.clone(), 1),
                policy("allow", everyone.clone(), 2)
            ]),
            ben,
            Verdict::Yes,
        );
        check(
            json!([policy("deny", france, 1), policy("allow", everyone, 2)]),
            ben,
            Verdict::Conditional,
        );
        // A policy that could not be read may let in.
        check(json!(["unread"]), ben, Verdict::Unknown);
    }
}
