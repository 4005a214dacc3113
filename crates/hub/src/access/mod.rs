//! Who has access, and why: rules evaluated over people, in an order from "no" to "yes" with two words between
//! for what only the moment or nobody here can know.
//!
//! Everything here is worked out when it is asked for. Start reading at [`account::Account::group_verdict`] for
//! how a rule is evaluated, [`grant`] for lists of who holds what, and [`explain`] for one person and one thing.

pub mod account;
pub mod application;
pub mod dashboard;
pub mod explain;
pub mod grant;
mod reasons;
pub mod rule;
pub mod sign_in;
pub mod subject;
pub mod verdict;
pub mod view;

pub use explain::{ExplainError, Explanation, Target};
pub use grant::{Grant, GrantFilter};
pub use sign_in::SignIns;
pub use verdict::Verdict;
pub use view::{AccessView, Scope};

/// In one word; unknown is not "no".
pub fn yes_no_unknown(known: Option<bool>) -> &'static str {
    match known {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    }
}
