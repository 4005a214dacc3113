//! An account's rules, compiled: who is in which Access group.
//!
//! Membership is stored nowhere at Cloudflare: whoever matches the rules when they sign in is in. `include` is
//! any, `require` is all, `exclude` is none, in four values ([`Verdict`]). Pure: no store, no clock.
//! Start reading at [`Account::group_verdict`]; [`super::application`] has the applications, `reasons.rs`
//! the words.

use super::application::{Application, Policy};
use super::rule::Selector;
use super::subject::Subject;
use super::verdict::Verdict;
use model::address;
use petgraph::graph::{DiGraph, NodeIndex};
use serde_json::Value;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

/// Groups nested deeper than this are not followed. Chosen: far beyond any sensible nesting, far below what the
/// stack bears.
const DEPTH_MAX: usize = 64;

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
    /// Reads a group or policy as Cloudflare gives it. A list that it does not give, where it must, or gives in
    /// another form, holds one rule that cannot be known.
    pub fn read(raw: &Value) -> Rules {
        let list = |name: &'static str| match raw.get(name) {
            Some(Value::Array(rules)) => rules.iter().map(Selector::read).collect(),
            // There is no group or policy that includes nobody; requirements and exclusions may be missing.
            None | Some(Value::Null) if name != "include" => Vec::new(),
            None | Some(Value::Null) => vec![Selector::Unknown(
                "the rules of `include`, missing in Cloudflare's response".into(),
            )],
            Some(_) => vec![Selector::Unknown(
                format!("the rules of `{name}`, in an unsupported format").into(),
            )],
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
    pub(super) rules: Rules,
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

/// When a rule is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Once someone has signed in.
    Login,
    /// Before anyone has: no rule that asks who someone is can hold.
    BeforeLogin,
}

/// What is on a Zero Trust list.
#[derive(Debug, Default)]
struct ListContent {
    /// Addresses and domains, as they are compared.
    values: HashSet<Box<str>>,
    /// Why there may be more, where the list was read in part.
    partial: Option<Box<str>>,
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
    /// Connections whose members were not read whole, by their place, with the reason.
    partial_members: HashMap<usize, Box<str>>,
    /// The Zero Trust lists whose content was read.
    lists: HashMap<Box<str>, ListContent>,
    apps: Vec<Application>,
}

/// One person under one address, with what was found out so far.
pub struct Visit<'a> {
    pub(super) subject: &'a Subject,
    pub(super) address: &'a str,
    moment: Moment,
    /// The identity providers that an application lets people sign in with; any, where there is none.
    allowed_idps: &'a [Box<str>],
    /// The groups that name the address.
    direct: &'a [u32],
    known: RefCell<HashMap<usize, Verdict>>,
}

impl<'a> Visit<'a> {
    /// The same person as a policy of an application meets them.
    pub fn of_policy(&self, app: &'a Application, policy: &Policy) -> Visit<'a> {
        let moment = policy.decision.moment();
        Visit {
            subject: self.subject,
            address: self.address,
            moment,
            allowed_idps: &app.allowed_idps,
            direct: if moment == Moment::Login { self.direct } else { &[] },
            known: RefCell::default(),
        }
    }

    /// Whether a group names the address.
    pub(super) fn is_named(&self, group: usize) -> bool {
        self.direct.binary_search(&(group as u32)).is_ok()
    }

    /// Why a rule cannot hold in this place, whoever it is; `None` where it can.
    pub fn ruled_out(&self, selector: &Selector) -> Option<&'static str> {
        if matches!(selector, Selector::ServiceToken(_)) {
            return Some("people do not present service tokens");
        }
        if self.moment == Moment::BeforeLogin && selector.asks_identity() {
            return Some(
                "bypass and service auth policies are evaluated before sign-in, so this rule never matches",
            );
        }
        let is_shut = |provider: &str| !self.allowed_idps.iter().any(|allowed| **allowed == *provider);
        if !self.allowed_idps.is_empty() && selector.provider().is_some_and(is_shut) {
            return Some("the application does not allow this identity provider");
        }
        None
    }
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

    /// Adds a Zero Trust list with its values, and why there may be more of them.
    pub fn add_list(&mut self, id: &str, values: impl Iterator<Item = String>, partial: Option<&str>) {
        let compared = |value: String| -> Box<str> {
            if value.contains('@') {
                address::compared(&value).into()
            } else {
                address::canonical_domain(&value).into()
            }
        };
        let content = ListContent {
            values: values.map(compared).collect(),
            partial: partial.map(Into::into),
        };
        self.lists.insert(id.to_lowercase().into(), content);
    }

