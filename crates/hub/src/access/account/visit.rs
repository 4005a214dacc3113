//! One person under one address, as a group or an application meets them.
//!
//! Holds what was found out so far, so that a nested group is evaluated once a visit.

use crate::access::application::{Application, Policy};
use crate::access::rule::Selector;
use crate::access::subject::Subject;
use crate::access::verdict::Verdict;
use std::cell::RefCell;
use std::collections::HashMap;

/// When a rule is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Once someone has signed in.
    Login,
    /// Before anyone has: no rule that asks who someone is can hold.
    BeforeLogin,
}

/// One person under one address, with what was found out so far.
pub struct Visit<'a> {
    pub(in crate::access) subject: &'a Subject,
    pub(in crate::access) address: &'a str,
    pub(super) moment: Moment,
    /// The identity providers that an application lets people sign in with; any, where there is none.
    pub(super) allowed_idps: &'a [Box<str>],
    /// The groups that name the address.
    pub(super) direct: &'a [u32],
    pub(super) known: RefCell<HashMap<usize, Verdict>>,
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
    pub(in crate::access) fn is_named(&self, group: usize) -> bool {
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
