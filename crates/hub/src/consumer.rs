//! How a consumer reads the journal: from its own position, entries of its kinds alone.
//!
//! Whoever writes what follows from the entries moves the position to [`Part::upto`] in the same transaction, or after
//! it where repeating changes nothing. Start reading at [`next`].

use crate::app::App;
use store::{JournalRow, StoreError};

/// Entries that are read at once. Chosen, nothing depends on it.
const PART: i64 = 200;
/// Entries of other kinds that are read again each time before the position is moved past them. Chosen: reading them
/// costs less than writing the position.
const PASSED_OVER: i64 = 1_000;

/// Entries that a consumer has not dealt with.
pub(crate) struct Part {
    /// Oldest first.
    pub(crate) entries: Vec<JournalRow>,
    /// The position once they are dealt with.
    pub(crate) upto: i64,
}

impl Part {
    /// What the entries are about, in their order.
    pub(crate) fn subjects(&self) -> Vec<String> {
        let subjects = self.entries.iter().filter_map(|entry| entry.subject_id.clone());
        subjects.collect()
    }
}

/// The next entries whose kind is like `kinds` (`detection.%`); nothing when there are none.
///
/// # Errors
///
/// When the store refuses.
pub(crate) async fn next(app: &App, consumer: &str, kinds: &str) -> Result<Option<Part>, StoreError> {
    let position = app.store.consumer_position(consumer).await?;
    // Asked first: what is written meanwhile has a higher number.
    let newest = app.store.journal_newest().await?;
    let entries = app.store.journal_after(position, kinds, PART).await?;
    if let Some(last) = entries.last() {
        let upto = last.seq;
        return Ok(Some(Part { entries, upto }));
    }
    if newest - position > PASSED_OVER {
        app.store.consumer_advance(consumer, newest).await?;
    }
    Ok(None)
}
