//! What Logpush has delivered, job by job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// What one job has delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// The job.
    pub job_id: u64,
    /// The dataset that it exports.
    pub dataset: String,
    /// Batches that were answered 2xx, including repeated ones.
    pub batches: usize,
    /// Records in those batches, including repeated ones.
    pub records: usize,
    /// Distinct records among them.
    pub unique_records: usize,
    /// Distinct lines that were not JSON.
    pub malformed_lines: usize,
    /// Uploads that were not answered 2xx.
    pub refused: usize,
}

/// One line in transit: the number of its event.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) number: usize,
    pub(crate) text: String,
    pub(crate) malformed: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) job_id: u64,
    pub(crate) dataset: String,
    pub(crate) lines: Arc<Vec<Line>>,
    pub(crate) twice: bool,
}

/// The deliveries of each job.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<BTreeMap<u64, Entry>>);

#[derive(Debug, Default)]
struct Entry {
    pushed: Pushed,
    numbers: BTreeSet<usize>,
    malformed: BTreeSet<usize>,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pushed(&self) -> Vec<Pushed> {
        self.lock().values().map(|entry| entry.pushed.clone()).collect()
    }

    pub(crate) fn note(&self, batch: &Batch, taken: bool) {
        let mut entries = self.lock();
        let entry = entries.entry(batch.job_id).or_default();
        entry.pushed.job_id = batch.job_id;
        entry.pushed.dataset.clone_from(&batch.dataset);
        if !taken {
            entry.pushed.refused += 1;
            return;
        }
        entry.pushed.batches += 1;
        for line in batch.lines.iter() {
            if line.malformed {
                entry.malformed.insert(line.number);
            } else {
                entry.pushed.records += 1;
                entry.numbers.insert(line.number);
            }
        }
        entry.pushed.unique_records = entry.numbers.len();
        entry.pushed.malformed_lines = entry.malformed.len();
    }
}
