//! Why a line is no event, and how many lines of a batch share each reason.
//!
//! What differs from line to line is apart from the reason, so that a body of a million bad lines has a handful of
//! reasons. Start reading at `Rejects`.

use std::collections::BTreeMap;
use std::fmt;
use store::{BatchRow, RejectRow, RejectSample};

/// Lines that are kept of each batch and reason. Chosen: enough to see what is wrong.
const SAMPLES: usize = 5;
/// How much of a line is kept, and how much of what its reason means for it.
const EXCERPT_CHARS: usize = 200;

/// Why a line is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    what: String,
    detail: String,
}

impl Reason {
    /// A reason in the same words for every line of its kind, and what it means for this one.
    pub(crate) fn with(what: impl Into<String>, detail: impl Into<String>) -> Self {
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

/// The rejected lines of one batch.
#[derive(Debug, Default)]
pub(crate) struct Rejects {
    by_reason: BTreeMap<String, Counted>,
    total: usize,
}

#[derive(Debug)]
struct Counted {
    count: i64,
    samples: Vec<RejectSample>,
}

impl Rejects {
    /// Counts a line. `excerpt` is its beginning, or more of it.
    pub(crate) fn add(&mut self, line: u64, reason: Reason, excerpt: &str) {
        self.total += 1;
        let counted = self.by_reason.entry(reason.what).or_insert(Counted {
            count: 0,
            samples: Vec::new(),
        });
        counted.count += 1;
        if counted.samples.len() < SAMPLES {
            counted.samples.push(RejectSample {
                line: i64::try_from(line).unwrap_or(i64::MAX),
                detail: shortened(&reason.detail),
                excerpt: shortened(excerpt),
            });
        }
    }

    /// How many lines there were.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// The rows of `batch`.
    pub(crate) fn rows(self, batch: &BatchRow, now: chrono::DateTime<chrono::Utc>) -> Vec<RejectRow> {
        let rows = self.by_reason.into_iter().map(|(reason, counted)| RejectRow {
            batch_id: batch.id.clone(),
            reason,
            connection_id: batch.connection_id.clone(),
            dataset: batch.dataset.clone(),
            count: counted.count,
            first_line: counted.samples.first().map_or(1, |sample| sample.line),
            rejected_at: now,
            samples: counted.samples,
        });
        rows.collect()
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(EXCERPT_CHARS).collect()
}
