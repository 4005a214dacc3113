//! Why a verdict is what it is: the chain of rules that hold, and what an open verdict depends on.
//!
//! Whatever an unknown or conditional answer depends on is named; a step for it begins with `depends on`. Pure.
//! Start reading at [`Account::group_via`].

use super::account::{Account, Rules, Visit};
use super::rule::Selector;
use super::verdict::Verdict;
use model::address;
use std::collections::BTreeSet;

impl Account {
    /// Why someone is, or may be, in a group: the chain from the group down to what decides.
    pub fn group_via(&self, at: usize, visit: &Visit<'_>) -> Vec<String> {
        let group = &self.groups()[at];
        let mut via = vec![format!("group {}", group.name)];
        via.extend(self.rules_via(&group.rules, visit.is_named(at), group.unfollowed(), visit));
        via
    }

    /// The same for rules: nothing where they do not hold.
    pub(super) fn rules_via(
        &self,
        rules: &Rules,
        is_named: bool,
        unfollowed: Option<&'static str>,
        visit: &Visit<'_>,
    ) -> Vec<String> {
        match self.rules_verdict(rules, is_named, unfollowed, visit) {
            Verdict::No => Vec::new(),
            Verdict::Yes => self.chain(rules, is_named, unfollowed, visit),
            Verdict::Unknown | Verdict::Conditional => {
                let mut on = BTreeSet::new();
                self.depends(rules, is_named, unfollowed, visit, "", &mut on);
                on.into_iter().map(|what| format!("depends on {what}")).collect()
            }
        }
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
            steps.push(format!("address {}", address::shown(visit.address)));
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
            Selector::Group(id) => match self.group_at(id) {
                Some(nested) => self.group_via(nested, visit),
                None => Vec::new(),
            },
            Selector::AtProvider { claim, .. } => {
                let seen = visit
                    .subject
                    .identity(self.connection, visit.address)
                    .ok()
                    .and_then(|identity| identity.at)
                    .map(|at| format!(", last seen {}", at.format("%Y-%m-%d")))
                    .unwrap_or_default();
                vec![format!("{claim}{seen}")]
            }
            Selector::EmailList(id) => {
                let email = address::shown(visit.address);
                vec![format!("address {email} on the email list {id}")]
            }
            Selector::EmailDomain(domain) => vec![format!("domain {}", address::shown(domain))],
            Selector::Email(email) => vec![format!("address {}", address::shown(email))],
            Selector::Everyone => vec!["everyone".to_owned()],
            _ => Vec::new(),
        }
    }

    /// What an open verdict depends on, through nested groups too.
    fn depends(
        &self,
        rules: &Rules,
        is_named: bool,
        unfollowed: Option<&'static str>,
        visit: &Visit<'_>,
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
            on.extend(of.into_iter().map(|what| format!("exclusion by {what}")));
        }
        debug_assert!(!on.is_empty(), "an open verdict depends on something");
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
        if !verdict.is_open() {
            return;
        }
        let mut say = |what: String| {
            on.insert(format!("{what}{through}"));
        };
        match selector {
            Selector::Group(id) => match (unfollowed, self.group_at(id)) {
                (Some(why), _) => say(why.to_owned()),
                (None, None) => say(format!("the group {id}, which could not be read")),
                (None, Some(nested)) => {
                    let group = &self.groups()[nested];
                    let through = format!(", via group {}", group.name);
                    let is_named = visit.is_named(nested);
                    self.depends(&group.rules, is_named, group.unfollowed(), visit, &through, on);
                }
            },
            Selector::EmailList(id) => say(self.list_gap(id)),
            Selector::AtProvider { claim, .. } => match self.at_provider(selector, visit) {
                Err(why) => say(format!("{claim} ({why})")),
                Ok(_) => say(claim.to_string()),
            },
            Selector::AccountMember(_) if verdict == Verdict::Conditional => {
                say("sign-in with Cloudflare as a member of the account".to_owned());
            }
            Selector::AccountMember(account) => say(self.member_gap(account.as_deref())),
            Selector::LoginMethod(id) => say(format!("sign-in with the identity provider {id}")),
            Selector::Contextual { what, .. } | Selector::Unknown(what) => say(what.to_string()),
            Selector::Email(_)
            | Selector::EmailDomain(_)
            | Selector::Everyone
            | Selector::ServiceToken(_) => {}
        }
    }
}
