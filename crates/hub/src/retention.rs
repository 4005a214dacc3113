//! Removes what has been kept as long as it may be.
//!
//! Drops parts whose records are all too old, and removes batches with their objects and rejects, with a journal entry;
//! removes objects of processed batches that the settings keep for a while. What is not processed yet stays, however old.
//! Detections and their evidence stay: they are what came of the records.
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

/// Removes every part and batch that is older than the setting of its dataset. Answers how many batches.
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
        let days = bounded(days);
        let before = now - TimeDelta::days(days);
        loop {
            let batches = app.store.batch_old(dataset.name, before, PART).await?;
            let parts = app
                .store
                .part_old(dataset.name, before.timestamp_micros())
                .await?;
            if batches.is_empty() && parts.is_empty() {
                break;
            }
            // The objects first: a row that is left over leads to its object, an object that is left over to nothing.
            for batch in batches.iter().filter(|batch| batch.has_object) {
                app.archive.remove(&batch.path).await?;
            }
            fault::point("retention.removed");
            let ids: Vec<String> = batches.into_iter().map(|batch| batch.id).collect();
            let records = parts.iter().map(|part| part.records).sum();
            let summary = journal_words::archive_removed(dataset.name, ids.len(), records, days);
            app.store
                .archive_forget(&ids, &parts, dataset.name, days, &summary, now)
                .await?;
            removed += ids.len();
        }
        app.store.identifier_forget_old(dataset.name, before).await?;
    }
    kept_objects(app).await?;
    Ok(removed)
}

fn bounded(days: u64) -> i64 {
    i64::try_from(days.min(36_500)).unwrap_or(36_500)
}

/// Removes the objects of processed batches that were kept long enough.
async fn kept_objects(app: &App) -> Result<(), RetentionError> {
    let days = bounded(app.settings.archive.keep_batches_days);
    let before = app.clock.now() - TimeDelta::days(days);
    let mut after = String::new();
    loop {
        let batches = app.store.batch_with_object(before, &after, PART).await?;
        let Some(last) = batches.last() else { return Ok(()) };
        after.clone_from(&last.id);
        for batch in &batches {
            app.archive.remove(&batch.path).await?;
            app.store.batch_object_removed(&batch.id).await?;
        }
    }
}
