//! Logpush jobs.

/// One export of one dataset to one destination.
#[derive(Debug, Clone)]
pub(crate) struct Job;
