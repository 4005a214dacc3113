//! What a change came to.

use super::plan::{Guard, Plan};
use model::{AuditOutcome, ChangeOutcome};
use serde::Serialize;

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was so before.
    Already,
    /// It is so now, and was read back.
    Changed,
    /// A guard, or Cloudflare, said no; nothing is different.
    Refused,
    /// It was sent and could not be read back.
    Unverified,
}

impl Outcome {
    /// The one spelling.
    pub fn as_str(self) -> &'static str {
        ChangeOutcome::from(self).as_str()
    }
}

impl From<Outcome> for ChangeOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Already => Self::Already,
            Outcome::Changed => Self::Changed,
            Outcome::Refused => Self::Refused,
            Outcome::Unverified => Self::Unverified,
        }
    }
}

impl From<Outcome> for AuditOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Already => Self::Already,
            Outcome::Changed => Self::Changed,
            Outcome::Refused => Self::Refused,
            Outcome::Unverified => Self::Unverified,
        }
    }
}

/// A change that was made, or not.
#[derive(Debug, Clone, Serialize)]
pub struct Changed {
    /// What became of it.
    pub outcome: Outcome,
    /// Why.
    pub reason: Option<String>,
    /// The guard that refused.
    pub guard: Option<Guard>,
    /// Our id of it, in the list of changes.
    pub change_id: String,
    /// What would still let them in, or what access depends on.
    pub remains: Vec<String>,
    /// How often it was written: more than once when a write was lost.
    pub writes: usize,
    /// The plan by which it was made.
    pub plan: Plan,
}
