//! The reasons for rejecting a line.
//!
//! The part that differs from line to line is separate from the reason, so that a body of a million bad lines has only
//! a few reasons.

use std::fmt;

/// Why a line is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The reason, with the same text for every line of this kind.
    pub what: String,
    /// Details for this line; may be empty.
    pub detail: String,
}

impl Reason {
    /// A reason with the same text for every line of its kind, and details for this one.
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
