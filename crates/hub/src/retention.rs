//! Removes what has been kept as long as it may be.
//!
//! Reads `batch`, removes archived objects, then `event`, `reject` and `batch`, with a journal entry. What is not
//! processed yet stays, however old. Detections stay: they are what came of the records.
//!
//! Safe to repeat: an object that is gone already is no problem. Start reading at [`run`].

use crate::app::App;
use crate::archive::ArchiveError;
use crate::fault;
use crate::journal_words;
use chrono::TimeDelta;
use rules::dataset::DATASETS;
use store::StoreError;

/// Batches that are forgotten in one transaction. Chosen: well below a second of the database's time.
const PART: i64 = 50;

/// Why nothing more could be removed.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The archive.
    #[error("could not delete an archived object")]
    Archive(#[from] ArchiveError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Removes every batch that is older than the setting of its dataset. Answers how many.
///
/// # Errors
///
/// When the archive or the store refuses; the next run goes on.
pub async fn run(app: &App) -> Result<usize, RetentionError> {
    let mut removed = 0;
    for dataset in DATASETS {
        let days = app.settings.archive.days_of(dataset.name);
        if days == 0 {
            continue;
        }
        let now = app.clock.now();
        let days = i64::try_from(days.min(36_500)).unwrap_or(36_500);
        let before = now - TimeDelta::days(days);
        loop {
            let part = app.store.batch_old(dataset.name, before, PART).await?;
            if part.is_empty() {
                break;
            }
            // The objects first: a row that is left over leads to its object, an object that is left over to nothing.
            for batch in &part {
                app.archive.remove(&batch.path).await?;
            }
            fault::point("retention.removed");
            let ids: Vec<String> = part.into_iter().map(|batch| batch.id).collect();
            let summary = |events| journal_words::batches_removed(dataset.name, ids.len(), events, days);
            app.store
                .batch_forget(&ids, dataset.name, days, &summary, now)
                .await?;
            removed += ids.len();
        }
    }
    Ok(removed)
}
