//! The reasons for rejecting a line.
//!
//! The part that differs from line to line is separate from the reason, so that a body of a million bad lines has only
//! a few reasons.

use std::fmt;

/// Why a line is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// In the same words for every line of its kind.
    pub what: String,
    /// What it means for this line; may be empty.
    pub detail: String,
}

impl Reason {
    /// A reason in the same words for every line of its kind, and what it means for this one.
    pub fn with(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            detail: detail.into(),
        }
    }
}

impl From<String> for Reason {
    fn from(what: String) -> Self {
        Self::with(what, "")
    }
}

impl From<&str> for Reason {
    fn from(what: &str) -> Self {
        Self::with(what, "")
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}