    /// Notes that not all members of a connection are known, and why.
    pub fn members_are_partial(&mut self, connection: usize, reason: &str) {
        self.partial_members.insert(connection, reason.into());
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
        self.apps.push(Application::read(raw, policies));
    }

    /// Finds groups that include each other (circular reference), or nest too deep. After this the account is
    /// complete.
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
                    Some("groups that include each other (circular reference)")
                } else if depth[at] > DEPTH_MAX {
                    depth[at] = 0;
                    Some("groups nested too deeply to evaluate")
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
    pub fn apps(&self) -> &[Application] {
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
            moment: Moment::Login,
            allowed_idps: &[],
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
        let verdict = self.rules_verdict(&group.rules, visit.is_named(at), group.unfollowed, visit);
        if group.is_nested {
            visit.known.borrow_mut().insert(at, verdict);
        }
        verdict
    }

    pub(super) fn rules_verdict(
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
        if visit.ruled_out(selector).is_some() {
            return Verdict::No;
        }
        match selector {
            Selector::Email(address) => Verdict::known(**address == *visit.address),
            Selector::EmailDomain(domain) => {
                Verdict::known(address::domain_of(visit.address).is_some_and(|of| *of == **domain))
            }
            Selector::EmailList(id) => match self.lists.get(id) {
                Some(list) if list.has(visit.address) => Verdict::Yes,
                Some(ListContent { partial: None, .. }) => Verdict::No,
                _ => Verdict::Unknown,
            },
            Selector::Everyone => Verdict::Yes,
            Selector::Group(id) => match (unfollowed, self.by_id.get(id)) {
                (None, Some(nested)) => self.group_verdict(*nested, visit),
                _ => Verdict::Unknown,
            },
            Selector::AtProvider { .. } => self
                .at_provider(selector, visit)
                .map_or(Verdict::Unknown, Verdict::known),
            Selector::AccountMember(account) => self.account_member(account.as_deref(), visit),
            Selector::Contextual { .. } | Selector::LoginMethod(_) => Verdict::Conditional,
            Selector::ServiceToken(_) => Verdict::No,
            Selector::Unknown(_) => Verdict::Unknown,
        }
    }

    /// What the identity provider said of someone, or why that is not known.
    pub(super) fn at_provider(
        &self,
        selector: &Selector,
        visit: &Visit<'_>,
    ) -> Result<bool, Cow<'static, str>> {
        let Selector::AtProvider { provider, claim } = selector else {
            return Err("not an identity provider rule".into());
        };
        visit
            .subject
            .identity(self.connection, visit.address)?
            .has(provider, claim)
    }

    fn account_member(&self, account: Option<&str>, visit: &Visit<'_>) -> Verdict {
        let account = account.unwrap_or(&self.account_id);
        let Some(connection) = self.known_accounts.get(account) else {
            return Verdict::Unknown;
        };
        let is_member = visit.subject.members.iter().any(|member| {
            member.connection == *connection
                && member.is_accepted
                && address::compared(&member.email) == visit.address
        });
        if is_member {
            // Being a member counts only for someone who signs in with Cloudflare.
            Verdict::Conditional
        } else if self.partial_members.contains_key(connection) {
            Verdict::Unknown
        } else {
            Verdict::No
        }
    }

    /// Why a Zero Trust list does not say whether someone is on it.
    pub(super) fn list_gap(&self, id: &str) -> String {
        match self.lists.get(id).and_then(|list| list.partial.as_ref()) {
            Some(reason) => format!("the e-mail list {id}, which is incomplete ({reason})"),
            None => format!("the e-mail list {id}, which could not be read"),
        }
    }

    /// Why it is not known whether someone is a member of an account.
    pub(super) fn member_gap(&self, account: Option<&str>) -> String {
        let account = account.unwrap_or(&self.account_id);
        let partial = self
            .known_accounts
            .get(account)
            .and_then(|connection| self.partial_members.get(connection));
        match partial {
            Some(reason) => {
                format!("membership of the account {account}, whose member list is incomplete ({reason})")
            }
            None => format!("membership of the Cloudflare account {account}, which is not connected"),
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
        visit.is_named(at) || group.rules.include.iter().filter(own).any(holds)
    }
}

impl ListContent {
    fn has(&self, address: &str) -> bool {
        self.values.contains(address)
            || address::domain_of(address).is_some_and(|domain| self.values.contains(domain))
    }
}

#[cfg(test)]
mod tests;
