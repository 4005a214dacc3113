//! How sure it is that a rule holds, from "no" to "yes" with two words between.

use model::Certainty;
use serde::Serialize;

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
    pub(super) fn not(self) -> Self {
        match self {
            Verdict::No => Verdict::Yes,
            Verdict::Yes => Verdict::No,
            open => open,
        }
    }

    /// Whether it is neither yes nor no.
    pub fn is_open(self) -> bool {
        matches!(self, Verdict::Unknown | Verdict::Conditional)
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

    pub(super) fn known(holds: bool) -> Self {
        if holds { Verdict::Yes } else { Verdict::No }
    }
}
