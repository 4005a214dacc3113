//! How far a long operation has come, for a progress bar or a page.

/// How far a long operation has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub what: String,
    /// Steps that are done.
    pub done: u64,
    /// All steps, where that is known.
    pub total: Option<u64>,
}
