//! Rules evaluated over one person: `include` is any, `require` is all, `exclude` is none.
//!
//! Reads the account; only the visit notes what was found out. Start reading at [`Account::group_verdict`].

use super::Account;
use super::lists::ListContent;
use super::rules::Rules;
use super::visit::{Moment, Visit};
use crate::access::rule::Selector;
use crate::access::subject::Subject;
use crate::access::verdict::Verdict;
use model::address;
use std::borrow::Cow;
use std::cell::RefCell;

impl Account {
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

    pub(in crate::access) fn rules_verdict(
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
    pub(in crate::access) fn at_provider(
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

    /// Whether someone is in a group by a rule of its own, rather than only through groups that it includes.
    pub fn is_direct(&self, at: usize, visit: &Visit<'_>) -> bool {
        let group = &self.groups[at];
        let own = |selector: &&Selector| !matches!(selector, Selector::Group(_));
        let holds = |selector: &Selector| self.verdict(selector, None, visit) == Verdict::Yes;
        visit.is_named(at) || group.rules.include.iter().filter(own).any(holds)
    }
}
