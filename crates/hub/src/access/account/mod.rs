//! An account's rules, compiled: who is in which Access group.
//!
//! Membership is stored nowhere at Cloudflare: whoever matches the rules when they sign in is in. `include` is
//! any, `require` is all, `exclude` is none, in four values ([`Verdict`](super::Verdict)). Pure: no store, no clock.
//!
//! This file holds what an account has; `evaluate.rs` evaluates it. Start reading at [`Account::group_verdict`];
//! [`super::application`] has the applications, `reasons.rs` the words.

mod evaluate;
mod gaps;
mod lists;
mod nesting;
mod rules;
mod visit;

pub use self::rules::Rules;
pub use self::visit::{Moment, Visit};

use self::lists::ListContent;
use super::application::Application;
use super::rule::Selector;
use model::address;
use serde_json::Value;
use std::collections::HashMap;

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
}

#[cfg(test)]
mod tests;
