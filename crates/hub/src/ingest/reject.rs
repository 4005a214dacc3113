//! How many lines of a batch were rejected for each reason, with samples.
//!
//! Start reading at `Rejects`.

use rules::reason::Reason;
use std::collections::BTreeMap;
use store::{BatchRow, RejectRow, RejectSample};

/// Lines that are kept of each batch and reason. Chosen: enough to see what is wrong.
const SAMPLES: usize = 5;
/// How much of a line is kept, and how much of what its reason means for it.
const EXCERPT_CHARS: usize = 200;

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
